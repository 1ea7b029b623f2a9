//! What never came of a picture's stream on the way up: once it is not asked for any more, only a
//! keyframe helps, and viewers' clients take seconds to ask for one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::lacking::Lack;
use crate::uplink::{LONG_OVER, OVER};

/// Packets that are waited for at most; past it the oldest are forgotten.
const MAX_MISSING: usize = 256;
/// str0m takes nothing that is further behind the newest than this, sent again or not.
const WINDOW: u64 = 100;
/// str0m asks for a packet so many times, a round trip and a little more apart, or this long where
/// it knows none.
const REQUESTS: u32 = 5;
/// Shares of what is sent that are lost.
const MUCH_LOST: f32 = 0.2;
const MOST_LOST: f32 = 0.25;
const MARGIN: Duration = Duration::from_millis(5);
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// The way from the publisher.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WayUp {
    /// As str0m knows it.
    pub(crate) round_trip: Option<Duration>,
    /// The share of what is sent that is lost.
    pub(crate) lost: f32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    newest: Option<u64>,
    /// By sequence.
    missing: VecDeque<Missing>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    since: Instant,
}

impl Holes {
    /// Take note of a packet. What is missing before a keyframe does not matter any more.
    pub(crate) fn take(&mut self, now: Instant, sequence: u64, keyframe: bool) {
        let newest = self.newest.get_or_insert(sequence);
        if sequence > *newest {
            let first = (*newest + 1).max(sequence.saturating_sub(MAX_MISSING as u64));
            self.missing
                .extend((first..sequence).map(|sequence| Missing {
                    sequence,
                    since: now,
                }));
            let excess = self.missing.len().saturating_sub(MAX_MISSING);
            self.missing.drain(..excess);
            *newest = sequence;
        } else if let Ok(at) = self.missing.binary_search_by_key(&sequence, |m| m.sequence) {
            let gap = self.missing.remove(at).map(|m| m.since);
            // What is sent again goes in order, a burst no quicker than the publisher's pacer has it.
            let next = self.missing.iter_mut().skip(at);
            next.take_while(|m| Some(m.since) == gap)
                .for_each(|m| m.since = now);
        }
        if keyframe {
            self.missing.retain(|m| m.sequence > sequence);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// What is worth asking for where str0m's requests are not enough.
    pub(crate) fn lacks(&self, now: Instant, way: WayUp) -> Vec<Lack> {
        let newest = self.newest.unwrap_or(0);
        let worth = |m: &&Missing| way.lossy() && newest - m.sequence <= WINDOW;
        let lack = |m: &Missing| Lack {
            sequence: m.sequence,
            until: m.since + way.over(),
        };
        let lacks = self.missing.iter().filter(worth).map(lack);
        lacks.filter(|lack| now < lack.until).collect()
    }

    /// Whether something will not come any more.
    pub(crate) fn given_up(&self, now: Instant, way: WayUp) -> bool {
        let passed = |sequence| self.newest.is_some_and(|newest| newest - sequence > WINDOW);
        let waits = way.waits();
        self.missing
            .front()
            .is_some_and(|m| passed(m.sequence) || now.saturating_duration_since(m.since) > waits)
    }
}

impl WayUp {
    /// So much is lost that what str0m asks for is not enough.
    pub(crate) fn lossy(&self) -> bool {
        self.lost >= MUCH_LOST
    }

    /// The client is told that a packet lost by chance came after so long, and asked for it so long.
    pub(crate) fn over(&self) -> Duration {
        match self.lost >= MOST_LOST {
            true => LONG_OVER,
            false => OVER,
        }
    }

    /// From when a packet is missing until it will not come any more.
    fn waits(&self) -> Duration {
        let round_trip = self.round_trip.unwrap_or(ROUND_TRIP);
        let told = self.over() + round_trip;
        match self.lossy() {
            true => told,
            false => told.min(REQUESTS * (round_trip + MARGIN)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const WHILE: Duration = Duration::from_millis(525);
    const UNKNOWN: WayUp = WayUp {
        round_trip: None,
        lost: 0.0,
    };

    fn of(round_trip: Duration) -> WayUp {
        WayUp {
            round_trip: Some(round_trip),
            lost: 0.0,
        }
    }

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
        assert!(!found.given_up(now + WHILE, UNKNOWN));
        let after = now + WHILE + MARGIN;
        assert!(found.given_up(after, UNKNOWN));
        let [near, far] = [20, 300].map(Duration::from_millis).map(of);
        assert!(found.given_up(now + WHILE / 2, near));
        assert!(!found.given_up(after, far));
        assert!(found.given_up(now + 3 * WHILE, far));
    }

    #[test]
    fn where_much_is_lost_it_is_asked_for_until_its_client_is_told_that_it_came() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut found = holes(now, &[7, 9]);
        found.take(now + ms(1), 11, false);
        let near = of(ms(35));
        let lossy = WayUp { lost: 0.2, ..near };
        assert_eq!(found.lacks(now, near), []);
        let [eight, ten] = [(8, 600), (10, 601)].map(|(sequence, until)| Lack {
            sequence,
            until: now + ms(until),
        });
        assert_eq!(found.lacks(now + ms(599), lossy), [eight, ten]);
        assert_eq!(found.lacks(now + ms(600), lossy), [ten]);
        assert_eq!(found.lacks(now + ms(601), lossy), []);
        for at in 0..800 {
            assert_eq!(found.given_up(now + ms(at), near), at > 200);
            assert_eq!(found.given_up(now + ms(at), lossy), at > 635);
        }
        found.take(now + ms(300), 110, false);
        let passed = found.lacks(now + ms(300), lossy);
        assert_eq!(passed.first(), Some(&ten), "eight is not taken any more");
    }

    #[test]
    fn what_came_late_and_what_a_keyframe_follows_is_no_hole() {
        let now = Instant::now();
        let after = now + 2 * WHILE;
        assert!(!holes(now, &[7, 9, 10, 8]).given_up(after, UNKNOWN));
        assert!(
            !holes(now, &[9, 7, 8]).given_up(after, UNKNOWN),
            "before all"
        );
        let mut found = holes(now, &[7, 9, 12]);
        found.take(now, 10, true);
        assert!(found.given_up(after, UNKNOWN), "11 is missing");
        found.take(now, 13, true);
        assert!(!found.given_up(after, UNKNOWN));
    }

    #[test]
    fn what_is_sent_again_in_a_long_row_has_its_time() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 20]);
        let ms = Duration::from_millis;
        for (after, sequence) in [(400, 9), (800, 10), (1_200, 11)] {
            found.take(now + ms(after), sequence, false);
        }
        assert!(found.given_up(now + ms(1_200), UNKNOWN), "8 was passed by");
        found.take(now + ms(1_200), 8, false);
        assert!(!found.given_up(now + ms(1_200), UNKNOWN));
        assert!(!found.given_up(now + ms(1_700), UNKNOWN));
        assert!(found.given_up(now + ms(1_800), UNKNOWN));
    }

    #[test]
    fn what_is_too_far_behind_is_given_up_at_once() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 108]);
        assert!(!found.given_up(now, UNKNOWN));
        found.take(now, 109, false);
        assert!(found.given_up(now, UNKNOWN), "8");
        found.take(now, 8, false);
        assert!(!found.given_up(now, UNKNOWN));
    }

    #[test]
    fn a_jump_is_bounded() {
        let now = Instant::now();
        let mut found = holes(now, &[7, 1_000_000]);
        assert_eq!(found.missing.len(), MAX_MISSING);
        found.take(now, 1_000_100, false);
        assert_eq!(found.missing.len(), MAX_MISSING);
        assert!(found.missing.iter().is_sorted_by_key(|m| m.sequence));
    }
}
