//! How large a datagram may be: found by probes, never by the network's error messages
//! (RFC 8899, datagram packetisation layer path MTU discovery).
//!
//! A link begins at the size that every path takes and asks at once for all larger ones of the
//! ladder. What is answered passes. The size in use is confirmed again and again; unanswered
//! several times in a row while the link is well, it has fallen into a black hole: the link goes
//! back to the base and climbs anew.

use std::time::{Duration, Instant};

use wire::{Body, LARGEST_DATAGRAM, MAX_DATAGRAM, PROBE_HEADER, SEALED_HEADER, SMALLEST_MTU, TAG};

use super::{Context, Link};
use crate::count::Count;

/// Sizes of UDP payload that are tried: tunnels, PPPoE and plain Ethernet leave room for these.
const LADDER: [u16; 5] = [
    SMALLEST_MTU as u16,
    1280,
    MAX_DATAGRAM as u16,
    1400,
    LARGEST_DATAGRAM as u16,
];
/// Larger ones are tried again after this long (RFC 8899's PMTU_RAISE_TIMER).
const RAISE: Duration = Duration::from_secs(600);
/// The size in use is confirmed this often, and this often while that fails.
const CONFIRM: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
/// Probes of one size (RFC 8899's MAX_PROBES).
const MAX_PROBES: u8 = 3;

static PADDING: [u8; LARGEST_DATAGRAM] = [0; LARGEST_DATAGRAM];

pub(super) struct Mtu {
    /// Confirmed.
    pub(super) size: u16,
    /// Probes of larger sizes still to send, and of this one that went unanswered.
    tries: u8,
    unanswered: u8,
    probe_at: Instant,
    confirm_at: Instant,
}

impl Mtu {
    pub(super) fn new(now: Instant) -> Mtu {
        Mtu {
            size: SMALLEST_MTU as u16,
            tries: MAX_PROBES,
            unanswered: 0,
            probe_at: now,
            confirm_at: now + CONFIRM,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.probe_at.min(self.confirm_at)
    }
}

impl Link {
    /// Probe what is due to be probed.
    pub(super) fn probe(&mut self, ctx: &mut Context<'_>) {
        if self.mtu.probe_at <= ctx.now {
            for size in LADDER.into_iter().filter(|size| *size > self.mtu.size) {
                self.send_probe(ctx, size);
            }
            self.mtu.tries -= 1;
            self.mtu.probe_at = if self.mtu.tries == 0 || self.mtu.size == LADDER[LADDER.len() - 1]
            {
                self.mtu.tries = MAX_PROBES;
                ctx.now + RAISE
            } else {
                ctx.now + RETRY.max(self.measure.rtt().unwrap_or_default() * 2)
            };
        }
        if self.mtu.confirm_at <= ctx.now {
            if self.mtu.unanswered == MAX_PROBES && self.is_up() {
                ctx.counts.add(Count::MtuFalls);
                self.mtu = Mtu::new(ctx.now);
                // What fits just now may be what was in flight: climb after a pause.
                self.mtu.probe_at = ctx.now + CONFIRM;
                return;
            }
            if self.mtu.size > LADDER[0] {
                self.send_probe(ctx, self.mtu.size);
                self.mtu.unanswered = (self.mtu.unanswered + 1).min(MAX_PROBES);
            }
            let wait = if self.mtu.unanswered > 1 { RETRY } else { CONFIRM };
            self.mtu.confirm_at = ctx.now + wait;
        }
    }

    fn send_probe(&mut self, ctx: &mut Context<'_>, size: u16) {
        let Some(session) = &mut self.current else {
            return;
        };
        let padding = usize::from(size) - SEALED_HEADER - PROBE_HEADER - TAG;
        let bytes = session.seal(&Body::Probe {
            sent: ctx.clock,
            padding: &PADDING[..padding],
        });
        self.aside = self.aside.wrapping_add(1);
        self.transmit(ctx, bytes);
    }

    /// The peer asks whether so many bytes passed: they did.
    pub(super) fn on_probe(&mut self, ctx: &mut Context<'_>, size: usize) {
        let Some(session) = &mut self.current else {
            return;
        };
        let bytes = session.seal(&Body::Probed {
            sent: ctx.clock,
            size: size as u16,
        });
        self.aside = self.aside.wrapping_add(1);
        self.transmit(ctx, bytes);
    }

    pub(super) fn on_probed(&mut self, ctx: &mut Context<'_>, size: u16) {
        if !LADDER.contains(&size) {
            ctx.counts.add(Count::DropMalformed);
            return;
        }
        if size >= self.mtu.size {
            self.mtu.size = size;
            self.mtu.unanswered = 0;
            self.mtu.confirm_at = ctx.now + CONFIRM;
        }
    }

    /// Bytes of frames that one datagram takes.
    pub(super) fn room(&self) -> usize {
        usize::from(self.mtu.size) - SEALED_HEADER - wire::BODY_HEADER - TAG
    }
}
