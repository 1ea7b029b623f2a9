//! The gate: one thread for clients that can't come straight. It is the node's TURN server, and
//! the one TCP port behind which HTTP, ICE-TCP and TURN are told apart, inside TLS or without.
//!
//! It decides nothing about media: what a TURN client sends goes to the worker it is for, an
//! ICE-TCP connection is handed to its worker whole, and HTTP passes to the server on loopback.

mod inbox;
mod intake;
mod sniff;
mod stream;
mod streams;
mod tally;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};

use crate::addresses::Addresses;
use crate::clock;
use crate::config::{FrontConfig, NodeConfig, StartError};
use crate::owners::Owners;
use crate::queue::lock;
use crate::shell::Shared;
use crate::socket;
use crate::udp::{Buffers, UdpPort};
pub(crate) use inbox::GateInbox;
use streams::Streams;
use tally::Tally;
use tls::Tls;

pub(crate) const WAKE: Token = Token(0);
const TURN_UDP: Token = Token(1);
const TURN_TCP: Token = Token(2);
const FRONT: Token = Token(3);
const FIRST_STREAM: usize = 4;

const READY_PER_WAIT: usize = 256;

/// How often limits are checked and counters reported.
const TICK: Duration = Duration::from_secs(1);

/// The sockets that the gate is born with, and where they are.
pub(crate) struct Sockets {
    pub(crate) udp: Option<std::net::UdpSocket>,
    pub(crate) turn_tcp: Option<std::net::TcpListener>,
    pub(crate) front: Option<std::net::TcpListener>,
    pub(crate) turn_port: u16,
    pub(crate) front_port: u16,
}

impl Sockets {
    /// Binds what the configuration asks for; None if that is nothing.
    pub(crate) fn bind(config: &NodeConfig, ip: std::net::IpAddr) -> io::Result<Option<Sockets>> {
        if config.turn.is_none() && config.front.is_none() {
            return Ok(None);
        }
        let mut sockets = Sockets {
            udp: None,
            turn_tcp: None,
            front: None,
            turn_port: 0,
            front_port: 0,
        };
        if let Some(turn) = &config.turn {
            let tcp = socket::tcp_listener(ip, turn.port)?;
            sockets.turn_port = tcp.local_addr()?.port();
            sockets.udp = socket::udp_row(ip, sockets.turn_port, 1)?.pop();
            sockets.turn_tcp = Some(tcp);
        }
        if let Some(front) = &config.front {
            let listener = socket::tcp_listener(ip, front.port)?;
            sockets.front_port = listener.local_addr()?.port();
            sockets.front = Some(listener);
        }
        Ok(Some(sockets))
    }
}

struct Listener {
    socket: mio::net::TcpListener,
    /// There may be someone to accept.
    ready: bool,
}

pub(crate) struct Gate {
    shared: Arc<Shared>,
    poll: Poll,
    udp: Option<UdpPort>,
    turn_tcp: Option<Listener>,
    front: Option<Listener>,
    turn: Option<turn::Server>,
    turn_port: u16,
    /// Where HTTP goes.
    web: Option<SocketAddr>,
    tls: Option<Tls>,
    streams: Streams,
    addresses: Addresses,
    /// Which worker a relayed address belongs to.
    owners: Owners,
    out: turn::Outputs,
    tally: Tally,
    next_tick: Instant,
}

impl Gate {
    pub(crate) fn new(
        config: &NodeConfig,
        shared: Arc<Shared>,
        poll: Poll,
        sockets: Sockets,
        addresses: Addresses,
    ) -> Result<Gate, StartError> {
        let registry = poll.registry();
        let udp = sockets.udp.map(|udp| UdpPort::new(udp, registry, TURN_UDP));
        let listen = |socket: Option<std::net::TcpListener>, token| {
            socket.map(|socket| {
                let mut socket = mio::net::TcpListener::from_std(socket);
                registry.register(&mut socket, token, Interest::READABLE)?;
                io::Result::Ok(Listener {
                    socket,
                    ready: true,
                })
            })
        };
        let turn_tcp = listen(sockets.turn_tcp, TURN_TCP).transpose()?;
        let front = listen(sockets.front, FRONT).transpose()?;
        let turn = turn_server(config, addresses.candidates(shared.udp_port))?;
        let web = config.front.as_ref().map(|front| front.web_port);
        let now = clock::now();
        let mut gate = Gate {
            udp: udp.transpose()?,
            turn_tcp,
            front,
            turn,
            turn_port: sockets.turn_port,
            web: web
                .filter(|&port| port != 0)
                .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            tls: config.front.as_ref().and_then(tls_files).transpose()?,
            streams: Streams::new(FIRST_STREAM),
            addresses,
            owners: Owners::default(),
            out: turn::Outputs::default(),
            tally: Tally::default(),
            next_tick: now + TICK,
            shared,
            poll,
        };
        gate.tell_time(now);
        Ok(gate)
    }

    /// Works until told to stop. Err: the system took a socket away.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(READY_PER_WAIT);
        let mut buffers = Buffers::default();
        let mut more = true;
        loop {
            let patience = match more || self.has_input() {
                true => Duration::ZERO,
                false => self.next_tick.saturating_duration_since(clock::now()),
            };
            match self.poll.poll(&mut ready, Some(patience)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &ready {
                self.note(event);
            }
            let now = clock::now();
            let Some(left) = self.take_inbox(now) else {
                return Ok(());
            };
            more = left;
            self.receive_udp(now, &mut buffers)?;
            self.accept(now);
            self.receive_streams(now);
            if now >= self.next_tick {
                self.tick(now);
            }
            self.flush(now);
        }
    }

    fn has_input(&self) -> bool {
        self.udp.as_ref().is_some_and(|udp| udp.readable)
            || self.turn_tcp.as_ref().is_some_and(|tcp| tcp.ready)
            || self.front.as_ref().is_some_and(|front| front.ready)
            || self.streams.has_input()
    }

    fn note(&mut self, event: &mio::event::Event) {
        match event.token() {
            WAKE => {}
            TURN_UDP => {
                if let Some(udp) = &mut self.udp {
                    udp.ready(event);
                }
            }
            TURN_TCP => {
                if let Some(tcp) = &mut self.turn_tcp {
                    tcp.ready = true;
                }
            }
            FRONT => {
                if let Some(front) = &mut self.front {
                    front.ready = true;
                }
            }
            _ => self.streams.ready(event),
        }
    }

    fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        for listener in [&mut self.turn_tcp, &mut self.front].into_iter().flatten() {
            listener.ready = true;
        }
        self.tell_time(now);
        if let Some(tls) = &mut self.tls {
            self.tally.certificate_failed += u64::from(!tls.reload(now));
        }
        let turn = self.turn.as_ref();
        let is_served = |client| turn.is_some_and(|turn| turn.has_allocation(client));
        for token in self.streams.over(now, is_served) {
            self.close(now, token);
        }
        self.report();
    }

    fn tell_time(&mut self, now: Instant) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        let unix_s = clock::unix_s();
        turn.handle(now, turn::Input::Clock { unix_s }, &mut self.out);
        if turn.deadline().is_some_and(|due| due <= now) {
            turn.handle(now, turn::Input::Timeout, &mut self.out);
        }
    }

    fn report(&self) {
        let mut figures = lock(&self.shared.figures);
        // The last place is the gate's; the others are the workers'.
        if let Some(counts) = figures.last_mut() {
            counts.clear();
            self.tally.add_to(counts);
            if let Some(turn) = &self.turn {
                turn.counts().add_to(counts);
            }
        }
    }
}

fn turn_server(
    config: &NodeConfig,
    peers: Vec<SocketAddr>,
) -> Result<Option<turn::Server>, StartError> {
    let Some(given) = &config.turn else {
        return Ok(None);
    };
    let mut nonce_secret = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce_secret).map_err(|_| {
        StartError::Io(io::Error::other(
            "the system gave no random bytes for the nonces of TURN",
        ))
    })?;
    Ok(Some(turn::Server::new(turn::Config {
        realm: given.realm.clone(),
        secret: given.secret.clone(),
        nonce_secret,
        peers,
        max_allocations: given.max_allocations as usize,
        max_per_user: given.max_per_user as usize,
    })))
}

fn tls_files(front: &FrontConfig) -> Option<Result<Tls, StartError>> {
    let named = !front.certificate.is_empty();
    named.then(|| Tls::read(&front.certificate, &front.key, clock::now()))
}
