//! One node's part of the mesh: what comes in goes to its link, its stream, its channel.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::{
    BODY_HEADER, Class, Content, FRAME_HEADER, Header, MAX_DATAGRAM, NodeId, SEALED_HEADER, TAG,
};

use crate::assembly::{Assembly, MAX_PIECES, cut};
use crate::bucket::Bucket;
use crate::channel::{Receiver, Sender};
use crate::config::Config;
use crate::count::{Count, Counts};
use crate::handshake::{Identity, Initiator, public_key};
use crate::link::{Context, Link, LinkReport, LinkState};
use crate::message::{Input, Output, Queue};
use crate::route::Routes;
use crate::streams::{Published, Subscribed};
use crate::timers::{Timer, Timers};

mod data;
mod publish;
mod receive;
mod watch;

pub use watch::Seen;

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
    /// Of the next frame.
    serial: u32,
    channels: BTreeMap<NodeId, Channel>,
    assembly: Assembly,
    message: u32,
    strangers: Bucket,
    peers: Bucket,
    went_up: bool,
    counts: Counts,
    scratch: Vec<u8>,
    targets: Vec<NodeId>,
    watch: watch::Watch,
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
            serial: 0,
            channels: BTreeMap::new(),
            assembly: Assembly::default(),
            message: 0,
            strangers: full(STRANGER_HANDSHAKES),
            peers: full(PEER_HANDSHAKES),
            went_up: false,
            counts: Counts::new(),
            scratch: Vec::new(),
            targets: Vec::new(),
            watch: watch::Watch::default(),
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
        header: &Header<'_>,
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
            Input::Datagram { from, bytes, .. } => self.on_datagram(now, from, bytes, out),
            Input::AddPeer {
                node,
                public_key,
                addresses,
            } => {
                if let Some(address) = addresses.first() {
                    self.add_peer(now, node, public_key, *address, out);
                }
            }
            Input::RemovePeer { node } => self.remove_peer(node, out),
            Input::SetRoutes(routes) => {
                self.routes
                    .replace(self.config.node, routes, &mut self.counts);
                self.went_up = true;
            }
            Input::SetLink { node, capacity } => {
                if let Some(link) = self.links.get_mut(&node) {
                    link.set_capacity(capacity);
                }
            }
            Input::SetPolicies(_)
            | Input::SetProtection(_)
            | Input::AddStream { .. }
            | Input::RemoveStream { .. } => {}
            Input::Media { stream, packet } => self.on_media(now, stream, packet, out),
            Input::Data {
                room,
                reliable,
                bytes,
                nodes,
                ..
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
            let state = LinkState::Down;
            out.push(Output::LinkChanged { node, state });
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
        let next = hops.as_tree().root().node;
        let mut header = Header {
            origin: self.config.node,
            epoch: self.epoch as u16,
            serial: self.serial,
            class: Class::Control,
            hops: 1,
            detoured: false,
            tag: 0,
            tree: hops.as_tree(),
        };
        if content.len() <= MAX_CONTENT {
            self.counts.add(Count::FramesSent);
            self.serial = self.serial.wrapping_add(1);
            self.push(now, next, &header, content, out);
        } else if content.len() > usize::from(MAX_PIECES) * PIECE {
            self.counts.add(Count::DropDataTooBig);
            return false;
        } else {
            self.message = self.message.wrapping_add(1);
            for piece in cut(self.message, content, PIECE) {
                self.counts.add(Count::FramesSent);
                header.serial = self.serial;
                self.serial = self.serial.wrapping_add(1);
                self.push(now, next, &header, &piece, out);
            }
        }
        true
    }

    fn push(
        &mut self,
        now: Instant,
        next: NodeId,
        header: &Header<'_>,
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
