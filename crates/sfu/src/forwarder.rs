//! Rewrites one track's packets for one subscriber, so that neither a switch of layers nor what is
//! left out leaves a seam.

use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, StreamId};

use crate::codec;
use crate::descriptor;
use crate::filter::{Filter, Passes};
use crate::layering::{LayerId, View};
use crate::numbering::{Number, Numbering};
use crate::vp8::{PictureIds, Vp8Patch};

/// Sequence numbers of every subscription begin here; below 65,536, so that no rollover counter
/// has to be told (RFC 3711 section 3.3.1).
const FIRST_SEQUENCE: u64 = 1_000;

/// Layers, sequence numbers, timestamps and picture numbers of what one subscriber gets.
#[derive(Debug, Default)]
pub(crate) struct Forwarder {
    current: Option<Current>,
    last: Option<Last>,
    numbering: Numbering,
    pub(crate) filter: Filter,
    pictures: PictureIds,
    /// Of the dependency descriptor that went out last.
    last_frame: Option<u16>,
}

#[derive(Debug)]
struct Current {
    stream: StreamId,
    since: Instant,
    timestamp_shift: u32,
    /// Of the dependency descriptor's frame numbers.
    frame_shift: u16,
    /// Timestamp of the newest packet, as it came.
    picture: u32,
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
    /// When it passed, or would have if it is not late: what sender reports date its timestamp by.
    pub(crate) at: Instant,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Rewritten),
    /// Its layer is not shown, but others went out around its place: an empty packet tells the
    /// subscriber that nothing is missing.
    Fill(Placed),
    /// Its layer is not shown.
    LeaveOut,
    /// It is from before the start.
    Before,
}

/// What changes of a packet.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) placed: Placed,
    pub(crate) marker: bool,
    pub(crate) vp8: Option<Vp8Patch>,
    /// None: it is as it came.
    pub(crate) descriptor: Option<Vec<u8>>,
}

impl Forwarder {
    /// The stream that is being forwarded.
    pub(crate) fn current(&self) -> Option<StreamId> {
        self.current.as_ref().map(|c| c.stream)
    }

    /// How long the stream is being forwarded.
    pub(crate) fn steady(&self, now: Instant) -> Option<Duration> {
        let current = self.current.as_ref()?;
        Some(now.saturating_duration_since(current.since))
    }

    /// Whether something went out in the last `time`: what was kept before that is older.
    pub(crate) fn sent_within(&self, time: Duration, now: Instant) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| now.saturating_duration_since(last.at) < time)
    }

    /// Forget the stream: the next `start` continues behind what was sent.
    pub(crate) fn pause(&mut self) {
        self.current = None;
    }

    /// Go over to `stream`, from this packet on, with its layers up to `target`.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        stream: StreamId,
        target: LayerId,
        packet: &MediaPacket,
    ) {
        let timestamp = self.timestamp(now, packet);
        let sequence = self
            .last
            .as_ref()
            .map_or(FIRST_SEQUENCE, |l| l.sequence + 1);
        self.numbering.start(packet.sequence, sequence);
        self.filter.start(target, packet);
        self.pictures.switch();
        let number = frame_number(packet);
        let frame_shift = match (self.last_frame, number) {
            (Some(last), Some(number)) => last.wrapping_add(1).wrapping_sub(number),
            _ => 0,
        };
        self.current = Some(Current {
            stream,
            since: now,
            timestamp_shift: timestamp.wrapping_sub(packet.timestamp),
            frame_shift,
            picture: packet.timestamp,
        });
    }

    /// The time is that of sending from this packet's picture on: what was kept goes out faster
    /// than it came.
    pub(crate) fn hasten(&mut self, now: Instant, packet: &MediaPacket) {
        let timestamp = self.timestamp(now, packet);
        if let Some(current) = &mut self.current
            && current.picture != packet.timestamp
        {
            current.timestamp_shift = timestamp.wrapping_sub(packet.timestamp);
        }
    }

    /// The timestamp of a picture that goes out now.
    fn timestamp(&self, now: Instant, packet: &MediaPacket) -> u32 {
        let Some(last) = &self.last else {
            return packet.timestamp;
        };
        let elapsed = now.saturating_duration_since(last.at);
        let ticks = elapsed.as_secs_f64() * f64::from(codec::clock(packet.format));
        last.timestamp.wrapping_add((ticks as u32).max(1))
    }

    /// What becomes of this packet of the current stream.
    pub(crate) fn pass(&mut self, now: Instant, packet: &MediaPacket, view: View) -> Step {
        if self.current.is_none() {
            return Step::Before;
        }
        match self.filter.decide(packet, view) {
            Passes::With(marker) => self.send(now, packet, marker),
            Passes::No => {
                if packet.format == Format::Vp8 {
                    self.pictures.leave_out(&packet.payload);
                }
                match self.numbering.leave_out(packet.sequence) {
                    Number::Is(sequence) => Step::Fill(self.placed(now, packet, sequence)),
                    Number::LeftOut => Step::LeaveOut,
                    Number::Before => Step::Before,
                }
            }
        }
    }

    fn send(&mut self, now: Instant, packet: &MediaPacket, marker: bool) -> Step {
        let sequence = match self.numbering.place(packet.sequence) {
            Number::Is(sequence) => sequence,
            Number::LeftOut => return Step::LeaveOut,
            Number::Before => return Step::Before,
        };
        let placed = self.placed(now, packet, sequence);
        let vp8 = match packet.format {
            Format::Vp8 => match self.pictures.patch(&packet.payload) {
                Ok(patch) => patch,
                Err(()) => return Step::Fill(placed),
            },
            _ => None,
        };
        Step::Send(Rewritten {
            placed,
            marker,
            vp8,
            descriptor: self.descriptor(packet),
        })
    }

    /// The dependency descriptor with its frame's number in the subscriber's count.
    fn descriptor(&mut self, packet: &MediaPacket) -> Option<Vec<u8>> {
        let bytes = packet.dependency_descriptor.as_ref()?;
        let shift = self.current.as_ref()?.frame_shift;
        let number = descriptor::frame_number(bytes)?.wrapping_add(shift);
        let newer = |last: u16| number.wrapping_sub(last) < 1 << 15;
        if self.last_frame.is_none_or(newer) {
            self.last_frame = Some(number);
        }
        (shift != 0).then(|| descriptor::renumbered(bytes, number))
    }

    fn placed(&mut self, now: Instant, packet: &MediaPacket, sequence: u64) -> Placed {
        let shift = self.current.as_mut().map_or(0, |current| {
            let ahead = packet.timestamp.wrapping_sub(current.picture);
            if ahead < 1 << 31 {
                current.picture = packet.timestamp;
            }
            current.timestamp_shift
        });
        let timestamp = packet.timestamp.wrapping_add(shift);
        let at = match &self.last {
            Some(last) if sequence <= last.sequence => {
                let ticks = (last.timestamp.wrapping_sub(timestamp) as i32).max(0);
                let clock = f64::from(codec::clock(packet.format));
                let before = Duration::from_secs_f64(f64::from(ticks) / clock);
                last.at.checked_sub(before).unwrap_or(now)
            }
            _ => now,
        };
        if self.last.as_ref().is_none_or(|l| sequence > l.sequence) {
            self.last = Some(Last {
                sequence,
                timestamp,
                at: now,
            });
        }
        Placed {
            sequence,
            timestamp,
            at,
        }
    }
}

fn frame_number(packet: &MediaPacket) -> Option<u16> {
    descriptor::frame_number(packet.dependency_descriptor.as_ref()?)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's time starts somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::descriptor::samples;
    use crate::layering::Layering;
    use crate::layering::samples::{described, packet};

    fn sound(sequence: u64, timestamp: u32) -> MediaPacket {
        let mut packet = packet(Format::Vp8, sequence, 0);
        packet.timestamp = timestamp;
        packet
    }

    fn sent(step: Step) -> Option<Rewritten> {
        match step {
            Step::Send(rewritten) => Some(rewritten),
            _ => None,
        }
    }

    fn start(f: &mut Forwarder, now: Instant, stream: u64, packet: &MediaPacket) {
        f.start(now, StreamId(stream), LayerId::ALL, packet);
    }

    #[test]
    fn a_hole_stays_a_hole_and_order_is_kept() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        start(&mut f, now, 1, &sound(70_000, 500));
        let place = |f: &mut Forwarder, s| {
            let step = f.pass(now, &sound(s, 500), View::default());
            sent(step).map(|r| r.placed.sequence)
        };
        assert_eq!(place(&mut f, 70_000), Some(FIRST_SEQUENCE));
        assert_eq!(place(&mut f, 70_003), Some(FIRST_SEQUENCE + 3));
        assert_eq!(place(&mut f, 70_001), Some(FIRST_SEQUENCE + 1));
        assert_eq!(place(&mut f, 69_999), None);
    }

    #[test]
    fn what_comes_late_is_dated_as_if_it_had_not() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        start(&mut f, now, 1, &sound(10, 1_000));
        let mut at = |sequence, timestamp, after| {
            let step = f.pass(now + after, &sound(sequence, timestamp), View::default());
            sent(step).expect("sent").placed.at - now
        };
        let ms = Duration::from_millis;
        assert_eq!(at(10, 1_000, ms(0)), ms(0));
        assert_eq!(at(12, 4_600, ms(40)), ms(40));
        assert_eq!(at(11, 2_800, ms(150)), ms(20));
        assert_eq!(at(13, 6_400, ms(160)), ms(160));
    }

    #[test]
    fn a_switch_continues_sequence_and_time() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        start(&mut f, now, 1, &sound(10, 1_000));
        f.pass(now, &sound(12, 4_000), View::default());
        let later = now + Duration::from_millis(100);
        start(&mut f, later, 2, &sound(900, 77));
        let step = f.pass(later, &sound(900, 77), View::default());
        let placed = sent(step).expect("placed").placed;
        assert_eq!(placed.sequence, FIRST_SEQUENCE + 3);
        assert_eq!(placed.timestamp, 4_000 + 9_000);
        assert_eq!(f.current(), Some(StreamId(2)));
    }

    #[test]
    fn what_is_hastened_has_the_time_of_its_sending() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        start(&mut f, now, 1, &sound(10, 1_000));
        f.pass(now, &sound(10, 1_000), View::default());
        let later = now + Duration::from_millis(10);
        // Two packets of one picture, a second after the first.
        for (sequence, at) in [(11, later), (12, later + Duration::from_millis(5))] {
            let packet = sound(sequence, 91_000);
            f.hasten(at, &packet);
            let placed = sent(f.pass(at, &packet, View::default()))
                .expect("sent")
                .placed;
            assert_eq!(placed.timestamp, 1_000 + 900);
        }
        let live = sent(f.pass(later, &sound(13, 94_000), View::default())).expect("sent");
        assert_eq!(live.placed.timestamp, 1_900 + 3_000);
    }

    #[test]
    fn frame_numbers_go_on_over_a_switch() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        let mut layering = Layering::default();
        let mut number = |f: &mut Forwarder, packet: &MediaPacket| {
            let view = layering.read(packet);
            let rewritten = sent(f.pass(now, packet, view)).expect("sent");
            let own = packet.dependency_descriptor.as_deref().expect("described");
            let bytes = rewritten.descriptor.as_deref().unwrap_or(own);
            descriptor::frame_number(bytes).expect("a number")
        };
        let first = described(1, 0, &samples::keyframe(1, 1, 65_535));
        start(&mut f, now, 1, &first);
        assert_eq!(number(&mut f, &first), 65_535);
        assert_eq!(
            number(&mut f, &described(2, 1, &samples::plain(true, true, 0, 0))),
            0
        );
        let other = described(50, 9, &samples::keyframe(1, 1, 300));
        start(&mut f, now, 2, &other);
        assert_eq!(number(&mut f, &other), 1);
        assert_eq!(
            number(
                &mut f,
                &described(51, 10, &samples::plain(true, true, 0, 301))
            ),
            2
        );
    }

    #[test]
    fn the_place_of_what_is_not_shown_is_filled_if_others_are_around_it() {
        let now = Instant::now();
        let mut f = Forwarder::default();
        f.start(now, StreamId(1), LayerId::default(), &sound(1, 0));
        let upper = View {
            layer: LayerId {
                spatial: 0,
                temporal: 1,
            },
            ..View::default()
        };
        f.pass(now, &sound(1, 0), View::default());
        assert!(matches!(f.pass(now, &sound(2, 1), upper), Step::LeaveOut));
        let next = sent(f.pass(now, &sound(4, 2), View::default())).expect("sent");
        assert_eq!(next.placed.sequence, FIRST_SEQUENCE + 2);
        let Step::Fill(placed) = f.pass(now, &sound(3, 1), upper) else {
            panic!("its place is empty");
        };
        assert_eq!(placed.sequence, FIRST_SEQUENCE + 1);
    }
}
