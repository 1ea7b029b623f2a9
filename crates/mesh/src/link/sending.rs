//! Frames that go out: bundled, numbered, sealed.

use wire::{BODY_HEADER, Body, Header, MAX_DATAGRAM, SEALED_HEADER, TAG};

use super::{ACTIVE, Context, Link};
use crate::count::Count;
use crate::message::Output;

/// The most bytes of frames in one datagram.
pub(super) const MAX_FRAMES: usize = MAX_DATAGRAM - SEALED_HEADER - BODY_HEADER - TAG;

impl Link {
    /// Queue a frame; true if it is the first that waits.
    pub(crate) fn push(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header<'_>,
        content: &[u8],
    ) -> bool {
        let length = header.encoded_len() + content.len();
        if self.pending.len() + 2 + length > MAX_FRAMES {
            self.flush(ctx);
        }
        if self.active_until <= ctx.now {
            self.heartbeat_at = self.heartbeat_at.min(ctx.now);
        }
        self.active_until = ctx.now + ACTIVE;
        let first = self.pending.is_empty();
        self.pending.extend((length as u16).to_be_bytes());
        header.encode(&mut self.pending);
        self.pending.extend_from_slice(content);
        first
    }

    /// Send the frames that wait.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) {
        if self.pending.is_empty() {
            return;
        }
        let Some(session) = &mut self.current else {
            self.pending.clear();
            ctx.counts.add(Count::DropNextHopDown);
            return;
        };
        let bytes = session.seal(&Body::Frames {
            repair: false,
            sequence: self.outgoing.next_sequence(),
            sent: ctx.clock,
            frames: &self.pending,
        });
        let frames = std::mem::take(&mut self.pending);
        let two_rounds = 2 * self.measure.rtt().unwrap_or_default();
        let memory = ctx.timing.repair_memory.max(two_rounds + ACTIVE / 10);
        self.pending = self.outgoing.keep(ctx.now, frames, memory);
        self.transmit(ctx, bytes);
    }

    pub(super) fn transmit(&mut self, ctx: &mut Context<'_>, bytes: Vec<u8>) {
        self.measure.sent_packets += 1;
        ctx.out.push(Output::Transmit {
            to: self.address,
            port: 0,
            peer: self.node,
            bytes,
        });
    }
}
