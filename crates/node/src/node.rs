//! One worker's core: its clients, the bus to the other workers and, on the first, the mesh.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh::Mesh;
use sfu::{Sfu, Side, Transmit, TransportState};
use wire::{MediaPacket, NodeId, RoomKey, StreamId};

use crate::bus::{Bus, Target};
use crate::command::Command;
use crate::event::{Event, Level};
use crate::report::figures_of;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The worker that has the mesh.
const MESH_WORKER: u16 = 0;

/// How a worker's core starts.
pub struct Config {
    pub worker: u16,
    pub workers: u16,
    pub node: NodeId,
    /// Where clients reach this node; offered as ICE candidates.
    pub udp_candidates: Vec<SocketAddr>,
    pub tcp_candidates: Vec<SocketAddr>,
    /// On the first worker only.
    pub mesh: Option<mesh::Config>,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    Timeout,
    /// A datagram, or one RFC 4571 frame, from a client.
    Client {
        protocol: sfu::Protocol,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &'a [u8],
    },
    /// A client's TCP connection ended.
    ClientClosed {
        from: SocketAddr,
    },
    /// A datagram from another node.
    Mesh {
        from: SocketAddr,
        port: u8,
        bytes: &'a mut [u8],
    },
    Command(Command),
    Bus(Bus),
}

/// A datagram to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshTransmit {
    pub peer: NodeId,
    pub to: SocketAddr,
    /// Of this node's mesh ports, from 0.
    pub port: u8,
    pub bytes: Vec<u8>,
}

/// What to do about it; the caller empties it.
#[derive(Debug, Default)]
pub struct Outputs {
    pub client: Vec<Transmit>,
    pub mesh: Vec<MeshTransmit>,
    pub events: Vec<Event>,
    pub bus: Vec<(Target, Bus)>,
}

/// Who needs a stream, seen from one worker.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Subscribers of this worker.
    sfu: bool,
    /// Other nodes (on the mesh's worker).
    mesh: bool,
    workers: BTreeSet<u16>,
    /// What was last said to where the stream comes from.
    told: bool,
}

/// Where a room's data goes, and the policy under which.
#[derive(Debug)]
pub(crate) struct RoomNodes {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) tag: u32,
}

/// A local track as the mesh carries it.
#[derive(Debug)]
pub(crate) struct MeshTrack {
    /// Whose scene says what of it goes twice; None of a data track: nothing does.
    pub(crate) room: Option<RoomKey>,
    pub(crate) streams: Vec<StreamId>,
}

/// See the module.
pub struct Node {
    pub(crate) worker: u16,
    workers: u16,
    pub(crate) node: NodeId,
    pub(crate) sfu: Sfu,
    pub(crate) mesh: Option<Mesh>,
    pub(crate) needs: HashMap<StreamId, Needs>,
    pub(crate) room_nodes: HashMap<RoomKey, RoomNodes>,
    /// The local tracks that the mesh was told of.
    pub(crate) mesh_streams: BTreeMap<String, MeshTrack>,
    /// What goes twice of the pictures of rooms that ask for something of their own.
    pub(crate) copies: HashMap<RoomKey, mesh::Copies>,
    next_report: Instant,
    sfu_out: Vec<sfu::Output>,
    mesh_out: Vec<mesh::Output>,
}

impl Node {
    pub fn new(config: Config, now: Instant) -> Self {
        let sfu = sfu::Config {
            udp: config.udp_candidates,
            tcp: config.tcp_candidates,
        };
        Self {
            worker: config.worker,
            workers: config.workers.max(1),
            node: config.node,
            sfu: Sfu::new(sfu, now),
            mesh: config.mesh.map(|c| Mesh::new(c, now)),
            needs: HashMap::new(),
            room_nodes: HashMap::new(),
            mesh_streams: BTreeMap::new(),
            copies: HashMap::new(),
            next_report: now + REPORT_INTERVAL,
            sfu_out: Vec::new(),
            mesh_out: Vec::new(),
        }
    }

    /// The key by which peers pin this node; None on workers without the mesh.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.mesh.as_ref().map(Mesh::public_key)
    }

    /// The mesh, on the first worker: for a simulated world, which looks at it from outside.
    #[doc(hidden)]
    pub fn mesh_ref(&self) -> Option<&Mesh> {
        self.mesh.as_ref()
    }

    /// The same, to be watched or spoiled.
    #[doc(hidden)]
    pub fn mesh_mut(&mut self) -> Option<&mut Mesh> {
        self.mesh.as_mut()
    }

    /// When `handle(Timeout)` is due next.
    pub fn deadline(&self) -> Option<Instant> {
        [
            self.sfu.deadline(),
            self.mesh.as_ref().and_then(Mesh::deadline),
            Some(self.next_report),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Take one input. What goes to clients may wait for the `Timeout` that is then due at once.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outputs) {
        match input {
            Input::Timeout => {
                self.sfu(now, sfu::Input::Timeout);
                self.mesh(now, mesh::Input::Timeout);
                if now >= self.next_report {
                    self.next_report = now + REPORT_INTERVAL;
                    self.report(out);
                }
            }
            Input::Client {
                protocol,
                from,
                to,
                bytes,
            } => self.sfu(
                now,
                sfu::Input::Datagram {
                    protocol,
                    from,
                    to,
                    bytes,
                },
            ),
            Input::ClientClosed { from } => self.sfu(now, sfu::Input::Closed { from }),
            Input::Mesh { from, port, bytes } => {
                self.mesh(now, mesh::Input::Datagram { from, port, bytes });
            }
            Input::Command(command) => self.command(now, command, out),
            Input::Bus(bus) => self.bus(now, bus, out),
        }
        self.settle(now, out);
    }

    pub(crate) fn sfu(&mut self, now: Instant, input: sfu::Input<'_>) {
        self.sfu.handle(now, input, &mut self.sfu_out);
    }

    pub(crate) fn mesh(&mut self, now: Instant, input: mesh::Input<'_>) {
        if let Some(mesh) = &mut self.mesh {
            mesh.handle(now, input, &mut self.mesh_out);
        }
    }

    /// Carry outputs between the parts until none is left.
    fn settle(&mut self, now: Instant, out: &mut Outputs) {
        while !self.sfu_out.is_empty() || !self.mesh_out.is_empty() {
            let mut outputs = std::mem::take(&mut self.sfu_out);
            for output in outputs.drain(..) {
                self.act_on_sfu(now, output, out);
            }
            if self.sfu_out.is_empty() {
                self.sfu_out = outputs;
            }
            let mut outputs = std::mem::take(&mut self.mesh_out);
            for output in outputs.drain(..) {
                self.act_on_mesh(now, output, out);
            }
            if self.mesh_out.is_empty() {
                self.mesh_out = outputs;
            }
        }
    }

    fn act_on_sfu(&mut self, now: Instant, output: sfu::Output, out: &mut Outputs) {
        match output {
            sfu::Output::Transmit(transmit) => out.client.push(transmit),
            sfu::Output::Media { stream, packet } => {
                self.send_to_workers(stream, &packet, out);
                self.send_to_nodes(now, stream, &packet);
            }
            sfu::Output::Data {
                room,
                reliable,
                bytes,
            } => {
                self.data_to_nodes(now, room, reliable, &bytes);
                self.data_to_workers(room, reliable, bytes, true, out);
            }
            sfu::Output::Want { stream, wanted } => {
                self.needs.entry(stream).or_default().sfu = wanted;
                self.tell_source(now, stream, out);
            }
            sfu::Output::NeedKeyframe { stream } => self.ask_keyframe(now, stream, out),
            sfu::Output::Answered {
                participant,
                side,
                offer_id,
                sdp,
            } => out.events.push(Event::Answered {
                participant,
                transport: side_name(side),
                offer_id,
                sdp,
            }),
            sfu::Output::Resumed {
                participant,
                last_sequence,
            } => out.events.push(Event::Resumed {
                participant,
                last_sequence,
            }),
            sfu::Output::Offered {
                participant,
                offer_id,
                sdp,
                mids,
            } => out.events.push(Event::Offered {
                participant,
                offer_id,
                sdp,
                mids,
            }),
            sfu::Output::NegotiationFailed {
                participant,
                side,
                offer_id,
                reason,
            } => out.events.push(Event::NegotiationFailed {
                participant,
                transport: side_name(side),
                offer_id,
                reason,
            }),
            sfu::Output::TransportState {
                participant,
                side,
                state,
            } => out.events.push(Event::TransportState {
                participant,
                transport: side_name(side),
                state: match state {
                    TransportState::Connected => "connected",
                    TransportState::Disconnected => "disconnected",
                    TransportState::Closed => "closed",
                },
            }),
            sfu::Output::TrackLive { track, mime } => {
                out.events.push(Event::TrackLive { track, mime });
            }
            sfu::Output::StreamSource {
                participant,
                stream,
                ssrc,
                rtx,
            } => out.events.push(Event::StreamSource {
                participant,
                stream: stream.0,
                ssrc,
                rtx,
            }),
            sfu::Output::SubscriptionLive { participant, track } => {
                out.events
                    .push(Event::SubscriptionLive { participant, track });
            }
            sfu::Output::Figures(figures) => out.events.push(Event::Quality {
                participants: figures.into_iter().map(figures_of).collect(),
            }),
            sfu::Output::CallAnswered {
                participant,
                call,
                packet,
            } => out.events.push(Event::CallAnswered {
                participant,
                call,
                packet: packet.into(),
            }),
            sfu::Output::StreamState {
                participant,
                track,
                paused,
            } => out.events.push(Event::StreamState {
                participant,
                track,
                paused,
            }),
            sfu::Output::TrackWanted { track, quality } => {
                out.events.push(Event::TrackWanted { track, quality });
            }
            sfu::Output::Levels(levels) => {
                let levels = levels.into_iter().map(|(track, level, active)| Level {
                    track,
                    level,
                    active,
                });
                out.events.push(Event::Levels {
                    levels: levels.collect(),
                });
            }
        }
    }

    fn act_on_mesh(&mut self, now: Instant, output: mesh::Output, out: &mut Outputs) {
        match output {
            mesh::Output::Transmit {
                to,
                port,
                peer,
                bytes,
            } => {
                let transmit = MeshTransmit {
                    peer,
                    to,
                    port,
                    bytes,
                };
                out.mesh.push(transmit);
            }
            mesh::Output::Media { stream, packet } => {
                self.arrived(now, stream, Arc::new(packet), out);
            }
            mesh::Output::Data {
                room,
                reliable,
                bytes,
                from: _,
            } => {
                let bytes_here = &bytes;
                self.sfu(
                    now,
                    sfu::Input::Data {
                        room,
                        reliable,
                        bytes: bytes_here,
                    },
                );
                self.data_to_workers(room, reliable, bytes, false, out);
            }
            mesh::Output::Wanted { stream, wanted } => {
                self.needs.entry(stream).or_default().mesh = wanted;
                self.tell_source(now, stream, out);
            }
            mesh::Output::RequestKeyframe { stream } => self.ask_keyframe(now, stream, out),
            mesh::Output::LinkChanged { .. } => self.report_links(out),
        }
    }

    fn bus(&mut self, now: Instant, bus: Bus, out: &mut Outputs) {
        match bus {
            Bus::Media { stream, packet } => self.arrived(now, stream, packet, out),
            Bus::Data {
                room,
                reliable,
                bytes,
                local,
            } => {
                self.sfu(
                    now,
                    sfu::Input::Data {
                        room,
                        reliable,
                        bytes: &bytes,
                    },
                );
                if local {
                    self.data_to_nodes(now, room, reliable, &bytes);
                }
            }
            Bus::Want {
                stream,
                wanted,
                from,
            } => {
                let workers = &mut self.needs.entry(stream).or_default().workers;
                match wanted {
                    true => workers.insert(from),
                    false => workers.remove(&from),
                };
                self.tell_source(now, stream, out);
            }
            Bus::NeedKeyframe { stream } => {
                let from_elsewhere = stream.origin() != self.node;
                if from_elsewhere {
                    self.mesh(now, mesh::Input::RequestKeyframe { stream });
                } else if self.sfu.publishes(stream) {
                    self.sfu(now, sfu::Input::KeyframeWanted { stream });
                }
            }
        }
    }

    /// A stream's packet came from another worker or node.
    fn arrived(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: Arc<MediaPacket>,
        out: &mut Outputs,
    ) {
        if self.needs.get(&stream).is_some_and(|n| n.sfu) {
            let input = sfu::Input::Media {
                stream,
                packet: &packet,
            };
            self.sfu(now, input);
        }
        // A packet goes from its publisher's worker to every other, or from the mesh's: no further.
        if stream.origin() == self.node {
            self.send_to_nodes(now, stream, &packet);
        } else if self.worker == MESH_WORKER {
            self.send_to_workers(stream, &packet, out);
        }
    }

    fn send_to_workers(&self, stream: StreamId, packet: &Arc<MediaPacket>, out: &mut Outputs) {
        let workers = self.needs.get(&stream).map(|n| &n.workers);
        for worker in workers.into_iter().flatten() {
            let packet = Arc::clone(packet);
            let media = Bus::Media { stream, packet };
            out.bus.push((Target::Worker(*worker), media));
        }
    }

    fn send_to_nodes(&mut self, now: Instant, stream: StreamId, packet: &Arc<MediaPacket>) {
        if self.needs.get(&stream).is_some_and(|n| n.mesh) {
            self.mesh(now, mesh::Input::Media { stream, packet });
        }
    }

    /// Let a stream's source know whether anybody behind this worker needs it.
    pub(crate) fn tell_source(&mut self, now: Instant, stream: StreamId, out: &mut Outputs) {
        let here = self.sfu.publishes(stream);
        let Some(needs) = self.needs.get_mut(&stream) else {
            return;
        };
        // Each need is passed on once: from where it is, to where the stream comes from.
        let of_this_node = stream.origin() == self.node;
        let wanted = match (here, of_this_node, self.worker == MESH_WORKER) {
            (true, ..) => needs.mesh || !needs.workers.is_empty(),
            (false, true, _) => needs.sfu || needs.mesh,
            (false, false, true) => needs.sfu || !needs.workers.is_empty(),
            (false, false, false) => needs.sfu,
        };
        let changed = wanted != needs.told;
        needs.told = wanted;
        if !needs.sfu && !needs.mesh && needs.workers.is_empty() {
            self.needs.remove(&stream);
        }
        if here {
            self.sfu(now, sfu::Input::Wanted { stream, wanted });
            return;
        }
        if !changed {
            return;
        }
        let from = self.worker;
        let want = Bus::Want {
            stream,
            wanted,
            from,
        };
        if stream.origin() == self.node {
            self.tell_others(want, out);
        } else if self.worker == MESH_WORKER {
            self.mesh(
                now,
                match wanted {
                    true => mesh::Input::Want { stream },
                    false => mesh::Input::Unwant { stream },
                },
            );
        } else {
            out.bus.push((Target::Worker(MESH_WORKER), want));
        }
    }

    fn ask_keyframe(&mut self, now: Instant, stream: StreamId, out: &mut Outputs) {
        if self.sfu.publishes(stream) {
            self.sfu(now, sfu::Input::KeyframeWanted { stream });
        } else if stream.origin() == self.node {
            self.tell_others(Bus::NeedKeyframe { stream }, out);
        } else if self.worker == MESH_WORKER {
            self.mesh(now, mesh::Input::RequestKeyframe { stream });
        } else {
            let ask = Bus::NeedKeyframe { stream };
            out.bus.push((Target::Worker(MESH_WORKER), ask));
        }
    }

    fn tell_others(&self, bus: Bus, out: &mut Outputs) {
        if self.workers > 1 {
            out.bus.push((Target::Others, bus));
        }
    }

    pub(crate) fn data_to_nodes(
        &mut self,
        now: Instant,
        room: RoomKey,
        reliable: bool,
        bytes: &Arc<[u8]>,
    ) {
        let (Some(mesh), Some(to)) = (&mut self.mesh, self.room_nodes.get(&room)) else {
            return;
        };
        let input = mesh::Input::Data {
            room,
            tag: to.tag,
            reliable,
            bytes: Arc::clone(bytes),
            nodes: &to.nodes,
        };
        mesh.handle(now, input, &mut self.mesh_out);
    }

    fn data_to_workers(
        &self,
        room: RoomKey,
        reliable: bool,
        bytes: Arc<[u8]>,
        local: bool,
        out: &mut Outputs,
    ) {
        let data = Bus::Data {
            room,
            reliable,
            bytes,
            local,
        };
        self.tell_others(data, out);
    }

    /// Whether a participant lives on this worker.
    pub(crate) fn mine(&self, participant: u64) -> bool {
        participant % u64::from(self.workers) == u64::from(self.worker)
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Publisher => "publisher",
        Side::Subscriber => "subscriber",
    }
}
