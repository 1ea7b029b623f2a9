//! Token buckets: what a client or an address may ask for in a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Requests a second of one address that has no allocation for them, with five seconds' worth at
/// once: an office behind one address joins at nine. Each is answered by at most one message of
/// about its own size, and needs one HMAC.
pub const SOURCE_REQUESTS_PER_S: u32 = 100;

const SOURCE_BURST_S: u32 = 5;

/// Addresses whose budgets are kept; past it those of strangers are refused until some are idle.
pub const SOURCE_CAPACITY: usize = 16_384;

/// The least time between two searches for idle addresses when there is no room.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Tokens that grow back at a rate.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    most: f64,
    per_s: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(now: Instant, per_s: u32, burst: u32) -> Bucket {
        Bucket {
            tokens: f64::from(burst),
            most: f64::from(burst),
            per_s: f64::from(per_s),
            at: now,
        }
    }

    pub(crate) fn take(&mut self, now: Instant, tokens: usize) -> bool {
        self.refill(now);
        let enough = self.tokens >= tokens as f64;
        if enough {
            self.tokens -= tokens as f64;
        }
        enough
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= self.most
    }

    fn refill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_s).min(self.most);
        self.at = self.at.max(now);
    }
}

/// The budgets of addresses without an allocation.
#[derive(Default)]
pub(crate) struct Sources {
    buckets: BTreeMap<IpAddr, Bucket>,
    swept: Option<Instant>,
}

impl Sources {
    /// Whether `address` may ask once more.
    pub(crate) fn take(&mut self, now: Instant, address: IpAddr) -> bool {
        if !self.buckets.contains_key(&address) && self.buckets.len() >= SOURCE_CAPACITY {
            self.sweep(now);
            if self.buckets.len() >= SOURCE_CAPACITY {
                return false;
            }
        }
        let bucket = self.buckets.entry(address).or_insert_with(|| {
            let burst = SOURCE_REQUESTS_PER_S * SOURCE_BURST_S;
            Bucket::new(now, SOURCE_REQUESTS_PER_S, burst)
        });
        bucket.take(now, 1)
    }

    fn sweep(&mut self, now: Instant) {
        let swept = self.swept.map(|at| now.saturating_duration_since(at));
        if swept.is_some_and(|since| since < SWEEP_INTERVAL) {
            return;
        }
        self.swept = Some(now);
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
    }
}
