//! The world: nodes, paths, participants, faults, and one agenda of what happens next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use netem::Weather;
use node::{Command, Event, Input, MeshTransmit, Outputs};
use serde_bytes::ByteBuf;
use wire::{NodeId, RoomKey, StreamId};

use crate::agenda::Agenda;
use crate::check::{self, Flapping, Violations};
use crate::controller::Controller;
use crate::fault::Fault;
use crate::frames::Frames;
use crate::host::{self, Host};
use crate::sky::Sky;
use crate::trace::Trace;
use crate::traffic::{Chat, Publisher, PublisherId, Subscription};

mod look;
mod people;
mod strike;

/// From a link's change to the new routes at every node.
const CONTROLLER_DELAY: Duration = Duration::from_millis(100);
/// Queues are looked at this often.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// No emulated path may hold more than this.
const MAX_UNDER_WAY: usize = 20_000;

/// Something is made wrong in the world itself, to show that a checker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// Every packet reaches its subscriber twice.
    Twice,
    /// Every frame is seen again and again, as if it went round.
    Loop,
    /// No queue may hold anything.
    Queues,
    /// The stub controller leases no second paths.
    NoSecond,
}

/// An event of a node, for whoever governs the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Since the world's start.
    pub at: Duration,
    pub node: u16,
    pub event: Event,
}

enum What {
    Publish(PublisherId),
    Chat(usize),
    Fault(Fault),
    Control,
    ClientsReturn(u16, u32),
    Check,
    Arrival(usize),
    Timer(u16),
}

/// A whole network in virtual time.
pub struct World {
    seed: u64,
    start: Instant,
    now: Instant,
    rng: fastrand::Rng,
    hosts: BTreeMap<u16, Host>,
    sky: Sky,
    agenda: Agenda<What>,
    pairs: u8,
    /// The stub; None where somebody else governs.
    controller: Option<Controller>,
    /// A computation of the stub is on the agenda.
    computing: bool,
    control_gone: bool,
    told: Vec<Told>,
    publishers: Vec<Publisher>,
    subscriptions: Vec<Subscription>,
    by_stream: HashMap<(u16, StreamId), usize>,
    chats: Vec<Chat>,
    rooms: BTreeMap<RoomKey, BTreeSet<u16>>,
    /// To which others a node's messages of a room go.
    room_nodes: BTreeMap<(u16, RoomKey), BTreeSet<u16>>,
    /// Under which each room's media and messages travel; others travel under none.
    tags: BTreeMap<RoomKey, u32>,
    probes: look::Probes,
    last_fault: Instant,
    /// Counters of meshes that are no more.
    past: BTreeMap<&'static str, u64>,
    frames: Frames,
    flapping: Flapping,
    gap_budget: Option<Duration>,
    broken: Option<Breakage>,
    violations: Violations,
    trace: Trace,
    datagrams: u64,
    bytes: u64,
    outputs: Outputs,
}

impl World {
    /// An empty world. `start` is any moment: nothing depends on it.
    pub fn new(seed: u64, start: Instant) -> World {
        let mut world = World {
            seed,
            start,
            now: start,
            rng: fastrand::Rng::with_seed(seed),
            hosts: BTreeMap::new(),
            sky: Sky::default(),
            agenda: Agenda::new(),
            pairs: mesh::MAX_PAIRS as u8,
            controller: Some(Controller::default()),
            computing: false,
            control_gone: false,
            told: Vec::new(),
            publishers: Vec::new(),
            subscriptions: Vec::new(),
            by_stream: HashMap::new(),
            chats: Vec::new(),
            rooms: BTreeMap::new(),
            room_nodes: BTreeMap::new(),
            tags: BTreeMap::new(),
            probes: look::Probes::default(),
            last_fault: start,
            past: BTreeMap::new(),
            frames: Frames::default(),
            flapping: Flapping::default(),
            gap_budget: None,
            broken: None,
            violations: Violations::default(),
            trace: Trace::new(),
            datagrams: 0,
            bytes: 0,
            outputs: Outputs::default(),
        };
        world.after(CHECK_INTERVAL, What::Check);
        world
    }

    // --- building -----------------------------------------------------------------------------

    /// How many port pairs each link has, 1 to 4 (the default); before there are nodes.
    pub fn set_pairs(&mut self, pairs: u8) {
        self.pairs = pairs.clamp(1, mesh::MAX_PAIRS as u8);
    }

    /// Whoever runs the world introduces the nodes and leases the routes: what they tell comes
    /// out of [`World::advance`] and is answered with [`World::command`]. Before there are nodes.
    pub fn govern(&mut self) {
        self.controller = None;
    }

    /// Add nodes 1 to `count`. Unless somebody else governs they know each other.
    pub fn add_nodes(&mut self, count: u16) {
        for node in 1..=count {
            let core = self.new_core(node, 0);
            self.hosts.insert(node, Host::new(core));
        }
        for node in 1..=count {
            self.schedule_timer(node);
            self.introduce(node);
        }
    }

    /// A path between two nodes, the same both ways. Without one nothing passes.
    pub fn add_path(&mut self, a: u16, b: u16, weather: Weather) {
        for (from, to) in [(a, b), (b, a)] {
            for pair in 0..self.pairs {
                let seed = self.rng.u64(..);
                self.sky.add((from, to, pair), weather, seed);
            }
        }
        if let Some(controller) = &mut self.controller {
            controller.know(a, b, weather.delay);
        }
    }

    /// Media and messages of a room travel under `tag` from now on (0: none), and the checker
    /// wants them nowhere but on `nodes`.
    pub fn restrict(&mut self, room: RoomKey, tag: u32, nodes: &[u16]) {
        let nodes: BTreeSet<u16> = nodes.iter().copied().collect();
        self.tags.insert(room, tag);
        self.frames.allowed.insert(room, nodes.clone());
        if let Some(controller) = self.controller.as_mut().filter(|_| tag != 0) {
            controller.allow(tag, nodes);
        }
        self.compute_soon();
    }

    /// No subscriber of audio may wait longer than this for its next packet, beyond the usual,
    /// from now on; None stops looking.
    pub fn set_gap_budget(&mut self, budget: Option<Duration>) {
        self.gap_budget = budget;
    }

    /// No route of a node may change more often than this in a minute, from now on.
    pub fn set_route_budget(&mut self, changes: usize) {
        self.flapping.budget = Some(changes);
    }

    /// Make something wrong.
    pub fn break_it(&mut self, breakage: Breakage) {
        self.broken = Some(breakage);
    }

    // --- running ------------------------------------------------------------------------------

    /// Time since the start.
    pub fn time(&self) -> Duration {
        self.now - self.start
    }

    /// Let this much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Go on until a time since the start, or until nodes tell something: what they told then.
    pub fn advance(&mut self, until: Duration) -> Vec<Told> {
        let end = self.start + until;
        while self.told.is_empty() {
            if !self.step(end) {
                self.now = self.now.max(end);
                break;
            }
        }
        std::mem::take(&mut self.told)
    }

    /// Do what is next, if that is due by `end`.
    fn step(&mut self, end: Instant) -> bool {
        let Some((at, what)) = self.agenda.pop(end) else {
            return false;
        };
        self.now = self.now.max(at);
        match what {
            What::Arrival(way) => self.arrive(at, way),
            What::Timer(node) => self.time_out(at, node),
            What::Publish(id) => self.publish_next(id),
            What::Chat(i) => self.write(i),
            What::Fault(fault) => self.strike(fault),
            What::Control => self.compute(),
            What::ClientsReturn(node, life) => self.clients_return(node, life),
            What::Check => {
                self.check();
                self.after(CHECK_INTERVAL, What::Check);
            }
        }
        true
    }

    /// Hand a node a command, as its Python would. Nothing happens if it is dead.
    pub fn command(&mut self, node: u16, command: Command) {
        if let Command::SetRoutes { routes } = &command {
            self.note(&[8, u64::from(node), routes.len() as u64]);
            self.flapping
                .told(self.now, node, routes, &mut self.violations);
        }
        self.give(node, Input::Command(command));
    }

    /// The key by which others pin a node.
    pub fn public_key(&self, node: u16) -> [u8; 32] {
        host::key(node)
    }

    /// Where a node's mesh ports are, `ip:port`.
    pub fn addresses(&self, node: u16) -> Vec<String> {
        (0..self.pairs)
            .map(|pair| host::address(node, pair).to_string())
            .collect()
    }

    fn new_core(&self, node: u16, life: u32) -> node::Node {
        let seed = self.seed ^ u64::from(node) << 32 ^ u64::from(life);
        let mut core = host::core(node, seed, self.now);
        if let Some(mesh) = core.mesh_mut() {
            mesh.watch();
        }
        core
    }

    /// A node hears of all others, as the stub's world has it.
    fn introduce(&mut self, node: u16) {
        if self.controller.is_none() {
            return;
        }
        let others: Vec<u16> = self.hosts.keys().copied().filter(|n| *n != node).collect();
        for other in others {
            let command = Command::AddPeer {
                node: other,
                public_key: ByteBuf::from(host::key(other)),
                addresses: self.addresses(other),
            };
            self.command(node, command);
        }
    }

    // --- control ------------------------------------------------------------------------------

    fn compute_soon(&mut self) {
        if self.controller.is_some() && !self.computing {
            self.computing = true;
            self.after(CONTROLLER_DELAY, What::Control);
        }
    }

    fn compute(&mut self) {
        self.computing = false;
        let Some(controller) = self.controller.as_ref().filter(|_| !self.control_gone) else {
            return;
        };
        let heard = |(node, host): (&u16, &Host)| (!host.cell_cut).then_some(*node);
        let reached: BTreeSet<u16> = self.hosts.iter().filter_map(heard).collect();
        let nodes: Vec<u16> = self.hosts.keys().copied().collect();
        for (node, commands) in controller.tables(&nodes) {
            if !reached.contains(&node) {
                continue;
            }
            for mut command in commands {
                if let (Command::SetRoutes { routes }, Some(Breakage::NoSecond)) =
                    (&mut command, self.broken)
                {
                    routes.iter_mut().for_each(|route| route.second = None);
                }
                self.command(node, command);
            }
        }
    }

    fn hear(&mut self, node: u16, mut event: Event) {
        let Some(host) = self.hosts.get(&node) else {
            return;
        };
        let (lie, cell_cut) = (host.lie, host.cell_cut);
        if let Event::LinkReport { links } = &mut event {
            for link in links.iter_mut().filter(|_| lie != 1.0) {
                for rtt in [&mut link.rtt_ms, &mut link.rtt_min_ms, &mut link.rtt_p95_ms] {
                    *rtt = rtt.map(|ms| ms * lie);
                }
            }
        }
        let Some(controller) = &mut self.controller else {
            if matches!(event, Event::LinkReport { .. } | Event::Fatal { .. }) {
                let at = self.now - self.start;
                self.told.push(Told { at, node, event });
            }
            return;
        };
        let Event::LinkReport { links } = event else {
            return;
        };
        if !cell_cut && controller.report(node, &links) {
            self.compute_soon();
        }
    }

    // --- nodes --------------------------------------------------------------------------------

    fn arrive(&mut self, at: Instant, way: usize) {
        if self.sky.ways[way].scheduled != Some(at) {
            return;
        }
        self.sky.ways[way].scheduled = None;
        while let Some(mut bytes) = self.sky.ways[way].path.pop(self.now) {
            let (from, to, port) = {
                let way = &self.sky.ways[way];
                (way.from, way.to, way.pair)
            };
            let from = host::address(from, port);
            let bytes = &mut bytes;
            self.give(to, Input::Mesh { from, port, bytes });
        }
        self.schedule_arrival(way);
    }

    fn time_out(&mut self, at: Instant, node: u16) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        if host.scheduled != Some(at) {
            return;
        }
        host.scheduled = None;
        match host.deadline().is_some_and(|due| due <= self.now) {
            true => self.give(node, Input::Timeout),
            false => self.schedule_timer(node),
        }
    }

    /// Hand a node something, do what it says, and see when it wants to be called again.
    fn give(&mut self, node: u16, input: Input<'_>) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(core) = &mut host.core else {
            return;
        };
        let mut out = std::mem::take(&mut self.outputs);
        core.handle(self.now + host.ahead, input, &mut out);
        let seen = core.mesh_mut().map(mesh::Mesh::seen).unwrap_or_default();
        for seen in seen {
            let publishers = &self.publishers;
            let room_of = |stream| publishers.get(Publisher::of(stream).0).map(|p| p.room);
            let times = match self.broken {
                Some(Breakage::Loop) => 100,
                _ => 1,
            };
            for _ in 0..times {
                self.frames.look(node, &seen, room_of, &mut self.violations);
            }
        }
        for transmit in out.mesh.drain(..) {
            self.transmit(node, transmit);
        }
        for (_, bus) in out.bus.drain(..) {
            self.hear_bus(node, bus);
        }
        for event in out.events.drain(..) {
            self.hear(node, event);
        }
        out.client.clear();
        self.outputs = out;
        self.schedule_timer(node);
    }

    fn transmit(&mut self, node: u16, transmit: MeshTransmit) {
        let MeshTransmit {
            peer: NodeId(peer),
            port,
            bytes,
            ..
        } = transmit;
        let length = bytes.len();
        self.datagrams += 1;
        self.bytes += length as u64;
        let way = u64::from(node) << 24 | u64::from(peer) << 8 | u64::from(port);
        self.note(&[2, way, length as u64]);
        if let Some(way) = self.sky.find(node, peer, port) {
            self.sky.ways[way].path.push(self.now, bytes, length);
            self.schedule_arrival(way);
        }
    }

    fn schedule_arrival(&mut self, way: usize) {
        let place = way;
        let way = &mut self.sky.ways[way];
        let Some(due) = way.path.deadline() else {
            return;
        };
        if way.scheduled.is_none_or(|at| due < at) {
            way.scheduled = Some(due);
            self.agenda.add(due, What::Arrival(place));
        }
    }

    fn schedule_timer(&mut self, node: u16) {
        let Some(host) = self.hosts.get_mut(&node) else {
            return;
        };
        let Some(due) = host.deadline() else {
            return;
        };
        let due = due.max(self.now);
        if host.scheduled.is_none_or(|at| due < at) {
            host.scheduled = Some(due);
            self.agenda.add(due, What::Timer(node));
        }
    }

    fn after(&mut self, time: Duration, what: What) {
        self.agenda.add(self.now + time, what);
    }

    fn note(&mut self, words: &[u64]) {
        let at = (self.now - self.start).as_nanos() as u64;
        self.trace.note(&[at]);
        self.trace.note(words);
    }

    fn check(&mut self) {
        let mut totals = self.past.clone();
        for (node, host) in &self.hosts {
            let Some(mesh) = host.mesh() else { continue };
            check::queues(*node, mesh, &mut self.violations);
            if self.broken == Some(Breakage::Queues) {
                for queue in mesh.queues().iter().filter(|queue| queue.length > 0) {
                    self.violations.add(|| format!("node {node}: {queue:?}"));
                }
            }
            for (name, n) in mesh.counts() {
                *totals.entry(name).or_default() += n;
            }
        }
        for way in &self.sky.ways {
            let n = way.path.under_way();
            if n > MAX_UNDER_WAY {
                let (from, to) = (way.from, way.to);
                self.violations
                    .add(|| format!("{n} datagrams under way from {from} to {to}"));
            }
        }
        check::honest(&totals, &mut self.violations);
        self.frames.turn();
    }
}
