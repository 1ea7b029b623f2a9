//! Which frames have come to their exit: of each the first copy is taken, whatever it holds.

use std::collections::BTreeMap;

use wire::NodeId;

use crate::dedup::Verdict;
use crate::message::Queue;

/// How far behind the newest a frame may come, in serials of its origin.
const WINDOW: u32 = 1 << 16;
const WORDS: usize = WINDOW as usize / 64;
/// Origins remembered; past it the one that was silent longest is forgotten.
const MAX_ORIGINS: usize = 1024;
/// So many ancient frames and no new one: the origin counts anew, under an old epoch by chance.
const PATIENCE: u32 = 64;

/// What came from every origin.
#[derive(Default)]
pub(crate) struct Exit {
    origins: BTreeMap<NodeId, Origin>,
    clock: u64,
}

struct Origin {
    /// The present incarnation's window, and the one's before: its last frames may come late.
    epochs: [Option<Window>; 2],
    used: u64,
}

struct Window {
    epoch: u16,
    highest: u32,
    ancients: u32,
    words: Box<[u64]>,
}

impl Exit {
    /// Take note of a frame that came.
    pub(crate) fn check(&mut self, origin: NodeId, epoch: u16, serial: u32) -> Verdict {
        self.clock += 1;
        if !self.origins.contains_key(&origin) && self.origins.len() == MAX_ORIGINS {
            let oldest = self.origins.iter().min_by_key(|(_, o)| o.used);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                self.origins.remove(&oldest);
            }
        }
        let origin = self.origins.entry(origin).or_insert_with(|| Origin {
            epochs: [None, None],
            used: 0,
        });
        origin.used = self.clock;
        let of = |w: &&mut Window| w.epoch == epoch;
        if let Some(window) = origin.epochs.iter_mut().flatten().find(of) {
            return window.check(serial);
        }
        let mut window = Window {
            epoch,
            highest: serial,
            ancients: 0,
            words: vec![0; WORDS].into(),
        };
        let verdict = window.check(serial);
        origin.epochs.swap(0, 1);
        origin.epochs[0] = Some(window);
        verdict
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "exit_origins",
            length: self.origins.len(),
            capacity: MAX_ORIGINS,
        }
    }
}

impl Window {
    fn check(&mut self, serial: u32) -> Verdict {
        let ahead = serial.wrapping_sub(self.highest);
        if ahead > 0 && ahead < 1 << 31 {
            let fresh = (serial / 64).wrapping_sub(self.highest / 64) & (u32::MAX / 64);
            for i in 0..fresh.min(WORDS as u32) {
                self.words[word(serial.wrapping_sub(i * 64))] = 0;
            }
            self.highest = serial;
        } else if self.highest.wrapping_sub(serial) >= WINDOW - 64 {
            self.ancients += 1;
            if self.ancients < PATIENCE {
                return Verdict::Ancient;
            }
            self.words.fill(0);
            self.highest = serial;
        }
        let (word, bit) = (&mut self.words[word(serial)], 1 << (serial % 64));
        if *word & bit != 0 {
            return Verdict::Duplicate;
        }
        *word |= bit;
        self.ancients = 0;
        Verdict::First
    }
}

fn word(serial: u32) -> usize {
    serial as usize / 64 % WORDS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const ORIGIN: NodeId = NodeId(7);

    #[test]
    fn each_frame_once_in_any_order_over_the_wrap() {
        let mut exit = Exit::default();
        for base in [0u32, u32::MAX - 500] {
            let epoch = (base >> 16) as u16;
            for i in (0..1_000).rev() {
                let serial = base.wrapping_add(i);
                assert_eq!(
                    exit.check(ORIGIN, epoch, serial),
                    Verdict::First,
                    "{serial}"
                );
            }
            for i in 0..1_000 {
                let serial = base.wrapping_add(i);
                assert_eq!(exit.check(ORIGIN, epoch, serial), Verdict::Duplicate);
            }
        }
    }

    #[test]
    fn a_restarted_origin_counts_anew_and_the_one_before_is_still_known() {
        let mut exit = Exit::default();
        assert_eq!(exit.check(ORIGIN, 1, 9_000), Verdict::First);
        assert_eq!(exit.check(ORIGIN, 2, 0), Verdict::First);
        assert_eq!(exit.check(ORIGIN, 1, 9_000), Verdict::Duplicate);
        assert_eq!(exit.check(ORIGIN, 2, 0), Verdict::Duplicate);
        assert_eq!(exit.check(NodeId(8), 2, 0), Verdict::First);
        assert_eq!(exit.check(ORIGIN, 3, 0), Verdict::First);
        assert_eq!(exit.check(ORIGIN, 3, 1 << 20), Verdict::First);
        assert_eq!(exit.check(ORIGIN, 3, 1), Verdict::Ancient);
    }

    #[test]
    fn a_restart_under_the_same_epoch_is_believed_in_the_end() {
        let mut exit = Exit::default();
        exit.check(ORIGIN, 1, 1 << 20);
        let taken = (0..200).filter(|i| exit.check(ORIGIN, 1, *i) == Verdict::First);
        assert_eq!(taken.count(), 200 - 63);
    }

    #[test]
    fn origins_are_bounded() {
        let mut exit = Exit::default();
        for node in 1..5_000 {
            exit.check(NodeId(node), 1, 1);
            exit.check(NodeId(1), 1, 1);
        }
        assert_eq!(exit.origins.len(), MAX_ORIGINS);
        assert_eq!(exit.check(NodeId(1), 1, 1), Verdict::Duplicate);
    }

    proptest! {
        #[test]
        fn as_a_set_would(start: u32, steps in prop::collection::vec(-600i32..700, 1..400)) {
            let mut exit = Exit::default();
            let mut seen = HashSet::new();
            let mut at = start;
            for step in steps {
                at = at.wrapping_add_signed(step);
                let fresh = seen.insert(at);
                prop_assert_eq!(exit.check(ORIGIN, 1, at) == Verdict::First, fresh);
            }
        }
    }
}
