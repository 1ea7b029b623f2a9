//! The way into the gate: what workers send to relayed addresses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use crate::queue::lock;

/// Packets that wait for the gate; past it the newest is dropped and counted.
const CAPACITY: usize = 4_096;

/// What one turn of the gate takes, so that others get theirs.
const PER_TURN: usize = 512;

/// A packet of the node's for a relayed address.
pub(super) struct Relayed {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

pub(crate) struct GateInbox {
    waiting: Mutex<Waiting>,
    waker: mio::Waker,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<Relayed>,
    stop: bool,
}

impl GateInbox {
    pub(crate) fn new(waker: mio::Waker) -> GateInbox {
        GateInbox {
            waiting: Mutex::default(),
            waker,
        }
    }

    /// False if the gate is too far behind.
    pub(crate) fn push(&self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> bool {
        let mut waiting = lock(&self.waiting);
        let was_empty = waiting.packets.is_empty();
        let room = waiting.packets.len() < CAPACITY;
        if room {
            waiting.packets.push_back(Relayed { from, to, bytes });
        }
        drop(waiting);
        if was_empty {
            self.wake();
        }
        room
    }

    pub(crate) fn stop(&self) {
        lock(&self.waiting).stop = true;
        self.wake();
    }

    /// A bounded share, and whether there is more. None: stop.
    pub(super) fn take(&self) -> Option<(Vec<Relayed>, bool)> {
        let mut waiting = lock(&self.waiting);
        if waiting.stop {
            return None;
        }
        let count = waiting.packets.len().min(PER_TURN);
        let packets = waiting.packets.drain(..count).collect();
        Some((packets, !waiting.packets.is_empty()))
    }

    fn wake(&self) {
        // Fails only when the gate's poll is gone, and then nobody needs waking.
        let _ = self.waker.wake();
    }
}
