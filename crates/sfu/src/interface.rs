//! What happens to the SFU, and what it wants done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{MediaPacket, RoomKey, StreamId};

use crate::figures::Figures;
use crate::scene::Scene;
use crate::values::{
    DataTrackInfo, ParticipantInfo, Protocol, Section, Side, TrackInfo, Transmit, TransportState,
};

/// Where clients reach this worker.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub udp: Vec<SocketAddr>,
    pub tcp: Vec<SocketAddr>,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    Timeout,
    /// A datagram (or one frame of a TCP connection) from a client.
    Datagram {
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &'a [u8],
    },
    /// A client's TCP connection ended.
    Closed {
        from: SocketAddr,
    },
    /// A packet of a stream from another worker or node.
    Media {
        stream: StreamId,
        packet: &'a Arc<MediaPacket>,
    },
    /// A stamped DataPacket of a room, from another worker, node or the API.
    Data {
        room: RoomKey,
        reliable: bool,
        bytes: &'a Arc<[u8]>,
    },
    /// Others want, or no longer want, a stream that is published here.
    Wanted {
        stream: StreamId,
        wanted: bool,
    },
    /// Others need a keyframe of a stream that is published here.
    KeyframeWanted {
        stream: StreamId,
    },
    AddParticipant(ParticipantInfo),
    UpdateParticipant {
        participant: u64,
        can_publish_data: bool,
        can_subscribe: bool,
    },
    RemoveParticipant(u64),
    AcceptOffer {
        participant: u64,
        side: Side,
        offer_id: u32,
        sdp: &'a str,
    },
    CreateOffer {
        participant: u64,
        offer_id: u32,
        sections: &'a [Section],
        restart_ice: bool,
    },
    AcceptAnswer {
        participant: u64,
        offer_id: u32,
        sdp: &'a str,
    },
    AddCandidate {
        participant: u64,
        side: Side,
        candidate: &'a str,
    },
    AddTrack(TrackInfo),
    /// A data track; again where nothing but its tag changed.
    AddDataTrack(DataTrackInfo),
    /// Forget a track of either kind.
    RemoveTrack(&'a str),
    Publish {
        participant: u64,
        mid: &'a str,
        track: &'a str,
    },
    SetMuted {
        track: &'a str,
        muted: bool,
    },
    Subscribe {
        participant: u64,
        side: Side,
        mid: &'a str,
        track: &'a str,
    },
    /// Send a data track to a participant, in whose packets it has this handle.
    SubscribeData {
        participant: u64,
        track: &'a str,
        handle: u16,
    },
    /// What a participant that another node had publishes as a layer of its track.
    ExpectSource {
        participant: u64,
        stream: StreamId,
        ssrc: u32,
        rtx: Option<u32>,
    },
    Unsubscribe {
        participant: u64,
        track: &'a str,
    },
    SetQuality {
        participant: u64,
        track: &'a str,
        quality: Option<u8>,
        priority: u8,
        /// Pictures a second that are enough; 0 is all that come.
        fps: u8,
    },
    /// Take a client to have no more room than this (bits per second), and offer its next
    /// connections over TCP alone.
    Restrict {
        participant: u64,
        capacity: Option<u64>,
        tcp_only: bool,
    },
    /// A client is in another room from now on, under another sid.
    MoveParticipant {
        participant: u64,
        room: RoomKey,
        sid: &'a str,
    },
    /// Send a client a reliable message of the server's, and hear what it answers to `call`.
    Call {
        participant: u64,
        call: &'a str,
        packet: &'a [u8],
    },
    SetScene {
        room: RoomKey,
        scene: Scene,
    },
    /// A client lost its signalling and comes back: what has to be known for that.
    Resume {
        participant: u64,
    },
    /// A client's connection was another node's until now: its next offer begins ICE, DTLS and
    /// SCTP anew. `channels`: ids of its reliable and its lossy channel and that of data tracks;
    /// `here`: since when it is in the room.
    Adopt {
        participant: u64,
        channels: [u16; 3],
        here: Duration,
    },
    /// A client comes back here or elsewhere, and will say what it has: what is said meanwhile waits
    /// for that, until then at most.
    Hold {
        participant: u64,
        until: Instant,
    },
    /// A client goes on at another node, which gets what waits for it. What it still sends here is
    /// taken until it is removed; its connection ends without a goodbye, which would end the
    /// client's data channels.
    HandOver {
        participant: u64,
    },
    /// Send a client again what it missed; of each publisher, the last message that it got.
    Replay {
        participant: u64,
        had: &'a [(String, u32)],
    },
}

/// What to do about it.
#[derive(Debug)]
pub enum Output {
    Transmit(Transmit),
    /// A packet of a local stream that others want.
    Media {
        stream: StreamId,
        packet: Arc<MediaPacket>,
    },
    /// A local participant's stamped DataPacket, for the room's other workers and nodes.
    Data {
        room: RoomKey,
        reliable: bool,
        bytes: Arc<[u8]>,
    },
    /// Subscribers here need, or no longer need, a stream from elsewhere.
    Want {
        stream: StreamId,
        wanted: bool,
    },
    /// A subscriber here needs a keyframe of a stream from elsewhere.
    NeedKeyframe {
        stream: StreamId,
    },
    Answered {
        participant: u64,
        side: Side,
        offer_id: u32,
        sdp: String,
    },
    Offered {
        participant: u64,
        offer_id: u32,
        sdp: String,
        mids: Vec<String>,
    },
    NegotiationFailed {
        participant: u64,
        side: Side,
        offer_id: u32,
        reason: String,
    },
    TransportState {
        participant: u64,
        side: Side,
        state: TransportState,
    },
    TrackLive {
        track: String,
        mime: &'static str,
    },
    /// A layer of a track is known by these SSRCs from now on: what its publisher does not name in
    /// its offers, and at some time in its packets no more.
    StreamSource {
        participant: u64,
        stream: StreamId,
        ssrc: u32,
        rtx: Option<u32>,
    },
    SubscriptionLive {
        participant: u64,
        track: String,
    },
    /// `last_sequence`: of the reliable messages that the client sent.
    Resumed {
        participant: u64,
        last_sequence: u32,
    },
    /// A picture pauses for lack of room, or goes on.
    StreamState {
        participant: u64,
        track: String,
        paused: bool,
    },
    /// The best quality of a track published here that anybody needs, None for none.
    TrackWanted {
        track: String,
        quality: Option<u8>,
    },
    /// Tracks whose loudness (0 to 1) or activity changed.
    Levels(Vec<(String, f32, bool)>),
    /// Every 5 s: what each client's packets tell of its connection.
    Figures(Vec<Figures>),
    /// A client's message for the server's `call`.
    CallAnswered {
        participant: u64,
        call: String,
        packet: Vec<u8>,
    },
}
