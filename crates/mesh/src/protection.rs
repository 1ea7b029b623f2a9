//! Copies on second paths: what travels twice, and what that may cost.

use std::time::Instant;

use wire::Class;

/// Which packets of a local video stream go on second paths as well. Sound always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copies {
    /// None: while all is well the picture travels once.
    Never,
    /// What the picture can't do without: keyframes, and all of a base.
    #[default]
    Base,
    /// Every packet.
    Always,
}

impl Copies {
    /// As which class a packet of `class` is copied.
    pub(crate) fn class(self, class: Class) -> Class {
        match (self, class) {
            (Copies::Never, Class::Base) => Class::Rest,
            (Copies::Always, Class::Rest) => Class::Base,
            _ => class,
        }
    }
}

/// What copies may cost; both limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Protection {
    /// Of the bytes that go on first paths, 0 to 1.
    pub share: Option<f32>,
    /// Bits per second.
    pub rate: Option<u64>,
}

/// Bytes of copies that may go at once under a share: a keyframe's.
const SHARE_BURST: f64 = 128_000.0;
/// Under a rate: what it brings in this many seconds, and at least two datagrams.
const RATE_SECONDS: f64 = 0.5;
const MIN_BURST: f64 = 2_700.0;

/// Token buckets for copies, in bytes times links crossed.
pub(crate) struct Budget {
    limits: Protection,
    share: f64,
    rate: f64,
    filled: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Budget {
        Budget {
            limits: Protection::default(),
            share: SHARE_BURST,
            rate: f64::INFINITY,
            filled: now,
        }
    }

    pub(crate) fn limit(&mut self, limits: Protection) {
        self.limits = limits;
        self.rate = self.rate.min(self.burst());
    }

    fn burst(&self) -> f64 {
        let rate = self.limits.rate.map(|rate| rate as f64 / 8.0);
        rate.map_or(f64::INFINITY, |rate| (rate * RATE_SECONDS).max(MIN_BURST))
    }

    /// So many bytes go on first paths.
    pub(crate) fn on_first(&mut self, bytes: u64) {
        if let Some(share) = self.limits.share {
            self.share = (self.share + f64::from(share) * bytes as f64).min(SHARE_BURST);
        }
    }

    /// Whether copies of so many bytes may go. What a class leaves in the bucket is for the
    /// classes that are missed more: base copies end first, then data, audio last.
    pub(crate) fn take(&mut self, now: Instant, class: Class, bytes: u64) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        if let Some(rate) = self.limits.rate {
            self.rate = (self.rate + elapsed * rate as f64 / 8.0).min(self.burst());
        }
        let bytes = bytes as f64;
        let spare = match class {
            Class::Audio => 0.0,
            Class::Control => 0.25,
            Class::Base => 0.5,
            Class::Rest => 0.75,
        };
        let share = self
            .limits
            .share
            .is_none_or(|share| share > 0.0 && self.share - bytes >= spare * SHARE_BURST);
        let rate = self
            .limits
            .rate
            .is_none_or(|rate| rate > 0 && self.rate - bytes >= spare * self.burst());
        if share && rate {
            self.share -= bytes;
            self.rate -= bytes;
        }
        share && rate
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::time::Duration;

    use super::*;

    /// What of 10 s of 50 copies of each class a second goes, and with what on first paths.
    fn ten_seconds(limits: Protection) -> [u32; 4] {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        budget.limit(limits);
        let mut taken = [0; 4];
        for i in 0..500 {
            let now = start + Duration::from_millis(20) * i;
            for class in Class::ALL {
                budget.on_first(1_000);
                taken[class.number()] += u32::from(budget.take(now, class, 1_000));
            }
        }
        taken
    }

    #[test]
    fn without_limits_all_goes_and_with_none_allowed_nothing() {
        assert_eq!(ten_seconds(Protection::default()), [500; 4]);
        let share = Some(0.0);
        assert_eq!(ten_seconds(Protection { share, rate: None }), [0; 4]);
        let rate = Some(0);
        assert_eq!(ten_seconds(Protection { share: None, rate }), [0; 4]);
    }

    #[test]
    fn the_rest_ends_first_then_the_base_then_data_and_audio_last() {
        // Half of what is asked for.
        let rate = Some(800_000);
        for limits in [
            Protection {
                share: Some(0.5),
                rate: None,
            },
            Protection { share: None, rate },
        ] {
            let [control, audio, base, rest] = ten_seconds(limits);
            assert_eq!(audio, 500, "{limits:?}");
            assert!(control > 450, "{control} under {limits:?}");
            assert!(base < 100 && rest < 50, "{base} {rest} under {limits:?}");
            let sum = control + audio + base + rest;
            assert!((950..=1_150).contains(&sum), "{sum} under {limits:?}");
        }
    }
}
