//! What was sent on a link and may not have arrived.

use std::time::Instant;

use super::{Link, LinkState};

impl Link {
    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    /// The frames sent since the link was last known to work, oldest first, and those that wait.
    pub(crate) fn doubtful(&self, now: Instant) -> Vec<(Instant, Vec<u8>)> {
        // What was sent a round trip before the peer's last word has been heard by it.
        let round = self.measure.rtt().unwrap_or_default();
        let good = self.heard.min(self.heard_there());
        let good = good.checked_sub(round).unwrap_or(good);
        let mut frames: Vec<(Instant, Vec<u8>)> = self
            .outgoing
            .since(good)
            .map(|(sent, frames)| (sent, frames.to_vec()))
            .collect();
        frames.reverse();
        if !self.pending.is_empty() {
            frames.push((now, self.pending.clone()));
        }
        frames
    }
}
