//! One packet thread: waits, drains its sources in bounded turns, feeds the node, flushes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};
use node::{Bus, Command, Event, Input, Outputs, Protocol, Target};

use crate::addresses::Addresses;
use crate::clock;
use crate::counters::Tally;
use crate::owners::Owners;
use crate::queue::{Handover, lock};
use crate::shell::Shared;
use crate::stun;
use crate::tcp::{Arrived, Connections, Queued};
use crate::udp::{Buffers, Datagram, Flushed, UdpPort};
use crate::weather::Weather;

pub(crate) const WAKE: Token = Token(0);
const CLIENTS: Token = Token(1);
const MESH: Token = Token(2);
const LISTENER: Token = Token(3);
const FIRST_CONNECTION: usize = 4;

/// Readiness reports taken from one wait.
const READY_PER_WAIT: usize = 256;

/// Receive calls on one socket before the other sources get their turn.
const RECEIVE_CALLS_PER_TURN: usize = 4;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Datagrams that gather before they are handed to the kernel within a turn.
const FLUSH_AT: usize = 512;

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
    pub(crate) mesh: Option<std::net::UdpSocket>,
    pub(crate) listener: Option<std::net::TcpListener>,
}

pub(crate) struct Worker<C> {
    index: u16,
    core: C,
    shared: Arc<Shared>,
    poll: Poll,
    clients: UdpPort,
    mesh: Option<UdpPort>,
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
        let mesh = match sockets.mesh {
            Some(socket) => Some(UdpPort::new(socket, registry, MESH)?),
            None => None,
        };
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
            || self.mesh.as_ref().is_some_and(|mesh| mesh.readable)
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
            MESH => {
                if let Some(mesh) = &mut self.mesh {
                    mesh.ready(event);
                }
            }
            LISTENER => self.accepting = true,
            _ => self.tcp.ready(event),
        }
    }

    /// True: stop.
    fn take_inbox(&mut self, now: Instant) -> bool {
        let taken = self.shared.inboxes[usize::from(self.index)].take();
        self.inbox_has_more = taken.more;
        for command in taken.commands {
            match command {
                Command::SetEmulation { .. } => self.weather.set(now, &command),
                other => self.feed(now, Input::Command(other)),
            }
        }
        for message in taken.bus {
            self.feed(now, Input::Bus(message));
        }
        for handover in taken.handovers {
            match handover {
                Handover::Datagram { from, local, bytes } => {
                    let to = SocketAddr::new(self.addresses.reached(local), self.udp_port);
                    let protocol = Protocol::Udp;
                    self.feed(
                        now,
                        Input::Client {
                            protocol,
                            from,
                            to,
                            bytes: &bytes,
                        },
                    );
                }
                Handover::Connection(mut handed) => {
                    let (peer, packets) = (handed.peer, std::mem::take(&mut handed.packets));
                    match self.tcp.adopt(now, self.poll.registry(), *handed) {
                        Ok(local) => self.client_packets(now, peer, local, &packets),
                        Err(_) => self.tally.tcp_refused += 1,
                    }
                }
            }
        }
        taken.stop
    }

    fn receive_clients(&mut self, now: Instant, buffers: &mut Buffers) -> io::Result<()> {
        for _ in 0..RECEIVE_CALLS_PER_TURN {
            if !self.clients.readable {
                break;
            }
            self.tally.udp_receive_calls += 1;
            let count = self.clients.fill(buffers)?;
            for (from, local, bytes) in buffers.datagrams(count) {
                self.tally.udp_received += 1;
                self.client_datagram(now, from, local, bytes);
            }
        }
        Ok(())
    }

    /// Feeds a client's datagram to the node, or hands it to the worker that it is for.
    fn client_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        let owner = self.owner_of_datagram(now, from, bytes);
        if owner == self.index {
            let to = SocketAddr::new(self.addresses.reached(local), self.udp_port);
            return self.feed(
                now,
                Input::Client {
                    protocol: Protocol::Udp,
                    from,
                    to,
                    bytes,
                },
            );
        }
        let handover = Handover::Datagram {
            from,
            local,
            bytes: bytes.to_vec(),
        };
        self.hand_over(owner, handover);
    }

    fn owner_of_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> u16 {
        if self.shared.inboxes.len() == 1 {
            return self.index;
        }
        let Some(named) = self.named_owner(bytes) else {
            return self.owners.get(now, from).unwrap_or(self.index);
        };
        if named == self.index {
            self.owners.forget(from);
        } else if !self.owners.learn(now, from, named) {
            self.tally.owners_full += 1;
        }
        named
    }

    /// The worker of the participant that a STUN request names.
    fn named_owner(&self, bytes: &[u8]) -> Option<u16> {
        let participant = node::participant_of_ufrag(stun::local_ufrag(bytes)?)?;
        Some((participant % self.shared.inboxes.len() as u64) as u16)
    }

    fn hand_over(&mut self, owner: u16, handover: Handover) {
        if self.shared.inboxes[usize::from(owner)].handover(handover) {
            self.tally.handed_over += 1;
        } else {
            self.tally.inbox_dropped += 1;
        }
    }

    fn receive_mesh(&mut self, now: Instant, buffers: &mut Buffers) -> io::Result<()> {
        for _ in 0..RECEIVE_CALLS_PER_TURN {
            let Some(mesh) = self.mesh.as_mut().filter(|mesh| mesh.readable) else {
                break;
            };
            let count = mesh.fill(buffers)?;
            for (from, _, bytes) in buffers.datagrams(count) {
                self.tally.mesh_received += 1;
                self.feed(now, Input::Mesh { from, bytes });
            }
        }
        Ok(())
    }

    fn accept(&mut self, now: Instant) {
        let Some(listener) = self.listener.as_ref().filter(|_| self.accepting) else {
            return;
        };
        for _ in 0..ACCEPTS_PER_TURN {
            match listener.accept() {
                Ok((stream, peer)) => {
                    match self.tcp.accept(now, self.poll.registry(), stream, peer) {
                        Ok(()) => self.tally.tcp_accepted += 1,
                        Err(_) => self.tally.tcp_refused += 1,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accepting = false;
                    return;
                }
                Err(error) if is_the_clients(&error) => self.tally.tcp_refused += 1,
                // Out of descriptors, say: those who wait are accepted at a later tick.
                Err(_) => {
                    self.tally.tcp_refused += 1;
                    self.accepting = false;
                    return;
                }
            }
        }
    }

    fn receive_tcp(&mut self, now: Instant) {
        for arrived in self.tcp.receive(now, self.poll.registry()) {
            match arrived {
                Arrived::Packets {
                    peer,
                    local,
                    packets,
                } => {
                    self.connection_packets(now, peer, local, packets);
                }
                Arrived::Closed {
                    peer,
                    claimed,
                    bad_frame,
                } => {
                    self.tally.tcp_closed += 1;
                    self.tally.tcp_bad_frames += u64::from(bad_frame);
                    if claimed {
                        self.feed(now, Input::ClientClosed { from: peer });
                    }
                }
            }
        }
    }

    /// Packets of a connection: the first must be a STUN request, and says whose it is.
    fn connection_packets(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        local: SocketAddr,
        packets: Vec<Vec<u8>>,
    ) {
        if self.tcp.is_claimed(peer) {
            return self.client_packets(now, peer, local, &packets);
        }
        match packets.first().and_then(|first| self.named_owner(first)) {
            Some(owner) if owner == self.index => {
                self.tcp.claim(peer);
                self.client_packets(now, peer, local, &packets);
            }
            Some(owner) => {
                if let Some(handed) = self.tcp.hand(self.poll.registry(), peer, packets) {
                    self.hand_over(owner, Handover::Connection(Box::new(handed)));
                }
            }
            None => {
                self.tally.tcp_refused += 1;
                self.tcp.close(self.poll.registry(), peer);
            }
        }
    }

    fn client_packets(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: SocketAddr,
        packets: &[Vec<u8>],
    ) {
        let to = SocketAddr::new(self.addresses.reached(Some(local.ip())), self.tcp_port);
        for bytes in packets {
            self.tally.tcp_received += 1;
            self.feed(
                now,
                Input::Client {
                    protocol: Protocol::Tcp,
                    from,
                    to,
                    bytes,
                },
            );
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

    /// Gives one input to the node and takes what comes of it.
    fn feed(&mut self, now: Instant, input: Input<'_>) {
        self.core.handle(now, input, &mut self.out);
        for transmit in self.out.client.drain(..) {
            match transmit.protocol {
                Protocol::Udp => {
                    let source = self.addresses.source(transmit.from.ip());
                    let datagram = Datagram {
                        to: transmit.to,
                        source,
                        bytes: transmit.bytes,
                    };
                    if !self.clients.queue(datagram) {
                        self.tally.udp_send_backlog_dropped += 1;
                    }
                }
                Protocol::Tcp => match self.tcp.send(now, transmit.to, &transmit.bytes) {
                    Queued::Yes => self.tally.tcp_sent += 1,
                    Queued::Slow | Queued::Nowhere => self.tally.tcp_slow_dropped += 1,
                },
            }
        }
        for transmit in self.out.mesh.drain(..) {
            let to = transmit.to;
            let bytes = match self.weather.send(now, transmit.peer, to, transmit.bytes) {
                Some(bytes) => bytes,
                None => continue,
            };
            queue_mesh(&mut self.mesh, &mut self.tally, to, bytes);
        }
        for (target, message) in self.out.bus.drain(..) {
            match target {
                Target::Worker(worker) => {
                    if let Some(queue) = self.bus.get_mut(usize::from(worker)) {
                        queue.push(message);
                    }
                }
                Target::Others => {
                    for (worker, queue) in self.bus.iter_mut().enumerate() {
                        if worker != usize::from(self.index) {
                            queue.push(message.clone());
                        }
                    }
                }
            }
        }
        if self.clients.queued() >= FLUSH_AT && self.clients.writable {
            self.flush_clients();
        }
    }

    fn flush(&mut self, now: Instant) {
        for peer in self.tcp.flush(now, self.poll.registry()) {
            self.tally.tcp_closed += 1;
            self.feed(now, Input::ClientClosed { from: peer });
        }
        let (mesh, tally) = (&mut self.mesh, &mut self.tally);
        self.weather
            .deliver(now, |to, bytes| queue_mesh(mesh, tally, to, bytes));
        self.tally.emulation_dropped = self.weather.dropped();
        self.flush_clients();
        if let Some(mesh) = &mut self.mesh {
            let Flushed {
                sent,
                calls,
                failed,
            } = mesh.flush();
            self.tally.mesh_sent += sent;
            self.tally.mesh_send_calls += calls;
            self.tally.mesh_send_dropped += failed;
        }
        for (worker, queue) in self.bus.iter_mut().enumerate() {
            if !queue.is_empty() {
                self.tally.bus_dropped += self.shared.inboxes[worker].bus(queue.drain(..));
            }
        }
        if self.out.events.is_empty() {
            return;
        }
        let counts = &mut self.node_counts;
        let events = self.out.events.drain(..).filter_map(|event| match event {
            Event::Counters { counts: latest } => {
                *counts = latest.into_iter().collect();
                None
            }
            other => Some(other),
        });
        self.shared.events.push(events);
    }

    fn flush_clients(&mut self) {
        let Flushed {
            sent,
            calls,
            failed,
        } = self.clients.flush();
        self.tally.udp_sent += sent;
        self.tally.udp_send_calls += calls;
        self.tally.udp_send_failed += failed;
    }
}

fn queue_mesh(mesh: &mut Option<UdpPort>, tally: &mut Tally, to: SocketAddr, bytes: Vec<u8>) {
    let datagram = Datagram {
        to,
        source: None,
        bytes,
    };
    if !mesh.as_mut().is_some_and(|mesh| mesh.queue(datagram)) {
        tally.mesh_send_dropped += 1;
    }
}

/// An error of accept that is about the connection, not about us.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}
