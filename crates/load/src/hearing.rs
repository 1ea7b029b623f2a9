//! What one subscriber heard: which packets of which frames, how often, and how long each took.

use std::collections::BTreeMap;

use crate::media::{Kind, Stamp};
use crate::stage::Stage;
use crate::tally::Tally;

/// A frame is given up when so many later ones have come: 2.5 s of audio.
const OPEN_FRAMES: u32 = 128;

#[derive(Debug, Default)]
pub(crate) struct Hearing {
    by_publisher: BTreeMap<u32, Line>,
}

/// Of one publisher.
#[derive(Debug)]
struct Line {
    kind: Kind,
    /// Frames before were never open.
    first: u32,
    /// Every frame before is settled.
    base: u32,
    /// The frames from `base` on, each at its number modulo the length.
    frames: Box<[Frame; OPEN_FRAMES as usize]>,
    /// Packets of the last frame that was seen.
    usual: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// A bit for each packet.
    seen: u32,
    /// Packets of the whole frame; 0 while nothing of it was seen.
    of: u8,
    layer: u8,
}

impl Hearing {
    /// A packet that arrived `at` nanoseconds after the run's epoch.
    pub(crate) fn note(&mut self, stamp: Stamp, at: u64, stage: &Stage, tally: &mut Tally) {
        let Some(kind) = stage.kind(stamp.publisher) else {
            return;
        };
        let first = stamp.frame.saturating_sub(OPEN_FRAMES / 2);
        let line = self
            .by_publisher
            .entry(stamp.publisher)
            .or_insert_with(|| Line {
                kind,
                first,
                base: first,
                frames: Box::new([Frame::default(); OPEN_FRAMES as usize]),
                usual: stage.shape.usual_packets(kind),
            });
        if stamp.frame < line.base || stamp.index >= 32 {
            return; // given up, and counted as lost then
        }
        line.settle_up_to(
            (stamp.frame + 1).saturating_sub(OPEN_FRAMES),
            |frame, missing| miss(stage, tally, stamp.publisher, frame, kind, missing),
        );
        let medium = tally.of(kind);
        if !line.take(stamp) {
            medium.duplicates += 1;
            return;
        }
        let due = stage.due(stamp.publisher, stamp.frame);
        if !due.is_some_and(|due| stage.in_window(due)) {
            return;
        }
        let delay = at.saturating_sub(stamp.at);
        medium.received += 1;
        medium.late += u64::from(delay > stage.late.as_nanos() as u64);
        medium.delay.note(delay);
    }

    /// How many publishers have been heard.
    pub(crate) fn heard(&self) -> usize {
        self.by_publisher.len()
    }

    /// The end: what has not come by now won't. `expected` are the publishers of the room.
    pub(crate) fn close(
        mut self,
        expected: impl Iterator<Item = (u32, Kind)>,
        stage: &Stage,
        tally: &mut Tally,
    ) {
        for (publisher, kind) in expected {
            if !stage.speaks(publisher) {
                continue;
            }
            let counted = stage.counted(publisher);
            let usual = stage.shape.usual_packets(kind);
            let line = self.by_publisher.remove(&publisher);
            tally.of(kind).subscriptions += 1;
            let Some(mut line) = line else {
                let medium = tally.of(kind);
                medium.unheard += 1;
                medium.lost += usual * counted.len() as u64;
                continue;
            };
            let before = line.first.clamp(counted.start, counted.end) - counted.start;
            tally.of(kind).lost += usual * u64::from(before);
            line.settle_up_to(counted.end, |frame, missing| {
                miss(stage, tally, publisher, frame, kind, missing);
            });
        }
    }
}

fn miss(stage: &Stage, tally: &mut Tally, publisher: u32, frame: u32, kind: Kind, missing: u64) {
    let due = stage.due(publisher, frame);
    if due.is_some_and(|due| stage.in_window(due)) {
        tally.of(kind).lost += missing;
    }
}

impl Line {
    /// Settles the frames before `end` and tells what each misses.
    fn settle_up_to(&mut self, end: u32, mut miss: impl FnMut(u32, u64)) {
        while self.base < end {
            let place = (self.base % OPEN_FRAMES) as usize;
            let frame = std::mem::take(&mut self.frames[place]);
            let whole = match frame.of {
                0 => self.usual,
                of => u64::from(of),
            };
            let missing = whole - u64::from(frame.seen.count_ones()).min(whole);
            if missing > 0 {
                miss(self.base, missing);
            }
            self.base += 1;
        }
    }

    /// False: it was there already.
    fn take(&mut self, stamp: Stamp) -> bool {
        let frame = &mut self.frames[(stamp.frame % OPEN_FRAMES) as usize];
        if frame.of == 0 || frame.layer != stamp.layer {
            // Where layers change, the one that comes last is what is shown.
            *frame = Frame {
                seen: 0,
                of: stamp.of,
                layer: stamp.layer,
            };
            if self.kind == Kind::Video {
                self.usual = u64::from(stamp.of);
            }
        }
        let bit = 1 << stamp.index;
        let new = frame.seen & bit == 0;
        frame.seen |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::tests::stage;

    const MS: u64 = 1_000_000;

    fn audio(frame: u32) -> Stamp {
        Stamp {
            publisher: 0,
            frame,
            layer: 0,
            index: 0,
            of: 1,
            at: u64::from(frame) * 20 * MS,
        }
    }

    fn lost_of(frames: &[u32], sent: u32) -> (u64, u64, u64) {
        let stage = stage(&[(Kind::Audio, 0)]);
        stage.speak(0);
        stage.count(0, 60_000 * MS);
        stage.sent_up_to(0, sent);
        let (mut hearing, mut tally) = (Hearing::default(), Tally::default());
        for &frame in frames {
            let stamp = audio(frame);
            hearing.note(stamp, stamp.at + 5 * MS, &stage, &mut tally);
        }
        hearing.close(stage.in_room(0), &stage, &mut tally);
        let medium = tally.medium(Kind::Audio);
        (medium.received, medium.lost, medium.duplicates)
    }

    #[test]
    fn lost_and_twice_heard_are_told_apart() {
        assert_eq!(lost_of(&[0, 1, 2, 2, 5, 4], 6), (5, 1, 1));
        assert_eq!(lost_of(&[0, 300, 301], 302), (3, 299, 0), "a long hole");
        assert_eq!(lost_of(&[0, 300, 1], 301), (2, 299, 0), "given up");
        assert_eq!(lost_of(&[0, 1], 10), (2, 8, 0), "nothing more came");
        assert_eq!(lost_of(&[], 10), (0, 10, 0), "nothing ever came");
        assert_eq!(lost_of(&[200], 201), (1, 200, 0), "it came late");
    }

    #[test]
    fn only_what_was_due_in_the_measured_time_counts() {
        let stage = stage(&[(Kind::Audio, 0)]);
        stage.speak(0);
        stage.count(100 * MS, 200 * MS);
        stage.sent_up_to(0, 30);
        let (mut hearing, mut tally) = (Hearing::default(), Tally::default());
        for frame in [0, 4, 5, 6, 9, 10, 20] {
            let stamp = audio(frame);
            let delay = if frame == 6 { 151 } else { 5 };
            hearing.note(stamp, stamp.at + delay * MS, &stage, &mut tally);
        }
        hearing.close(stage.in_room(0), &stage, &mut tally);
        let medium = tally.medium(Kind::Audio);
        assert_eq!((medium.received, medium.lost, medium.late), (3, 2, 1));
        assert_eq!((medium.subscriptions, medium.unheard), (1, 0));
    }

    #[test]
    fn a_change_of_layers_is_no_loss() {
        let stage = stage(&[(Kind::Video, 0)]);
        stage.speak(0);
        stage.count(0, 60_000 * MS);
        stage.sent_up_to(0, 3);
        let (mut hearing, mut tally) = (Hearing::default(), Tally::default());
        let mut hear = |frame, layer, index, of| {
            let stamp = Stamp {
                publisher: 0,
                frame,
                layer,
                index,
                of,
                at: 0,
            };
            hearing.note(stamp, 0, &stage, &mut tally);
        };
        hear(0, 0, 0, 1);
        hear(1, 0, 0, 1);
        hear(1, 2, 0, 2);
        hear(1, 2, 1, 2);
        hear(2, 2, 1, 7);
        hearing.close(stage.in_room(0), &stage, &mut tally);
        let medium = tally.medium(Kind::Video);
        assert_eq!((medium.received, medium.lost), (5, 6), "six of the last");
    }
}
