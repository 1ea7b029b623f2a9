//! Whether a packet is lost: outages in time, or the loss models of `str0m-netem`, one verdict at a
//! time.

use std::time::Instant;

use str0m_netem::{GilbertElliot, Input, LossModel, Netem, NetemConfig, Output, Probability};
use str0m_netem::{RandomLoss, WithLen};

use crate::fate::Fates;
use crate::outage::Outages;
use crate::weather::Loss;

/// A packet as far as its loss is concerned.
#[derive(Clone)]
pub(crate) struct Token;

impl WithLen for Token {
    fn len(&self) -> usize {
        0
    }
}

pub(crate) enum Losses {
    None,
    ByPacket(Box<Netem<Token>>),
    ByTime(Outages),
    ByHash(Fates),
}

impl Losses {
    pub(crate) fn new(loss: Loss, seed: u64) -> Losses {
        let share = |p: f32| Probability::new(if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) });
        let model: LossModel = match loss {
            Loss::None => return Losses::None,
            Loss::Random(p) => RandomLoss::new(share(p)).into(),
            Loss::Bursts {
                good_packets,
                bad_packets,
                bad_loss,
            } => GilbertElliot::new()
                .good_duration(good_packets.max(1.0))
                .bad_duration(bad_packets.max(1.0))
                .loss_in_bad(share(bad_loss))
                .into(),
            Loss::GilbertElliott {
                to_bad,
                to_good,
                good_loss,
                bad_loss,
            } => GilbertElliot::new()
                .good_duration(mean_stay(to_bad))
                .bad_duration(mean_stay(to_good))
                .loss_in_good(share(good_loss))
                .loss_in_bad(share(bad_loss))
                .into(),
            Loss::Scheduled(p) => return Losses::ByHash(Fates::new(p, seed)),
            Loss::Outages { every, last, share } => {
                return Losses::ByTime(Outages::new(every, last, share, seed));
            }
        };
        let config = NetemConfig::new().loss(model).seed(seed);
        Losses::ByPacket(Box::new(Netem::new(config)))
    }

    /// Begin what goes by time.
    pub(crate) fn begin(&mut self, now: Instant) {
        match self {
            Losses::ByTime(outages) => outages.begin(now),
            Losses::ByHash(fates) => fates.begin(now),
            Losses::None | Losses::ByPacket(_) => {}
        }
    }

    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        let netem = match self {
            Losses::None => return false,
            Losses::ByTime(outages) => return outages.is_lost(now),
            Losses::ByHash(fates) => return fates.is_lost(now),
            Losses::ByPacket(netem) => netem,
        };
        netem.handle_input(Input::Packet(now, Token));
        let mut lost = true;
        while let Some(output) = netem.poll_output() {
            lost &= !matches!(output, Output::Packet(_));
        }
        lost
    }
}

/// Packets until a state of this chance to leave it is left, on average.
fn mean_stay(leave: f32) -> f32 {
    (1.0 / leave.clamp(f32::MIN_POSITIVE, 1.0)).min(f32::MAX)
}
