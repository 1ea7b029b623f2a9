//! What plain participants do, and what reaches them.

use std::collections::BTreeSet;
use std::time::Duration;

use node::{Bus, Command, Input, Layer};
use serde_bytes::ByteBuf;
use wire::{RoomKey, StreamId};

use super::{Breakage, What, World};
use crate::host::WORKER;
use crate::traffic::{Author, Chat, Kind, LOBBY, Publisher, PublisherId, Subscription};

impl World {
    /// Somebody at `node` publishes from now on, in no room in particular.
    pub fn publish(&mut self, node: u16, kind: Kind) -> PublisherId {
        self.publish_in(LOBBY, node, kind)
    }

    /// Somebody at `node` publishes in a room from now on.
    pub fn publish_in(&mut self, room: RoomKey, node: u16, kind: Kind) -> PublisherId {
        let id = PublisherId(self.publishers.len());
        self.publishers.push(Publisher {
            id,
            node,
            kind,
            room,
            published: Vec::new(),
        });
        self.add_track(id);
        let phase = Duration::from_micros(self.rng.u64(..20_000));
        self.after(phase, What::Publish(id));
        id
    }

    /// Somebody at `node` subscribes. None if there is no such publisher.
    pub fn subscribe(&mut self, node: u16, publisher: PublisherId) -> Option<()> {
        self.publishers.get(publisher.0)?;
        let stream = self.stream(publisher);
        self.by_stream
            .insert((node, stream), self.subscriptions.len());
        self.subscriptions.push(Subscription {
            node,
            publisher,
            stream,
            received: Vec::new(),
            count: 0,
            latest: None,
        });
        self.want(node, stream, true);
        Some(())
    }

    /// Somebody at `from` writes to the nodes `to` of a room, ten messages a second.
    pub fn chat(&mut self, room: RoomKey, from: u16, to: &[u16], reliable: bool) {
        self.rooms.entry(room).or_default().extend(to);
        self.serve_room(from, room, to);
        self.chats.push(Chat {
            from,
            to: to.to_vec(),
            room,
            reliable,
            times: Vec::new(),
            received: Default::default(),
        });
        self.after(Chat::INTERVAL, What::Chat(self.chats.len() - 1));
    }

    pub(super) fn serve_room(&mut self, node: u16, room: RoomKey, to: &[u16]) {
        let nodes = self.room_nodes.entry((node, room)).or_default();
        nodes.extend(to);
        let command = Command::SetRoomNodes {
            room: ByteBuf::from(room.0),
            nodes: nodes.iter().copied().collect(),
            tag: self.tags.get(&room).copied().unwrap_or_default(),
        };
        self.command(node, command);
    }

    /// Tell a node that a room's messages also go to nodes which are none of its members.
    pub fn misdirect(&mut self, node: u16, room: RoomKey, to: &[u16]) {
        self.serve_room(node, room, to);
    }

    fn add_track(&mut self, id: PublisherId) {
        let publisher = &self.publishers[id.0];
        let life = self.hosts.get(&publisher.node).map_or(0, |host| host.life);
        let stream = publisher.stream(life).0;
        let layers = match publisher.kind {
            Kind::Audio | Kind::Video => vec![Layer::new(stream, None, 0)],
            Kind::Upper => {
                // The lower layer's stream would be the last that this node gives out.
                let lower = (u64::from(publisher.node) << 48) | ((u64::MAX >> 16) - id.0 as u64);
                let rid = |rid: &str| Some(rid.to_owned());
                vec![
                    Layer::new(lower, rid("q"), 0),
                    Layer::new(stream, rid("f"), 2),
                ]
            }
        };
        let command = Command::AddTrack {
            track: format!("TR_{}_{life}", id.0),
            room: ByteBuf::from(publisher.room.0),
            kind: match publisher.kind {
                Kind::Audio => "audio".to_owned(),
                Kind::Video | Kind::Upper => "video".to_owned(),
            },
            layers,
            publisher: Some(u64::from(WORKER)),
            tag: self.tags.get(&publisher.room).copied().unwrap_or_default(),
            red: true,
        };
        let node = publisher.node;
        self.command(node, command);
    }

    fn want(&mut self, node: u16, stream: StreamId, wanted: bool) {
        let from = WORKER;
        let want = Bus::Want {
            stream,
            wanted,
            from,
        };
        self.give(node, Input::Bus(want));
    }

    pub(super) fn publish_next(&mut self, id: PublisherId) {
        let publisher = &mut self.publishers[id.0];
        let interval = publisher.interval();
        let node = publisher.node;
        if let Some(host) = self.hosts.get(&node).filter(|host| !host.away) {
            let stream = publisher.stream(host.life);
            for packet in publisher.next(self.now) {
                let media = Bus::Media { stream, packet };
                self.give(node, Input::Bus(media));
            }
        }
        self.after(interval, What::Publish(id));
    }

    pub(super) fn write(&mut self, i: usize) {
        self.after(Chat::INTERVAL, What::Chat(i));
        let length = match self.rng.u8(..) {
            0..200 => self.rng.usize(..200),
            200..250 => self.rng.usize(..4_000),
            250.. => self.rng.usize(..60_000),
        };
        let chat = &mut self.chats[i];
        let from = chat.from;
        let Some(host) = self.hosts.get(&from).filter(|host| !host.away) else {
            return;
        };
        let author = Author {
            life: host.life,
            chat: i as u32,
            number: chat.times.len() as u32,
        };
        let data = Bus::Data {
            room: chat.room,
            reliable: chat.reliable,
            bytes: chat.next(self.now, author, length),
            local: true,
        };
        self.give(from, Input::Bus(data));
    }

    /// A restarted node's clients publish and subscribe again, and the others hear of it.
    pub(super) fn clients_return(&mut self, node: u16, life: u32) {
        let host = self.hosts.get_mut(&node);
        let Some(host) = host.filter(|host| host.life == life && host.core.is_some()) else {
            return;
        };
        host.away = false;
        let of_node = |p: &Publisher| (p.node == node).then_some(p.id);
        let published: Vec<PublisherId> = self.publishers.iter().filter_map(of_node).collect();
        for id in published {
            self.publishers[id.0].published.clear();
            self.add_track(id);
        }
        for chat in self.chats.iter_mut().filter(|chat| chat.from == node) {
            chat.times.clear();
            chat.received.clear();
        }
        let of_node = |(at, room): &(u16, RoomKey)| (*at == node).then_some(*room);
        let rooms: BTreeSet<RoomKey> = self.room_nodes.keys().filter_map(of_node).collect();
        for room in rooms {
            self.serve_room(node, room, &[]);
        }
        for i in 0..self.subscriptions.len() {
            let subscription = &self.subscriptions[i];
            let (subscriber, publisher) = (subscription.node, subscription.publisher);
            if subscriber != node && self.publishers[publisher.0].node != node {
                continue;
            }
            let old = subscription.stream;
            let stream = self.stream(publisher);
            self.subscriptions[i].stream = stream;
            self.subscriptions[i].forget();
            self.by_stream.remove(&(subscriber, old));
            self.by_stream.insert((subscriber, stream), i);
            if old != stream {
                self.want(subscriber, old, false);
            }
            self.want(subscriber, stream, true);
        }
    }

    /// What a node says to its second worker, where the participants are.
    pub(super) fn hear_bus(&mut self, node: u16, bus: Bus) {
        let at = u64::from(node);
        match bus {
            Bus::Media { stream, packet } => {
                self.note(&[3, at, stream.0, packet.sequence]);
                self.receive(node, stream, packet.sequence);
                if self.broken == Some(Breakage::Twice) {
                    self.receive(node, stream, packet.sequence);
                }
            }
            Bus::Data {
                room,
                reliable,
                bytes,
                ..
            } => {
                self.note(&[4, at, bytes.len() as u64, reliable.into()]);
                self.read(node, room, reliable, &bytes);
            }
            Bus::Want { stream, wanted, .. } => self.note(&[5, at, stream.0, wanted.into()]),
            Bus::NeedKeyframe { stream } => self.note(&[6, at, stream.0]),
        }
    }

    fn receive(&mut self, node: u16, stream: StreamId, sequence: u64) {
        let Some(place) = self.by_stream.get(&(node, stream)).copied() else {
            self.violations
                .add(|| format!("node {node} got a packet of {stream}, which it does not want"));
            return;
        };
        let subscription = &mut self.subscriptions[place];
        let publisher = &self.publishers[subscription.publisher.0];
        let budget = self.gap_budget.filter(|_| publisher.kind == Kind::Audio);
        if let (Some(budget), Some(latest)) = (budget, subscription.latest) {
            let gap = (self.now - latest).saturating_sub(publisher.interval());
            if gap > budget {
                let at = self.now - self.start;
                self.violations
                    .add(|| format!("node {node} heard nothing of {stream} for {gap:?} at {at:?}"));
            }
        }
        if subscription.receive(self.now, sequence) {
            self.violations
                .add(|| format!("node {node} got packet {sequence} of {stream} twice"));
        }
    }

    fn read(&mut self, node: u16, room: RoomKey, reliable: bool, bytes: &[u8]) {
        if room == super::look::PROBES {
            self.probes.came(node, bytes);
            return;
        }
        if !self.rooms.get(&room).is_some_and(|r| r.contains(&node)) {
            self.violations
                .add(|| format!("node {node} got a message of a room that it does not serve"));
            return;
        }
        let author = Chat::read(bytes);
        let chat = author.and_then(|author| self.chats.get_mut(author.chat as usize));
        let (Some(author), Some(chat)) = (author, chat) else {
            self.violations
                .add(|| format!("node {node} got a message that is not what was sent"));
            return;
        };
        let present = self.hosts.get(&chat.from).map(|host| host.life);
        if present != Some(author.life) {
            return; // of a life that is over: it may be late
        }
        if chat.room != room || chat.reliable != reliable {
            self.violations
                .add(|| format!("node {node} got a message in another room or way than sent"));
        }
        if !chat.to.contains(&node) {
            return; // of this room, to others of its members
        }
        let heard = chat.received.entry(node).or_default();
        heard.disordered |= reliable && heard.numbers.last() > Some(&author.number);
        if !heard.numbers.insert(author.number) {
            let (number, from) = (author.number, chat.from);
            self.violations
                .add(|| format!("node {node} got message {number} of node {from} twice"));
        }
    }

    fn stream(&self, publisher: PublisherId) -> StreamId {
        let publisher = &self.publishers[publisher.0];
        let life = self.hosts.get(&publisher.node).map_or(0, |host| host.life);
        publisher.stream(life)
    }
}
