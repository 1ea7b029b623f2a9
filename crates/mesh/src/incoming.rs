//! The receiving half of a link's numbering: which numbers are missing, and when to ask for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use wire::Class;

use crate::config::Timing;
use crate::message::Queue;
use crate::outgoing::SPARE;

/// The most numbers missing at a time; beyond it the oldest are given up.
const MAX_HOLES: usize = 1024;
/// Reordering is told in steps of a millisecond, up to this many.
const MAX_REORDER: usize = 31;
/// Between requests while the round trip is not known.
const UNKNOWN_RTT: Duration = Duration::from_millis(100);

struct Hole {
    since: Instant,
    /// When it is next asked for or given up; it is in `due` under this.
    at: Instant,
}

/// What a numbered datagram turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    /// It was missing before.
    Late,
    Duplicate,
}

#[derive(Default)]
pub(crate) struct Incoming {
    /// One past the highest number known to have been sent, None before the first.
    next: Option<u64>,
    holes: BTreeMap<u64, Hole>,
    due: BTreeSet<(Instant, u64)>,
    reorder: Reorder,
    /// Numbers seen to have been sent, and those given up, since the last `take_tally`.
    sent: u64,
    missed: u64,
}

impl Incoming {
    /// A numbered datagram came, or was recovered.
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
                self.reorder.add(Duration::ZERO);
                Arrival::New
            }
            Some(sequence) => match self.remove(sequence) {
                Some(hole) => {
                    if !repair {
                        self.reorder.add(now.saturating_duration_since(hole.since));
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

    /// The peer has given numbers up.
    pub(crate) fn on_gone(&mut self, sequences: &[u32]) {
        let Some(next) = self.next else {
            return;
        };
        for sequence in sequences {
            let hole = extend(next, *sequence).and_then(|sequence| self.remove(sequence));
            self.missed += u64::from(hole.is_some());
        }
    }

    /// Everything in `from..to` is missing.
    fn advance(&mut self, now: Instant, from: u64, to: u64, timing: &Timing) {
        self.sent += to - from;
        let remembered = from.max(to.saturating_sub(MAX_HOLES as u64));
        self.missed += remembered - from;
        let at = now + self.guard(timing);
        for sequence in remembered..to {
            self.holes.insert(sequence, Hole { since: now, at });
            self.due.insert((at, sequence));
        }
        while self.holes.len() > MAX_HOLES {
            if let Some((sequence, hole)) = self.holes.pop_first() {
                self.due.remove(&(hole.at, sequence));
                self.missed += 1;
            }
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Hole> {
        let hole = self.holes.remove(&sequence)?;
        self.due.remove(&(hole.at, sequence));
        Some(hole)
    }

    /// Append the numbers to ask for now. Each is asked for once a round trip until it comes or
    /// the peer gives it up; one that it keeps silent about is given up here in the end.
    pub(crate) fn asks(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        timing: &Timing,
        asks: &mut Vec<u32>,
    ) {
        let round = rtt.unwrap_or(UNKNOWN_RTT) + self.guard(timing);
        let limit = Class::Control.budget() + SPARE + round;
        while let Some((at, sequence)) = self.due.first().copied() {
            if at > now {
                break;
            }
            self.due.pop_first();
            let Some(hole) = self.holes.get_mut(&sequence) else {
                continue;
            };
            let end = hole.since + limit;
            if end <= now {
                self.holes.remove(&sequence);
                self.missed += 1;
                continue;
            }
            asks.push(sequence as u32);
            hole.at = (now + round).min(end);
            self.due.insert((hole.at, sequence));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "link_holes",
            length: self.holes.len(),
            capacity: MAX_HOLES,
        }
    }

    /// How many numbers were sent and how many of them given up, since the last call, which is
    /// about a second ago.
    pub(crate) fn take_tally(&mut self) -> (u64, u64) {
        self.reorder.fade();
        (
            std::mem::take(&mut self.sent),
            std::mem::take(&mut self.missed),
        )
    }

    fn guard(&self, timing: &Timing) -> Duration {
        timing.reorder_guard.max(self.reorder.p99() * 5 / 4)
    }
}

/// How late datagrams come that others overtook.
#[derive(Default)]
struct Reorder {
    all: f32,
    /// By milliseconds, rounded up; none that came in order.
    late: [f32; MAX_REORDER + 1],
}

impl Reorder {
    fn add(&mut self, late: Duration) {
        self.all += 1.0;
        let ms = late.as_micros().div_ceil(1_000) as usize;
        if ms > 0 {
            self.late[ms.min(MAX_REORDER)] += 1.0;
        }
    }

    /// One in a hundred comes later.
    fn p99(&self) -> Duration {
        let mut left = self.all / 100.0;
        for (ms, count) in self.late.iter().enumerate().rev() {
            left -= count;
            if left < 0.0 {
                return Duration::from_millis(ms as u64);
            }
        }
        Duration::ZERO
    }

    /// What was is of less and less weight.
    fn fade(&mut self) {
        self.all *= 0.9;
        for count in &mut self.late {
            *count *= 0.9;
        }
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

    fn asks(link: &mut Incoming, now: Instant) -> Vec<u32> {
        let mut asks = Vec::new();
        link.asks(now, RTT, &Timing::default(), &mut asks);
        asks
    }

    #[test]
    fn asks_after_the_guard_then_each_round_until_answered_or_hopeless() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        assert_eq!(link.on_numbered(t, 10, false, &timing), Arrival::New);
        assert_eq!(link.on_numbered(t, 14, false, &timing), Arrival::New);
        assert_eq!(link.deadline(), Some(t + ms(2)));
        assert!(asks(&mut link, t + ms(1)).is_empty());
        assert_eq!(asks(&mut link, t + ms(2)), [11, 12, 13]);
        let now = t + ms(53);
        assert_eq!(link.on_numbered(now, 11, true, &timing), Arrival::Late);
        assert_eq!(link.on_numbered(now, 11, true, &timing), Arrival::Duplicate);
        link.on_gone(&[13, 11, 99]);
        assert_eq!(link.deadline(), Some(t + ms(54)));
        let (mut now, mut asked) = (t, 0);
        while let Some(at) = link.deadline() {
            assert!(at > now);
            now = at;
            let asks = asks(&mut link, now);
            assert!(asks.is_empty() || asks == [12]);
            asked += asks.len();
        }
        assert_eq!((now, asked), (t + ms(1_082), 20));
        assert_eq!(link.take_tally(), (5, 2));
        assert_eq!(link.on_numbered(now, 12, true, &timing), Arrival::Duplicate);
        assert!(link.due.is_empty() && link.holes.is_empty());
    }

    #[test]
    fn a_heartbeat_shows_loss_at_the_tail() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_next(t, 5, &timing);
        assert_eq!(link.deadline(), None);
        link.on_next(t, 6, &timing);
        assert_eq!(asks(&mut link, t + ms(2)), [5]);
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
        assert!(asks(&mut link, t + ms(17)).is_empty());
        assert_eq!(asks(&mut link, t + ms(18)), [3]);
    }

    #[test]
    fn one_straggler_in_hundreds_does_not_slow_repair() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        for i in 0..500 {
            link.on_numbered(t, i, false, &timing);
        }
        link.on_numbered(t, 501, false, &timing);
        link.on_numbered(t + ms(20), 500, false, &timing);
        assert_eq!(link.guard(&timing), ms(2));
    }

    #[test]
    fn a_wild_jump_stays_bounded() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_numbered(t, 0, false, &timing);
        link.on_next(t, 1 << 30, &timing);
        assert_eq!(link.holes.len(), MAX_HOLES);
        link.on_numbered(t, (1 << 30) + 500, false, &timing);
        assert_eq!((link.holes.len(), link.due.len()), (MAX_HOLES, MAX_HOLES));
        let (sent, missed) = link.take_tally();
        assert_eq!((sent, missed), ((1 << 30) + 501, (1 << 30) + 499 - 1024));
    }

    #[test]
    fn numbers_wrap() {
        let (t, timing) = (Instant::now(), Timing::default());
        let mut link = Incoming::default();
        link.on_numbered(t, u32::MAX, false, &timing);
        assert_eq!(link.on_numbered(t, 1, false, &timing), Arrival::New);
        assert_eq!(asks(&mut link, t + ms(2)), [0]);
        assert_eq!(link.on_numbered(t, 0, false, &timing), Arrival::Late);
    }
}
