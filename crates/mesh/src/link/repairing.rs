//! Repair on one hop: holes asked for, what was sent sent again, parity made and used.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::{Body, Class, MAX_NACKS};

use super::{Context, Link};
use crate::count::Count;
use crate::fec::{Decoder, Hop, Rate, Recovered};
use crate::incoming::Arrival;
use crate::message::Queue;
use crate::outgoing::Repair;

/// Between the two copies of a last chance: losses come in bursts.
const COPY_GAP: Duration = Duration::from_millis(5);
/// Second copies that wait; beyond it they are not sent.
const MAX_COPIES: usize = 256;
/// A peer that has sent no parity for this long sends none.
const PARITY_OVER: Duration = Duration::from_secs(10);
/// Parity reaches back a round trip, but at least and at most this far: what it recovers must
/// still be of use.
const LEAST_SPAN: Duration = Duration::from_millis(60);
const MOST_SPAN: Duration = Class::Audio.budget();

/// What a link has for repair besides its numbering.
#[derive(Default)]
pub(super) struct Repairs {
    /// Second copies of last chances, by when they are due.
    copies: VecDeque<(Instant, u32)>,
    rate: Rate,
    parities: u32,
    buffer: Vec<u8>,
    decoder: Decoder,
    decoding_until: Option<Instant>,
    recovered: Vec<Recovered>,
    asks: Vec<u32>,
    gone: Vec<u32>,
}

impl Repairs {
    pub(super) fn queue(&self) -> Queue {
        Queue {
            name: "link_copies",
            length: self.copies.len(),
            capacity: MAX_COPIES,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.copies.front().map(|(at, _)| *at)
    }
}

impl Link {
    pub(super) fn on_frames(
        &mut self,
        ctx: &mut Context<'_>,
        (repair, sequence): (bool, u32),
        frames: &[u8],
    ) -> bool {
        self.carry(ctx, false);
        if !repair {
            self.measure.on_sequence(sequence);
        }
        let arrival = self
            .incoming
            .on_numbered(ctx.now, sequence, repair, ctx.timing);
        if arrival == Arrival::Duplicate {
            ctx.counts.add(Count::DropDuplicateFrame);
            return false;
        }
        let late = arrival == Arrival::Late && repair;
        ctx.counts.add_many(Count::Repaired, late.into());
        if self.repairs.decoding_until.is_some_and(|at| at > ctx.now) {
            let Repairs {
                decoder, recovered, ..
            } = &mut self.repairs;
            decoder.on_source(sequence, frames, recovered);
        }
        true
    }

    pub(super) fn on_parity(
        &mut self,
        ctx: &mut Context<'_>,
        number: u32,
        (first, count): (u32, u8),
        sum: &[u8],
    ) {
        self.repairs.decoding_until = Some(ctx.now + PARITY_OVER);
        let Repairs {
            decoder, recovered, ..
        } = &mut self.repairs;
        if !decoder.on_parity(number, (first, count), sum, recovered) {
            ctx.counts.add(Count::DropMalformed);
        }
        let next = first.wrapping_add(count.into());
        self.incoming.on_next(ctx.now, next, ctx.timing);
    }

    /// The frames of datagrams that parity has brought back.
    pub(crate) fn recovered(&mut self, ctx: &mut Context<'_>) -> Vec<Vec<u8>> {
        let mut recovered = std::mem::take(&mut self.repairs.recovered);
        recovered.retain(|recovered| {
            let arrival = self
                .incoming
                .on_numbered(ctx.now, recovered.sequence, true, ctx.timing);
            arrival != Arrival::Duplicate
        });
        ctx.counts.add_many(Count::Repaired, recovered.len() as u64);
        ctx.counts
            .add_many(Count::ParityRecovered, recovered.len() as u64);
        recovered.into_iter().map(|r| r.bytes).collect()
    }

    pub(crate) fn has_recovered(&self) -> bool {
        !self.repairs.recovered.is_empty()
    }

    /// The peer misses these.
    pub(super) fn repair(&mut self, ctx: &mut Context<'_>, sequences: &[u32]) {
        let round = self.measure.rtt().unwrap_or_default() + ctx.timing.reorder_guard;
        for sequence in sequences {
            let Some(session) = &mut self.current else {
                return;
            };
            match self.outgoing.repair(ctx.now, *sequence, round) {
                Repair::Send { frames, twice } => {
                    let bytes = session.seal(&Body::Frames {
                        repair: true,
                        sequence: *sequence,
                        sent: ctx.clock,
                        frames,
                    });
                    if twice && self.repairs.copies.len() < MAX_COPIES {
                        let at = ctx.now + COPY_GAP;
                        self.repairs.copies.push_back((at, *sequence));
                    }
                    self.send_repair(ctx, bytes);
                }
                Repair::Gone => self.repairs.gone.push(*sequence),
                Repair::Crossed => {}
                Repair::Capped => ctx.counts.add(Count::RepairsCapped),
                Repair::Unknown => ctx.counts.add(Count::RepairsUnknown),
            }
        }
        self.say_gone(ctx);
    }

    fn send_repair(&mut self, ctx: &mut Context<'_>, bytes: Vec<u8>) {
        ctx.counts.add(Count::RepairsSent);
        self.shares.repair(bytes.len());
        self.transmit(ctx, bytes);
    }

    fn say_gone(&mut self, ctx: &mut Context<'_>) {
        if self.repairs.gone.is_empty() {
            return;
        }
        let sequences = std::mem::take(&mut self.repairs.gone);
        ctx.counts
            .add_many(Count::RepairsGone, sequences.len() as u64);
        if let Some(session) = &mut self.current {
            let bytes = session.seal(&Body::Gone {
                sent: ctx.clock,
                sequences,
            });
            self.transmit(ctx, bytes);
        }
    }

    /// Send the second copies that are due.
    pub(super) fn send_copies(&mut self, ctx: &mut Context<'_>) {
        while let Some((at, sequence)) = self.repairs.copies.front().copied() {
            if at > ctx.now {
                break;
            }
            self.repairs.copies.pop_front();
            let (Some(session), Some(frames)) = (&mut self.current, self.outgoing.frames(sequence))
            else {
                continue;
            };
            let bytes = session.seal(&Body::Frames {
                repair: true,
                sequence,
                sent: ctx.clock,
                frames,
            });
            self.send_repair(ctx, bytes);
        }
    }

    /// Send parity if it is due after the datagram that was just sent.
    pub(super) fn protect(&mut self, ctx: &mut Context<'_>) {
        let rtt = self.measure.rtt().unwrap_or_default();
        let (loss, burst) = self.outgoing.loss();
        let hop = Hop {
            rtt,
            loss,
            burst,
            queue: self.pacer.delay() + self.measure.peer_queue(),
        };
        let span = rtt.clamp(LEAST_SPAN, MOST_SPAN);
        let window = || self.outgoing.window(ctx.now, span);
        let Some(window) = self.repairs.rate.on_sent(ctx.now, hop, window) else {
            return;
        };
        let Some(session) = &mut self.current else {
            return;
        };
        let buffer = std::mem::take(&mut self.repairs.buffer);
        let number = self.repairs.parities;
        self.repairs.parities = number.wrapping_add(1);
        let (first, sum) = self.outgoing.parity(number, window, buffer);
        let bytes = session.seal(&Body::Parity {
            sent: ctx.clock,
            number,
            first,
            count: window as u8,
            sum: &sum,
        });
        self.repairs.buffer = sum;
        ctx.counts.add(Count::ParitySent);
        self.shares.parity(bytes.len());
        self.transmit(ctx, bytes);
    }

    pub(super) fn ask(&mut self, ctx: &mut Context<'_>) {
        let mut asks = std::mem::take(&mut self.repairs.asks);
        asks.clear();
        self.incoming
            .asks(ctx.now, self.measure.rtt(), ctx.timing, &mut asks);
        for sequences in asks.chunks(MAX_NACKS) {
            let Some(session) = &mut self.current else {
                break;
            };
            let bytes = session.seal(&Body::Nack {
                sent: ctx.clock,
                sequences: sequences.to_vec(),
            });
            self.transmit(ctx, bytes);
        }
        self.repairs.asks = asks;
    }
}

/// What part of the bytes sent is repair, and what parity, over the last seconds.
#[derive(Default)]
pub(super) struct Shares {
    sent: f32,
    repair: f32,
    parity: f32,
}

impl Shares {
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as f32;
    }

    fn repair(&mut self, bytes: usize) {
        self.repair += bytes as f32;
    }

    fn parity(&mut self, bytes: usize) {
        self.parity += bytes as f32;
    }

    /// A second is over.
    pub(super) fn fade(&mut self) {
        for bytes in [&mut self.sent, &mut self.repair, &mut self.parity] {
            *bytes *= 0.8;
        }
    }

    /// Of repair, and of parity, 0 to 1.
    pub(super) fn get(&self) -> (f32, f32) {
        let share = |part: f32| if part > 0.0 { part / self.sent } else { 0.0 };
        (share(self.repair), share(self.parity))
    }
}
