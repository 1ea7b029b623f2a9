//! Values that the SFU is told of and tells: sessions, tracks, sides, datagrams.

use std::net::SocketAddr;

use wire::{RoomKey, StreamId};

/// What carries a client's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Udp,
    Tcp,
}

/// Which of a participant's connections; a single connection is its publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Publisher,
    Subscriber,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportState {
    Connected,
    Disconnected,
    Closed,
}

/// One m-line of a server offer; `mid` is None for a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub mid: Option<String>,
    pub kind: Kind,
    pub active: bool,
}

/// A datagram to send: from which of our addresses, to which of the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub protocol: Protocol,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What a node is told of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantInfo {
    pub participant: u64,
    pub room: RoomKey,
    pub sid: String,
    pub identity: String,
    pub agent: bool,
    pub can_publish_data: bool,
    pub can_subscribe: bool,
    /// One connection for both ways.
    pub single: bool,
    /// Data channels have the agreed ids.
    pub negotiated_channels: bool,
    /// Its client is told of pictures that pause for lack of room.
    pub allow_pause: bool,
    /// Its client takes what publishers append to their pictures (packet trailers).
    pub packet_trailers: bool,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
}

/// One encoding of a track. `quality`: 0 low, 1 medium, 2 high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub stream: StreamId,
    pub rid: Option<String>,
    pub quality: u8,
}

/// What a node is told of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    pub sid: String,
    pub room: RoomKey,
    pub kind: Kind,
    /// Lowest quality first.
    pub layers: Vec<Layer>,
    /// The participant of this worker that publishes it.
    pub publisher: Option<u64>,
    /// Sound may be sent redundantly: neither encrypted end to end nor asked to stay plain.
    pub red: bool,
}

/// What a node is told of a data track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataTrackInfo {
    pub sid: String,
    pub stream: StreamId,
    /// The participant of this worker that publishes it, and the handle in its packets.
    pub publisher: Option<(u64, u16)>,
}
