//! Whether a hop needs parity, and how much.

use std::time::{Duration, Instant};

use wire::Class;

use super::MAX_WINDOW;
use crate::capacity::STANDING;

/// Loss above which a hop gets parity, and below which it may go without again.
const LOSS_ON: f32 = 0.02;
const LOSS_OFF: f32 = 0.01;
/// A hop goes without only after so long a time without need.
const HOLD: Duration = Duration::from_secs(10);
/// A long hop that loses nothing now is taken to lose this much: its first loss can't wait.
const LEAST_LOSS: f32 = 0.001;
/// Parity is at most this many datagrams for each numbered one.
const MAX_RATE: f32 = 0.5;

/// What a hop is like, as far as parity is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    pub(crate) rtt: Duration,
    /// Share of our datagrams that is lost before repair, and how many in a row.
    pub(crate) loss: f32,
    pub(crate) burst: f32,
    /// What stands on the way, above the least delay.
    pub(crate) queue: Duration,
}

/// When the next parity datagram is due.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// On until, at least.
    until: Option<Instant>,
    /// Parity datagrams that are due, less than one as a rule.
    credit: f32,
    /// Numbered datagrams since the last.
    bare: usize,
}

impl Rate {
    /// A numbered datagram was sent, the latest of `window` that parity would cover: how many a
    /// parity datagram that is due now covers, None if none is.
    pub(crate) fn on_sent(
        &mut self,
        now: Instant,
        hop: Hop,
        window: impl FnOnce() -> usize,
    ) -> Option<usize> {
        self.watch(now, hop);
        // Where a queue stands, more bytes are what gets lost: parity would only feed it.
        if self.until.is_none() || hop.queue > STANDING {
            return None;
        }
        let window = window();
        self.credit += rate(hop, window);
        self.bare += 1;
        // Each datagram is covered at least once, however few there are in a window.
        let due = self.credit >= 1.0 || self.bare >= window.max(2);
        if due {
            self.credit = (self.credit - 1.0).max(0.0);
            self.bare = 0;
        }
        due.then_some(window)
    }

    pub(crate) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    fn watch(&mut self, now: Instant, hop: Hop) {
        // A repair takes a round trip and the time to notice: longer than this, it comes too late.
        let too_long = Class::Audio.budget() * 2 / 3;
        let on = self.is_on();
        let (rtt_limit, loss_limit) = if on {
            (too_long * 9 / 10, LOSS_OFF)
        } else {
            (too_long, LOSS_ON)
        };
        if hop.rtt > rtt_limit || hop.loss > loss_limit {
            self.until = Some(now + HOLD);
        } else if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            self.credit = 0.0;
            self.bare = 0;
        }
    }
}

/// Parity for each numbered datagram: 1.5 times the loss that two standard deviations above the
/// mean make in one window, bursts included (those of a two-state chain).
fn rate(hop: Hop, window: usize) -> f32 {
    let loss = hop.loss.clamp(LEAST_LOSS, 1.0);
    let bursts = (2.0 * hop.burst.clamp(1.0, 10.0) - 1.0).max(1.0);
    let window = window.clamp(1, MAX_WINDOW) as f32;
    let sigma = (loss * (1.0 - loss) * bursts / window).sqrt();
    (1.5 * (loss + 2.0 * sigma)).min(MAX_RATE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    fn hop(rtt: u64, loss: f32) -> Hop {
        Hop {
            rtt: Duration::from_millis(rtt),
            loss,
            burst: 1.0,
            queue: Duration::ZERO,
        }
    }

    #[test]
    fn on_where_repair_is_too_slow_or_loss_is_high() {
        for (rtt, loss, on) in [
            (20, 0.0, false),
            (20, 0.019, false),
            (20, 0.021, true),
            (79, 0.0, false),
            (81, 0.0, true),
        ] {
            let mut rate = Rate::default();
            rate.on_sent(Instant::now(), hop(rtt, loss), || 20);
            assert_eq!(rate.is_on(), on, "{rtt} ms, {loss}");
        }
    }

    #[test]
    fn off_only_well_below_the_limits_and_after_a_while() {
        let (t, s) = (Instant::now(), Duration::from_secs(1));
        let mut rate = Rate::default();
        rate.on_sent(t, hop(20, 0.03), || 20);
        rate.on_sent(t + 9 * s, hop(20, 0.015), || 20);
        rate.on_sent(t + 18 * s, hop(20, 0.0), || 20);
        assert!(rate.is_on());
        rate.on_sent(t + 19 * s, hop(20, 0.0), || 20);
        assert!(!rate.is_on());
    }

    #[test]
    fn more_for_more_loss_longer_bursts_and_shorter_windows_within_a_cap() {
        let share = |hop, window| {
            let mut rate = Rate::default();
            let due = (0..10_000).filter_map(|_| rate.on_sent(Instant::now(), hop, || window));
            due.count() as f32 / 10_000.0
        };
        let base = share(hop(20, 0.05), 50);
        assert!((base - 1.5 * (0.05 + 2.0 * 0.0308)).abs() < 0.001, "{base}");
        assert!(share(hop(20, 0.1), 50) > base);
        assert!(share(hop(20, 0.05), 10) > base);
        let bursts = Hop {
            burst: 4.0,
            ..hop(20, 0.05)
        };
        assert!(share(bursts, 50) > base);
        assert_eq!(share(hop(20, 0.9), 5), MAX_RATE);
        assert!((0.03..0.04).contains(&share(hop(200, 0.0), 30)));
    }
}
