//! What a listener would have noticed, from when packets were published and when they came.

use std::time::{Duration, Instant};

use crate::traffic::{Publisher, Subscription};

/// One subscription's packets that were published in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub published: usize,
    pub received: usize,
    /// From publishing to arrival, of those that came.
    pub delay_p50: Duration,
    pub delay_p99: Duration,
    pub delay_max: Duration,
    /// The longest time between two arrivals, less the time between two moments of publishing:
    /// how long something was due and nothing came.
    pub gap: Duration,
}

impl Figures {
    pub(crate) fn of(
        publisher: &Publisher,
        subscription: &Subscription,
        (from, to): (Instant, Instant),
    ) -> Figures {
        let first = publisher.published.partition_point(|at| *at < from);
        let end = publisher.published.partition_point(|at| *at < to);
        let mut delays = Vec::with_capacity(end - first);
        let mut arrivals = Vec::with_capacity(end - first);
        for (number, at) in publisher.published.iter().enumerate().take(end).skip(first) {
            if let Some(came) = subscription.came(number) {
                delays.push(came.saturating_duration_since(*at));
                arrivals.push(came);
            }
        }
        delays.sort_unstable();
        arrivals.sort_unstable();
        let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
        let gap = gaps.max().unwrap_or_default();
        let rank = |share: f64| {
            let place = (delays.len() as f64 * share) as usize;
            delays.get(place.min(delays.len().saturating_sub(1)))
        };
        Figures {
            published: end - first,
            received: delays.len(),
            delay_p50: rank(0.50).copied().unwrap_or_default(),
            delay_p99: rank(0.99).copied().unwrap_or_default(),
            delay_max: delays.last().copied().unwrap_or_default(),
            gap: gap.saturating_sub(publisher.interval()),
        }
    }

    /// By how much a receiver with an adaptive buffer would have had to move its playout point:
    /// how much later the latest of these packets came than 99 % of `before` did.
    pub fn playout_jump(&self, before: &Figures) -> Duration {
        self.delay_max.saturating_sub(before.delay_p99)
    }
}
