//! What each command from Python means to the SFU and the mesh.

use std::sync::Arc;
use std::time::Instant;

use sfu::{Kind, ParticipantInfo, Side, TrackInfo};
use wire::{NodeId, RoomKey, StreamId};

use crate::command::Command;
use crate::node::{Node, Outputs};

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
            } => {
                let layers: Vec<sfu::Layer> = layers
                    .into_iter()
                    .map(|l| sfu::Layer {
                        stream: StreamId(l.stream),
                        rid: l.rid,
                        quality: l.quality,
                    })
                    .collect();
                let streams: Vec<StreamId> = layers.iter().map(|l| l.stream).collect();
                let info = TrackInfo {
                    sid: track,
                    room: room_key(&room),
                    kind: kind(&name),
                    layers,
                    publisher: publisher.filter(|p| self.mine(*p)),
                };
                self.sfu(now, sfu::Input::AddTrack(info));
                // Whoever asked before the track was known here is served now.
                for stream in streams {
                    self.tell_source(now, stream, out);
                }
            }
            Command::RemoveTrack { track } => self.sfu(now, sfu::Input::RemoveTrack(&track)),
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
            } => self.sfu(
                now,
                sfu::Input::SetQuality {
                    participant,
                    track: &track,
                    quality,
                },
            ),
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
            Command::SetRoomNodes { room, nodes } => {
                let room = room_key(&room);
                match nodes.is_empty() {
                    true => self.room_nodes.remove(&room),
                    false => self
                        .room_nodes
                        .insert(room, nodes.into_iter().map(NodeId).collect()),
                };
            }
            Command::AddPeer {
                node,
                public_key,
                address,
            } => {
                // Both were checked when the command was read.
                let key = <[u8; 32]>::try_from(public_key.as_slice());
                if let (Ok(public_key), Ok(address)) = (key, address.parse()) {
                    let node = NodeId(node);
                    let input = mesh::Input::AddPeer {
                        node,
                        public_key,
                        address,
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
                        via: r.via.into_iter().map(NodeId).collect(),
                    })
                    .collect();
                self.mesh(now, mesh::Input::SetRoutes(&routes));
            }
            // The weather of emulated links belongs to whoever has the sockets.
            Command::SetEmulation { .. } => {}
        }
    }
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

fn kind(name: &str) -> Kind {
    match name {
        "video" => Kind::Video,
        _ => Kind::Audio,
    }
}
