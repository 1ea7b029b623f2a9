//! How a client sends: the longest it was silent for of late.

use std::time::{Duration, Instant};

/// What was of late: this period and the one before.
const PERIOD: Duration = Duration::from_secs(2);
/// Who is silent for longer is not silent by habit, or sends too seldom to be missed.
const LONGEST: Duration = Duration::from_millis(450);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    last: Option<Instant>,
    began: Option<Instant>,
    longest: Duration,
    before: Option<Duration>,
}

impl Rhythm {
    pub(crate) fn heard(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if let Some(last) = self.last.replace(now) {
            self.longest = self.longest.max(now.saturating_duration_since(last));
        }
        if now.saturating_duration_since(began) >= PERIOD {
            self.before = Some(std::mem::take(&mut self.longest));
            self.began = Some(now);
        }
    }

    /// When it was heard last and its longest silence, if it sends all the time.
    pub(crate) fn usual(&self) -> Option<(Instant, Duration)> {
        let gap = self.longest.max(self.before?);
        Some((self.last?, gap)).filter(|_| gap <= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    #[test]
    fn who_sends_all_the_time_has_a_usual_silence_after_a_while() {
        let mut rhythm = Rhythm::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            assert_eq!(rhythm.usual(), None);
            rhythm.heard(now);
            now += STEP;
        }
        rhythm.heard(now);
        assert_eq!(rhythm.usual(), Some((now, STEP)));
        now += 5 * STEP;
        rhythm.heard(now);
        assert_eq!(rhythm.usual(), Some((now, 5 * STEP)));
    }

    #[test]
    fn who_sends_seldom_has_none_and_one_gap_is_forgotten() {
        let mut rhythm = Rhythm::default();
        let mut now = Instant::now();
        for _ in 0..10 {
            rhythm.heard(now);
            now += Duration::from_secs(1);
        }
        assert_eq!(rhythm.usual(), None);
        for _ in 0..2 * PERIOD.as_millis() / STEP.as_millis() + 100 {
            rhythm.heard(now);
            now += STEP;
        }
        assert_eq!(rhythm.usual().map(|(_, gap)| gap), Some(STEP));
    }
}
