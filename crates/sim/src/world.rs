//! The world: nodes, paths, participants, faults, and one queue of what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh::{Config, Input, Mesh, Output, public_key};
use netem::{Path, Weather};
use wire::{NodeId, RoomKey, StreamId};

use crate::check::{self, Violations};
use crate::controller::{Controller, pair};
use crate::trace::Trace;
use crate::traffic::{Chat, Kind, Publisher, PublisherId, Subscription};

/// From a link's change to the new routes at every node.
const CONTROLLER_DELAY: Duration = Duration::from_millis(100);
/// From a node's start until its clients are back.
const CLIENTS_RETURN: Duration = Duration::from_millis(300);
/// Queues are looked at this often.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// What a connected pair needs at most to carry everything again after the last fault: a
/// handshake's longest pause and the controller's.
const RECOVERY: Duration = Duration::from_secs(8);
/// What was sent this late may still be under way when the world ends.
const TAIL: Duration = Duration::from_secs(3);
/// No emulated path may hold more than this.
const MAX_UNDER_WAY: usize = 20_000;

/// What goes wrong, or is put right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Change both directions of a path; its delay stays.
    Weather {
        a: u16,
        b: u16,
        loss: netem::Loss,
        cut: bool,
    },
    /// Change one direction only.
    OneWay { from: u16, to: u16, cut: bool },
    /// A node's process dies and starts anew, with nothing remembered.
    Restart { node: u16 },
}

enum Event {
    Publish(PublisherId),
    Chat(usize),
    Fault(Fault),
    Control,
    ClientsReturn(u16),
    Check,
}

struct Node {
    mesh: Mesh,
    life: u32,
    away: bool,
}

/// A whole network in virtual time.
pub struct World {
    seed: u64,
    start: Instant,
    now: Instant,
    rng: fastrand::Rng,
    nodes: BTreeMap<u16, Node>,
    paths: BTreeMap<(u16, u16), Path<Vec<u8>>>,
    events: BTreeMap<(Instant, u64), Event>,
    serial: u64,
    controller: Controller,
    publishers: Vec<Publisher>,
    subscriptions: Vec<Subscription>,
    chats: Vec<Chat>,
    rooms: BTreeMap<RoomKey, BTreeSet<u16>>,
    last_fault: Instant,
    /// Counters of meshes that are no more.
    past: BTreeMap<&'static str, u64>,
    violations: Violations,
    trace: Trace,
}

impl World {
    /// An empty world. `start` is any moment: nothing depends on it.
    pub fn new(seed: u64, start: Instant) -> World {
        let mut world = World {
            seed,
            start,
            now: start,
            rng: fastrand::Rng::with_seed(seed),
            nodes: BTreeMap::new(),
            paths: BTreeMap::new(),
            events: BTreeMap::new(),
            serial: 0,
            controller: Controller::default(),
            publishers: Vec::new(),
            subscriptions: Vec::new(),
            chats: Vec::new(),
            rooms: BTreeMap::new(),
            last_fault: start,
            past: BTreeMap::new(),
            violations: Violations::default(),
            trace: Trace::new(),
        };
        world.after(CHECK_INTERVAL, Event::Check);
        world
    }

    // --- building -----------------------------------------------------------------------------

    /// Add nodes 1 to `count`, which know each other's keys and addresses.
    pub fn add_nodes(&mut self, count: u16) {
        for node in 1..=count {
            let mesh = self.new_mesh(node, 0);
            let life = 0;
            let away = false;
            self.nodes.insert(node, Node { mesh, life, away });
        }
        for node in 1..=count {
            self.introduce(node);
        }
    }

    /// A path between two nodes, the same both ways. Without one nothing passes.
    pub fn add_path(&mut self, a: u16, b: u16, weather: Weather) {
        for (from, to) in [(a, b), (b, a)] {
            let path = Path::new(weather, self.rng.u64(..));
            self.paths.insert((from, to), path);
        }
        self.controller.know(a, b, weather.delay);
    }

    /// Somebody at `node` publishes from now on.
    pub fn publish(&mut self, node: u16, kind: Kind) -> PublisherId {
        let id = PublisherId(self.publishers.len());
        self.publishers.push(Publisher {
            id,
            node,
            kind,
            published: Vec::new(),
        });
        let phase = Duration::from_micros(self.rng.u64(..20_000));
        self.after(phase, Event::Publish(id));
        id
    }

    /// Somebody at `node` subscribes.
    pub fn subscribe(&mut self, node: u16, publisher: PublisherId) {
        let stream = self.stream(publisher);
        self.subscriptions.push(Subscription {
            node,
            publisher,
            stream,
            received: BTreeMap::new(),
        });
        self.give(node, Input::Want { stream });
    }

    /// Somebody at `from` writes to the nodes `to` of a room, ten messages a second.
    pub fn chat(&mut self, room: RoomKey, from: u16, to: &[u16], reliable: bool) {
        let members = self.rooms.entry(room).or_default();
        members.extend(to);
        self.chats.push(Chat {
            from,
            to: to.to_vec(),
            room,
            reliable,
            sent: 0,
            times: Vec::new(),
            received: BTreeMap::new(),
        });
        self.after(Chat::INTERVAL, Event::Chat(self.chats.len() - 1));
    }

    /// Let something go wrong `after` now.
    pub fn fault(&mut self, after: Duration, fault: Fault) {
        self.last_fault = self.last_fault.max(self.now + after);
        self.after(after, Event::Fault(fault));
    }

    /// End the loss on a path, at once; a cut stays.
    pub fn calm(&mut self, a: u16, b: u16) {
        self.last_fault = self.last_fault.max(self.now);
        for way in [(a, b), (b, a)] {
            if let Some(path) = self.paths.get_mut(&way) {
                let weather = path.weather();
                path.set(Weather {
                    loss: netem::Loss::None,
                    ..weather
                });
            }
        }
    }

    // --- running ------------------------------------------------------------------------------

    /// Let this much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, what)) = self.next().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            match what {
                Next::Event => {
                    if let Some((_, event)) = self.events.pop_first() {
                        self.happen(event);
                    }
                }
                Next::Arrival(from, to) => self.arrive(from, to),
                Next::Timer(node) => self.give(node, Input::Timeout),
            }
        }
        self.now = end;
    }

    /// Run until everything sent in the `calm` after the last fault must have come, and check
    /// that it did: media but for a share of `missing`, reliable messages all.
    pub fn settle(&mut self, calm: Duration, missing: f64) {
        let from = self.last_fault.max(self.start) + RECOVERY;
        let to = from.max(self.now) + calm;
        let end = to + TAIL;
        self.run(end.saturating_duration_since(self.now));
        for subscription in &self.subscriptions {
            let publisher = &self.publishers[subscription.publisher.0];
            let node = publisher.node;
            if self.connected(node, subscription.node) {
                let window = (from, to);
                check::flows(
                    publisher,
                    subscription,
                    window,
                    missing,
                    &mut self.violations,
                );
            }
        }
        for chat in &self.chats {
            let reachable = chat.to.iter().all(|to| self.connected(chat.from, *to));
            if reachable {
                check::messages(chat, (from, to), &mut self.violations);
            }
        }
        self.check();
    }

    /// What the checkers saw; empty is good.
    pub fn violations(&self) -> &[String] {
        self.violations.list()
    }

    /// A hash over everything that happened, but for ciphertext.
    pub fn trace(&self) -> u64 {
        self.trace.value()
    }

    /// The sum of a counter over all nodes, dead ones included.
    pub fn count(&self, name: &str) -> u64 {
        let now = self.nodes.values().map(|node| node.mesh.counts()[name]);
        now.sum::<u64>() + self.past.get(name).copied().unwrap_or_default()
    }

    /// One node's counter.
    pub fn count_at(&self, node: u16, name: &str) -> u64 {
        self.nodes[&node].mesh.counts()[name]
    }

    /// The longest time that `node` got nothing of `publisher` in the last `time`.
    pub fn worst_gap(&self, node: u16, publisher: PublisherId, time: Duration) -> Duration {
        let from = self.now.checked_sub(time).unwrap_or(self.start);
        let of = |s: &&Subscription| s.node == node && s.publisher == publisher;
        let subscription = self.subscriptions.iter().find(of);
        subscription.map_or(time, |s| check::worst_gap(s, from, self.now))
    }

    /// Of what was published so far, how much `node` got: numbers of packets.
    pub fn received(&self, node: u16, publisher: PublisherId) -> (usize, usize) {
        let of = |s: &&Subscription| s.node == node && s.publisher == publisher;
        let subscription = self.subscriptions.iter().find(of);
        let received = subscription.map_or(0, |s| s.received.len());
        (received, self.publishers[publisher.0].published.len())
    }

    /// How many messages of chat number `chat` came to `node`, and how many were sent.
    pub fn messages(&self, chat: usize, node: u16) -> (usize, usize) {
        let chat = &self.chats[chat];
        let received = chat.received.get(&node).map_or(0, Vec::len);
        (received, chat.times.len())
    }

    /// Whether two nodes have a physical way of at most one relay between them.
    fn connected(&self, a: u16, b: u16) -> bool {
        let open = |a: u16, b: u16| {
            [(a, b), (b, a)]
                .iter()
                .all(|way| self.paths.get(way).is_some_and(|p| !p.weather().cut))
        };
        open(a, b)
            || self
                .nodes
                .keys()
                .any(|relay| open(a, *relay) && open(*relay, b))
    }

    fn next(&self) -> Option<(Instant, Next)> {
        let event = self.events.keys().next().map(|(at, _)| (*at, Next::Event));
        let arrivals = self.paths.iter();
        let arrival = arrivals
            .filter_map(|((from, to), path)| Some((path.deadline()?, Next::Arrival(*from, *to))));
        let timers = self.nodes.iter();
        let timer = timers.filter_map(|(node, n)| Some((n.mesh.deadline()?, Next::Timer(*node))));
        event.into_iter().chain(arrival).chain(timer).min()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish(id) => {
                let publisher = &mut self.publishers[id.0];
                let interval = publisher.interval();
                let node = &self.nodes[&publisher.node];
                if !node.away {
                    let stream = publisher.stream(node.life);
                    let node = publisher.node;
                    for packet in publisher.next(self.now) {
                        let packet = &packet;
                        self.give(node, Input::Media { stream, packet });
                    }
                }
                self.after(interval, Event::Publish(id));
            }
            Event::Chat(i) => self.write(i),
            Event::Fault(fault) => self.strike(fault),
            Event::Control => {
                let nodes: Vec<u16> = self.nodes.keys().copied().collect();
                for node in &nodes {
                    let routes = self.controller.routes(*node, &nodes);
                    self.give(*node, Input::SetRoutes(&routes));
                }
            }
            Event::ClientsReturn(node) => self.clients_return(node),
            Event::Check => {
                self.check();
                self.after(CHECK_INTERVAL, Event::Check);
            }
        }
    }

    fn write(&mut self, i: usize) {
        self.after(Chat::INTERVAL, Event::Chat(i));
        let length = match self.rng.u8(..) {
            0..200 => self.rng.usize(..200),
            200..250 => self.rng.usize(..4_000),
            250.. => self.rng.usize(..60_000),
        };
        let chat = &mut self.chats[i];
        let node = &self.nodes[&chat.from];
        if node.away {
            return;
        }
        let bytes = chat.next(self.now, node.life, length);
        let input = Input::Data {
            room: chat.room,
            tag: 0,
            reliable: chat.reliable,
            bytes,
            nodes: &chat.targets(),
        };
        let from = chat.from;
        self.give(from, input);
    }

    fn strike(&mut self, fault: Fault) {
        self.note(&[1, fault_word(&fault)]);
        match fault {
            Fault::Weather { a, b, loss, cut } => {
                for way in [(a, b), (b, a)] {
                    if let Some(path) = self.paths.get_mut(&way) {
                        let weather = path.weather();
                        path.set(Weather {
                            loss,
                            cut,
                            ..weather
                        });
                    }
                }
            }
            Fault::OneWay { from, to, cut } => {
                if let Some(path) = self.paths.get_mut(&(from, to)) {
                    let weather = path.weather();
                    path.set(Weather { cut, ..weather });
                }
            }
            Fault::Restart { node } => self.restart(node),
        }
    }

    fn restart(&mut self, node: u16) {
        let life = self.nodes.get(&node).map_or(0, |n| n.life + 1);
        let mesh = self.new_mesh(node, life);
        let Some(dead) = self.nodes.get_mut(&node) else {
            return;
        };
        dead.life = life;
        dead.away = true;
        let dead = std::mem::replace(&mut dead.mesh, mesh);
        for (name, n) in dead.counts() {
            *self.past.entry(name).or_default() += n;
        }
        // What its participants had heard is gone with them.
        for chat in &mut self.chats {
            chat.received.remove(&node);
        }
        self.controller.forget(node);
        self.introduce(node);
        self.after(CONTROLLER_DELAY, Event::Control);
        self.after(CLIENTS_RETURN, Event::ClientsReturn(node));
    }

    /// A restarted node's clients publish and subscribe again, and the others hear of it.
    fn clients_return(&mut self, node: u16) {
        let Some(returned) = self.nodes.get_mut(&node) else {
            return;
        };
        returned.away = false;
        for publisher in self.publishers.iter_mut().filter(|p| p.node == node) {
            publisher.published.clear();
        }
        for chat in &mut self.chats {
            if chat.from == node {
                chat.sent = 0;
                chat.times.clear();
                chat.received.clear();
            }
        }
        for i in 0..self.subscriptions.len() {
            let (subscriber, publisher) =
                (self.subscriptions[i].node, self.subscriptions[i].publisher);
            let origin = self.publishers[publisher.0].node;
            if subscriber != node && origin != node {
                continue;
            }
            let old = self.subscriptions[i].stream;
            let stream = self.stream(publisher);
            self.subscriptions[i].stream = stream;
            self.subscriptions[i].received.clear();
            if old != stream {
                self.give(subscriber, Input::Unwant { stream: old });
            }
            self.give(subscriber, Input::Want { stream });
        }
    }

    fn check(&mut self) {
        for (node, n) in &self.nodes {
            check::queues(*node, &n.mesh, &mut self.violations);
        }
        for ((from, to), path) in &self.paths {
            let n = path.under_way();
            if n > MAX_UNDER_WAY {
                self.violations
                    .add(|| format!("{n} datagrams under way from {from} to {to}"));
            }
        }
        let meshes = self.nodes.values().map(|node| &node.mesh);
        check::loops(meshes, &self.past, &mut self.violations);
    }

    // --- nodes --------------------------------------------------------------------------------

    fn new_mesh(&self, node: u16, life: u32) -> Mesh {
        let seed = self.seed ^ u64::from(node) << 32 ^ u64::from(life);
        Mesh::new(Config::new(NodeId(node), private_key(node), seed), self.now)
    }

    fn introduce(&mut self, node: u16) {
        let others: Vec<u16> = self.nodes.keys().copied().filter(|n| *n != node).collect();
        for other in others {
            let input = Input::AddPeer {
                node: NodeId(other),
                public_key: public_key(&private_key(other)),
                addresses: &[address(other)],
            };
            self.give(node, input);
        }
    }

    fn arrive(&mut self, from: u16, to: u16) {
        let path = self.paths.get_mut(&(from, to));
        if let Some(mut bytes) = path.and_then(|path| path.pop(self.now)) {
            let input = Input::Datagram {
                from: address(from),
                port: 0,
                bytes: &mut bytes,
            };
            self.give(to, input);
        }
    }

    fn give(&mut self, node: u16, input: Input<'_>) {
        let mut out = Vec::new();
        if let Some(node) = self.nodes.get_mut(&node) {
            node.mesh.handle(self.now, input, &mut out);
        }
        for output in out {
            self.perform(node, output);
        }
    }

    fn perform(&mut self, node: u16, output: Output) {
        let at = u64::from(node);
        match output {
            Output::Transmit { peer, bytes, .. } => {
                self.note(&[2, at, u64::from(peer.0), bytes.len() as u64]);
                if let Some(path) = self.paths.get_mut(&(node, peer.0)) {
                    let length = bytes.len();
                    path.push(self.now, bytes, length);
                }
            }
            Output::Media { stream, packet } => {
                self.note(&[3, at, stream.0, packet.sequence]);
                self.receive(node, stream, packet.sequence);
            }
            Output::Data {
                room,
                from,
                bytes,
                reliable,
            } => {
                self.note(&[
                    4,
                    at,
                    u64::from(from.0),
                    bytes.len() as u64,
                    reliable.into(),
                ]);
                self.read(node, room, from.0, reliable, &bytes);
            }
            Output::Wanted { stream, wanted } => self.note(&[5, at, stream.0, wanted.into()]),
            Output::RequestKeyframe { stream } => self.note(&[6, at, stream.0]),
            Output::LinkChanged { node: peer, state } => {
                let up = state == mesh::LinkState::Up;
                self.note(&[7, at, u64::from(peer.0), up.into()]);
                self.controller.report(node, peer.0, up);
                self.after(CONTROLLER_DELAY, Event::Control);
            }
        }
    }

    fn receive(&mut self, node: u16, stream: StreamId, sequence: u64) {
        let of = |s: &&mut Subscription| s.node == node && s.stream == stream;
        let Some(subscription) = self.subscriptions.iter_mut().find(of) else {
            self.violations
                .add(|| format!("node {node} got a packet of {stream}, which it does not want"));
            return;
        };
        if subscription.received.insert(sequence, self.now).is_some() {
            self.violations
                .add(|| format!("node {node} got packet {sequence} of {stream} twice"));
        }
    }

    fn read(&mut self, node: u16, room: RoomKey, from: u16, reliable: bool, bytes: &[u8]) {
        if !self.rooms.get(&room).is_some_and(|r| r.contains(&node)) {
            self.violations
                .add(|| format!("node {node} got a message of a room that it does not serve"));
            return;
        }
        let Some((life, number)) = Chat::read(bytes) else {
            self.violations
                .add(|| format!("node {node} got a message that is not what was sent"));
            return;
        };
        let of = |c: &&mut Chat| c.room == room && c.from == from && c.reliable == reliable;
        let present = self.nodes.get(&from).map(|n| n.life);
        let Some(chat) = self
            .chats
            .iter_mut()
            .find(of)
            .filter(|_| present == Some(life))
        else {
            return; // of a life that is over: it may be late
        };
        let received = chat.received.entry(node).or_default();
        if received.contains(&number) {
            self.violations
                .add(|| format!("node {node} got message {number} of node {from} twice"));
        }
        received.push(number);
    }

    fn stream(&self, publisher: PublisherId) -> StreamId {
        let publisher = &self.publishers[publisher.0];
        publisher.stream(self.nodes[&publisher.node].life)
    }

    fn after(&mut self, time: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((self.now + time, self.serial), event);
    }

    fn note(&mut self, words: &[u64]) {
        let at = (self.now - self.start).as_nanos() as u64;
        self.trace.note(&[at]);
        self.trace.note(words);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Event,
    Arrival(u16, u16),
    Timer(u16),
}

fn private_key(node: u16) -> [u8; 32] {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&node.to_be_bytes());
    key
}

fn address(node: u16) -> SocketAddr {
    ([127, 0, 0, 1], 10_000 + node).into()
}

fn fault_word(fault: &Fault) -> u64 {
    let [a, b] = match *fault {
        Fault::Weather { a, b, .. } => pair(a, b).into(),
        Fault::OneWay { from, to, .. } => [from, to],
        Fault::Restart { node } => [node, 0],
    };
    u64::from(a) << 16 | u64::from(b)
}
