//! What a link is like, from what comes over it: delay, jitter, loss, rates, and what the peer
//! says of the other direction. Bounded memory, and a constant amount of work for each packet.
//!
//! Times from the peer are authentic but need not be true: its clock may jump, as ours may. What
//! can't be is counted and left out, and a new clock is taken when it has proved steady.

use std::collections::VecDeque;
use std::time::Duration;

use wire::{MAX_PAIRS, PeerReport};

mod floor;
mod spread;

use floor::Floor;
use spread::Spread;

/// Rates are over the last this many seconds.
const WINDOWS: usize = 5;
/// Loss is over as many, or as many more as it takes for so many packets, up to the most.
const MAX_WINDOWS: usize = 60;
const ENOUGH: i64 = 100;
/// Round trips kept for percentiles: the last seconds of an active link.
const ROUNDS: usize = 128;
/// No path takes this long for a round trip.
const MAX_ROUND_US: u32 = 10_000_000;
/// A one-way delay does not change by more between two packets: a clock jumped.
const MAX_STEP_US: u32 = 1_000_000;
/// A round trip so much longer than usual is believed only if the next ones agree.
const ROUND_SLACK_US: f32 = 500_000.0;
/// So many impossible samples in a row are a new clock, which is taken for what it is.
const STEADY: u8 = 8;
/// How much more the delay one way may grow than the round trip before it is the clock.
const DELAY_SLACK_US: i32 = 20_000;
/// Missing datagrams of the last second that are not yet called lost: one of each port pair.
const FEW: i64 = MAX_PAIRS as i64;
/// Packets in a row missing that are no burst but a peer that started elsewhere.
const MAX_BURST: u32 = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Window {
    /// Datagrams that the peer sent, by its counter, and those that came.
    sent: i64,
    received: i64,
    /// Numbered datagrams, and those given up.
    numbered: u64,
    missed: u64,
    /// Numbered datagrams that were missing when a later one came, and in how many runs.
    lost: u64,
    runs: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// The one-way delay from the peer, up to an unknown constant.
struct Transit {
    first: u32,
    last: i32,
    smooth: f32,
    /// The least since the peer was told of its queue.
    least: Option<i32>,
    floor: Floor,
}

/// A datagram that came.
#[derive(Clone, Copy)]
pub(crate) struct Came {
    pub(crate) bytes: usize,
    /// By how much it moved the peer's counter on.
    pub(crate) advance: u64,
    /// It says nothing of the pair in use.
    pub(crate) aside: bool,
    /// It came under keys that have been replaced, whose counters are no longer followed.
    pub(crate) old: bool,
    /// The peer's clock when it was sent, and ours, in wrapping microseconds.
    pub(crate) sent: u32,
    pub(crate) arrived: u32,
}

#[derive(Default)]
pub(crate) struct Measure {
    rtt_us: Option<f32>,
    rounds: VecDeque<u32>,
    round_floor: Floor,
    odd_rounds: u8,
    transit: Option<Transit>,
    odd_transits: u8,
    excess: u8,
    spread: Spread,
    /// 95th and 99th percentiles of the change of delay, as of the last second.
    jitter_us: (u32, u32),
    /// The peer's total as of its last heartbeat, and how many of them have come since.
    aside: u16,
    aside_came: i64,
    last_sequence: Option<u32>,
    current: Window,
    past: VecDeque<Window>,
    loss: (f32, f32),
    burst: f32,
    /// As told last.
    queue: u16,
    peer: PeerReport,
    pub(crate) sent_packets: u64,
    pub(crate) received_packets: u64,
    received_bytes: u32,
}

impl Measure {
    /// Smoothed (RFC 6298's 1/8).
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt_us.map(|us| us_to(us as u32))
    }

    /// The least of the last minute; the median and the 95th percentile of the last samples.
    pub(crate) fn round_trips(&self) -> Option<[Duration; 3]> {
        let mut sorted: Vec<u32> = self.rounds.iter().copied().collect();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get(sorted.len() * share / 100).copied();
        let (median, high) = (at(50)?, at(95)?);
        let least = self.round_floor.get().map_or(median, |least| least as u32);
        Some([us_to(least), us_to(median), us_to(high)])
    }

    /// The 95th percentile of the change of delay from packet to packet.
    pub(crate) fn jitter(&self) -> Duration {
        us_to(self.jitter_us.0)
    }

    /// The 99th.
    pub(crate) fn jitter_p99(&self) -> Duration {
        us_to(self.jitter_us.1)
    }

    /// How far the one-way delay from the peer stands above its least of the last minute.
    pub(crate) fn delay_change(&self) -> Duration {
        us_to(self.delay_change_us().max(0) as u32)
    }

    fn delay_change_us(&self) -> i32 {
        let transit = self.transit.as_ref();
        let change = transit.and_then(|t| Some((t.smooth as i32).saturating_sub(t.floor.get()?)));
        change.unwrap_or_default()
    }

    /// The queue on the way from the peer, in units of 100 us: what even the quickest datagram since
    /// the last report waited (CoDel, RFC 8289). A machine that is late now and then is no queue.
    fn queue(&mut self) -> u16 {
        if let Some(transit) = &mut self.transit
            && let (Some(least), Some(floor)) = (transit.least.take(), transit.floor.get())
        {
            let units = least.saturating_sub(floor).max(0) / 100;
            self.queue = units.min(u16::MAX.into()) as u16;
        }
        self.queue
    }

    /// Above the least delay on the way to the peer, as it reports.
    pub(crate) fn peer_queue(&self) -> Duration {
        us_to(u32::from(self.peer.queue) * 100)
    }

    /// Loss before and after repair of what we send, as the peer reports it.
    pub(crate) fn loss_out(&self) -> (f32, f32) {
        let share = |part: u16| f32::from(part) / f32::from(u16::MAX);
        (share(self.peer.loss), share(self.peer.residual))
    }

    pub(crate) fn on_peer_report(&mut self, report: PeerReport) {
        self.peer = report;
    }

    /// What we tell the peer.
    pub(crate) fn report(&mut self) -> PeerReport {
        let (loss, residual) = self.loss();
        let share = |part: f32| (part * f32::from(u16::MAX)) as u16;
        PeerReport {
            loss: share(loss),
            residual: share(residual),
            queue: self.queue(),
            received: self.received_bytes,
        }
    }

    /// A round trip of so many (wrapping) microseconds; false if that can't be.
    pub(crate) fn on_round(&mut self, us: u32) -> bool {
        let sample = us as f32;
        let usual = self.rtt_us.unwrap_or(sample);
        let odd = us > MAX_ROUND_US || sample > 4.0 * usual + ROUND_SLACK_US;
        if odd && (us > MAX_ROUND_US || self.odd_rounds < STEADY) {
            self.odd_rounds = self.odd_rounds.saturating_add(1);
            return false;
        }
        self.odd_rounds = 0;
        self.rtt_us = Some(usual + (sample - usual) / 8.0);
        if self.rounds.len() == ROUNDS {
            self.rounds.pop_front();
        }
        self.rounds.push_back(us);
        self.round_floor.put(us as i32);
        let longer = us as i32 - self.round_floor.get().unwrap_or(us as i32);
        if self.delay_change_us() <= longer + DELAY_SLACK_US {
            self.excess = 0;
        } else {
            self.excess += 1;
            if self.excess == STEADY {
                // No queue: the round trips would show it. A clock jumped.
                self.excess = 0;
                self.transit = None;
                return false;
            }
        }
        true
    }

    /// A datagram came; false if it was not sent when it says.
    pub(crate) fn on_datagram(&mut self, came: Came) -> bool {
        self.received_packets += 1;
        self.current.bytes_in += came.bytes as u64;
        self.received_bytes = self.received_bytes.wrapping_add(came.bytes as u32);
        if !came.old {
            self.current.sent += came.advance as i64;
            if came.aside {
                self.current.sent -= 1;
                self.aside_came += 1;
            } else {
                self.current.received += 1;
            }
        }
        if came.aside {
            return true;
        }
        let raw = came.arrived.wrapping_sub(came.sent);
        let transit = self.transit.get_or_insert_with(|| Transit {
            first: raw,
            last: 0,
            smooth: 0.0,
            least: None,
            floor: Floor::default(),
        });
        let value = raw.wrapping_sub(transit.first) as i32;
        if value.abs_diff(transit.smooth as i32) > MAX_STEP_US {
            self.odd_transits += 1;
            if self.odd_transits == STEADY {
                self.odd_transits = 0;
                self.transit = None;
            }
            return false;
        }
        self.odd_transits = 0;
        self.spread.put(value.abs_diff(transit.last));
        transit.last = value;
        transit.smooth += (value as f32 - transit.smooth) / 8.0;
        transit.least = Some(transit.least.map_or(value, |least| least.min(value)));
        transit.floor.put(value);
        true
    }

    /// Another way is measured from now on: its least delay is another.
    pub(crate) fn on_other_pair(&mut self) {
        self.transit = None;
    }

    /// The peer's running total of datagrams, under these keys, that say nothing of the pair in
    /// use.
    pub(crate) fn on_aside(&mut self, total: u16) {
        let more = total.wrapping_sub(self.aside);
        if more >= 1 << 15 {
            return; // overtaken by a later one
        }
        // Those that came are settled; the others got lost on their own ways.
        self.current.sent -= i64::from(more) - self.aside_came;
        self.aside = total;
        self.aside_came = 0;
    }

    /// The peer's counters begin anew.
    pub(crate) fn on_new_keys(&mut self) {
        self.aside = 0;
        self.aside_came = 0;
    }

    /// A numbered datagram came, no repair: runs of missing ones are bursts of loss.
    pub(crate) fn on_sequence(&mut self, sequence: u32) {
        let Some(last) = self.last_sequence else {
            self.last_sequence = Some(sequence);
            return;
        };
        let ahead = sequence.wrapping_sub(last) as i32;
        if ahead <= 0 {
            self.current.lost = self.current.lost.saturating_sub(1);
            return;
        }
        self.last_sequence = Some(sequence);
        let missing = ahead as u32 - 1;
        if missing > 0 && missing < MAX_BURST {
            self.current.lost += u64::from(missing);
            self.current.runs += 1;
        }
    }

    /// So many numbered datagrams were sent, and so many given up.
    pub(crate) fn on_numbered(&mut self, sent: u64, missed: u64) {
        self.current.numbered += sent;
        self.current.missed += missed;
    }

    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.sent_packets += 1;
        self.current.bytes_out += bytes as u64;
    }

    /// A second is over.
    pub(crate) fn roll(&mut self) {
        if self.past.len() == MAX_WINDOWS {
            self.past.pop_front();
        }
        self.past.push_back(std::mem::take(&mut self.current));
        self.sum_up();
        self.jitter_us = (self.spread.percentile(0.95), self.spread.percentile(0.99));
        self.spread.roll();
        self.round_floor.roll();
        if let Some(transit) = &mut self.transit {
            transit.floor.roll();
        }
    }

    /// Forget how the last incarnation of the peer behaved.
    pub(crate) fn restart(&mut self) {
        self.transit = None;
        self.last_sequence = None;
        self.current = Window::default();
        self.past.clear();
        self.loss = (0.0, 0.0);
        self.peer = PeerReport::default();
        self.on_new_keys();
    }

    /// Shares lost before and after repair.
    pub(crate) fn loss(&self) -> (f32, f32) {
        self.loss
    }

    /// Numbered datagrams lost in a row, mean; 0 if none were.
    pub(crate) fn burst(&self) -> f32 {
        self.burst
    }

    fn sum_up(&mut self) {
        let mut sum = Window::default();
        for (i, window) in self.past.iter().rev().enumerate() {
            if i >= WINDOWS && sum.sent >= ENOUGH {
                break;
            }
            sum.sent += window.sent;
            sum.received += window.received;
            sum.numbered += window.numbered;
            sum.missed += window.missed;
            sum.lost += window.lost;
            sum.runs += window.runs;
        }
        let mut lost = sum.sent - sum.received;
        if let Some(latest) = self.past.back() {
            let fresh = latest.sent - latest.received;
            // So few may only have been overtaken: the next second tells.
            if (0..=FEW).contains(&fresh) {
                lost -= fresh;
            }
        }
        let raw = share(lost.max(0) as u64, sum.sent.max(0) as u64);
        self.loss = (raw, share(sum.missed, sum.numbered));
        self.burst = match sum.runs {
            0 => 0.0,
            runs => sum.lost as f32 / runs as f32,
        };
    }

    /// Bits per second from the peer and to it, over the last whole seconds.
    pub(crate) fn rates(&self) -> (u64, u64) {
        let seconds = self.past.len().clamp(1, WINDOWS) as u64;
        let last = || self.past.iter().rev().take(WINDOWS);
        let mean = |f: fn(&Window) -> u64| last().map(f).sum::<u64>() * 8 / seconds;
        (mean(|w| w.bytes_in), mean(|w| w.bytes_out))
    }
}

fn share(part: u64, all: u64) -> f32 {
    if all == 0 {
        0.0
    } else {
        (part as f32 / all as f32).min(1.0)
    }
}

fn us_to(us: u32) -> Duration {
    Duration::from_micros(us.into())
}
