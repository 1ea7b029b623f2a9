//! What the way to a client carries, from its transport-wide feedback.
//!
//! Delay and delivered rate decide (draft-ietf-rmcat-gcc-02, with trains of packets to measure what
//! was not used yet). A lost packet counts only where the queue was long when it was lost: radio loses
//! by chance, and sending less would change nothing. A policer, which drops without a queue, is taken
//! for chance too.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::base::Base;
use crate::plateau::{JUMP, Plateau};
use crate::train::{Heard, Measured, Train};
use crate::trend::Trend;

/// Bits a second that are taken to be carried before anything was measured.
pub(crate) const INITIAL: f64 = 3_000_000.0;
/// Never less than speech and its headers need, never more than any client is sent.
const BOUNDS: (f64, f64) = (60_000.0, 100_000_000.0);
/// Of what was delivered while a queue grew: so much is sent on, and the queue drains.
const BACK_OFF: f64 = 0.85;
/// Growth a second while what was found is in use.
const GROWTH: f64 = 0.08;
/// In use: so much of the estimate is delivered.
const IN_USE: f64 = 0.7;
/// A train raises the estimate so many times at most.
const MAX_STEP: f64 = 3.0;
/// Of what a train measured.
const OF_TRAIN: f64 = 0.95;

/// Packets of which no report came for so long are forgotten; not more than so many are kept.
const FORGOTTEN: Duration = Duration::from_secs(3);
const MAX_SENT: usize = 8_192;
/// What was delivered is counted over so long (µs).
const DELIVERED_OVER: i64 = 300_000;
/// So long a service says how fast it is (µs).
const BUSY: i64 = 80_000;

/// A queue shorter than this is nobody's (µs); a loss beside a longer one is an overflow.
const SHORT: i64 = 15_000;
pub(crate) const LONG: i64 = 40_000;
/// A queue so long is drained even if it does not grow.
const STANDING: i64 = 100_000;
/// A queue of others: between one step down and the next less came than at first, so often, and it
/// stayed. Through one of ours as much comes as the way carries.
const PATIENCE: u32 = 2;
const LESS: f64 = 0.8;
/// Between one step down and the next: what it changed is seen only then.
const REST: Duration = Duration::from_millis(250);
/// Of the estimate: so little cannot wait.
const MUCH_LESS: f64 = 0.6;
/// Of the estimate: who sends no more than this, and it passes, makes no queue.
const IDLE: f64 = 0.3;
/// Of what is delivered: a way that spread a train to less, and so lately, is full.
const MUCH_MORE: f64 = 1.5;
const FULL_FOR: Duration = Duration::from_secs(1);
/// Of what is sent: if so much of it is delivered it passes.
const PASSES: f64 = 0.8;
/// What a train measured is believed for so long.
const TRAINED: Duration = Duration::from_millis(300);
const JUST_NOW: Duration = Duration::from_millis(100);
/// Of the way down to what trains measure while they queue.
const TOWARD_TRAIN: f64 = 0.1;

/// Packets over which the share that is lost is counted: quick to see much, slow to be exact.
const QUICKLY: f64 = 25.0;
const SLOWLY: f64 = 100.0;
/// So many deviations above the slow count, the quick one is believed.
const SURELY: f64 = 4.0;
/// Nothing came through for so long (µs): a network that was gone says nothing of what it loses.
const OUTAGE: i64 = 1_000_000;
/// Lost packets are followed by others so much more often where they come in bursts.
const IN_BURSTS: f64 = 0.25;
/// A share lost so small is no sign of anything.
const SOME_LOSS: f64 = 0.02;
/// None of the last fifty or so was lost.
const HARDLY_ANY_LOSS: f64 = 0.005;

/// Between probes that find nothing: first, and at most.
const PROBE_EVERY: (Duration, Duration) =
    (Duration::from_millis(1_000), Duration::from_millis(3_000));
/// A probe's feedback is waited for so long beyond a round trip.
const PROBE_ANSWER: Duration = Duration::from_millis(150);
/// A probe asks for so many times the estimate.
const PROBE_STEP: f64 = 2.5;
/// What pictures need with headers, and with the reserve that the choice of layers keeps; what
/// sound needs beside (bits a second).
const WITH_REST: f64 = 1.3;
const SOUND: f64 = 100_000.0;

/// Of the estimate, what pictures may take at once, and seconds for which they wait at most: while
/// the queue is too long, long, or short.
const DRAINING: (f64, f64) = (0.2, 2.0);
const FULL: (f64, f64) = (0.8, 1.0);
const EMPTY: (f64, f64) = (1.1, 0.3);

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    bytes: usize,
    resolved: bool,
    /// It has its number, and has not left yet.
    waits: bool,
    copied: bool,
}

impl Sent {
    /// What became of it, its time counted from `zero`.
    fn heard(&self, zero: Instant, arrived: Option<i64>) -> Heard {
        Heard {
            sent: self.at.saturating_duration_since(zero).as_micros() as i64,
            arrived,
            bytes: self.bytes,
            copied: self.copied,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Estimator {
    rate: f64,
    zero: Instant,
    sent: VecDeque<Sent>,
    /// Sequence number of the first of `sent`.
    first: u64,
    /// When what arrived last had left, and what was missing then that had left later.
    newest: Option<Instant>,
    unsure: BTreeSet<u64>,
    trend: Trend,
    train: Train,
    base: Base,
    plateau: Plateau,
    /// Of the last report: the longest, µs above the base.
    queue: i64,
    /// What arrived of late: when (µs of the client's clock) and bytes.
    delivered: VecDeque<(i64, usize)>,
    /// Packets of late that waited for the one before to be through: when they arrived, how long after
    /// it (µs), and bytes.
    served: VecDeque<(i64, i64, usize)>,
    last_arrival: Option<i64>,
    /// What was sent of late, by what was heard of it: when (µs) and bytes.
    heard: VecDeque<(i64, usize)>,
    /// What the last train that was spread measured.
    trained: Option<(Instant, f64)>,
    lost_quickly: f64,
    lost_slowly: f64,
    /// The share lost of those that left right behind a lost one, and whether the next one does.
    lost_again: f64,
    lost_last: bool,
    overflow: f64,
    grown_at: Option<Instant>,
    reduced_at: Option<Instant>,
    standing: Standing,
    /// A queue stood, and is not gone yet.
    full: bool,
    /// Bytes in all.
    arrived: u64,
    /// Others fill the queue up to here, µs.
    others: i64,
    round_trip: Duration,
    reports: u64,
    probe: Probe,
}

/// What is being tried, and when it was.
#[derive(Debug)]
struct Probe {
    wanted: f64,
    sent_at: Option<Instant>,
    every: Duration,
}

/// A queue that stands although less is sent.
#[derive(Debug, Default)]
struct Standing {
    /// When the last packet had arrived that was counted (µs of the client's clock), and how many bytes
    /// had then.
    last: Option<(i64, u64)>,
    /// What came at first, bits a second.
    first: Option<f64>,
    times: u32,
}

impl Standing {
    /// How often less came than at first, of so many bytes that have arrived in all.
    fn less(&mut self, at: i64, arrived: u64) -> u32 {
        if let Some((last, before)) = self.last.replace((at, arrived)) {
            let comes = (arrived - before) as f64 * 8e6 / (at - last).max(1) as f64;
            let first = *self.first.get_or_insert(comes);
            self.times += u32::from(comes < LESS * first);
        }
        self.times
    }
}

impl Estimator {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            rate: INITIAL,
            zero: now,
            sent: VecDeque::new(),
            first: 0,
            newest: None,
            unsure: BTreeSet::new(),
            trend: Trend::default(),
            train: Train::default(),
            base: Base::default(),
            plateau: Plateau::default(),
            queue: 0,
            delivered: VecDeque::new(),
            served: VecDeque::new(),
            last_arrival: None,
            heard: VecDeque::new(),
            trained: None,
            lost_quickly: 0.0,
            lost_slowly: 0.0,
            lost_again: 0.0,
            lost_last: false,
            overflow: 0.0,
            grown_at: None,
            reduced_at: None,
            standing: Standing::default(),
            full: false,
            arrived: 0,
            others: 0,
            round_trip: Duration::from_millis(100),
            reports: 0,
            probe: Probe {
                wanted: 0.0,
                sent_at: None,
                every: PROBE_EVERY.0,
            },
        }
    }

    /// Bits a second that may be planned with: what is lost has to be sent again.
    pub(crate) fn usable(&self) -> u64 {
        (self.rate * (1.0 - self.loss())) as u64
    }

    /// The share of what was sent of late that was lost by chance. What a full queue spills is not:
    /// to repeat more would spill more.
    pub(crate) fn loss(&self) -> f64 {
        let slow = self.lost_slowly;
        let deviation = (slow.max(0.01) * (1.0 - slow) / (2.0 * QUICKLY)).sqrt();
        match self.lost_quickly > slow + SURELY * deviation {
            true => self.lost_quickly,
            false => slow,
        }
    }

    /// Whether what is lost by chance is lost several in a row: after a lost packet the next is lost
    /// more often than any.
    pub(crate) fn loses_in_bursts(&self) -> bool {
        self.lost_again > self.lost_slowly + IN_BURSTS
    }

    /// Bits a second that retransmissions may take: little while the queue is long.
    pub(crate) fn repairs(&self) -> u64 {
        let share = if self.queue > LONG { 0.5 } else { 1.0 };
        (self.rate * share) as u64
    }

    /// How long so many bytes take.
    pub(crate) fn takes(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate.max(BOUNDS.0))
    }

    /// The queue is as short as it gets, or will be when an answer to what is asked now comes.
    pub(crate) fn drained(&self) -> bool {
        self.queue <= STANDING.max(self.others * 3 / 2)
    }

    /// A queue longer than this (µs) is long, and not only others'.
    fn long(&self) -> i64 {
        LONG.max(self.others)
    }

    /// Bits a second at which pictures may leave of which so many bytes wait. A frame is sent
    /// quicker than on the average while the queue is short; one that is long drains first.
    pub(crate) fn pictures(&self, waiting: usize) -> u64 {
        if self.reports == 0 {
            return u64::MAX;
        }
        let (share, within) = match self.queue {
            _ if !self.drained() => DRAINING,
            queue if queue > self.long() => FULL,
            _ => EMPTY,
        };
        (share * self.rate).max(waiting as f64 * 8.0 / within) as u64
    }

    /// Bits a second of pictures that would be sent if they were carried; with them go sound,
    /// headers and what is lost.
    pub(crate) fn want(&mut self, pictures: u64) {
        let all = pictures as f64 * WITH_REST + SOUND;
        let wanted = if pictures == 0 { 0.0 } else { all };
        self.probe.wanted = wanted / (1.0 - self.loss()).max(0.1);
    }

    /// The packet of this number waits before it leaves: nothing that is reported is about it.
    pub(crate) fn waits(&mut self, number: u16) {
        if let Some(sent) = self.numbered(number) {
            sent.waits = true;
        }
    }

    /// It has only left now.
    pub(crate) fn left(&mut self, now: Instant, number: u16) {
        if let Some(sent) = self.numbered(number) {
            (sent.at, sent.waits) = (now, false);
        }
    }

    /// It is sent several times.
    pub(crate) fn repeated(&mut self, number: u16) {
        if let Some(sent) = self.numbered(number) {
            sent.copied = true;
        }
    }

    /// It will never leave.
    pub(crate) fn dropped(&mut self, number: u16) {
        if let Some(sent) = self.numbered(number) {
            sent.resolved = true;
        }
    }

    fn numbered(&mut self, number: u16) -> Option<&mut Sent> {
        let extended = extend(self.next_number(), number);
        let place = extended.checked_sub(self.first)? as usize;
        self.sent.get_mut(place)
    }

    /// A packet left under this transport-wide number (its last 16 bits).
    pub(crate) fn sent(&mut self, now: Instant, number: u16, bytes: usize) {
        let next = self.first + self.sent.len() as u64;
        let extended = extend(next, number);
        if self.sent.is_empty() {
            self.first = extended;
        } else if extended < next || extended - next > MAX_SENT as u64 {
            return;
        }
        let sent = Sent {
            at: now,
            bytes,
            resolved: false,
            waits: false,
            copied: false,
        };
        // Numbers that never left are as good as resolved.
        for _ in self.first + self.sent.len() as u64..extended {
            self.sent.push_back(Sent {
                resolved: true,
                ..sent
            });
        }
        self.sent.push_back(sent);
        let old = |s: &Sent| now.saturating_duration_since(s.at) > FORGOTTEN;
        while self.sent.len() > MAX_SENT || self.sent.front().is_some_and(old) {
            self.sent.pop_front();
            self.first += 1;
        }
    }

    /// The number that the next packet is expected to have: feedback extends its own by it.
    pub(crate) fn next_number(&self) -> u64 {
        self.first + self.sent.len() as u64
    }

    /// Take a report: which packets arrived when (µs of the client's clock), which did not.
    pub(crate) fn feedback(
        &mut self,
        now: Instant,
        statuses: impl Iterator<Item = (u64, Option<i64>)>,
    ) {
        let mut heard: Vec<Heard> = Vec::new();
        for (number, arrived) in statuses {
            let place = number.checked_sub(self.first).map(|at| at as usize);
            let Some(sent) = place.and_then(|at| self.sent.get_mut(at)) else {
                continue;
            };
            if sent.resolved || sent.waits {
                continue;
            }
            if arrived.is_none() {
                self.unsure.insert(number);
                continue;
            }
            sent.resolved = true;
            self.newest = self.newest.max(Some(sent.at));
            self.round_trip = now.saturating_duration_since(sent.at);
            heard.push(sent.heard(self.zero, arrived));
        }
        self.give_up(&mut heard);
        if heard.is_empty() {
            return;
        }
        self.reports += 1;
        self.observe_delays(now, &heard);
        self.observe_losses(&heard);
        let measured: Vec<Measured> = heard
            .iter()
            .filter(|heard| !heard.copied)
            .filter_map(|heard| self.train.take(*heard))
            .collect();
        self.decide(now, &measured);
    }

    /// What is missing is lost once something arrived that had left later. What left after that
    /// although its number is lower, having waited here, may still be under way.
    fn give_up(&mut self, heard: &mut Vec<Heard>) {
        self.unsure = self.unsure.split_off(&self.first);
        let Some(newest) = self.newest else { return };
        let (sent, first, zero) = (&mut self.sent, self.first, self.zero);
        self.unsure.retain(|number| {
            let Some(sent) = sent.get_mut((number - first) as usize) else {
                return false;
            };
            // What left in the same turn may have left behind it.
            if sent.resolved || sent.at >= newest {
                return !sent.resolved;
            }
            sent.resolved = true;
            heard.push(sent.heard(zero, None));
            false
        });
        heard.sort_by_key(|heard| heard.sent);
    }

    fn observe_delays(&mut self, now: Instant, heard: &[Heard]) {
        let mut missing = false;
        let mut came: Vec<(i64, i64, usize, bool, bool)> = Vec::with_capacity(heard.len());
        for heard in heard {
            match heard.arrived {
                Some(arrived) => {
                    let behind_missing = std::mem::replace(&mut missing, heard.copied);
                    came.push((
                        arrived,
                        heard.sent,
                        heard.bytes,
                        behind_missing,
                        heard.copied,
                    ));
                }
                None => missing = true,
            }
        }
        came.sort_unstable();
        let mut longest = None;
        for (arrived, sent, bytes, behind_missing, copied) in came {
            self.delivered.push_back((arrived, bytes));
            self.arrived += bytes as u64;
            self.plateau.arrived(arrived, bytes);
            // It may be the last of several that arrived.
            if copied {
                continue;
            }
            let waited = self.base.observe(now, arrived - sent);
            self.plateau.waited(waited);
            longest = longest.max(Some(waited));
            // It would have been here before the one before it was: the way was never idle between.
            // What is missing may have taken time there too.
            let last = self
                .last_arrival
                .replace(arrived)
                .filter(|_| !behind_missing);
            if let Some(last) = last.filter(|last| arrived - waited <= *last && arrived >= *last) {
                self.served.push_back((arrived, arrived - last, bytes));
            }
            self.trend.observe(sent, arrived);
        }
        self.queue = longest.unwrap_or(self.queue);
        let last = self.delivered.back().map_or(0, |d| d.0);
        forget_old(&mut self.delivered, last, |d| d.0);
        forget_old(&mut self.served, last, |s| s.0);
        let sent = heard.iter().map(|heard| (heard.sent, heard.bytes));
        self.heard.extend(sent);
        let last = self.heard.back().map_or(0, |h| h.0);
        forget_old(&mut self.heard, last, |h| h.0);
    }

    fn observe_losses(&mut self, heard: &[Heard]) {
        // Beside a long queue it overflowed; half of the longest seen is long.
        let beside = self.queue > self.long();
        let outage = |run: &[Heard]| {
            let [first, .., last] = run else { return false };
            first.arrived.is_none() && last.sent - first.sent > OUTAGE
        };
        let runs = heard.chunk_by(|a, b| a.arrived.is_none() == b.arrived.is_none());
        let packets = runs.filter(|run| !outage(run)).flatten();
        for packet in packets.filter(|packet| !packet.copied) {
            let lost = f64::from(u8::from(packet.arrived.is_none()));
            let (by_chance, spilt) = if beside { (0.0, lost) } else { (lost, 0.0) };
            self.overflow += (spilt - self.overflow) / QUICKLY;
            if lost > by_chance {
                continue;
            }
            if self.lost_last {
                self.lost_again += (by_chance - self.lost_again) / QUICKLY;
            }
            self.lost_last = lost > 0.0;
            self.lost_quickly += (by_chance - self.lost_quickly) / QUICKLY;
            self.lost_slowly += (by_chance - self.lost_slowly) / SLOWLY;
        }
    }

    /// Bits a second that arrived of late; None if too little did to say.
    fn delivered(&self) -> Option<f64> {
        rate(&self.delivered)
    }

    /// Bits a second that the way took lately while something of ours waited for it; None if nothing
    /// did for long enough.
    fn served(&self) -> Option<f64> {
        let (mut time, mut bytes) = (0, 0);
        for (_, took, more) in self.served.iter().rev() {
            (time, bytes) = (time + took, bytes + more);
            if time >= BUSY {
                return Some(bytes as f64 * 8e6 / time as f64);
            }
        }
        None
    }

    /// Whether all that is sent comes through: what was delivered is no more than was asked of the way.
    fn passes(&self, delivered: f64) -> bool {
        delivered >= PASSES * rate(&self.heard).unwrap_or(f64::INFINITY)
    }

    fn decide(&mut self, now: Instant, measured: &[Measured]) {
        let delivered = self.delivered();
        let elapsed = self.grown_at.map_or(Duration::ZERO, |at| now - at);
        self.grown_at = Some(now);
        let narrow = measured.iter().filter_map(|m| match m {
            Measured::About(rate) => Some(*rate),
            Measured::AtLeast(_) => None,
        });
        let narrowest = narrow.fold(f64::INFINITY, f64::min);
        if narrowest.is_finite() {
            self.trained = Some((now, narrowest));
        }
        self.follow_the_way(now, delivered);
        let grows = self.trend.growing() && self.queue > SHORT;
        let stands = !self.drained();
        self.full |= self.queue > STANDING;
        let spills = self.overflow > SOME_LOSS && self.queue > LONG;
        let idle = delivered.is_some_and(|rate| rate < IDLE * self.rate && self.passes(rate));
        if idle && stands {
            self.others = self.queue;
        }
        if (grows || stands || spills) && !idle && !self.probing(now) {
            self.reduce(now, delivered, stands, grows || spills);
            return;
        }
        if self.queue < SHORT && std::mem::take(&mut self.full) {
            // There may be room again.
            (self.probe.sent_at, self.probe.every) = (None, PROBE_EVERY.0);
        }
        if self.queue < STANDING / 2 {
            self.standing = Standing::default();
            self.others = 0;
        }
        for train in measured {
            self.learn(*train);
        }
        let delivered = delivered.unwrap_or(0.0);
        if delivered > IN_USE * self.rate && self.queue < LONG {
            let grown = self.rate * (1.0 + GROWTH * elapsed.as_secs_f64().min(1.0));
            self.rate = self.rate.max(grown.min(1.5 * delivered));
        }
        self.rate = self.rate.clamp(BOUNDS.0, BOUNDS.1);
    }

    /// Where a delay stays although all that is sent passes, and no train was spread to as little, it
    /// is no queue of ours: the way got longer. Where something is lost it may still be one that is full,
    /// unless now more comes and now less.
    fn follow_the_way(&mut self, now: Instant, delivered: Option<f64>) {
        let longer = self.plateau.stays().filter(|stays| stays.delay > SHORT);
        let (Some(stays), Some(delivered)) = (longer, delivered) else {
            return;
        };
        let narrow =
            |(at, rate): (Instant, f64)| now < at + FULL_FOR && rate < MUCH_MORE * delivered;
        let spills = self.overflow > HARDLY_ANY_LOSS && !stays.unevenly;
        let full = spills || self.trained.is_some_and(narrow) || !self.passes(delivered);
        if full {
            return;
        }
        self.base.rise(stays.delay);
        self.plateau.forget();
        self.queue -= stays.delay;
        self.standing = Standing::default();
        (self.others, self.overflow) = (0, 0.0);
        self.served.clear();
        self.probe.every = PROBE_EVERY.0;
        self.reduced_at = None;
    }

    fn reduce(&mut self, now: Instant, delivered: Option<f64>, stands: bool, ours: bool) {
        let rests = self
            .reduced_at
            .is_some_and(|at| now < at + REST + self.round_trip);
        // What was delivered may be all that was sent; what was served may be a share of it beside
        // others, which a train tells.
        let since = |time| self.trained.filter(|(at, _)| now < *at + time);
        let measured = match (self.served(), since(JUST_NOW)) {
            (Some(served), Some((_, trained))) => Some(served.max(trained)),
            (served, _) => served.or(since(TRAINED).map(|(_, rate)| rate)),
        };
        let passes = delivered.is_some_and(|rate| self.passes(rate));
        let carried = measured.or(delivered);
        let little = MUCH_LESS * self.rate;
        let much_less = |carried: &f64| *carried < little;
        let Some(carried) = carried.filter(|c| !rests || (much_less(c) && !passes)) else {
            return;
        };
        let last = self.delivered.back().map_or(0, |d| d.0);
        if stands && self.standing.less(last, self.arrived) >= PATIENCE {
            self.standing = Standing::default();
            self.others = self.queue;
            return;
        }
        let reduced = match passes {
            // Others fill the queue, or so little is sent that one which stays can't be of it.
            true if self.others > 0 || (!ours && much_less(&carried)) => self.rate,
            true => BACK_OFF * carried.max(self.rate),
            false => BACK_OFF * carried,
        };
        self.reduced_at = Some(now);
        if reduced < self.rate {
            self.rate = reduced.max(BOUNDS.0);
            self.probe.every = PROBE_EVERY.0;
        }
    }

    fn learn(&mut self, train: Measured) {
        let (rate, unspread) = match train {
            Measured::AtLeast(rate) => (rate, true),
            // It may have been spread by less than all that there was room for.
            Measured::About(rate) => (rate.max(self.served().unwrap_or(0.0)), false),
        };
        let found = (OF_TRAIN * rate).min(MAX_STEP * self.rate);
        if !unspread && rate < self.rate && self.queue > SHORT {
            self.rate += TOWARD_TRAIN * (rate - self.rate);
            return;
        }
        let short = self.queue < self.long() || !unspread;
        if short && found > self.rate {
            self.rate = found;
            self.probe.every = PROBE_EVERY.0;
            if unspread {
                self.probe.sent_at = None;
            }
        }
    }

    /// Whether a burst is under way: the queue that it makes is its own.
    fn probing(&self, now: Instant) -> bool {
        let lasts = self.round_trip + PROBE_ANSWER;
        self.probe.sent_at.is_some_and(|at| now < at + lasts)
    }

    /// The rate (bits a second) at which a burst is to be sent now, to learn whether more is carried.
    pub(crate) fn probe(&mut self, now: Instant) -> Option<u64> {
        let Probe {
            wanted,
            sent_at,
            every,
        } = self.probe;
        let rests = |at: Option<Instant>, time: Duration| at.is_some_and(|at| now < at + time);
        let long = self.queue > self.long();
        let needless = self.reports == 0 || wanted <= self.rate || long;
        let answer = self.round_trip + PROBE_ANSWER;
        if needless || rests(sent_at, every.max(answer)) || rests(self.reduced_at, PROBE_EVERY.0) {
            return None;
        }
        if sent_at.is_some() {
            self.probe.every = (every * 2).min(PROBE_EVERY.1);
        }
        self.probe.sent_at = Some(now);
        Some(wanted.min(PROBE_STEP * self.rate) as u64)
    }
}

/// Drop from the front what was longer ago than is counted over, or is of a clock that jumped (µs).
fn forget_old<T>(times: &mut VecDeque<T>, last: i64, at: impl Fn(&T) -> i64) {
    let old = |of: &T| last - at(of) > DELIVERED_OVER || at(of) - last > JUMP;
    while times.front().is_some_and(old) {
        times.pop_front();
    }
}

/// Bits a second of packets at these times (µs).
fn rate(packets: &VecDeque<(i64, usize)>) -> Option<f64> {
    let (first, last) = (packets.front()?, packets.back()?);
    let time = last.0 - first.0;
    let bytes: usize = packets.iter().skip(1).map(|d| d.1).sum();
    (time >= DELIVERED_OVER / 3).then(|| bytes as f64 * 8e6 / time as f64)
}

/// The number nearest to `near` with these last 16 bits.
pub(crate) fn extend(near: u64, number: u16) -> u64 {
    let base = near & !0xffff;
    let same = base | u64::from(number);
    let distance = same.wrapping_sub(near) as i64;
    if distance > 0x8000 && base > 0 {
        same - 0x1_0000
    } else if distance < -0x8000 {
        same + 0x1_0000
    } else {
        same
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;
    use crate::chance::Chance;

    /// A sender through a link with a queue, of which the estimator hears 20 times a second.
    struct Link {
        now: Instant,
        start: Instant,
        estimator: Estimator,
        rng: fastrand::Rng,
        rate: f64,
        queue: f64,
        chance: Chance,
        /// All but one packet in eight are sent twice, 12 ms apart.
        copied: bool,
        free: f64,
        /// One way, with nothing in the queue.
        way: f64,
        number: u64,
        arrivals: Vec<(u64, Option<i64>)>,
    }

    impl Link {
        fn new(rate: f64) -> Link {
            let now = Instant::now();
            Link {
                now,
                start: now,
                estimator: Estimator::new(now),
                rng: fastrand::Rng::with_seed(1),
                rate,
                queue: 0.3,
                chance: Chance::default(),
                copied: false,
                free: 0.0,
                way: 0.02,
                number: 0,
                arrivals: vec![],
            }
        }

        /// Packets of 1000 bytes, as many as these bits a second are, for so many seconds.
        fn send(&mut self, rate: f64, seconds: f64) {
            let end = self.now + Duration::from_secs_f64(seconds);
            let gap = Duration::from_secs_f64(8e3 / rate);
            let mut report = self.now;
            while self.now < end {
                self.now += gap;
                self.packet();
                if self.now >= report + Duration::from_millis(50) {
                    report = self.now;
                    self.report();
                }
            }
        }

        /// The same, in pictures of 50 ms that are sent three times quicker than they last.
        fn show(&mut self, rate: f64, seconds: f64) {
            let end = self.now + Duration::from_secs_f64(seconds);
            while self.now < end {
                let next = self.now + Duration::from_millis(50);
                self.send(3.0 * rate, 0.05 / 3.0);
                self.now = next;
                self.report();
            }
        }

        fn packet(&mut self) {
            let at = (self.now - self.start).as_secs_f64();
            self.estimator.sent(self.now, self.number as u16, 1_000);
            let copied = self.copied && !self.number.is_multiple_of(8);
            if copied {
                self.estimator.repeated(self.number as u16);
            }
            let starts = self.free.max(at);
            let spilt = starts - at > self.queue;
            let first = spilt || self.chance.loses(&mut self.rng);
            let lost = first && (!copied || self.chance.loses(&mut self.rng));
            if !spilt {
                self.free = starts + 8e3 / self.rate;
            }
            // The clocks are an hour apart.
            let later = if first { 0.012 } else { 0.0 };
            let arrives = 3_600.0 + self.free + self.way + later;
            let arrived = (!lost).then_some((arrives * 1e6) as i64);
            self.arrivals.push((self.number, arrived));
            self.number += 1;
        }

        fn report(&mut self) {
            let arrivals = std::mem::take(&mut self.arrivals);
            self.estimator.feedback(self.now, arrivals.into_iter());
        }
    }

    #[test]
    fn what_is_sent_several_times_says_nothing_of_loss_or_delay() {
        let mut link = Link::new(20e6);
        link.chance.loss = 0.5;
        let once = |link: &mut Link| {
            link.send(1e6, 0.5);
            link.estimator.loss()
        };
        for _ in 0..20 {
            once(&mut link);
        }
        let before = link.estimator.loss();
        assert!((0.4..0.6).contains(&before), "{before}");
        // From here on all but one in eight come, some of them late.
        link.copied = true;
        for _ in 0..20 {
            let now = once(&mut link);
            assert!((0.25..0.75).contains(&now), "{now}");
        }
        assert!(link.estimator.usable() > 1_000_000);
    }

    #[test]
    fn losses_in_a_row_are_told_from_others() {
        for (loss, run, bursts) in [
            (0.0, 0.0, false),
            (0.05, 0.0, false),
            (0.3, 0.0, false),
            (0.5, 0.0, false),
            (0.1, 4.0, true),
            (0.2, 8.0, true),
        ] {
            let mut link = Link::new(20e6);
            (link.chance.loss, link.chance.run) = (loss, run);
            let mut found = 0;
            for _ in 0..40 {
                link.send(4e5, 1.0);
                found += usize::from(link.estimator.loses_in_bursts());
            }
            let most = if bursts { 30..=40 } else { 0..=4 };
            assert!(
                most.contains(&found),
                "{loss} in runs of {run}: {found} of 40"
            );
        }
    }

    #[test]
    fn a_network_that_was_gone_for_a_while_is_not_one_that_loses_much() {
        let mut link = Link::new(20e6);
        link.send(1e6, 5.0);
        link.chance.loss = 1.0;
        link.send(1e6, 3.0);
        link.chance.loss = 0.0;
        link.send(1e6, 0.2);
        let usable = link.estimator.usable();
        assert!(usable >= 2_700_000, "{usable}");
        // Half a second may be chance.
        link.chance.loss = 1.0;
        link.send(1e6, 0.5);
        link.chance.loss = 0.0;
        link.send(1e6, 0.1);
        assert!(link.estimator.loss() > 0.3);
    }

    #[test]
    fn loss_by_chance_is_no_congestion() {
        for loss in [0.1, 0.3, 0.5] {
            let mut link = Link::new(20e6);
            link.chance.loss = loss;
            link.send(1.5e6, 20.0);
            let (rate, found) = (link.estimator.rate, link.estimator.loss());
            assert!(rate >= INITIAL, "{loss}: {rate}");
            assert!((loss - 0.12..loss + 0.12).contains(&found), "{found}");
            let usable = link.estimator.usable() as f64;
            assert!(usable < rate * (1.15 - loss), "what is lost is sent again");
        }
    }

    #[test]
    fn a_full_link_is_found_within_half_a_second() {
        for loss in [0.0, 0.1] {
            let mut link = Link::new(300e3);
            link.chance.loss = loss;
            link.send(1.5e6, 0.5);
            let rate = link.estimator.rate;
            assert!((150e3..330e3).contains(&rate), "{loss}: {rate}");
            assert!(link.estimator.loss() < 0.25, "spilt is not lost by chance");
        }
    }

    #[test]
    fn what_is_sent_below_the_estimate_keeps_the_queue_short() {
        let mut link = Link::new(600e3);
        let mut longest = 0;
        for second in 0..40 {
            let rate = link.estimator.rate.min(1.5e6) * 0.9;
            link.send(rate, 1.0);
            if second > 5 {
                longest = longest.max(link.estimator.queue);
            }
        }
        assert!(longest < 150_000, "{longest} us");
        let rate = link.estimator.rate;
        assert!((400e3..660e3).contains(&rate), "{rate}");
    }

    #[test]
    fn a_probe_is_asked_for_where_more_is_wanted_and_not_too_often() {
        let mut link = Link::new(20e6);
        assert_eq!(
            link.estimator.probe(link.now),
            None,
            "nothing was heard yet"
        );
        link.send(300e3, 2.0);
        assert_eq!(link.estimator.probe(link.now), None, "nothing is wanted");
        link.estimator.want(5_000_000);
        let Some(first) = link.estimator.probe(link.now) else {
            panic!("more is wanted");
        };
        assert!(first as f64 > INITIAL);
        let mut probes = 0;
        for _ in 0..200 {
            link.send(300e3, 0.1);
            probes += u32::from(link.estimator.probe(link.now).is_some());
        }
        assert!((5..=12).contains(&probes), "{probes} in 20 s found nothing");
        // A burst that comes through as it was sent settles it at once.
        link.send(8e6, 0.03);
        link.send(300e3, 0.2);
        assert!(link.estimator.rate > 7e6, "{}", link.estimator.rate);
        link.estimator.want(0);
        assert_eq!(link.estimator.probe(link.now), None);
    }

    #[test]
    fn a_queue_of_others_is_not_waited_out() {
        let mut link = Link::new(2e6);
        link.send(500e3, 2.0);
        let before = link.estimator.rate;
        link.free += 0.2;
        // Others keep it so long.
        for _ in 0..100 {
            link.send(500e3, 0.1);
            let now = (link.now - link.start).as_secs_f64();
            link.free = link.free.max(now + 0.2);
        }
        let rate = link.estimator.rate;
        assert!(rate > 200e3 && rate <= before, "{rate}");
    }

    #[test]
    fn room_is_looked_for_once_a_queue_is_gone() {
        let mut link = Link::new(20e6);
        link.send(200e3, 2.0);
        link.estimator.want(5_000_000);
        (link.estimator.probe.sent_at, link.estimator.probe.every) =
            (Some(link.now), PROBE_EVERY.1);
        link.send(200e3, 0.5);
        assert_eq!(
            link.estimator.probe(link.now),
            None,
            "the last found nothing"
        );
        link.free = (link.now - link.start).as_secs_f64() + 0.3;
        link.send(200e3, 0.2);
        assert_eq!(link.estimator.probe(link.now), None, "it would wait");
        link.send(200e3, 0.4);
        assert!(link.estimator.probe(link.now).is_some());
    }

    #[test]
    fn a_way_that_got_longer_is_not_waited_out() {
        for (loss, run) in [(0.0, 0.0), (0.02, 0.0), (0.08, 4.0)] {
            let mut link = Link::new(8e6);
            link.show(1e6, 3.0);
            (link.chance.loss, link.chance.run) = (loss, run);
            link.way += 0.07;
            for _ in 0..30 {
                link.show(1e6_f64.min(link.estimator.rate), 0.1);
                link.estimator.want(1_500_000);
                if let Some(burst) = link.estimator.probe(link.now) {
                    link.send(burst as f64, 0.03);
                }
            }
            let (rate, queue) = (link.estimator.rate, link.estimator.queue);
            assert!(rate > 1.5e6, "{loss} in runs of {run}: {rate}");
            assert!(queue < SHORT, "{queue} us");
        }
    }

    #[test]
    fn a_link_that_is_somewhat_too_narrow_is_not_taken_for_a_longer_way() {
        for queue in [0.06, 0.1, 0.3] {
            for rate in [0.7e6, 0.9e6, 0.95e6, 1e6] {
                let mut link = Link::new(8e6);
                link.queue = queue;
                link.show(1e6, 3.0);
                link.rate = rate;
                for _ in 0..100 {
                    link.show(1e6_f64.min(link.estimator.rate), 0.1);
                }
                let found = link.estimator.rate;
                assert!(
                    (0.6 * rate..rate).contains(&found),
                    "{queue} s, {rate}: {found}"
                );
                assert!(link.estimator.base.now < Some(3_600_021_000 + SHORT));
            }
        }
    }

    #[test]
    fn feedback_that_lies_changes_little_and_nothing_grows() {
        let mut link = Link::new(20e6);
        link.send(1e6, 2.0);
        let now = link.now;
        // Of what was never sent, twice, far in the past and future, by clocks that jump.
        for number in [0, 1 << 40, u64::MAX] {
            link.estimator
                .feedback(now, (0..100).map(|n| (number - n.min(number), Some(0))));
        }
        for jump in [i64::MIN / 4, i64::MAX / 4, 0] {
            link.packet();
            let number = link.number - 1;
            link.arrivals.clear();
            link.estimator
                .feedback(now, [(number, Some(jump))].into_iter());
        }
        for _ in 0..3 * MAX_SENT {
            link.packet();
        }
        assert!(link.estimator.sent.len() <= MAX_SENT);
        link.arrivals.clear();
        link.send(1e6, 5.0);
        let rate = link.estimator.rate;
        assert!(
            (BOUNDS.0..=BOUNDS.1).contains(&rate) && rate > 500e3,
            "{rate}"
        );
        assert!(link.estimator.delivered.len() < 2_000);
    }

    #[test]
    fn what_waited_here_is_not_lost_by_being_reported_as_missing() {
        let mut link = Link::new(20e6);
        link.send(1e6, 2.0);
        link.report();
        let ms = Duration::from_millis;
        let (first, from) = (link.number, link.now);
        // Twenty wait while twenty more go past them, and are reported missing beside those.
        for number in first..first + 20 {
            link.estimator.sent(from, number as u16, 1_000);
            link.estimator.waits(number as u16);
        }
        let came = |at: Instant| Some(((at - link.start).as_micros() + 20_000) as i64);
        for number in first + 20..first + 40 {
            link.estimator.sent(from, number as u16, 1_000);
        }
        let report = (first..first + 40).map(|n| (n, came(from).filter(|_| n >= first + 20)));
        link.estimator.feedback(from + ms(40), report);
        // Now they leave: the first ten arrive, the others are lost for certain once a later one has.
        let left = from + ms(50);
        for number in first..first + 20 {
            link.estimator.left(left, number as u16);
        }
        let report = (first..first + 20).map(|n| (n, came(left).filter(|_| n < first + 10)));
        link.estimator.feedback(left + ms(40), report);
        assert_eq!(link.estimator.lost_quickly, 0.0, "they may come yet");
        link.estimator
            .sent(left + ms(50), (first + 40) as u16, 1_000);
        let last = (first + 40, came(left + ms(50)));
        link.estimator.feedback(left + ms(90), [last].into_iter());
        let lost = link.estimator.lost_quickly;
        assert!(lost > 0.3, "ten of twenty: {lost}");
        assert!(link.estimator.unsure.is_empty());
    }

    #[test]
    fn pictures_leave_as_the_queue_allows() {
        let mut link = Link::new(2e6);
        assert_eq!(link.estimator.pictures(0), u64::MAX, "nothing is known yet");
        link.send(1e6, 2.0);
        let rate = link.estimator.rate;
        assert_eq!(link.estimator.pictures(0), (EMPTY.0 * rate) as u64);
        let much = (rate as usize) / 8;
        assert!(
            link.estimator.pictures(much) as f64 > 3.0 * rate,
            "none waits for long"
        );
        link.estimator.queue = STANDING + 1;
        assert_eq!(link.estimator.pictures(0), (DRAINING.0 * rate) as u64);
        link.estimator.others = STANDING;
        assert!(
            link.estimator.pictures(0) as f64 > rate * 0.7,
            "the queue is another's"
        );
    }

    #[test]
    fn numbers_wrap() {
        assert_eq!(extend(65_530, 65_535), 65_535);
        assert_eq!(extend(65_535, 2), 65_538);
        assert_eq!(extend(65_540, 65_530), 65_530);
        assert_eq!(extend(10, 65_530), 65_530);
    }
}
