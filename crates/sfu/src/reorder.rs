//! Sound that is asked for again, in order: what comes behind a missing packet waits for it. A
//! listener's jitter buffer learns only slowly that packets come out of order, and until then drops
//! what came again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, red_blocks};

/// So far ahead of what was passed on last a packet comes behind an outage, for which none waits.
const MAX_AHEAD: u64 = 16;
/// So far behind the newest, a stream began anew.
const ANEW: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    /// The first sequence that was not passed on.
    next: Option<u64>,
    waiting: BTreeMap<u64, (Instant, MediaPacket)>,
}

impl Reorder {
    /// Take a packet as it came.
    pub(crate) fn put(&mut self, now: Instant, packet: MediaPacket) {
        let next = self.next.get_or_insert(packet.sequence);
        if packet.sequence + ANEW < *next {
            *next = packet.sequence;
        }
        self.waiting.insert(packet.sequence, (now, packet));
    }

    /// The next packet to pass on, if none is missing before it or one waits for that for so long.
    /// What comes later still is passed on at once.
    pub(crate) fn take(&mut self, now: Instant, patience: Duration) -> Option<MediaPacket> {
        if self.due_at(patience)? > now {
            return None;
        }
        let (sequence, (_, packet)) = self.waiting.pop_first()?;
        self.next = self.next.max(Some(sequence + 1));
        Some(packet)
    }

    /// When the next packet is passed on, whatever comes.
    pub(crate) fn due_at(&self, patience: Duration) -> Option<Instant> {
        let (sequence, (came, packet)) = self.waiting.first_key_value()?;
        let (newest, _) = self.waiting.last_key_value()?;
        let next = self.next?;
        // What it repeats is read only where something is missing.
        let complete = |packet| sequence.saturating_sub(repeated(packet)) <= next;
        if *sequence <= next || complete(packet) || newest.saturating_sub(next) > MAX_AHEAD {
            return Some(*came);
        }
        // What came first behind the missing one began the wait.
        let first = self.waiting.values().map(|(came, _)| *came).min();
        first.map(|first| first + patience)
    }
}

/// How many packets before it a packet brings along (RFC 2198).
fn repeated(packet: &MediaPacket) -> u64 {
    let red = packet.format == Format::Red;
    let blocks = red.then(|| red_blocks(&packet.payload).ok()).flatten();
    blocks.map_or(0, |blocks| {
        let earlier = blocks.iter().rev().skip(1);
        earlier.take_while(|block| !block.bytes.is_empty()).count() as u64
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::sync::Arc;

    use super::*;
    use crate::packet::tests::sound;

    const PATIENCE: Duration = Duration::from_millis(100);
    const FRAME: Duration = Duration::from_millis(20);

    /// What is passed on of packets that come at these times (of frames), and when.
    fn passed(came: &[(u32, u64)]) -> Vec<(u32, u64)> {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        let mut passed = Vec::new();
        let last = came.iter().map(|(at, _)| *at).max().unwrap_or_default();
        for frame in 0..=last + 10 {
            let now = start + FRAME * frame;
            for (_, sequence) in came.iter().filter(|(at, _)| *at == frame) {
                reorder.put(now, sound(Format::Opus, *sequence, &[1]));
            }
            while let Some(packet) = reorder.take(now, PATIENCE) {
                passed.push((frame, packet.sequence));
            }
        }
        assert!(reorder.due_at(PATIENCE).is_none());
        passed
    }

    #[test]
    fn what_is_complete_does_not_wait() {
        assert_eq!(passed(&[(0, 7), (1, 8), (2, 9)]), [(0, 7), (1, 8), (2, 9)]);
    }

    #[test]
    fn what_comes_behind_a_missing_packet_waits_for_it() {
        let came = [(0, 7), (2, 9), (3, 10), (4, 8), (5, 11)];
        assert_eq!(passed(&came), [(0, 7), (4, 8), (4, 9), (4, 10), (5, 11)]);
    }

    #[test]
    fn nothing_waits_longer_than_its_time_and_what_is_late_not_at_all() {
        let came = [(0, 7), (2, 9), (4, 11), (8, 8), (9, 12)];
        let want = [(0, 7), (7, 9), (8, 8), (9, 11), (9, 12)];
        assert_eq!(passed(&came), want);
    }

    #[test]
    fn an_outage_is_not_waited_for_and_a_stream_may_begin_anew() {
        let came = [(0, 7), (1, 500), (2, 501), (3, 5_000), (4, 9), (6, 11)];
        let want = [(0, 7), (1, 500), (2, 501), (3, 5_000), (4, 9), (11, 11)];
        assert_eq!(passed(&came), want);
    }

    #[test]
    fn what_a_packet_repeats_is_not_missing() {
        let start = Instant::now();
        let mut reorder = Reorder::default();
        let mut red = Vec::new();
        let blocks = [960, 0].map(|timestamp_offset| wire::Block {
            payload_type: 111,
            timestamp_offset,
            bytes: &[1],
        });
        wire::put_red(&mut red, &blocks);
        let mut takes = |sequence, payload: &Arc<[u8]>| {
            reorder.put(start, sound(Format::Red, sequence, payload));
            reorder.take(start, PATIENCE).map(|packet| packet.sequence)
        };
        let red: Arc<[u8]> = red.into();
        assert_eq!(takes(7, &red), Some(7));
        assert_eq!(takes(9, &red), Some(9), "8 is in it");
        assert_eq!(takes(12, &red), None, "10 is missing");
        assert_eq!(takes(10, &red), Some(10));
        assert_eq!(takes(14, &[0xff].as_slice().into()), Some(12));
    }
}
