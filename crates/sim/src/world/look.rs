//! What can be seen of a world from outside, and what must hold when it has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use node::{Bus, Input};
use wire::RoomKey;

use super::World;
use crate::check;
use crate::measure::Figures;
use crate::traffic::{PublisherId, Subscription};

/// What a connected pair needs at most to carry everything again after the last fault: a
/// handshake's longest pause and the controller's.
const RECOVERY: Duration = Duration::from_secs(8);
/// What was sent this late may still be under way when the world ends.
const TAIL: Duration = Duration::from_secs(3);
/// Relays that the stub puts into a route; others may use two.
const STUB_RELAYS: usize = 1;
const RELAYS: usize = 2;
/// The room of the messages by which every pair is tried.
pub(super) const PROBES: RoomKey = RoomKey([0xff; 16]);
/// So many to each node, so far apart: loss alone must not take them all.
const PROBE_COUNT: u32 = 3;
const PROBE_GAP: Duration = Duration::from_millis(200);

/// From where a probe came to whom.
#[derive(Default)]
pub(super) struct Probes {
    came: BTreeSet<(u16, u16)>,
}

impl Probes {
    pub(super) fn came(&mut self, node: u16, bytes: &[u8]) {
        if let Some(from) = bytes.first_chunk::<2>() {
            self.came.insert((u16::from_be_bytes(*from), node));
        }
    }
}

impl World {
    /// Run until everything sent in the `calm` after the last fault must have come, and check
    /// that it did: media but for a share of `missing`, reliable messages all, and a message
    /// between any two nodes that have a way.
    pub fn settle(&mut self, calm: Duration, missing: f64) {
        let from = self.last_fault.max(self.start) + RECOVERY;
        let to = from.max(self.now) + calm;
        self.run(from.saturating_duration_since(self.now));
        for round in 0..PROBE_COUNT {
            self.probe(round > 0);
            self.run(PROBE_GAP);
        }
        self.run((to + TAIL).saturating_duration_since(self.now));
        self.check_probes();
        self.check_flows((from, to), missing);
        self.check();
    }

    fn check_flows(&mut self, window: (Instant, Instant), missing: f64) {
        for subscription in &self.subscriptions {
            let publisher = &self.publishers[subscription.publisher.0];
            if self.connected(publisher.node, subscription.node, Some(publisher.room)) {
                let violations = &mut self.violations;
                check::flows(publisher, subscription, window, missing, violations);
            }
        }
        for chat in &self.chats {
            let reachable = |to: &u16| self.connected(chat.from, *to, Some(chat.room));
            if chat.to.iter().all(reachable) {
                check::messages(chat, window, &mut self.violations);
            }
        }
    }

    /// Every node writes to all others; what came of earlier probes counts too if it is done
    /// `again`.
    pub fn probe(&mut self, again: bool) {
        let all: Vec<u16> = self.alive().into_iter().collect();
        if !again {
            self.probes = Probes::default();
            for node in &all {
                self.serve_room(*node, PROBES, &all);
            }
        }
        for node in &all {
            let data = Bus::Data {
                room: PROBES,
                reliable: false,
                bytes: node.to_be_bytes().as_slice().into(),
                local: true,
            };
            self.give(*node, Input::Bus(data));
        }
    }

    /// Whoever has a way to another must have heard its probe by now.
    pub fn check_probes(&mut self) {
        let alive = self.alive();
        for from in &alive {
            for to in alive.iter().filter(|to| *to != from) {
                let came = self.probes.came.contains(&(*from, *to));
                if !came && self.connected(*from, *to, None) {
                    self.violations
                        .add(|| format!("node {to} can't hear node {from}, but there is a way"));
                }
            }
        }
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
        let now: u64 = self
            .hosts
            .keys()
            .map(|node| self.count_at(*node, name))
            .sum();
        now + self.past.get(name).copied().unwrap_or_default()
    }

    /// One living node's counter.
    pub fn count_at(&self, node: u16, name: &str) -> u64 {
        let mesh = self.hosts.get(&node).and_then(|host| host.mesh());
        mesh.and_then(|mesh| mesh.counts().get(name).copied())
            .unwrap_or_default()
    }

    /// Every counter, summed over all nodes, dead ones included.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut totals = self.past.clone();
        for mesh in self.hosts.values().filter_map(|host| host.mesh()) {
            for (name, n) in mesh.counts() {
                *totals.entry(name).or_default() += n;
            }
        }
        totals
    }

    /// How often any node's route to any other changed.
    pub fn route_changes(&self) -> u64 {
        self.flapping.total
    }

    /// Datagrams that nodes sent to each other so far.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// And their bytes of UDP payload.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes
    }

    /// Every living node's links, as it reports them.
    pub fn links(&self, node: u16) -> Vec<mesh::LinkReport> {
        let mesh = self.hosts.get(&node).and_then(|host| host.mesh());
        mesh.map(mesh::Mesh::links).unwrap_or_default()
    }

    /// The longest time that `node` got nothing of `publisher` in the last `time`.
    pub fn worst_gap(&self, node: u16, publisher: PublisherId, time: Duration) -> Duration {
        let from = self.now.checked_sub(time).unwrap_or(self.start);
        let subscription = self.subscription(node, publisher);
        subscription.map_or(time, |s| check::worst_gap(s, from, self.now))
    }

    /// Of what was published so far, how much `node` got: numbers of packets.
    pub fn received(&self, node: u16, publisher: PublisherId) -> (usize, usize) {
        let received = self.subscription(node, publisher).map_or(0, |s| s.count);
        (received, self.publishers[publisher.0].published.len())
    }

    /// What `node` got of what `publisher` published between two times since the start; None if
    /// it never subscribed.
    pub fn figures(
        &self,
        node: u16,
        publisher: PublisherId,
        (from, to): (Duration, Duration),
    ) -> Option<Figures> {
        let window = (self.start + from, self.start + to);
        let subscription = self.subscription(node, publisher)?;
        let publisher = self.publishers.get(publisher.0)?;
        Some(Figures::of(publisher, subscription, window))
    }

    /// Who is subscribed to what, in order of subscribing: node and publisher.
    pub fn subscriptions(&self) -> Vec<(u16, PublisherId)> {
        let of = |s: &Subscription| (s.node, s.publisher);
        self.subscriptions.iter().map(of).collect()
    }

    /// The relays of a node's present route to another, first and second; None without a route.
    pub fn route(&self, node: u16, to: u16, tag: u32) -> Option<(Vec<u16>, Option<Vec<u16>>)> {
        self.flapping.route(node, to, tag)
    }

    /// How many messages of chat number `chat` came to `node`, and how many were sent.
    pub fn messages(&self, chat: usize, node: u16) -> (usize, usize) {
        let chat = &self.chats[chat];
        let received = chat.received.get(&node).map_or(0, |h| h.numbers.len());
        (received, chat.times.len())
    }

    fn subscription(&self, node: u16, publisher: PublisherId) -> Option<&Subscription> {
        let of = |s: &&Subscription| s.node == node && s.publisher == publisher;
        self.subscriptions.iter().find(of)
    }

    fn alive(&self) -> BTreeSet<u16> {
        let alive = self.hosts.iter().filter(|(_, host)| host.core.is_some());
        alive.map(|(node, _)| *node).collect()
    }

    /// Whether two nodes have a physical way between them, through nodes where the room may be.
    fn connected(&self, a: u16, b: u16, room: Option<RoomKey>) -> bool {
        let mut through = self.alive();
        if !through.contains(&a) || !through.contains(&b) {
            return false;
        }
        if let Some(allowed) = room.and_then(|room| self.frames.allowed.get(&room)) {
            through.retain(|node| allowed.contains(node));
            if !through.contains(&a) || !through.contains(&b) {
                return false;
            }
        }
        let relays = match self.controller {
            Some(_) => STUB_RELAYS,
            None => RELAYS,
        };
        self.sky.reaches((a, b), relays, &through)
    }
}
