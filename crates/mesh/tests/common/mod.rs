//! A few meshes on wires of one fixed delay, in virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Config, Input, LinkState, Mesh, Output, Route, public_key};
use wire::{Format, Header, MediaPacket, NodeId, RoomKey, StreamId};

pub const ROOM: RoomKey = RoomKey([7; 16]);

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn key(node: u16) -> [u8; 32] {
    [node as u8; 32]
}

pub fn address(node: u16) -> SocketAddr {
    ([127, 0, 0, 1], 4_000 + node).into()
}

/// Its mesh port of some number.
pub fn port_of(node: u16, port: u8) -> SocketAddr {
    ([127, 0, 0, 1], 4_000 + node + 100 * u16::from(port)).into()
}

pub fn stream(origin: u16, serial: u64) -> StreamId {
    StreamId(u64::from(origin) << 48 | serial)
}

pub fn packet(sequence: u64, size: usize) -> Arc<MediaPacket> {
    Arc::new(MediaPacket {
        format: Format::Opus,
        sequence,
        timestamp: sequence as u32 * 960,
        marker: false,
        keyframe: false,
        audio_level: Some(20),
        voice_activity: Some(true),
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: vec![sequence as u8; size].into(),
    })
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    due: std::cmp::Reverse<(Instant, u64)>,
    from: u16,
    port: u8,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A way that takes so many bits per second, with so long a queue before it.
pub struct Narrow {
    pub rate: f64,
    pub queue: Duration,
    free_at: Instant,
}

impl Narrow {
    /// When a datagram has got through; None if there was no room for it.
    fn through(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let begins = self.free_at.max(now);
        if begins > now + self.queue {
            return None;
        }
        self.free_at = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate);
        Some(self.free_at)
    }
}

/// What happens to a datagram on its way: gone if false.
pub type Filter = Box<dyn FnMut(u16, u16, &mut Vec<u8>) -> bool>;
/// The same, from node to node over a port pair.
pub type PairFilter = Box<dyn FnMut(u16, u16, u8) -> bool>;

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub nodes: BTreeMap<u16, Mesh>,
    pub delay: Duration,
    /// Up to so much is added to the delay, at random.
    pub jitter: Duration,
    /// How far a node's clock is ahead of ours: more than before, and it has jumped.
    pub ahead: BTreeMap<u16, Duration>,
    pub filter: Filter,
    pub pair_filter: PairFilter,
    /// From node to node; others take anything.
    pub narrow: BTreeMap<(u16, u16), Narrow>,
    /// Mesh ports that each node has.
    pub ports: u8,
    /// Its links were up when the events began.
    pub begun_up: bool,
    rng: fastrand::Rng,
    /// Everything but datagrams that came out, by node.
    pub events: Vec<(u16, Output)>,
    /// When each of the events came.
    pub times: Vec<Instant>,
    /// Every datagram sent: from, to, bytes.
    pub sent: Vec<(u16, u16, Vec<u8>)>,
    flying: BinaryHeap<Flying>,
    added: BTreeSet<StreamId>,
    serial: u64,
}

impl World {
    pub fn new(nodes: &[u16]) -> World {
        let now = Instant::now();
        let mut world = World {
            start: now,
            now,
            nodes: BTreeMap::new(),
            delay: ms(20),
            jitter: Duration::ZERO,
            ahead: BTreeMap::new(),
            filter: Box::new(|_, _, _| true),
            pair_filter: Box::new(|_, _, _| true),
            narrow: BTreeMap::new(),
            ports: 1,
            begun_up: false,
            rng: fastrand::Rng::with_seed(1),
            events: Vec::new(),
            times: Vec::new(),
            sent: Vec::new(),
            flying: BinaryHeap::new(),
            added: BTreeSet::new(),
            serial: 0,
        };
        for node in nodes {
            world.start(*node);
        }
        world
    }

    /// Nodes that know each other, given time to connect.
    pub fn connected(nodes: &[u16]) -> World {
        World::connected_over(1, nodes)
    }

    /// The same over so many port pairs.
    pub fn connected_over(ports: u8, nodes: &[u16]) -> World {
        let mut world = World::new(nodes);
        world.ports = ports;
        for a in nodes {
            for b in nodes.iter().filter(|b| *b != a) {
                world.introduce(*a, *b);
            }
        }
        world.run(ms(1_500));
        world.forget();
        world.begun_up = true;
        world
    }

    /// What came out so far.
    pub fn forget(&mut self) {
        self.events.clear();
        self.times.clear();
    }

    /// Start, or start again with nothing remembered.
    pub fn start(&mut self, node: u16) {
        let config = Config::new(NodeId(node), key(node), node.into());
        self.nodes
            .insert(node, Mesh::new(config, self.now + self.ahead(node)));
        self.added.retain(|stream| stream.origin().0 != node);
    }

    fn ahead(&self, node: u16) -> Duration {
        self.ahead.get(&node).copied().unwrap_or_default()
    }

    /// From now on the way from `a` to `b` takes so much.
    pub fn narrow(&mut self, a: u16, b: u16, rate: f64, queue: Duration) {
        let free_at = self.now;
        let narrow = Narrow {
            rate,
            queue,
            free_at,
        };
        self.narrow.insert((a, b), narrow);
    }

    pub fn introduce(&mut self, a: u16, b: u16) {
        let addresses: Vec<SocketAddr> = (0..self.ports).map(|port| port_of(b, port)).collect();
        let public_key = public_key(&key(b));
        self.give(
            a,
            Input::AddPeer {
                node: NodeId(b),
                public_key,
                addresses: &addresses,
            },
        );
    }

    pub fn route(&mut self, node: u16, routes: &[(u16, &[u16])]) {
        let routes: Vec<Route> = routes
            .iter()
            .map(|(destination, via)| Route {
                destination: NodeId(*destination),
                via: via.iter().copied().map(NodeId).collect(),
                ..Route::default()
            })
            .collect();
        self.give(node, Input::SetRoutes(&routes));
    }

    /// Ways to destinations, first and second.
    pub fn ways(&mut self, node: u16, ways: &[(u16, &[u16], &[u16])]) {
        self.tagged(node, 0, ways);
    }

    pub fn tagged(&mut self, node: u16, tag: u32, ways: &[(u16, &[u16], &[u16])]) {
        let nodes = |ids: &[u16]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let route = |(destination, via, second): &(u16, &[u16], &[u16])| Route {
            destination: NodeId(*destination),
            via: nodes(via),
            second: Some(nodes(second)),
            tag,
        };
        let routes: Vec<Route> = ways.iter().map(route).collect();
        self.give(node, Input::SetRoutes(&routes));
    }

    pub fn policies(&mut self, policies: &[(u32, &[u16])]) {
        let policy = |(tag, nodes): &(u32, &[u16])| mesh::Policy {
            tag: *tag,
            nodes: nodes.iter().copied().map(NodeId).collect(),
        };
        let policies: Vec<mesh::Policy> = policies.iter().map(policy).collect();
        let nodes: Vec<u16> = self.nodes.keys().copied().collect();
        for node in nodes {
            self.give(node, Input::SetPolicies(&policies));
        }
    }

    pub fn want(&mut self, node: u16, stream: StreamId) {
        self.give(node, Input::Want { stream });
    }

    pub fn publish(&mut self, stream: StreamId, packet: &Arc<MediaPacket>) {
        if self.added.insert(stream) {
            self.add(stream, 0, true);
        }
        self.give(stream.origin().0, Input::Media { stream, packet });
    }

    pub fn add(&mut self, stream: StreamId, tag: u32, base: bool) {
        self.added.insert(stream);
        let add = Input::AddStream { stream, tag, base };
        self.give(stream.origin().0, add);
    }

    pub fn data(&mut self, from: u16, to: &[u16], reliable: bool, bytes: &[u8]) {
        let nodes: Vec<NodeId> = to.iter().copied().map(NodeId).collect();
        self.give(
            from,
            Input::Data {
                room: ROOM,
                tag: 0,
                reliable,
                bytes: bytes.into(),
                nodes: &nodes,
            },
        );
    }

    pub fn datagram(&mut self, node: u16, from: SocketAddr, bytes: &[u8]) {
        self.datagram_at(node, 0, from, bytes);
    }

    pub fn datagram_at(&mut self, node: u16, port: u8, from: SocketAddr, bytes: &[u8]) {
        let bytes = &mut bytes.to_vec()[..];
        self.give(node, Input::Datagram { from, port, bytes });
    }

    pub fn give(&mut self, node: u16, input: Input<'_>) {
        let mut out = Vec::new();
        let now = self.now + self.ahead(node);
        let mesh = self.nodes.get_mut(&node).unwrap();
        mesh.handle(now, input, &mut out);
        self.perform(node, out);
    }

    /// Send a frame as it is, whatever it says.
    pub fn send_raw(&mut self, node: u16, next: u16, header: &Header<'_>, content: &[u8]) {
        let mut out = Vec::new();
        let mesh = self.nodes.get_mut(&node).unwrap();
        mesh.send_raw(self.now, NodeId(next), header, content, &mut out);
        self.perform(node, out);
    }

    fn perform(&mut self, node: u16, out: Vec<Output>) {
        for output in out {
            let Output::Transmit {
                to,
                port,
                peer,
                mut bytes,
            } = output
            else {
                self.events.push((node, output));
                self.times.push(self.now);
                continue;
            };
            assert!(bytes.len() <= wire::LARGEST_DATAGRAM);
            self.sent.push((node, peer.0, bytes.clone()));
            let passes = (self.filter)(node, peer.0, &mut bytes);
            let narrow = self.narrow.get_mut(&(node, peer.0));
            let through = match narrow {
                Some(narrow) => narrow.through(self.now, bytes.len()),
                None => Some(self.now),
            };
            if let Some(through) = through
                && passes
                && (self.pair_filter)(node, peer.0, port)
            {
                self.serial += 1;
                let late = self.jitter.mul_f32(self.rng.f32());
                self.flying.push(Flying {
                    due: std::cmp::Reverse((through + self.delay + late, self.serial)),
                    from: node,
                    port,
                    to,
                    bytes,
                });
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timer = self
                .nodes
                .iter()
                .filter_map(|(node, mesh)| Some((mesh.deadline()? - self.ahead(*node), *node)))
                .min();
            let arrival = self.flying.peek().map(|f| f.due.0.0);
            let timer_at = timer.map(|(at, _)| at);
            let Some(at) = [timer_at, arrival].into_iter().flatten().min() else {
                break;
            };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            if arrival == Some(at) && timer_at.is_none_or(|t| at < t) {
                let flying = self.flying.pop().unwrap();
                let (to, port) = match flying.to.port() - 4_000 {
                    node if flying.to.port() >= 4_000 => (node % 100, (node / 100) as u8),
                    _ => continue,
                };
                if self.nodes.contains_key(&to) {
                    let from = port_of(flying.from, flying.port);
                    self.datagram_at(to, port, from, &flying.bytes);
                }
            } else if let Some((_, node)) = timer {
                self.give(node, Input::Timeout);
            }
        }
        self.now = end;
    }

    pub fn count(&self, node: u16, name: &str) -> u64 {
        self.nodes[&node].counts()[name]
    }

    /// Sequence numbers of the media that came out at `node`, in order of coming.
    pub fn media(&self, node: u16) -> Vec<u64> {
        let of = |e: &(u16, Output)| match e {
            (n, Output::Media { packet, .. }) if *n == node => Some(packet.sequence),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// Each packet that came out at `node`, and when.
    pub fn arrivals(&self, node: u16) -> BTreeMap<u64, Instant> {
        let of = |((n, output), at): (&(u16, Output), &Instant)| match output {
            Output::Media { packet, .. } if *n == node => Some((packet.sequence, *at)),
            _ => None,
        };
        self.events.iter().zip(&self.times).filter_map(of).collect()
    }

    pub fn messages(&self, node: u16) -> Vec<Vec<u8>> {
        let of = |e: &(u16, Output)| match e {
            (n, Output::Data { bytes, .. }) if *n == node => Some(bytes.to_vec()),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    /// The ups and downs that `node` saw of `peer`; a suspect link is up.
    pub fn changes(&self, node: u16, peer: u16) -> Vec<bool> {
        let up = |state| matches!(state, LinkState::Up | LinkState::Suspect);
        let mut changes: Vec<bool> = self.states(node, peer).into_iter().map(up).collect();
        changes.dedup();
        if self.begun_up && changes.first() == Some(&true) {
            changes.remove(0);
        }
        changes
    }

    /// Every state that `node` saw the link to `peer` change to.
    pub fn states(&self, node: u16, peer: u16) -> Vec<LinkState> {
        let of = |e: &(u16, Output)| match e {
            (n, Output::LinkChanged { node: p, state }) if *n == node && p.0 == peer => {
                Some(*state)
            }
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    pub fn link(&self, node: u16, peer: u16) -> mesh::LinkReport {
        let links = self.nodes[&node].links();
        links.into_iter().find(|l| l.node.0 == peer).unwrap()
    }

    /// Up, if perhaps suspect.
    pub fn is_up(&self, node: u16, peer: u16) -> bool {
        matches!(
            self.link(node, peer).state,
            LinkState::Up | LinkState::Suspect
        )
    }
}
