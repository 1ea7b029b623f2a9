//! The shortest one-way delay of this and the time before (µs, between the clocks of both ends): that of
//! a way on which nothing waits.

use std::time::{Duration, Instant};

use crate::plateau::JUMP;

/// The shortest delay of so long is that of an empty queue.
const BASE_OVER: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Base {
    pub(crate) now: Option<i64>,
    before: Option<i64>,
    turned_at: Option<Instant>,
}

impl Base {
    /// Take a packet's delay; how much longer it is than the shortest (µs).
    pub(crate) fn observe(&mut self, now: Instant, delay: i64) -> i64 {
        let old = self.now.or(self.before);
        if old.is_some_and(|old| (delay - old).abs() > JUMP) {
            *self = Base::default();
        }
        if now >= *self.turned_at.get_or_insert(now) + BASE_OVER {
            self.turned_at = Some(now);
            self.before = self.now.take();
        }
        let least = self.now.map_or(delay, |least| least.min(delay));
        self.now = Some(least);
        delay - self.before.map_or(least, |before| before.min(least))
    }

    /// The way itself takes so much longer (µs).
    pub(crate) fn rise(&mut self, longer: i64) {
        let least = [self.now, self.before].into_iter().flatten().min();
        self.now = least.map(|least| least + longer);
        self.before = None;
    }
}
