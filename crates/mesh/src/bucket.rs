//! Token buckets: one filled by time, one filled by what is sent.

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

/// Bytes that may be spent on top of what is sent: a share of it, saved up to a burst.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: f32,
    burst: f32,
}

impl Allowance {
    /// Full.
    pub(crate) fn new(burst: usize) -> Allowance {
        Allowance {
            bytes: burst as f32,
            burst: burst as f32,
        }
    }

    pub(crate) fn earn(&mut self, bytes: usize, share: f32) {
        self.bytes = (self.bytes + bytes as f32 * share).min(self.burst);
    }

    /// Spend, but leave this part of the burst (0 to 1) to others.
    pub(crate) fn spend(&mut self, bytes: usize, leave: f32) -> bool {
        let enough = self.bytes - bytes as f32 >= self.burst * leave;
        if enough {
            self.bytes -= bytes as f32;
        }
        enough
    }
}
