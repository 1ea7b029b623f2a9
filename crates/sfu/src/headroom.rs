//! What of a subscriber's bandwidth estimate may be planned with: bad news counts at once, good
//! news when it has lasted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Share of the estimate that a picture may grow into; the rest is repair and error.
const USABLE: f64 = 0.9;
/// Share of the estimate that what is shown may keep. The gap keeps an estimate that wavers from
/// changing the picture.
const KEEPABLE: f64 = 0.97;
/// An estimate counts as room once it stood for so long.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The same at most, after growth that did not last was punished by doubling it.
const MAX_PATIENCE: Duration = Duration::from_secs(24);
/// The same at most where nothing is shown: others who share the way show theirs meanwhile.
const MAX_PATIENCE_TO_BEGIN: Duration = Duration::from_secs(6);
/// Room for so many times as much needs no more patience than at first.
const AMPLE: f64 = 2.0;
/// Growth that is taken back within this time did not last.
const RELAPSE: Duration = Duration::from_secs(6);
/// Patience is as at first after this time without a relapse.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Estimates that are remembered: a change each `SPACING` over the longest patience.
const MAX_SAMPLES: usize = 64;
const SPACING: Duration = Duration::from_millis(400);

/// Bits per second for all pictures of one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Below this what is shown stays.
    pub(crate) keep: u64,
    /// Below this more may be shown.
    pub(crate) grow: u64,
    /// Below this what is not shown may be.
    pub(crate) begin: u64,
}

impl Budget {
    /// Without feedback there is no estimate: everything is taken to fit.
    pub(crate) const UNKNOWN: Self = Self {
        keep: u64::MAX,
        grow: u64::MAX,
        begin: u64::MAX,
    };
}

/// The estimates toward one subscriber, and how its pictures fared by them.
#[derive(Debug)]
pub(crate) struct Headroom {
    /// The least estimate of each `SPACING`, oldest first.
    samples: VecDeque<(Instant, u64)>,
    current: Option<u64>,
    limit: Option<u64>,
    patience: Duration,
    grew: Option<Instant>,
    relapsed: Option<Instant>,
}

impl Default for Headroom {
    fn default() -> Self {
        Self {
            samples: VecDeque::new(),
            current: None,
            limit: None,
            patience: PATIENCE,
            grew: None,
            relapsed: None,
        }
    }
}

impl Headroom {
    /// Take an estimate, bits per second.
    pub(crate) fn observe(&mut self, now: Instant, estimate: u64) {
        self.current = Some(estimate);
        match self.samples.back_mut() {
            Some((at, least)) if now.saturating_duration_since(*at) < SPACING => {
                *least = estimate.min(*least);
            }
            _ => {
                if self.samples.len() == MAX_SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back((now, estimate));
            }
        }
    }

    /// Whatever is estimated, take it to be no more than this, bits per second.
    pub(crate) fn limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// What is left for pictures when speech has what it needs, bits per second.
    pub(crate) fn budget(&mut self, now: Instant, speech: u64) -> Budget {
        if let Some(current) = self.current {
            // It still stands, if nothing newer came.
            self.observe(now, current);
        }
        let Some(current) = [self.current, self.limit].into_iter().flatten().min() else {
            return Budget::UNKNOWN;
        };
        let lasting = |patience: Duration| {
            let since = now.checked_sub(patience).unwrap_or(now);
            // The sample before counts too: it stood until the next.
            let from = self.samples.partition_point(|(at, _)| *at <= since);
            let window = self.samples.iter().skip(from.saturating_sub(1));
            let least = window.map(|(_, estimate)| *estimate).min();
            least.unwrap_or(current).min(current)
        };
        let share = |of: u64, share: f64| ((of as f64 * share) as u64).saturating_sub(speech);
        let ample = share(lasting(PATIENCE), USABLE / AMPLE);
        let grow = |patience| share(lasting(patience), USABLE).max(ample);
        Budget {
            keep: share(current, KEEPABLE),
            grow: grow(self.patience),
            begin: grow(self.patience.min(MAX_PATIENCE_TO_BEGIN)),
        }
    }

    /// A picture was shown better, for there was room.
    pub(crate) fn grew(&mut self, now: Instant) {
        self.grew = Some(now);
        let quiet = |t: Instant| now.saturating_duration_since(t) >= FORGIVEN;
        if self.relapsed.is_none_or(quiet) {
            self.patience = PATIENCE;
        }
    }

    /// A picture is shown worse, for there is no room.
    pub(crate) fn shrank(&mut self, now: Instant) {
        let recent = |t: Instant| now.saturating_duration_since(t) < RELAPSE;
        if self.grew.take().is_some_and(recent) {
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
            self.relapsed = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_limit_holds_whatever_is_estimated() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        headroom.limit(Some(100_000));
        assert_eq!(headroom.budget(now, 0).grow, 90_000);
        headroom.observe(now, 1_000_000);
        assert_eq!(headroom.budget(now, 0).grow, 90_000);
        headroom.limit(None);
        assert_eq!(headroom.budget(now, 0).grow, 900_000);
    }

    #[test]
    fn speech_comes_first() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        assert_eq!(headroom.budget(now, 32_000), Budget::UNKNOWN);
        headroom.observe(now, 1_000_000);
        assert_eq!(headroom.budget(now, 0).grow, 900_000);
        assert_eq!(headroom.budget(now, 160_000).grow, 740_000);
        headroom.observe(now, 100_000);
        assert_eq!(headroom.budget(now, 480_000).grow, 0);
    }

    #[test]
    fn less_counts_at_once_and_more_when_it_lasted() {
        let from = Instant::now();
        let mut headroom = Headroom::default();
        headroom.observe(from, 1_000_000);
        let low = from + 5_000 * MS;
        headroom.observe(low, 200_000);
        assert_eq!(headroom.budget(low, 0).keep, 194_000);
        let high = low + 1_000 * MS;
        headroom.observe(high, 2_000_000);
        assert_eq!(headroom.budget(high, 0).grow, 180_000);
        assert_eq!(headroom.budget(high, 0).keep, 1_940_000);
        assert_eq!(headroom.budget(high + 1_300 * MS, 0).grow, 180_000);
        assert_eq!(headroom.budget(high + 2_400 * MS, 0).grow, 1_800_000);
    }

    #[test]
    fn growth_that_does_not_last_is_waited_for_longer() {
        let from = Instant::now();
        let mut headroom = Headroom::default();
        let mut now = from;
        for expected in [2, 4, 8, 16, 16, 16] {
            headroom.grew(now);
            now += 2_000 * MS;
            headroom.shrank(now);
            assert_eq!(headroom.patience, (PATIENCE * expected).min(MAX_PATIENCE));
        }
        headroom.grew(now + FORGIVEN);
        assert_eq!(headroom.patience, PATIENCE);
        headroom.shrank(now + FORGIVEN + RELAPSE);
        assert_eq!(headroom.patience, PATIENCE, "it had lasted");
    }

    #[test]
    fn what_is_not_shown_is_waited_for_less_long_and_ample_room_not_at_all() {
        let from = Instant::now();
        let mut headroom = Headroom::default();
        headroom.observe(from, 200_000);
        for _ in 0..5 {
            headroom.grew(from);
            headroom.shrank(from);
        }
        assert_eq!(headroom.patience, MAX_PATIENCE);
        let high = from + 1_000 * MS;
        headroom.observe(high, 1_000_000);
        let budget = |headroom: &mut Headroom, after: u32| {
            let Budget { grow, begin, .. } = headroom.budget(high + after * MS, 0);
            (grow, begin)
        };
        assert_eq!(budget(&mut headroom, 1_000), (180_000, 180_000));
        assert_eq!(budget(&mut headroom, 2_000), (450_000, 450_000));
        assert_eq!(budget(&mut headroom, 6_500), (450_000, 900_000));
        assert_eq!(budget(&mut headroom, 24_500), (900_000, 900_000));
    }
}
