//! Datagrams that wait until the way to a client has room for them: a keyframe, or a burst of
//! retransmissions, would overflow the queue of a narrow link, and sound with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::values::Transmit;

/// So many bytes may leave at once, or what is carried in so long if that is more.
const AT_ONCE: f64 = 3_000.0;
const AT_ONCE_FOR: f64 = 0.02;
/// A retransmission that waited longer comes too late.
const REPAIR_WAIT: Duration = Duration::from_millis(400);
const MAX_REPAIRS: usize = 256;
/// Pictures never get stale: without one packet the rest is useless. With so many waiting the
/// oldest leave at once.
const MAX_PICTURES: usize = 1_024;

/// A line of datagrams, oldest first, and a bucket of bytes that lets them go.
#[derive(Debug)]
pub(crate) struct Pace {
    waiting: VecDeque<Waiting>,
    /// Bytes of what waits.
    bytes: usize,
    max_wait: Option<Duration>,
    max_waiting: usize,
    /// Bytes that may leave now.
    room: f64,
    /// As of when.
    at: Option<Instant>,
    /// Bytes a second.
    rate: f64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    transmit: Transmit,
    number: Option<u16>,
}

/// What became of a datagram that waited, with its transport-wide number.
#[derive(Debug)]
pub(crate) enum Left {
    Sent(Transmit, Option<u16>),
    Dropped(Option<u16>),
}

impl Pace {
    /// For retransmissions, of which those that are late or too many are dropped.
    pub(crate) fn of_repairs() -> Self {
        Self::new(Some(REPAIR_WAIT), MAX_REPAIRS)
    }

    /// For pictures, of which nothing is dropped.
    pub(crate) fn of_pictures() -> Self {
        Self::new(None, MAX_PICTURES)
    }

    fn new(max_wait: Option<Duration>, max_waiting: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            max_wait,
            max_waiting,
            room: 0.0,
            at: None,
            rate: 0.0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, now: Instant, transmit: Transmit) {
        self.bytes += transmit.bytes.len();
        self.waiting.push_back(Waiting {
            since: now,
            transmit,
            number: None,
        });
    }

    /// The transport-wide number of the one that was pushed last.
    pub(crate) fn name(&mut self, number: Option<u16>) {
        if let Some(last) = self.waiting.back_mut() {
            last.number = number;
        }
    }

    /// Forget all; their transport-wide numbers.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = u16> {
        self.bytes = 0;
        self.waiting.drain(..).filter_map(|w| w.number)
    }

    /// The next that leaves, or is given up, where `rate` bits a second may be sent.
    pub(crate) fn pop(&mut self, now: Instant, rate: u64) -> Option<Left> {
        let front = self.waiting.front()?;
        self.rate = rate as f64 / 8.0;
        let elapsed = self
            .at
            .map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        let gained = self.rate * elapsed.as_secs_f64().min(1.0);
        let most = AT_ONCE.max(AT_ONCE_FOR * self.rate);
        self.room = (self.room + gained).min(most);
        let many = self.waiting.len() > self.max_waiting;
        let waited = now.saturating_duration_since(front.since);
        if self.max_wait.is_some_and(|most| many || waited > most) {
            return self.take().map(|w| Left::Dropped(w.number));
        }
        if self.room <= 0.0 && !many {
            return None;
        }
        let next = self.take()?;
        self.room = (self.room - next.transmit.bytes.len() as f64).max(-most);
        Some(Left::Sent(next.transmit, next.number))
    }

    fn take(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.transmit.bytes.len();
        Some(next)
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

    fn transmit(n: u8) -> Transmit {
        let address = "10.0.0.1:1".parse().unwrap();
        Transmit {
            protocol: Protocol::Udp,
            from: address,
            to: address,
            bytes: vec![n; 1_000],
        }
    }

    fn sent(left: Option<Left>) -> Option<u8> {
        match left {
            Some(Left::Sent(transmit, _)) => Some(transmit.bytes[0]),
            _ => None,
        }
    }

    #[test]
    fn a_burst_is_spread_as_the_way_carries_it() {
        let mut now = Instant::now();
        let start = now;
        let mut pace = Pace::of_repairs();
        (0..10).for_each(|n| pace.push(now, transmit(n)));
        let mut left = vec![];
        while !pace.is_empty() {
            while let Some(n) = sent(pace.pop(now, 800_000)) {
                left.push((n, (now - start).as_millis()));
            }
            now = pace.deadline().unwrap_or(now);
        }
        let order: Vec<u8> = left.iter().map(|l| l.0).collect();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
        assert_eq!(left[2].1, 0, "three at once");
        assert!((60..=70).contains(&left[9].1), "10 ms each: {left:?}");
        assert_eq!(pace.bytes(), 0);
    }

    #[test]
    fn a_wide_way_takes_a_frame_at_once() {
        let now = Instant::now();
        let mut pace = Pace::of_pictures();
        (0..40).for_each(|n| pace.push(now, transmit(n)));
        let at_once = std::iter::from_fn(|| sent(pace.pop(now, RATE))).count();
        assert_eq!(at_once, 40, "20 ms of 20 Mb/s");
    }

    #[test]
    fn repairs_that_wait_are_bounded_and_never_stale() {
        let now = Instant::now();
        let mut pace = Pace::of_repairs();
        (0..1_000).for_each(|_| {
            pace.push(now, transmit(0));
            pace.name(Some(7));
        });
        let given_up = |left: &Option<Left>| matches!(left, Some(Left::Dropped(Some(7))));
        for _ in 0..1_000 - MAX_REPAIRS {
            assert!(given_up(&pace.pop(now, 0)));
        }
        let late = now + REPAIR_WAIT * 2;
        for _ in 0..MAX_REPAIRS {
            assert!(given_up(&pace.pop(late, RATE)));
        }
        assert!(pace.is_empty() && pace.deadline().is_none());
    }

    #[test]
    fn pictures_are_not_dropped_and_do_not_pile_up() {
        let now = Instant::now();
        let mut pace = Pace::of_pictures();
        (0..MAX_PICTURES + 10).for_each(|_| pace.push(now, transmit(1)));
        let at_once = std::iter::from_fn(|| sent(pace.pop(now, 0))).count();
        assert_eq!(at_once, 10);
        assert_eq!(sent(pace.pop(now + Duration::from_secs(60), RATE)), Some(1));
        assert_eq!(pace.clear().count(), 0, "none has a number");
        assert!(pace.is_empty());
    }
}
