//! What never came of a picture's stream on the way up: once it is not asked for any more, only a
//! keyframe helps, and viewers' clients take seconds to ask for one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that are waited for at most; past it the oldest are forgotten.
const MAX_MISSING: usize = 256;
/// str0m takes nothing that is further behind the newest than this, sent again or not.
const WINDOW: u64 = 100;
/// str0m asks for a packet so many times, a round trip and a little more apart, or this long where
/// it knows none.
const REQUESTS: u32 = 5;
const MARGIN: Duration = Duration::from_millis(5);
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    newest: Option<u64>,
    /// By sequence, and since when each is missing.
    missing: VecDeque<(u64, Instant)>,
}

impl Holes {
    /// Take note of a packet. What is missing before a keyframe does not matter any more.
    pub(crate) fn take(&mut self, now: Instant, sequence: u64, keyframe: bool) {
        let newest = self.newest.get_or_insert(sequence);
        if sequence > *newest {
            let first = (*newest + 1).max(sequence.saturating_sub(MAX_MISSING as u64));
            self.missing.extend((first..sequence).map(|s| (s, now)));
            let excess = self.missing.len().saturating_sub(MAX_MISSING);
            self.missing.drain(..excess);
            *newest = sequence;
        } else if let Ok(at) = self.missing.binary_search_by_key(&sequence, |(s, _)| *s) {
            let gap = self.missing.remove(at).map(|(_, since)| since);
            // What is sent again goes in order, a burst no quicker than the publisher's pacer has it.
            let next = self.missing.iter_mut().skip(at);
            next.take_while(|(_, since)| Some(*since) == gap)
                .for_each(|(_, since)| *since = now);
        }
        if keyframe {
            self.missing.retain(|(s, _)| *s > sequence);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether something will not come any more, where str0m knows this round trip.
    pub(crate) fn given_up(&self, now: Instant, round_trip: Option<Duration>) -> bool {
        let apart = round_trip.unwrap_or(ROUND_TRIP) + MARGIN;
        let passed = |sequence| self.newest.is_some_and(|newest| newest - sequence > WINDOW);
        self.missing.front().is_some_and(|(sequence, since)| {
            passed(*sequence) || now.saturating_duration_since(*since) > REQUESTS * apart
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const WHILE: Duration = Duration::from_millis(525);

    fn holes(now: Instant, sequences: &[u64]) -> Holes {
        let mut holes = Holes::default();
        for sequence in sequences {
            holes.take(now, *sequence, false);
        }
        holes
    }

    #[test]
    fn a_hole_is_given_up_when_nobody_asks_for_it_any_more() {
        let now = Instant::now();
        let found = holes(now, &[7, 9, 10]);
        assert!(!found.given_up(now + WHILE, None));
        let after = now + WHILE + MARGIN;
        assert!(found.given_up(after, None));
        let [near, far] = [20, 300].map(Duration::from_millis).map(Some);
        assert!(found.given_up(now + WHILE / 2, near));
        assert!(!found.given_up(after, far));
        assert!(found.given_up(now + 3 * WHILE, far));
    }

    #[test]
    fn what_came_late_and_what_a_keyframe_follows_is_no_hole() {
        let now = Instant::now();
        let after = now + 2 * WHILE;
        assert!(!holes(now, &[7, 9, 10, 8]).given_up(after, None));
        assert!(!holes(now, &[9, 7, 8]).given_up(after, None), "before all");
        let mut found = holes(now, &[7, 9, 12]);
        found.take(now, 10, true);
        assert!(found.given_up(after, None), "11 is missing");
        found.take(now, 13, true);
        assert!(!found.given_up(after, None));
    }

    #[test]
    fn what_is_sent_again_in_a_long_row_has_its_time() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 20]);
        let ms = Duration::from_millis;
        for (after, sequence) in [(400, 9), (800, 10), (1_200, 11)] {
            found.take(now + ms(after), sequence, false);
        }
        assert!(found.given_up(now + ms(1_200), None), "8 was passed by");
        found.take(now + ms(1_200), 8, false);
        assert!(!found.given_up(now + ms(1_200), None));
        assert!(!found.given_up(now + ms(1_700), None));
        assert!(found.given_up(now + ms(1_800), None));
    }

    #[test]
    fn what_is_too_far_behind_is_given_up_at_once() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 108]);
        assert!(!found.given_up(now, None));
        found.take(now, 109, false);
        assert!(found.given_up(now, None), "8");
        found.take(now, 8, false);
        assert!(!found.given_up(now, None));
    }

    #[test]
    fn a_jump_is_bounded() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 1_000_000]);
        assert_eq!(found.missing.len(), MAX_MISSING);
        found.take(now, 1_000_100, false);
        assert_eq!(found.missing.len(), MAX_MISSING);
        assert!(found.missing.iter().is_sorted());
    }
}
