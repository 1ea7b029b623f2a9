//! Traffic of others through the same bottleneck: one paced stream, and downloads that fill what
//! they find, as TCP does (Reno: slow start, one packet more a round trip, half after a loss).
//!
//! Sans-IO: whoever owns the path pushes what [`Crowd::next`] gives and tells what became of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Of IP, each.
pub const CROSS_BYTES: usize = 1_200;
/// Downloads at most.
pub const MAX_DOWNLOADS: u8 = 16;

const FIRST_WINDOW: f64 = 10.0;
/// Packets; a receiver's window.
const MAX_WINDOW: f64 = 1_000.0;
/// A download of which nothing was heard for so long begins anew.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What was in flight with a packet that was lost says nothing new: about a round trip behind a
/// queue.
const RECOVERY: Duration = Duration::from_millis(100);

/// What others send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cross {
    /// Bits a second, evenly.
    pub paced: u64,
    pub downloads: u8,
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Paced,
    Download(u8),
}

/// All others on one direction of a path.
#[derive(Default)]
pub struct Crowd {
    cross: Cross,
    /// When the paced stream sends next.
    paced_at: Option<Instant>,
    downloads: Vec<Download>,
}

struct Download {
    window: f64,
    /// Slow start ends there.
    threshold: f64,
    in_flight: u32,
    /// What will be heard of packets, and when.
    news: VecDeque<(Instant, bool)>,
    /// Losses of packets that were sent before count once.
    recovers_until: Instant,
    heard: Instant,
}

impl Crowd {
    /// Others change; those that go on keep their windows.
    pub fn set(&mut self, now: Instant, cross: Cross) {
        let downloads = usize::from(cross.downloads.min(MAX_DOWNLOADS));
        self.downloads.truncate(downloads);
        while self.downloads.len() < downloads {
            self.downloads.push(Download::new(now));
        }
        if cross.paced != self.cross.paced {
            self.paced_at = (cross.paced > 0).then_some(now);
        }
        self.cross = cross;
    }

    /// When somebody sends next, or hears something.
    pub fn deadline(&self) -> Option<Instant> {
        let downloads = self.downloads.iter().map(Download::deadline);
        downloads.chain(self.paced_at).min()
    }

    /// Whose packet of [`CROSS_BYTES`] is due, if one is. Say with [`Crowd::sent`] whether the
    /// path took it.
    pub fn next(&mut self, now: Instant) -> Option<Flow> {
        if let Some(at) = self.paced_at.filter(|at| *at <= now) {
            let gap = CROSS_BYTES as f64 * 8.0 / self.cross.paced as f64;
            // A path that was not looked at for long owes nothing.
            let at = if now - at > TIMEOUT { now } else { at };
            self.paced_at = Some(at + Duration::from_secs_f64(gap));
            return Some(Flow::Paced);
        }
        let mut flows = (0u8..).zip(&mut self.downloads);
        let ready = flows.find_map(|(n, flow)| flow.may_send(now).then_some(n));
        ready.map(Flow::Download)
    }

    /// A packet was given to the path, which takes `round_trip` at rest, and was taken or lost.
    pub fn sent(&mut self, now: Instant, flow: Flow, taken: bool, round_trip: Duration) {
        let Flow::Download(number) = flow else { return };
        if let Some(download) = self.downloads.get_mut(usize::from(number)) {
            download.in_flight += 1;
            if !taken {
                download.news.push_back((now + round_trip, false));
            }
        }
    }

    /// A packet came out of the path; its sender hears of it after `back`.
    pub fn arrived(&mut self, now: Instant, flow: Flow, back: Duration) {
        let Flow::Download(number) = flow else { return };
        if let Some(download) = self.downloads.get_mut(usize::from(number)) {
            download.news.push_back((now + back, true));
        }
    }
}

impl Download {
    fn new(now: Instant) -> Download {
        Download {
            window: FIRST_WINDOW,
            threshold: MAX_WINDOW,
            in_flight: 0,
            news: VecDeque::new(),
            recovers_until: now,
            heard: now,
        }
    }

    fn deadline(&self) -> Instant {
        if self.has_room() {
            return self.heard;
        }
        let next = self.news.iter().map(|(at, _)| *at).min();
        next.unwrap_or(self.heard + TIMEOUT)
            .min(self.heard + TIMEOUT)
    }

    fn has_room(&self) -> bool {
        f64::from(self.in_flight) + 1.0 <= self.window
    }

    fn may_send(&mut self, now: Instant) -> bool {
        while let Some(place) = self.news.iter().position(|(at, _)| *at <= now) {
            let (at, arrived) = self.news.remove(place).unwrap_or((now, true));
            self.hear(at, arrived);
        }
        if self.in_flight > 0 && now >= self.heard + TIMEOUT {
            self.in_flight = 0;
            self.news.clear();
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = 1.0;
            self.heard = now;
        }
        self.has_room()
    }

    fn hear(&mut self, at: Instant, arrived: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.heard = self.heard.max(at);
        if arrived {
            let more = match self.window < self.threshold {
                true => 1.0,
                false => 1.0 / self.window,
            };
            self.window = (self.window + more).min(MAX_WINDOW);
        } else if at >= self.recovers_until {
            self.window = (self.window / 2.0).max(1.0);
            self.threshold = self.window;
            self.recovers_until = at + RECOVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::{Path, Weather};

    const DELAY: Duration = Duration::from_millis(20);

    /// A bottleneck of 2 Mb/s with a queue of 200 ms for so long: bytes that came out by flow, and
    /// how often the path dropped something.
    fn shared(cross: Cross, seconds: u64, cut: Option<u64>) -> (u64, Vec<u64>, u64) {
        let start = Instant::now();
        let (mut path, mut crowd) = (Path::new(Weather::default(), 1), Crowd::default());
        let rate = 2_000_000;
        let weather = Weather {
            rate: Some(rate),
            queue_bytes: Weather::queue_of(Duration::from_millis(200), rate),
            ..Weather::delayed(DELAY)
        };
        path.set_at(start, weather);
        crowd.set(start, cross);
        let (mut paced, mut downloads) = (0, vec![0; usize::from(cross.downloads)]);
        for step in 0..seconds * 1_000 {
            let now = start + Duration::from_millis(step);
            if let Some(second) = cut {
                let cut = (second * 1_000..second * 1_000 + 3_000).contains(&step);
                if path.weather().cut != cut {
                    path.set_at(now, Weather { cut, ..weather });
                }
            }
            while let Some(flow) = path.pop(now) {
                match flow {
                    Flow::Paced => paced += CROSS_BYTES as u64,
                    Flow::Download(n) => downloads[usize::from(n)] += CROSS_BYTES as u64,
                }
                crowd.arrived(now, flow, DELAY);
            }
            while crowd.deadline().is_some_and(|due| due <= now) {
                let Some(flow) = crowd.next(now) else { break };
                let taken = path.push(now, flow, CROSS_BYTES);
                crowd.sent(now, flow, taken, 2 * DELAY);
            }
        }
        (paced, downloads, path.tally().dropped)
    }

    fn kbps(bytes: u64, seconds: u64) -> u64 {
        bytes * 8 / 1_000 / seconds
    }

    #[test]
    fn a_paced_stream_is_even_and_takes_what_it_takes() {
        let cross = Cross {
            paced: 300_000,
            downloads: 0,
        };
        let (paced, _, dropped) = shared(cross, 20, None);
        assert!((297..=302).contains(&kbps(paced, 20)), "{paced}");
        assert_eq!(dropped, 0);
    }

    #[test]
    fn a_download_fills_the_bottleneck_and_backs_off_when_it_drops() {
        let cross = Cross {
            paced: 0,
            downloads: 1,
        };
        let (_, downloads, dropped) = shared(cross, 30, None);
        assert!(
            (1_800..=2_000).contains(&kbps(downloads[0], 30)),
            "{downloads:?}"
        );
        assert!((1..2_000).contains(&dropped), "{dropped}");
    }

    #[test]
    fn downloads_share_and_leave_room_for_a_stream() {
        let cross = Cross {
            paced: 300_000,
            downloads: 2,
        };
        let (paced, downloads, _) = shared(cross, 60, None);
        assert!(kbps(paced, 60) > 250, "{paced}");
        let (less, more) = (
            downloads.iter().min().unwrap(),
            downloads.iter().max().unwrap(),
        );
        assert!(more < &(4 * less), "{downloads:?}");
        let all = paced + downloads.iter().sum::<u64>();
        assert!(kbps(all, 60) > 1_800, "{all}");
    }

    #[test]
    fn a_download_survives_a_cut() {
        let cross = Cross {
            paced: 0,
            downloads: 1,
        };
        let (_, before, _) = shared(cross, 10, None);
        let (_, after, _) = shared(cross, 30, Some(10));
        assert!(after[0] > 2 * before[0], "{before:?} {after:?}");
    }
}
