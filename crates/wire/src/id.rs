//! Identifiers that cross the wire between nodes.

use std::fmt;

/// A node's number in the network: assigned by the operator (or the world), never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// One publishable unit: an audio track or one layer of a video track.
///
/// The high 16 bits are the node that the publisher is connected to (the *origin*), the low 48 a
/// serial number which that node never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl StreamId {
    /// The node whose publisher feeds this stream.
    pub fn origin(self) -> NodeId {
        NodeId((self.0 >> 48) as u16)
    }
}

/// A room, as the packet path knows it: 16 bytes of a hash over the room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin(), self.0 & 0xffff_ffff_ffff)
    }
}
