//! Which layer of each video track a subscriber gets: the best one asked for, alive and fitting.

use wire::StreamId;

/// Bits per second that a layer is taken to need until it was measured, by quality.
const NOMINAL: [u64; 3] = [200_000, 600_000, 2_000_000];
/// Share of the estimate that may be planned with; the rest is repair and error.
const USABLE: f64 = 0.85;
/// Bits per second of a voice, and of each time that its frames are repeated.
const VOICE: u64 = 32_000;

/// A layer as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) stream: StreamId,
    pub(crate) quality: u8,
    pub(crate) alive: bool,
    /// Measured bits per second.
    pub(crate) bitrate: Option<u64>,
}

impl Candidate {
    pub(crate) fn needs(&self) -> u64 {
        let nominal = NOMINAL[usize::from(self.quality.min(2))];
        self.bitrate.filter(|b| *b > 0).unwrap_or(nominal)
    }
}

/// What of an estimate (bits per second) is left for one of `tracks` video tracks when `voices`
/// have what they need, each with its frames repeated `repeats` times.
pub(crate) fn share(estimate: u64, voices: usize, repeats: usize, tracks: usize) -> u64 {
    let usable = (estimate as f64 * USABLE) as u64;
    let speech = VOICE * (voices * (1 + repeats)) as u64;
    usable.saturating_sub(speech) / tracks.max(1) as u64
}

/// The best layer up to `max_quality` within `budget`; the lowest living one if none fits.
///
/// Layers that nobody sends are chosen only if there is no other: one of them may come alive.
pub(crate) fn choose(layers: &[Candidate], max_quality: u8, budget: u64) -> Option<StreamId> {
    let asked = || layers.iter().filter(|l| l.quality <= max_quality);
    let fitting = asked().rfind(|l| l.alive && l.needs() <= budget);
    let lowest = || layers.iter().find(|l| l.alive);
    let hope = || asked().next_back().or(layers.first());
    fitting.or_else(lowest).or_else(hope).map(|l| l.stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(alive: [bool; 3]) -> Vec<Candidate> {
        (0..3u8)
            .map(|quality| Candidate {
                stream: StreamId(u64::from(quality)),
                quality,
                alive: alive[usize::from(quality)],
                bitrate: Some(100_000 << (2 * quality)),
            })
            .collect()
    }

    #[test]
    fn the_best_that_fits_is_alive_and_asked_for() {
        let all = layers([true; 3]);
        assert_eq!(choose(&all, 2, 10_000_000), Some(StreamId(2)));
        assert_eq!(choose(&all, 1, 10_000_000), Some(StreamId(1)));
        assert_eq!(choose(&all, 2, 500_000), Some(StreamId(1)));
        assert_eq!(
            choose(&layers([true, true, false]), 2, 10_000_000),
            Some(StreamId(1))
        );
    }

    #[test]
    fn speech_comes_first() {
        assert_eq!(share(1_000_000, 0, 1, 1), 850_000);
        assert_eq!(share(1_000_000, 0, 4, 2), 425_000);
        assert_eq!(share(1_000_000, 1, 4, 1), 690_000);
        assert_eq!(share(1_000_000, 3, 4, 2), 185_000);
        assert_eq!(share(100_000, 3, 4, 1), 0);
    }

    #[test]
    fn something_rather_than_nothing() {
        assert_eq!(choose(&layers([true; 3]), 2, 1_000), Some(StreamId(0)));
        assert_eq!(choose(&layers([false; 3]), 2, 1_000), Some(StreamId(2)));
        assert_eq!(choose(&[], 2, 1_000), None);
    }
}
