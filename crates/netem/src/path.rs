//! One direction of a path, and what is under way on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codel::CoDel;
use crate::loss::Losses;
use crate::wander::Walk;
use crate::weather::{Spread, Weather};

/// The most items under way, whatever the weather; what comes on top is dropped.
const MAX_UNDER_WAY: usize = 100_000;

/// Draws of a truncated distribution before its bound is taken; one in twenty is outside.
const MAX_DRAWS: usize = 8;

/// Sets the seeds of later loss models apart from those of the first (2^64 over the golden ratio).
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What became of everything that was pushed; the rest is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub delivered: u64,
    /// By the loss model, a cut or their length.
    pub lost: u64,
    /// Because the queue was full, or by CoDel.
    pub dropped: u64,
    /// By CoDel, in place of a drop.
    pub marked: u64,
}

/// One direction of a path that carries items of any kind.
pub struct Path<T> {
    weather: Weather,
    rng: fastrand::Rng,
    /// Of the loss models that [`Path::set_at`] brings: how much was sent must not change them.
    seeds: fastrand::Rng,
    losses: Losses,
    /// When the bottleneck has sent everything that it has.
    idle_at: Option<Instant>,
    /// The latest arrival so far.
    last_due: Option<Instant>,
    /// By arrival; those that arrive together in the order in which they were sent.
    under_way: VecDeque<Item<T>>,
    walk: Walk,
    codel: CoDel,
    tally: Tally,
}

struct Item<T> {
    due: Instant,
    /// When the bottleneck has sent it.
    departs: Instant,
    item: T,
}

impl<T> Path<T> {
    /// A path on which one `seed` always loses and delays the same packets.
    pub fn new(weather: Weather, seed: u64) -> Path<T> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let losses = Losses::new(weather.loss, rng.u64(..));
        let walk = Walk::new(rng.u64(..));
        Path {
            weather,
            rng,
            seeds: fastrand::Rng::with_seed(seed ^ SEED_STEP),
            losses,
            idle_at: None,
            last_due: None,
            under_way: VecDeque::new(),
            walk,
            codel: CoDel::default(),
            tally: Tally::default(),
        }
    }

    /// Change the weather. A cut also takes what is under way.
    pub fn set(&mut self, weather: Weather) {
        if weather.loss != self.weather.loss {
            self.losses = Losses::new(weather.loss, self.rng.u64(..));
        }
        if weather.rate != self.weather.rate {
            self.idle_at = None;
        }
        self.last_due = None;
        self.change(weather);
    }

    /// Change the weather at `now`, and the times of what is under way with it: what waits for the
    /// rate leaves at the new one, and where the delay stays, so does the order. Ask for the
    /// deadline again. Outages begin now; the schedule of the n-th change is the same for one seed.
    pub fn set_at(&mut self, now: Instant, weather: Weather) {
        let before = self.weather;
        if weather.loss != before.loss {
            self.losses = Losses::new(weather.loss, self.seeds.u64(..));
            self.losses.begin(now);
        }
        self.change(weather);
        if weather.cut {
            self.idle_at = None;
        }
        if weather.rate != before.rate {
            self.settle(now, before.rate);
        }
        if weather.codel != before.codel {
            self.codel = CoDel::default();
        }
        if before.hold && !weather.hold {
            for item in &mut self.under_way {
                item.due = item.due.max(now);
            }
        }
        let last = self.under_way.back().map(|item| item.due);
        self.last_due = last.filter(|_| weather.delay == before.delay);
    }

    fn change(&mut self, weather: Weather) {
        if weather.cut {
            self.tally.lost += self.under_way.len() as u64;
            self.under_way.clear();
        }
        self.weather = weather;
    }

    /// Let what waits for the rate of `before` leave at that of now instead.
    fn settle(&mut self, now: Instant, before: Option<u64>) {
        let before = before.map_or(0.0, |rate| rate.max(1) as f64);
        let after = self.weather.rate.map(|rate| rate.max(1) as f64);
        // Nothing waits where there was no rate, and everything leaves where there is none.
        let slower = after.map_or(0.0, |after| before / after);
        let items = self.under_way.make_contiguous();
        items.sort_by_key(|item| item.departs);
        let (mut begun, mut at, mut last_due) = (now, now, now);
        for item in items.iter_mut().filter(|item| item.departs > now) {
            let on_the_way = item.due - item.departs;
            at += (item.departs - begun).mul_f64(slower);
            begun = item.departs;
            item.departs = at;
            item.due = at + on_the_way;
            if !self.weather.reorder {
                item.due = item.due.max(last_due);
            }
            last_due = item.due;
        }
        items.sort_by_key(|item| item.due);
        self.idle_at = (at > now).then_some(at);
    }

    pub fn weather(&self) -> Weather {
        self.weather
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Items on their way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Send an item of so many bytes at `now`; whether the path took it.
    pub fn push(&mut self, now: Instant, item: T, bytes: usize) -> bool {
        self.push_markable(now, item, bytes, None)
    }

    /// The same with an item that may be marked in place of being dropped (ECN, RFC 3168).
    pub fn push_markable(
        &mut self,
        now: Instant,
        mut item: T,
        bytes: usize,
        mark: Option<fn(&mut T)>,
    ) -> bool {
        let vanishes = self.weather.cut || bytes > self.weather.max_bytes;
        if vanishes || self.losses.is_lost(now) {
            self.tally.lost += 1;
            return false;
        }
        let Some((departs, struck)) = self.enqueue(now, bytes, mark.is_some()) else {
            self.tally.dropped += 1;
            return false;
        };
        if let Some(mark) = mark.filter(|_| struck) {
            mark(&mut item);
            self.tally.marked += 1;
        }
        let mut due = departs + self.delay(now);
        if !self.weather.reorder {
            due = self.last_due.map_or(due, |last| due.max(last));
        }
        self.last_due = Some(due);
        let behind = |item: &&Item<T>| item.due > due;
        let later = self.under_way.iter().rev().take_while(behind).count();
        let place = self.under_way.len() - later;
        let item = Item { due, departs, item };
        self.under_way.insert(place, item);
        true
    }

    /// When an item that comes now leaves the bottleneck, and whether it is to be marked; None if
    /// there is no room for it, or CoDel drops it.
    fn enqueue(&mut self, now: Instant, bytes: usize, markable: bool) -> Option<(Instant, bool)> {
        if self.under_way.len() >= MAX_UNDER_WAY {
            return None;
        }
        let Some(rate) = self.weather.rate.map(|rate| rate.max(1)) else {
            return Some((now, false));
        };
        let starts = self.idle_at.map_or(now, |at| at.max(now));
        let sojourn = starts.saturating_duration_since(now);
        let waiting = sojourn.as_secs_f64() * rate as f64 / 8.0;
        if waiting + bytes as f64 > self.weather.queue_bytes as f64 {
            return None;
        }
        let struck = self.weather.codel && self.codel.strikes(starts, sojourn, waiting);
        if struck && !markable {
            return None;
        }
        let departs = starts + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        self.idle_at = Some(departs);
        Some((departs, struck))
    }

    fn delay(&mut self, now: Instant) -> Duration {
        let Weather { jitter, wander, .. } = self.weather;
        let extra = wander.map(|wander| self.walk.at(now, wander));
        let delay = self.weather.delay + extra.unwrap_or_default();
        if jitter.is_zero() {
            return delay;
        }
        let share = match self.weather.spread {
            Spread::Even => 2.0 * self.rng.f64(),
            Spread::Gaussian => 1.0 + self.gaussian(),
        };
        (delay + jitter.mul_f64(share)).saturating_sub(jitter)
    }

    /// Normal around 0 with a deviation of half, within -1 and 1 (Box and Muller's way).
    fn gaussian(&mut self) -> f64 {
        let mut value = 0.0;
        for _ in 0..MAX_DRAWS {
            let (u, v) = (1.0 - self.rng.f64(), self.rng.f64());
            value = 0.5 * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            if (-1.0..=1.0).contains(&value) {
                break;
            }
        }
        value.clamp(-1.0, 1.0)
    }

    /// When the next item arrives; None while nothing is under way, and on hold.
    pub fn deadline(&self) -> Option<Instant> {
        let next = self.under_way.front().map(|item| item.due);
        next.filter(|_| !self.weather.hold)
    }

    /// An item that has arrived by `now`, in order of arrival.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        self.deadline().filter(|due| *due <= now)?;
        self.tally.delivered += 1;
        self.under_way.pop_front().map(|item| item.item)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use proptest::prelude::*;

    use super::*;
    use crate::weather::{Loss, Wander};

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Push `n` packets of 1000 bytes, `gap` apart; when each arrived, by number.
    fn send(
        path: &mut Path<usize>,
        start: Instant,
        n: usize,
        gap: Duration,
    ) -> Vec<(usize, Duration)> {
        let mut got = Vec::new();
        let drain = |path: &mut Path<usize>, until: Instant, got: &mut Vec<_>| {
            while let Some(due) = path.deadline().filter(|due| *due <= until) {
                got.push((path.pop(due).unwrap(), due - start));
            }
        };
        for i in 0..n {
            let now = start + gap * i as u32;
            drain(path, now, &mut got);
            path.push(now, i, 1_000);
        }
        drain(path, start + ms(1_000_000), &mut got);
        got
    }

    #[test]
    fn delay_alone_is_exact_and_in_order() {
        let mut path = Path::new(Weather::delayed(ms(40)), 1);
        let got = send(&mut path, Instant::now(), 100, ms(1));
        let expected: Vec<_> = (0..100).map(|i| (i, ms(40 + i as u64))).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_rate_spaces_packets_and_a_full_queue_drops_the_newest() {
        let weather = Weather {
            rate: Some(800_000), // 10 ms a packet
            queue_bytes: 5_000,
            ..Weather::delayed(ms(100))
        };
        let mut path = Path::new(weather, 1);
        let got = send(&mut path, Instant::now(), 20, Duration::ZERO);
        let expected: Vec<_> = (0..5).map(|i| (i, ms(110 + 10 * i as u64))).collect();
        assert_eq!(got, expected);
        assert_eq!(path.tally().dropped, 15);
    }

    #[test]
    fn a_long_path_holds_more_than_its_queue() {
        let weather = Weather {
            rate: Some(8_000_000), // 1 ms a packet
            queue_bytes: 5_000,
            ..Weather::delayed(ms(300))
        };
        let got = send(&mut Path::new(weather, 1), Instant::now(), 1_000, ms(1));
        assert_eq!(got.len(), 1_000);
    }

    #[test]
    fn a_cut_takes_what_is_under_way_and_heals() {
        let t = Instant::now();
        let mut path = Path::new(Weather::delayed(ms(40)), 1);
        path.push(t, 1, 10);
        let cut = Weather {
            cut: true,
            ..path.weather()
        };
        path.set(cut);
        path.push(t, 2, 10);
        assert_eq!(path.deadline(), None);
        path.set(Weather::delayed(ms(40)));
        path.push(t, 3, 10);
        assert_eq!(path.pop(t + ms(40)), Some(3));
        let tally = Tally {
            delivered: 1,
            lost: 2,
            dropped: 0,
            marked: 0,
        };
        assert_eq!(path.tally(), tally);
    }

    #[test]
    fn a_hold_keeps_all_and_floods_it_out_in_order() {
        let t = Instant::now();
        let mut path = Path::new(Weather::delayed(ms(40)), 1);
        let held = Weather {
            hold: true,
            ..path.weather()
        };
        path.push(t, 0, 10);
        path.set_at(t + ms(1), held);
        for i in 1..50 {
            path.push(t + ms(i), i, 10);
        }
        assert_eq!((path.deadline(), path.pop(t + ms(80))), (None, None));
        path.set_at(t + ms(80), Weather::delayed(ms(40)));
        path.push(t + ms(80), 50, 10);
        // 41 were due by then, and none is late for having been held.
        assert_eq!(path.deadline(), Some(t + ms(80)));
        let mut flood = Vec::new();
        while let Some(i) = path.pop(t + ms(80)) {
            flood.push(i);
        }
        assert_eq!(flood, (0..=40).collect::<Vec<_>>());
        assert_eq!(path.deadline(), Some(t + ms(81)));
        assert_eq!((path.under_way(), path.tally().lost), (10, 0));
    }

    fn narrow(rate: u64) -> Weather {
        Weather {
            rate: Some(rate),
            ..Weather::delayed(ms(100))
        }
    }

    #[test]
    fn what_waits_leaves_at_the_new_rate() {
        let t = Instant::now();
        let arrivals = |then: Weather| -> Vec<(u64, u128)> {
            let mut path = Path::new(narrow(800_000), 1); // 10 ms a packet
            for i in 0..4 {
                path.push(t, i, 1_000);
            }
            // The first has left, the second is half sent.
            path.set_at(t + ms(15), then);
            path.push(t + ms(15), 4, 1_000);
            let next = |_| path.deadline().map(|due| (path.pop(due).unwrap(), due));
            let got = (0..5).map_while(next);
            got.map(|(i, due)| (i, (due - t).as_millis())).collect()
        };
        let slower = arrivals(narrow(400_000));
        assert_eq!(slower, [(0, 110), (1, 125), (2, 145), (3, 165), (4, 185)]);
        let faster = arrivals(narrow(1_600_000));
        assert_eq!(faster, [(0, 110), (1, 117), (2, 122), (3, 127), (4, 132)]);
        let free = arrivals(Weather::delayed(ms(100)));
        assert_eq!(free, [(0, 110), (1, 115), (2, 115), (3, 115), (4, 115)]);
    }

    #[test]
    fn a_queue_of_time_holds_that_time() {
        assert_eq!(Weather::queue_of(ms(300), 1_000_000), 37_500);
        assert_eq!(Weather::queue_of(ms(1), 64_000), 1_500);
    }

    /// Which of `n` packets were lost, `gap` apart, where outages begin at the start.
    fn lost_in_outages(seed: u64, n: u32, gap: Duration, share: f32) -> Vec<bool> {
        let loss = Loss::Outages {
            every: ms(2_000),
            last: ms(120),
            share,
        };
        let (t, mut path) = (Instant::now(), Path::new(Weather::default(), seed));
        path.set_at(
            t,
            Weather {
                loss,
                ..Weather::default()
            },
        );
        let lost = (0..n).map(|i| {
            path.push(t + gap * i, (), 100);
            path.pop(t + gap * i).is_none()
        });
        lost.collect()
    }

    #[test]
    fn outages_last_in_time_and_lose_their_share() {
        let lost = lost_in_outages(5, 1_000_000, ms(10), 0.9);
        let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
        // 120 of 2,120 ms, nine in ten of it; some 4,700 outages.
        assert!((0.045..0.058).contains(&share), "{share}");
    }

    #[test]
    fn the_schedule_of_outages_is_the_seeds_whatever_is_sent() {
        let dense = lost_in_outages(5, 100_000, ms(1), 1.0);
        let sparse = lost_in_outages(5, 10_000, ms(10), 1.0);
        let seen: Vec<bool> = dense.into_iter().step_by(10).collect();
        assert_eq!(seen, sparse);
        assert!(sparse.iter().any(|lost| *lost));
        assert_ne!(sparse, lost_in_outages(6, 10_000, ms(10), 1.0));
    }

    #[test]
    fn gaussian_jitter_is_dense_in_the_middle_and_bounded() {
        let weather = Weather {
            jitter: ms(30),
            spread: Spread::Gaussian,
            reorder: true,
            ..Weather::delayed(ms(50))
        };
        let got = send(&mut Path::new(weather, 4), Instant::now(), 20_000, ms(1));
        let took: Vec<f64> = got
            .iter()
            .map(|(i, at)| (*at - ms(1) * *i as u32).as_secs_f64() * 1e3)
            .collect();
        assert!(took.iter().all(|ms| (20.0..=80.0).contains(ms)));
        let n = took.len() as f64;
        let mean = took.iter().sum::<f64>() / n;
        let deviation = (took.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / n).sqrt();
        // Cut off at two deviations, 15 ms become 13.2.
        assert!((49.7..50.3).contains(&mean), "{mean}");
        assert!((12.9..13.5).contains(&deviation), "{deviation}");
    }

    #[test]
    fn burst_loss_comes_in_bursts() {
        let bursts = |loss: Loss| {
            let weather = Weather {
                loss,
                ..Weather::default()
            };
            let got = send(&mut Path::new(weather, 9), Instant::now(), 100_000, ms(1));
            let gaps = got.windows(2).filter(|w| w[1].0 > w[0].0 + 1).count();
            let lost = 100_000 - got.len();
            (lost as f64 / 100_000.0, lost as f64 / gaps as f64)
        };
        let (share, length) = bursts(Loss::Random(0.05));
        assert!(
            (0.045..0.055).contains(&share) && length < 1.2,
            "{share} {length}"
        );
        let (share, length) = bursts(Loss::Bursts {
            good_packets: 95.0,
            bad_packets: 5.0,
            bad_loss: 1.0,
        });
        assert!(
            (0.04..0.06).contains(&share) && length > 4.0,
            "{share} {length}"
        );
    }

    #[test]
    fn four_probabilities_lose_what_they_say() {
        // The default of Tambur (NSDI 2023): 7.4 % in the long run.
        let loss = Loss::GilbertElliott {
            to_bad: 0.068,
            to_good: 0.852,
            good_loss: 0.04,
            bad_loss: 0.5,
        };
        let weather = Weather {
            loss,
            ..Weather::default()
        };
        let got = send(&mut Path::new(weather, 9), Instant::now(), 100_000, ms(1));
        let share = 1.0 - got.len() as f64 / 100_000.0;
        assert!((0.070..0.078).contains(&share), "{share}");
    }

    #[test]
    fn a_delay_wanders_within_its_bounds_whatever_is_sent() {
        let wander = Some(Wander {
            step: ms(2),
            max: ms(20),
        });
        let weather = Weather {
            wander,
            ..Weather::delayed(ms(40))
        };
        let t = Instant::now();
        let took = |gap: u64| -> Vec<Duration> {
            let got = send(
                &mut Path::new(weather, 3),
                t,
                (200_000 / gap) as usize,
                ms(gap),
            );
            let took = got.iter().map(|(i, at)| *at - ms(gap) * *i as u32);
            took.step_by(1_000 / gap as usize).collect()
        };
        let coarse = took(1_000);
        assert_eq!(coarse, took(100));
        assert!(coarse.iter().all(|d| (ms(40)..=ms(60)).contains(d)));
        let (least, most) = (coarse.iter().min().unwrap(), coarse.iter().max().unwrap());
        assert!(*most - *least > ms(10), "{least:?} to {most:?}");
    }

    #[test]
    fn codel_keeps_a_queue_short_and_marks_what_may_be_marked() {
        let weather = Weather {
            rate: Some(800_000), // 10 ms a packet
            queue_bytes: 100_000,
            codel: true,
            ..Weather::default()
        };
        let (t, gap) = (Instant::now(), ms(9));
        let mut path = Path::new(weather, 1);
        let got = send(&mut path, t, 3_000, gap);
        let waited = |(i, at): &(usize, Duration)| *at - gap * *i as u32;
        let longest = got.iter().skip(1_500).map(waited).max().unwrap();
        // A tail drop alone would have it wait for a second.
        assert!(longest < ms(100), "{longest:?}");
        let dropped = path.tally().dropped as f64 / 3_000.0;
        assert!((0.08..0.2).contains(&dropped), "{dropped}");
        let mut path = Path::new(weather, 1);
        let taken = (0..200)
            .filter(|n| path.push_markable(t + ms(*n), false, 1_000, Some(|item| *item = true)));
        assert_eq!(taken.count() as u64, 200 - path.tally().dropped);
        let marked = std::iter::from_fn(|| path.pop(t + ms(10_000))).filter(|item| *item);
        let marked = marked.count() as u64;
        assert!(marked > 1 && marked == path.tally().marked, "{marked}");
    }

    #[test]
    fn what_is_too_long_vanishes() {
        let weather = Weather {
            max_bytes: 100,
            ..Weather::default()
        };
        let (t, mut path) = (Instant::now(), Path::new(weather, 1));
        path.push(t, 1, 101);
        path.push(t, 2, 100);
        assert_eq!((path.pop(t), path.pop(t)), (Some(2), None));
        assert_eq!(path.tally().lost, 1);
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let t = Instant::now();
        let mut path = Path::new(Weather::delayed(ms(40)), 1);
        for i in 0..MAX_UNDER_WAY + 10 {
            path.push(t, i, 1);
        }
        assert_eq!(
            (path.under_way(), path.tally().dropped),
            (MAX_UNDER_WAY, 10)
        );
    }

    proptest! {
        #[test]
        fn jitter_keeps_its_bounds_and_the_same_seed_its_choices(
            seed: u64, delay in 0u64..100, jitter in 0u64..50, reorder: bool, loss in 0.0..1.0f32,
        ) {
            let weather = Weather {
                jitter: ms(jitter), reorder, loss: Loss::Random(loss), ..Weather::delayed(ms(delay))
            };
            let t = Instant::now();
            let got = send(&mut Path::new(weather, seed), t, 200, ms(3));
            prop_assert_eq!(&got, &send(&mut Path::new(weather, seed), t, 200, ms(3)));
            let mut latest = 0;
            for (i, at) in got {
                let took = at - ms(3) * i as u32;
                prop_assert!(took >= ms(delay.saturating_sub(jitter)) && took <= ms(delay + jitter));
                prop_assert!(reorder || i >= latest);
                latest = latest.max(i);
            }
        }
    }
}
