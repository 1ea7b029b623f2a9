//! One frame: where it goes, hop by hop, and what it says to the node where it ends.
//!
//! ```text
//! origin 2 | hop count << 4 | index | hops n x 2 | content kind 1 | content
//! ```

use crate::cursor::{Cursor, put_varint};
use crate::{Malformed, NodeId, RoomKey, StreamId};

/// The most links between two edges: two relays.
pub const MAX_HOPS: usize = 3;

/// The most streams that one `Want` lists.
pub const MAX_WANT: usize = 128;

/// The most bytes before a frame's content: origin, route, length.
pub const FRAME_HEADER: usize = 2 + 2 + 1 + 2 * MAX_HOPS;

/// The nodes after the origin, ending with the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    nodes: [NodeId; MAX_HOPS],
    count: u8,
}

impl Hops {
    /// Through `via` to `destination`. None if that is more than `MAX_HOPS` links or any node
    /// occurs twice.
    pub fn new(via: &[NodeId], destination: NodeId) -> Option<Hops> {
        let mut nodes = [NodeId(0); MAX_HOPS];
        let count = via.len() + 1;
        nodes.get_mut(..via.len())?.copy_from_slice(via);
        *nodes.get_mut(via.len())? = destination;
        let hops = Hops {
            nodes,
            count: u8::try_from(count).ok().filter(|c| *c <= MAX_HOPS as u8)?,
        };
        hops.is_simple().then_some(hops)
    }

    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes[..usize::from(self.count)]
    }

    pub fn first(&self) -> NodeId {
        self.nodes[0]
    }

    pub fn destination(&self) -> NodeId {
        self.nodes[usize::from(self.count) - 1]
    }

    fn is_simple(&self) -> bool {
        let nodes = self.nodes();
        (1..nodes.len()).all(|i| !nodes[..i].contains(&nodes[i]))
    }
}

/// Who sent a frame and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub origin: NodeId,
    pub hops: Hops,
    /// Which of the hops is the receiver.
    pub index: u8,
}

impl Header {
    /// The header and the bytes after it.
    pub fn decode(frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        let mut at = Cursor::new(frame);
        let origin = at.node("origin")?;
        let packed = at.u8("route")?;
        let bad = Malformed::Value {
            what: "route",
            value: packed.into(),
        };
        let (count, index) = (packed >> 4, packed & 0xf);
        if count == 0 || usize::from(count) > MAX_HOPS || index >= count {
            return Err(bad);
        }
        let mut hops = Hops {
            nodes: [NodeId(0); MAX_HOPS],
            count,
        };
        for node in &mut hops.nodes[..usize::from(count)] {
            *node = at.node("hop")?;
        }
        if !hops.is_simple() || hops.nodes().contains(&origin) {
            return Err(bad);
        }
        let header = Header {
            origin,
            hops,
            index,
        };
        Ok((header, at.rest()))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.origin.0.to_be_bytes());
        out.push(self.hops.count << 4 | self.index);
        for node in self.hops.nodes() {
            out.extend(node.0.to_be_bytes());
        }
    }

    /// The node that reads the frame now.
    pub fn receiver(&self) -> NodeId {
        self.hops.nodes[usize::from(self.index)]
    }

    /// The neighbour that must have sent it.
    pub fn sender(&self) -> NodeId {
        match self.index {
            0 => self.origin,
            index => self.hops.nodes[usize::from(index) - 1],
        }
    }

    /// The header for the next link, None at the destination.
    pub fn advance(self) -> Option<Header> {
        let index = self.index + 1;
        (index < self.hops.count).then_some(Header { index, ..self })
    }
}

const MEDIA: u8 = 1;
const WANT: u8 = 2;
const KEYFRAME: u8 = 3;
const RELIABLE: u8 = 4;
const ACKNOWLEDGE: u8 = 5;
const LOSSY: u8 = 6;
const FRAGMENT: u8 = 7;

/// What a frame says to its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A packet of a stream, as `MediaPacket::encode` writes it.
    Media {
        stream: StreamId,
        packet: &'a [u8],
    },
    /// Send me these streams, or do so no longer. `version` grows with each from one `epoch`.
    Want {
        epoch: u64,
        version: u32,
        wanted: bool,
        streams: Vec<StreamId>,
    },
    /// Ask the publisher for a keyframe.
    Keyframe {
        stream: StreamId,
    },
    Reliable(Segment<'a>),
    /// `next` is the first sequence number not yet received; bit i of `received` stands for
    /// `next + 1 + i`. `receiver` is the receiver's own incarnation: a restarted one has lost
    /// what it had said it received.
    Acknowledge {
        epoch: u64,
        receiver: u64,
        next: u64,
        received: [u64; 4],
    },
    /// A message that nobody repeats.
    Lossy {
        room: RoomKey,
        bytes: &'a [u8],
    },
    /// A piece of a content too long for one datagram: its kind and body, cut in `count`.
    Fragment {
        message: u32,
        index: u8,
        count: u8,
        bytes: &'a [u8],
    },
}

/// A piece of the reliable channel from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender's incarnation: a restarted node counts from 0 again under a new one.
    pub epoch: u64,
    /// The lowest sequence number that the sender may still send.
    pub base: u64,
    pub sequence: u64,
    /// Whether it begins and ends a message. A message is its room (16 bytes) and its bytes.
    pub first: bool,
    pub last: bool,
    pub bytes: &'a [u8],
}

impl<'a> Content<'a> {
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(bytes);
        let content = match at.u8("content kind")? {
            MEDIA => Content::Media {
                stream: StreamId(at.u64("stream")?),
                packet: at.rest(),
            },
            WANT => {
                let epoch = at.u64("epoch")?;
                let version = at.u32("version")?;
                let wanted = at.bool("wanted")?;
                let (words, rest) = at.rest().as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed::Short("stream"));
                }
                if words.len() > MAX_WANT {
                    return Err(Malformed::Value {
                        what: "want count",
                        value: words.len() as u64,
                    });
                }
                Content::Want {
                    epoch,
                    version,
                    wanted,
                    streams: words
                        .iter()
                        .map(|w| StreamId(u64::from_be_bytes(*w)))
                        .collect(),
                }
            }
            KEYFRAME => {
                let stream = StreamId(at.u64("stream")?);
                if !at.is_empty() {
                    return Err(Malformed::Trailing("keyframe request"));
                }
                Content::Keyframe { stream }
            }
            RELIABLE => {
                let epoch = at.u64("epoch")?;
                let base = at.varint("base")?;
                let ahead = at.varint("sequence")?;
                let flags = at.u8("segment flags")?;
                let sequence = base.checked_add(ahead).ok_or(Malformed::Value {
                    what: "sequence",
                    value: ahead,
                })?;
                if flags > 3 {
                    return Err(Malformed::Value {
                        what: "segment flags",
                        value: flags.into(),
                    });
                }
                Content::Reliable(Segment {
                    epoch,
                    base,
                    sequence,
                    first: flags & 1 != 0,
                    last: flags & 2 != 0,
                    bytes: at.rest(),
                })
            }
            ACKNOWLEDGE => {
                let epoch = at.u64("epoch")?;
                let receiver = at.u64("epoch")?;
                let next = at.varint("next")?;
                let mut received = [0; 4];
                for word in &mut received {
                    *word = at.u64("received")?;
                }
                if !at.is_empty() {
                    return Err(Malformed::Trailing("acknowledgement"));
                }
                Content::Acknowledge {
                    epoch,
                    receiver,
                    next,
                    received,
                }
            }
            LOSSY => Content::Lossy {
                room: RoomKey(at.array("room")?),
                bytes: at.rest(),
            },
            FRAGMENT => {
                let message = at.u32("message")?;
                let index = at.u8("fragment index")?;
                let count = at.u8("fragment count")?;
                if index >= count {
                    return Err(Malformed::Value {
                        what: "fragment index",
                        value: index.into(),
                    });
                }
                Content::Fragment {
                    message,
                    index,
                    count,
                    bytes: at.rest(),
                }
            }
            value => {
                return Err(Malformed::Value {
                    what: "content kind",
                    value: value.into(),
                });
            }
        };
        Ok(content)
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Content::Media { stream, packet } => {
                put_media_header(out, *stream);
                out.extend_from_slice(packet);
            }
            Content::Want {
                epoch,
                version,
                wanted,
                streams,
            } => {
                out.push(WANT);
                out.extend(epoch.to_be_bytes());
                out.extend(version.to_be_bytes());
                out.push((*wanted).into());
                for stream in streams {
                    out.extend(stream.0.to_be_bytes());
                }
            }
            Content::Keyframe { stream } => {
                out.push(KEYFRAME);
                out.extend(stream.0.to_be_bytes());
            }
            Content::Reliable(segment) => {
                out.push(RELIABLE);
                out.extend(segment.epoch.to_be_bytes());
                put_varint(out, segment.base);
                put_varint(out, segment.sequence.saturating_sub(segment.base));
                out.push(u8::from(segment.first) | u8::from(segment.last) << 1);
                out.extend_from_slice(segment.bytes);
            }
            Content::Acknowledge {
                epoch,
                receiver,
                next,
                received,
            } => {
                out.push(ACKNOWLEDGE);
                out.extend(epoch.to_be_bytes());
                out.extend(receiver.to_be_bytes());
                put_varint(out, *next);
                for word in received {
                    out.extend(word.to_be_bytes());
                }
            }
            Content::Lossy { room, bytes } => {
                out.push(LOSSY);
                out.extend(room.0);
                out.extend_from_slice(bytes);
            }
            Content::Fragment {
                message,
                index,
                count,
                bytes,
            } => {
                out.push(FRAGMENT);
                out.extend(message.to_be_bytes());
                out.push(*index);
                out.push(*count);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Append what precedes the packet in `Content::Media`, so that a packet is encoded in place.
pub fn put_media_header(out: &mut Vec<u8>, stream: StreamId) {
    out.push(MEDIA);
    out.extend(stream.0.to_be_bytes());
}
