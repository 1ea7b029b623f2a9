//! One node between two others, in virtual time: what a relayed packet costs.
//! `bench/instructions.py` counts it in instructions, with callgrind: those of `counted_turn` alone.
//! Arguments: bytes of a packet, packets of a turn, turns.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::{Config, Input, Mesh, Output, Route, public_key};
use wire::{Format, MediaPacket, NodeId, StreamId};

const TURN: Duration = Duration::from_micros(250);
const NODES: u16 = 3;
const STREAMS: u64 = 100;

struct World {
    now: Instant,
    nodes: Vec<Mesh>,
    /// Datagrams on their way to each node, and the node that sent them.
    under_way: Vec<Vec<(u16, Vec<u8>)>>,
    out: Vec<Output>,
    delivered: u64,
    /// What the counted turns took in real time.
    took: Duration,
}

fn address(node: u16) -> SocketAddr {
    ([10, 0, 0, node as u8], 7).into()
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mut number = |default: u64| words.next().and_then(|w| w.parse().ok()).unwrap_or(default);
    let (bytes, per_turn, turns) = (number(1_150), number(16), number(2_000));
    let mut world = World::new();
    world.connect();
    let before = world.delivered;
    for turn in 0..turns {
        world.speak(turn, per_turn, bytes as usize);
        world.turn(true);
    }
    let sent = turns * per_turn;
    let delivered = world.delivered - before;
    let each = world.took.as_nanos() / u128::from(delivered.max(1));
    println!("{{\"published\": {sent}, \"forwarded\": {delivered}, \"ns_each\": {each}}}");
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        let key = |node: u16| [node as u8; 32];
        let mut world = World {
            now,
            nodes: (1..=NODES)
                .map(|node| Mesh::new(Config::new(NodeId(node), key(node), node.into()), now))
                .collect(),
            under_way: vec![Vec::new(); usize::from(NODES)],
            out: Vec::new(),
            delivered: 0,
            took: Duration::ZERO,
        };
        for (node, peer) in [(1, 2), (2, 1), (2, 3), (3, 2)] {
            let public_key = public_key(&key(peer));
            world.give(
                node,
                Input::AddPeer {
                    node: NodeId(peer),
                    public_key,
                    addresses: &[address(peer)],
                },
            );
        }
        let route = |destination: u16, via: &[u16]| Route {
            destination: NodeId(destination),
            via: via.iter().copied().map(NodeId).collect(),
            ..Route::default()
        };
        world.give(1, Input::SetRoutes(&[route(2, &[]), route(3, &[2])]));
        world.give(2, Input::SetRoutes(&[route(1, &[]), route(3, &[])]));
        world.give(3, Input::SetRoutes(&[route(2, &[]), route(1, &[2])]));
        for serial in 1..=STREAMS {
            let stream = StreamId(1 << 48 | serial);
            let (tag, base) = (0, true);
            world.give(1, Input::AddStream { stream, tag, base });
            world.give(3, Input::Want { stream });
        }
        world
    }

    fn connect(&mut self) {
        for _ in 0..8_000 {
            self.turn(false);
        }
    }

    fn give(&mut self, node: u16, input: Input<'_>) {
        self.nodes[usize::from(node) - 1].handle(self.now, input, &mut self.out);
        self.take(node);
    }

    /// What a node wants done.
    fn take(&mut self, node: u16) {
        for output in self.out.drain(..) {
            match output {
                Output::Transmit { peer, bytes, .. } => {
                    self.under_way[usize::from(peer.0) - 1].push((node, bytes));
                }
                Output::Media { .. } => self.delivered += 1,
                _ => {}
            }
        }
    }

    fn speak(&mut self, turn: u64, packets: u64, bytes: usize) {
        let audio = bytes <= 200;
        for n in 0..packets {
            let number = turn * packets + n;
            let packet = MediaPacket {
                format: if audio { Format::Opus } else { Format::Vp8 },
                keyframe: false,
                sequence: number / STREAMS,
                timestamp: number as u32,
                marker: true,
                audio_level: None,
                voice_activity: None,
                orientation: None,
                absolute_capture_time: None,
                dependency_descriptor: None,
                payload: vec![number as u8; bytes].into(),
            };
            let stream = StreamId(1 << 48 | (1 + number % STREAMS));
            let packet = Arc::new(packet);
            self.give(
                1,
                Input::Media {
                    stream,
                    packet: &packet,
                },
            );
        }
    }

    /// Every node takes what came and does what is due, the relay after the sender.
    fn turn(&mut self, counted: bool) {
        self.now += TURN;
        for node in 1..=NODES {
            let place = usize::from(node) - 1;
            let came = std::mem::take(&mut self.under_way[place]);
            let mesh = &mut self.nodes[place];
            if counted && node == 2 {
                let begun = Instant::now();
                counted_turn(mesh, self.now, came, &mut self.out);
                self.took += begun.elapsed();
            } else {
                other_turn(mesh, self.now, came, &mut self.out);
            }
            self.take(node);
        }
    }
}

/// What is counted: as much as the shell has the relay do in one of its turns.
#[inline(never)]
fn counted_turn(mesh: &mut Mesh, now: Instant, came: Vec<(u16, Vec<u8>)>, out: &mut Vec<Output>) {
    work(mesh, now, came, out);
}

#[inline(never)]
fn other_turn(mesh: &mut Mesh, now: Instant, came: Vec<(u16, Vec<u8>)>, out: &mut Vec<Output>) {
    work(mesh, now, came, out);
    std::hint::black_box(());
}

#[inline(always)]
fn work(mesh: &mut Mesh, now: Instant, came: Vec<(u16, Vec<u8>)>, out: &mut Vec<Output>) {
    for (from, mut bytes) in came {
        let datagram = Input::Datagram {
            from: address(from),
            port: 0,
            bytes: &mut bytes,
        };
        mesh.handle(now, datagram, out);
    }
    while mesh.deadline().is_some_and(|at| at <= now) {
        mesh.handle(now, Input::Timeout, out);
    }
}
