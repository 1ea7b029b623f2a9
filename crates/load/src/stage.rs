//! What all threads of a run share: who publishes what, when it began, and what is being counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::media::{Kind, Shape};

const NEVER: u64 = u64::MAX;

/// Times are nanoseconds since `epoch`.
pub(crate) struct Stage {
    pub(crate) epoch: Instant,
    pub(crate) shape: Shape,
    publishers: Vec<Publisher>,
    /// The numbers of each room's publishers.
    rooms: BTreeMap<u32, Vec<u32>>,
    speak_at: AtomicU64,
    from: AtomicU64,
    to: AtomicU64,
    /// After this what is late is counted as such.
    pub(crate) late: Duration,
    /// All but the first client may come in from then on.
    admit_at: AtomicU64,
    end: AtomicBool,
}

struct Publisher {
    kind: Kind,
    /// Nanoseconds from one frame to the next.
    frame: u64,
    /// Of a frame, by which it begins later: publishers do not speak in step.
    offset: u64,
    /// The number of its next frame.
    next: AtomicU32,
}

impl Stage {
    /// `publishers` are what each publishes and in which room.
    pub(crate) fn new(
        epoch: Instant,
        shape: Shape,
        publishers: &[(Kind, u32)],
        late: Duration,
    ) -> Stage {
        let count = publishers.len().max(1) as u64;
        let mut rooms = BTreeMap::<u32, Vec<u32>>::new();
        for (number, (_, room)) in (0..).zip(publishers) {
            rooms.entry(*room).or_default().push(number);
        }
        let publishers = (0_u64..).zip(publishers).map(|(index, &(kind, _))| {
            let frame = shape.frame(kind).as_nanos() as u64;
            Publisher {
                kind,
                frame,
                offset: frame * index / count,
                next: AtomicU32::new(0),
            }
        });
        Stage {
            epoch,
            publishers: publishers.collect(),
            rooms,
            shape,
            speak_at: AtomicU64::new(NEVER),
            from: AtomicU64::new(NEVER),
            to: AtomicU64::new(NEVER),
            late,
            admit_at: AtomicU64::new(NEVER),
            end: AtomicBool::new(false),
        }
    }

    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    pub(crate) fn admit(&self, at: u64) {
        self.admit_at.store(at, Relaxed);
    }

    pub(crate) fn admit_at(&self) -> Option<u64> {
        Some(self.admit_at.load(Relaxed)).filter(|&at| at != NEVER)
    }

    /// Everyone begins to speak.
    pub(crate) fn speak(&self, at: u64) {
        self.speak_at.store(at, Relaxed);
    }

    pub(crate) fn is_speaking(&self) -> bool {
        self.speak_at.load(Relaxed) != NEVER
    }

    /// Frames due in this time are counted.
    pub(crate) fn count(&self, from: u64, to: u64) {
        self.to.store(to, Relaxed);
        self.from.store(from, Relaxed);
    }

    /// Nothing due after now is counted. Returns how long was counted.
    pub(crate) fn cut_short(&self, now: u64) -> Duration {
        let to = self.to.load(Relaxed).min(now);
        self.to.store(to, Relaxed);
        Duration::from_nanos(to.saturating_sub(self.from.load(Relaxed)))
    }

    pub(crate) fn finish(&self) {
        self.end.store(true, Relaxed);
    }

    pub(crate) fn finished(&self) -> bool {
        self.end.load(Relaxed)
    }

    pub(crate) fn in_window(&self, at: u64) -> bool {
        at >= self.from.load(Relaxed) && at < self.to.load(Relaxed)
    }

    /// When a frame is due; None before anyone speaks, and of nobody.
    pub(crate) fn due(&self, publisher: u32, frame: u32) -> Option<u64> {
        let start = self.speak_at.load(Relaxed);
        let one = self.publishers.get(publisher as usize)?;
        (start != NEVER).then(|| start + one.offset + one.frame * u64::from(frame))
    }

    pub(crate) fn sent_up_to(&self, publisher: u32, next: u32) {
        if let Some(one) = self.publishers.get(publisher as usize) {
            one.next.store(next, Relaxed);
        }
    }

    /// The frames of a publisher that were sent and are counted.
    pub(crate) fn counted(&self, publisher: u32) -> std::ops::Range<u32> {
        let start = self.speak_at.load(Relaxed);
        let Some(one) = self.publishers.get(publisher as usize) else {
            return 0..0;
        };
        if start == NEVER {
            return 0..0;
        }
        let first_due_at = |at: u64| {
            let frames = at.saturating_sub(start + one.offset).div_ceil(one.frame);
            u32::try_from(frames).unwrap_or(u32::MAX)
        };
        let next = one.next.load(Relaxed);
        let from = first_due_at(self.from.load(Relaxed)).min(next);
        from..first_due_at(self.to.load(Relaxed)).clamp(from, next.max(from))
    }

    pub(crate) fn kind(&self, publisher: u32) -> Option<Kind> {
        Some(self.publishers.get(publisher as usize)?.kind)
    }

    /// The publishers of a room.
    pub(crate) fn in_room(&self, room: u32) -> impl Iterator<Item = (u32, Kind)> + '_ {
        let here = self.rooms.get(&room).into_iter().flatten();
        here.map(|&number| (number, self.publishers[number as usize].kind))
    }

    /// How many publishers of a room have sent anything.
    pub(crate) fn speaking(&self, room: u32) -> usize {
        self.in_room(room).filter(|one| self.speaks(one.0)).count()
    }

    /// Whether a publisher has sent anything yet.
    pub(crate) fn speaks(&self, publisher: u32) -> bool {
        let one = self.publishers.get(publisher as usize);
        one.is_some_and(|one| one.next.load(Relaxed) > 0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    pub(crate) fn stage(publishers: &[(Kind, u32)]) -> Stage {
        let shape = Shape {
            payload_bytes: 100,
            data_bytes: 100,
            data_per_s: 10.0,
            reliable: false,
            layers: Shape::layers(1),
        };
        let late = Duration::from_millis(150);
        #[allow(clippy::disallowed_methods, reason = "an epoch, whichever")]
        Stage::new(Instant::now(), shape, publishers, late)
    }

    #[test]
    fn frames_are_due_on_time_whatever_the_load() {
        let stage = stage(&[(Kind::Audio, 0), (Kind::Audio, 0)]);
        assert_eq!(stage.due(1, 10), None, "nobody speaks");
        stage.speak(5 * MS);
        assert_eq!(stage.due(1, 10), Some((5 + 10 + 200) * MS));
        assert_eq!(stage.due(2, 0), None, "there is no such publisher");
    }

    #[test]
    fn what_was_not_sent_is_not_missed() {
        let stage = stage(&[(Kind::Audio, 0)]);
        stage.speak(0);
        stage.count(100 * MS, 200 * MS);
        assert_eq!(stage.counted(0), 0..0, "it has sent nothing");
        stage.sent_up_to(0, 8);
        assert_eq!(stage.counted(0), 5..8, "it died");
        stage.sent_up_to(0, 50);
        assert_eq!(stage.counted(0), 5..10);
        assert_eq!(stage.cut_short(140 * MS), Duration::from_millis(40));
        assert_eq!(stage.counted(0), 5..7);
    }
}
