//! Plain participants: they publish, subscribe and write, and remember what came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, NodeId, RoomKey, StreamId};

/// What somebody publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 50 packets of 100 bytes a second.
    Audio,
    /// 30 frames a second of four packets of 1100 bytes: about 1 Mb/s.
    Video,
}

/// A publisher in the world, in order of their adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublisherId(pub usize);

pub(crate) struct Publisher {
    pub(crate) id: PublisherId,
    pub(crate) node: u16,
    pub(crate) kind: Kind,
    /// When each packet was published; its number is its place. Starts anew with its node.
    pub(crate) published: Vec<Instant>,
}

impl Publisher {
    /// A stream's number is never used again: each life of the node has its own.
    pub(crate) fn stream(&self, life: u32) -> StreamId {
        let serial = (self.id.0 as u64) << 16 | u64::from(life);
        StreamId(u64::from(self.node) << 48 | serial)
    }

    pub(crate) fn interval(&self) -> Duration {
        match self.kind {
            Kind::Audio => Duration::from_millis(20),
            Kind::Video => Duration::from_nanos(33_333_333),
        }
    }

    /// The packets of one moment.
    pub(crate) fn next(&mut self, now: Instant) -> Vec<Arc<MediaPacket>> {
        let (format, packets, size) = match self.kind {
            Kind::Audio => (Format::Opus, 1, 100),
            Kind::Video => (Format::Vp8, 4, 1_100),
        };
        let packet = |i| {
            let sequence = self.published.len() as u64;
            self.published.push(now);
            Arc::new(MediaPacket {
                format,
                sequence,
                timestamp: sequence as u32,
                marker: i + 1 == packets,
                keyframe: false,
                audio_level: None,
                voice_activity: None,
                orientation: None,
                absolute_capture_time: None,
                dependency_descriptor: None,
                payload: vec![sequence as u8; size].into(),
            })
        };
        (0..packets).map(packet).collect()
    }
}

/// What came of one publisher to one node, since the younger of both started.
pub(crate) struct Subscription {
    pub(crate) node: u16,
    pub(crate) publisher: PublisherId,
    pub(crate) stream: StreamId,
    pub(crate) received: BTreeMap<u64, Instant>,
}

/// Messages from one node to others of a room, reliable and lossy, ten a second.
pub(crate) struct Chat {
    pub(crate) from: u16,
    pub(crate) to: Vec<u16>,
    pub(crate) room: RoomKey,
    pub(crate) reliable: bool,
    pub(crate) sent: u32,
    /// When each was sent, by number, of the node's present life.
    pub(crate) times: Vec<Instant>,
    /// Numbers that came, by receiver.
    pub(crate) received: BTreeMap<u16, Vec<u32>>,
}

impl Chat {
    pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

    pub(crate) fn targets(&self) -> Vec<NodeId> {
        self.to.iter().copied().map(NodeId).collect()
    }

    /// The next message: the life of its writer, its number, and filling of varied length.
    pub(crate) fn next(&mut self, now: Instant, life: u32, length: usize) -> Arc<[u8]> {
        let mut bytes = Vec::with_capacity(8 + length);
        bytes.extend(life.to_be_bytes());
        bytes.extend(self.sent.to_be_bytes());
        bytes.resize(8 + length, self.sent as u8);
        self.sent += 1;
        self.times.push(now);
        bytes.into()
    }

    /// Life and number of a message; None if its filling is not what was sent.
    pub(crate) fn read(bytes: &[u8]) -> Option<(u32, u32)> {
        let (life, rest) = bytes.split_first_chunk::<4>()?;
        let (number, filling) = rest.split_first_chunk::<4>()?;
        let number = u32::from_be_bytes(*number);
        let whole = filling.iter().all(|byte| *byte == number as u8);
        whole.then_some((u32::from_be_bytes(*life), number))
    }
}
