//! Consecutive numbers with some left out, closed up: sequence numbers of packets, ids of pictures.

use std::collections::VecDeque;

/// Changes between numbers given and left out that are remembered for what comes late; the oldest
/// is forgotten.
const MAX_RUNS: usize = 64;

/// From `from` on, until the next run.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u64,
    /// What is given for `from`; None leaves the numbers out.
    to: Option<u64>,
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Is(u64),
    LeftOut,
    /// From before the start, or long forgotten.
    Before,
}

/// Maps numbers to others without a gap where some were left out. A number that never came keeps
/// its place: it may come late.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    runs: VecDeque<Run>,
    /// The greatest that was given or left out, and one past what it was given as.
    newest: u64,
    next: u64,
}

impl Numbering {
    /// Begin anew: `from` is given as `to`.
    pub(crate) fn start(&mut self, from: u64, to: u64) {
        self.runs.clear();
        self.runs.push_back(Run { from, to: Some(to) });
        self.newest = from;
        self.next = to;
    }

    /// One past the greatest number given.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// What `number` is given as.
    pub(crate) fn place(&mut self, number: u64) -> Number {
        let left_out = self.runs.back().is_some_and(|run| run.to.is_none());
        if left_out && number > self.newest {
            // What lies between the last one left out and this one may still come.
            let from = self.newest + 1;
            self.push(from, Some(self.next));
        }
        let found = self.find(number);
        if let Number::Is(to) = found {
            self.newest = self.newest.max(number);
            self.next = self.next.max(to + 1);
        }
        found
    }

    /// Leave `number` out. `Is`: too late, others were given around its place.
    pub(crate) fn leave_out(&mut self, number: u64) -> Number {
        if self.runs.is_empty() {
            return Number::Before;
        }
        if number < self.newest || (number == self.newest && self.given(number)) {
            return self.find(number);
        }
        let left_out = self.runs.back().is_some_and(|run| run.to.is_none());
        let consecutive = number <= self.newest + 1;
        if !(left_out && consecutive) {
            if left_out {
                let from = self.newest + 1;
                self.push(from, Some(self.next));
            }
            if let Number::Is(to) = self.find(number) {
                self.next = self.next.max(to);
            }
            self.push(number, None);
        }
        self.newest = number;
        Number::LeftOut
    }

    fn given(&self, number: u64) -> bool {
        matches!(self.find(number), Number::Is(to) if to < self.next)
    }

    fn find(&self, number: u64) -> Number {
        match self.runs.iter().rev().find(|run| run.from <= number) {
            None => Number::Before,
            Some(Run { to: None, .. }) => Number::LeftOut,
            Some(Run { from, to: Some(to) }) => Number::Is(to + (number - from)),
        }
    }

    fn push(&mut self, from: u64, to: Option<u64>) {
        if self.runs.back().is_some_and(|run| run.from == from) {
            self.runs.pop_back();
        }
        if self.runs.len() == MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(Run { from, to });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Number::{Before, Is, LeftOut};
    use super::*;

    fn started() -> Numbering {
        let mut numbering = Numbering::default();
        numbering.start(100, 7);
        numbering
    }

    #[test]
    fn what_is_left_out_leaves_no_gap() {
        let mut n = started();
        assert_eq!(n.place(100), Is(7));
        assert_eq!(n.leave_out(101), LeftOut);
        assert_eq!(n.leave_out(102), LeftOut);
        assert_eq!(n.place(103), Is(8));
        assert_eq!(n.place(104), Is(9));
        assert_eq!(n.next(), 10);
        assert_eq!(n.place(102), LeftOut, "once left out, always");
        assert_eq!(n.place(99), Before);
    }

    #[test]
    fn what_is_lost_keeps_its_place() {
        let mut n = started();
        n.place(100);
        assert_eq!(n.leave_out(102), LeftOut);
        // 103 did not come: it could be of either kind.
        assert_eq!(n.place(104), Is(10));
        assert_eq!(n.place(101), Is(8));
        assert_eq!(
            n.leave_out(103),
            Is(9),
            "its place is there: it has to be filled"
        );
    }

    #[test]
    fn what_began_before_the_memory_is_forgotten() {
        let mut n = started();
        for number in 100..1_000 {
            match number % 2 {
                0 => assert_eq!(n.place(number), Is(7 + (number - 100) / 2)),
                _ => assert_eq!(n.leave_out(number), LeftOut),
            }
        }
        assert!(n.runs.len() <= MAX_RUNS);
        assert_eq!(n.place(101), Before);
    }

    proptest! {
        /// In order, numbers given are consecutive; none is given twice in any order.
        #[test]
        fn no_gap_and_none_twice(kept in proptest::collection::vec(any::<bool>(), 1..200), swaps in proptest::collection::vec(0usize..199, 0..20)) {
            let mut order: Vec<usize> = (0..kept.len()).collect();
            let in_order = swaps.is_empty();
            for at in swaps {
                if at + 1 < order.len() {
                    order.swap(at, at + 1);
                }
            }
            let mut n = started();
            let mut given = Vec::new();
            for number in order {
                let number_in = 100 + number as u64;
                if kept[number] {
                    if let Is(to) = n.place(number_in) {
                        given.push(to);
                    }
                } else if let Is(to) = n.leave_out(number_in) {
                    given.push(to);
                }
            }
            if in_order {
                prop_assert!(given.windows(2).all(|pair| pair[1] == pair[0] + 1));
            }
            given.sort_unstable();
            let before = given.len();
            given.dedup();
            prop_assert_eq!(given.len(), before);
        }
    }
}
