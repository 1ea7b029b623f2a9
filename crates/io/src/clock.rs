//! The one place in the packet path where time is read.

use std::time::Instant;

/// Monotonic time, now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the clock is asked"
)]
pub fn now() -> Instant {
    Instant::now()
}
