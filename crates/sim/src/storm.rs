//! Random faults from a seed, each with its end.

use std::time::Duration;

use netem::Loss;

use crate::fault::Fault;

/// What a storm strikes and how.
#[derive(Clone, Debug)]
pub struct Storm {
    /// Pairs of nodes that have a path.
    pub links: Vec<(u16, u16)>,
    /// Nodes that may die; empty spares all.
    pub nodes: Vec<u16>,
    /// From one fault to the next.
    pub every: Duration,
    /// How long each lasts, at least and at most.
    pub lasts: (Duration, Duration),
    pub strikes: Vec<Strike>,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    LinkCut,
    OneWayCut,
    PairCut,
    Brownout,
    NodeKill,
    Grey,
    ClockJump,
}

impl Strike {
    pub const ALL: [Strike; 7] = [
        Strike::LinkCut,
        Strike::OneWayCut,
        Strike::PairCut,
        Strike::Brownout,
        Strike::NodeKill,
        Strike::Grey,
        Strike::ClockJump,
    ];
}

impl Storm {
    /// So many faults, each as when it begins and ends, counted from the storm's beginning.
    pub fn faults(&self, count: usize, seed: u64) -> Vec<(Duration, Fault)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut faults = Vec::with_capacity(2 * count);
        for i in 0..count {
            let strike = rng.choice(&self.strikes).copied();
            let link = rng.choice(&self.links).copied();
            let node = rng.choice(&self.nodes).copied();
            let begins = self.every * i as u32;
            let (least, most) = self.lasts;
            let lasts = least + most.saturating_sub(least).mul_f64(rng.f64());
            let (Some(strike), Some((a, b))) = (strike, link) else {
                continue;
            };
            let Some((begin, end)) = pair_of(strike, (a, b), node, &mut rng) else {
                continue;
            };
            faults.push((begins, begin));
            faults.extend(end.map(|end| (begins + lasts, end)));
        }
        faults
    }
}

fn pair_of(
    strike: Strike,
    (a, b): (u16, u16),
    node: Option<u16>,
    rng: &mut fastrand::Rng,
) -> Option<(Fault, Option<Fault>)> {
    let (from, to) = if rng.bool() { (a, b) } else { (b, a) };
    let loss = Loss::None;
    let pair = rng.u8(..mesh::MAX_PAIRS as u8);
    let (begin, end) = match strike {
        Strike::LinkCut => (
            Fault::Weather {
                a,
                b,
                loss,
                cut: true,
            },
            Some(Fault::Weather {
                a,
                b,
                loss,
                cut: false,
            }),
        ),
        Strike::OneWayCut => (
            Fault::OneWay {
                from,
                to,
                cut: true,
            },
            Some(Fault::OneWay {
                from,
                to,
                cut: false,
            }),
        ),
        Strike::PairCut => (
            Fault::Pair {
                a,
                b,
                pair,
                cut: true,
            },
            Some(Fault::Pair {
                a,
                b,
                pair,
                cut: false,
            }),
        ),
        Strike::Brownout => (
            Fault::Brownout {
                a,
                b,
                // The brown-out of overlay 2.3: 6.5 % lost, in bursts.
                loss: Loss::Bursts {
                    good_packets: 60.0,
                    bad_packets: 4.0,
                    bad_loss: 1.0,
                },
                delay: Duration::from_millis(rng.u64(5..40)),
            },
            Some(Fault::Brownout {
                a,
                b,
                loss,
                delay: Duration::ZERO,
            }),
        ),
        Strike::NodeKill => {
            let node = node?;
            (Fault::Kill { node }, Some(Fault::Start { node }))
        }
        Strike::Grey => {
            let node = node?;
            let grey = |grey| Fault::Grey { node, grey };
            (grey(true), Some(grey(false)))
        }
        Strike::ClockJump => {
            let by = Duration::from_millis(rng.u64(10..10_000));
            (Fault::Clock { node: node?, by }, None)
        }
    };
    Some((begin, end))
}
