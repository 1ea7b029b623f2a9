//! Whether a packet is lost: the loss models of `str0m-netem`, one verdict at a time.

use std::time::Instant;

use str0m_netem::{GilbertElliot, Input, LossModel, Netem, NetemConfig, Output, Probability};
use str0m_netem::{RandomLoss, WithLen};

use crate::weather::Loss;

/// A packet as far as its loss is concerned.
#[derive(Clone)]
struct Token;

impl WithLen for Token {
    fn len(&self) -> usize {
        0
    }
}

pub(crate) struct Losses(Option<Netem<Token>>);

impl Losses {
    pub(crate) fn new(loss: Loss, seed: u64) -> Losses {
        let share = |p: f32| Probability::new(if p.is_nan() { 0.0 } else { p.clamp(0.0, 1.0) });
        let model: LossModel = match loss {
            Loss::None => return Losses(None),
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
        };
        Losses(Some(Netem::new(NetemConfig::new().loss(model).seed(seed))))
    }

    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        let Some(netem) = &mut self.0 else {
            return false;
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
