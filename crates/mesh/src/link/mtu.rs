//! How large a datagram may be: found by probes, never by the network's error messages
//! (RFC 8899, datagram packetisation layer path MTU discovery).
//!
//! A link begins at the size that every path takes and asks at once for all larger ones of the
//! ladder. What is answered passes. The size in use is confirmed again and again; unanswered
//! several times in a row while the link is well, it has fallen into a black hole: the link goes
//! back to the base and climbs anew.

use std::time::{Duration, Instant};

use wire::{
    BODY_HEADER, Body, LARGEST_DATAGRAM, MAX_DATAGRAM, PROBE_HEADER, SEALED_HEADER, SMALLEST_MTU,
    TAG,
};

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
/// The size in use is confirmed this often while the link carries frames, and while it does not;
/// and so often in a row before it counts as lost.
const CONFIRM: Duration = Duration::from_secs(5);
const CONFIRM_IDLE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(300);
const MAX_UNANSWERED: u8 = 6;
/// Probes of one size on the way up (RFC 8899's MAX_PROBES).
const MAX_PROBES: u8 = 3;
/// The most bytes of frames in one datagram.
pub(super) const MAX_FRAMES: usize = LARGEST_DATAGRAM - SEALED_HEADER - BODY_HEADER - TAG;

static PADDING: [u8; LARGEST_DATAGRAM] = [0; LARGEST_DATAGRAM];

pub(super) struct Mtu {
    /// Confirmed.
    pub(super) size: u16,
    /// How often larger sizes are still to be asked for, and this one's probes unanswered.
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
            let known = self.mtu.size;
            for size in LADDER.into_iter().filter(|size| *size > known) {
                self.send_probe(ctx, size);
            }
            self.mtu.tries -= 1;
            self.mtu.probe_at = if self.mtu.tries == 0 || self.mtu.size == LADDER[LADDER.len() - 1]
            {
                self.mtu.tries = MAX_PROBES;
                ctx.now + RAISE
            } else {
                ctx.now + RETRY.max(self.patience())
            };
        }
        if self.mtu.confirm_at <= ctx.now {
            let size = self.mtu.size;
            if self.mtu.unanswered == MAX_UNANSWERED {
                ctx.counts.add(Count::MtuFalls);
                self.mtu = Mtu::new(ctx.now);
                // What blocked it may pass: climb after a pause.
                self.mtu.probe_at = ctx.now + CONFIRM;
                return;
            }
            if size > LADDER[0] && self.is_up() {
                self.send_probe(ctx, size);
                self.mtu.unanswered += 1;
            }
            self.mtu.confirm_at = ctx.now
                + match () {
                    () if self.mtu.unanswered > 0 => RETRY.max(self.patience()),
                    () if self.active_until > ctx.now => CONFIRM,
                    () => CONFIRM_IDLE,
                };
        }
    }

    /// Until an answer must be here.
    fn patience(&self) -> Duration {
        self.measure.rtt().unwrap_or_default() * 3 / 2
    }

    /// The way has changed, or is used again: does the size still pass?
    pub(super) fn confirm_size(&mut self, now: Instant) {
        self.mtu.confirm_at = self.mtu.confirm_at.min(now);
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
            let active = self.active_until > ctx.now;
            self.mtu.confirm_at = ctx.now + if active { CONFIRM } else { CONFIRM_IDLE };
        }
    }

    /// Bytes of frames that one datagram takes.
    pub(super) fn room(&self) -> usize {
        usize::from(self.mtu.size) - SEALED_HEADER - BODY_HEADER - TAG
    }
}
