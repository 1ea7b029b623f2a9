//! Outages: a two-state chain in time, whose schedule is its seed's, whatever is sent meanwhile.

use std::time::{Duration, Instant};

/// No state lasts less, so that a look after a long time takes few steps.
const MIN_STAY: Duration = Duration::from_millis(1);
/// No mean is longer: a month.
const MAX_MEAN: Duration = Duration::from_secs(30 * 86_400);
/// A chain that nobody looked at for longer goes on from where it was.
const MAX_STEPS: u32 = 100_000;

pub(crate) struct Outages {
    every: Duration,
    last: Duration,
    share: f32,
    /// Of the schedule, apart from that of the packets: how many come must not shift it.
    stays: fastrand::Rng,
    packets: fastrand::Rng,
    bad: bool,
    /// When the present state ends; None before the first look.
    until: Option<Instant>,
}

impl Outages {
    pub(crate) fn new(every: Duration, last: Duration, share: f32, seed: u64) -> Outages {
        let mut stays = fastrand::Rng::with_seed(seed);
        Outages {
            every,
            last,
            share,
            packets: stays.fork(),
            stays,
            bad: false,
            until: None,
        }
    }

    /// Begin the schedule, in the good state. Without it, it begins with the first packet.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.bad = false;
        self.until = Some(now + self.stay());
    }

    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        if self.until.is_none() {
            self.begin(now);
        }
        let mut steps = 0;
        while let Some(until) = self.until.filter(|until| *until <= now) {
            self.bad = !self.bad;
            steps += 1;
            let from = if steps < MAX_STEPS { until } else { now };
            self.until = Some(from + self.stay());
        }
        self.bad && self.packets.f32() < self.share
    }

    /// How long the present state lasts: exponentially spread around its mean.
    fn stay(&mut self) -> Duration {
        let mean = if self.bad { self.last } else { self.every };
        let times = -(1.0 - self.stays.f64()).ln();
        mean.min(MAX_MEAN).mul_f64(times).max(MIN_STAY)
    }
}
