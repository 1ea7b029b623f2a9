//! Who of many is heard: the loudest few of a room, by the levels that their packets tell (RFC 6464).
//!
//! A place is kept while its owner speaks and a while after; whoever begins to speak takes the place
//! of one who has stopped with its first packet. Only where all places belong to people who speak
//! now must a newcomer be louder than one of them, and for long enough to be no click.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::track::TrackKey;

/// Louder than this (in -dBov) counts as speech, as in `levels`.
const SPEECH: u8 = 35;
/// What a packet that tells no level is taken for: speech, as quiet as it gets.
const UNTOLD: u8 = SPEECH;
/// A place is its owner's for so long after the last speech: pauses within a sentence are shorter.
const HANG: Duration = Duration::from_millis(1_000);
/// Of the way to each packet's level that the loudness of a voice goes: a sentence that is 10 dB
/// louder takes 100 to 200 ms to be known as louder.
const SMOOTHING: f32 = 0.1;
/// How much louder (dB) a newcomer must be than one who speaks now: equals don't take turns.
const MARGIN: f32 = 3.0;
/// After so long without a packet, and with some missing before the next, a voice's numbering
/// starts anew: it was not carried meanwhile.
const GAP: Duration = Duration::from_millis(250);

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes on.
    Pass,
    /// It goes on, the first after some that did not.
    Anew,
    /// It goes nowhere.
    Hold,
}

#[derive(Debug)]
struct Speaker {
    /// dB above silence, of speech alone.
    loudness: f32,
    spoke: Option<Instant>,
    last: Instant,
    sequence: u64,
    heard: bool,
}

/// The voices of one room as one worker hears them.
#[derive(Debug)]
pub(crate) struct Loudest {
    most: usize,
    speakers: BTreeMap<TrackKey, Speaker>,
}

impl Loudest {
    /// At most `most` are heard at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            speakers: BTreeMap::new(),
        }
    }

    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most;
        while self.heard() > most
            && let Some((_, weakest)) = self.weakest(None)
        {
            weakest.heard = false;
        }
    }

    pub(crate) fn forget(&mut self, track: TrackKey) {
        self.speakers.remove(&track);
    }

    /// Take a packet of a track: its number, and the level that it tells in -dBov.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        track: TrackKey,
        sequence: u64,
        level: Option<u8>,
    ) -> Passage {
        let level = level.unwrap_or(UNTOLD);
        let speaks = level <= SPEECH;
        let speaker = self.speakers.entry(track).or_insert(Speaker {
            loudness: loudness(SPEECH),
            spoke: None,
            last: now,
            sequence,
            heard: false,
        });
        let paused = now.saturating_duration_since(speaker.last) > GAP;
        let gap = paused && sequence > speaker.sequence + 1;
        speaker.last = now;
        speaker.sequence = speaker.sequence.max(sequence);
        if speaks {
            if silent(speaker.spoke, now) {
                speaker.loudness = loudness(SPEECH);
            }
            speaker.spoke = Some(now);
            speaker.loudness += (loudness(level) - speaker.loudness) * SMOOTHING;
        }
        if speaker.heard {
            return if gap { Passage::Anew } else { Passage::Pass };
        }
        let own = speaker.loudness;
        if self.heard() >= self.most {
            let Some((spoke, weakest)) = self.weakest(Some(now)).filter(|_| speaks) else {
                return Passage::Hold;
            };
            if spoke && own < weakest.loudness + MARGIN {
                return Passage::Hold;
            }
            weakest.heard = false;
        }
        if let Some(speaker) = self.speakers.get_mut(&track) {
            speaker.heard = true;
        }
        Passage::Anew
    }

    fn heard(&self) -> usize {
        self.speakers.values().filter(|s| s.heard).count()
    }

    /// Who gives way first of those who are heard, and whether it speaks `now`: the longest silent,
    /// else the quietest.
    fn weakest(&mut self, now: Option<Instant>) -> Option<(bool, &mut Speaker)> {
        let speaks = |s: &Speaker| now.is_some_and(|now| !silent(s.spoke, now));
        let heard = self.speakers.values_mut().filter(|s| s.heard);
        let weakest = heard.min_by(|a, b| {
            let by_loudness = a.loudness.total_cmp(&b.loudness);
            match (speaks(a), speaks(b)) {
                (false, false) => a.spoke.cmp(&b.spoke).then(by_loudness),
                (true, true) => by_loudness,
                (a, b) => a.cmp(&b),
            }
        });
        weakest.map(|s| (speaks(s), s))
    }
}

fn silent(spoke: Option<Instant>, now: Instant) -> bool {
    spoke.is_none_or(|at| now.saturating_duration_since(at) > HANG)
}

fn loudness(level: u8) -> f32 {
    127.0 - f32::from(level.min(127))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's time starts somewhere")]
mod tests {
    use super::*;

    const QUIET: u8 = 70;

    /// A room in which each track sends a packet every 20 ms.
    struct Hall {
        now: Instant,
        sequence: u64,
        loudest: Loudest,
        /// Packets that went on, of each track.
        passed: Vec<Vec<Passage>>,
    }

    impl Hall {
        fn new(most: usize, tracks: usize) -> Hall {
            Hall {
                now: Instant::now(),
                sequence: 0,
                loudest: Loudest::new(most),
                passed: vec![vec![]; tracks],
            }
        }

        fn take(&mut self, track: TrackKey, level: Option<u8>) -> Passage {
            self.loudest.take(self.now, track, self.sequence, level)
        }

        /// So many packets of each, at these levels.
        fn speak(&mut self, packets: usize, levels: &[u8]) {
            self.passed.iter_mut().for_each(Vec::clear);
            for _ in 0..packets {
                self.now += Duration::from_millis(20);
                self.sequence += 1;
                for (track, level) in levels.iter().enumerate() {
                    let passage = self.take(track as u32, Some(*level));
                    self.passed[track].push(passage);
                    assert!(self.loudest.heard() <= self.loudest.most);
                }
            }
        }

        /// How many packets of each went on.
        fn passed(&self) -> Vec<usize> {
            let on = |of: &Vec<Passage>| of.iter().filter(|p| **p != Passage::Hold).count();
            self.passed.iter().map(on).collect()
        }
    }

    #[test]
    fn no_more_than_the_loudest_few_are_heard() {
        let mut hall = Hall::new(3, 6);
        // The quiet ones are there first.
        hall.speak(100, &[30, 30, 30, QUIET, QUIET, QUIET]);
        assert_eq!(hall.passed(), [100, 100, 100, 0, 0, 0]);
        hall.speak(50, &[30, 30, 30, 12, 15, 18]);
        hall.speak(100, &[30, 30, 30, 12, 15, 18]);
        assert_eq!(hall.passed(), [0, 0, 0, 100, 100, 100]);
    }

    #[test]
    fn while_there_is_room_everyone_is_heard_silence_included() {
        let mut hall = Hall::new(3, 3);
        hall.speak(10, &[QUIET, 20, 127]);
        assert_eq!(hall.passed(), [10, 10, 10]);
        assert_eq!(hall.passed[1][..2], [Passage::Anew, Passage::Pass]);
    }

    #[test]
    fn who_begins_to_speak_is_heard_from_the_first_packet() {
        let mut hall = Hall::new(2, 3);
        hall.speak(100, &[20, 20, QUIET]);
        // One stops, and has its place a while longer; then another begins, more quietly.
        hall.speak(52, &[20, QUIET, QUIET]);
        assert_eq!(hall.passed(), [52, 52, 0]);
        hall.speak(100, &[20, QUIET, 33]);
        assert_eq!(
            hall.passed(),
            [100, 1, 100],
            "one came before it in that round"
        );
        assert_eq!(hall.passed[2][0], Passage::Anew);
    }

    #[test]
    fn a_pause_in_a_sentence_loses_no_place() {
        let mut hall = Hall::new(1, 2);
        hall.speak(50, &[20, QUIET]);
        for _ in 0..5 {
            hall.speak(40, &[QUIET, 22]);
            assert_eq!(hall.passed(), [40, 0], "a pause of 800 ms");
            hall.speak(20, &[20, 22]);
            assert_eq!(hall.passed(), [20, 0]);
        }
    }

    #[test]
    fn among_people_who_speak_only_the_clearly_louder_gets_in_and_soon() {
        let mut hall = Hall::new(1, 2);
        hall.speak(100, &[25, QUIET]);
        hall.speak(200, &[25, 23]);
        assert_eq!(hall.passed(), [200, 0], "equals take no turns");
        hall.speak(60, &[25, QUIET]);
        hall.speak(3, &[25, 5]);
        assert_eq!(hall.passed(), [3, 0], "a click is no speech");
        hall.speak(60, &[25, QUIET]);
        hall.speak(50, &[25, 10]);
        let late = hall.passed[1].iter().position(|p| *p == Passage::Anew);
        assert!(late.is_some_and(|n| (3..15).contains(&n)), "{late:?}");
    }

    #[test]
    fn a_voice_that_was_not_carried_for_a_while_starts_anew() {
        let mut hall = Hall::new(2, 1);
        hall.speak(10, &[20]);
        hall.now += Duration::from_millis(200);
        hall.speak(1, &[20]);
        assert_eq!(hall.passed[0], [Passage::Pass]);
        hall.now += Duration::from_millis(300);
        hall.speak(1, &[20]);
        assert_eq!(hall.passed[0], [Passage::Pass], "DTX: nothing is missing");
        hall.now += Duration::from_millis(300);
        hall.sequence += 20;
        hall.speak(2, &[20]);
        assert_eq!(hall.passed[0], [Passage::Anew, Passage::Pass]);
    }

    #[test]
    fn who_tells_no_level_is_taken_for_quiet_speech() {
        let mut hall = Hall::new(1, 1);
        hall.speak(100, &[QUIET]);
        let untold = |hall: &mut Hall| {
            hall.now += Duration::from_millis(20);
            hall.take(7, None)
        };
        assert_eq!(untold(&mut hall), Passage::Anew, "it is no silence");
        hall.speak(50, &[20]);
        assert_eq!(
            untold(&mut hall),
            Passage::Hold,
            "and gives way to whoever speaks up"
        );
    }

    #[test]
    fn fewer_places_end_the_weakest_and_who_left_keeps_none() {
        let mut hall = Hall::new(3, 3);
        hall.speak(100, &[30, 20, 10]);
        hall.loudest.limit(2);
        hall.speak(10, &[30, 20, 10]);
        assert_eq!(hall.passed(), [0, 10, 10]);
        hall.loudest.forget(2);
        hall.speak(10, &[30, 20]);
        assert_eq!(hall.passed(), [10, 10, 0]);
        assert_eq!(hall.loudest.speakers.len(), 2);
    }
}
