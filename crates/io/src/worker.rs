//! One packet thread: waits, drains its sources in bounded turns, feeds the node, flushes.

mod intake;
mod outlet;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};
use node::{Bus, Event, Input, Outputs};

use crate::addresses::Addresses;
use crate::clock;
use crate::counters::Tally;
use crate::owners::Owners;
use crate::queue::lock;
use crate::shell::Shared;
use crate::tcp::Connections;
use crate::udp::{Buffers, UdpPort};
use crate::weather::Weather;

pub(crate) const WAKE: Token = Token(0);
const CLIENTS: Token = Token(1);
const LISTENER: Token = Token(2);
/// Of mesh port 0; the others follow.
const FIRST_MESH: usize = 3;
const FIRST_CONNECTION: usize = FIRST_MESH + mesh::MAX_PAIRS;

/// Readiness reports taken from one wait.
const READY_PER_WAIT: usize = 256;

/// Timers run in one turn: what one produces for another leaves in the same turn.
const TIMEOUTS_PER_TURN: usize = 4;

/// How often limits are checked and counters reported.
const TICK: Duration = Duration::from_secs(1);

/// What a worker drives: [`node::Node`], or a double of it in tests.
pub(crate) trait Core: Send + 'static {
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outputs);
    fn deadline(&self) -> Option<Instant>;
}

impl Core for node::Node {
    fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outputs) {
        node::Node::handle(self, now, input, out);
    }

    fn deadline(&self) -> Option<Instant> {
        node::Node::deadline(self)
    }
}

/// The sockets that a worker is born with.
pub(crate) struct Sockets {
    pub(crate) clients: std::net::UdpSocket,
    /// Worker 0 alone has the next two.
    pub(crate) mesh: Vec<std::net::UdpSocket>,
    pub(crate) listener: Option<std::net::TcpListener>,
}

pub(crate) struct Worker<C> {
    index: u16,
    core: C,
    shared: Arc<Shared>,
    poll: Poll,
    clients: UdpPort,
    /// By number of the port.
    mesh: Vec<UdpPort>,
    listener: Option<mio::net::TcpListener>,
    accepting: bool,
    inbox_has_more: bool,
    tcp: Connections,
    owners: Owners,
    addresses: Addresses,
    udp_port: u16,
    tcp_port: u16,
    weather: Weather,
    out: Outputs,
    /// Messages for each worker, gathered until the next flush.
    bus: Vec<Vec<Bus>>,
    tally: Tally,
    node_counts: BTreeMap<String, u64>,
    next_tick: Instant,
}

impl<C: Core> Worker<C> {
    pub(crate) fn new(
        index: u16,
        core: C,
        shared: Arc<Shared>,
        poll: Poll,
        sockets: Sockets,
        addresses: Addresses,
        seed: u64,
    ) -> io::Result<Worker<C>> {
        let registry = poll.registry();
        let (udp_port, tcp_port) = (shared.udp_port, shared.tcp_port);
        let clients = UdpPort::new(sockets.clients, registry, CLIENTS)?;
        let mesh = sockets.mesh.into_iter().enumerate();
        let mesh = mesh
            .map(|(i, socket)| UdpPort::new(socket, registry, Token(FIRST_MESH + i)))
            .collect::<io::Result<Vec<UdpPort>>>()?;
        let mut listener = sockets.listener.map(mio::net::TcpListener::from_std);
        if let Some(listener) = &mut listener {
            registry.register(listener, LISTENER, Interest::READABLE)?;
        }
        let bus = shared.inboxes.iter().map(|_| Vec::new()).collect();
        Ok(Worker {
            index,
            core,
            shared,
            poll,
            clients,
            mesh,
            listener,
            accepting: true,
            inbox_has_more: true,
            tcp: Connections::new(FIRST_CONNECTION),
            owners: Owners::default(),
            addresses,
            udp_port,
            tcp_port,
            weather: Weather::new(seed),
            out: Outputs::default(),
            bus,
            tally: Tally::default(),
            node_counts: BTreeMap::new(),
            next_tick: clock::now() + TICK,
        })
    }

    /// Works until told to stop. Err: the system took a socket away.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(READY_PER_WAIT);
        let mut buffers = Buffers::default();
        loop {
            match self.poll.poll(&mut ready, self.patience()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &ready {
                self.note(event);
            }
            let now = clock::now();
            if self.inbox_has_more && self.take_inbox(now) {
                return Ok(());
            }
            self.receive_clients(now, &mut buffers)?;
            self.receive_mesh(now, &mut buffers)?;
            self.accept(now);
            self.receive_tcp(now);
            self.keep_time(now);
            self.flush(now);
        }
    }

    /// How long to sleep: not at all while a source may hold more.
    fn patience(&self) -> Option<Duration> {
        let more = self.inbox_has_more
            || self.clients.readable
            || self.mesh.iter().any(|mesh| mesh.readable)
            || (self.accepting && self.listener.is_some())
            || self.tcp.has_input()
            || self.tcp.has_output();
        if more {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.core.deadline(),
            self.weather.deadline(),
            Some(self.next_tick),
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(clock::now()))
    }

    fn note(&mut self, event: &mio::event::Event) {
        match event.token() {
            WAKE => self.inbox_has_more = true,
            CLIENTS => self.clients.ready(event),
            LISTENER => self.accepting = true,
            Token(mesh @ FIRST_MESH..FIRST_CONNECTION) => {
                if let Some(mesh) = self.mesh.get_mut(mesh - FIRST_MESH) {
                    mesh.ready(event);
                }
            }
            _ => self.tcp.ready(event),
        }
    }

    /// Runs what is due: the node's timers, the emulated links, and once a second the limits.
    fn keep_time(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_TURN {
            match self.core.deadline() {
                Some(deadline) if deadline <= now => self.feed(now, Input::Timeout),
                _ => break,
            }
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.accepting = true;
        let (heard_of, closed) = self.tcp.expire(now, self.poll.registry());
        self.tally.tcp_closed += closed;
        for from in heard_of {
            self.feed(now, Input::ClientClosed { from });
        }
        self.report();
    }

    /// Publishes this worker's counters; worker 0 sends everyone's sum.
    fn report(&mut self) {
        let mut counts = self.node_counts.clone();
        self.tally.add_to(&mut counts);
        let mut figures = lock(&self.shared.figures);
        figures[usize::from(self.index)] = counts;
        if self.index != 0 {
            return;
        }
        let mut sum = BTreeMap::<String, u64>::new();
        for (name, value) in figures.iter().flatten() {
            *sum.entry(name.clone()).or_default() += value;
        }
        drop(figures);
        self.shared.events.push([Event::Counters { counts: sum }]);
    }
}
