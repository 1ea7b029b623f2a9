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
/// Where much is lost it is asked for so many times more, by us: of half lost 1.6 % of the packets are
/// lost with all that str0m has sent again, so that every sixth of a large picture's frames broke. libwebrtc
/// sends nothing again within what it takes for a round trip, which varies: these are further apart.
const MORE: u32 = 8;
const FURTHER: f64 = 1.5;
const MARGIN: Duration = Duration::from_millis(5);
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// The way from the publisher.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WayUp {
    /// As str0m knows it.
    pub(crate) round_trip: Option<Duration>,
    /// What str0m asks for in vain is worth asking for again.
    pub(crate) lossy: bool,
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
    /// By us.
    asked: u32,
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
                    asked: 0,
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

    /// What str0m has asked for to no end, and is to be asked for now.
    pub(crate) fn ask(&mut self, now: Instant, way: WayUp) -> Vec<u64> {
        let newest = self.newest.unwrap_or(0);
        let due = |m: &&mut Missing| {
            let after = way.until(m.asked);
            newest - m.sequence <= WINDOW
                && m.asked < way.more()
                && now.saturating_duration_since(m.since) >= after
        };
        let due = self.missing.iter_mut().filter(due);
        due.map(|m| {
            m.asked += 1;
            m.sequence
        })
        .collect()
    }

    /// Whether something will not come any more.
    pub(crate) fn given_up(&self, now: Instant, way: WayUp) -> bool {
        let passed = |sequence| self.newest.is_some_and(|newest| newest - sequence > WINDOW);
        let waits = way.until(way.more());
        self.missing
            .front()
            .is_some_and(|m| passed(m.sequence) || now.saturating_duration_since(m.since) > waits)
    }
}

impl WayUp {
    /// From when a packet is missing until so many requests of ours have had their time.
    fn until(&self, asked: u32) -> Duration {
        let round_trip = self.round_trip.unwrap_or(ROUND_TRIP);
        let further = round_trip.mul_f64(FURTHER) + MARGIN;
        REQUESTS * (round_trip + MARGIN) + asked * further
    }

    /// Requests of ours for a packet.
    fn more(&self) -> u32 {
        if self.lossy { MORE } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const WHILE: Duration = Duration::from_millis(525);
    const UNKNOWN: WayUp = WayUp {
        round_trip: None,
        lossy: false,
    };

    fn of(round_trip: Duration) -> WayUp {
        WayUp {
            round_trip: Some(round_trip),
            lossy: false,
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
    fn where_much_is_lost_it_is_asked_for_longer() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut found = holes(now, &[7, 9]);
        found.take(now + ms(1), 11, false);
        let near = of(ms(35));
        let lossy = WayUp {
            lossy: true,
            ..near
        };
        let mut asked = vec![];
        for at in 0..700 {
            assert!(found.ask(now + ms(at), near).is_empty());
            for sequence in found.ask(now + ms(at), lossy) {
                asked.push((at, sequence));
            }
            if at == 250 {
                found.take(now + ms(at), 8, false);
            }
            let first = if at < 250 { 0 } else { 1 };
            assert_eq!(found.given_up(now + ms(at), near), at > 200 + first);
            assert_eq!(found.given_up(now + ms(at), lossy), at > 660 + first);
        }
        let of_10 = [201, 259, 316, 374, 431, 489, 546, 604].map(|at| (at, 10));
        let expected = [&[(200, 8)], &of_10[..]].concat();
        assert_eq!(asked, expected);
        found.take(now + ms(700), 200, false);
        let passed = found.ask(now + ms(1_000), lossy);
        assert_eq!(passed.first(), Some(&100), "none before is taken");
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
