//! What each command from Python means to the SFU and the mesh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sfu::{DataTrackInfo, Kind, ParticipantInfo, Side, TrackInfo};
use wire::{NodeId, RoomKey, StreamId};

use crate::command::Command;
use crate::node::{MeshTrack, Node, Outputs, RoomNodes};

impl Node {
    pub(crate) fn command(&mut self, now: Instant, command: Command, out: &mut Outputs) {
        if command.participant().is_some_and(|p| !self.mine(p)) {
            return;
        }
        match command {
            Command::AddParticipant {
                participant,
                room,
                sid,
                identity,
                agent,
                can_publish_data,
                can_subscribe,
                single,
                negotiated_channels,
                allow_pause,
                packet_trailers,
            } => self.sfu(
                now,
                sfu::Input::AddParticipant(ParticipantInfo {
                    participant,
                    room: room_key(&room),
                    sid,
                    identity,
                    agent,
                    can_publish_data,
                    can_subscribe,
                    single,
                    negotiated_channels,
                    allow_pause,
                    packet_trailers,
                }),
            ),
            Command::UpdateParticipant {
                participant,
                can_publish_data,
                can_subscribe,
            } => self.sfu(
                now,
                sfu::Input::UpdateParticipant {
                    participant,
                    can_publish_data,
                    can_subscribe,
                },
            ),
            Command::RemoveParticipant { participant } => {
                self.sfu(now, sfu::Input::RemoveParticipant(participant));
            }
            Command::AcceptOffer {
                participant,
                transport,
                offer_id,
                sdp,
            } => self.sfu(
                now,
                sfu::Input::AcceptOffer {
                    participant,
                    side: side(&transport),
                    offer_id,
                    sdp: &sdp,
                },
            ),
            Command::CreateOffer {
                participant,
                offer_id,
                sections,
                restart_ice,
            } => {
                let sections: Vec<sfu::Section> = sections
                    .into_iter()
                    .map(|s| sfu::Section {
                        kind: kind(&s.kind),
                        mid: s.mid,
                        active: s.active,
                    })
                    .collect();
                self.sfu(
                    now,
                    sfu::Input::CreateOffer {
                        participant,
                        offer_id,
                        sections: &sections,
                        restart_ice,
                    },
                );
            }
            Command::AcceptAnswer {
                participant,
                offer_id,
                sdp,
            } => self.sfu(
                now,
                sfu::Input::AcceptAnswer {
                    participant,
                    offer_id,
                    sdp: &sdp,
                },
            ),
            Command::AddCandidate {
                participant,
                transport,
                candidate,
            } => self.sfu(
                now,
                sfu::Input::AddCandidate {
                    participant,
                    side: side(&transport),
                    candidate: &candidate,
                },
            ),
            Command::AddTrack {
                track,
                room,
                kind: name,
                layers,
                publisher,
                tag,
                red,
            } => {
                let layers: Vec<sfu::Layer> = layers
                    .into_iter()
                    .map(|l| sfu::Layer {
                        stream: StreamId(l.stream),
                        rid: l.rid,
                        quality: l.quality,
                    })
                    .collect();
                self.tell_mesh(now, &track, room_key(&room), &layers, tag);
                let streams: Vec<StreamId> = layers.iter().map(|l| l.stream).collect();
                let info = TrackInfo {
                    sid: track,
                    room: room_key(&room),
                    kind: kind(&name),
                    layers,
                    publisher: publisher.filter(|p| self.mine(*p)),
                    red,
                };
                self.sfu(now, sfu::Input::AddTrack(info));
                // Whoever asked before the track was known here is served now.
                for stream in streams {
                    self.tell_source(now, stream, out);
                }
            }
            Command::RemoveTrack { track } => {
                self.sfu(now, sfu::Input::RemoveTrack(&track));
                let streams = self.mesh_streams.remove(&track).map(|t| t.streams);
                for stream in streams.into_iter().flatten() {
                    self.mesh(now, mesh::Input::RemoveStream { stream });
                }
            }
            Command::Publish {
                participant,
                mid,
                track,
            } => self.sfu(
                now,
                sfu::Input::Publish {
                    participant,
                    mid: &mid,
                    track: &track,
                },
            ),
            Command::SetMuted { track, muted } => self.sfu(
                now,
                sfu::Input::SetMuted {
                    track: &track,
                    muted,
                },
            ),
            Command::Subscribe {
                participant,
                transport,
                mid,
                track,
            } => self.sfu(
                now,
                sfu::Input::Subscribe {
                    participant,
                    side: side(&transport),
                    mid: &mid,
                    track: &track,
                },
            ),
            Command::Unsubscribe { participant, track } => self.sfu(
                now,
                sfu::Input::Unsubscribe {
                    participant,
                    track: &track,
                },
            ),
            Command::SetQuality {
                participant,
                track,
                quality,
                priority,
                fps,
            } => self.sfu(
                now,
                sfu::Input::SetQuality {
                    participant,
                    track: &track,
                    quality,
                    priority,
                    fps,
                },
            ),
            Command::ResumeParticipant { participant } => {
                self.sfu(now, sfu::Input::Resume { participant });
            }
            Command::AdoptConnection {
                participant,
                channels,
                here_s,
            } => self.sfu(
                now,
                sfu::Input::Adopt {
                    participant,
                    channels,
                    here: span(here_s),
                },
            ),
            Command::HoldData {
                participant,
                seconds,
            } => {
                let until = now.checked_add(span(seconds)).unwrap_or(now);
                self.sfu(now, sfu::Input::Hold { participant, until });
            }
            Command::HandOver { participant } => {
                self.sfu(now, sfu::Input::HandOver { participant });
            }
            Command::AddDataTrack {
                track,
                stream,
                publisher,
                handle,
                tag,
            } => {
                let stream = StreamId(stream);
                self.carry_data(now, &track, stream, tag);
                let info = DataTrackInfo {
                    sid: track,
                    stream,
                    publisher: publisher.filter(|p| self.mine(*p)).map(|p| (p, handle)),
                };
                self.sfu(now, sfu::Input::AddDataTrack(info));
                self.tell_source(now, stream, out);
            }
            Command::ExpectSource {
                participant,
                stream,
                ssrc,
                rtx,
            } => self.sfu(
                now,
                sfu::Input::ExpectSource {
                    participant,
                    stream: StreamId(stream),
                    ssrc,
                    rtx,
                },
            ),
            Command::SubscribeData {
                participant,
                track,
                handle,
            } => self.sfu(
                now,
                sfu::Input::SubscribeData {
                    participant,
                    track: &track,
                    handle,
                },
            ),
            Command::ReplayData { participant, had } => {
                let had: Vec<_> = had.into_iter().map(|h| (h.publisher, h.sequence)).collect();
                let had = &had;
                self.sfu(now, sfu::Input::Replay { participant, had });
            }
            Command::SendData {
                room,
                packet,
                reliable,
            } => {
                let bytes: Arc<[u8]> = packet.into_vec().into();
                let room = room_key(&room);
                let input = sfu::Input::Data {
                    room,
                    reliable,
                    bytes: &bytes,
                };
                self.sfu(now, input);
                self.data_to_nodes(now, room, reliable, &bytes);
            }
            Command::Restrict {
                participant,
                kbps,
                tcp_only,
            } => self.sfu(
                now,
                sfu::Input::Restrict {
                    participant,
                    capacity: kbps.map(bits),
                    tcp_only,
                },
            ),
            Command::MoveParticipant {
                participant,
                room,
                sid,
            } => self.sfu(
                now,
                sfu::Input::MoveParticipant {
                    participant,
                    room: room_key(&room),
                    sid: &sid,
                },
            ),
            Command::Call {
                participant,
                call,
                packet,
            } => self.sfu(
                now,
                sfu::Input::Call {
                    participant,
                    call: &call,
                    packet: &packet,
                },
            ),
            Command::SetRoomNodes { room, nodes, tag } => {
                let room = room_key(&room);
                let nodes = node_ids(nodes);
                match nodes.is_empty() {
                    true => self.room_nodes.remove(&room),
                    false => self.room_nodes.insert(room, RoomNodes { nodes, tag }),
                };
            }
            Command::SetScene {
                room,
                audio_top,
                unranked,
                repeats,
                copies,
                speech_reserve_kbps,
                playout_ms,
            } => {
                let room = room_key(&room);
                self.set_copies(now, room, self::copies(&copies));
                let time = |ms| Duration::from_millis(u64::from(ms));
                let scene = sfu::Scene {
                    audio_top: usize::from(audio_top),
                    unranked: unranked.into_iter().collect(),
                    repeats: usize::from(repeats),
                    speech_reserve: bits(speech_reserve_kbps),
                    playout: playout_ms.map(|(least, most)| (time(least), time(most))),
                };
                self.sfu(now, sfu::Input::SetScene { room, scene });
            }
            Command::AddPeer {
                node,
                public_key,
                addresses,
            } => {
                // All were checked when the command was read.
                let addresses: Vec<_> = addresses.iter().filter_map(|a| a.parse().ok()).collect();
                if let Ok(public_key) = <[u8; 32]>::try_from(public_key.as_slice()) {
                    let input = mesh::Input::AddPeer {
                        node: NodeId(node),
                        public_key,
                        addresses: &addresses,
                    };
                    self.mesh(now, input);
                }
            }
            Command::RemovePeer { node } => {
                let node = NodeId(node);
                self.mesh(now, mesh::Input::RemovePeer { node });
            }
            Command::SetRoutes { routes } => {
                let routes: Vec<mesh::Route> = routes
                    .into_iter()
                    .map(|r| mesh::Route {
                        destination: NodeId(r.destination),
                        via: node_ids(r.via),
                        second: r.second.map(node_ids),
                        tag: r.tag,
                    })
                    .collect();
                self.mesh(now, mesh::Input::SetRoutes(&routes));
            }
            Command::SetPolicies { policies } => {
                let policies: Vec<mesh::Policy> = policies
                    .into_iter()
                    .map(|p| mesh::Policy {
                        tag: p.tag,
                        nodes: node_ids(p.nodes),
                    })
                    .collect();
                self.mesh(now, mesh::Input::SetPolicies(&policies));
            }
            Command::SetProtection { share, kbps } => {
                let protection = mesh::Protection {
                    share: share.map(|share| share as f32),
                    rate: kbps.map(bits),
                };
                self.mesh(now, mesh::Input::SetProtection(protection));
            }
            Command::SetLink {
                node,
                capacity_kbps,
            } => {
                let link = mesh::Input::SetLink {
                    node: NodeId(node),
                    capacity: capacity_kbps.map(bits),
                };
                self.mesh(now, link);
            }
            // The weather of emulated links belongs to whoever has the sockets.
            Command::SetEmulation { .. } => {}
        }
    }

    /// The mesh carries a local track's layers: the lowest is what the picture can't do without.
    fn tell_mesh(
        &mut self,
        now: Instant,
        track: &str,
        room: RoomKey,
        layers: &[sfu::Layer],
        tag: u32,
    ) {
        let local = layers.iter().any(|l| l.stream.origin() == self.node);
        if self.mesh.is_none() || !local {
            return;
        }
        let lowest = layers.iter().map(|l| l.quality).min();
        for layer in layers {
            let input = mesh::Input::AddStream {
                stream: layer.stream,
                tag,
                base: Some(layer.quality) == lowest,
            };
            self.mesh(now, input);
        }
        let streams = layers.iter().map(|l| l.stream).collect();
        let track = track.to_owned();
        let told = MeshTrack {
            room: Some(room),
            streams,
        };
        self.mesh_streams.insert(track, told);
        if let Some(copies) = self.copies.get(&room).copied() {
            self.set_copies(now, room, copies);
        }
    }

    /// The mesh carries a local data track: it goes last, once, and is dropped first.
    fn carry_data(&mut self, now: Instant, track: &str, stream: StreamId, tag: u32) {
        if self.mesh.is_none() || stream.origin() != self.node {
            return;
        }
        let input = mesh::Input::AddStream {
            stream,
            tag,
            base: false,
        };
        self.mesh(now, input);
        let told = MeshTrack {
            room: None,
            streams: vec![stream],
        };
        self.mesh_streams.insert(track.to_owned(), told);
    }

    /// What of a room's pictures goes twice from now on, of tracks that come later too.
    fn set_copies(&mut self, now: Instant, room: RoomKey, copies: mesh::Copies) {
        match copies == mesh::Copies::default() {
            true => self.copies.remove(&room),
            false => self.copies.insert(room, copies),
        };
        let tracks = self.mesh_streams.values().filter(|t| t.room == Some(room));
        let streams: Vec<StreamId> = tracks.flat_map(|t| t.streams.iter().copied()).collect();
        for stream in streams {
            self.mesh(now, mesh::Input::SetCopies { stream, copies });
        }
    }
}

fn node_ids(numbers: Vec<u16>) -> Vec<NodeId> {
    numbers.into_iter().map(NodeId).collect()
}

/// Bits in so many kilobits.
fn bits(kilobits: u32) -> u64 {
    u64::from(kilobits) * 1000
}

/// Zero of what is no time.
fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn room_key(bytes: &[u8]) -> RoomKey {
    // The length was checked when the command was read.
    RoomKey(bytes.try_into().unwrap_or_default())
}

fn side(name: &str) -> Side {
    match name {
        "subscriber" => Side::Subscriber,
        _ => Side::Publisher,
    }
}

fn copies(name: &str) -> mesh::Copies {
    match name {
        "never" => mesh::Copies::Never,
        "always" => mesh::Copies::Always,
        _ => mesh::Copies::Base,
    }
}

fn kind(name: &str) -> Kind {
    match name {
        "video" => Kind::Video,
        _ => Kind::Audio,
    }
}
