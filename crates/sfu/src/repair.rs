//! Retransmissions toward a client: repeated where one alone would be too late, within bounds.
//!
//! That a retransmission is lost too is what stalls pictures on lossy links; sending it more than
//! once when time runs short is the cheapest cure (Hairpin, NSDI 2024; AutoRec, MM 2024).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From this share lost on, a packet that was asked for is sent again once more, or twice more.
const ONCE_MORE: f64 = 0.15;
const TWICE_MORE: f64 = 0.35;
/// From this on, only what was asked for before: its retransmission was lost.
const IF_ASKED_BEFORE: f64 = 0.02;
/// The same number asked for again within this time is of the same packet.
const SAME: Duration = Duration::from_secs(2);
/// Numbers remembered, and looked at of one request; with more they are all forgotten.
const MAX_ASKED: usize = 1_024;
/// Repetitions may take this share of the estimate, of up to so long at once.
const BUDGET: f64 = 0.25;
const BUDGET_OVER: f64 = 0.5;
/// A packet asked for, in bytes, until it is known better.
const PACKET: f64 = 1_200.0;
/// Between a retransmission and its repetition: one short fade does not take both.
pub(crate) const APART: Duration = Duration::from_millis(8);

/// How often a retransmission is repeated.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// When each number was asked for last.
    asked: BTreeMap<u16, Instant>,
    budget: f64,
    filled_at: Option<Instant>,
}

impl Repeats {
    /// How many times more than once to send what a client asks for, given the share that is lost
    /// on the way to it and what that carries (bits a second).
    pub(crate) fn asked(
        &mut self,
        now: Instant,
        numbers: impl Iterator<Item = u16>,
        loss: f64,
        rate: u64,
    ) -> u32 {
        if self.asked.len() > MAX_ASKED {
            self.asked.clear();
        }
        let (mut many, mut before) = (0, false);
        for number in numbers.take(MAX_ASKED) {
            let last = self.asked.insert(number, now);
            before |= last.is_some_and(|at| now < at + SAME);
            many += 1;
        }
        let times = more(loss, before);
        self.fill(now, rate as f64 / 8.0 * BUDGET);
        let cost = PACKET * f64::from(many);
        let times = times.min((self.budget / cost) as u32);
        self.budget -= cost * f64::from(times);
        times
    }

    fn fill(&mut self, now: Instant, bytes_a_second: f64) {
        let most = bytes_a_second * BUDGET_OVER;
        let filled = match self.filled_at {
            Some(at) => bytes_a_second * now.saturating_duration_since(at).as_secs_f64(),
            None => most,
        };
        self.filled_at = Some(now);
        self.budget = (self.budget + filled).min(most);
    }
}

/// How often a packet is sent for each request after the first, where this share is lost.
pub(crate) fn sent_again(loss: f64) -> i32 {
    1 + more(loss, true) as i32
}

fn more(loss: f64, before: bool) -> u32 {
    match loss {
        loss if loss >= TWICE_MORE => 2,
        loss if loss >= ONCE_MORE || (before && loss >= IF_ASKED_BEFORE) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const RATE: u64 = 20_000_000;

    #[test]
    fn the_more_is_lost_the_more_often_it_is_repeated() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        let mut times = |loss| repeats.asked(now, [7, 8].into_iter(), loss, RATE);
        assert_eq!(times(0.01), 0);
        assert_eq!(times(0.05), 1, "asked for before");
        assert_eq!(times(0.01), 0, "once in a while");
        assert_eq!((times(0.2), times(0.5)), (1, 2));
        let mut fresh = Repeats::default();
        assert_eq!(fresh.asked(now, [7].into_iter(), 0.05, RATE), 0);
    }

    #[test]
    fn repetitions_keep_their_budget() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        // An eighth of a second of a quarter of 960 kb/s: 15,000 bytes.
        let ask = |repeats: &mut Repeats, at| repeats.asked(at, 0..5, 0.5, 960_000);
        let mut at = |at| ask(&mut repeats, at);
        assert_eq!((at(now), at(now), at(now)), (2, 0, 0));
        assert_eq!(at(now + Duration::from_secs(1)), 2);
        let mut nacks = Repeats::default();
        assert_eq!(nacks.asked(now, 0..u16::MAX, 0.5, RATE), 0, "a storm");
        nacks.asked(now, 5_000..u16::MAX, 0.5, RATE);
        assert!(nacks.asked.len() <= 2 * MAX_ASKED);
    }
}
