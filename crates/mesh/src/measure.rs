//! What a link is like: round trip, jitter, loss before and after repair.

use std::collections::VecDeque;
use std::time::Duration;

/// Loss is over the last this many seconds.
const WINDOWS: usize = 5;
/// A hiccup in one clock reading is no jitter.
const MAX_JITTER_US: f32 = 500_000.0;

#[derive(Clone, Copy, Default)]
struct Window {
    /// Datagrams that the peer sent, by its counter, and those that came.
    sent: u64,
    received: u64,
    /// Numbered datagrams, and those given up.
    numbered: u64,
    missed: u64,
}

#[derive(Default)]
pub(crate) struct Measure {
    rtt_us: Option<f32>,
    jitter_us: f32,
    last_transit: Option<u32>,
    current: Window,
    past: VecDeque<Window>,
    pub(crate) sent_packets: u64,
    pub(crate) received_packets: u64,
}

impl Measure {
    /// Smoothed (RFC 6298's 1/8).
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt_us.map(|us| Duration::from_micros(us as u64))
    }

    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter_us as u64)
    }

    pub(crate) fn on_echo(&mut self, us: u32) {
        let sample = us as f32;
        self.rtt_us = Some(self.rtt_us.map_or(sample, |rtt| rtt + (sample - rtt) / 8.0));
    }

    /// A datagram that moved the counter on by `advance`, sent and come at these wrapping times.
    pub(crate) fn on_datagram(&mut self, advance: u64, sent: u32, arrived: u32) {
        self.received_packets += 1;
        self.current.sent += advance;
        self.current.received += 1;
        let transit = arrived.wrapping_sub(sent);
        if let Some(last) = self.last_transit.replace(transit) {
            let change = (transit.wrapping_sub(last) as i32).unsigned_abs() as f32;
            self.jitter_us += (change.min(MAX_JITTER_US) - self.jitter_us) / 16.0;
        }
    }

    /// So many numbered datagrams were sent, and so many given up.
    pub(crate) fn on_numbered(&mut self, sent: u64, missed: u64) {
        self.current.numbered += sent;
        self.current.missed += missed;
    }

    /// A second is over.
    pub(crate) fn roll(&mut self) {
        if self.past.len() == WINDOWS {
            self.past.pop_front();
        }
        self.past.push_back(std::mem::take(&mut self.current));
    }

    /// Forget how the last incarnation of the peer behaved.
    pub(crate) fn restart(&mut self) {
        self.last_transit = None;
        self.current = Window::default();
        self.past.clear();
    }

    /// Shares lost before and after repair.
    pub(crate) fn loss(&self) -> (f32, f32) {
        let sum = |f: fn(&Window) -> u64| self.past.iter().map(f).sum::<u64>() + f(&self.current);
        let share = |part: u64, all: u64| {
            if all == 0 {
                0.0
            } else {
                part as f32 / all as f32
            }
        };
        let (sent, received) = (sum(|w| w.sent), sum(|w| w.received));
        let raw = share(sent.saturating_sub(received), sent);
        let residual = share(sum(|w| w.missed), sum(|w| w.numbered)).min(1.0);
        (raw, residual)
    }
}
