//! How late packets left: a histogram of microseconds, coarser the later.

use std::time::Duration;

/// Within each doubling: figures are at most 3 % too low.
const STEPS: usize = 32;
/// The last bucket begins at an hour or so.
const BUCKETS: usize = STEPS * 28;

/// Microseconds after their due time at which packets left; all 0 where none did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

pub(crate) struct Histogram {
    counts: Vec<u64>,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            max: 0,
        }
    }

    pub(crate) fn add(&mut self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.max = self.max.max(micros);
    }

    /// What was added since the last call.
    pub(crate) fn take(&mut self) -> Lateness {
        let Histogram { counts, max } = std::mem::replace(self, Histogram::new());
        let total: u64 = counts.iter().sum();
        let quantile = |share: f64| {
            let (rank, mut seen) = ((total as f64 * share).ceil() as u64, 0);
            let reached = counts.iter().position(|count| {
                seen += count;
                seen >= rank.max(1)
            });
            reached.map_or(0, floor)
        };
        Lateness {
            p50: quantile(0.5),
            p99: quantile(0.99),
            max,
        }
    }
}

fn bucket(micros: u64) -> usize {
    let doublings = (micros / STEPS as u64).checked_ilog2().map_or(0, |n| n + 1);
    let shift = doublings.saturating_sub(1);
    let index = shift as usize * STEPS + (micros >> shift) as usize;
    index.min(BUCKETS - 1)
}

/// The least value of a bucket.
fn floor(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    ((bucket - shift * STEPS) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_begins_where_the_one_before_ends() {
        assert_eq!(bucket(0), 0);
        for index in 1..BUCKETS {
            assert_eq!(bucket(floor(index)), index);
            assert_eq!(bucket(floor(index) - 1), index - 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn figures_are_of_what_came_since_the_last_look() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.take(), Lateness::default());
        for micros in 1..=1_000 {
            histogram.add(Duration::from_micros(micros));
        }
        let Lateness { p50, p99, max } = histogram.take();
        assert!((484..=500).contains(&p50), "{p50}");
        assert!((959..=990).contains(&p99), "{p99}");
        assert_eq!(max, 1_000);
        assert_eq!(histogram.take(), Lateness::default());
    }
}
