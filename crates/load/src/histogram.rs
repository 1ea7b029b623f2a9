//! Times in buckets whose width grows with the time: any number of values in a few kilobytes.

use serde::Serialize;

/// Buckets to each doubling: a value is off by less than one part in so many.
const STEPS: u32 = 64;

#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// By bucket of microseconds.
    counts: Vec<u64>,
    count: u64,
    max: u32,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Histogram {
    /// A time in nanoseconds; an hour and more is an hour.
    pub(crate) fn note(&mut self, nanos: u64) {
        let us = u32::try_from(nanos / 1_000).unwrap_or(u32::MAX);
        let bucket = bucket(us);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(us);
    }

    pub(crate) fn add(&mut self, other: &Histogram) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn spread(&self) -> Spread {
        let ms = |us: u32| f64::from(us) / 1e3;
        Spread {
            p50: ms(self.percentile(0.5)),
            p95: ms(self.percentile(0.95)),
            p99: ms(self.percentile(0.99)),
            max: ms(self.max),
        }
    }

    /// The value below which that share lies, in microseconds; 0 of nothing.
    fn percentile(&self, share: f64) -> u32 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank.max(1) {
                return top(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(us: u32) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let doublings = us.ilog2() - STEPS.ilog2();
    (doublings * STEPS + (us >> doublings)) as usize
}

/// The highest value of a bucket.
fn top(bucket: usize) -> u32 {
    let bucket = bucket as u32;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let doublings = bucket / STEPS - 1;
    let step = u64::from(bucket - doublings * STEPS);
    u32::try_from(((step + 1) << doublings) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_put_in_it() {
        for us in [
            0,
            1,
            63,
            64,
            127,
            128,
            129,
            1_000,
            65_535,
            1 << 20,
            u32::MAX,
        ] {
            let top = top(bucket(us));
            assert!(top >= us, "{us} is under {top}");
            assert!(top - us <= us / STEPS, "{us} is near {top}");
        }
    }

    #[test]
    fn percentiles_are_near_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.spread().max, 0.0);
        for ms in 1..=100 {
            histogram.note(ms * 1_000_000);
        }
        let spread = histogram.spread();
        assert_eq!(spread.max, 100.0);
        for (found, exact) in [(spread.p50, 50.0), (spread.p95, 95.0), (spread.p99, 99.0)] {
            assert!((found - exact).abs() <= exact / 64.0, "{found} for {exact}");
        }
        let mut both = histogram.clone();
        both.add(&histogram);
        assert_eq!(both.spread(), spread);
    }
}
