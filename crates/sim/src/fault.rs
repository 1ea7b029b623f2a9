//! What goes wrong, or is put right.

use std::time::Duration;

use netem::Loss;

/// One change. What ends a fault is a change too: a cut path stays cut until it is mended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Change both directions of a path, all port pairs; its delay stays.
    Weather {
        a: u16,
        b: u16,
        loss: Loss,
        cut: bool,
    },
    /// Change one direction only.
    OneWay { from: u16, to: u16, cut: bool },
    /// One port pair of a path, both ways: one of several routes through the same networks.
    Pair { a: u16, b: u16, pair: u8, cut: bool },
    /// Lossy and slower both ways but not dead; without loss and delay it is over.
    Brownout {
        a: u16,
        b: u16,
        loss: Loss,
        delay: Duration,
    },
    /// Bits per second that pass each way; None ends it.
    Narrow { a: u16, b: u16, rate: Option<u64> },
    /// Longer datagrams vanish, both ways.
    Short { a: u16, b: u16, max_bytes: usize },
    /// A node's process dies and starts anew at once, with nothing remembered.
    Restart { node: u16 },
    /// A node's process dies.
    Kill { node: u16 },
    /// And starts again.
    Start { node: u16 },
    /// A node's clock jumps ahead: it slept, or its host was moved.
    Clock { node: u16, by: Duration },
    /// A relay passes nothing on, and all its links look well.
    Grey { node: u16, grey: bool },
    /// A node reports its delays times this to the controller.
    Lie { node: u16, factor: f64 },
    /// The control plane stops; or goes on.
    Control { gone: bool },
    /// A node and the control plane don't hear each other.
    CellCut { node: u16, cut: bool },
}

impl Fault {
    /// For the trace.
    pub(crate) fn word(&self) -> u64 {
        let (kind, a, b): (u64, u16, u16) = match *self {
            Fault::Weather { a, b, cut, .. } => (1 + u64::from(cut), a, b),
            Fault::OneWay { from, to, cut } => (3 + u64::from(cut), from, to),
            Fault::Pair { a, b, cut, .. } => (5 + u64::from(cut), a, b),
            Fault::Brownout { a, b, .. } => (7, a, b),
            Fault::Narrow { a, b, .. } => (8, a, b),
            Fault::Short { a, b, .. } => (9, a, b),
            Fault::Restart { node } => (10, node, 0),
            Fault::Kill { node } => (11, node, 0),
            Fault::Start { node } => (12, node, 0),
            Fault::Clock { node, .. } => (13, node, 0),
            Fault::Grey { node, grey } => (14 + u64::from(grey), node, 0),
            Fault::Lie { node, .. } => (16, node, 0),
            Fault::Control { gone } => (17 + u64::from(gone), 0, 0),
            Fault::CellCut { node, cut } => (19 + u64::from(cut), node, 0),
        };
        kind << 32 | u64::from(a) << 16 | u64::from(b)
    }
}
