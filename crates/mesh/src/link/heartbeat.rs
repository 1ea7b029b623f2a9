//! Heartbeats: how often, over which pairs, what they say and what the peer's say.

use std::time::{Duration, Instant};

use wire::{Body, Heartbeat};

use super::{ACTIVE, Context, Link, LinkState, pairs};
use crate::capacity::Told;
use crate::config::Timing;
use crate::count::Count;

/// How long ago a heartbeat says at most that something came.
const MAX_HELD: Duration = Duration::from_secs(60);
/// A link that has been dead for so long is looked at only as often as an idle one.
const DEAD: Duration = Duration::from_secs(60);

impl Link {
    /// Frames go out or come in.
    pub(super) fn carry(&mut self, ctx: &Context<'_>, ours: bool) {
        if self.active_until <= ctx.now {
            let beat = &mut self.pairs[self.active].heartbeat_at;
            *beat = ctx.now.min(*beat);
            self.confirm_size(ctx.now);
        }
        self.active_until = ctx.now + ACTIVE;
        if ours {
            if self.sending_until <= ctx.now {
                self.kicked = Some(ctx.now);
                self.kicked_clock = ctx.clock;
            }
            self.sending_until = ctx.now + ACTIVE;
        }
    }

    /// Send what heartbeats are due.
    pub(super) fn beat(&mut self, ctx: &mut Context<'_>) {
        // The pair in use first: what comes over the others is told apart by it.
        if self.pairs[self.active].heartbeat_at <= ctx.now {
            self.heartbeat(ctx, self.active);
        }
        for pair in 0..self.pairs.len() {
            if self.pairs[pair].heartbeat_at <= ctx.now {
                self.heartbeat(ctx, pair);
            }
        }
    }

    fn heartbeat(&mut self, ctx: &mut Context<'_>, index: usize) {
        let primary = index == self.active;
        let interval = self.interval(ctx.now, ctx.timing, primary);
        if primary {
            self.announce(ctx, interval);
        }
        let carrying = self.sending_until > ctx.now || self.state == LinkState::Suspect;
        let heard = self.ages(ctx.now);
        let pair = &mut self.pairs[index];
        let slower = interval > pair.spoke;
        pair.spoke = interval;
        let interval = if slower {
            interval + pairs::apart(index)
        } else {
            interval
        };
        pair.heartbeat_at = ctx.now + interval;
        let echo = pair.echo.map(|(sent, at)| {
            let held = ctx.now.saturating_duration_since(at).min(MAX_HELD);
            (sent, held.as_micros() as u32)
        });
        let number = pair.beats;
        let Some(session) = &mut self.current else {
            return;
        };
        pair.beats = number.wrapping_add(1);
        if !primary {
            self.aside = self.aside.wrapping_add(1);
        }
        let bytes = session.seal(&Body::Heartbeat(Heartbeat {
            sent: ctx.clock,
            interval: interval.as_millis() as u16,
            next_sequence: self.outgoing.next_sequence(),
            number,
            aside: self.aside,
            primary,
            carrying,
            backup: self.backup,
            report: self.measure.report(),
            echo,
            heard,
        }));
        self.transmit_on(ctx, index, bytes);
    }

    /// The peer measures our silence by what we announce; it hears of a change a trip later.
    fn announce(&mut self, ctx: &Context<'_>, interval: Duration) {
        if interval < self.spoke {
            let limits = self.limits(ctx.timing);
            self.slow = self.slow.max(self.spoke);
            self.slow_until = ctx.now + self.round(limits) + limits.suspect(interval);
        } else if interval > self.slow || self.slow_until + ACTIVE <= ctx.now {
            self.slow = interval;
        }
        if interval > ctx.timing.heartbeat_active {
            self.kicked = None;
        }
        self.spoke = interval;
    }

    fn interval(&self, now: Instant, timing: &Timing, primary: bool) -> Duration {
        let dead = self.state == LinkState::Down && self.heard + DEAD <= now;
        let active = self.active_until > now && !dead;
        if self.state == LinkState::Suspect || active && primary {
            timing.heartbeat_active
        } else if dead || !primary {
            timing.heartbeat_idle
        } else if self.backup || self.peer_backup || self.state == LinkState::Down {
            timing.heartbeat_backup
        } else {
            timing.heartbeat_idle
        }
    }

    /// When the next heartbeat is due.
    pub(super) fn beat_at(&self) -> Option<Instant> {
        let due = self.pairs.iter().map(|pair| pair.heartbeat_at).min();
        due.filter(|_| self.current.is_some())
    }

    pub(super) fn on_heartbeat(&mut self, ctx: &mut Context<'_>, port: usize, beat: &Heartbeat) {
        let interval = Duration::from_millis(beat.interval.into());
        if beat.primary {
            self.peer_interval = interval;
            self.incoming
                .on_next(ctx.now, beat.next_sequence, ctx.timing);
        }
        self.peer_backup = beat.backup;
        if beat.carrying {
            let until = self.active_until;
            self.carry(ctx, false);
            // Only while the peer says so.
            self.active_until = until.max(ctx.now + ACTIVE / 4);
        }
        self.measure.on_peer_report(beat.report);
        if beat.primary {
            let told = Told {
                clock: beat.sent,
                received: beat.report.received,
                queue: self.measure.peer_queue(),
            };
            let round = self.measure.rtt().unwrap_or_default();
            self.pacer.on_told(told, round);
        }
        self.on_ages(ctx.now, &beat.heard);
        self.outward = self.level_out(ctx.now, self.limits(ctx.timing));
        if beat.primary && interval <= ctx.timing.heartbeat_active {
            self.kicked = None;
        }
        let Some(pair) = self.pairs.get_mut(port) else {
            return;
        };
        pair.interval = interval;
        pair.on_beat(beat.number);
        let Some((sent, held)) = beat.echo.filter(|(sent, _)| pair.echoed != Some(*sent)) else {
            return;
        };
        pair.echoed = Some(sent);
        if sent.wrapping_sub(self.kicked_clock) < 1 << 31 {
            self.kicked = None;
        }
        let round = ctx.clock.wrapping_sub(sent).wrapping_sub(held);
        let believed = if beat.primary {
            self.measure.on_round(round)
        } else {
            round < 1 << 24
        };
        if believed {
            pair.on_round(round);
        } else {
            ctx.counts.add(Count::OddTimes);
        }
    }
}
