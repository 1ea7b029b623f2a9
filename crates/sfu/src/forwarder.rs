//! Rewrites one track's packets for one subscriber, so that switching layers leaves no seam.

use std::time::Instant;

use wire::{MediaPacket, StreamId};

use crate::codec;
use crate::vp8::PictureIds;

/// Sequence numbers of every subscription begin here; below 65,536, so that no rollover counter
/// has to be told (RFC 3711 section 3.3.1).
const FIRST_SEQUENCE: u64 = 1_000;

/// Sequence numbers, timestamps and picture ids of what one subscriber gets.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    current: Option<Current>,
    last: Option<Last>,
    pub(crate) pictures: PictureIds,
}

#[derive(Debug)]
struct Current {
    stream: StreamId,
    /// First sequence of the stream that was forwarded: anything older belongs to before.
    from: u64,
    first_out: u64,
    timestamp_offset: u32,
}

#[derive(Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    at: Instant,
}

/// Where a packet goes in the subscriber's own numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
}

impl Forwarder {
    /// The stream that is being forwarded.
    pub(crate) fn current(&self) -> Option<StreamId> {
        self.current.as_ref().map(|c| c.stream)
    }

    /// Forget the stream: the next `start` continues behind what was sent.
    pub(crate) fn pause(&mut self) {
        self.current = None;
    }

    /// Go over to `stream`, from this packet on.
    pub(crate) fn start(&mut self, now: Instant, stream: StreamId, packet: &MediaPacket) {
        let (first_out, timestamp) = match &self.last {
            None => (FIRST_SEQUENCE, packet.timestamp),
            Some(last) => {
                let elapsed = now.saturating_duration_since(last.at);
                let ticks = elapsed.as_secs_f64() * f64::from(codec::clock(packet.format));
                let timestamp = last.timestamp.wrapping_add((ticks as u32).max(1));
                (last.sequence + 1, timestamp)
            }
        };
        self.pictures.switch();
        self.current = Some(Current {
            stream,
            from: packet.sequence,
            first_out,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
        });
    }

    /// Where this packet of the current stream goes; None if it is from before the start.
    pub(crate) fn place(&mut self, now: Instant, packet: &MediaPacket) -> Option<Placed> {
        let current = self.current.as_ref()?;
        let sequence = current.first_out + packet.sequence.checked_sub(current.from)?;
        let timestamp = packet.timestamp.wrapping_add(current.timestamp_offset);
        if self.last.as_ref().is_none_or(|l| sequence > l.sequence) {
            self.last = Some(Last {
                sequence,
                timestamp,
                at: now,
            });
        }
        Some(Placed {
            sequence,
            timestamp,
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's time starts somewhere")]
mod tests {
    use std::time::Duration;

    use wire::Format;

    use super::*;

    fn packet(sequence: u64, timestamp: u32) -> MediaPacket {
        MediaPacket {
            format: Format::Vp8,
            sequence,
            timestamp,
            marker: false,
            keyframe: false,
            audio_level: None,
            voice_activity: None,
            orientation: None,
            absolute_capture_time: None,
            dependency_descriptor: None,
            payload: [0u8; 4].as_slice().into(),
        }
    }

    #[test]
    fn a_hole_stays_a_hole_and_order_is_kept() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        f.start(now, StreamId(1), &packet(70_000, 500));
        let place = |f: &mut Forwarder, s| f.place(now, &packet(s, 500)).map(|p| p.sequence);
        assert_eq!(place(&mut f, 70_000), Some(FIRST_SEQUENCE));
        assert_eq!(place(&mut f, 70_003), Some(FIRST_SEQUENCE + 3));
        assert_eq!(place(&mut f, 70_001), Some(FIRST_SEQUENCE + 1));
        assert_eq!(place(&mut f, 69_999), None);
    }

    #[test]
    fn a_switch_continues_sequence_and_time() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        f.start(now, StreamId(1), &packet(10, 1_000));
        f.place(now, &packet(12, 4_000));
        let later = now + Duration::from_millis(100);
        f.start(later, StreamId(2), &packet(900, 77));
        let placed = f.place(later, &packet(900, 77)).expect("placed");
        assert_eq!(placed.sequence, FIRST_SEQUENCE + 3);
        assert_eq!(placed.timestamp, 4_000 + 9_000);
        assert_eq!(f.current(), Some(StreamId(2)));
    }
}
