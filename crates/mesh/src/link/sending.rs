//! Frames that go out: bundled, paced, numbered, sealed.

use std::time::Duration;

use wire::{Body, Class, Header, PART_HEADER};

use super::parts;
use super::{ACTIVE, Context, Link};
use crate::count::Count;

/// Counted by class.
const SHED: [Count; 4] = [
    Count::ShedControl,
    Count::ShedAudio,
    Count::ShedBase,
    Count::ShedRest,
];

impl Link {
    /// Queue a frame; true if it is the first that waits for others of this turn. One that must
    /// wait for longer leaves at this link's own deadline.
    pub(crate) fn push(
        &mut self,
        ctx: &mut Context<'_>,
        header: &Header<'_>,
        content: &[u8],
    ) -> bool {
        let length = header.encoded_len() + content.len();
        self.carry(ctx, true);
        if 2 + length > self.room() {
            return self.push_parts(ctx, header, content);
        }
        self.place(ctx, header.class, length, |to| {
            header.encode(to);
            to.extend_from_slice(content);
        })
    }

    /// Queue a frame that no datagram takes whole.
    fn push_parts(&mut self, ctx: &mut Context<'_>, header: &Header<'_>, content: &[u8]) -> bool {
        let mut frame = Vec::with_capacity(header.encoded_len() + content.len());
        header.encode(&mut frame);
        frame.extend_from_slice(content);
        self.part_number = self.part_number.wrapping_add(1);
        let Some(parts) = parts::cut(self.part_number, &frame, self.room() - 2 - PART_HEADER)
        else {
            ctx.counts.add(Count::DropTooBig);
            return false;
        };
        let mut first = false;
        for part in parts {
            ctx.counts.add(Count::PartsSent);
            let length = PART_HEADER + part.bytes.len();
            first |= self.place(ctx, header.class, length, |to| part.encode(to));
        }
        first
    }

    fn place(
        &mut self,
        ctx: &mut Context<'_>,
        class: Class,
        length: usize,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if self.pending.len() + 2 + length > self.room() {
            self.send_pending(ctx);
        }
        if !self.pacer.is_free(ctx.now, class) {
            let mut frame = std::mem::take(&mut self.scratch);
            frame.extend((length as u16).to_be_bytes());
            put(&mut frame);
            self.pacer.wait(ctx.now, class, &frame);
            frame.clear();
            self.scratch = frame;
            return false;
        }
        let first = self.pending.is_empty();
        if first || class < self.pending_class {
            self.pending_class = class;
        }
        self.pending.extend((length as u16).to_be_bytes());
        put(&mut self.pending);
        first
    }

    /// Send the frames of this turn, and those that wait as far as the pace allows.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) {
        self.send_pending(ctx);
        self.release(ctx);
    }

    /// Send what waits, as far as the pace allows.
    pub(super) fn release(&mut self, ctx: &mut Context<'_>) {
        if self.current.is_none() {
            let lost = self.pacer.clear();
            ctx.counts.add_many(Count::DropNextHopDown, lost);
        }
        let room = self.room();
        while let Some(class) = self.pacer.take(ctx.now, room, &mut self.pending) {
            self.pending_class = class;
            self.send_pending(ctx);
        }
        for (count, shed) in SHED.into_iter().zip(self.pacer.take_shed()) {
            ctx.counts.add_many(count, shed);
        }
    }

    fn send_pending(&mut self, ctx: &mut Context<'_>) {
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
        let class = self.pending_class;
        self.pending = self.outgoing.keep(ctx.now, class, frames, self.memory(ctx));
        self.transmit(ctx, bytes);
        self.protect(ctx);
    }

    /// How long what was sent is kept.
    fn memory(&self, ctx: &Context<'_>) -> Duration {
        let two_rounds = 2 * self.measure.rtt().unwrap_or_default();
        ctx.timing.repair_memory.max(two_rounds + ACTIVE / 10)
    }

    pub(crate) fn set_capacity(&mut self, capacity: Option<u64>) {
        self.pacer.set_capacity(capacity);
    }
}
