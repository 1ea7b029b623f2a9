//! What one subscriber heard: which packets, how often, and how long each was under way.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::media::Stamp;

/// Packets of one publisher, by number.
pub(crate) type Window = BTreeMap<u32, Range<u32>>;

#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// A bit for each packet number, by publisher.
    seen: BTreeMap<u32, Vec<u64>>,
    heard: Vec<(Stamp, u32)>,
    pub(crate) duplicates: u64,
}

/// What all subscribers heard of a window.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    /// Microseconds, one for each packet received.
    pub(crate) delays: Vec<u32>,
}

impl Hearing {
    /// A packet that arrived `at` nanoseconds after the run's epoch.
    pub(crate) fn note(&mut self, stamp: Stamp, at: u64) {
        let seen = self.seen.entry(stamp.publisher).or_default();
        let (word, bit) = ((stamp.number / 64) as usize, 1 << (stamp.number % 64));
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        if seen[word] & bit != 0 {
            self.duplicates += 1;
            return;
        }
        seen[word] |= bit;
        let delay = at.saturating_sub(stamp.at) / 1_000;
        let delay = u32::try_from(delay).unwrap_or(u32::MAX);
        self.heard.push((stamp, delay));
    }

    pub(crate) fn hears(&self, publishers: usize) -> bool {
        self.seen.len() >= publishers
    }

    /// Adds what this subscriber heard of the window.
    pub(crate) fn add_to(&self, sum: &mut Sum, window: &Window) {
        let within = |stamp: &Stamp| {
            let range = window.get(&stamp.publisher);
            range.is_some_and(|range| range.contains(&stamp.number))
        };
        let before = sum.delays.len();
        let heard = self.heard.iter().filter(|(stamp, _)| within(stamp));
        sum.delays.extend(heard.map(|(_, delay)| *delay));
        let received = (sum.delays.len() - before) as u64;
        let sent: u64 = window.values().map(|range| range.len() as u64).sum();
        sum.received += received;
        sum.lost += sent - received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_twice_heard_and_late_are_told_apart() {
        let mut hearing = Hearing::default();
        for number in [0, 1, 2, 2, 130, 3] {
            let stamp = Stamp {
                publisher: 1,
                number,
                at: 1_000,
            };
            hearing.note(stamp, 51_000);
        }
        assert_eq!(hearing.duplicates, 1);
        assert!(hearing.hears(1) && !hearing.hears(2));
        let mut sum = Sum::default();
        hearing.add_to(&mut sum, &[(1, 2..6), (2, 0..10)].into());
        assert_eq!((sum.received, sum.lost), (2, 12));
        assert_eq!(sum.delays, [50, 50]);
    }
}
