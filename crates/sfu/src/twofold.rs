//! What the edge asks of a publisher (lost packets, keyframes) asked more than once where the way
//! loses: a request that is lost costs as much time as the packet it asked for.

use std::collections::HashMap;
use std::time::Instant;

use wire::StreamId;

use crate::copies::Copies;
use crate::repair::APART;
use crate::values::{Protocol, Transmit};

/// From this share of what the publisher sends lost on, each is sent once more, or twice more.
const ONCE_MORE: f32 = 0.02;
const TWICE_MORE: f32 = 0.1;
/// Over so many packets the share is counted; of a hole so many count at most, for an outage is no
/// share.
const COUNTED: f32 = 100.0;
const MAX_HOLE: u64 = 10;
/// So far behind the newest, a stream began anew.
const ANEW: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Twofold {
    newest: HashMap<StreamId, u64>,
    /// The share of what was sent that was missing when a later one came.
    share: f32,
    copies: Copies,
}

impl Twofold {
    /// A packet of a stream of the client's came, for the first time or again.
    pub(crate) fn came(&mut self, stream: StreamId, sequence: u64) {
        let newest = self.newest.entry(stream).or_insert(sequence);
        if sequence + ANEW < *newest {
            *newest = sequence;
        }
        let Some(ahead) = sequence.checked_sub(*newest).filter(|ahead| *ahead > 0) else {
            return;
        };
        *newest = sequence;
        for _ in 1..ahead.min(MAX_HOLE) {
            self.share += (1.0 - self.share) / COUNTED;
        }
        self.share -= self.share / COUNTED;
    }

    /// The share of what the client sends that is lost.
    pub(crate) fn share(&self) -> f32 {
        self.share
    }

    /// A stream has ended.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.newest.remove(&stream);
    }

    /// A datagram leaves for the client. TCP loses nothing.
    pub(crate) fn sent(&mut self, now: Instant, transmit: &Transmit) {
        if transmit.protocol == Protocol::Tcp || !asks(&transmit.bytes) {
            return;
        }
        let times = [ONCE_MORE, TWICE_MORE]
            .iter()
            .filter(|from| self.share >= **from);
        self.copies.put(now, transmit, times.count() as u32, APART);
    }

    /// The copies that are due.
    pub(crate) fn due(&mut self, now: Instant) -> impl Iterator<Item = Transmit> {
        self.copies.due(now)
    }

    /// When the next copy is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.copies.deadline()
    }
}

/// Whether it is a request for packets (generic NACK, RFC 4585 section 6.2.1) or a keyframe (6.3).
/// SRTCP encrypts what follows the first header.
fn asks(datagram: &[u8]) -> bool {
    matches!(datagram, [0x81, 205, ..] | [_, 206, ..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::copies::MAX_WAITING;

    fn transmit(byte: u8) -> Transmit {
        let address = "10.0.0.1:7882".parse().unwrap();
        Transmit {
            protocol: Protocol::Udp,
            from: address,
            to: address,
            bytes: vec![0x81, byte],
        }
    }

    /// How many copies leave of one packet, and when.
    fn copies(told: &mut Twofold, now: Instant) -> Vec<Duration> {
        told.sent(now, &transmit(200));
        told.sent(now, &transmit(205));
        let mut at = Vec::new();
        while let Some(next) = told.deadline() {
            at.extend(told.due(next).map(|_| next - now));
        }
        at
    }

    /// So many packets, one in `lost` missing.
    fn come(told: &mut Twofold, from: u64, lost: u64) -> u64 {
        let to = from + 600;
        for sequence in (from..to).filter(|n| n % lost != 0) {
            told.came(StreamId(1), sequence);
        }
        to
    }

    #[test]
    fn it_is_told_as_often_as_the_way_loses() {
        let now = Instant::now();
        let mut told = Twofold::default();
        let next = come(&mut told, 0, 1_000);
        assert!(copies(&mut told, now).is_empty());
        let next = come(&mut told, next, 20);
        assert_eq!(copies(&mut told, now), [APART]);
        let next = come(&mut told, next, 3);
        assert_eq!(copies(&mut told, now), [APART, 2 * APART]);
        come(&mut told, next, 1_000);
        assert!(copies(&mut told, now).is_empty());
    }

    #[test]
    fn what_comes_late_or_again_and_an_outage_are_no_share() {
        let now = Instant::now();
        let mut told = Twofold::default();
        let next = come(&mut told, 0, 1_000);
        for sequence in (0..next).rev() {
            told.came(StreamId(1), sequence);
        }
        assert!(copies(&mut told, now).is_empty());
        told.came(StreamId(1), next + 1_000_000);
        assert!(copies(&mut told, now).len() < 2);
    }

    #[test]
    fn a_stream_that_begins_anew_is_counted_on() {
        let now = Instant::now();
        let mut told = Twofold::default();
        come(&mut told, 50_000, 1_000_000);
        come(&mut told, 7, 3);
        assert_eq!(copies(&mut told, now).len(), 2);
    }

    #[test]
    fn what_waits_is_bounded() {
        let now = Instant::now();
        let mut told = Twofold::default();
        come(&mut told, 0, 2);
        for _ in 0..1_000 {
            told.sent(now, &transmit(206));
        }
        assert_eq!(told.due(now + APART * 2).count(), MAX_WAITING);
        assert_eq!(told.deadline(), None);
    }
}
