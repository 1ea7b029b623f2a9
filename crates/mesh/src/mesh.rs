//! One node's part of the mesh: what comes in goes to its link, its stream, its channel.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{
    BODY_HEADER, Content, Datagram, FRAME_HEADER, Frames, Header, MAX_DATAGRAM, MAX_WANT,
    MediaPacket, NodeId, RoomKey, SEALED_HEADER, Segment, StreamId, TAG, put_media_header,
};

use crate::assembly::{Assembly, MAX_PIECES, Piece, cut};
use crate::channel::{Acknowledged, Acknowledgement, Receiver, Sender, Taken};
use crate::config::Config;
use crate::count::{Count, Counts};
use crate::handshake::{Identity, Initiator, Responder, public_key};
use crate::link::{Context, Link, LinkReport};
use crate::route::{Route, Routes};
use crate::streams::{Published, Said, Subscribed};
use crate::timers::{Timer, Timers};

/// The most bytes of one data message, without its room: LiveKit's 64 KiB and a header.
pub const MAX_MESSAGE: usize = 65 << 10;

const ROOM: usize = 16;
/// The most bytes of content in one frame: what fits into a datagram alone.
const MAX_CONTENT: usize = MAX_DATAGRAM - SEALED_HEADER - TAG - BODY_HEADER - FRAME_HEADER;
const PIECE: usize = MAX_CONTENT - 7;
/// Wants are repeated, measurements settled and leftovers expired this often.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Called this late, the shell was not running: silence of the peers proves nothing.
const STALL: Duration = Duration::from_millis(20);
/// Handshakes read at once, and per second, from addresses that are no peer's and from peers'.
const STRANGER_HANDSHAKES: (f32, f32) = (50.0, 20.0);
const PEER_HANDSHAKES: (f32, f32) = (200.0, 200.0);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The deadline has come.
    Timeout,
    /// A UDP datagram came; it is opened in place.
    Datagram {
        from: SocketAddr,
        bytes: &'a mut [u8],
    },
    /// Keep a link to a node. The same node again changes its address or key.
    AddPeer {
        node: NodeId,
        public_key: [u8; 32],
        address: SocketAddr,
    },
    RemovePeer {
        node: NodeId,
    },
    /// Replace every route.
    SetRoutes(&'a [Route]),
    /// A local publisher's packet: goes once to every node that wants the stream.
    Media {
        stream: StreamId,
        packet: &'a Arc<MediaPacket>,
    },
    /// A message of at most `MAX_MESSAGE` bytes to the room's participants on other nodes.
    Data {
        room: RoomKey,
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
    /// Send a datagram; `peer` tells an emulator which way it goes.
    Transmit {
        to: SocketAddr,
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
        up: bool,
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

#[derive(Debug)]
struct Bucket {
    tokens: f32,
    filled: Instant,
}

struct Channel {
    sender: Sender,
    receiver: Receiver,
}

/// One node's part of the mesh.
pub struct Mesh {
    config: Config,
    public_key: [u8; 32],
    /// Times on the wire count from here.
    start: Instant,
    /// This incarnation.
    epoch: u64,
    rng: fastrand::Rng,
    links: BTreeMap<NodeId, Link>,
    by_key: HashMap<[u8; 32], NodeId>,
    by_key_id: HashMap<u32, NodeId>,
    routes: Routes,
    timers: Timers,
    /// Links with frames to flush, and since when.
    pending: Vec<NodeId>,
    pending_since: Instant,
    published: Published,
    subscribed: Subscribed,
    want_version: u32,
    channels: BTreeMap<NodeId, Channel>,
    assembly: Assembly,
    message: u32,
    strangers: Bucket,
    peers: Bucket,
    went_up: bool,
    counts: Counts,
    scratch: Vec<u8>,
    targets: Vec<NodeId>,
}

impl Mesh {
    pub fn new(config: Config, now: Instant) -> Mesh {
        let mut epoch = [0; 8];
        // Like a key, this must differ after a restart with the same seed.
        aws_lc_rs::rand::fill(&mut epoch).expect("the system has random numbers");
        let mut timers = Timers::default();
        timers.at(Timer::Housekeeping, now + HOUSEKEEPING);
        let full = |(tokens, _)| Bucket {
            tokens,
            filled: now,
        };
        Mesh {
            public_key: public_key(&config.private_key),
            start: now,
            epoch: u64::from_be_bytes(epoch),
            rng: fastrand::Rng::with_seed(config.seed),
            links: BTreeMap::new(),
            by_key: HashMap::new(),
            by_key_id: HashMap::new(),
            routes: Routes::default(),
            timers,
            pending: Vec::new(),
            pending_since: now,
            published: Published::default(),
            subscribed: Subscribed::default(),
            want_version: 0,
            channels: BTreeMap::new(),
            assembly: Assembly::default(),
            message: 0,
            strangers: full(STRANGER_HANDSHAKES),
            peers: full(PEER_HANDSHAKES),
            went_up: false,
            counts: Counts::new(),
            scratch: Vec::new(),
            targets: Vec::new(),
            config,
        }
    }

    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// When to call `handle` with `Timeout`: at once if it has passed, which flushes the frames
    /// that wait for company.
    pub fn deadline(&self) -> Option<Instant> {
        if self.pending.is_empty() {
            self.timers.next()
        } else {
            Some(self.pending_since)
        }
    }

    /// Every link, by node.
    pub fn links(&self) -> Vec<LinkReport> {
        self.links.values().map(Link::report).collect()
    }

    /// Everything counted since the start, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.map()
    }

    /// How full every queue is: the fullest of each kind.
    pub fn queues(&self) -> Vec<Queue> {
        let mut queues = Vec::new();
        for link in self.links.values() {
            queues.extend(link.queues());
        }
        queues.extend(self.channels.values().flat_map(|channel| {
            let (sender, receiver) = (channel.sender.queue(), channel.receiver.queue());
            [sender, receiver]
        }));
        queues.push(self.assembly.queue());
        queues.sort_by_key(|queue| (queue.name, std::cmp::Reverse(queue.length)));
        queues.dedup_by_key(|queue| queue.name);
        queues
    }

    /// Send any bytes as a frame, whatever they say: for tests of how others take it.
    #[doc(hidden)]
    pub fn send_raw(
        &mut self,
        now: Instant,
        next: NodeId,
        header: &Header,
        content: &[u8],
        out: &mut Vec<Output>,
    ) {
        self.push(now, next, header, content, out);
        self.on_timeout(now, out);
    }

    /// Take what happened; append what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        self.notice_stall(now);
        match input {
            Input::Timeout => self.on_timeout(now, out),
            Input::Datagram { from, bytes } => self.on_datagram(now, from, bytes, out),
            Input::AddPeer {
                node,
                public_key,
                address,
            } => self.add_peer(now, node, public_key, address, out),
            Input::RemovePeer { node } => self.remove_peer(node, out),
            Input::SetRoutes(routes) => {
                self.routes
                    .replace(self.config.node, routes, &mut self.counts);
                self.went_up = true;
            }
            Input::Media { stream, packet } => self.on_media(now, stream, packet, out),
            Input::Data {
                room,
                reliable,
                bytes,
                nodes,
            } => self.on_data(now, room, reliable, &bytes, nodes, out),
            Input::Want { stream } => {
                if stream.origin() != self.config.node && self.subscribed.add(stream) {
                    self.say_want(now, stream.origin(), true, &[stream], out);
                }
            }
            Input::Unwant { stream } => {
                if self.subscribed.remove(stream) {
                    self.say_want(now, stream.origin(), false, &[stream], out);
                }
            }
            Input::RequestKeyframe { stream } => {
                if stream.origin() != self.config.node {
                    self.say(now, stream.origin(), &Content::Keyframe { stream }, out);
                }
            }
        }
        if std::mem::take(&mut self.went_up) {
            self.repeat_wants(now, out);
            for node in self.channels.keys() {
                self.timers.at(Timer::Channel(*node), now);
            }
        }
    }

    /// If the shell comes late, what it has not handed over yet is no silence of the peers.
    fn notice_stall(&mut self, now: Instant) {
        let due = self.timers.next().unwrap_or(now);
        let late = now.saturating_duration_since(due);
        if late > STALL {
            self.counts.add(Count::Stalls);
            for link in self.links.values_mut() {
                link.forgive(late);
            }
        }
    }

    // --- time ---------------------------------------------------------------------------------

    fn on_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut due = Vec::new();
        while let Some(timer) = self.timers.pop(now) {
            due.push(timer);
        }
        for timer in due {
            match timer {
                Timer::Housekeeping => self.keep_house(now, out),
                Timer::Link(node) => self.service_link(now, node, out),
                Timer::Channel(node) => self.service_channel(now, node, out),
            }
        }
        for node in std::mem::take(&mut self.pending) {
            self.with_link(now, node, out, |link, ctx| link.flush(ctx));
        }
    }

    fn keep_house(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.timers.at(Timer::Housekeeping, now + HOUSEKEEPING);
        for link in self.links.values_mut() {
            link.roll(&mut self.counts);
        }
        for stream in self.published.expire(now) {
            let wanted = false;
            out.push(Output::Wanted { stream, wanted });
        }
        let partials = self.assembly.expire(now);
        self.counts.add_many(Count::DropPartial, partials as u64);
        let lifetime = self.config.timing.message_lifetime;
        for channel in self.channels.values_mut() {
            let expired = channel.sender.expire(now, lifetime);
            self.counts.add_many(Count::DropDataExpired, expired);
        }
        self.repeat_wants(now, out);
    }

    // --- links --------------------------------------------------------------------------------

    /// Call a link; then see to its timer and to the key ids that it gave up.
    fn with_link<R>(
        &mut self,
        now: Instant,
        node: NodeId,
        out: &mut Vec<Output>,
        call: impl FnOnce(&mut Link, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let link = self.links.get_mut(&node)?;
        let mut ctx = Context {
            node: self.config.node,
            now,
            clock: now.saturating_duration_since(self.start).as_micros() as u32,
            timing: &self.config.timing,
            counts: &mut self.counts,
            out,
            went_up: &mut self.went_up,
        };
        let result = call(link, &mut ctx);
        for id in link.retired.drain(..) {
            self.by_key_id.remove(&id);
        }
        let deadline = link.deadline(&self.config.timing);
        self.timers.at(Timer::Link(node), deadline);
        Some(result)
    }

    fn service_link(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let spread = self.rng.f32();
        let wants = self.with_link(now, node, out, |link, ctx| {
            link.on_timeout(ctx, spread);
            link.wants_handshake(ctx).then_some(link.peer_key)
        });
        if let Some(Some(peer_key)) = wants {
            self.begin_handshake(now, node, &peer_key, out);
        }
    }

    fn begin_handshake(
        &mut self,
        now: Instant,
        node: NodeId,
        peer_key: &[u8; 32],
        out: &mut Vec<Output>,
    ) {
        let local = self.new_key_id(node);
        let us = self.identity();
        let Some(initiator) = Initiator::new(&self.config.private_key, peer_key, us, local) else {
            self.by_key_id.remove(&local);
            self.counts.add(Count::DropUnknownKey);
            self.with_link(now, node, out, Link::give_up_handshake);
            return;
        };
        let spread = self.rng.f32();
        self.with_link(now, node, out, |link, ctx| {
            link.begin(ctx, initiator, spread);
        });
    }

    fn identity(&self) -> Identity {
        Identity {
            node: self.config.node,
            epoch: self.epoch,
        }
    }

    fn new_key_id(&mut self, node: NodeId) -> u32 {
        loop {
            let id = self.rng.u32(..);
            if let std::collections::hash_map::Entry::Vacant(free) = self.by_key_id.entry(id) {
                free.insert(node);
                return id;
            }
        }
    }

    fn add_peer(
        &mut self,
        now: Instant,
        node: NodeId,
        public_key: [u8; 32],
        address: SocketAddr,
        out: &mut Vec<Output>,
    ) {
        if node == self.config.node {
            return;
        }
        if let Some(link) = self.links.get_mut(&node) {
            if link.peer_key == public_key {
                link.address = address;
                return;
            }
            self.remove_peer(node, out);
        }
        let link = Link::new(now, node, public_key, address, &self.config.timing);
        self.links.insert(node, link);
        self.by_key.insert(public_key, node);
        self.timers.at(Timer::Link(node), now);
    }

    fn remove_peer(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let Some(link) = self.links.remove(&node) else {
            return;
        };
        for id in link.key_ids() {
            self.by_key_id.remove(&id);
        }
        self.by_key.remove(&link.peer_key);
        self.timers.cancel(Timer::Link(node));
        self.pending.retain(|pending| *pending != node);
        if link.is_up() {
            out.push(Output::LinkChanged { node, up: false });
        }
    }

    // --- datagrams ----------------------------------------------------------------------------

    fn on_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        out: &mut Vec<Output>,
    ) {
        let Ok(datagram) = Datagram::decode(bytes) else {
            self.counts.add(Count::DropMalformed);
            return;
        };
        match datagram {
            Datagram::Initiate { sender, noise } => {
                if let Err(reason) = self.on_initiate(now, from, sender, noise, out) {
                    self.counts.add(reason);
                }
            }
            Datagram::Respond {
                sender,
                receiver,
                noise,
            } => {
                let Some(node) = self.by_key_id.get(&receiver).copied() else {
                    self.counts.add(Count::DropUnknownSession);
                    return;
                };
                let ids = (sender, receiver);
                let known = self.with_link(now, node, out, |link, ctx| {
                    link.on_respond(ctx, from, ids, noise)
                });
                if known != Some(true) {
                    self.counts.add(Count::DropForged);
                }
            }
            Datagram::Sealed { receiver, counter } => {
                let Some(node) = self.by_key_id.get(&receiver).copied() else {
                    self.counts.add(Count::DropUnknownSession);
                    return;
                };
                let frames = self.with_link(now, node, out, |link, ctx| {
                    link.on_sealed(ctx, from, (receiver, counter), bytes)
                });
                for frame in frames.flatten().into_iter().flat_map(Frames::new) {
                    let taken = match frame {
                        Ok(frame) => self.on_frame(now, node, frame, out),
                        Err(_) => Err(Count::DropMalformed),
                    };
                    if let Err(reason) = taken {
                        self.counts.add(reason);
                    }
                }
            }
        }
    }

    fn on_initiate(
        &mut self,
        now: Instant,
        from: SocketAddr,
        sender: u32,
        noise: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let is_peer = self.links.values().any(|link| link.address == from);
        let (bucket, (burst, rate)) = if is_peer {
            (&mut self.peers, PEER_HANDSHAKES)
        } else {
            (&mut self.strangers, STRANGER_HANDSHAKES)
        };
        if !bucket.take(now, burst, rate) {
            return Err(Count::DropHandshakeFlood);
        }
        let again = |link: &Link| link.answered(noise).map(|bytes| (link.node, bytes));
        if let Some((peer, bytes)) = self.links.values().find_map(again) {
            let to = from;
            out.push(Output::Transmit { to, peer, bytes });
            return Ok(());
        }
        let responder =
            Responder::read(&self.config.private_key, sender, noise).ok_or(Count::DropForged)?;
        let node = responder.identity.node;
        if self.by_key.get(&responder.peer_key) != Some(&node) {
            return Err(Count::DropUnknownKey);
        }
        let tie = self.with_link(now, node, out, |link, ctx| link.wins_tie(ctx));
        if tie == Some(true) {
            return Err(Count::HandshakeTies);
        }
        let local = self.new_key_id(node);
        let Some(answer) = responder.answer(self.identity(), local) else {
            self.by_key_id.remove(&local);
            return Err(Count::DropForged);
        };
        self.with_link(now, node, out, |link, ctx| {
            link.answer(ctx, from, noise, answer);
        });
        Ok(())
    }

    /// A frame from a neighbour: for this node, or to be passed on.
    fn on_frame(
        &mut self,
        now: Instant,
        from: NodeId,
        frame: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let (header, content) = Header::decode(frame).map_err(|_| Count::DropMalformed)?;
        if header.receiver() != self.config.node || header.sender() != from {
            return Err(Count::DropRoute);
        }
        if let Some(onward) = header.advance() {
            let next = onward.receiver();
            if !self.links.get(&next).is_some_and(Link::is_up) {
                return Err(Count::DropRelayDown);
            }
            self.counts.add(Count::Relayed);
            self.push(now, next, &onward, content, out);
            return Ok(());
        }
        let content = Content::decode(content).map_err(|_| Count::DropMalformed)?;
        if let Content::Fragment {
            message,
            index,
            count,
            bytes,
        } = content
        {
            let piece = Piece {
                origin: header.origin,
                message,
                index,
                count,
                bytes,
            };
            let whole = self.assembly.add(now, piece);
            let Some(whole) = whole.map_err(|_| Count::DropPartial)? else {
                return Ok(());
            };
            let content = Content::decode(&whole).map_err(|_| Count::DropMalformed)?;
            return self.deliver(now, header.origin, content, out);
        }
        self.deliver(now, header.origin, content, out)
    }

    fn deliver(
        &mut self,
        now: Instant,
        origin: NodeId,
        content: Content<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        match content {
            Content::Media { stream, packet } => {
                if stream.origin() != origin {
                    return Err(Count::DropRoute);
                }
                if !self.subscribed.contains(stream) {
                    return Err(Count::DropMediaUnwanted);
                }
                let packet = MediaPacket::decode(packet).map_err(|_| Count::DropMalformed)?;
                self.subscribed
                    .check(stream, packet.format, packet.sequence)?;
                self.counts.add(Count::MediaDelivered);
                out.push(Output::Media { stream, packet });
            }
            Content::Want {
                epoch,
                version,
                wanted,
                streams,
            } => {
                let expires = now + self.config.timing.want_lifetime;
                for stream in streams {
                    let said = Said {
                        node: origin,
                        epoch,
                        version,
                        wanted,
                        expires,
                    };
                    self.on_want(stream, said, out);
                }
            }
            Content::Keyframe { stream } => {
                let wanted = self.published.wanting(stream).any(|node| node == origin);
                if !wanted {
                    return Err(Count::DropKeyframeUnwanted);
                }
                out.push(Output::RequestKeyframe { stream });
            }
            Content::Reliable(segment) => self.on_segment(now, origin, segment, out)?,
            Content::Acknowledge {
                epoch,
                receiver,
                next,
                received,
            } => {
                let ack = Acknowledgement {
                    epoch,
                    receiver,
                    next,
                    received,
                };
                let channel = self
                    .channels
                    .get_mut(&origin)
                    .ok_or(Count::DropDataInvalid)?;
                match channel.sender.on_acknowledge(now, ack) {
                    Acknowledged::Taken => self.timers.at(Timer::Channel(origin), now),
                    Acknowledged::Ancient => return Err(Count::DropDataAncient),
                    Acknowledged::Invalid => return Err(Count::DropDataInvalid),
                }
            }
            Content::Lossy { room, bytes } => {
                self.counts.add(Count::DataDelivered);
                out.push(Output::Data {
                    room,
                    from: origin,
                    reliable: false,
                    bytes: bytes.into(),
                });
            }
            Content::Fragment { .. } => return Err(Count::DropMalformed),
        }
        Ok(())
    }

    // --- streams ------------------------------------------------------------------------------

    fn on_media(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: &MediaPacket,
        out: &mut Vec<Output>,
    ) {
        let mut targets = std::mem::take(&mut self.targets);
        targets.extend(self.published.wanting(stream));
        if !targets.is_empty() {
            let mut content = std::mem::take(&mut self.scratch);
            content.clear();
            put_media_header(&mut content, stream);
            packet.encode(&mut content);
            for node in targets.drain(..) {
                if self.send(now, node, &content, out) {
                    self.counts.add(Count::MediaSent);
                }
            }
            self.scratch = content;
        }
        self.targets = targets;
    }

    fn on_want(&mut self, stream: StreamId, said: Said, out: &mut Vec<Output>) {
        if stream.origin() != self.config.node {
            self.counts.add(Count::DropWantForeign);
            return;
        }
        match self.published.on_want(stream, said) {
            Ok(Some(wanted)) => out.push(Output::Wanted { stream, wanted }),
            Ok(None) => {}
            Err(reason) => self.counts.add(reason),
        }
    }

    fn repeat_wants(&mut self, now: Instant, out: &mut Vec<Output>) {
        let origins: Vec<(NodeId, Vec<StreamId>)> = self
            .subscribed
            .by_origin()
            .map(|(origin, streams)| (origin, streams.iter().copied().collect()))
            .collect();
        for (origin, streams) in origins {
            for streams in streams.chunks(MAX_WANT) {
                self.say_want(now, origin, true, streams, out);
            }
        }
    }

    fn say_want(
        &mut self,
        now: Instant,
        origin: NodeId,
        wanted: bool,
        streams: &[StreamId],
        out: &mut Vec<Output>,
    ) {
        self.want_version = self.want_version.wrapping_add(1);
        let content = Content::Want {
            epoch: self.epoch,
            version: self.want_version,
            wanted,
            streams: streams.to_vec(),
        };
        self.say(now, origin, &content, out);
    }

    // --- data ---------------------------------------------------------------------------------

    fn on_data(
        &mut self,
        now: Instant,
        room: RoomKey,
        reliable: bool,
        bytes: &[u8],
        nodes: &[NodeId],
        out: &mut Vec<Output>,
    ) {
        if bytes.len() > MAX_MESSAGE {
            self.counts.add(Count::DropDataTooBig);
            return;
        }
        let others = nodes.iter().copied().filter(|n| *n != self.config.node);
        let others: Vec<NodeId> = others.collect();
        self.counts.add_many(Count::DataSent, others.len() as u64);
        if reliable {
            let message: Arc<[u8]> = room.0.iter().chain(bytes).copied().collect();
            for node in others {
                let channel = channel(&mut self.channels, node, self.epoch);
                let dropped = channel.sender.push(now, message.clone());
                self.counts.add_many(Count::DropDataOverflow, dropped);
                self.timers.at(Timer::Channel(node), now);
            }
        } else {
            for node in others {
                self.say(now, node, &Content::Lossy { room, bytes }, out);
            }
        }
    }

    fn on_segment(
        &mut self,
        now: Instant,
        origin: NodeId,
        segment: Segment<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Count> {
        let channel = channel(&mut self.channels, origin, self.epoch);
        let mut messages = Vec::new();
        let max = ROOM + MAX_MESSAGE;
        let taken = channel
            .receiver
            .on_segment(now, segment, max, &mut messages);
        if let Some(at) = channel.receiver.deadline() {
            self.timers.at(Timer::Channel(origin), at);
        }
        for message in messages {
            let Some((room, bytes)) = message.split_first_chunk::<ROOM>() else {
                self.counts.add(Count::DropDataInvalid);
                continue;
            };
            self.counts.add(Count::DataDelivered);
            out.push(Output::Data {
                room: RoomKey(*room),
                from: origin,
                reliable: true,
                bytes: bytes.into(),
            });
        }
        match taken {
            Taken::Yes => {}
            Taken::AfterGap => self.counts.add(Count::DataGaps),
            Taken::Duplicate => return Err(Count::DropDataDuplicate),
            Taken::Ancient => return Err(Count::DropDataAncient),
            Taken::Invalid => return Err(Count::DropDataInvalid),
        }
        Ok(())
    }

    fn service_channel(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let is_up = |n| self.links.get(&n).is_some_and(Link::is_up);
        let reachable = self.routes.resolve(node, is_up).is_ok();
        let Some(channel) = self.channels.get_mut(&node) else {
            return;
        };
        let mut contents: Vec<Vec<u8>> = Vec::new();
        let mut put = |content: Content<'_>| {
            let mut bytes = Vec::new();
            content.encode(&mut bytes);
            contents.push(bytes);
        };
        if let Some(ack) = channel.receiver.acknowledge(now, self.epoch) {
            put(Content::Acknowledge {
                epoch: ack.epoch,
                receiver: ack.receiver,
                next: ack.next,
                received: ack.received,
            });
        }
        let mut deadline = channel.receiver.deadline();
        if reachable {
            let repeated = channel
                .sender
                .poll(now, |segment| put(Content::Reliable(segment)));
            self.counts.add_many(Count::DataRepeated, repeated);
            // Unreachable, it waits for a way instead: that calls here again.
            let repeat = channel.sender.deadline();
            deadline = [deadline, repeat].into_iter().flatten().min();
        }
        if let Some(at) = deadline {
            self.timers.at(Timer::Channel(node), at);
        }
        for content in contents {
            self.send(now, node, &content, out);
        }
    }

    // --- sending ------------------------------------------------------------------------------

    fn say(
        &mut self,
        now: Instant,
        destination: NodeId,
        content: &Content<'_>,
        out: &mut Vec<Output>,
    ) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        content.encode(&mut bytes);
        self.send(now, destination, &bytes, out);
        self.scratch = bytes;
    }

    /// Send an encoded content the best way there is now; false if there is none.
    fn send(
        &mut self,
        now: Instant,
        destination: NodeId,
        content: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        let is_up = |n| self.links.get(&n).is_some_and(Link::is_up);
        let hops = match self.routes.resolve(destination, is_up) {
            Ok(hops) => hops,
            Err(reason) => {
                self.counts.add(reason);
                return false;
            }
        };
        let header = Header {
            origin: self.config.node,
            hops,
            index: 0,
        };
        if content.len() <= MAX_CONTENT {
            self.counts.add(Count::FramesSent);
            self.push(now, hops.first(), &header, content, out);
        } else if content.len() > usize::from(MAX_PIECES) * PIECE {
            self.counts.add(Count::DropDataTooBig);
            return false;
        } else {
            self.message = self.message.wrapping_add(1);
            for piece in cut(self.message, content, PIECE) {
                self.counts.add(Count::FramesSent);
                self.push(now, hops.first(), &header, &piece, out);
            }
        }
        true
    }

    fn push(
        &mut self,
        now: Instant,
        next: NodeId,
        header: &Header,
        content: &[u8],
        out: &mut Vec<Output>,
    ) {
        let first = self.with_link(now, next, out, |link, ctx| link.push(ctx, header, content));
        if first == Some(true) && !self.pending.contains(&next) {
            if self.pending.is_empty() {
                self.pending_since = now;
            }
            self.pending.push(next);
        }
    }
}

fn channel(channels: &mut BTreeMap<NodeId, Channel>, node: NodeId, epoch: u64) -> &mut Channel {
    channels.entry(node).or_insert_with(|| Channel {
        sender: Sender::new(epoch),
        receiver: Receiver::default(),
    })
}

impl Bucket {
    fn take(&mut self, now: Instant, burst: f32, rate: f32) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f32();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * rate).min(burst);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}
