//! What waits to be sent on a link, by class, and how fast it may go.
//!
//! A link with nothing waiting sends at once. What comes faster than the link may send waits in
//! one lane for each class: control and audio leave first, then base, then rest, each in order.
//! At most a burst leaves at a time, the rest is spread. What has waited too long is shed.
//!
//! Unknown capacity is no bound, but bursts are spread all the same: unpaced, a leg between two
//! clouds was measured to lose 90 times as much (livekit#4724).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::{Class, MAX_DATAGRAM};

use crate::capacity::{Capacity, Told};
use crate::message::Queue;

/// What leaves back to back: no more than 16 datagrams of 1,250 bytes, the last one on credit.
const BURST_BYTES: f64 = (14 * MAX_DATAGRAM) as f64;
/// Timers are not finer than this: a fast link's bursts are what it sends in so long.
const TICK: Duration = Duration::from_millis(1);
/// Of an unknown capacity: at least this many bits per second, at least so many times what was
/// sent lately, and whatever empties the lanes within this time.
const LEAST_RATE: f64 = 100e6;
const HEADROOM: f64 = 1.5;
const SPREAD: Duration = Duration::from_millis(6);
/// What is sent is measured over this time.
const MEASURED: Duration = Duration::from_millis(50);

/// Bytes that may wait in each class's lane; the oldest are shed beyond it.
const LANE_BYTES: [usize; 4] = [256 << 10, 64 << 10, 1 << 20, 1 << 20];
const LANE_NAMES: [&str; 4] = [
    "link_lane_control_bytes",
    "link_lane_audio_bytes",
    "link_lane_base_bytes",
    "link_lane_rest_bytes",
];

/// How long a frame of each class may wait. Rest goes first, then base; control and audio only
/// when they would come too late for any use.
fn patience(class: Class) -> Duration {
    match class {
        Class::Control | Class::Audio => class.budget(),
        Class::Base => Duration::from_millis(150),
        Class::Rest => Duration::from_millis(60),
    }
}

struct Waiting {
    since: Instant,
    length: usize,
}

/// Frames of one class, end to end.
#[derive(Default)]
struct Lane {
    bytes: VecDeque<u8>,
    frames: VecDeque<Waiting>,
}

impl Lane {
    fn push(&mut self, now: Instant, frame: &[u8]) {
        self.bytes.extend(frame);
        self.frames.push_back(Waiting {
            since: now,
            length: frame.len(),
        });
    }

    /// Move the oldest frame to the end of `to`.
    fn pop(&mut self, to: &mut Vec<u8>) {
        if let Some(Waiting { length, .. }) = self.frames.pop_front() {
            let (front, back) = self.bytes.as_slices();
            let (first, second) = (length.min(front.len()), length.saturating_sub(front.len()));
            to.extend_from_slice(&front[..first]);
            to.extend_from_slice(&back[..second]);
            self.bytes.drain(..length);
        }
    }

    fn shed(&mut self) {
        if let Some(Waiting { length, .. }) = self.frames.pop_front() {
            self.bytes.drain(..length);
        }
    }
}

/// The pace of one link, and what waits for it.
pub(crate) struct Pacer {
    lanes: [Lane; 4],
    waiting_bytes: usize,
    /// Bytes that may leave now; less than nothing after a burst.
    credit: f64,
    filled: Instant,
    given: Option<u64>,
    learnt: Capacity,
    sent_bytes: u64,
    /// Bytes sent since `measured_at`, and the rate before, in bits per second.
    sent: usize,
    measured_at: Instant,
    rate: f64,
    shed: [u64; 4],
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Pacer {
        Pacer {
            lanes: Default::default(),
            waiting_bytes: 0,
            credit: BURST_BYTES,
            filled: now,
            given: None,
            learnt: Capacity::default(),
            sent_bytes: 0,
            sent: 0,
            measured_at: now,
            rate: 0.0,
            shed: [0; 4],
        }
    }

    /// What an operator says: bits per second.
    pub(crate) fn set_capacity(&mut self, capacity: Option<u64>) {
        self.given = capacity;
    }

    /// Bits per second, given or learnt, whichever is less.
    pub(crate) fn capacity(&self) -> Option<u64> {
        [self.given, self.learnt.get()].into_iter().flatten().min()
    }

    /// The peer says what came, and how late.
    pub(crate) fn on_told(&mut self, told: Told, round: Duration) {
        self.learnt.on_told(told, self.sent_bytes, round);
    }

    /// The peer counts anew.
    pub(crate) fn forget_learnt(&mut self) {
        self.learnt = Capacity::default();
    }

    /// Whether a frame of this class may go right now, past the lanes.
    pub(crate) fn is_free(&mut self, now: Instant, class: Class) -> bool {
        self.fill(now);
        let ahead = &self.lanes[..=class.number()];
        ahead.iter().all(|lane| lane.frames.is_empty()) && self.credit > floor(class)
    }

    /// A frame that must wait.
    pub(crate) fn wait(&mut self, now: Instant, class: Class, frame: &[u8]) {
        let lane = &mut self.lanes[class.number()];
        lane.push(now, frame);
        self.waiting_bytes += frame.len();
        while self.lanes[class.number()].bytes.len() > LANE_BYTES[class.number()] {
            self.shed_oldest(class.number());
        }
    }

    /// Fill `to` up to `room` bytes with what may go now, the most urgent first; the class of the
    /// most urgent that is in it, None if nothing came.
    pub(crate) fn take(&mut self, now: Instant, room: usize, to: &mut Vec<u8>) -> Option<Class> {
        if self.waiting_bytes == 0 {
            return None;
        }
        self.fill(now);
        self.shed_late(now);
        let mut most_urgent = None;
        for class in Class::ALL {
            if most_urgent.is_none() && self.credit <= floor(class) {
                continue;
            }
            let lane = class.number();
            while let Some(frame) = self.lanes[lane].frames.front() {
                if frame.length > room {
                    // It was made when the way took bigger datagrams.
                    self.shed_oldest(lane);
                    continue;
                }
                if to.len() + frame.length > room {
                    return most_urgent;
                }
                self.waiting_bytes -= frame.length;
                self.lanes[lane].pop(to);
                most_urgent = most_urgent.or(Some(class));
            }
        }
        most_urgent
    }

    /// A datagram left, whatever it was.
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.credit -= bytes as f64;
        self.sent += bytes;
        self.sent_bytes += bytes as u64;
    }

    /// When something may leave that can't now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = |class: &Class| !self.lanes[class.number()].frames.is_empty();
        let class = Class::ALL.into_iter().find(waiting)?;
        let lacking = floor(class) + 1.0 - self.credit;
        if lacking <= 0.0 {
            return Some(self.filled);
        }
        let wait = Duration::from_secs_f64(lacking * 8.0 / self.pace());
        // Not a datagram at a time: part of a burst.
        Some(self.filled + wait.max(TICK / 2))
    }

    /// How long what waits will take to leave.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_secs_f64(self.waiting_bytes as f64 * 8.0 / self.pace())
    }

    /// Frames shed since the last call, by class.
    pub(crate) fn take_shed(&mut self) -> [u64; 4] {
        std::mem::take(&mut self.shed)
    }

    /// Forget what waits: there is no way to send it. How many frames that were.
    pub(crate) fn clear(&mut self) -> u64 {
        let frames = self.lanes.iter().map(|lane| lane.frames.len() as u64).sum();
        self.lanes = Default::default();
        self.waiting_bytes = 0;
        frames
    }

    pub(crate) fn queues(&self) -> [Queue; 4] {
        std::array::from_fn(|i| Queue {
            name: LANE_NAMES[i],
            length: self.lanes[i].bytes.len(),
            capacity: LANE_BYTES[i],
        })
    }

    /// Bits per second.
    fn pace(&self) -> f64 {
        match [self.given, self.learnt.pace()].into_iter().flatten().min() {
            Some(capacity) => (capacity as f64).max(1e3),
            None => {
                let emptying = self.waiting_bytes as f64 * 8.0 / SPREAD.as_secs_f64();
                LEAST_RATE.max(HEADROOM * self.rate).max(emptying)
            }
        }
    }

    fn fill(&mut self, now: Instant) {
        let measured = now.saturating_duration_since(self.measured_at);
        if measured >= MEASURED {
            self.rate = self.sent as f64 * 8.0 / measured.as_secs_f64();
            self.sent = 0;
            self.measured_at = now;
        }
        let elapsed = now.saturating_duration_since(self.filled);
        if elapsed.is_zero() {
            return;
        }
        self.filled = now;
        let pace = self.pace() / 8.0;
        let burst = BURST_BYTES.max(pace * TICK.as_secs_f64());
        self.credit = (self.credit + pace * elapsed.as_secs_f64()).min(burst);
    }

    fn shed_late(&mut self, now: Instant) {
        for class in Class::ALL {
            let patience = patience(class);
            let late = |frame: &Waiting| now.saturating_duration_since(frame.since) > patience;
            while self.lanes[class.number()].frames.front().is_some_and(late) {
                self.shed_oldest(class.number());
            }
        }
    }

    fn shed_oldest(&mut self, lane: usize) {
        let before = self.lanes[lane].bytes.len();
        self.lanes[lane].shed();
        self.waiting_bytes -= before - self.lanes[lane].bytes.len();
        self.shed[lane] += 1;
    }
}

/// The credit that a class leaves to more urgent ones. Control and audio go a burst into debt,
/// so that they never wait for the video that went before them.
fn floor(class: Class) -> f64 {
    match class {
        Class::Control | Class::Audio => -BURST_BYTES,
        Class::Base | Class::Rest => 0.0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const ROOM: usize = 1_300;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What leaves until the lanes are empty or time is up: when, which class, how many bytes.
    fn drain(pacer: &mut Pacer, from: Instant, until: Instant) -> Vec<(Duration, Class, usize)> {
        let mut left = Vec::new();
        let mut now = from;
        loop {
            let mut datagram = Vec::new();
            while let Some(class) = pacer.take(now, ROOM, &mut datagram) {
                pacer.on_sent(datagram.len() + 50);
                left.push((now - from, class, datagram.len()));
                datagram.clear();
            }
            match pacer.deadline() {
                Some(at) if at <= until => {
                    assert!(at > now, "time goes on");
                    now = at;
                }
                _ => return left,
            }
        }
    }

    fn wait(pacer: &mut Pacer, now: Instant, class: Class, frames: usize) {
        for _ in 0..frames {
            pacer.wait(now, class, &[class as u8; 1_200]);
        }
    }

    #[test]
    fn an_idle_link_adds_no_delay() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        for i in 0..1_000 {
            assert!(pacer.is_free(t + ms(20 * i), Class::Rest));
            pacer.on_sent(1_300);
            assert_eq!(pacer.deadline(), None);
        }
    }

    #[test]
    fn a_big_frame_leaves_in_bursts_within_a_few_milliseconds() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        wait(&mut pacer, t, Class::Base, 100);
        let left = drain(&mut pacer, t, t + ms(100));
        assert_eq!(left.len(), 100);
        let at = |time: Duration| left.iter().filter(|l| l.0 == time).count();
        assert!(left.iter().all(|l| at(l.0) <= 16), "{left:?}");
        let last = left.last().unwrap().0;
        assert!((ms(4)..=ms(10)).contains(&last), "{last:?}");
    }

    #[test]
    fn urgent_classes_go_first_and_do_not_wait_for_video() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        pacer.set_capacity(Some(10_000_000));
        wait(&mut pacer, t, Class::Rest, 30);
        wait(&mut pacer, t, Class::Base, 30);
        let mut datagram = Vec::new();
        while pacer.take(t, ROOM, &mut datagram).is_some() {
            pacer.on_sent(datagram.len());
            datagram.clear();
        }
        assert!(!pacer.is_free(t, Class::Base));
        assert!(pacer.is_free(t, Class::Audio));
        pacer.wait(t, Class::Audio, &[1; 100]);
        pacer.wait(t, Class::Control, &[0; 100]);
        assert_eq!(pacer.take(t, 150, &mut datagram), Some(Class::Control));
        datagram.clear();
        assert_eq!(pacer.take(t, 150, &mut datagram), Some(Class::Audio));
        let left = drain(&mut pacer, t, t + ms(100));
        assert!(left.is_sorted_by_key(|l| l.1), "base before rest: {left:?}");
    }

    #[test]
    fn capacity_is_kept() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        pacer.set_capacity(Some(8_000_000));
        // 1.5 times what fits, for a second.
        let (mut now, mut bytes) = (t, 0);
        for i in 0..1_000 {
            if i % 4 != 0 {
                wait(&mut pacer, now, Class::Rest, if i % 2 == 0 { 1 } else { 2 });
            }
            let next = now + ms(1);
            bytes += drain(&mut pacer, now, next)
                .iter()
                .map(|l| l.2 + 50)
                .sum::<usize>();
            now = next;
        }
        assert!((980_000..1_040_000).contains(&bytes), "{bytes}");
        let [control, audio, base, rest] = pacer.take_shed();
        assert_eq!((control, audio, base), (0, 0, 0));
        assert!((150..400).contains(&rest), "{rest}");
    }

    #[test]
    fn overload_sheds_rest_then_base_and_never_audio() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        pacer.set_capacity(Some(2_000_000));
        let mut left = Vec::new();
        let mut now = t;
        for i in 0..2_000u64 {
            if i % 20 == 0 {
                pacer.wait(now, Class::Audio, &[1; 150]);
            }
            // 1.2 Mb/s of base at first, then twice as much; 2 Mb/s of rest.
            if i % 8 == 0 || (i > 1_000 && i % 8 == 4) {
                pacer.wait(now, Class::Base, &[2; 1_200]);
            }
            if i % 5 == 0 {
                pacer.wait(now, Class::Rest, &[3; 1_200]);
            }
            if i == 1_000 {
                let [control, audio, base, rest] = pacer.take_shed();
                assert_eq!((control, audio, base), (0, 0, 0));
                assert!(rest > 50, "{rest}");
            }
            left.extend(drain(&mut pacer, now, now + ms(1)));
            now += ms(1);
        }
        let [control, audio, base, rest] = pacer.take_shed();
        assert_eq!((control, audio), (0, 0));
        assert!(base > 20 && rest > 150, "{base} {rest}");
    }

    #[test]
    fn lanes_are_bounded_and_the_oldest_go() {
        let t = Instant::now();
        let mut pacer = Pacer::new(t);
        for class in Class::ALL {
            wait(&mut pacer, t, class, 2_000);
        }
        assert!(
            pacer
                .queues()
                .iter()
                .all(|queue| queue.length <= queue.capacity)
        );
        assert!(pacer.take_shed().iter().all(|shed| *shed > 0));
        let waiting: usize = pacer.queues().iter().map(|queue| queue.length).sum();
        assert_eq!(waiting, pacer.waiting_bytes);
        assert_eq!(pacer.clear(), (waiting / 1_200) as u64);
        assert_eq!(pacer.deadline(), None);
    }
}
