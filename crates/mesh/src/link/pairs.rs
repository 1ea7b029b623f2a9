//! The port pairs of a link: which are heard, which carries the frames, and the hop to another.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::{Ages, MAX_PAIRS, NEVER};

use super::health::{Level, Limits};
use super::{Context, Link, LinkState, PairReport};
use crate::config::Timing;
use crate::count::Count;
use crate::message::Output;

/// What the peer said of a pair is of no use for a choice after this long.
const STALE: Duration = Duration::from_secs(5);

/// Heartbeats of a pair come so long after those of the first: sent at once, they would overtake
/// each other, and that looks like loss.
pub(super) fn apart(pair: usize) -> Duration {
    Duration::from_millis(20) * (pair as u32 + 1)
}

/// Our mesh port of some number with the peer's of the same number.
pub(super) struct Pair {
    /// The peer's, as given, or as its newest authentic datagram came from.
    pub(super) address: SocketAddr,
    pub(super) heard: Option<Instant>,
    /// The peer's heartbeats on it come this often, as announced.
    pub(super) interval: Duration,
    pub(super) heartbeat_at: Instant,
    /// The interval of ours that was announced last on it.
    pub(super) spoke: Duration,
    /// Send time of the latest body that came, and when it came.
    pub(super) echo: Option<(u32, Instant)>,
    /// The last of our own send times that came back.
    pub(super) echoed: Option<u32>,
    /// How long ago the peer had heard us on it, and when it said so.
    pub(super) told: Option<(Duration, Instant)>,
    pub(super) beats: u16,
    pub(super) peer_beats: Option<u16>,
    rtt_us: Option<f32>,
    expected: f32,
    came: f32,
}

impl Pair {
    fn new(now: Instant, address: SocketAddr, timing: &Timing) -> Pair {
        Pair {
            address,
            heard: None,
            interval: timing.heartbeat_idle,
            heartbeat_at: now,
            spoke: timing.heartbeat_idle,
            echo: None,
            echoed: None,
            told: None,
            beats: 0,
            peer_beats: None,
            rtt_us: None,
            expected: 0.0,
            came: 0.0,
        }
    }

    pub(super) fn on_round(&mut self, us: u32) {
        let sample = us as f32;
        let usual = self.rtt_us.unwrap_or(sample);
        self.rtt_us = Some(usual + (sample - usual) / 8.0);
    }

    /// A heartbeat came: `number` of them were sent before.
    pub(super) fn on_beat(&mut self, number: u16) {
        let step = self.peer_beats.map_or(1, |last| number.wrapping_sub(last));
        if step < 1 << 15 {
            self.peer_beats = Some(number);
            self.expected += f32::from(step.min(1_000));
        }
        self.came += 1.0;
    }

    /// A second is over.
    pub(super) fn roll(&mut self) {
        self.expected *= 0.95;
        self.came *= 0.95;
    }

    fn loss(&self) -> f32 {
        if self.expected < 0.5 {
            return 0.0;
        }
        (1.0 - self.came / self.expected).clamp(0.0, 1.0)
    }

    fn silence(&self, now: Instant) -> Duration {
        let since = |heard| now.saturating_duration_since(heard);
        self.heard.map_or(Duration::MAX, since)
    }

    /// How long ago the peer last heard us on it, by what it said; None if that is not known.
    fn unheard(&self, now: Instant) -> Option<Duration> {
        let (age, at) = self.told?;
        let since = now.saturating_duration_since(at);
        (since < STALE).then(|| age.saturating_add(since))
    }
}

pub(super) fn pairs(
    now: Instant,
    addresses: &[SocketAddr],
    ports: usize,
    timing: &Timing,
) -> Vec<Pair> {
    let common = ports.clamp(1, MAX_PAIRS);
    let addresses = addresses.iter().take(common);
    addresses.map(|a| Pair::new(now, *a, timing)).collect()
}

impl Link {
    pub(crate) fn has_address(&self, address: SocketAddr) -> bool {
        self.pairs.iter().any(|pair| pair.address == address)
    }

    /// The peer's addresses are these now; what is known of a pair stays with it.
    pub(crate) fn set_addresses(
        &mut self,
        now: Instant,
        addresses: &[SocketAddr],
        ports: usize,
        timing: &Timing,
    ) {
        let mut fresh = pairs(now, addresses, ports, timing);
        for (fresh, old) in fresh.iter_mut().zip(self.pairs.drain(..)) {
            *fresh = Pair {
                address: fresh.address,
                ..old
            };
        }
        self.pairs = fresh;
        if self.active >= self.pairs.len() {
            self.active = 0;
        }
    }

    /// Send on the pair in use.
    pub(super) fn transmit(&mut self, ctx: &mut Context<'_>, bytes: Vec<u8>) {
        self.transmit_on(ctx, self.active, bytes);
    }

    pub(super) fn transmit_on(&mut self, ctx: &mut Context<'_>, pair: usize, bytes: Vec<u8>) {
        self.measure.on_sent(bytes.len());
        self.pacer.on_sent(bytes.len());
        self.shares.sent(bytes.len());
        ctx.out.push(Output::Transmit {
            to: self.pairs[pair].address,
            port: pair as u8,
            peer: self.node,
            bytes,
        });
    }

    pub(super) fn ages(&self, now: Instant) -> Ages {
        Ages::new(self.pairs.iter().map(|pair| {
            let age = pair.silence(now).as_millis();
            u16::try_from(age).unwrap_or(NEVER)
        }))
    }

    pub(super) fn on_ages(&mut self, now: Instant, ages: &Ages) {
        for (pair, age) in self.pairs.iter_mut().zip(ages.get()) {
            pair.told = Some(match *age {
                NEVER => (Duration::MAX, now),
                age => (Duration::from_millis(age.into()), now),
            });
        }
    }

    /// When the peer last heard us, if it has said that it hears us no more; else later.
    pub(super) fn heard_there(&self) -> Instant {
        if self.outward == Level::Fine {
            return self.heard;
        }
        let when = |pair: &Pair| pair.told.and_then(|(age, at)| at.checked_sub(age));
        self.pairs
            .iter()
            .filter_map(when)
            .max()
            .unwrap_or(self.heard)
    }

    /// Carry the frames over another pair, if one may be better than that in use.
    pub(super) fn hop(&mut self, ctx: &mut Context<'_>, limits: Limits) {
        if self.pairs.len() < 2 || ctx.now < self.settled_at {
            return;
        }
        let heard_there = self.pairs[self.active].unheard(ctx.now);
        if heard_there.is_some_and(|age| age < limits.suspect(ctx.timing.heartbeat_active)) {
            return; // it is the way back that fails: the peer's to change
        }
        let healthy = limits.suspect(ctx.timing.heartbeat_idle);
        let ages = |pair: &Pair| {
            let there = pair.unheard(ctx.now).unwrap_or(STALE);
            let here = pair.silence(ctx.now);
            // The way there counts; the way back only tells two that are alike apart.
            (there >= healthy, here >= healthy, there, here)
        };
        let others = (0..self.pairs.len()).filter(|i| *i != self.active);
        let Some(best) = others.min_by_key(|i| ages(&self.pairs[*i])) else {
            return;
        };
        self.active = best;
        self.settled_at = ctx.now + self.round(limits);
        ctx.counts.add(Count::PairHops);
        self.confirm_size(ctx.now);
        for pair in &mut self.pairs {
            pair.heartbeat_at = ctx.now;
        }
    }

    /// Try another pair for the handshake: nothing is known of any yet.
    pub(super) fn next_pair(&mut self) {
        self.active = (self.active + 1) % self.pairs.len();
    }

    pub(super) fn pair_reports(&self, now: Instant, timing: &Timing) -> Vec<PairReport> {
        let limits = self.limits(timing);
        let state = |i: usize, pair: &Pair| {
            if i == self.active {
                return self.state;
            }
            let told = pair.unheard(now).unwrap_or_default();
            let silence = pair.silence(now).max(told);
            match () {
                () if pair.heard.is_none() => LinkState::Connecting,
                () if silence >= limits.down(timing.heartbeat_idle) => LinkState::Down,
                () if silence >= limits.suspect(timing.heartbeat_idle) => LinkState::Suspect,
                () => LinkState::Up,
            }
        };
        let report = |(i, pair): (usize, &Pair)| PairReport {
            pair: i as u8,
            state: state(i, pair),
            rtt: pair.rtt_us.map(|us| Duration::from_micros(us as u64)),
            loss: pair.loss(),
        };
        self.pairs.iter().enumerate().map(report).collect()
    }
}
