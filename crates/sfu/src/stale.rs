//! Sound that was held on its way up and comes all at once: listeners would play it late, and then
//! faster until they have caught up. What is stale is dropped; it was silence to them already.

use std::time::{Duration, Instant};

use crate::codec;
use wire::MediaPacket;

/// Later than this against the earliest of late, sound was held somewhere.
const HELD: Duration = Duration::from_millis(400);
/// Of what was held, what is no later than this is let through.
const FRESH: Duration = Duration::from_millis(100);
/// Sound that is late for longer is not a flood: its way has become longer.
const FLOOD: Duration = Duration::from_millis(200);
/// The earliest is that of the last one to two of these: clocks drift apart.
const WINDOW: Duration = Duration::from_secs(10);

/// One stream of sound.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    /// When the first packet came: offsets count from here.
    began: Option<Instant>,
    newest: Option<Newest>,
    /// The least offset (µs) of this window and of the one before, and since when this is.
    least: [Option<i64>; 2],
    window: Option<Instant>,
    flood: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u64,
    timestamp: u32,
    /// When it should have come (µs), by the clock of whoever made it.
    due: i64,
}

impl Stale {
    /// Whether a packet is to be dropped. What was lost and comes again never is.
    pub(crate) fn is_stale(&mut self, now: Instant, packet: &MediaPacket) -> bool {
        if self.newest.is_some_and(|n| packet.sequence <= n.sequence) {
            return false;
        }
        let clock = i64::from(codec::clock(packet.format));
        let due = self.newest.map_or(0, |n| {
            let ticks = packet.timestamp.wrapping_sub(n.timestamp) as i32;
            n.due + i64::from(ticks) * 1_000_000 / clock
        });
        self.newest = Some(Newest {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            due,
        });
        let began = *self.began.get_or_insert(now);
        let offset = now.saturating_duration_since(began).as_micros() as i64 - due;
        let late = |least: i64| Duration::from_micros((offset - least).max(0) as u64);
        let earliest = self.least.into_iter().flatten().min();
        let late = earliest.map_or(Duration::ZERO, late);
        let limit = if self.flood.is_some() { FRESH } else { HELD };
        if late <= limit {
            self.flood = None;
            self.observe(now, offset);
            return false;
        }
        let since = *self.flood.get_or_insert(now);
        if now.saturating_duration_since(since) <= FLOOD {
            return true;
        }
        (self.least, self.flood) = ([Some(offset), None], None);
        false
    }

    fn observe(&mut self, now: Instant, offset: i64) {
        if self.window.is_none_or(|since| now >= since + WINDOW) {
            self.window = Some(now);
            self.least = [None, self.least[0]];
        }
        self.least[0] = Some(self.least[0].map_or(offset, |least| least.min(offset)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use wire::Format;

    use super::*;
    use crate::layering::samples::packet;

    struct Way {
        stale: Stale,
        zero: Instant,
        dropped: Vec<u64>,
    }

    impl Way {
        fn new() -> Self {
            Self {
                stale: Stale::default(),
                zero: Instant::now(),
                dropped: vec![],
            }
        }

        /// A frame of 20 ms arrives so many ms after the beginning.
        fn arrives(&mut self, n: u64, at: u64) {
            let mut packet = packet(Format::Opus, n, 0);
            packet.timestamp = (n as u32).wrapping_mul(960).wrapping_sub(5_000);
            let now = self.zero + Duration::from_millis(at);
            if self.stale.is_stale(now, &packet) {
                self.dropped.push(n);
            }
        }
    }

    #[test]
    fn of_a_flood_the_newest_is_let_through() {
        let mut way = Way::new();
        for n in 0..100 {
            way.arrives(n, 20 * n + 50);
        }
        // A second and a half is held, and comes within 15 ms.
        for n in 100..175 {
            way.arrives(n, 3_500 + n % 15);
        }
        for n in 175..300 {
            way.arrives(n, 20 * n + 50);
        }
        assert_eq!(way.dropped, (100..168).collect::<Vec<_>>());
    }

    #[test]
    fn jitter_a_longer_way_and_what_is_sent_again_pass() {
        let mut way = Way::new();
        for n in 0..100 {
            way.arrives(n, 20 * n + 50 + 350 * (n % 2));
        }
        way.arrives(40, 5_000);
        assert_eq!(way.dropped, []);
        // From now on everything takes half a second longer.
        for n in 100..200 {
            way.arrives(n, 20 * n + 600);
        }
        assert_eq!(way.dropped.len(), 11, "for {FLOOD:?}");
    }

    #[test]
    fn a_clock_that_drifts_or_jumps_costs_little() {
        let mut way = Way::new();
        // 300 parts in a million: half a second in half an hour.
        for n in 0..100_000 {
            way.arrives(n, 20 * n + 6 * n / 1_000);
        }
        assert_eq!(way.dropped, []);
        for (n, from) in [
            (200_000, 100_000),
            (150_000, 101_000),
            (u64::MAX / 2, 102_000),
        ] {
            for k in 0..100 {
                way.arrives(n + k, 20 * (from + k));
            }
        }
        assert!(way.dropped.len() <= 33, "{}", way.dropped.len());
    }
}
