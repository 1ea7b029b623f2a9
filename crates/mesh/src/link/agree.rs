//! How a link comes by its keys: handshakes begun, answered, crossed, repeated.

use std::net::SocketAddr;
use std::time::Instant;

use super::pairs;
use super::repairing::Repairs;
use super::{ATTEMPT, Answer, Attempt, Context, Level, Link, LinkState, OLD_KEYS, REKEY_GRACE};
use super::{SUSPECT_RESTART, TIE};
use crate::config::Timing;
use crate::count::Count;
use crate::handshake::{Identity, Initiator};
use crate::incoming::Incoming;
use crate::message::Output;
use crate::session::{Agreed, Session};

impl Link {
    /// Whether this end should begin a handshake now.
    pub(crate) fn wants_handshake(&self, ctx: &Context<'_>) -> bool {
        self.attempt.is_none() && self.handshake_due(ctx.timing) <= ctx.now
    }

    pub(super) fn handshake_due(&self, timing: &Timing) -> Instant {
        let due = match &self.current {
            None => self.handshake_at,
            Some(_) if self.state == LinkState::Down && !self.carries() => {
                self.record.went_down.max(self.heard) + SUSPECT_RESTART
            }
            Some(session) if session.initiated => session.created + timing.rekey_after,
            Some(session) => session.created + timing.rekey_after + REKEY_GRACE,
        };
        due.max(self.handshake_at)
    }

    /// Begin a handshake. `spread` (0 to 1) keeps nodes from retrying in step.
    pub(crate) fn begin(&mut self, ctx: &mut Context<'_>, initiator: Initiator, spread: f32) {
        let wait = ctx.timing.handshake_retry.mul_f32(0.75 + spread / 2.0);
        let bytes = initiator.datagram.clone();
        self.attempt = Some(Attempt {
            initiator,
            begun: ctx.now,
            retry_at: ctx.now + wait,
            wait,
        });
        self.transmit(ctx, bytes);
    }

    /// The peer's key is of no use; it may be replaced.
    pub(crate) fn give_up_handshake(&mut self, ctx: &mut Context<'_>) {
        self.handshake_at = ctx.now + ATTEMPT;
    }

    /// Whether the peer's handshake loses against ours: the lower node's goes first.
    pub(crate) fn wins_tie(&self, ctx: &Context<'_>) -> bool {
        let ours = self.attempt.as_ref();
        ctx.node < self.node && ours.is_some_and(|attempt| ctx.now < attempt.begun + TIE)
    }

    /// The answer already given to the same first message: it was repeated because it got lost.
    pub(crate) fn answered(&self, noise: &[u8]) -> Option<Vec<u8>> {
        let answer = self.answer.as_ref()?;
        (noise.starts_with(&answer.ephemeral)).then(|| answer.datagram.clone())
    }

    /// Answer the peer's handshake. Its keys replace ours when it first uses them.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        (from, port): (SocketAddr, u8),
        noise: &[u8],
        (datagram, agreed): (Vec<u8>, Agreed),
    ) {
        let unused = self.next.replace(Session::new(ctx.now, agreed));
        self.retired.extend(unused.map(|session| session.local));
        self.answer = Some(Answer {
            ephemeral: noise[..noise.len().min(32)].to_vec(),
            datagram: datagram.clone(),
        });
        self.handshake_at = ctx.now + TIE;
        if let Some(attempt) = &mut self.attempt {
            attempt.retry_at = attempt.retry_at.max(ctx.now + TIE);
        }
        self.measure.on_sent(datagram.len());
        ctx.out.push(Output::Transmit {
            to: from,
            port,
            peer: self.node,
            bytes: datagram,
        });
    }

    /// The peer answered our handshake; Err if that was not the peer, or not the first answer.
    pub(crate) fn on_respond(
        &mut self,
        ctx: &mut Context<'_>,
        (from, port): (SocketAddr, u8),
        (sender, receiver): (u32, u32),
        noise: &[u8],
    ) -> Result<(), Count> {
        let ours = self.attempt.as_mut();
        // A first message that was repeated before its answer came is answered again.
        let attempt = ours
            .filter(|a| a.initiator.local == receiver)
            .ok_or(Count::DropReplayed)?;
        let finished = attempt.initiator.finish(sender, noise);
        let (Identity { node, .. }, agreed) = finished.ok_or(Count::DropForged)?;
        if node != self.node {
            return Err(Count::DropForged);
        }
        let took = ctx.now.saturating_duration_since(attempt.begun);
        self.attempt = None;
        if let Some(pair) = self.pairs.get_mut(usize::from(port)) {
            pair.address = from;
            pair.heard = Some(ctx.now);
            if !self.carries() {
                self.active = port.into();
            }
        }
        self.establish(ctx, Session::new(ctx.now, agreed));
        // The peer speaks only when it has heard us use the keys: in another such round.
        self.heard += took;
        self.primary_heard += took;
        Ok(())
    }

    /// Use new keys from now on.
    pub(super) fn establish(&mut self, ctx: &mut Context<'_>, session: Session) {
        ctx.counts.add(Count::Handshakes);
        let restarted = self.peer_epoch.is_some_and(|epoch| epoch != session.epoch);
        self.peer_epoch = Some(session.epoch);
        self.retire_previous();
        if let Some(replaced) = self.current.replace(session) {
            self.previous = Some((replaced, ctx.now + OLD_KEYS));
        }
        if let Some(attempt) = self.attempt.take() {
            self.retired.push(attempt.initiator.local);
        }
        if restarted {
            self.retire_previous();
            self.incoming = Incoming::default();
            self.repairs = Repairs::default();
            self.measure.restart();
            self.pacer.forget_learnt();
            self.reconnect(ctx);
        }
        for (i, pair) in self.pairs.iter_mut().enumerate() {
            pair.heartbeat_at = ctx.now;
            if i != self.active {
                pair.heartbeat_at += pairs::apart(i);
            }
            pair.echo = None;
            pair.told = None;
        }
        self.aside = 0;
        self.measure.on_new_keys();
        self.outward = Level::Fine;
        self.heard = ctx.now;
        self.primary_heard = ctx.now;
        self.kicked = None;
        self.connect(ctx);
        self.judge(ctx);
    }

    /// Handshakes that crossed leave each end sending under the keys that the other replaced.
    /// They agree on those of the lower node's handshake; until then both sets stay.
    pub(super) fn settle_crossing(&mut self, ctx: &mut Context<'_>) {
        let (Some(current), Some((previous, until))) = (&mut self.current, &mut self.previous)
        else {
            return;
        };
        let apart = current.created.max(previous.created) - current.created.min(previous.created);
        if apart > OLD_KEYS {
            return;
        }
        *until = ctx.now + OLD_KEYS;
        let by_lower = |session: &Session| session.initiated == (ctx.node < self.node);
        if by_lower(previous) && !by_lower(current) {
            std::mem::swap(current, previous);
        }
    }

    pub(super) fn retire_previous(&mut self) {
        if let Some((session, _)) = self.previous.take() {
            self.retired.push(session.local);
        }
    }
}
