//! Bytes to structs and back. No state, no time, no IO.

mod body;
mod class;
mod cursor;
mod datagram;
mod error;
mod frame;
mod id;
mod media;
mod packet;
mod part;
mod red;
mod stun;
mod tree;
mod vp8;

pub use body::{
    Ages, BODY_HEADER, Body, Frames, Heartbeat, MAX_NACKS, MAX_PAIRS, NEVER, PROBE_HEADER,
    PeerReport,
};
pub use class::Class;
pub use datagram::{Datagram, LARGEST_DATAGRAM, MAX_DATAGRAM, SEALED_HEADER, SMALLEST_MTU, TAG};
pub use error::Malformed;
pub use frame::{Content, FRAME_HEADER, Header, MAX_LINKS, MAX_WANT, Segment, put_media_header};
pub use id::{NodeId, RoomKey, StreamId};
pub use media::{Format, MediaPacket};
pub use part::{MAX_PARTS, PART_HEADER, Part};
pub use red::{Block, MAX_BLOCKS, put_red, red_blocks};
pub use stun::stun_username;
pub use tree::{MAX_TREE, Stop, Tree, TreeBuf};
pub use vp8::vp8_temporal_layer;
