//! CoDel (RFC 8289): drops, or marks, at a queue in which packets stand for too long.
//!
//! Here the time at which a packet will leave the queue is known as it comes, for the rate is: it is
//! asked then, and what is dropped takes no time on the wire, as in the RFC.

use std::time::{Duration, Instant};

const TARGET: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);
/// A queue of no more than a full packet is no standing queue.
const FULL_PACKET: f64 = 1_500.0;
/// Who drops again so soon goes on where it stopped.
const SOON: u32 = 16;

#[derive(Default)]
pub(crate) struct CoDel {
    /// When what stands above the target will have stood for an interval.
    above_until: Option<Instant>,
    dropping: bool,
    next: Option<Instant>,
    count: u32,
    last_count: u32,
}

impl CoDel {
    /// Whether a packet that would leave `at` after waiting for `sojourn` has to go, with so many
    /// bytes before it.
    pub(crate) fn strikes(&mut self, at: Instant, sojourn: Duration, backlog: f64) -> bool {
        let stands = self.stands(at, sojourn, backlog);
        if !stands {
            self.dropping = false;
            return false;
        }
        if !self.dropping {
            self.dropping = true;
            let since = self.count - self.last_count;
            let soon = self.next.is_some_and(|next| at < next + SOON * INTERVAL);
            self.count = if since > 1 && soon { since } else { 1 };
            self.last_count = self.count;
            self.next = Some(at + self.law());
            return true;
        }
        let Some(next) = self.next.filter(|next| *next <= at) else {
            return false;
        };
        self.count += 1;
        self.next = Some(next + self.law());
        true
    }

    fn stands(&mut self, at: Instant, sojourn: Duration, backlog: f64) -> bool {
        if sojourn < TARGET || backlog <= FULL_PACKET {
            self.above_until = None;
            return false;
        }
        let until = *self.above_until.get_or_insert(at + INTERVAL);
        until <= at
    }

    fn law(&self) -> Duration {
        INTERVAL.div_f64(f64::from(self.count).sqrt())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_burst_shorter_than_an_interval_is_let_through() {
        let (start, mut codel) = (Instant::now(), CoDel::default());
        let struck = (0..99).filter(|n| codel.strikes(start + ms(*n), ms(50), 9_000.0));
        assert_eq!(struck.count(), 0);
        assert!(!codel.strikes(start + ms(99), ms(1), 9_000.0));
        assert!(!codel.strikes(start + ms(150), ms(50), 9_000.0));
    }

    #[test]
    fn a_standing_queue_is_struck_ever_more_often() {
        let (start, mut codel) = (Instant::now(), CoDel::default());
        let struck: Vec<u64> = (0..1_000)
            .filter(|n| codel.strikes(start + ms(*n), ms(50), 9_000.0))
            .collect();
        // After an interval, then after 100, 100/sqrt(2), 100/sqrt(3) ms more.
        assert_eq!(&struck[..5], [100, 200, 271, 329, 379]);
        let gaps: Vec<u64> = struck.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.windows(2).all(|two| two[1] <= two[0] + 1), "{gaps:?}");
    }

    #[test]
    fn a_single_packet_in_the_queue_is_never_struck() {
        let (start, mut codel) = (Instant::now(), CoDel::default());
        assert!((0..1_000).all(|n| !codel.strikes(start + ms(n), ms(50), 1_500.0)));
    }
}
