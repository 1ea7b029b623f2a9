//! Random loss as a schedule: the fate of a packet is a hash of its seed, its millisecond and its
//! place in there, so that a packet that nobody asked for changes nothing after its millisecond.

use std::time::{Duration, Instant};

/// Within one, the fates of packets go by their order.
const BIN: Duration = Duration::from_millis(1);

pub(crate) struct Fates {
    seed: u64,
    share: f32,
    /// When the first bin begins; None before the first packet.
    begun: Option<Instant>,
    bin: u64,
    /// Packets in it so far.
    seen: u64,
}

impl Fates {
    pub(crate) fn new(share: f32, seed: u64) -> Fates {
        Fates {
            seed,
            share,
            begun: None,
            bin: 0,
            seen: 0,
        }
    }

    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    pub(crate) fn is_lost(&mut self, now: Instant) -> bool {
        let begun = *self.begun.get_or_insert(now);
        let bin = (now.saturating_duration_since(begun).as_nanos() / BIN.as_nanos()) as u64;
        if bin != self.bin {
            (self.bin, self.seen) = (bin, 0);
        }
        let drawn = mixed(mixed(mixed(self.seed) ^ bin) ^ self.seen);
        self.seen += 1;
        // The upper 53 bits are all that a float holds.
        ((drawn >> 11) as f64) < f64::from(self.share) * (1u64 << 53) as f64
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    fn lost(seed: u64, share: f32, at_ms: impl Iterator<Item = u64>) -> Vec<bool> {
        let start = Instant::now();
        let mut fates = Fates::new(share, seed);
        fates.begin(start);
        at_ms
            .map(|ms| fates.is_lost(start + Duration::from_millis(ms)))
            .collect()
    }

    #[test]
    fn it_loses_its_share_each_by_its_own() {
        let all = lost(3, 0.3, (0..200_000).map(|n| n / 2));
        let share = all.iter().filter(|lost| **lost).count() as f64 / all.len() as f64;
        assert!((0.295..0.305).contains(&share), "{share}");
        let both = all.windows(2).filter(|two| two[0] && two[1]).count() as f64;
        let both = both / all.len() as f64;
        assert!((0.085..0.095).contains(&both), "{both}");
        assert!(lost(3, 0.0, 0..1_000).iter().all(|lost| !lost));
        assert!(lost(3, 1.0, 0..1_000).iter().all(|lost| *lost));
    }

    #[test]
    fn a_stray_packet_changes_nothing_after_its_millisecond() {
        let quiet = lost(9, 0.5, (0..2_000).map(|n| 5 * n));
        let strays = (0..4_000).map(|n| 5 * (n / 2) + 2 * (n % 2));
        let noisy = lost(9, 0.5, strays);
        let ours: Vec<bool> = noisy.into_iter().step_by(2).collect();
        assert_eq!(quiet, ours);
        assert_ne!(quiet, lost(10, 0.5, (0..2_000).map(|n| 5 * n)));
    }
}
