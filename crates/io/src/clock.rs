//! The one place in the packet path where time is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the clock is asked"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, now: what credentials and certificates end by.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the clock is asked"
)]
pub(crate) fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
