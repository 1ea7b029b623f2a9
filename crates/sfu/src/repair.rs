//! Retransmissions toward a client: repeated where one alone would be too late, spread out, bounded.
//!
//! That a retransmission is lost too is what stalls pictures on lossy links; sending it more than
//! once when time runs short is the cheapest cure (Hairpin, NSDI 2024; AutoRec, MM 2024).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::values::Transmit;

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

/// Retransmissions may leave so many bytes at once, and wait for so long and in such numbers.
const AT_ONCE: f64 = 3_000.0;
const MAX_WAIT: Duration = Duration::from_millis(400);
const MAX_WAITING: usize = 256;

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
        let times = match loss {
            loss if loss >= TWICE_MORE => 2,
            loss if loss >= ONCE_MORE || (before && loss >= IF_ASKED_BEFORE) => 1,
            _ => 0,
        };
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

/// Retransmissions that wait, so that a burst of them fits through the way.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    waiting: VecDeque<Waiting>,
    /// Bytes that may leave at once.
    room: f64,
    /// As of when.
    at: Option<Instant>,
    rate: f64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    transmit: Transmit,
    number: Option<u16>,
}

impl Spread {
    /// Take a retransmission. With too many waiting, the oldest is dropped: it is late anyway.
    pub(crate) fn push(&mut self, now: Instant, transmit: Transmit) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            since: now,
            transmit,
            number: None,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The transport-wide number of the one that was pushed last.
    pub(crate) fn name(&mut self, number: Option<u16>) {
        if let Some(last) = self.waiting.back_mut() {
            last.number = number;
        }
    }

    /// One that may leave now, and its number, where `rate` bits a second are carried.
    pub(crate) fn pop(&mut self, now: Instant, rate: u64) -> Option<(Transmit, Option<u16>)> {
        self.rate = rate as f64 / 8.0;
        let elapsed = self
            .at
            .map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        let gained = self.rate * elapsed.as_secs_f64().min(1.0);
        self.room = (self.room + gained).min(AT_ONCE);
        let late = |w: &Waiting| now.saturating_duration_since(w.since) > MAX_WAIT;
        while self.waiting.front().is_some_and(late) {
            self.waiting.pop_front();
        }
        if self.room <= 0.0 {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.room -= next.transmit.bytes.len() as f64;
        Some((next.transmit, next.number))
    }

    /// When the next may leave.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (at, _) = (self.at?, self.waiting.front()?);
        let missing = (1.0 - self.room).max(0.0) / self.rate.max(1_000.0);
        Some(at + Duration::from_secs_f64(missing) + Duration::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::values::Protocol;

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

    fn transmit(n: u8) -> Transmit {
        let address = "10.0.0.1:1".parse().unwrap();
        Transmit {
            protocol: Protocol::Udp,
            from: address,
            to: address,
            bytes: vec![n; 1_000],
        }
    }

    #[test]
    fn a_burst_is_spread_as_the_way_carries_it() {
        let mut now = Instant::now();
        let start = now;
        let mut spread = Spread::default();
        (0..10).for_each(|n| spread.push(now, transmit(n)));
        let mut left = vec![];
        while spread.deadline().is_some() || left.is_empty() {
            while let Some((t, _)) = spread.pop(now, 800_000) {
                left.push((t.bytes[0], (now - start).as_millis()));
            }
            now = spread.deadline().unwrap_or(now);
        }
        assert_eq!(
            left.iter().map(|l| l.0).collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
        assert_eq!(left[2].1, 0, "three at once");
        let expected = 60..=70;
        assert!(expected.contains(&left[9].1), "10 ms each: {left:?}");
    }

    #[test]
    fn what_waits_is_bounded_and_never_stale() {
        let now = Instant::now();
        let mut spread = Spread::default();
        (0..1_000).for_each(|_| spread.push(now, transmit(0)));
        assert_eq!(spread.waiting.len(), MAX_WAITING);
        assert!(spread.pop(now + MAX_WAIT * 2, RATE).is_none());
        assert_eq!(spread.deadline(), None);
    }
}
