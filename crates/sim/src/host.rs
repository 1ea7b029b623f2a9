//! One node's process: its core while it lives, its clock, and when it is to be called.

use std::time::{Duration, Instant};

use mesh::{Mesh, public_key};
use node::{Config, Node};
use wire::NodeId;

/// Plain participants live on the second worker: they reach the mesh over the bus.
pub(crate) const WORKER: u16 = 1;

pub(crate) struct Host {
    /// None while it is dead.
    pub(crate) core: Option<Node>,
    pub(crate) life: u32,
    /// Its participants have not come back yet.
    pub(crate) away: bool,
    /// Its clock stands so far ahead of the world's.
    pub(crate) ahead: Duration,
    /// For when the agenda has a timer of it.
    pub(crate) scheduled: Option<Instant>,
    /// What it reports as delays is so many times the truth.
    pub(crate) lie: f64,
    /// It and the control plane don't hear each other.
    pub(crate) cell_cut: bool,
}

impl Host {
    pub(crate) fn new(core: Node) -> Host {
        Host {
            core: Some(core),
            life: 0,
            away: false,
            ahead: Duration::ZERO,
            scheduled: None,
            lie: 1.0,
            cell_cut: false,
        }
    }

    pub(crate) fn mesh(&self) -> Option<&Mesh> {
        self.core.as_ref().and_then(Node::mesh_ref)
    }

    /// When it wants to be called, by the world's clock.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let own = self.core.as_ref()?.deadline()?;
        Some(own.checked_sub(self.ahead).unwrap_or(own))
    }
}

pub(crate) fn core(node: u16, seed: u64, now: Instant) -> Node {
    let mesh = mesh::Config::new(NodeId(node), private_key(node), seed);
    let config = Config {
        worker: 0,
        workers: 2,
        node: NodeId(node),
        udp_candidates: Vec::new(),
        tcp_candidates: Vec::new(),
        mesh: Some(mesh),
    };
    Node::new(config, now)
}

fn private_key(node: u16) -> [u8; 32] {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&node.to_be_bytes());
    key
}

/// The key by which others pin a node.
pub(crate) fn key(node: u16) -> [u8; 32] {
    public_key(&private_key(node))
}

/// A node's address for a port pair: 10.0.0.0/8 by its number, its mesh ports in a row.
pub(crate) fn address(node: u16, pair: u8) -> std::net::SocketAddr {
    let [high, low] = node.to_be_bytes();
    ([10, 0, high, low], 7_000 + u16::from(pair)).into()
}
