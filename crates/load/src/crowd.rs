//! All clients of a run on one thread: sockets are emptied first, so that a packet's arrival is
//! not dated by the work on those before it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::door::{Door, Knock};
use crate::failure::Failure;
use crate::hearing::Window;
use crate::media::{Kind, Source};
use crate::peer::Peer;
use crate::signal::{self, Signal};
use crate::spec::{Seat, Spec};

const WAKE: Token = Token(usize::MAX - 1);
const READY_PER_WAIT: usize = 1_024;

/// The longest wait: lost wakes cost no more.
const PATIENCE: Duration = Duration::from_millis(50);

/// Datagrams read before they are handled; the rest wait in their sockets.
const BATCH: usize = 4_096;

const MAX_DATAGRAM: usize = 2_048;

pub(crate) struct Crowd {
    pub(crate) epoch: Instant,
    kind: Kind,
    payload_bytes: usize,
    pub(crate) publishers: usize,
    poll: Poll,
    events: Events,
    door: Door,
    pub(crate) peers: Vec<Option<Peer>>,
    /// Peers whose socket may hold more.
    unread: Vec<usize>,
    arrived: Vec<Arrived>,
    bytes: Vec<u8>,
}

struct Arrived {
    peer: usize,
    at: Instant,
    from: SocketAddr,
    range: Range<usize>,
}

impl Crowd {
    /// Everyone of the spec but the joiners, on their way in.
    pub(crate) fn new(spec: &Spec) -> Result<Crowd, Failure> {
        let poll = Poll::new()?;
        let door = Door::new(Waker::new(poll.registry(), WAKE)?);
        let mut crowd = Crowd {
            epoch: Instant::now(),
            kind: spec.media,
            payload_bytes: spec.payload_bytes,
            publishers: spec.publishers.len(),
            poll,
            events: Events::with_capacity(READY_PER_WAIT),
            door,
            peers: Vec::new(),
            unread: Vec::new(),
            arrived: Vec::new(),
            bytes: Vec::new(),
        };
        for (index, seat) in spec.publishers.iter().enumerate() {
            crowd.add(seat, format!("publisher {index}"), Some(index as u32))?;
        }
        for (index, seat) in spec.subscribers.iter().enumerate() {
            crowd.add(seat, format!("subscriber {index}"), None)?;
        }
        Ok(crowd)
    }

    /// One more client begins to join. Returns its place in `peers`.
    pub(crate) fn add(
        &mut self,
        seat: &Seat,
        name: String,
        publishes: Option<u32>,
    ) -> Result<usize, Failure> {
        let address = seat.address()?;
        let source = publishes.map(|index| Source::new(index, self.kind, self.payload_bytes));
        let now = Instant::now();
        let mut peer = Peer::new(name, self.kind, source, self.publishers, now)?;
        let kind = publishes.map(|_| self.kind);
        let uri = signal::join_uri(&seat.url, &peer.offer, kind).map_err(Failure::Usage)?;
        let client = self.peers.len();
        let token = Token(2 * client);
        let registry = self.poll.registry();
        registry.register(&mut peer.socket, token, Interest::READABLE)?;
        self.peers.push(Some(peer));
        self.door.knock(Knock {
            client,
            address,
            uri,
            token: seat.token.clone(),
        });
        Ok(client)
    }

    /// Sends a client home and forgets it.
    pub(crate) fn remove(&mut self, client: usize) {
        if let Some(mut peer) = self.peers[client].take() {
            peer.leave();
        }
    }

    pub(crate) fn present(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().flatten()
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Peer> {
        self.present().filter(|peer| peer.source.is_none())
    }

    /// Every publisher begins to speak.
    pub(crate) fn speak(&mut self) {
        let (now, publishers) = (Instant::now(), self.publishers as f64);
        let sources = self.peers.iter_mut().flatten();
        let sources = sources.filter_map(|peer| peer.source.as_mut());
        for (index, (source, _)) in sources.enumerate() {
            source.start(now, index as f64 / publishers);
        }
    }

    /// The number of each publisher's next packet.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let sources = self.present().filter_map(|peer| peer.source.as_ref());
        sources.map(|(source, _)| source.number).collect()
    }

    /// What was sent between two readings of `numbers`.
    pub(crate) fn window(before: &[u32], after: &[u32]) -> Window {
        let ranges = before.iter().zip(after).map(|(&from, &to)| from..to);
        (0..).zip(ranges).collect()
    }

    pub(crate) fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Runs until `done`; Err with `what` after `patience`.
    pub(crate) fn run_until(
        &mut self,
        patience: Duration,
        done: impl Fn(&Crowd) -> bool,
        what: impl Fn(&Crowd) -> String,
    ) -> Result<(), Failure> {
        let end = Instant::now() + patience;
        while !done(self) {
            if Instant::now() >= end {
                let seconds = patience.as_secs();
                let what = what(self);
                return Err(Failure::Server(format!("{what} after {seconds} s")));
            }
            self.turn(end)?;
        }
        Ok(())
    }

    fn turn(&mut self, end: Instant) -> Result<(), Failure> {
        let now = Instant::now();
        let next = self.present().map(Peer::deadline).min().unwrap_or(end);
        let wait = next.min(end).saturating_duration_since(now).min(PATIENCE);
        let wait = if self.unread.is_empty() {
            wait
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut signalled = Vec::new();
        for event in &self.events {
            match event.token() {
                WAKE => {}
                Token(token) if token % 2 == 0 => self.unread.push(token / 2),
                Token(token) => signalled.push(token / 2),
            }
        }
        self.receive()?;
        self.let_in(&mut signalled)?;
        let now = Instant::now();
        for client in signalled {
            if let Some(peer) = &mut self.peers[client] {
                peer.listen(now, self.epoch)?;
            }
        }
        for peer in self.peers.iter_mut().flatten() {
            if peer.deadline() <= now {
                peer.tick(now, self.epoch)?;
            }
        }
        Ok(())
    }

    /// Empties the sockets, then handles what was in them.
    fn receive(&mut self) -> Result<(), Failure> {
        self.arrived.clear();
        let mut filled = 0;
        while let Some(&client) = self.unread.last() {
            if self.arrived.len() >= BATCH {
                break;
            }
            let Some(peer) = &self.peers[client] else {
                self.unread.pop();
                continue;
            };
            if self.bytes.len() < filled + MAX_DATAGRAM {
                self.bytes.resize(filled + 64 * MAX_DATAGRAM, 0);
            }
            match peer.socket.recv_from(&mut self.bytes[filled..]) {
                Ok((count, from)) => {
                    self.arrived.push(Arrived {
                        peer: client,
                        at: Instant::now(),
                        from,
                        range: filled..filled + count,
                    });
                    filled += count;
                }
                Err(_) => {
                    self.unread.pop();
                }
            }
        }
        for arrived in &self.arrived {
            if let Some(peer) = &mut self.peers[arrived.peer] {
                let bytes = &self.bytes[arrived.range.clone()];
                peer.receive(arrived.at, arrived.from, bytes, self.epoch)?;
            }
        }
        Ok(())
    }

    /// Takes the signal connections that the door has opened.
    fn let_in(&mut self, signalled: &mut Vec<usize>) -> Result<(), Failure> {
        while let Some(opened) = self.door.opened() {
            let Some(peer) = &mut self.peers[opened.client] else {
                continue;
            };
            let socket = opened
                .socket
                .map_err(|reason| Failure::Server(format!("{} {reason}", peer.name)))?;
            let now = Instant::now();
            peer.times.asked = Some(opened.asked_at);
            peer.times.opened = Some(now);
            let token = Token(2 * opened.client + 1);
            let signal = Signal::new(socket, now);
            self.poll.registry().register(
                &mut SourceFd(&signal.fd().as_raw_fd()),
                token,
                Interest::READABLE,
            )?;
            peer.signal = Some(signal);
            // What came with the handshake is in the connection's buffer, not in the socket.
            signalled.push(opened.client);
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            peer.leave();
        }
    }
}
