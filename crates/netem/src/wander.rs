//! A delay's random walk: the same for one seed, whatever is sent meanwhile.

use std::time::{Duration, Instant};

use crate::weather::Wander;

/// A walk that nobody looked at for longer goes on from where it was.
const MAX_STEPS: u32 = 600;

pub(crate) struct Walk {
    rng: fastrand::Rng,
    extra: Duration,
    /// When its next step is due; None before the first look.
    next: Option<Instant>,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Walk {
        Walk {
            rng: fastrand::Rng::with_seed(seed),
            extra: Duration::ZERO,
            next: None,
        }
    }

    /// What it adds to the delay at `now`. It turns back at its bounds.
    pub(crate) fn at(&mut self, now: Instant, wander: Wander) -> Duration {
        let mut next = self.next.unwrap_or(now);
        let mut steps = 0;
        while next <= now {
            steps += 1;
            if steps > MAX_STEPS {
                next = now + Wander::INTERVAL;
                break;
            }
            let way = self.rng.f64();
            self.extra = if self.rng.bool() {
                let up = self.extra + wander.step.mul_f64(way);
                up.min((2 * wander.max).saturating_sub(up))
            } else {
                let down = wander.step.mul_f64(way);
                self.extra.abs_diff(down)
            };
            self.extra = self.extra.min(wander.max);
            next += Wander::INTERVAL;
        }
        self.next = Some(next);
        self.extra
    }
}
