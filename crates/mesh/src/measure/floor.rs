//! The least of the last minute, in steps: what a clock's drift can't walk away from.

const BUCKETS: usize = 6;
const SECONDS: u8 = 10;

/// The least of what was put in over the last 50 to 60 seconds.
pub(crate) struct Floor {
    buckets: [i32; BUCKETS],
    at: usize,
    seconds: u8,
}

impl Default for Floor {
    fn default() -> Self {
        Floor {
            buckets: [i32::MAX; BUCKETS],
            at: 0,
            seconds: 0,
        }
    }
}

impl Floor {
    pub(crate) fn put(&mut self, value: i32) {
        let bucket = &mut self.buckets[self.at];
        *bucket = value.min(*bucket);
    }

    pub(crate) fn get(&self) -> Option<i32> {
        let least = self.buckets.iter().copied().min();
        least.filter(|least| *least != i32::MAX)
    }

    /// A second is over.
    pub(crate) fn roll(&mut self) {
        self.seconds += 1;
        if self.seconds == SECONDS {
            self.seconds = 0;
            self.at = (self.at + 1) % BUCKETS;
            self.buckets[self.at] = i32::MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_is_over_a_minute_old() {
        let mut floor = Floor::default();
        assert_eq!(floor.get(), None);
        floor.put(5);
        for second in 0..60 {
            assert_eq!(floor.get(), Some(5), "after {second} s");
            floor.put(9);
            floor.roll();
        }
        assert_eq!(floor.get(), Some(9));
    }
}
