//! The way up from a client, and what of that which is missing was lost on it by chance.
//!
//! libwebrtc takes what its transport-wide feedback calls lost for a sign of congestion: at 30 % lost by
//! chance it hardly sends pictures on a way with room for all. What is missing while nothing waits on the
//! way was not spilt by a full queue, and to send less would not lose less. So the client is told nothing of
//! it while it may be asked to send it again (libwebrtc sends nothing again of which it was told that it came), and
//! after that, that it came: what is known to have come bounds its estimate. Where more is lost the more
//! is sent (`growth.rs`), all is told as it is.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::base::Base;
use crate::estimate::{LONG, extend};
use crate::growth::Growth;

/// Numbers count from here, so that one can come before the first.
const START: u64 = 1 << 16;
/// Packets that are remembered, and such that came late, at most.
const MAX_KEPT: usize = 1_000;
const MAX_LATE: usize = 50;
const MAX_STREAMS: usize = 32;
/// A report of as many packets fits a datagram.
const MAX_PART: usize = 400;
/// What was lost by chance is not asked for any more. libwebrtc takes no report that is a second older than others.
/// The longer one is for ways that lose a fourth and more: what a line that is slowly overfilled spills is less.
pub(crate) const OVER: Duration = Duration::from_millis(600);
pub(crate) const LONG_OVER: Duration = Duration::from_millis(850);
/// A queue is long for once or twice this time after a packet waited in it.
const QUEUE_OVER: Duration = Duration::from_millis(100);
/// A hole of more packets, or one that lasted longer, is an outage and no chance.
const MAX_HOLE: u64 = 16;
const OUTAGE: Duration = Duration::from_millis(200);
/// The clock in what is sent turns so often (µs; abs-send-time, 24 bits of which 6 are seconds).
const TURN: i64 = 64_000_000;
/// Where more is lost the more is sent, all that is missing is told for so long at first, and at most.
const TOLD_FOR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(120));

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    /// When the first came: the feedback's times count from it.
    zero: Option<Instant>,
    /// The newest number, and when it came.
    newest: Option<(u64, Instant)>,
    /// The number of the first of `fates`, and of the first that was in no report yet.
    from: u64,
    untold: u64,
    fates: VecDeque<Fate>,
    /// What came after it was told, or not, to be missing.
    late: Vec<(u64, Instant)>,
    /// The last delay (µs between the clocks of both ends).
    delay: Option<i64>,
    base: Base,
    queue: Longest,
    growth: Growth,
    told: Option<Told>,
    /// The newest sequence number of each SSRC.
    sequences: Vec<(u32, u16)>,
    /// Reports are about the SSRC that was heard last, and are counted.
    heard: u32,
    count: u8,
}

/// What became of a packet, and when it came or, by those after it, would have.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Came(Instant),
    Missing,
    ByChance(Instant),
    /// In an outage, of which nothing is told.
    Gone,
}

/// All that is missing is told.
#[derive(Clone, Copy, Debug)]
struct Told {
    until: Instant,
    lasts: Duration,
}

/// A packet of the client's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Transport-wide.
    pub(crate) number: u16,
    /// By a clock that has nothing to do with ours. None: it does not say.
    pub(crate) at: Option<Instant>,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// It repairs others (RFC 4588).
    pub(crate) repairs: bool,
}

/// When the packets from a number on came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrivals {
    /// The SSRC with whose packets they came.
    pub(crate) about: u32,
    /// Reports are counted.
    pub(crate) count: u8,
    pub(crate) first: u16,
    /// From when times count.
    pub(crate) zero: Instant,
    /// At least one came.
    pub(crate) came: Vec<Option<Instant>>,
}

impl Uplink {
    pub(crate) fn arrived(&mut self, now: Instant, sent: Sent) {
        self.zero.get_or_insert(now);
        self.heard = sent.ssrc;
        let again = self.is_sent_again(sent) || sent.repairs;
        let Some((newest, at)) = self.newest else {
            self.restart(START + u64::from(sent.number));
            self.came(now, self.from);
            return;
        };
        let number = extend(newest, sent.number);
        if number <= newest {
            return self.came_late(now, number);
        }
        if let Some(sent) = sent.at {
            self.waited(now, sent);
        }
        let (hole, silent) = (number - newest - 1, now - at);
        if hole >= MAX_KEPT as u64 {
            self.restart(number);
        } else if hole > MAX_HOLE || (hole > 0 && silent > OUTAGE) {
            self.fates.extend((0..hole).map(|_| Fate::Gone));
            self.growth.begin();
        } else {
            let by_chance = sent.at.is_some() && self.queue.longest() <= LONG && !self.tells(now);
            let fate = match by_chance {
                true => Fate::ByChance(now),
                false => Fate::Missing,
            };
            self.fates.extend((0..hole).map(|_| fate));
            if self.growth.came(now, hole, again) {
                self.tell(now);
            }
        }
        self.came(now, number);
    }

    fn is_sent_again(&mut self, sent: Sent) -> bool {
        let known = self
            .sequences
            .iter_mut()
            .find(|(ssrc, _)| *ssrc == sent.ssrc);
        let Some((_, newest)) = known else {
            if self.sequences.len() == MAX_STREAMS {
                self.sequences.remove(0);
            }
            self.sequences.push((sent.ssrc, sent.sequence));
            return false;
        };
        let again = sent.sequence.wrapping_sub(*newest) as i16 <= 0;
        if !again {
            *newest = sent.sequence;
        }
        again
    }

    /// What was before is told no more.
    fn restart(&mut self, number: u64) {
        self.fates.clear();
        (self.from, self.untold) = (number, number);
    }

    fn came(&mut self, now: Instant, number: u64) {
        self.newest = Some((number, now));
        self.fates.push_back(Fate::Came(now));
        let over = self.fates.len().saturating_sub(MAX_KEPT);
        self.forget(over);
    }

    fn came_late(&mut self, now: Instant, number: u64) {
        let place = number.checked_sub(self.from).map(|place| place as usize);
        if let Some(fate) = place.and_then(|place| self.fates.get_mut(place)) {
            if let Fate::Came(_) = fate {
                return;
            }
            *fate = Fate::Came(now);
        }
        if number < self.untold && self.late.len() < MAX_LATE {
            self.late.push((number, now));
        }
    }

    fn forget(&mut self, many: usize) {
        self.fates.drain(..many);
        self.from += many as u64;
        self.untold = self.untold.max(self.from);
    }

    fn waited(&mut self, now: Instant, sent: Instant) {
        let turned = now.saturating_duration_since(sent).as_micros() as i64;
        let last = *self.delay.get_or_insert(turned);
        let more = (turned - last + TURN / 2).rem_euclid(TURN) - TURN / 2;
        self.delay = Some(last + more);
        self.queue.waited(now, self.base.observe(now, last + more));
    }

    /// Whether there was anything to tell.
    pub(crate) fn heard(&self) -> bool {
        self.newest.is_some()
    }

    fn tells(&self, now: Instant) -> bool {
        self.told.is_some_and(|told| now < told.until)
    }

    /// Tell all that is missing for a while, and what was kept back: each time that more turns out to be lost the more
    /// is sent, for longer.
    fn tell(&mut self, now: Instant) {
        let lasts = match self.told {
            None => TOLD_FOR.0,
            Some(told) if now < told.until => told.lasts,
            Some(told) => TOLD_FOR.1.min(2 * told.lasts),
        };
        let until = now + lasts;
        self.told = Some(Told { until, lasts });
        self.growth.begin();
        let kept = |fate: &&mut Fate| matches!(fate, Fate::ByChance(_));
        self.fates
            .iter_mut()
            .filter(kept)
            .for_each(|fate| *fate = Fate::Missing);
        self.untold = self.from;
    }

    /// All that there is to tell since the last call, in as many parts as what was lost by chance leaves, which is over
    /// after this time.
    pub(crate) fn report(&mut self, now: Instant, over: Duration) -> Vec<Arrivals> {
        let (Some(zero), Some((newest, _))) = (self.zero, self.newest) else {
            return vec![];
        };
        let late = std::mem::take(&mut self.late);
        let late = late
            .into_iter()
            .map(|(number, at)| (number, vec![Some(at)]));
        let mut parts: Vec<_> = late.collect();
        let old = self.fates.iter().take_while(|fate| match fate {
            Fate::Came(at) | Fate::ByChance(at) => now >= *at + over,
            Fate::Missing | Fate::Gone => true,
        });
        let end = self.untold.min(self.from + old.count() as u64);
        parts.extend(self.over(end));
        let new = |fate: &Fate| match fate {
            Fate::Came(at) => Some(Some(*at)),
            Fate::Missing => Some(None),
            Fate::ByChance(_) | Fate::Gone => None,
        };
        parts.extend(self.parts(self.untold..newest + 1, new));
        self.untold = newest + 1;
        self.forget((end - self.from) as usize);
        parts.retain(|(_, came)| came.iter().any(Option::is_some));
        let about = self.heard;
        let arrivals = |(number, came): (u64, _)| {
            self.count = self.count.wrapping_add(1);
            Arrivals {
                about,
                count: self.count,
                first: number as u16,
                zero,
                came,
            }
        };
        parts.into_iter().map(arrivals).collect()
    }

    /// Up to this number what was lost by chance is over: it came, as what is around it did, of which
    /// it does no harm to tell twice.
    fn over(&self, end: u64) -> Vec<(u64, Vec<Option<Instant>>)> {
        let chance = |fate: &Fate| matches!(fate, Fate::ByChance(_));
        let length = (end - self.from) as usize;
        let old = || self.fates.range(..length);
        let Some((first, last)) = old().position(chance).zip(old().rposition(chance)) else {
            return vec![];
        };
        let (first, last) = (self.from + first as u64, self.from + last as u64);
        let all = |fate: &Fate| match fate {
            Fate::Came(at) | Fate::ByChance(at) => Some(Some(*at)),
            Fate::Missing | Fate::Gone => None,
        };
        self.parts(first..last + 1, all)
    }

    /// What `of` makes of these numbers: where there is nothing to tell, another part begins.
    fn parts(
        &self,
        numbers: Range<u64>,
        of: impl Fn(&Fate) -> Option<Option<Instant>>,
    ) -> Vec<(u64, Vec<Option<Instant>>)> {
        let mut parts: Vec<(u64, Vec<Option<Instant>>)> = vec![];
        let mut whole = false;
        let places = (numbers.start - self.from) as usize..(numbers.end - self.from) as usize;
        for (number, fate) in numbers.zip(self.fates.range(places)) {
            let told = of(fate);
            let open = parts
                .last_mut()
                .filter(|(_, part)| whole && part.len() < MAX_PART);
            match (told, open) {
                (Some(told), Some((_, part))) => part.push(told),
                (Some(told), None) => parts.push((number, vec![told])),
                (None, _) => {}
            }
            whole = told.is_some();
        }
        parts
    }
}

/// What packets waited at most, of late (µs).
#[derive(Debug, Default)]
struct Longest {
    now: i64,
    before: i64,
    since: Option<Instant>,
}

impl Longest {
    fn waited(&mut self, now: Instant, time: i64) {
        let since = *self.since.get_or_insert(now);
        if now >= since + QUEUE_OVER {
            let just_before = now < since + 2 * QUEUE_OVER;
            self.before = if just_before { self.now } else { 0 };
            (self.now, self.since) = (0, Some(now));
        }
        self.now = self.now.max(time);
    }

    fn longest(&self) -> i64 {
        self.now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]

    use super::*;
    use crate::chance::Chance;

    /// A client and its way up. The clients' clock turns once a test lasts long enough.
    struct Way {
        now: Instant,
        start: Instant,
        uplink: Uplink,
        rng: fastrand::Rng,
        number: u64,
        chance: Chance,
        /// Packets a second that are let through, and how many of them may wait.
        narrow: Option<(f64, f64)>,
        free: f64,
        /// When what was lost is sent again.
        again: VecDeque<f64>,
        /// What came, by number; what was told of each.
        came: Vec<bool>,
        said: Vec<Said>,
        /// Counted up to this number.
        counted: usize,
    }

    /// What was told of a packet.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Said {
        came: bool,
        missing: bool,
    }

    const FIRST: u64 = 65_000;
    const ROUND_TRIP: f64 = 0.1;

    impl Way {
        fn new(loss: f64) -> Self {
            let now = Instant::now();
            Self {
                now,
                start: now,
                uplink: Uplink::default(),
                rng: fastrand::Rng::with_seed(3),
                number: FIRST,
                chance: Chance::of(loss),
                narrow: None,
                free: 0.0,
                again: VecDeque::new(),
                came: vec![],
                said: vec![],
                counted: 0,
            }
        }

        fn at(&self) -> f64 {
            (self.now - self.start).as_secs_f64()
        }

        /// So many new packets a second for so many seconds; what is lost is sent again.
        fn send(&mut self, rate: f64, seconds: f64) {
            let end = self.at() + seconds;
            let (mut next, mut report) = (self.at(), self.at());
            while self.at() < end {
                let again = self.again.front().copied().filter(|at| *at < next);
                let at = again.unwrap_or(next);
                self.now = self.start + Duration::from_secs_f64(at.max(self.at()));
                match again {
                    Some(_) => drop(self.again.pop_front()),
                    None => next += 1.0 / rate,
                }
                self.packet(again.is_some());
                if at >= report {
                    report = at + 0.05;
                    self.report();
                }
            }
        }

        fn packet(&mut self, repairs: bool) {
            let at = self.at();
            let mut waits = 0.0;
            let mut spilt = false;
            if let Some((rate, room)) = self.narrow {
                waits = (self.free - at).max(0.0);
                spilt = waits > room / rate;
                if !spilt {
                    self.free = self.free.max(at) + 1.0 / rate;
                }
            }
            let lost = spilt || self.chance.loses(&mut self.rng);
            self.came.push(!lost);
            self.said.push(Said::default());
            if lost {
                self.again.extend((!repairs).then_some(at + ROUND_TRIP));
            } else {
                // str0m takes the 24 bits for a time of the last 64 s; the clock turns after 14 s.
                let clock = (50.0 + at) % 64.0;
                let came = at + waits + 0.02;
                let arrives = self.start + Duration::from_secs_f64(64.0 + came);
                let left = arrives - Duration::from_secs_f64((came - clock).rem_euclid(64.0));
                let sent = Sent {
                    at: Some(left),
                    repairs,
                    ..sent(self.number as u16)
                };
                self.uplink.arrived(arrives, sent);
            }
            self.number += 1;
        }

        fn report(&mut self) {
            let now = self.now + Duration::from_secs_f64(64.02);
            for part in self.uplink.report(now, OVER) {
                let near = self.number - FIRST;
                for (number, told) in (u64::from(part.first)..).zip(&part.came) {
                    let back = (self.number as u16).wrapping_sub(number as u16);
                    let place = (near - u64::from(back)) as usize;
                    let said = &mut self.said[place];
                    match told {
                        Some(_) => said.came = true,
                        None => {
                            assert!(!self.came[place], "{place} came");
                            said.missing = true;
                        }
                    }
                }
            }
        }

        /// The share of the lost that is told since the last call. All else is told to have come, after a while.
        fn share_told(&mut self) -> f64 {
            let end = self.came.len().saturating_sub(400).max(self.counted);
            let all = self.counted..end;
            let of = all.clone().map(|n| (self.came[n], self.said[n]));
            let lost: Vec<Said> = of
                .filter_map(|(came, said)| (!came).then_some(said))
                .collect();
            let silent = |n: &usize| self.said[*n] == Said::default();
            assert!(!all.clone().any(|n| self.came[n] && silent(&n)));
            // Many in a row are an outage.
            assert!(all.filter(silent).count() < lost.len() / 5 + 1);
            self.counted = end;
            lost.iter().filter(|said| said.missing).count() as f64 / lost.len().max(1) as f64
        }
    }

    fn sent(number: u16) -> Sent {
        Sent {
            number,
            at: None,
            ssrc: 1,
            sequence: number,
            repairs: false,
        }
    }

    #[test]
    fn what_is_lost_by_chance_is_not_told_at_any_rate() {
        for (loss, run) in [(0.05, 0.0), (0.3, 0.0), (0.5, 0.0), (0.1, 3.0), (0.2, 4.0)] {
            let mut way = Way::new(loss);
            way.chance.run = run;
            for second in 0..90 {
                let rate = [60.0, 90.0, 200.0, 300.0, 250.0][second % 5];
                way.send(rate, 1.0);
            }
            let told = way.share_told();
            assert!(told < 0.1, "{loss} in runs of {run}: {told} told");
        }
    }

    #[test]
    fn chance_that_begins_while_the_rate_changes_is_rarely_told() {
        let mut told = 0.0;
        for seed in 0..50 {
            let mut way = Way::new(0.0);
            way.rng = fastrand::Rng::with_seed(seed);
            way.send(120.0, 3.0);
            way.send(180.0, 5.0);
            way.chance.loss = 0.3;
            // A keyframe is asked for.
            for tenth in 0..100 {
                way.send(if tenth % 20 == 3 { 400.0 } else { 200.0 }, 0.1);
            }
            way.send(220.0, 5.0);
            told += way.share_told();
        }
        assert!(told < 5.0, "{told} of 50");
    }

    #[test]
    fn what_a_full_queue_spills_is_told() {
        for loss in [0.0, 0.1] {
            let mut way = Way::new(loss);
            way.send(100.0, 2.0);
            way.share_told();
            way.narrow = Some((120.0, 30.0));
            way.send(200.0, 10.0);
            let told = way.share_told();
            assert!(told > 0.9, "beside {loss}: {told} told");
        }
    }

    #[test]
    fn where_loss_grows_with_the_rate_it_is_told() {
        // A policer, and queues too short to be seen.
        for room in [1.0, 3.0] {
            for loss in [0.0, 0.1] {
                let mut way = Way::new(loss);
                way.narrow = Some((150.0, room));
                way.send(100.0, 3.0);
                way.share_told();
                for tenth in 0..20 {
                    way.send(160.0 + f64::from(tenth) * 10.0, 0.2);
                }
                way.share_told();
                way.send(300.0, 7.0);
                let told = way.share_told();
                assert!(told > 0.9, "{room}, beside {loss}: {told} told");
            }
        }
    }

    #[test]
    fn an_outage_is_no_chance_and_not_told() {
        let mut way = Way::new(0.0);
        way.send(200.0, 3.0);
        way.chance.loss = 1.0;
        let from = way.said.len();
        way.send(200.0, 1.0);
        way.chance.loss = 0.0;
        way.again.clear();
        way.send(200.0, 3.0);
        assert!(
            way.said[from..from + 200]
                .iter()
                .all(|said| *said == Said::default())
        );
    }

    #[test]
    fn what_comes_late_is_told_and_without_times_nothing_is_spared() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        for times in [true, false] {
            let mut uplink = Uplink::default();
            let come = |uplink: &mut Uplink, number: u16, at: u64| {
                let at = now + ms(at);
                let left = times.then_some(at);
                uplink.arrived(
                    at + ms(20),
                    Sent {
                        at: left,
                        ..sent(number)
                    },
                );
            };
            let told = |uplink: &mut Uplink, at: u64| {
                let at_ms = |at: &Option<Instant>| at.map(|at| (at - now).as_millis());
                let part =
                    |part: Arrivals| (part.first, part.came.iter().map(at_ms).collect::<Vec<_>>());
                uplink
                    .report(now + ms(at), OVER)
                    .into_iter()
                    .map(part)
                    .collect::<Vec<_>>()
            };
            for (number, at) in [(0, 0), (1, 10), (4, 40), (3, 41), (7, 50), (8, 60)] {
                come(&mut uplink, number, at);
            }
            if !times {
                let all = [20, 30, 0, 61, 60, 0, 0, 70, 80].map(|at| (at > 0).then_some(at));
                assert_eq!(told(&mut uplink, 80), [(0, all.to_vec())]);
                continue;
            }
            let parts = [
                (0, vec![Some(20), Some(30)]),
                (3, vec![Some(61), Some(60)]),
                (7, vec![Some(70), Some(80)]),
            ];
            assert_eq!(told(&mut uplink, 80), parts);
            come(&mut uplink, 6, 90);
            come(&mut uplink, 9, 95);
            let parts = [(6, vec![Some(110)]), (9, vec![Some(115)])];
            assert_eq!(told(&mut uplink, 120), parts);
            assert_eq!(told(&mut uplink, 600), []);
            // What did not come in time is said to have come when those after it did.
            let parts = [(2, vec![Some(60), Some(61), Some(60), Some(70)])];
            assert_eq!(told(&mut uplink, 680), parts);
            assert_eq!(told(&mut uplink, 2_000), []);
        }
    }

    #[test]
    fn without_reports_nothing_grows() {
        let mut uplink = Uplink::default();
        let now = Instant::now();
        for number in 0..100_000u32 {
            uplink.arrived(
                now + Duration::from_millis(number.into()),
                sent(number as u16),
            );
        }
        assert_eq!(uplink.fates.len(), MAX_KEPT);
        // Nor of numbers that jump about.
        let mut rng = fastrand::Rng::with_seed(1);
        for step in 0..10_000u64 {
            let at = now + Duration::from_millis(100_000 + step);
            let ssrc = rng.u32(..);
            uplink.arrived(
                at,
                Sent {
                    ssrc,
                    ..sent(rng.u16(..))
                },
            );
            uplink.report(at, OVER);
        }
        assert_eq!(uplink.sequences.len(), MAX_STREAMS);
    }
}
