//! Redundant audio toward each subscriber, as much as its losses ask for (RFC 2198).
//!
//! A listener's jitter buffer waits some 80 ms for a copy: of packets lost one by one, those right
//! behind each frame bring back the most; where so many are lost that this is too few, each packet is
//! sent several times. What loses several in a row needs copies further apart, although some of
//! them come too late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Block, Format, MAX_BLOCKS, MediaPacket, put_red, red_blocks};

/// From a share lost on, packets repeat the frames so many before theirs.
#[derive(Debug)]
struct Rung {
    from: f32,
    /// Where packets are lost one by one, and where several in a row are.
    singly: &'static [u64],
    in_bursts: &'static [u64],
    /// Where they are lost one by one, each packet is sent so many times.
    times: u32,
}

const LADDER: [Rung; 6] = [
    rung(0.0, &[1], &[1], 1),
    rung(0.05, &[1, 2], &[1, 3], 1),
    rung(0.15, &[1, 2, 3], &[1, 3, 5], 1),
    rung(0.25, &[1, 2, 3, 4], &[2, 4, 6, 8], 1),
    rung(0.35, &[1, 2, 3, 4], &[2, 4, 6, 8], 2),
    rung(0.45, &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8], 3),
];
/// Bits a second of a voice each time that it is sent; no more than half of what is carried.
const VOICE: u64 = 40_000;
/// Less than this lost is next to nothing.
const SOME: f32 = 0.02;
/// A rung is left downward when less than this share of what leads onto it is lost.
const STAY: f32 = 0.6;
/// Of the way to a new measurement: bad news counts at once, good news slowly.
const RISE: f32 = 0.5;
const FALL: f32 = 0.2;
const FALL_EVERY: Duration = Duration::from_secs(1);
/// Of what is sent, so much arrives for all that is planned.
const LEAST: f32 = 0.1;
/// Frames kept of a voice: what the deepest rung reaches back, and what comes late.
const KEPT: usize = 24;
/// The most bytes of a payload: whole packets stay below what any path takes.
const MAX_PAYLOAD: usize = 1_100;

const fn rung(from: f32, singly: &'static [u64], in_bursts: &'static [u64], times: u32) -> Rung {
    Rung {
        from,
        singly,
        in_bursts,
        times,
    }
}

impl Rung {
    fn repetition(&self, in_bursts: bool) -> Repetition {
        let (distances, times) = match in_bursts {
            true => (self.in_bursts, 1),
            false => (self.singly, self.times),
        };
        Repetition { distances, times }
    }
}

/// What of a voice is repeated toward one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repetition {
    /// How many frames before its own a packet repeats.
    pub(crate) distances: &'static [u64],
    /// So many times each packet is sent.
    pub(crate) times: u32,
}

impl Repetition {
    const NONE: Self = Self {
        distances: &[],
        times: 1,
    };

    /// How often each frame is sent.
    pub(crate) fn frames(&self) -> u64 {
        (1 + self.distances.len() as u64) * u64::from(self.times)
    }
}

/// What was lost of late toward one subscriber.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lost {
    /// Of all packets, 0 to 1.
    pub(crate) share: f32,
    /// Several in a row, or nobody knows.
    pub(crate) in_bursts: bool,
}

/// What of the packets toward one subscriber is lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    share: f32,
    in_bursts: bool,
    rung: usize,
    /// The lowest rung that the room's scene allows.
    floor: usize,
    fell_at: Option<Instant>,
    /// Bits a second that are carried, if it was measured.
    carried: Option<u64>,
    /// What nothing asks for is not repeated.
    spare: bool,
}

impl Losses {
    /// From now on packets repeat so many frames or more, however little is lost.
    pub(crate) fn repeat_at_least(&mut self, frames: usize) {
        let deepest = LADDER.partition_point(|rung| rung.times == 1) - 1;
        let reached = LADDER.iter().position(|rung| rung.singly.len() >= frames);
        self.floor = reached.unwrap_or(deepest);
    }

    /// Take what was lost of late.
    pub(crate) fn observe(&mut self, now: Instant, Lost { share, in_bursts }: Lost) {
        if !share.is_finite() {
            return;
        }
        self.in_bursts = in_bursts;
        let step = share.clamp(0.0, 1.0) - self.share;
        if step <= 0.0 {
            if self.fell_at.is_some_and(|at| now < at + FALL_EVERY) {
                return;
            }
            self.fell_at = Some(now);
        }
        self.share += step * if step > 0.0 { RISE } else { FALL };
        let reached = LADDER.iter().rposition(|rung| self.share >= rung.from);
        let reached = reached.unwrap_or(0);
        if reached > self.rung || self.share < STAY * LADDER[self.rung].from {
            self.rung = reached;
        }
    }

    /// The share that is lost, smoothed.
    pub(crate) fn share(&self) -> f32 {
        self.share
    }

    /// Note what the way carries, bits a second: more than that can't be repeated.
    pub(crate) fn limit(&mut self, carried: u64) {
        self.carried = Some(carried);
    }

    /// From now on nothing is repeated while next to nothing is lost, or the last frame is.
    pub(crate) fn spare(&mut self, spare: bool) {
        self.spare = spare;
    }

    /// What is to be repeated now.
    pub(crate) fn repetition(&self) -> Repetition {
        if self.spare && self.floor == 0 && self.rung == 0 && self.share < SOME {
            return Repetition::NONE;
        }
        // What is carried is told less what is lost, which repetitions are not sent again for.
        let half = self.carried.map_or(u64::MAX, |carried| {
            (carried as f32 / (1.0 - self.share).max(LEAST) / 2.0) as u64
        });
        let of = |rung: usize| LADDER[rung].repetition(self.in_bursts);
        let fits = |rung: &usize| VOICE * of(*rung).frames() <= half;
        let highest = self.rung.max(self.floor);
        of((0..=highest).rev().find(fits).unwrap_or(0))
    }
}

#[derive(Debug)]
struct Frame {
    sequence: u64,
    timestamp: u32,
    bytes: Arc<[u8]>,
}

/// The latest Opus frames of one stream, however its publisher packed them.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    /// By sequence.
    frames: VecDeque<Frame>,
    /// How far before the packet taken last those are that it brought for the first time.
    brought: Vec<u64>,
    /// Payloads of one packet made so far, for subscribers that take the same.
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    sequence: u64,
    payload_type: u8,
    distances: &'static [u64],
    payload: Arc<[u8]>,
}

/// What a packet brought.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Frames of lost packets that it repeats, as plain Opus packets, oldest first.
    pub(crate) recovered: Vec<MediaPacket>,
    /// Its own frame was recovered from a later packet already.
    pub(crate) late: bool,
}

impl Voice {
    /// Take a packet, plain or redundant. One that can't be read brings nothing.
    pub(crate) fn take(&mut self, packet: &MediaPacket) -> Taken {
        let mut taken = Taken::default();
        self.brought.clear();
        let primary = match packet.format {
            Format::Opus => Arc::clone(&packet.payload),
            Format::Red => {
                let Ok(blocks) = red_blocks(&packet.payload) else {
                    return taken;
                };
                let Some((primary, redundant)) = blocks.split_last() else {
                    return taken;
                };
                // The newest block is of the packet just before, and so on.
                for (back, block) in (1..).zip(redundant.iter().rev()) {
                    let timestamp = packet.timestamp.wrapping_sub(block.timestamp_offset.into());
                    let Some(sequence) = packet.sequence.checked_sub(back) else {
                        break;
                    };
                    if block.bytes.is_empty() || !self.lacks(sequence, timestamp) {
                        continue;
                    }
                    let bytes: Arc<[u8]> = block.bytes.into();
                    self.put(sequence, timestamp, Arc::clone(&bytes));
                    self.brought.push(back);
                    taken.recovered.push(MediaPacket {
                        format: Format::Opus,
                        sequence,
                        timestamp,
                        marker: false,
                        payload: bytes,
                        ..packet.clone()
                    });
                }
                taken.recovered.reverse();
                primary.bytes.into()
            }
            _ => return taken,
        };
        taken.late = self.find(packet.sequence).is_some();
        if !taken.late {
            self.put(packet.sequence, packet.timestamp, primary);
        }
        taken
    }

    /// The frame of a packet that was taken, alone.
    pub(crate) fn plain(&self, sequence: u64) -> Option<Arc<[u8]>> {
        self.find(sequence).map(|frame| Arc::clone(&frame.bytes))
    }

    /// The same with earlier ones before it, Opus under `payload_type`: those at `distances` and
    /// what the packet itself brought, for nobody had it yet.
    pub(crate) fn redundant(
        &mut self,
        sequence: u64,
        payload_type: u8,
        distances: &'static [u64],
    ) -> Option<Arc<[u8]>> {
        self.made.retain(|made| made.sequence == sequence);
        let same = |made: &&Made| made.payload_type == payload_type && made.distances == distances;
        if let Some(made) = self.made.iter().find(same) {
            return Some(Arc::clone(&made.payload));
        }
        let payload = self.encode(sequence, payload_type, distances)?;
        self.made.push(Made {
            sequence,
            payload_type,
            distances,
            payload: Arc::clone(&payload),
        });
        Some(payload)
    }

    fn encode(&self, sequence: u64, payload_type: u8, distances: &[u64]) -> Option<Arc<[u8]>> {
        let primary = self.find(sequence)?;
        let mut blocks = vec![Block {
            payload_type,
            timestamp_offset: 0,
            bytes: &primary.bytes,
        }];
        let mut length = 1 + primary.bytes.len();
        let mut distances: Vec<u64> = [distances, &self.brought].concat();
        distances.sort_unstable();
        distances.dedup();
        for distance in distances.iter().take(MAX_BLOCKS - 1) {
            let Some(frame) = sequence.checked_sub(*distance).and_then(|s| self.find(s)) else {
                continue;
            };
            let offset = primary.timestamp.wrapping_sub(frame.timestamp);
            length += 4 + frame.bytes.len();
            if offset >= 1 << 14 || frame.bytes.len() >= 1 << 10 || length > MAX_PAYLOAD {
                break;
            }
            blocks.push(Block {
                payload_type,
                timestamp_offset: offset as u16,
                bytes: &frame.bytes,
            });
        }
        blocks.reverse();
        let mut payload = Vec::with_capacity(length);
        put_red(&mut payload, &blocks)?;
        Some(payload.into())
    }

    /// Whether a frame is missing, and would stand where its timestamp says.
    fn lacks(&self, sequence: u64, timestamp: u32) -> bool {
        let at = self
            .frames
            .partition_point(|frame| frame.sequence < sequence);
        let Some(before) = at.checked_sub(1).and_then(|i| self.frames.get(i)) else {
            // From before anything was heard of the stream, or long forgotten.
            return false;
        };
        let known = self
            .frames
            .get(at)
            .is_some_and(|frame| frame.sequence == sequence);
        let ahead = timestamp.wrapping_sub(before.timestamp);
        !known && (1..1 << 31).contains(&ahead)
    }

    fn put(&mut self, sequence: u64, timestamp: u32, bytes: Arc<[u8]>) {
        let frame = Frame {
            sequence,
            timestamp,
            bytes,
        };
        let at = self
            .frames
            .partition_point(|frame| frame.sequence < sequence);
        self.frames.insert(at, frame);
        if self.frames.len() > KEPT {
            self.frames.pop_front();
        }
    }

    fn find(&self, sequence: u64) -> Option<&Frame> {
        let found = self
            .frames
            .binary_search_by_key(&sequence, |frame| frame.sequence);
        self.frames.get(found.ok()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::packet::tests::sound as packet;

    fn singly(share: f32) -> Lost {
        Lost {
            share,
            in_bursts: false,
        }
    }

    /// A browser's packet: the frames before and its own, each its number.
    fn red(sequence: u64, redundant: u64) -> MediaPacket {
        let frames: Vec<[u8; 1]> = (sequence - redundant..=sequence)
            .map(|n| [n as u8])
            .collect();
        let blocks: Vec<Block<'_>> = (0..)
            .zip(&frames)
            .map(|(i, bytes)| Block {
                payload_type: 111,
                timestamp_offset: (redundant - i) as u16 * 960,
                bytes,
            })
            .collect();
        let mut payload = Vec::new();
        put_red(&mut payload, &blocks).unwrap();
        packet(Format::Red, sequence, &payload)
    }

    fn numbers(payload: &[u8]) -> Vec<(u8, u16)> {
        let blocks = red_blocks(payload).unwrap();
        blocks
            .iter()
            .map(|b| (b.bytes[0], b.timestamp_offset / 960))
            .collect()
    }

    #[test]
    fn more_is_repeated_the_more_is_lost_and_less_only_when_it_stays_good() {
        let mut losses = Losses::default();
        let mut now = Instant::now();
        let mut after = |losses: &mut Losses, share: f32, seconds: usize| {
            for _ in 0..seconds * 10 {
                now += Duration::from_millis(100);
                losses.observe(now, singly(share));
            }
            losses.repetition().distances
        };
        assert_eq!(losses.repetition().distances, [1]);
        assert_eq!(after(&mut losses, 0.04, 60), [1]);
        assert_eq!(after(&mut losses, 0.10, 5), [1, 2]);
        assert_eq!(after(&mut losses, 0.35, 5), [1, 2, 3, 4]);
        assert_eq!(
            after(&mut losses, 0.20, 120),
            [1, 2, 3, 4],
            "not yet much better"
        );
        assert_eq!(after(&mut losses, 0.0, 1), [1, 2, 3, 4]);
        assert_eq!(after(&mut losses, 0.0, 60), [1]);
        losses.observe(now, singly(f32::NAN));
        losses.observe(now, singly(7.0));
        losses.observe(now, singly(7.0));
        let sent = |losses: &Losses| (losses.repetition().distances, losses.repetition().times);
        assert_eq!(sent(&losses), (&[1, 2, 3, 4][..], 3));
        losses.limit(220_000);
        assert_eq!(
            sent(&losses),
            (&[1, 2, 3, 4][..], 2),
            "half of what is sent"
        );
        losses.limit(125_000);
        assert_eq!(sent(&losses), (&[1, 2, 3, 4][..], 1));
        losses.limit(25_000);
        assert_eq!(sent(&losses), (&[1][..], 1), "at least the last one");
        losses.spare(true);
        assert_eq!(sent(&losses), (&[1][..], 1), "while something is lost");
        let mut clean = Losses::default();
        clean.spare(true);
        assert_eq!(clean.repetition(), Repetition::NONE);
        clean.repeat_at_least(1);
        clean.spare(false);
        assert_eq!(sent(&clean), (&[1][..], 1));
    }

    #[test]
    fn what_is_lost_in_a_row_is_repeated_further_apart() {
        let mut losses = Losses::default();
        let now = Instant::now();
        let mut observe = |share, in_bursts| {
            for n in 0..20 {
                losses.observe(now + n * FALL_EVERY, Lost { share, in_bursts });
            }
            losses.repetition().distances
        };
        assert_eq!(observe(0.1, true), [1, 3]);
        assert_eq!(observe(0.1, false), [1, 2]);
        assert_eq!(observe(0.3, true), [2, 4, 6, 8]);
        assert_eq!(observe(0.3, false), [1, 2, 3, 4]);
        assert_eq!(observe(0.7, true).len(), 8);
        assert_eq!(
            losses.repetition().times,
            1,
            "it would be lost with the first"
        );
    }

    #[test]
    fn a_scene_may_ask_for_more_than_losses_do_and_never_for_less() {
        let mut losses = Losses::default();
        losses.repeat_at_least(2);
        assert_eq!(losses.repetition().distances, [1, 2]);
        let mut now = Instant::now();
        let mut observe = |losses: &mut Losses, share, times| {
            for _ in 0..times {
                now += FALL_EVERY;
                losses.observe(now, singly(share));
            }
        };
        observe(&mut losses, 0.35, 5);
        assert_eq!(losses.repetition().distances, [1, 2, 3, 4]);
        observe(&mut losses, 0.0, 60);
        assert_eq!(losses.repetition().distances, [1, 2]);
        losses.repeat_at_least(99);
        assert_eq!(losses.repetition().distances.len(), 4);
        assert_eq!(losses.repetition().times, 1);
        losses.repeat_at_least(0);
        assert_eq!(losses.repetition().distances, [1]);
    }

    #[test]
    fn a_plain_voice_is_repeated_as_asked() {
        let mut voice = Voice::default();
        for sequence in 100..110 {
            voice.take(&packet(Format::Opus, sequence, &[sequence as u8]));
        }
        let payload = voice.redundant(109, 63, &[1, 3, 5]).unwrap();
        assert_eq!(numbers(&payload), [(104, 5), (106, 3), (108, 1), (109, 0)]);
        assert_eq!(red_blocks(&payload).unwrap()[0].payload_type, 63);
        let again = voice.redundant(109, 63, &[1, 3, 5]).unwrap();
        assert!(Arc::ptr_eq(&payload, &again), "made once for all");
        let other = voice.redundant(109, 111, &[1]).unwrap();
        assert_eq!(numbers(&other), [(108, 1), (109, 0)]);
        assert_eq!(*voice.plain(105).unwrap(), [105]);
    }

    #[test]
    fn what_was_lost_on_the_way_here_is_recovered_once_and_goes_on() {
        let mut voice = Voice::default();
        voice.take(&red(100, 1));
        assert!(voice.plain(99).is_none(), "from before we listened");
        // 101 and 102 are lost.
        let taken = voice.take(&red(103, 2));
        let recovered: Vec<_> = taken
            .recovered
            .iter()
            .map(|p| (p.sequence, p.timestamp))
            .collect();
        assert_eq!(recovered, [(101, 101 * 960), (102, 102 * 960)]);
        assert_eq!(*taken.recovered[0].payload, [101]);
        assert!(!taken.late);
        assert_eq!(
            numbers(&voice.redundant(103, 111, &[1]).unwrap()),
            [(101, 2), (102, 1), (103, 0)],
            "nobody has 101 yet"
        );
        assert!(voice.take(&red(104, 2)).recovered.is_empty());
        assert!(voice.take(&red(102, 1)).late, "it comes after all");
        assert_eq!(
            numbers(&voice.redundant(104, 111, &[2, 4]).unwrap()),
            [(100, 4), (102, 2), (104, 0)]
        );
    }

    #[test]
    fn frames_too_old_or_too_big_are_left_out() {
        let mut voice = Voice::default();
        let mut old = packet(Format::Opus, 1, &[1]);
        old.timestamp = 0u32.wrapping_sub(1 << 14);
        voice.take(&old);
        voice.take(&packet(Format::Opus, 2, &[2; 1_060]));
        let mut new = packet(Format::Opus, 3, &[3]);
        new.timestamp = 0;
        voice.take(&new);
        assert_eq!(numbers(&voice.redundant(3, 111, &[1]).unwrap()), [(3, 0)]);
        assert_eq!(numbers(&voice.redundant(3, 111, &[2]).unwrap()), [(3, 0)]);
    }

    #[test]
    fn nonsense_brings_nothing_and_nothing_grows() {
        let mut voice = Voice::default();
        for sequence in 0..500 {
            voice.take(&packet(Format::Red, sequence, &[0x80, 0xff]));
            voice.take(&packet(Format::Vp8, sequence, &[1]));
        }
        assert!(voice.frames.is_empty());
        for sequence in 0..500 {
            voice.take(&red(sequence + 8, 8));
            voice.redundant(sequence + 8, 111, &[1, 3, 5]);
            voice.redundant(sequence + 8, 111, &[1]);
        }
        assert!(voice.frames.len() <= KEPT && voice.made.len() <= 2);
        // Blocks that claim to be newer than what went before are not believed.
        let mut odd = red(600, 2);
        odd.timestamp = 0;
        assert!(voice.take(&odd).recovered.is_empty());
    }
}
