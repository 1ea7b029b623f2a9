//! Percentiles of durations over the last seconds, from a histogram: no sample is kept.

/// Four steps to each doubling, from 32 us to 2 s.
const BUCKETS: usize = 64;
const UNIT_SHIFT: u32 = 5;
/// A sample weighs this much when it comes, and an eighth less with each second.
const WEIGHT: u32 = 64;

pub(crate) struct Spread {
    weights: [u32; BUCKETS],
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            weights: [0; BUCKETS],
        }
    }
}

impl Spread {
    pub(crate) fn put(&mut self, us: u32) {
        let weight = &mut self.weights[bucket(us)];
        *weight = weight.saturating_add(WEIGHT);
    }

    /// A second is over.
    pub(crate) fn roll(&mut self) {
        for weight in &mut self.weights {
            *weight = (u64::from(*weight) * 7 / 8) as u32;
        }
    }

    /// Microseconds that a `share` of the samples does not exceed; 0 without samples.
    pub(crate) fn percentile(&self, share: f32) -> u32 {
        let all: u64 = self.weights.iter().map(|w| u64::from(*w)).sum();
        let wanted = (all as f64 * f64::from(share)).ceil() as u64;
        let mut sum = 0;
        for (i, weight) in self.weights.iter().enumerate() {
            sum += u64::from(*weight);
            if sum >= wanted && sum > 0 {
                return upper(i);
            }
        }
        0
    }
}

fn bucket(us: u32) -> usize {
    let units = us >> UNIT_SHIFT;
    if units < 4 {
        return units as usize;
    }
    let log = units.ilog2();
    let quarter = (units >> (log - 2)) & 3;
    ((log - 1) * 4 + quarter).min(BUCKETS as u32 - 1) as usize
}

/// The least value past a bucket.
fn upper(bucket: usize) -> u32 {
    let next = bucket as u32 + 1;
    if next <= 4 {
        return next << UNIT_SHIFT;
    }
    let (log, quarter) = (next / 4 + 1, next % 4);
    ((4 + quarter) << (log - 2)) << UNIT_SHIFT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_value_lies_below_its_bucket_and_near(us in 0u32..2_000_000) {
            let above = upper(bucket(us));
            prop_assert!(us < above, "{us} {above}");
            prop_assert!(above <= us + us / 4 + 32, "{us} {above}");
        }
    }

    #[test]
    fn percentiles_and_forgetting() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile(0.95), 0);
        for i in 0..1_000 {
            spread.put(if i % 50 == 0 { 20_000 } else { 1_000 });
        }
        assert!((1_000..1_300).contains(&spread.percentile(0.95)));
        assert!((20_000..25_000).contains(&spread.percentile(0.99)));
        for _ in 0..200 {
            spread.roll();
        }
        assert_eq!(spread.percentile(0.99), 0);
    }
}
