//! Plain participants: they publish, subscribe and write, and remember what came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, RoomKey, StreamId};

/// What somebody publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 50 packets of 100 bytes a second.
    Audio,
    /// 30 frames a second of four packets of 1100 bytes: about 1 Mb/s. The only layer.
    Video,
    /// The same as the upper layer of two; nobody sends the lower one.
    Upper,
}

/// A publisher in the world, in order of their adding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherId(pub usize);

/// The room of whoever named none: no policy, no messages.
pub const LOBBY: RoomKey = RoomKey([0; 16]);

pub(crate) struct Publisher {
    pub(crate) id: PublisherId,
    pub(crate) node: u16,
    pub(crate) kind: Kind,
    pub(crate) room: RoomKey,
    /// When each packet was published; its number is its place. Starts anew with its node.
    pub(crate) published: Vec<Instant>,
}

impl Publisher {
    /// A stream's number is never used again: each life of the node has its own.
    pub(crate) fn stream(&self, life: u32) -> StreamId {
        let serial = (self.id.0 as u64) << 16 | u64::from(life & 0xffff);
        StreamId(u64::from(self.node) << 48 | serial)
    }

    /// Whose stream it is.
    pub(crate) fn of(stream: StreamId) -> PublisherId {
        PublisherId((stream.0 >> 16 & 0xffff_ffff) as usize)
    }

    pub(crate) fn interval(&self) -> Duration {
        match self.kind {
            Kind::Audio => Duration::from_millis(20),
            Kind::Video | Kind::Upper => Duration::from_nanos(33_333_333),
        }
    }

    /// The packets of one moment.
    pub(crate) fn next(&mut self, now: Instant) -> Vec<Arc<MediaPacket>> {
        let (format, packets, size) = match self.kind {
            Kind::Audio => (Format::Opus, 1, 100),
            Kind::Video | Kind::Upper => (Format::Vp8, 4, 1_100),
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
    /// When each packet came, by its number.
    pub(crate) received: Vec<Option<Instant>>,
    pub(crate) count: usize,
    pub(crate) latest: Option<Instant>,
}

impl Subscription {
    /// True if the packet came before.
    pub(crate) fn receive(&mut self, now: Instant, sequence: u64) -> bool {
        let place = sequence as usize;
        if self.received.len() <= place {
            self.received.resize(place + 1, None);
        }
        let before = self.received[place].is_some();
        self.received[place].get_or_insert(now);
        self.count += usize::from(!before);
        self.latest = Some(now);
        before
    }

    pub(crate) fn came(&self, number: usize) -> Option<Instant> {
        self.received.get(number).copied().flatten()
    }

    pub(crate) fn forget(&mut self) {
        self.received.clear();
        self.count = 0;
        self.latest = None;
    }
}

/// Messages from one node to others of a room, reliable and lossy, ten a second.
pub(crate) struct Chat {
    pub(crate) from: u16,
    pub(crate) to: Vec<u16>,
    pub(crate) room: RoomKey,
    pub(crate) reliable: bool,
    /// When each was sent, by number, of the node's present life.
    pub(crate) times: Vec<Instant>,
    /// Numbers that came, by receiver, as they came.
    pub(crate) received: BTreeMap<u16, Heard>,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) numbers: BTreeSet<u32>,
    pub(crate) disordered: bool,
}

/// Who wrote a message: its node and that node's life, the place of the chat, and its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) life: u32,
    pub(crate) chat: u32,
    pub(crate) number: u32,
}

impl Chat {
    pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

    /// The next message: who wrote it, and filling of varied length.
    pub(crate) fn next(&mut self, now: Instant, author: Author, length: usize) -> Arc<[u8]> {
        self.times.push(now);
        let mut bytes = Vec::with_capacity(12 + length);
        for word in [author.life, author.chat, author.number] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.resize(12 + length, author.number as u8);
        bytes.into()
    }

    /// Who wrote a message; None if its filling is not what was sent.
    pub(crate) fn read(bytes: &[u8]) -> Option<Author> {
        let (words, filling) = bytes.split_first_chunk::<12>()?;
        let word = |at: usize| {
            let bytes = words[4 * at..].first_chunk::<4>();
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        let author = Author {
            life: word(0),
            chat: word(1),
            number: word(2),
        };
        let whole = filling.iter().all(|byte| *byte == author.number as u8);
        whole.then_some(author)
    }
}
