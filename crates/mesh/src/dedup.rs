//! Which packets of a stream have come: each leaves the mesh once.

use wire::Format;

/// How far behind the newest a packet may come, in sequence numbers.
const WINDOW: u64 = 1024;
const WORDS: usize = WINDOW as usize / 64;
/// Formats that one stream may be in (Opus and RED, say); the least recently new goes first.
const MAX_FORMATS: usize = 4;

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    First,
    Duplicate,
    /// Too old to tell.
    Ancient,
}

#[derive(Default)]
pub(crate) struct Dedup(Vec<(Format, Window)>);

impl Dedup {
    pub(crate) fn check(&mut self, format: Format, sequence: u64) -> Verdict {
        if let Some((_, window)) = self.0.iter_mut().find(|(f, _)| *f == format) {
            return window.check(sequence);
        }
        if self.0.len() == MAX_FORMATS {
            self.0.remove(0);
        }
        let mut window = Window {
            highest: sequence,
            words: [0; WORDS],
        };
        let verdict = window.check(sequence);
        self.0.push((format, window));
        verdict
    }
}

struct Window {
    highest: u64,
    words: [u64; WORDS],
}

impl Window {
    fn check(&mut self, sequence: u64) -> Verdict {
        let bit = 1 << (sequence % 64);
        if sequence > self.highest {
            let fresh = sequence / 64 - self.highest / 64;
            for i in 0..fresh.min(WORDS as u64) {
                self.words[word(sequence - i * 64)] = 0;
            }
            self.highest = sequence;
        } else if self.highest - sequence >= WINDOW - 64 {
            return Verdict::Ancient;
        } else if self.words[word(sequence)] & bit != 0 {
            return Verdict::Duplicate;
        }
        self.words[word(sequence)] |= bit;
        Verdict::First
    }
}

fn word(sequence: u64) -> usize {
    (sequence / 64) as usize % WORDS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_packet_passes_twice(steps in prop::collection::vec((0u64..400, any::<bool>()), 1..600)) {
            let mut dedup = Dedup::default();
            let (mut passed, mut highest) = (HashSet::new(), 5_000u64);
            dedup.check(Format::Opus, highest);
            passed.insert(highest);
            for (step, forward) in steps {
                let sequence = if forward { highest + step / 20 } else { highest - step };
                highest = highest.max(sequence);
                let verdict = dedup.check(Format::Opus, sequence);
                prop_assert_eq!(verdict == Verdict::First, passed.insert(sequence));
            }
        }
    }

    #[test]
    fn formats_are_apart_and_the_old_is_refused() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.check(Format::Opus, 9_000), Verdict::First);
        assert_eq!(dedup.check(Format::Red, 9_000), Verdict::First);
        assert_eq!(dedup.check(Format::Opus, 9_000), Verdict::Duplicate);
        assert_eq!(dedup.check(Format::Opus, 1), Verdict::Ancient);
        assert_eq!(dedup.check(Format::Opus, u64::MAX), Verdict::First);
        assert_eq!(dedup.check(Format::Opus, u64::MAX), Verdict::Duplicate);
    }
}
