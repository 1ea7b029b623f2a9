//! The receiving half of a link's numbering: which numbers are missing, and when to ask for them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::Timing;
use crate::message::Queue;

/// The most numbers missing at a time; beyond it the oldest are given up.
const MAX_HOLES: usize = 1024;
const MAX_REORDER: Duration = Duration::from_millis(30);
/// Between requests while the round trip is not known.
const UNKNOWN_RTT: Duration = Duration::from_millis(100);

struct Hole {
    since: Instant,
    ask_at: Instant,
}

/// What a numbered datagram turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    /// It was missing before.
    Late,
    Duplicate,
}

/// Numbers to ask for again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) sequences: Vec<u32>,
    /// No further round fits for these.
    pub(crate) last_chances: Vec<u32>,
}

#[derive(Default)]
pub(crate) struct Incoming {
    /// One past the highest number known to have been sent, None before the first.
    next: Option<u64>,
    holes: BTreeMap<u64, Hole>,
    /// No hole wants to be asked for before this.
    ask_at: Option<Instant>,
    /// How late datagrams come that were overtaken.
    reorder: Duration,
    /// Numbers seen to have been sent, and those given up, since the last `take_tally`.
    sent: u64,
    missed: u64,
}

impl Incoming {
    /// A numbered datagram came.
    pub(crate) fn on_numbered(
        &mut self,
        now: Instant,
        sequence: u32,
        repair: bool,
        timing: &Timing,
    ) -> Arrival {
        let Some(next) = self.next else {
            self.next = Some(u64::from(sequence) + 1);
            self.sent += 1;
            return Arrival::New;
        };
        match extend(next, sequence) {
            Some(sequence) if sequence >= next => {
                self.advance(now, next, sequence, timing);
                self.next = Some(sequence + 1);
                self.sent += 1;
                Arrival::New
            }
            Some(sequence) => match self.holes.remove(&sequence) {
                Some(hole) => {
                    if !repair {
                        let late = now.saturating_duration_since(hole.since);
                        self.reorder = self.reorder.max(late).min(MAX_REORDER);
                    }
                    Arrival::Late
                }
                None => Arrival::Duplicate,
            },
            None => Arrival::Duplicate,
        }
    }

    /// The peer says which number it will use next: everything below has been sent.
    pub(crate) fn on_next(&mut self, now: Instant, sequence: u32, timing: &Timing) {
        let Some(next) = self.next else {
            self.next = Some(u64::from(sequence));
            return;
        };
        if let Some(sequence) = extend(next, sequence).filter(|s| *s > next) {
            self.advance(now, next, sequence, timing);
            self.next = Some(sequence);
        }
    }

    /// Everything in `from..to` is missing.
    fn advance(&mut self, now: Instant, from: u64, to: u64, timing: &Timing) {
        self.sent += to - from;
        let remembered = from.max(to.saturating_sub(MAX_HOLES as u64));
        self.missed += remembered - from;
        if remembered == to {
            return;
        }
        let ask_at = now + self.guard(timing);
        for sequence in remembered..to {
            self.holes.insert(sequence, Hole { since: now, ask_at });
        }
        while self.holes.len() > MAX_HOLES {
            self.holes.pop_first();
            self.missed += 1;
        }
        self.ask_at = Some(self.ask_at.map_or(ask_at, |at| at.min(ask_at)));
    }

    /// The holes to ask for now; gives up those whose deadline has passed.
    pub(crate) fn asks(&mut self, now: Instant, rtt: Option<Duration>, timing: &Timing) -> Asks {
        let mut asks = Asks::default();
        if self.ask_at.is_none_or(|at| at > now) {
            return asks;
        }
        let guard = self.guard(timing);
        let round = rtt.unwrap_or(UNKNOWN_RTT) + guard;
        // On a path longer than the budget one round is still worth having.
        let budget = timing.repair_budget.max(round + round / 2);
        let before = self.holes.len();
        self.holes.retain(|_, hole| hole.since + budget > now);
        self.missed += (before - self.holes.len()) as u64;
        self.ask_at = None;
        for (sequence, hole) in &mut self.holes {
            if hole.ask_at <= now {
                let last = now + 2 * round > hole.since + budget;
                let list = if last {
                    &mut asks.last_chances
                } else {
                    &mut asks.sequences
                };
                list.push(*sequence as u32);
                hole.ask_at = now + round;
            }
            let at = hole.ask_at.min(hole.since + budget);
            self.ask_at = Some(self.ask_at.map_or(at, |earlier| earlier.min(at)));
        }
        asks
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "link_holes",
            length: self.holes.len(),
            capacity: MAX_HOLES,
        }
    }

    /// How many numbers were sent and how many of them given up, since the last call.
    pub(crate) fn take_tally(&mut self) -> (u64, u64) {
        self.reorder = self.reorder * 9 / 10;
        (
            std::mem::take(&mut self.sent),
            std::mem::take(&mut self.missed),
        )
    }

    fn guard(&self, timing: &Timing) -> Duration {
        timing.reorder_guard.max(self.reorder * 5 / 4)
    }
}

/// The number nearest to `next` that ends in these 32 bits; None below zero.
fn extend(next: u64, sequence: u32) -> Option<u64> {
    let distance = sequence.wrapping_sub(next as u32) as i32;
    next.checked_add_signed(distance.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const RTT: Option<Duration> = Some(Duration::from_millis(50));

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn asks_after_the_guard_then_each_round_until_the_deadline() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        assert_eq!(link.on_numbered(t, 10, false, &timing), Arrival::New);
        assert_eq!(link.on_numbered(t, 13, false, &timing), Arrival::New);
        assert_eq!(link.deadline(), Some(t + ms(2)));
        assert_eq!(link.asks(t + ms(1), RTT, &timing), Asks::default());
        assert_eq!(link.asks(t + ms(2), RTT, &timing).sequences, [11, 12]);
        assert_eq!(
            link.on_numbered(t + ms(54), 11, true, &timing),
            Arrival::Late
        );
        assert_eq!(
            link.on_numbered(t + ms(54), 11, true, &timing),
            Arrival::Duplicate
        );
        let mut now = t + ms(2);
        let mut last_chances = 0;
        while let Some(at) = link.deadline() {
            assert!(at > now);
            now = at;
            last_chances += link.asks(now, RTT, &timing).last_chances.len();
        }
        assert_eq!(now, t + ms(250));
        assert_eq!(last_chances, 2);
        assert_eq!(link.take_tally(), (4, 1));
        assert_eq!(link.on_numbered(now, 12, true, &timing), Arrival::Duplicate);
    }

    #[test]
    fn a_heartbeat_shows_loss_at_the_tail() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_next(t, 5, &timing);
        assert_eq!(link.deadline(), None);
        link.on_next(t, 6, &timing);
        assert_eq!(link.asks(t + ms(2), RTT, &timing).sequences, [5]);
        link.on_next(t, 5, &timing);
        assert_eq!(link.on_numbered(t, 6, false, &timing), Arrival::New);
    }

    #[test]
    fn reordering_widens_the_guard() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_numbered(t, 0, false, &timing);
        link.on_numbered(t, 2, false, &timing);
        assert_eq!(
            link.on_numbered(t + ms(8), 1, false, &timing),
            Arrival::Late
        );
        link.on_numbered(t + ms(8), 4, false, &timing);
        assert_eq!(link.asks(t + ms(17), RTT, &timing), Asks::default());
        assert_eq!(link.asks(t + ms(18), RTT, &timing).sequences, [3]);
    }

    #[test]
    fn a_wild_jump_stays_bounded() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_numbered(t, 0, false, &timing);
        link.on_next(t, 1 << 30, &timing);
        assert_eq!(link.holes.len(), MAX_HOLES);
        link.on_numbered(t, (1 << 30) + 500, false, &timing);
        assert_eq!(link.holes.len(), MAX_HOLES);
        let (sent, missed) = link.take_tally();
        assert_eq!((sent, missed), ((1 << 30) + 501, (1 << 30) + 499 - 1024));
    }

    #[test]
    fn numbers_wrap() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_numbered(t, u32::MAX, false, &timing);
        assert_eq!(link.on_numbered(t, 1, false, &timing), Arrival::New);
        assert_eq!(link.asks(t + ms(2), RTT, &timing).sequences, [0]);
        assert_eq!(link.on_numbered(t, 0, false, &timing), Arrival::Late);
    }
}
