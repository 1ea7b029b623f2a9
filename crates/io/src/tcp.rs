//! The TCP clients of one worker: ICE-TCP connections, framed as RFC 4571, all of it bounded.

mod connection;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::framing::{self, Decoder};
use crate::socket;
use connection::{Connection, SEND_LIMIT};

/// Connections that have not yet shown whose they are; past it the oldest of them is closed.
const UNCLAIMED_CAPACITY: usize = 256;

/// Connections of one worker; past it new ones are closed at once.
const CONNECTION_CAPACITY: usize = 4_096;

/// Bytes read from one connection before the next gets its turn.
const READ_PER_TURN: usize = 16 << 10;

/// Connections read in one turn.
const CONNECTIONS_PER_TURN: usize = 64;

/// A connection on its way to the worker that owns it, with what was already read.
pub(crate) struct Handed {
    stream: TcpStream,
    pub(crate) peer: SocketAddr,
    local: SocketAddr,
    decoder: Decoder,
    opened: Instant,
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Handed {
    /// A connection that the gate accepted, deregistered there.
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
        opened: Instant,
        decoder: Decoder,
        packets: Vec<Vec<u8>>,
    ) -> Handed {
        Handed {
            stream,
            peer,
            local,
            decoder,
            opened,
            packets,
        }
    }
}

/// What reading a connection brought.
pub(crate) enum Arrived {
    Packets {
        peer: SocketAddr,
        local: SocketAddr,
        packets: Vec<Vec<u8>>,
    },
    /// The connection ended. `claimed`: the node has heard of it.
    Closed {
        peer: SocketAddr,
        claimed: bool,
        bad_frame: bool,
    },
}

/// What became of a packet to a TCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    Yes,
    /// The client is slow: its queue is full.
    Slow,
    /// There is no such connection, or the packet can't be framed.
    Nowhere,
}

/// The table of connections; tokens from `first` upward are theirs.
pub(crate) struct Connections {
    by_token: BTreeMap<Token, Connection>,
    by_peer: HashMap<SocketAddr, Token>,
    /// Those that may hold more to read.
    readable: BTreeSet<Token>,
    /// Those that have bytes to send and may take them.
    unflushed: BTreeSet<Token>,
    next: usize,
    scratch: Vec<u8>,
}

impl Connections {
    pub(crate) fn new(first: usize) -> Connections {
        Connections {
            by_token: BTreeMap::new(),
            by_peer: HashMap::new(),
            readable: BTreeSet::new(),
            unflushed: BTreeSet::new(),
            next: first,
            scratch: vec![0; READ_PER_TURN],
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Whether some connection still has input that was reported ready.
    pub(crate) fn has_input(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Whether some client may take bytes that wait for it.
    pub(crate) fn has_output(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Takes an accepted connection. Err: it is refused (and closed), with the reason.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        registry: &Registry,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<()> {
        socket::tune_tcp(&stream)?;
        let local = stream.local_addr()?;
        let unclaimed = self
            .by_token
            .iter()
            .filter(|(_, connection)| !connection.claimed);
        let (count, oldest) = unclaimed.fold((0, None), |(count, oldest), (&token, connection)| {
            let age = (connection.opened, token);
            (
                count + 1,
                Some(oldest.map_or(age, |oldest| age.min(oldest))),
            )
        });
        if let Some((_, token)) = oldest.filter(|_| count >= UNCLAIMED_CAPACITY) {
            self.remove(registry, token);
        }
        let decoder = Decoder::default();
        let handed = Handed {
            stream,
            peer,
            local,
            decoder,
            opened: now,
            packets: Vec::new(),
        };
        self.insert(now, registry, handed, false).map(drop)
    }

    /// Takes a connection that another worker accepted: it is this worker's.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        registry: &Registry,
        handed: Handed,
    ) -> io::Result<SocketAddr> {
        self.insert(now, registry, handed, true)
    }

    /// Marks a connection as this worker's own.
    pub(crate) fn claim(&mut self, peer: SocketAddr) {
        if let Some(connection) = self.get(peer) {
            connection.claimed = true;
        }
    }

    pub(crate) fn is_claimed(&mut self, peer: SocketAddr) -> bool {
        self.get(peer).is_some_and(|connection| connection.claimed)
    }

    /// Takes a connection out for another worker, with packets that were read but not used.
    pub(crate) fn hand(
        &mut self,
        registry: &Registry,
        peer: SocketAddr,
        packets: Vec<Vec<u8>>,
    ) -> Option<Handed> {
        let token = *self.by_peer.get(&peer)?;
        let Connection {
            mut stream,
            local,
            decoder,
            opened,
            ..
        } = self.take(token)?;
        registry.deregister(&mut stream).ok()?;
        Some(Handed {
            stream,
            peer,
            local,
            decoder,
            opened,
            packets,
        })
    }

    pub(crate) fn close(&mut self, registry: &Registry, peer: SocketAddr) {
        if let Some(&token) = self.by_peer.get(&peer) {
            self.remove(registry, token);
        }
    }

    pub(crate) fn ready(&mut self, event: &mio::event::Event) {
        let token = event.token();
        let Some(connection) = self.by_token.get_mut(&token) else {
            return;
        };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.readable.insert(token);
        }
        if event.is_writable() {
            connection.writable = true;
            if !connection.queue.is_empty() {
                self.unflushed.insert(token);
            }
        }
    }

    /// Reads a bounded share of what waits.
    pub(crate) fn receive(&mut self, now: Instant, registry: &Registry) -> Vec<Arrived> {
        let turn: Vec<Token> = self
            .readable
            .iter()
            .take(CONNECTIONS_PER_TURN)
            .copied()
            .collect();
        let mut arrived = Vec::new();
        for token in turn {
            self.readable.remove(&token);
            let Some(connection) = self.by_token.get_mut(&token) else {
                continue;
            };
            let mut packets = Vec::new();
            let end = match connection.stream.read(&mut self.scratch) {
                Ok(0) => Some(false),
                Ok(count) => {
                    connection.heard = now;
                    let bytes = &self.scratch[..count];
                    let push = connection
                        .decoder
                        .push(bytes, |one| packets.push(one.to_vec()));
                    // More may wait: a short read proves nothing when readiness comes once.
                    self.readable.insert(token);
                    push.err().map(|_| true)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.readable.insert(token);
                    None
                }
                Err(_) => Some(false),
            };
            let (peer, local) = (connection.peer, connection.local);
            if !packets.is_empty() {
                arrived.push(Arrived::Packets {
                    peer,
                    local,
                    packets,
                });
            }
            if let Some(bad_frame) = end {
                let claimed = connection.claimed;
                self.remove(registry, token);
                arrived.push(Arrived::Closed {
                    peer,
                    claimed,
                    bad_frame,
                });
            }
        }
        arrived
    }

    /// Queues a packet for a client.
    pub(crate) fn send(&mut self, now: Instant, peer: SocketAddr, packet: &[u8]) -> Queued {
        let Some(&token) = self.by_peer.get(&peer) else {
            return Queued::Nowhere;
        };
        let Some(connection) = self.by_token.get_mut(&token) else {
            return Queued::Nowhere;
        };
        connection.answered = true;
        if connection.queue.len() + packet.len() > SEND_LIMIT {
            return Queued::Slow;
        }
        if connection.queue.is_empty() {
            connection.progressed = now;
        }
        if !framing::encode(packet, &mut connection.queue) {
            return Queued::Nowhere;
        }
        if connection.writable {
            self.unflushed.insert(token);
        }
        Queued::Yes
    }

    /// Writes what waits, as far as the clients take it. Returns the connections that broke.
    pub(crate) fn flush(&mut self, now: Instant, registry: &Registry) -> Vec<SocketAddr> {
        let mut broken = Vec::new();
        for token in std::mem::take(&mut self.unflushed) {
            let Some(connection) = self.by_token.get_mut(&token) else {
                continue;
            };
            if connection.flush(now).is_err() {
                broken.push(connection.peer);
                self.remove(registry, token);
            }
        }
        broken
    }

    /// Closes what a limit says to close. Returns those that the node has heard of.
    pub(crate) fn expire(&mut self, now: Instant, registry: &Registry) -> (Vec<SocketAddr>, u64) {
        let over: Vec<(Token, SocketAddr, bool)> = self
            .by_token
            .iter()
            .filter(|(_, connection)| connection.is_over(now))
            .map(|(&token, connection)| (token, connection.peer, connection.claimed))
            .collect();
        for &(token, ..) in &over {
            self.remove(registry, token);
        }
        let closed = over.len() as u64;
        let heard_of = over.into_iter().filter(|&(_, _, claimed)| claimed);
        (heard_of.map(|(_, peer, _)| peer).collect(), closed)
    }

    fn insert(
        &mut self,
        now: Instant,
        registry: &Registry,
        handed: Handed,
        claimed: bool,
    ) -> io::Result<SocketAddr> {
        if self.by_token.len() >= CONNECTION_CAPACITY {
            return Err(io::Error::other("too many TCP connections"));
        }
        let Handed {
            mut stream,
            peer,
            local,
            decoder,
            opened,
            packets: _,
        } = handed;
        let token = Token(self.next);
        self.next += 1;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let connection = Connection {
            stream,
            peer,
            local,
            decoder,
            queue: Vec::new(),
            opened,
            heard: now,
            progressed: now,
            claimed,
            answered: false,
            writable: true,
        };
        self.by_token.insert(token, connection);
        self.by_peer.insert(peer, token);
        self.readable.insert(token);
        Ok(local)
    }

    fn get(&mut self, peer: SocketAddr) -> Option<&mut Connection> {
        self.by_token.get_mut(self.by_peer.get(&peer)?)
    }

    fn take(&mut self, token: Token) -> Option<Connection> {
        let connection = self.by_token.remove(&token)?;
        self.readable.remove(&token);
        self.unflushed.remove(&token);
        if self.by_peer.get(&connection.peer) == Some(&token) {
            self.by_peer.remove(&connection.peer);
        }
        Some(connection)
    }

    fn remove(&mut self, registry: &Registry, token: Token) {
        if let Some(mut connection) = self.take(token) {
            // Closing the descriptor takes it out of epoll in any case.
            let _ = registry.deregister(&mut connection.stream);
        }
    }
}

#[cfg(test)]
mod tests;
