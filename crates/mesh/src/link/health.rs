//! Up, suspect, down: what silence means, and how long a link that failed is held back.
//!
//! Each end judges both ways. *In* fails when nothing comes; *out* fails when the peer's
//! heartbeats say that it hears nothing. A data packet counts as a heartbeat.

use std::time::{Duration, Instant};

use super::{Context, Fault, Link, LinkState, Mtu};
use crate::config::Timing;
use crate::count::Count;
use crate::message::Output;

/// Suspicions that make a link down, within `Timing::suspects_within`.
pub(super) const SUSPECTS: usize = 3;
/// The guard for jitter is at least and at most this long.
const GUARD: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How much longer than usual a round trip may take before its answer is missed.
const ROUND: f32 = 1.25;
/// Before the first round trip is known.
const UNKNOWN_ROUND: Duration = Duration::from_millis(300);
/// A link waits this much longer than 200 ms at most for word of a hop to another pair.
const MAX_HOP_WAIT: Duration = Duration::from_millis(400);
/// An idle link's round trip may have grown by so much since it was measured: until then it is
/// suspect at most.
const GROWN: Duration = Duration::from_millis(300);
/// The slowest that a peer's announced interval is believed to be.
const MAX_INTERVAL: Duration = Duration::from_secs(2);

/// Silence that means something, for heartbeats at any interval.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    misses: u32,
    suspect_misses: u32,
    down_after: Duration,
    guard: Duration,
    /// Until word of a hop to another pair can be here.
    hop: Duration,
}

impl Limits {
    pub(super) fn suspect(self, interval: Duration) -> Duration {
        self.suspect_misses * interval.min(MAX_INTERVAL) + self.guard
    }

    pub(super) fn down(self, interval: Duration) -> Duration {
        // Half an interval more: the one that would come in time is not to come too late.
        let interval = interval.min(MAX_INTERVAL);
        let missed = self.misses * interval + interval / 2;
        self.down_after.max(missed).max(self.hop) + self.guard
    }
}

/// A link that has fallen silent is tried for so long yet by those who have no other way: bursts of
/// loss look like a dead link.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// How bad a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Fine,
    Suspect,
    /// Silent for less than `LAST_RESORT`.
    Silent,
    Down,
}

/// What a link has been through.
pub(super) struct Record {
    /// When it was last found suspect, newest first.
    suspects: [Option<Instant>; SUSPECTS],
    /// Since when nothing has been wrong with it.
    clean_since: Option<Instant>,
    /// How long it must be clean before it is used again, the next time.
    hold: Duration,
    recovered: Instant,
    pub(super) went_down: Instant,
    /// How bad it is now, whatever its state.
    level: Level,
    /// Since when nothing passes.
    silent_since: Option<Instant>,
}

impl Record {
    pub(super) fn new(now: Instant) -> Record {
        Record {
            suspects: [None; SUSPECTS],
            clean_since: None,
            hold: Duration::ZERO,
            recovered: now,
            went_down: now,
            level: Level::Fine,
            silent_since: None,
        }
    }

    fn see(&mut self, now: Instant, level: Level) {
        self.level = level;
        if level < Level::Silent {
            self.silent_since = None;
        } else if *self.silent_since.get_or_insert(now) + LAST_RESORT > now {
            self.level = Level::Silent;
        }
    }

    /// True if that was one too many.
    fn suspect(&mut self, now: Instant, within: Duration) -> bool {
        self.suspects.rotate_right(1);
        self.suspects[0] = Some(now);
        self.suspects[SUSPECTS - 1].is_some_and(|first| now < first + within)
    }

    fn down(&mut self, now: Instant, timing: &Timing) {
        self.went_down = now;
        self.clean_since = None;
        self.suspects = [None; SUSPECTS];
        let good = now.saturating_duration_since(self.recovered);
        let halvings = good.as_secs() / timing.hold_decay.as_secs().max(1);
        let (least, most) = timing.hold;
        self.hold = if self.hold.is_zero() || halvings > 16 {
            least
        } else {
            (self.hold * 2 / (1 << halvings)).clamp(least, most)
        };
    }
}

impl Link {
    /// It carries frames as usual.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Up | LinkState::Suspect)
    }

    /// Frames sent now arrive, as far as is known: it is up, or it works but is held back because
    /// it failed, or fails too often. A held link is for those who have no other way.
    pub(crate) fn carries(&self) -> bool {
        self.is_up() || self.state == LinkState::Down && self.record.level < Level::Silent
    }

    /// How bad it is now, held back or not.
    pub(crate) fn level(&self) -> Level {
        self.record.level
    }

    /// Whether it is somebody's second way or detour: then it is looked at more often.
    pub(crate) fn set_backup(&mut self, ctx: &mut Context<'_>, backup: bool) {
        if backup && !self.backup {
            self.pairs[self.active].heartbeat_at = ctx.now;
        }
        self.backup = backup;
    }

    /// This node itself was asleep for `late`: the peer's silence meanwhile means nothing.
    pub(crate) fn forgive(&mut self, late: Duration) {
        self.heard += late;
        self.primary_heard += late;
        self.kicked = self.kicked.map(|at| at + late);
        for pair in &mut self.pairs {
            pair.heard = pair.heard.map(|heard| heard + late);
            // Nor did this node fail to hear: what came meanwhile is still to be read.
            pair.echo = None;
            // The peer missed us because we said nothing.
            pair.told = None;
        }
        self.outward = Level::Fine;
    }

    pub(super) fn limits(&self, timing: &Timing) -> Limits {
        let guard = self.measure.jitter_p99().clamp(GUARD.0, GUARD.1);
        let mut hop = Duration::ZERO;
        if self.pairs.len() > 1 {
            let round = self.measure.rtt().unwrap_or(UNKNOWN_ROUND);
            let noticed = 2 * timing.suspect_misses * timing.heartbeat_active;
            hop = (noticed + round.mul_f32(ROUND)).min(MAX_HOP_WAIT);
        }
        Limits {
            misses: timing.missed_heartbeats,
            suspect_misses: timing.suspect_misses,
            down_after: timing.down_after,
            guard,
            hop,
        }
    }

    /// Until the peer's answer to something new must be here, a lost one included.
    pub(super) fn round(&self, limits: Limits) -> Duration {
        let round = self.measure.rtt().unwrap_or(UNKNOWN_ROUND);
        round.mul_f32(ROUND) + limits.suspect(Duration::ZERO)
    }

    /// How bad the way from the peer is, and when it will be worse if nothing comes.
    fn level_in(&self, now: Instant, limits: Limits, timing: &Timing) -> (Level, Option<Instant>) {
        let interval = self.peer_interval;
        let mut suspect_at = self.primary_heard + limits.suspect(interval);
        let mut down_at = self.heard + limits.down(interval);
        if let Some(kicked) = self.kicked {
            // The peer was to speak up when we began to send.
            let from = kicked + self.round(limits);
            let active = timing.heartbeat_active;
            suspect_at = suspect_at.min(from + limits.suspect(active));
            let late = (from + GROWN).max(self.heard);
            down_at = down_at.min(late + limits.down(active));
        }
        if down_at <= now {
            (Level::Down, None)
        } else if suspect_at <= now {
            (Level::Suspect, Some(down_at))
        } else {
            (Level::Fine, Some(suspect_at.min(down_at)))
        }
    }

    /// How bad the way to the peer is, by what it has just said.
    pub(super) fn level_out(&self, now: Instant, limits: Limits) -> Level {
        let interval = if now < self.slow_until {
            self.slow.max(self.spoke)
        } else {
            self.spoke
        };
        let told = |pair: &super::pairs::Pair| pair.told.map(|(age, _)| age);
        let Some(active) = told(&self.pairs[self.active]) else {
            return Level::Fine;
        };
        let best = self.pairs.iter().filter_map(told).min().unwrap_or(active);
        let settled = now >= self.slow_until + GROWN;
        let down = limits.down(if settled {
            interval
        } else {
            self.slow.max(interval)
        });
        if best >= down {
            Level::Down
        } else if active >= limits.suspect(interval) {
            Level::Suspect
        } else {
            Level::Fine
        }
    }

    /// Judge the link by what is known now, and change its state accordingly.
    pub(super) fn judge(&mut self, ctx: &mut Context<'_>) {
        if self.current.is_none() || self.state == LinkState::Connecting {
            return;
        }
        let carried = self.carries();
        let limits = self.limits(ctx.timing);
        let (inward, _) = self.level_in(ctx.now, limits, ctx.timing);
        let outward = self.outward;
        let level = inward.max(outward);
        self.record.see(ctx.now, level);
        if level == Level::Fine {
            let since = *self.record.clean_since.get_or_insert(ctx.now);
            let clean = ctx.now.saturating_duration_since(since);
            match self.state {
                LinkState::Suspect if clean >= ctx.timing.suspect_for => {
                    self.become_(ctx, LinkState::Up);
                }
                LinkState::Down if clean >= self.record.hold => {
                    self.record.recovered = ctx.now;
                    self.become_(ctx, LinkState::Up);
                }
                _ => {}
            }
        } else {
            self.record.clean_since = None;
            self.fault = Some(match (inward, outward) {
                (_, Level::Fine) => Fault::In,
                (Level::Fine, _) => Fault::Out,
                _ => Fault::Both,
            });
            if self.state == LinkState::Up {
                ctx.counts.add(Count::LinkSuspects);
                let often = self.record.suspect(ctx.now, ctx.timing.suspects_within);
                if often && level < Level::Down {
                    self.go_down(ctx);
                } else if level < Level::Down {
                    self.become_(ctx, LinkState::Suspect);
                }
                for pair in &mut self.pairs {
                    pair.heartbeat_at = ctx.now;
                }
            }
            if level == Level::Down && self.is_up() {
                self.go_down(ctx);
            }
            self.hop(ctx, limits);
        }
        *ctx.went_up |= self.carries() && !carried;
    }

    /// Both ends have the keys: the first time it is used at once.
    pub(super) fn connect(&mut self, ctx: &mut Context<'_>) {
        if self.state == LinkState::Connecting {
            self.record.recovered = ctx.now;
            self.mtu = Mtu::new(ctx.now);
            self.become_(ctx, LinkState::Up);
            *ctx.went_up = true;
        }
    }

    pub(super) fn go_down(&mut self, ctx: &mut Context<'_>) {
        if self.is_up() {
            self.record.down(ctx.now, ctx.timing);
            ctx.counts.add(Count::LinkDowns);
            self.become_(ctx, LinkState::Down);
        }
    }

    /// The peer began anew while the link was up: that is no fault of the link.
    pub(super) fn reconnect(&mut self, ctx: &mut Context<'_>) {
        if self.is_up() {
            ctx.counts.add(Count::LinkDowns);
            self.become_(ctx, LinkState::Down);
            self.state = LinkState::Connecting;
        }
    }

    fn become_(&mut self, ctx: &mut Context<'_>, state: LinkState) {
        if state == LinkState::Up {
            self.fault = None;
        }
        self.state = state;
        ctx.out.push(Output::LinkChanged {
            node: self.node,
            state,
        });
    }

    /// When `judge` may come to something else though nothing comes.
    pub(super) fn judge_at(&self, now: Instant, timing: &Timing) -> Option<Instant> {
        if self.current.is_none() || self.state == LinkState::Connecting {
            return None;
        }
        let (_, worse) = self.level_in(now, self.limits(timing), timing);
        let better = self.record.clean_since.and_then(|since| match self.state {
            LinkState::Suspect => Some(since + timing.suspect_for),
            LinkState::Down => Some(since + self.record.hold),
            _ => None,
        });
        let silent = self.record.silent_since.map(|since| since + LAST_RESORT);
        let given_up = silent.filter(|at| now < *at);
        [worse, better, given_up].into_iter().flatten().min()
    }
}
