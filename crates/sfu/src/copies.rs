//! Datagrams that are sent again as they are, some milliseconds apart: who got one drops the others
//! (RFC 3711 section 3.3.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::values::Transmit;

/// Copies that wait; a client that is sent so many needs no more of it.
pub(crate) const MAX_WAITING: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    waiting: VecDeque<(Instant, Transmit)>,
}

impl Copies {
    /// A datagram leaves now; it does so as many times more, so far apart.
    pub(crate) fn put(&mut self, now: Instant, transmit: &Transmit, times: u32, apart: Duration) {
        for n in 1..=times {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back((now + apart * n, transmit.clone()));
            }
        }
    }

    /// The copies that are due.
    pub(crate) fn due(&mut self, now: Instant) -> impl Iterator<Item = Transmit> {
        let waiting = std::mem::take(&mut self.waiting);
        let (due, later): (VecDeque<_>, _) = waiting.into_iter().partition(|(at, _)| *at <= now);
        self.waiting = later;
        due.into_iter().map(|(_, transmit)| transmit)
    }

    /// When the next copy is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }
}
