//! Up and down: heartbeats, silence, what the peer says of us.

use std::time::{Duration, Instant};

use wire::{Body, Heartbeat};

use super::{Context, Link, LinkState};
use crate::config::Timing;
use crate::count::Count;
use crate::message::Output;

/// How long ago a heartbeat says at most that something came.
const MAX_HELD: Duration = Duration::from_secs(60);
const MAX_JITTER_ALLOWANCE: Duration = Duration::from_millis(250);

impl Link {
    /// This node itself was asleep for `late`: the peer's silence meanwhile means nothing.
    pub(crate) fn forgive(&mut self, late: Duration) {
        self.heard += late;
        // Nor did this node fail to hear: what came meanwhile is still to be read.
        self.echo = None;
    }

    pub(super) fn on_heartbeat(&mut self, ctx: &mut Context<'_>, beat: &Heartbeat) {
        self.peer_interval = Duration::from_millis(beat.interval.into());
        self.incoming
            .on_next(ctx.now, beat.next_sequence, ctx.timing);
        self.unheard = false;
        let Some((sent, held)) = beat.echo else {
            return;
        };
        let limit = silence(ctx.timing, self.interval(ctx)).as_micros();
        self.unheard = u128::from(held) >= limit;
        let round = ctx.clock.wrapping_sub(sent).wrapping_sub(held);
        // Held for long, or less than nothing because clocks move between two readings.
        if !self.unheard && round < 1 << 26 {
            self.measure.on_echo(round);
        }
        if self.unheard {
            self.go_down(ctx);
        }
    }

    /// Both ends hear each other.
    pub(super) fn go_up(&mut self, ctx: &mut Context<'_>) {
        if self.state != LinkState::Up && !self.unheard {
            self.state = LinkState::Up;
            *ctx.went_up = true;
            ctx.out.push(Output::LinkChanged {
                node: self.node,
                state: self.state,
            });
        }
    }

    pub(super) fn heartbeat(&mut self, ctx: &mut Context<'_>) {
        let interval = self.interval(ctx);
        self.heartbeat_at = ctx.now + interval;
        let echo = self.echo.map(|(sent, at)| {
            let held = ctx.now.saturating_duration_since(at).min(MAX_HELD);
            (sent, held.as_micros() as u32)
        });
        let Some(session) = &mut self.current else {
            return;
        };
        let bytes = session.seal(&Body::Heartbeat(Heartbeat {
            sent: ctx.clock,
            interval: interval.as_millis() as u16,
            next_sequence: self.outgoing.next_sequence(),
            echo,
        }));
        self.transmit(ctx, bytes);
    }

    pub(super) fn interval(&self, ctx: &Context<'_>) -> Duration {
        if self.active_until > ctx.now {
            ctx.timing.heartbeat_active
        } else {
            ctx.timing.heartbeat_idle
        }
    }

    pub(super) fn go_down(&mut self, ctx: &mut Context<'_>) {
        if self.state == LinkState::Up {
            self.state = LinkState::Down;
            self.went_down = ctx.now;
            ctx.counts.add(Count::LinkDowns);
            ctx.out.push(Output::LinkChanged {
                node: self.node,
                state: self.state,
            });
        }
    }

    pub(super) fn silent_at(&self, timing: &Timing) -> Instant {
        let allowance = (4 * self.measure.jitter()).min(MAX_JITTER_ALLOWANCE);
        self.heard + silence(timing, self.peer_interval) + allowance
    }
}

/// The silence that means a broken way, where heartbeats come at `interval`.
fn silence(timing: &Timing, interval: Duration) -> Duration {
    // Half an interval more: the one that would come in time is not to come too late.
    let missed = interval * timing.missed_heartbeats + interval / 2;
    timing.down_after.max(missed)
}
