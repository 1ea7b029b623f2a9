//! What the workers of one node tell each other.

use std::sync::Arc;

use wire::{MediaPacket, RoomKey, StreamId};

/// Which workers a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Worker(u16),
    /// Every worker but the sender.
    Others,
}

/// A message from one worker to another.
#[derive(Clone, Debug)]
pub enum Bus {
    /// A packet of a stream that this worker wants.
    Media {
        stream: StreamId,
        packet: Arc<MediaPacket>,
    },
    /// A stamped DataPacket of a room. `local`: it comes from a client of this node, and the
    /// worker with the mesh sends it on.
    Data {
        room: RoomKey,
        reliable: bool,
        bytes: Arc<[u8]>,
        local: bool,
    },
    /// Worker `from` has, or no longer has, subscribers of a stream.
    Want {
        stream: StreamId,
        wanted: bool,
        from: u16,
    },
    /// Somebody needs a keyframe of a stream.
    NeedKeyframe { stream: StreamId },
}
