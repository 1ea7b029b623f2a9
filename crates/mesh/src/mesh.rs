//! One node's part of the mesh: what comes in goes to its link, its stream, its channel.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{
    BODY_HEADER, Content, FRAME_HEADER, Header, MAX_DATAGRAM, NodeId, SEALED_HEADER, StreamId, TAG,
};

use crate::assembly::Assembly;
use crate::bucket::Bucket;
use crate::channel::{Receiver, Sender};
use crate::config::Config;
use crate::count::{Count, Counts};
use crate::exit::Exit;
use crate::handshake::{Identity, Initiator, public_key};
use crate::keyframes::Keyframes;
use crate::link::{Context, Link, LinkReport, LinkState};
use crate::local::Local;
use crate::message::{Input, Output, Queue};
use crate::plan::{Branch, Plan};
use crate::policy::Policies;
use crate::protection::Budget;
use crate::revoked::Revoked;
use crate::route::Routes;
use crate::streams::{Published, Subscribed};
use crate::timers::{Timer, Timers};

mod data;
mod forward;
mod publish;
mod receive;
mod sending;
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
    /// When it was called last.
    latest: Instant,
    /// This incarnation.
    epoch: u64,
    rng: fastrand::Rng,
    links: BTreeMap<NodeId, Link>,
    by_key: HashMap<[u8; 32], NodeId>,
    by_key_id: HashMap<u32, NodeId>,
    revoked: Revoked,
    routes: Routes,
    policies: Policies,
    budget: Budget,
    /// Plans by tag and destinations, and detours by what they lead around: of one generation,
    /// which ends when routes, policies or a link's health change.
    plans: HashMap<u32, HashMap<Box<[NodeId]>, Arc<Plan>>>,
    planned: usize,
    detours: HashMap<Box<[u8]>, Arc<[Branch]>>,
    detour_key: Vec<u8>,
    generation: u64,
    /// Links that fail, since when; and those of them that failed just now.
    failing: BTreeMap<NodeId, Instant>,
    failed: Vec<NodeId>,
    was_sick: bool,
    exit: Exit,
    locals: HashMap<StreamId, Local>,
    keyframes: Keyframes,
    timers: Timers,
    /// Links called since their timers were last set, each once: a packet is not worth working out
    /// a deadline for.
    touched: Vec<NodeId>,
    /// Links with frames to flush, and since when.
    pending: Vec<NodeId>,
    pending_since: Instant,
    published: Published,
    subscribed: Subscribed,
    want_version: u32,
    /// Of the next frame.
    serial: u32,
    channels: BTreeMap<(NodeId, u32), Channel>,
    assembly: Assembly,
    message: u32,
    strangers: Bucket,
    peers: Bucket,
    went_up: bool,
    counts: Counts,
    scratch: Vec<u8>,
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
            latest: now,
            epoch: u64::from_be_bytes(epoch),
            rng: fastrand::Rng::with_seed(config.seed),
            links: BTreeMap::new(),
            by_key: HashMap::new(),
            by_key_id: HashMap::new(),
            revoked: Revoked::default(),
            routes: Routes::default(),
            policies: Policies::default(),
            budget: Budget::new(now),
            plans: HashMap::new(),
            planned: 0,
            detours: HashMap::new(),
            detour_key: Vec::new(),
            generation: 0,
            failing: BTreeMap::new(),
            failed: Vec::new(),
            was_sick: false,
            exit: Exit::default(),
            locals: HashMap::new(),
            keyframes: Keyframes::default(),
            timers,
            touched: Vec::new(),
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
        if !self.pending.is_empty() {
            return Some(self.pending_since);
        }
        let timing = &self.config.timing;
        let touched = self.touched.iter().filter_map(|node| self.links.get(node));
        let touched = touched.map(|link| link.deadline(self.latest, timing));
        touched.chain(self.timers.next()).min()
    }

    /// Sets the timers of the links that were called.
    fn set_timers(&mut self) {
        while let Some(node) = self.touched.pop() {
            if let Some(link) = self.links.get_mut(&node) {
                link.touched = false;
                let deadline = link.deadline(self.latest, &self.config.timing);
                self.timers.at(Timer::Link(node), deadline);
            }
        }
    }

    /// Every link, by node.
    pub fn links(&self) -> Vec<LinkReport> {
        let report = |link: &Link| link.report(self.latest, &self.config.timing);
        self.links.values().map(report).collect()
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
        queues.push(self.exit.queue());
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
        if now != self.latest {
            self.set_timers();
        }
        self.notice_stall(now);
        self.latest = now;
        match input {
            Input::Timeout => self.on_timeout(now, out),
            Input::Datagram { from, port, bytes } => {
                self.on_datagram(now, (from, port), bytes, out);
            }
            Input::AddPeer {
                node,
                public_key,
                addresses,
            } => {
                if !addresses.is_empty() {
                    self.add_peer(now, node, public_key, addresses, out);
                }
            }
            Input::RemovePeer { node } => self.remove_peer(node, out),
            Input::SetRoutes(routes) => {
                let (node, policies) = (self.config.node, &self.policies);
                self.routes
                    .replace(node, routes, policies, &mut self.counts);
                let peers: Vec<NodeId> = self.links.keys().copied().collect();
                for peer in peers {
                    let second = self.routes.is_second(peer);
                    self.with_link(now, peer, out, |link, ctx| link.set_backup(ctx, second));
                }
                self.replan();
                self.went_up = true;
            }
            Input::SetLink { node, capacity } => {
                if let Some(link) = self.links.get_mut(&node) {
                    link.set_capacity(capacity);
                }
            }
            Input::SetPolicies(policies) => {
                self.policies.replace(policies);
                self.replan();
                self.went_up = true;
            }
            Input::SetProtection(protection) => self.budget.limit(protection),
            Input::AddStream { stream, tag, base } => {
                self.locals.insert(stream, Local::new(tag, base));
                self.published.forget_plan(stream);
            }
            Input::RemoveStream { stream } => {
                self.locals.remove(&stream);
            }
            Input::SetCopies { stream, copies } => {
                if let Some(local) = self.locals.get_mut(&stream) {
                    local.copies = copies;
                }
            }
            Input::Media { stream, packet } => self.on_media(now, stream, packet, out),
            Input::Data {
                room,
                tag,
                reliable,
                bytes,
                nodes,
            } => self.on_data(now, (room, tag), reliable, &bytes, nodes, out),
            Input::Want { stream } => {
                if stream.origin() != self.config.node && self.subscribed.add(stream) {
                    self.say_want(now, stream.origin(), true, &[stream], out);
                }
            }
            Input::Unwant { stream } => {
                self.keyframes.settle(stream);
                if self.subscribed.remove(stream) {
                    self.say_want(now, stream.origin(), false, &[stream], out);
                }
            }
            Input::RequestKeyframe { stream } => {
                if stream.origin() != self.config.node {
                    let due = self.keyframes.ask(now, stream);
                    if due <= now {
                        self.service_keyframes(now, out);
                    } else {
                        self.counts.add(Count::KeyframesAbsorbed);
                        self.timers.at(Timer::Keyframes, due);
                    }
                }
            }
        }
        while let Some(node) = self.failed.pop() {
            self.replay(now, node, out);
        }
        if std::mem::take(&mut self.went_up) {
            self.repeat_wants(now, out);
            for (node, tag) in self.channels.keys() {
                self.timers.at(Timer::Channel(*node, *tag), now);
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
        self.set_timers();
        let mut due = Vec::new();
        while let Some(timer) = self.timers.pop(now) {
            due.push(timer);
        }
        for timer in due {
            match timer {
                Timer::Housekeeping => self.keep_house(now, out),
                Timer::Link(node) => self.service_link(now, node, out),
                Timer::Channel(node, tag) => self.service_channel(now, (node, tag), out),
                Timer::Keyframes => self.service_keyframes(now, out),
            }
        }
        for node in std::mem::take(&mut self.pending) {
            self.with_link(now, node, out, |link, ctx| link.flush(ctx));
        }
    }

    fn service_keyframes(&mut self, now: Instant, out: &mut Vec<Output>) {
        let (remote, local, next) = self.keyframes.due(now);
        for stream in remote {
            self.counts.add(Count::KeyframesAsked);
            self.say(now, stream.origin(), 0, &Content::Keyframe { stream }, out);
        }
        out.extend(
            local
                .into_iter()
                .map(|stream| Output::RequestKeyframe { stream }),
        );
        if let Some(at) = next {
            self.timers.at(Timer::Keyframes, at);
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
        let sick = self.sick(now);
        if std::mem::replace(&mut self.was_sick, sick) != sick {
            self.replan();
        }
        self.repeat_wants(now, out);
    }

    // --- links --------------------------------------------------------------------------------

    /// Call a link; then see to the key ids that it gave up, and in time to its timer.
    fn with_link<R>(
        &mut self,
        now: Instant,
        node: NodeId,
        out: &mut Vec<Output>,
        call: impl FnOnce(&mut Link, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let link = self.links.get_mut(&node)?;
        let before = sending::health(link);
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
        if !std::mem::replace(&mut link.touched, true) {
            self.touched.push(node);
        }
        let after = sending::health(link);
        if before != after {
            self.on_health(now, node, before, after);
        }
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
        addresses: &[SocketAddr],
        out: &mut Vec<Output>,
    ) {
        if node == self.config.node {
            return;
        }
        let (ports, timing) = (self.config.ports.into(), &self.config.timing);
        if let Some(link) = self.links.get_mut(&node) {
            if link.peer_key == public_key {
                link.set_addresses(now, addresses, ports, timing);
                self.timers.at(Timer::Link(node), now);
                return;
            }
            self.remove_peer(node, out);
        }
        self.revoked.allow(&public_key);
        let timing = &self.config.timing;
        let link = Link::new(now, node, public_key, addresses, ports, timing);
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
            self.revoked.id(id);
        }
        self.by_key.remove(&link.peer_key);
        self.revoked.key(link.peer_key);
        self.failing.remove(&node);
        self.replan();
        self.timers.cancel(Timer::Link(node));
        self.pending.retain(|pending| *pending != node);
        if link.is_up() {
            let state = LinkState::Down;
            out.push(Output::LinkChanged { node, state });
        }
    }
}
