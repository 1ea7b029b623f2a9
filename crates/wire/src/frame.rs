//! One frame: where it goes, and what it says to the nodes where it ends.
//!
//! ```text
//! origin 2 | epoch 2 | serial 4 | flags 1 | tag 4 if flagged | n 1 | n x (node 2, shape 1)
//!     | content kind 1 | content
//! flags: class 2 bits | links crossed 3 bits | detoured 1 | tagged 1 | 0
//! ```

use crate::cursor::{Cursor, put_varint};
use crate::{Class, MAX_TREE, Malformed, NodeId, RoomKey, StreamId, Tree};

/// The most links of a planned path: two relays. A detour may add one.
pub const MAX_LINKS: u8 = 3;

/// The most streams that one `Want` lists.
pub const MAX_WANT: usize = 128;

/// The most bytes before a frame's content.
pub const FRAME_HEADER: usize = 2 + 2 + 4 + 1 + 4 + 1 + 3 * MAX_TREE;

const HOPS_SHIFT: u8 = 2;
const DETOURED: u8 = 1 << 5;
const TAGGED: u8 = 1 << 6;
const SPARE: u8 = 1 << 7;

/// Who sent a frame, what it is, and where it still has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub origin: NodeId,
    /// The low bits of the origin's incarnation; with `serial` they name the frame.
    pub epoch: u16,
    pub serial: u32,
    pub class: Class,
    /// Links crossed when the receiver has it.
    pub hops: u8,
    /// It left its planned way: that happens once.
    pub detoured: bool,
    /// The set of nodes where it may be; 0: anywhere.
    pub tag: u32,
    /// The root is the receiver.
    pub tree: Tree<'a>,
}

impl<'a> Header<'a> {
    /// The header and the bytes after it.
    pub fn decode(frame: &'a [u8]) -> Result<(Header<'a>, &'a [u8]), Malformed> {
        let mut at = Cursor::new(frame);
        let origin = at.node("origin")?;
        let epoch = at.u16("epoch")?;
        let serial = at.u32("serial")?;
        let flags = at.u8("frame flags")?;
        let bad = |what, value: u32| Malformed::Value {
            what,
            value: value.into(),
        };
        let tag = match flags & TAGGED {
            0 => 0,
            _ => match at.u32("tag")? {
                0 => return Err(bad("tag", 0)),
                tag => tag,
            },
        };
        let count = at.u8("tree")?;
        let tree = Tree::decode(at.take(3 * usize::from(count), "tree")?)?;
        let header = Header {
            origin,
            epoch,
            serial,
            class: Class::decode(flags & 0b11)?,
            hops: flags >> HOPS_SHIFT & 0b111,
            detoured: flags & DETOURED != 0,
            tag,
            tree,
        };
        let longest = MAX_LINKS + u8::from(header.detoured);
        if flags & SPARE != 0 || header.hops == 0 || header.hops + tree.depth() > longest {
            return Err(bad("frame flags", flags.into()));
        }
        if tree.stops().any(|stop| stop.node == origin) {
            return Err(bad("tree", origin.0.into()));
        }
        Ok((header, at.rest()))
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.origin.0.to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        out.extend(self.serial.to_be_bytes());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            self.class as u8
                | self.hops << HOPS_SHIFT
                | flag(self.detoured, DETOURED)
                | flag(self.tag != 0, TAGGED),
        );
        if self.tag != 0 {
            out.extend(self.tag.to_be_bytes());
        }
        out.push(self.tree.count() as u8);
        self.tree.encode(out);
    }

    /// Bytes that `encode` appends.
    pub fn encoded_len(&self) -> usize {
        10 + if self.tag == 0 { 0 } else { 4 } + self.tree.encoded_len()
    }

    /// The node that reads the frame now.
    pub fn receiver(&self) -> NodeId {
        self.tree.root().node
    }

    /// The header for the next link, to a branch of its tree.
    pub fn onward(self, branch: Tree<'a>) -> Header<'a> {
        Header {
            hops: self.hops + 1,
            tree: branch,
            ..self
        }
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
    /// The stream, if this is a keyframe request: without reading anything else.
    pub fn keyframe_request(bytes: &[u8]) -> Option<StreamId> {
        let (kind, stream) = bytes.split_first()?;
        let stream = <[u8; 8]>::try_from(stream).ok()?;
        (*kind == KEYFRAME).then(|| StreamId(u64::from_be_bytes(stream)))
    }

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
