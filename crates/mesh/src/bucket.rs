//! A token bucket.

use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) tokens: f32,
    pub(crate) filled: Instant,
}

impl Bucket {
    /// Take a token if there is one; `rate` of them come in a second, at most `burst` wait.
    pub(crate) fn take(&mut self, now: Instant, burst: f32, rate: f32) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f32();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * rate).min(burst);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}
