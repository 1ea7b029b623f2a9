//! How late packets of a picture come that were lost on the way up and sent again, and so how long who
//! sees it is to keep it back: a picture that is shown as soon as it is whole stands whenever one waits for
//! a repair. Jitter buffers learn that slowly and forget it at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Of so many seconds, in so many at least packets come as late.
const SECONDS: usize = 10;
const OFTEN: usize = 3;
const SECOND: Duration = Duration::from_secs(1);
/// What comes less late is for jitter buffers; nothing is kept back longer.
const FROM: Duration = Duration::from_millis(120);
const MOST: Duration = Duration::from_millis(700);
/// By no more at once: the picture stands for what is added.
const STEP: Duration = Duration::from_millis(150);
/// Arrivals are told apart that are so far from each other, of so many.
const APART: Duration = Duration::from_millis(5);
const KEPT: usize = 512;
/// So far behind the newest, a stream began anew.
const ANEW: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// The newest packets, and when they came.
    newest: VecDeque<(u64, Instant)>,
    /// The latest of each second; of this one first.
    latest: VecDeque<Duration>,
    since: Option<Instant>,
    keep_back: Duration,
}

impl Late {
    /// A packet came.
    pub(crate) fn came(&mut self, now: Instant, sequence: u64) {
        self.pass(now);
        let newest = self.newest.back();
        if newest.is_some_and(|(newest, _)| sequence + ANEW < *newest) {
            self.newest.clear();
        }
        match self.newest.back().copied() {
            Some((newest, _)) if sequence < newest => {
                let after = self.newest.partition_point(|(came, _)| *came <= sequence);
                let late = self.newest.get(after).map(|(_, at)| now - *at);
                if let (Some(late), Some(latest)) = (late, self.latest.front_mut()) {
                    *latest = late.max(*latest);
                }
            }
            Some((_, at)) if now < at + APART => {
                if let Some((newest, _)) = self.newest.back_mut() {
                    *newest = sequence;
                }
            }
            _ => {
                if self.newest.len() == KEPT {
                    self.newest.pop_front();
                }
                self.newest.push_back((sequence, now));
            }
        }
    }

    fn pass(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now < since + SECOND) {
            return;
        }
        let mut latest: Vec<_> = self.latest.iter().copied().collect();
        latest.sort_unstable();
        let often = latest.iter().rev().nth(OFTEN - 1).copied();
        let late = often.filter(|late| *late >= FROM).unwrap_or_default();
        self.keep_back = late.min(MOST).min(self.keep_back + STEP);
        self.since = Some(now);
        self.latest.truncate(SECONDS - 1);
        self.latest.push_front(Duration::ZERO);
    }

    /// So long it is to be kept back.
    pub(crate) fn keep_back(&self) -> Duration {
        self.keep_back
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    const GAP: u64 = 10;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// A packet each 10 ms for so many seconds; of some, each of which comes so late, the first of a second is.
    /// What is to be kept back at the end of each second.
    fn seconds(late: &mut Late, start: Instant, latenesses: &[u64]) -> Vec<u128> {
        let mut packets: Vec<(u64, u64)> = vec![];
        for (second, lateness) in (0..).zip(latenesses) {
            for n in 0..100 {
                let at = GAP * (100 * second + n);
                // It is missed when the next one comes.
                let behind = if n == 0 && *lateness > 0 {
                    lateness + GAP
                } else {
                    0
                };
                packets.push((at + behind, 100 * second + n));
            }
        }
        packets.sort_unstable();
        let mut told = vec![];
        for (at, sequence) in packets {
            late.came(start + ms(at), sequence);
            told.resize(at as usize / 1_000 + 1, 0);
            *told.last_mut().unwrap_or(&mut 0) = late.keep_back().as_millis();
        }
        told
    }

    #[test]
    fn what_often_comes_late_is_waited_for_more_by_and_by() {
        let mut late = Late::default();
        let told = seconds(&mut late, Instant::now(), &[400; 8]);
        assert_eq!(told, [0, 0, 0, 150, 300, 400, 400, 400]);
    }

    #[test]
    fn what_comes_late_now_and_then_is_not_waited_for() {
        let mut late = Late::default();
        let told = seconds(
            &mut late,
            Instant::now(),
            &[0, 600, 600, 0, 0, 0, 0, 0, 0, 0, 0, 600],
        );
        assert_eq!(told, [0; 12]);
        let told = seconds(&mut Late::default(), Instant::now(), &[100; 12]);
        assert_eq!(told, [0; 12]);
    }

    #[test]
    fn nothing_is_waited_for_once_nothing_is_late() {
        let mut late = Late::default();
        let latenesses = [&[900; 8][..], &[0; 12]].concat();
        let told = seconds(&mut late, Instant::now(), &latenesses);
        assert_eq!(told[3..9], [150, 300, 450, 600, 700, 700]);
        assert_eq!(told.last(), Some(&0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_stream_may_begin_anew() {
        let start = Instant::now();
        let mut late = Late::default();
        for n in 0..2_000 {
            late.came(start + ms(10 * n), 70_000 + n);
        }
        assert_eq!(late.newest.len(), KEPT);
        late.came(start + ms(20_000), 5);
        assert_eq!(late.newest.len(), 1);
        late.came(start + ms(20_010), 6);
        late.came(start + ms(20_020), 5);
        assert!(late.latest[0] <= ms(10), "{:?}", late.latest);
    }
}
