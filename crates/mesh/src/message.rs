//! What a mesh is told, what it tells, and how full its queues are.

use std::net::SocketAddr;
use std::sync::Arc;

use wire::{MediaPacket, NodeId, RoomKey, StreamId};

use crate::link::LinkState;
use crate::policy::Policy;
use crate::protection::{Copies, Protection};
use crate::route::Route;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The deadline has come.
    Timeout,
    /// A UDP datagram came to this node's mesh port number `port`; it is opened in place.
    Datagram {
        from: SocketAddr,
        port: u8,
        bytes: &'a mut [u8],
    },
    /// Keep a link to a node, over a port pair for each of its 1 to `MAX_PAIRS` addresses: its
    /// port number i with ours. The same node again changes its addresses or key.
    AddPeer {
        node: NodeId,
        public_key: [u8; 32],
        addresses: &'a [SocketAddr],
    },
    RemovePeer {
        node: NodeId,
    },
    /// Replace every route.
    SetRoutes(&'a [Route]),
    /// Replace every policy: what travels under a tag that is not among them goes nowhere.
    SetPolicies(&'a [Policy]),
    SetProtection(Protection),
    /// What an operator knows of a link: its capacity in bits per second.
    SetLink {
        node: NodeId,
        capacity: Option<u64>,
    },
    /// A local publisher's stream: `base` if the picture can't do without it.
    AddStream {
        stream: StreamId,
        tag: u32,
        base: bool,
    },
    RemoveStream {
        stream: StreamId,
    },
    /// What of a local video stream goes twice.
    SetCopies {
        stream: StreamId,
        copies: Copies,
    },
    /// A local publisher's packet: goes once to every node that wants the stream.
    Media {
        stream: StreamId,
        packet: &'a Arc<MediaPacket>,
    },
    /// A message of at most `MAX_MESSAGE` bytes to the room's participants on other nodes.
    Data {
        room: RoomKey,
        tag: u32,
        reliable: bool,
        bytes: Arc<[u8]>,
        nodes: &'a [NodeId],
    },
    /// This node has subscribers of a remote stream.
    Want {
        stream: StreamId,
    },
    /// It has none any more.
    Unwant {
        stream: StreamId,
    },
    /// Ask a remote stream's publisher for a keyframe.
    RequestKeyframe {
        stream: StreamId,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram from this node's mesh port number `port`; `peer` and `port` tell an
    /// emulator which way it goes.
    Transmit {
        to: SocketAddr,
        port: u8,
        peer: NodeId,
        bytes: Vec<u8>,
    },
    /// A packet of a wanted remote stream: each once, not always in order.
    Media {
        stream: StreamId,
        packet: MediaPacket,
    },
    Data {
        room: RoomKey,
        from: NodeId,
        reliable: bool,
        bytes: Arc<[u8]>,
    },
    /// The first remote node wants this local stream, or none does any more.
    Wanted {
        stream: StreamId,
        wanted: bool,
    },
    /// Ask the local publisher of this stream for a keyframe.
    RequestKeyframe {
        stream: StreamId,
    },
    LinkChanged {
        node: NodeId,
        state: LinkState,
    },
}

/// One bounded queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub name: &'static str,
    /// In items or bytes, as the capacity.
    pub length: usize,
    pub capacity: usize,
}
