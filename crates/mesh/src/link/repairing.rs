//! Repair on one hop: holes asked for, what was sent sent again.

use wire::{Body, MAX_NACKS};

use super::{ACTIVE, Context, Link};
use crate::count::Count;
use crate::incoming::Arrival;

impl Link {
    pub(super) fn on_frames(&mut self, ctx: &mut Context<'_>, repair: bool, sequence: u32) -> bool {
        self.active_until = ctx.now + ACTIVE;
        match self
            .incoming
            .on_numbered(ctx.now, sequence, repair, ctx.timing)
        {
            Arrival::New => true,
            Arrival::Late => {
                ctx.counts.add_many(Count::Repaired, repair.into());
                true
            }
            Arrival::Duplicate => {
                ctx.counts.add(Count::DropDuplicateFrame);
                false
            }
        }
    }

    pub(super) fn repair(&mut self, ctx: &mut Context<'_>, last_chance: bool, sequences: &[u32]) {
        for sequence in sequences {
            for _ in 0..=u8::from(last_chance) {
                let Some(session) = &mut self.current else {
                    return;
                };
                let frames = match self.outgoing.repair(*sequence) {
                    Ok(frames) => frames,
                    Err(reason) => {
                        ctx.counts.add(reason);
                        break;
                    }
                };
                let bytes = session.seal(&Body::Frames {
                    repair: true,
                    sequence: *sequence,
                    sent: ctx.clock,
                    frames,
                });
                ctx.counts.add(Count::RepairsSent);
                self.transmit(ctx, bytes);
            }
        }
    }

    pub(super) fn ask(&mut self, ctx: &mut Context<'_>) {
        let asks = self.incoming.asks(ctx.now, self.measure.rtt(), ctx.timing);
        for (last_chance, sequences) in [(false, asks.sequences), (true, asks.last_chances)] {
            for sequences in sequences.chunks(MAX_NACKS) {
                let Some(session) = &mut self.current else {
                    return;
                };
                let bytes = session.seal(&Body::Nack {
                    sent: ctx.clock,
                    last_chance,
                    sequences: sequences.to_vec(),
                });
                self.transmit(ctx, bytes);
            }
        }
    }
}
