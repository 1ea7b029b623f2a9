//! The TCP clients of one worker: ICE-TCP connections, framed as RFC 4571, all of it bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::framing::{self, Decoder};
use crate::socket;

/// Connections that have not yet shown whose they are; past it the oldest of them is closed.
pub(crate) const UNCLAIMED_CAPACITY: usize = 256;

/// Connections of one worker; past it new ones are closed at once.
pub(crate) const CONNECTION_CAPACITY: usize = 4_096;

/// Bytes that wait for one slow client; past it packets to it are dropped.
pub(crate) const SEND_LIMIT: usize = 256 << 10;

/// A client that takes nothing for so long while bytes wait is closed.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(10);

/// A connection on which the node answered no STUN for so long is closed.
pub(crate) const UNANSWERED_LIMIT: Duration = Duration::from_secs(10);

/// A connection on which nothing arrived for so long is closed: twice what a session survives.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(60);

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

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    decoder: Decoder,
    queue: Vec<u8>,
    opened: Instant,
    heard: Instant,
    progressed: Instant,
    /// A first STUN named its participant, and that is this worker's.
    claimed: bool,
    /// The node sent something on it: its STUN was authentic.
    answered: bool,
    writable: bool,
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

impl Connection {
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let mut written = 0;
        while written < self.queue.len() {
            match self.stream.write(&self.queue[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.progressed = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.queue.drain(..written);
        Ok(())
    }

    fn is_over(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        let unanswered = !self.answered && since(self.opened) > UNANSWERED_LIMIT;
        let stalled = !self.queue.is_empty() && since(self.progressed) > STALL_LIMIT;
        unanswered || stalled || since(self.heard) > SILENCE_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::net::TcpListener;

    struct Bench {
        poll: Poll,
        listener: TcpListener,
        connections: Connections,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench {
                poll: Poll::new().expect("epoll works here"),
                listener: TcpListener::bind("127.0.0.1:0").expect("loopback has ports"),
                connections: Connections::new(10),
                now: crate::clock::now(),
            }
        }

        fn connect(&mut self) -> (std::net::TcpStream, SocketAddr) {
            let address = self.listener.local_addr().expect("it listens");
            let client = std::net::TcpStream::connect(address).expect("it listens");
            let (stream, peer) = self.listener.accept().expect("a client came");
            stream.set_nonblocking(true).expect("the stream is ours");
            let stream = TcpStream::from_std(stream);
            self.connections
                .accept(self.now, self.poll.registry(), stream, peer)
                .expect("there is room");
            (client, peer)
        }

        /// Waits for readiness and reads until something arrived.
        fn receive(&mut self) -> Vec<Arrived> {
            for _ in 0..100 {
                let arrived = self.connections.receive(self.now, self.poll.registry());
                if !arrived.is_empty() {
                    return arrived;
                }
                let mut events = Events::with_capacity(16);
                let wait = Some(Duration::from_secs(5));
                self.poll.poll(&mut events, wait).expect("epoll works here");
                events
                    .iter()
                    .for_each(|event| self.connections.ready(event));
            }
            panic!("nothing arrived");
        }
    }

    #[test]
    fn a_packet_comes_in_and_one_goes_out() {
        let mut bench = Bench::new();
        let (mut client, peer) = bench.connect();
        client
            .write_all(&[0, 3, 1, 2, 3])
            .expect("the connection is open");
        let arrived = bench.receive();
        let [Arrived::Packets { packets, .. }] = arrived.as_slice() else {
            panic!("one packet was sent");
        };
        assert_eq!(packets, &[vec![1, 2, 3]]);
        assert_eq!(
            bench.connections.send(bench.now, peer, &[9, 9]),
            Queued::Yes
        );
        assert!(
            bench
                .connections
                .flush(bench.now, bench.poll.registry())
                .is_empty()
        );
        let mut answer = [0; 4];
        client
            .read_exact(&mut answer)
            .expect("the connection is open");
        assert_eq!(answer, [0, 2, 9, 9]);
    }

    #[test]
    fn garbage_closes_the_connection() {
        let mut bench = Bench::new();
        let (mut client, _) = bench.connect();
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("the connection is open");
        let arrived = bench.receive();
        assert!(matches!(
            arrived.as_slice(),
            [Arrived::Closed {
                bad_frame: true,
                ..
            }]
        ));
        assert_eq!(bench.connections.len(), 0);
        assert_eq!(
            client.read(&mut [0]).unwrap_or(0),
            0,
            "the client sees the end"
        );
    }

    #[test]
    fn a_client_that_stops_reading_loses_packets_and_then_its_connection() {
        let mut bench = Bench::new();
        let (_client, peer) = bench.connect();
        let packet = [5; 1_200];
        let mut outcome = Queued::Yes;
        for _ in 0..20_000 {
            outcome = bench.connections.send(bench.now, peer, &packet);
            if outcome != Queued::Yes {
                break;
            }
            assert!(
                bench
                    .connections
                    .flush(bench.now, bench.poll.registry())
                    .is_empty()
            );
        }
        assert_eq!(outcome, Queued::Slow);
        let later = bench.now + STALL_LIMIT + Duration::from_millis(1);
        assert_eq!(bench.connections.expire(later, bench.poll.registry()).1, 1);
        assert_eq!(
            bench.connections.send(later, peer, &packet),
            Queued::Nowhere
        );
    }

    #[test]
    fn an_unanswered_connection_is_closed_and_an_answered_one_lives_until_it_is_silent() {
        let mut bench = Bench::new();
        let (_first, _) = bench.connect();
        let (_second, answered) = bench.connect();
        bench.connections.claim(answered);
        assert_eq!(
            bench.connections.send(bench.now, answered, &[1]),
            Queued::Yes
        );
        bench.connections.flush(bench.now, bench.poll.registry());
        let later = bench.now + UNANSWERED_LIMIT + Duration::from_millis(1);
        let (heard_of, closed) = bench.connections.expire(later, bench.poll.registry());
        assert_eq!((heard_of, closed), (Vec::new(), 1));
        let later = bench.now + SILENCE_LIMIT + Duration::from_millis(1);
        let (heard_of, _) = bench.connections.expire(later, bench.poll.registry());
        assert_eq!(heard_of, [answered]);
    }

    #[test]
    fn strangers_push_out_only_the_oldest_stranger() {
        let mut bench = Bench::new();
        let (_guest, guest) = bench.connect();
        bench.connections.claim(guest);
        let mut clients = Vec::new();
        for n in 0..=UNCLAIMED_CAPACITY {
            bench.now += Duration::from_millis(n as u64);
            clients.push(bench.connect());
        }
        assert_eq!(bench.connections.len(), 1 + UNCLAIMED_CAPACITY);
        assert!(bench.connections.is_claimed(guest));
        let (_, oldest) = clients[0];
        assert_eq!(
            bench.connections.send(bench.now, oldest, &[1]),
            Queued::Nowhere
        );
    }
}
