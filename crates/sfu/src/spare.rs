//! Other ways to a client whose own fell silent. A client that lost its Wi-Fi goes over to its
//! other access only after seconds (libwebrtc: 3.5 s), but takes at once what comes over it, and goes
//! at once where it is told to (`transport/checks.rs`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::rhythm::Rhythm;
use crate::values::{Protocol, Transmit};

/// An address of ours and one of the client's.
pub(crate) type Place = (SocketAddr, SocketAddr);

/// A client that gets media answers several times in this, beside a round trip.
const SILENT: Duration = Duration::from_millis(900);
/// Who sends all the time is asked after so much silence, and taken to be gone after twice that, at
/// the least: a network may well hold what it has for a while.
const DOUBT: Duration = Duration::from_millis(150);
/// Beside a round trip, for an answer over the way that is in doubt.
const ANSWER: Duration = Duration::from_millis(100);
/// Between checks while the client is asked, for so many, and from then on.
const ASK_EACH: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
const ASKED_OFTEN: u32 = 12;
/// So much is missing after that long that sending it again would take longer than a keyframe.
const GONE: Duration = Duration::from_millis(1_500);
/// A client that does not move in so long has no other way; and whoever checks in somebody else's
/// name (a forged source address) has nothing sent there for longer.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// A way that was checked so lately may still be open: libwebrtc checks those that it does not use
/// each 25 s.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Ways that are remembered; the one checked longest ago is forgotten.
const MAX_SPARES: usize = 2;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// Ways that the client checked, and when last; the latest is last.
    checked: Vec<(Place, Instant)>,
    /// Since when the client gets something and is not heard.
    unanswered: Option<Instant>,
    used: bool,
    rhythm: Rhythm,
    asked: Option<Asked>,
    /// It was asked for long enough, or there was no way to ask over.
    given_up: bool,
}

/// The client is asked over all its ways.
#[derive(Debug)]
struct Asked {
    since: Instant,
    next: Instant,
    count: u32,
    /// The other way over which it answered last.
    answered: Option<Place>,
}

/// A check to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Ask(Place),
    /// The client is to go there.
    Nominate(Place),
}

impl Spares {
    /// The client checked a way.
    pub(crate) fn checked(&mut self, now: Instant, place: Place) {
        self.checked.retain(|(known, _)| *known != place);
        self.checked.push((place, now));
        self.given_up = false;
        // One of them is the way that is used.
        if self.checked.len() > MAX_SPARES + 1 {
            self.checked.remove(0);
        }
    }

    /// The client answered a check of ours over another way than its own.
    pub(crate) fn answered(&mut self, place: Place) {
        if let Some(asked) = &mut self.asked {
            asked.answered = Some(place);
        }
    }

    /// The client was heard where it is taken to be. True: nothing reached it for a while.
    pub(crate) fn heard(&mut self, now: Instant) -> bool {
        self.rhythm.heard(now);
        self.asked = None;
        self.given_up = false;
        let used = std::mem::take(&mut self.used);
        let since = self.unanswered.take();
        !used && since.is_some_and(|since| now.saturating_duration_since(since) > GONE)
    }

    /// The client is somewhere else from now on: what it was like says nothing.
    pub(crate) fn settled(&mut self, now: Instant) {
        self.rhythm = Rhythm::default();
        self.heard(now);
    }

    /// When `checks` is to be asked, unless something else happens before.
    pub(crate) fn deadline(&self, place: Place, round_trip: Duration) -> Option<Instant> {
        let other = self.checked.iter().any(|(other, _)| *other != place);
        if self.given_up || !other {
            return None;
        }
        match &self.asked {
            Some(asked) => Some(asked.next),
            None => self.times(round_trip).map(|(doubted, _)| doubted),
        }
    }

    /// Checks that are due, of a client that is taken to be at `place`.
    pub(crate) fn checks(
        &mut self,
        now: Instant,
        place: Place,
        round_trip: Duration,
    ) -> Vec<Check> {
        let doubted = self.times(round_trip).map(|(doubted, _)| doubted);
        let Some(doubted) = doubted.filter(|doubted| now >= *doubted) else {
            return vec![];
        };
        let others = self.others(now, place);
        self.given_up |= others.is_empty() || now > doubted + MAX_SILENCE;
        if self.given_up {
            self.asked = None;
            return vec![];
        }
        let asked = self.asked.get_or_insert(Asked {
            since: now,
            next: now,
            count: 0,
            answered: None,
        });
        if now < asked.next {
            return vec![];
        }
        asked.count += 1;
        let often = asked.count < ASKED_OFTEN;
        asked.next = now + if often { ASK_EACH.0 } else { ASK_EACH.1 };
        let elsewhere = self.elsewhere(now, round_trip);
        match elsewhere.filter(|to| others.contains(to)) {
            Some(to) => vec![Check::Nominate(to)],
            None => std::iter::once(place)
                .chain(others)
                .map(Check::Ask)
                .collect(),
        }
    }

    /// When a client that is not heard is doubted, and when it is gone.
    fn times(&self, round_trip: Duration) -> Option<(Instant, Instant)> {
        let unanswered = self.unanswered.map(|since| {
            let silent = SILENT + round_trip;
            (since + silent / 2, since + silent)
        });
        let rhythm = self.rhythm.usual().map(|(last, gap)| {
            let doubt = gap.max(DOUBT);
            (last + doubt, last + 2 * doubt)
        });
        unanswered.into_iter().chain(rhythm).min()
    }

    fn others(&self, now: Instant, place: Place) -> Vec<Place> {
        let fresh = |(other, at): &&(Place, Instant)| {
            *other != place && now.saturating_duration_since(*at) < MAX_AGE
        };
        self.checked.iter().filter(fresh).map(|(p, _)| *p).collect()
    }

    /// Copies over the other ways of what leaves for the client's place, if that fell silent. True
    /// with the first: what was sent of late is lost.
    pub(crate) fn copy(
        &mut self,
        now: Instant,
        place: Place,
        round_trip: Duration,
        leaving: &[Transmit],
    ) -> (Vec<Transmit>, bool) {
        let mut leaving = leaving
            .iter()
            .filter(|t| t.protocol == Protocol::Udp && (t.from, t.to) == place)
            .peekable();
        if leaving.peek().is_none() {
            return (Vec::new(), false);
        }
        let since = *self.unanswered.get_or_insert(now);
        let silence = now.saturating_duration_since(since);
        if silence > MAX_SILENCE
            || (silence <= SILENT + round_trip && self.elsewhere(now, round_trip).is_none())
        {
            return (Vec::new(), false);
        }
        let others = self.others(now, place);
        let to = |t: &Transmit, (from, to): Place| Transmit {
            from,
            to,
            ..t.clone()
        };
        let copies = leaving.flat_map(|t| others.iter().map(move |place| to(t, *place)));
        let copies: Vec<Transmit> = copies.collect();
        let first = !copies.is_empty() && !std::mem::replace(&mut self.used, true);
        (copies, first)
    }

    /// Another way over which the client answers that is gone from where it was.
    fn elsewhere(&self, now: Instant, round_trip: Duration) -> Option<Place> {
        let asked = self.asked.as_ref()?;
        let (_, gone) = self.times(round_trip)?;
        let sure = now >= gone && now >= asked.since + round_trip + ANSWER;
        asked.answered.filter(|_| sure)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    fn place(n: u8) -> Place {
        let address = |s: String| s.parse().unwrap();
        (
            address("10.0.0.1:7882".into()),
            address(format!("10.0.1.{n}:5000")),
        )
    }

    fn transmit(n: u8) -> Transmit {
        let (from, to) = place(n);
        Transmit {
            protocol: Protocol::Udp,
            from,
            to,
            bytes: vec![0x80],
        }
    }

    /// Where copies go of what is sent each 20 ms for this long, and how often a loss is told.
    fn copied(spares: &mut Spares, from: Instant, time: Duration) -> (Vec<SocketAddr>, usize) {
        let (mut to, mut told, mut now) = (vec![], 0, from);
        while now < from + time {
            let (copies, first) = spares.copy(now, place(1), ROUND_TRIP, &[transmit(1)]);
            to.extend(copies.iter().map(|t| t.to));
            told += usize::from(first);
            now += Duration::from_millis(20);
        }
        (to, told)
    }

    #[test]
    fn who_is_silent_is_reached_over_every_way_that_was_checked() {
        let now = Instant::now();
        let mut spares = Spares::default();
        for n in [1, 2, 3] {
            spares.checked(now, place(n));
        }
        let (to, told) = copied(&mut spares, now, SILENT + ROUND_TRIP);
        assert_eq!((to.len(), told), (0, 0));
        let later = now + SILENT + ROUND_TRIP + Duration::from_millis(1);
        let (to, told) = copied(&mut spares, later, Duration::from_millis(60));
        assert_eq!((to.len(), told), (6, 1));
        assert!(to.contains(&place(2).1) && to.contains(&place(3).1));
        assert!(!spares.heard(later), "it got the copies");
        let (to, _) = copied(&mut spares, later, SILENT);
        assert!(to.is_empty());
    }

    #[test]
    fn who_stays_silent_is_given_up() {
        let now = Instant::now();
        let mut spares = Spares::default();
        spares.checked(now, place(2));
        let (to, told) = copied(&mut spares, now, 2 * MAX_SILENCE);
        let most = (MAX_SILENCE - SILENT - ROUND_TRIP).as_millis() as usize / 20;
        assert_eq!((to.len(), told), (most, 1));
    }

    #[test]
    fn without_another_way_or_with_old_ones_nothing_is_copied() {
        let now = Instant::now();
        let mut spares = Spares::default();
        spares.checked(now, place(1));
        assert_eq!(copied(&mut spares, now, 4 * SILENT).0, []);
        assert!(spares.heard(now + 4 * SILENT), "nothing reached it");
        spares.checked(now, place(2));
        assert_eq!(copied(&mut spares, now + MAX_AGE, SILENT).0, []);
        assert!(!spares.heard(now + MAX_AGE + SILENT), "not for long");
        assert_eq!(copied(&mut spares, now + MAX_AGE, 4 * SILENT).0, []);
    }

    #[test]
    fn ways_are_bounded_and_the_oldest_goes() {
        let now = Instant::now();
        let mut spares = Spares::default();
        for n in 0..200 {
            spares.checked(now, place(n));
        }
        let kept: Vec<Place> = spares.checked.iter().map(|(p, _)| *p).collect();
        assert_eq!(kept, [197, 198, 199].map(place));
    }

    #[test]
    fn what_goes_elsewhere_waits_for_no_answer() {
        let now = Instant::now();
        let mut spares = Spares::default();
        spares.checked(now, place(2));
        for n in 0..100 {
            let at = now + Duration::from_millis(20) * n;
            let (copies, _) = spares.copy(at, place(1), ROUND_TRIP, &[transmit(7)]);
            assert!(copies.is_empty());
        }
    }
}
