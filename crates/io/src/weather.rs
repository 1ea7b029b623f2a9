//! The world's emulated long links: weather between the node's mesh output and the mesh socket.

use std::net::SocketAddr;
use std::time::Instant;

use node::Command;
use wire::NodeId;

pub(crate) struct Weather {}

impl Weather {
    pub(crate) fn new(_seed: u64) -> Weather {
        Weather {}
    }

    pub(crate) fn set(&mut self, _now: Instant, _command: &Command) {}

    pub(crate) fn send(
        &mut self,
        _now: Instant,
        _peer: NodeId,
        _to: SocketAddr,
        bytes: Vec<u8>,
    ) -> Option<Vec<u8>> {
        Some(bytes)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        None
    }

    pub(crate) fn deliver(&mut self, _now: Instant, _each: impl FnMut(SocketAddr, Vec<u8>)) {}

    pub(crate) fn dropped(&self) -> u64 {
        0
    }
}
