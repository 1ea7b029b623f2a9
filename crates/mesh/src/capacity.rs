//! How much a link takes, learnt from what the peer says came and how late it came.
//!
//! Loss alone is no congestion: a queue is. A queue that stands while less comes than was sent, or
//! that keeps growing, means that what comes is all the way takes. A delay that only stepped up
//! (the way was moved) is neither: as much comes as before, and it grows no further; less may come
//! then because less is sent, but not evenly. What is learnt is planned a little lower, so that the
//! queue drains (if it does not, it is not ours, and nothing was learnt), and grows again without one:
//! slowly where it stood before, faster beyond (after TCP CUBIC's plateau, RFC 9438).

use std::collections::VecDeque;
use std::time::Duration;

/// A queue on the way that stands for longer than this is congestion.
pub(crate) const STANDING: Duration = Duration::from_millis(15);
/// What the peer says is looked at in steps of this.
const WINDOW_US: u32 = 200_000;
/// A step in which nothing was heard for so long says nothing.
const STALE_US: u32 = 2_000_000;
/// Steps that are kept: so many are compared, after as many as a round trip takes.
const COMPARED: usize = 3;
const KEPT: usize = 16;
/// Less than this share of what was sent came while a queue stood.
const SHORT: f64 = 0.9;
/// What comes of a full way is even: so much of its mean.
const EVEN: std::ops::Range<f64> = 0.8..1.25;
/// A queue that grew in so many of the last steps, by at least so much in each.
const RISING: usize = 4;
const RISE: Duration = Duration::from_millis(2);
/// The share of what came that is planned with, and the share of that while the queue drains.
const PLANNED: f64 = 0.95;
const DRAIN: f64 = 0.9;
/// A queue of ours shrinks by so much once less is sent than comes; where it does not, nothing is learnt
/// for so many steps.
const DRAINED: Duration = Duration::from_millis(8);
const IDLE: usize = 25;
/// Growth in a second without a queue: where it stood before, and elsewhere.
const NEAR: f64 = 0.01;
const FAR: f64 = 0.1;
/// What counts as near, as shares of what came when a queue last stood, and for how long.
const PLATEAU: std::ops::Range<f64> = 0.9..1.05;
const PLATEAU_STEPS: u32 = 50;
/// Never learnt to be less than this, in bits per second, nor from less: a queue may be somebody else's.
const LEAST: f64 = 100e3;
/// What takes more than this is as good as unknown.
const MOST: f64 = 1e9;

#[derive(Clone, Copy)]
struct Step {
    /// Bits per second that the peer got, and that were sent meanwhile.
    came: f64,
    sent: f64,
    /// The least of the queue.
    queue: Duration,
}

/// What the peer said last, when a step began.
struct Begun {
    clock: u32,
    received: u32,
    sent: u64,
    queue: Duration,
}

/// What the peer of a link tells in a heartbeat.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// When, by its clock, in wrapping microseconds.
    pub(crate) clock: u32,
    /// Bytes that came so far, wrapping.
    pub(crate) received: u32,
    /// The one-way delay above its least.
    pub(crate) queue: Duration,
}

/// The learnt capacity of one direction of a link.
#[derive(Default)]
pub(crate) struct Capacity {
    begun: Option<Begun>,
    steps: VecDeque<Step>,
    learnt: Option<f64>,
    /// What came when a queue last stood, and how many steps ago that was.
    ceiling: f64,
    clear: u32,
    /// Steps until what was changed shows, and the queue before.
    settling: usize,
    stood: Duration,
    standing: bool,
}

impl Capacity {
    /// Bits per second; None where it never was the limit.
    pub(crate) fn get(&self) -> Option<u64> {
        self.learnt.map(|rate| rate as u64)
    }

    /// What may be sent now: less while a queue drains.
    pub(crate) fn pace(&self) -> Option<u64> {
        let share = if self.standing { DRAIN } else { 1.0 };
        self.learnt.map(|rate| (rate * share) as u64)
    }

    /// A report of the peer, when `sent` bytes had been sent in all and a round trip takes `round`.
    pub(crate) fn on_told(&mut self, told: Told, sent: u64, round: Duration) {
        let Some(begun) = &mut self.begun else {
            self.begin(told, sent);
            return;
        };
        let passed = told.clock.wrapping_sub(begun.clock);
        if passed > STALE_US {
            // An old report overtaken, a clock that jumped, or a long silence.
            self.steps.clear();
            self.begin(told, sent);
            return;
        }
        begun.queue = begun.queue.min(told.queue);
        if passed < WINDOW_US {
            return;
        }
        let seconds = f64::from(passed) / 1e6;
        let rate = |bytes: f64| bytes * 8.0 / seconds;
        let step = Step {
            came: rate(f64::from(told.received.wrapping_sub(begun.received))),
            sent: rate(sent.saturating_sub(begun.sent) as f64),
            queue: begun.queue,
        };
        self.begin(told, sent);
        if self.steps.len() == KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        let behind = (round.as_micros() as usize).div_ceil(WINDOW_US as usize);
        self.conclude(seconds, behind);
    }

    fn begin(&mut self, told: Told, sent: u64) {
        self.begun = Some(Begun {
            clock: told.clock,
            received: told.received,
            sent,
            queue: told.queue,
        });
    }

    fn conclude(&mut self, seconds: f64, behind: usize) {
        let Some(last) = self.steps.back().copied() else {
            return;
        };
        self.standing = last.queue > STANDING;
        if self.settling == 1 && self.learnt.is_some() && last.queue + DRAINED > self.stood {
            // Not our queue: less was sent, and it stands.
            self.learnt = None;
            self.settling = IDLE;
        }
        self.settling = self.settling.saturating_sub(1);
        self.clear = self.clear.saturating_add(1);
        if self.standing {
            if self.settling == 0 && (self.falls_short(behind) || self.rises()) {
                self.learn(last, behind);
            }
        } else if let Some(learnt) = self.learnt {
            let near = self.clear < PLATEAU_STEPS && PLATEAU.contains(&(learnt / self.ceiling));
            let grown = learnt * (1.0 + if near { NEAR } else { FAR } * seconds);
            self.learnt = (grown < MOST).then_some(grown);
        }
    }

    fn learn(&mut self, last: Step, behind: usize) {
        let before = self.steps.iter().rev().nth(1).map_or(last.came, |s| s.came);
        let came = (last.came + before) / 2.0;
        if came < LEAST {
            return;
        }
        self.ceiling = came;
        self.learnt = Some((came * PLANNED).max(LEAST));
        self.clear = 0;
        self.stood = last.queue;
        self.settling = behind + COMPARED;
    }

    /// Less came than was sent, as long as a queue stood; whatever part of a round trip ago it was
    /// sent, for who falls silent sends less than what still comes, or the other way round.
    fn falls_short(&self, behind: usize) -> bool {
        let recent = |skip: usize| self.steps.iter().rev().skip(skip).take(COMPARED);
        if recent(behind).count() < COMPARED {
            return false;
        }
        let came: f64 = recent(0).map(|step| step.came).sum();
        let sent = |skip| recent(skip).map(|step| step.sent).sum::<f64>();
        let stood = self.steps.iter().rev().take(2).all(|s| s.queue > STANDING);
        let even = |step: &Step| EVEN.contains(&(step.came * COMPARED as f64 / came));
        stood && recent(0).all(even) && (0..=behind).all(|skip| came < SHORT * sent(skip))
    }

    fn rises(&self) -> bool {
        if self.steps.len() <= RISING {
            return false;
        }
        let last = self.steps.range(self.steps.len() - RISING - 1..);
        let queues: Vec<Duration> = last.map(|step| step.queue).collect();
        queues.windows(2).all(|pair| pair[1] >= pair[0] + RISE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A way that takes so much, with a queue of so many milliseconds at most, under a load.
    struct Way {
        capacity: Capacity,
        takes: f64,
        limit: f64,
        /// Bits that wait, milliseconds that the way itself got longer, bytes so far.
        waiting: f64,
        longer: f64,
        loss: f64,
        now_us: u32,
        sent: f64,
        received: f64,
        worst_ms: f64,
        /// What the peer told that is still on its way.
        told: VecDeque<Told>,
    }

    impl Way {
        fn new(takes: f64, limit: f64) -> Way {
            Way {
                capacity: Capacity::default(),
                takes,
                limit,
                waiting: 0.0,
                longer: 0.0,
                loss: 0.0,
                now_us: u32::MAX - 1_000_000, // both counters wrap in every test
                sent: 0.0,
                received: f64::from(u32::MAX) - 50_000.0,
                worst_ms: 0.0,
                told: VecDeque::new(),
            }
        }

        /// So many seconds of a load of so many bits per second, held to what was learnt.
        fn run(&mut self, seconds: f64, load: impl Fn(u32) -> f64) {
            self.worst_ms = 0.0;
            let turns = (seconds * 50.0) as u32;
            for turn in 0..turns {
                let allowed = self.capacity.pace().map_or(f64::MAX, |rate| rate as f64);
                let offered = load(turn).min(allowed) * 0.02;
                self.sent += offered / 8.0;
                self.waiting += offered * (1.0 - self.loss);
                let through = self.waiting.min(self.takes * 0.02);
                self.waiting -= through;
                self.waiting = self.waiting.min(self.takes * self.limit / 1e3);
                self.received += through / 8.0;
                self.now_us = self.now_us.wrapping_add(20_000);
                let queue_ms = self.longer + self.waiting / self.takes * 1e3;
                self.worst_ms = self.worst_ms.max(queue_ms);
                self.told.push_back(Told {
                    clock: self.now_us,
                    received: self.received as u64 as u32,
                    queue: Duration::from_secs_f64(queue_ms / 1e3),
                });
                if self.told.len() > 4 {
                    let told = self.told.pop_front().expect("some");
                    let round = Duration::from_millis(80);
                    self.capacity.on_told(told, self.sent as u64, round);
                }
            }
        }

        fn share(&self) -> Option<f64> {
            self.capacity.get().map(|rate| rate as f64 / self.takes)
        }
    }

    #[test]
    fn what_comes_while_a_queue_stands_is_what_the_way_takes() {
        for (load, limit) in [(2.0, 150.0), (1.2, 150.0), (4.0, 400.0), (1.05, 1_000.0)] {
            let mut way = Way::new(2e6, limit);
            way.run(6.0, |_| load * 2e6);
            let share = way.share().expect("learnt");
            assert!((0.8..1.05).contains(&share), "{load}: {share}");
            way.run(60.0, |_| load * 2e6);
            let share = way.share().expect("kept");
            assert!((0.8..1.1).contains(&share), "{load} later: {share}");
            assert!(way.worst_ms < 100.0, "{load}: {} ms", way.worst_ms);
        }
    }

    #[test]
    fn loss_alone_teaches_nothing() {
        let mut way = Way::new(20e6, 150.0);
        way.loss = 0.3;
        way.run(30.0, |_| 4e6);
        assert_eq!(way.share(), None);
    }

    #[test]
    fn a_way_that_got_longer_is_no_queue() {
        let mut way = Way::new(20e6, 150.0);
        way.run(5.0, |_| 4e6);
        way.longer = 60.0;
        way.run(30.0, |_| 4e6);
        assert_eq!(way.share(), None);
    }

    #[test]
    fn a_way_that_got_longer_is_no_queue_for_those_who_pause() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let turns = 65 * 50;
            // Somebody speaks or a picture moves, for 0.1 to 2 s at a time.
            let mut load = Vec::new();
            while load.len() < turns {
                let rate = [5e3, 27e3, 240e3, 2e6][rng.usize(..4)] * (0.9 + 0.2 * rng.f64());
                load.extend(std::iter::repeat_n(rate, rng.usize(5..100)));
            }
            let mut way = Way::new(20e6, 150.0);
            way.run(5.0, |turn| load[turn as usize]);
            way.longer = 60.0;
            let mut held = 0;
            for second in 5..65 {
                way.run(1.0, |turn| load[(second * 50 + turn) as usize]);
                held += usize::from(way.share().is_some());
            }
            assert!(held <= 2, "seed {seed}: {held} of 60 s");
        }
    }

    #[test]
    fn pictures_come_in_bursts_and_that_is_no_queue() {
        let mut way = Way::new(6e6, 150.0);
        // A keyframe of 60 kB each second: 80 ms of the way, at one time.
        way.run(60.0, |turn| if turn % 50 == 0 { 24e6 } else { 1e6 });
        assert_eq!(way.share(), None);
    }

    #[test]
    fn what_was_learnt_grows_with_the_way() {
        let mut way = Way::new(1e6, 150.0);
        way.run(10.0, |_| 3e6);
        way.takes = 8e6;
        way.run(30.0, |_| 3e6);
        assert!(way.capacity.get().expect("known still") > 3_000_000);
    }

    #[test]
    fn a_lie_and_a_clock_that_jumps_do_no_harm() {
        let mut way = Way::new(20e6, 150.0);
        way.run(5.0, |_| 4e6);
        for clock in [0, u32::MAX / 2, 7, u32::MAX] {
            let queue = Duration::from_secs(6);
            let told = Told {
                clock,
                received: 0,
                queue,
            };
            way.capacity.on_told(told, 0, Duration::from_secs(60));
        }
        way.run(10.0, |_| 4e6);
        assert!(way.capacity.get().is_none_or(|rate| rate as f64 >= LEAST));
    }
}
