//! What a client that loses much of what it sends is asked for, again and again.
//!
//! Requests are lost, and so is what they bring. libwebrtc sends a packet again for the first request that comes
//! once what it takes for a round trip has passed since it last did so; when that is only it knows. So it
//! is asked every few milliseconds for all that is missing. Who sends a packet again for each request is
//! found out by that, and asked at long intervals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::StreamId;

/// Requests are so far apart; in round trips toward who answers each.
const EVERY: Duration = Duration::from_millis(10);
const ROUND_TRIPS: f64 = 1.5;
/// Of so many that came for a request, or once more for another, so large a share may be such.
const COUNTED: u32 = 40;
const MAX_AGAIN: f32 = 0.4;
/// Who answers each request is taken for such so long.
const TAKEN_FOR: Duration = Duration::from_secs(10);
/// What came for a request is remembered while so many more come.
const REMEMBERED: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    streams: Vec<(StreamId, Vec<Lack>)>,
    asked_at: Option<Instant>,
    /// Sequence numbers as they are sent.
    filled: VecDeque<u16>,
    came: u32,
    came_again: u32,
    answers_each_until: Option<Instant>,
}

/// A packet that is worth asking for until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) sequence: u64,
    pub(crate) until: Instant,
}

impl Lacking {
    /// All that a stream lacks, in order.
    pub(crate) fn set(&mut self, stream: StreamId, lacks: Vec<Lack>) {
        self.streams.retain(|(id, _)| *id != stream);
        if !lacks.is_empty() {
            self.streams.push((stream, lacks));
        }
    }

    /// A packet of a stream came, for the first time or sent again.
    pub(crate) fn came(&mut self, now: Instant, stream: StreamId, sequence: u64) {
        let lacks = self.streams.iter_mut().find(|(id, _)| *id == stream);
        let Some((_, lacks)) = lacks else { return };
        let before = lacks.len();
        lacks.retain(|lack| lack.sequence != sequence);
        if lacks.len() == before {
            return;
        }
        if self.filled.len() == REMEMBERED {
            self.filled.pop_front();
        }
        self.filled.push_back(sequence as u16);
        self.count(now, false);
    }

    /// A packet came that was sent again, with the sequence number that it had at first.
    pub(crate) fn came_again(&mut self, now: Instant, sequence: u16) {
        if self.filled.contains(&sequence) {
            self.count(now, true);
        }
    }

    fn count(&mut self, now: Instant, again: bool) {
        self.came += 1;
        self.came_again += u32::from(again);
        if self.came == COUNTED {
            if self.came_again as f32 > MAX_AGAIN * COUNTED as f32 {
                self.answers_each_until = Some(now + TAKEN_FOR);
            }
            (self.came, self.came_again) = (0, 0);
        }
    }

    /// What is to be asked for now, of each stream in order.
    pub(crate) fn due(&mut self, now: Instant, round_trip: Duration) -> Vec<(StreamId, Vec<u64>)> {
        if self.deadline(now, round_trip).is_none_or(|at| now < at) {
            return vec![];
        }
        for (_, lacks) in &mut self.streams {
            lacks.retain(|lack| now < lack.until);
        }
        self.streams.retain(|(_, lacks)| !lacks.is_empty());
        if !self.streams.is_empty() {
            self.asked_at = Some(now);
        }
        let sequences = |lacks: &Vec<Lack>| lacks.iter().map(|lack| lack.sequence).collect();
        self.streams
            .iter()
            .map(|(stream, lacks)| (*stream, sequences(lacks)))
            .collect()
    }

    /// When the next request is due.
    pub(crate) fn deadline(&self, now: Instant, round_trip: Duration) -> Option<Instant> {
        (!self.streams.is_empty()).then_some(())?;
        let answers_each = self.answers_each_until.is_some_and(|until| now < until);
        let every = match answers_each {
            true => round_trip.mul_f64(ROUND_TRIPS).max(EVERY),
            false => EVERY,
        };
        Some(self.asked_at.map_or(now, |at| at + every))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const NEAR: Duration = Duration::from_millis(40);
    const ONE: StreamId = StreamId(1);

    fn lack(sequence: u64, until: Instant) -> Lack {
        Lack { sequence, until }
    }

    /// When it was asked in a second, for how many, in ms; a packet is lost each 50 ms, and what is asked for comes a
    /// round trip later, for each request or once.
    fn asked(lacking: &mut Lacking, start: Instant, answers_each: bool) -> Vec<(u64, usize)> {
        let ms = Duration::from_millis;
        let mut requests: Vec<(u64, Vec<u64>)> = vec![];
        let mut missing: Vec<u64> = vec![];
        for at in 0..1_000 {
            let now = start + ms(at);
            if at % 50 == 0 {
                missing.push(70_000 + at);
            }
            for (_, asked) in requests.iter().filter(|(then, _)| then + 40 == at) {
                for sequence in asked {
                    if missing.contains(sequence) {
                        missing.retain(|m| m != sequence);
                        lacking.came(now, ONE, *sequence);
                    } else if answers_each {
                        lacking.came_again(now, *sequence as u16);
                    }
                }
            }
            let until = start + ms(2_000);
            lacking.set(ONE, missing.iter().map(|m| lack(*m, until)).collect());
            for (stream, sequences) in lacking.due(now, NEAR) {
                assert_eq!(stream, ONE);
                requests.push((at, sequences));
            }
        }
        requests.into_iter().map(|(at, s)| (at, s.len())).collect()
    }

    #[test]
    fn it_is_asked_at_once_and_each_ten_ms_until_it_came() {
        let start = Instant::now();
        let times = asked(&mut Lacking::default(), start, false);
        let expected = (0..20).flat_map(|n| [0, 10, 20, 30].map(|at| (50 * n + at, 1)));
        assert_eq!(times, expected.collect::<Vec<_>>());
    }

    #[test]
    fn who_answers_each_request_is_asked_seldom_for_a_while() {
        let start = Instant::now();
        let mut lacking = Lacking::default();
        let at_first = asked(&mut lacking, start, true).len();
        assert!(at_first < 60, "{at_first}");
        let then = asked(&mut lacking, start + TAKEN_FOR / 2, true);
        assert!(
            then.windows(2).all(|two| two[1].0 - two[0].0 >= 60),
            "{then:?}"
        );
        let again = asked(&mut lacking, start + 2 * TAKEN_FOR, true);
        assert_eq!(again[..4], [0, 10, 20, 30].map(|at| (at, 1)));
    }

    #[test]
    fn what_is_too_old_is_asked_for_no_more() {
        let now = Instant::now();
        let mut lacking = Lacking::default();
        lacking.set(ONE, vec![lack(7, now + NEAR), lack(9, now + 2 * NEAR)]);
        assert_eq!(lacking.due(now, NEAR), [(ONE, vec![7, 9])]);
        assert_eq!(lacking.due(now, NEAR), []);
        assert_eq!(lacking.due(now + NEAR, NEAR), [(ONE, vec![9])]);
        assert_eq!(lacking.due(now + 2 * NEAR, NEAR), []);
        assert_eq!(lacking.deadline(now + 2 * NEAR, NEAR), None);
    }
}
