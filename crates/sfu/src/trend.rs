//! Whether a queue grows on the way: the delay gradient of Google Congestion Control.
//!
//! The trendline filter of libwebrtc over groups of packets, with the adaptive threshold of
//! draft-ietf-rmcat-gcc-02 section 5.4. All times are in microseconds.

use std::collections::VecDeque;

/// Packets sent within this of one another are one group.
const GROUP: i64 = 5_000;
const WINDOW: usize = 20;
/// Of the way to each new delay that is kept.
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const MAX_GROUPS: f64 = 60.0;
/// How fast the threshold follows a trend above and below it, per millisecond.
const FOLLOW_UP: f64 = 0.0087;
const FOLLOW_DOWN: f64 = 0.039;
const THRESHOLD: (f64, f64) = (6.0, 600.0);
const FIRST_THRESHOLD: f64 = 12.5;
/// A trend so far above the threshold does not move it: a route changed.
const ODD: f64 = 15.0;
/// Above the threshold for so long, and still rising, is growth.
const PATIENCE: i64 = 10_000;

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    sent: i64,
    arrived: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Trend {
    group: Option<Group>,
    before: Option<Group>,
    groups: usize,
    total: f64,
    smoothed: f64,
    /// When each group arrived (ms) and the smoothed delay then.
    points: VecDeque<(f64, f64)>,
    threshold: f64,
    moved_at: Option<i64>,
    last: f64,
    above_since: Option<i64>,
    growing: bool,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            group: None,
            before: None,
            groups: 0,
            total: 0.0,
            smoothed: 0.0,
            points: VecDeque::new(),
            threshold: FIRST_THRESHOLD,
            moved_at: None,
            last: 0.0,
            above_since: None,
            growing: false,
        }
    }
}

impl Trend {
    /// Whether the queue is growing.
    pub(crate) fn growing(&self) -> bool {
        self.growing
    }

    /// Take a packet that arrived, in the order of arrival.
    pub(crate) fn observe(&mut self, sent: i64, arrived: i64) {
        let Some(group) = &mut self.group else {
            self.group = Some(Group {
                first_sent: sent,
                sent,
                arrived,
            });
            return;
        };
        if sent < group.first_sent {
            return;
        }
        if sent - group.first_sent <= GROUP {
            group.sent = group.sent.max(sent);
            group.arrived = group.arrived.max(arrived);
            return;
        }
        let done = *group;
        self.group = Some(Group {
            first_sent: sent,
            sent,
            arrived,
        });
        if let Some(before) = self.before.replace(done) {
            let delta = (done.arrived - before.arrived) - (done.sent - before.sent);
            self.take(delta as f64 / 1e3, done.arrived);
        }
    }

    /// Take how much longer (ms) a group took than the one before it.
    fn take(&mut self, delta: f64, arrived: i64) {
        self.groups += 1;
        self.total += delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.total;
        self.points.push_back((arrived as f64 / 1e3, self.smoothed));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        if self.points.len() < WINDOW {
            return;
        }
        let trend = slope(&self.points) * (self.groups as f64).min(MAX_GROUPS) * GAIN;
        if trend > self.threshold {
            let since = *self.above_since.get_or_insert(arrived);
            self.growing = arrived - since >= PATIENCE && trend >= self.last;
        } else {
            self.above_since = None;
            self.growing = false;
        }
        self.last = trend;
        self.follow(trend, arrived);
    }

    fn follow(&mut self, trend: f64, arrived: i64) {
        let elapsed = self
            .moved_at
            .map_or(0, |at| (arrived - at).clamp(0, 100_000));
        self.moved_at = Some(arrived);
        let above = trend.abs() - self.threshold;
        if above > ODD {
            return;
        }
        let follow = if above < 0.0 { FOLLOW_DOWN } else { FOLLOW_UP };
        let (least, most) = THRESHOLD;
        self.threshold += follow * above * elapsed as f64 / 1e3;
        self.threshold = self.threshold.clamp(least, most);
    }
}

/// Of the straight line through the points (least squares).
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let many = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), p| (x + p.0 / many, y + p.1 / many));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), p| {
        (over + (p.0 - x) * (p.1 - y), under + (p.0 - x).powi(2))
    });
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets 20 ms apart, each as late as told (µs); whether growth was ever seen.
    fn seen(late: impl Fn(i64) -> i64) -> bool {
        let mut trend = Trend::default();
        (0..300).any(|n| {
            let sent = n * 20_000;
            trend.observe(sent, sent + 40_000 + late(n));
            trend.growing()
        })
    }

    #[test]
    fn a_growing_queue_is_seen_and_jitter_is_not() {
        let mut rng = fastrand::Rng::with_seed(3);
        let jitter: Vec<i64> = (0..300).map(|_| rng.i64(0..10_000)).collect();
        let at = |n: i64| jitter[n as usize];
        assert!(!seen(|_| 0));
        assert!(!seen(at), "jitter alone");
        assert!(seen(|n| (n - 100).max(0) * 5_000), "a quarter too much");
        assert!(seen(|n| at(n) + (n - 100).max(0) * 5_000), "in jitter");
        assert!(!seen(|n| (200 - n).max(0) * 500), "a queue that drains");
    }

    #[test]
    fn a_step_of_the_delay_is_not_taken_for_growth_for_long() {
        let mut trend = Trend::default();
        let mut growing = 0;
        for n in 0..500 {
            let sent = n * 20_000;
            trend.observe(sent, sent + if n < 200 { 40_000 } else { 90_000 });
            growing += usize::from(trend.growing());
        }
        assert!(growing <= 20, "{growing}");
    }
}
