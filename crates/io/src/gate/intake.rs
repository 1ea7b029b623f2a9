//! What reaches the gate, and where it goes.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::Token;
use mio::net::TcpStream;

use super::sniff::{Kind, kind};
use super::stream::{Heard, Stream};
use super::streams::Role;
use super::{Gate, Listener};
use crate::framing::Decoder;
use crate::queue::Handover;
use crate::socket;
use crate::tcp::Handed;
use crate::udp::{Buffers, Datagram};

/// Connections accepted at one listener in one turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Receive calls before the other sources get their turn.
const RECEIVE_CALLS_PER_TURN: usize = 4;

impl Gate {
    /// Packets of the workers for relayed addresses: whether there are more. None: stop.
    pub(super) fn take_inbox(&mut self, now: Instant) -> Option<bool> {
        let (packets, more) = match &self.shared.gate {
            Some(inbox) => inbox.take()?,
            None => return Some(false),
        };
        for packet in packets {
            let input = turn::Input::Peer {
                from: packet.from,
                relayed: packet.to,
                bytes: &packet.bytes,
            };
            self.feed(now, input);
        }
        Some(more)
    }

    pub(super) fn receive_udp(&mut self, now: Instant, buffers: &mut Buffers) -> io::Result<()> {
        for _ in 0..RECEIVE_CALLS_PER_TURN {
            let Some(udp) = self.udp.as_mut().filter(|udp| udp.readable) else {
                break;
            };
            let count = udp.fill(buffers)?;
            for (from, local, bytes) in buffers.datagrams(count) {
                self.tally.udp_received += 1;
                let to = SocketAddr::new(self.addresses.reached(local), self.turn_port);
                let transport = turn::Transport::Udp;
                let client = turn::Client {
                    transport,
                    from,
                    to,
                };
                self.feed(now, turn::Input::Client { client, bytes });
            }
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, now: Instant) {
        for front in [false, true] {
            for _ in 0..ACCEPTS_PER_TURN {
                let listener = match front {
                    true => &mut self.front,
                    false => &mut self.turn_tcp,
                };
                let Some(accepted) = listener.as_mut().and_then(take_one) else {
                    break;
                };
                match accepted.and_then(|(socket, peer)| self.admit(now, socket, peer, front)) {
                    Ok(()) => self.tally.accepted += 1,
                    Err(_) => self.tally.refused += 1,
                }
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        socket: TcpStream,
        peer: SocketAddr,
        front: bool,
    ) -> io::Result<()> {
        socket::tune_tcp(&socket)?;
        let local = socket.local_addr()?;
        if let Some(oldest) = self.streams.surplus() {
            self.close(now, oldest);
        }
        let stream = Stream::new(now, socket, peer, local);
        let role = Role::Unsettled(Vec::new());
        self.streams
            .insert(self.poll.registry(), stream, role, front)
            .map(drop)
    }

    pub(super) fn receive_streams(&mut self, now: Instant) {
        for token in self.streams.take_readable() {
            let Some(entry) = self.streams.get(token) else {
                continue;
            };
            if let Role::Web { other } = entry.role
                && !self.streams.has_room(other)
            {
                // It is read again once the other end has taken some.
                continue;
            }
            let mut plain = Vec::new();
            let Some(entry) = self.streams.get(token) else {
                continue;
            };
            let heard = entry.stream.read(now, &mut plain);
            let is_tls = entry.stream.tls.is_some();
            if heard.as_ref().is_ok_and(|heard| *heard == Heard::Some) {
                self.streams.may_hold_more(token);
            }
            let is_ours = plain.is_empty() || self.took(now, token, plain);
            if let Err(error) = &heard
                && is_tls
                && error.kind() == io::ErrorKind::InvalidData
            {
                self.tally.tls_failed += 1;
            }
            if !is_ours || !matches!(heard, Ok(Heard::Some | Heard::Nothing)) {
                self.close(now, token);
            } else if is_tls {
                // What TLS itself has to say.
                self.streams.write(now, token, &[]);
            }
        }
    }

    /// Passes plain bytes on. False: they are of nothing that we serve.
    fn took(&mut self, now: Instant, token: Token, plain: Vec<u8>) -> bool {
        let Some(entry) = self.streams.get(token) else {
            return true;
        };
        match &mut entry.role {
            Role::Unsettled(held) => {
                held.extend(plain);
                let held = std::mem::take(held);
                self.settle(now, token, held)
            }
            Role::Web { other } => {
                let other = *other;
                self.streams.write(now, other, &plain);
                true
            }
            Role::Turn {
                splitter, client, ..
            } => {
                let client = *client;
                let mut messages = Vec::new();
                let cut = splitter.push(&plain, |message| messages.push(message.to_vec()));
                for bytes in &messages {
                    self.feed(now, turn::Input::Client { client, bytes });
                }
                self.tally.bad_streams += u64::from(cut.is_err());
                cut.is_ok()
            }
        }
    }

    /// Finds out what a connection is from what it said so far.
    fn settle(&mut self, now: Instant, token: Token, held: Vec<u8>) -> bool {
        let Some(entry) = self.streams.get(token) else {
            return true;
        };
        let is_tls = entry.stream.tls.is_some();
        let (front, peer, local) = (entry.front, entry.stream.peer, entry.stream.local);
        match kind(&held) {
            None => {
                entry.role = Role::Unsettled(held);
                true
            }
            Some(Kind::Tls) if !is_tls && self.tls.is_some() => self.secure(now, token, &held),
            Some(Kind::Turn) if self.turn.is_some() => {
                let to = SocketAddr::new(self.addresses.reached(Some(local.ip())), local.port());
                let transport = match is_tls {
                    true => turn::Transport::Tls,
                    false => turn::Transport::Tcp,
                };
                let client = turn::Client {
                    transport,
                    from: peer,
                    to,
                };
                let role = Role::Turn {
                    splitter: turn::Splitter::default(),
                    client,
                    served: now,
                };
                self.streams.settle(token, role);
                self.tally.turn += 1;
                self.took(now, token, held)
            }
            Some(Kind::Ice) if !is_tls => self.hand_over_ice(token, held),
            Some(Kind::Web) if front && self.web.is_some() => self.connect_web(now, token, held),
            Some(_) => {
                self.tally.unknown += 1;
                false
            }
        }
    }

    fn secure(&mut self, now: Instant, token: Token, said: &[u8]) -> bool {
        let Some(Ok(tls)) = self.tls.as_ref().map(super::Tls::accept) else {
            return false;
        };
        let Some(entry) = self.streams.get(token) else {
            return true;
        };
        self.tally.tls += 1;
        let mut plain = Vec::new();
        let secured = entry.stream.secure(now, tls, said, &mut plain);
        if secured.is_err() {
            self.tally.tls_failed += 1;
            // The alert that says why.
            let _ = entry.stream.flush(now);
            return false;
        }
        self.streams.write(now, token, &[]);
        plain.is_empty() || self.took(now, token, plain)
    }

    /// An ICE-TCP connection goes whole to the worker of the participant that its STUN names.
    fn hand_over_ice(&mut self, token: Token, held: Vec<u8>) -> bool {
        let mut decoder = Decoder::default();
        let mut packets = Vec::new();
        let pushed = decoder.push(&held, |packet| packets.push(packet.to_vec()));
        if pushed.is_err() {
            self.tally.bad_streams += 1;
            return false;
        }
        let Some(first) = packets.first() else {
            // Its first packet is not whole yet.
            if let Some(entry) = self.streams.get(token) {
                entry.role = Role::Unsettled(held);
            }
            return true;
        };
        let Some(owner) = self.shared.named_owner(first) else {
            self.tally.unknown += 1;
            return false;
        };
        let Some(entry) = self.streams.remove(self.poll.registry(), token) else {
            return true;
        };
        let stream = entry.stream;
        let handed = Handed::new(
            stream.socket,
            stream.peer,
            stream.local,
            stream.opened,
            decoder,
            packets,
        );
        let handover = Handover::Connection(Box::new(handed));
        if self.shared.inboxes[usize::from(owner)].handover(handover) {
            self.tally.ice += 1;
        } else {
            self.tally.handover_dropped += 1;
        }
        true
    }

    /// HTTP goes to the server on loopback, byte for byte.
    fn connect_web(&mut self, now: Instant, token: Token, held: Vec<u8>) -> bool {
        let Some(Ok(socket)) = self.web.map(TcpStream::connect) else {
            return false;
        };
        let Some(web) = self.web else {
            return false;
        };
        let mut stream = Stream::new(now, socket, web, web);
        // It is connected, or refused, once the system says so.
        stream.writable = false;
        let role = Role::Web { other: token };
        let registry = self.poll.registry();
        let Ok(other) = self.streams.insert(registry, stream, role, false) else {
            return false;
        };
        self.streams.settle(token, Role::Web { other });
        self.tally.web += 1;
        self.streams.write(now, other, &held);
        true
    }

    pub(super) fn flush(&mut self, now: Instant) {
        for token in self.streams.flush(now) {
            self.close(now, token);
        }
        if let Some(udp) = &mut self.udp {
            self.tally.udp_dropped += udp.flush().failed;
        }
    }

    /// Forgets a connection; the other end of HTTP still gets what was queued for it.
    pub(super) fn close(&mut self, now: Instant, token: Token) {
        let Some(entry) = self.streams.remove(self.poll.registry(), token) else {
            return;
        };
        self.tally.closed += 1;
        match entry.role {
            Role::Turn { client, .. } => self.feed(now, turn::Input::Closed { client }),
            Role::Web { other } => {
                if self.streams.end(now, other) {
                    self.streams.remove(self.poll.registry(), other);
                }
            }
            Role::Unsettled(_) => {}
        }
    }

    /// Gives the TURN server one input and takes what comes of it.
    fn feed(&mut self, now: Instant, input: turn::Input<'_>) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        turn.handle(now, input, &mut self.out);
        for (client, bytes) in std::mem::take(&mut self.out.clients) {
            self.tell_client(now, client, bytes);
        }
        for sent in std::mem::take(&mut self.out.peers) {
            self.tell_node(now, sent);
        }
    }

    fn tell_client(&mut self, now: Instant, client: turn::Client, bytes: Vec<u8>) {
        if client.transport == turn::Transport::Udp {
            let source = self.addresses.source(client.to.ip());
            let to = client.from;
            let datagram = Datagram { to, source, bytes };
            if !self.udp.as_mut().is_some_and(|udp| udp.queue(datagram)) {
                self.tally.udp_dropped += 1;
            }
            return;
        }
        let token = self.streams.of_client(client);
        let token = token.filter(|&token| self.streams.has_room(token));
        if !token.is_some_and(|token| self.streams.write(now, token, &bytes)) {
            self.tally.slow_dropped += 1;
        }
    }

    fn tell_node(&mut self, now: Instant, sent: turn::ToPeer) {
        let owner = match self.shared.named_owner(&sent.bytes) {
            Some(named) => {
                self.owners.named(now, sent.relayed, named);
                Some(named)
            }
            None => self.owners.get(now, sent.relayed),
        };
        // Before its STUN nobody knows whose it is, and it would mean nothing to any worker.
        let Some(owner) = owner else {
            self.tally.handover_dropped += 1;
            return;
        };
        let handover = Handover::Relayed {
            from: sent.relayed,
            to: sent.peer,
            bytes: sent.bytes,
        };
        if !self.shared.inboxes[usize::from(owner)].handover(handover) {
            self.tally.handover_dropped += 1;
        }
    }
}

/// Someone who waits at a listener, or an error about someone. None: nobody does.
fn take_one(listener: &mut Listener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    if !listener.ready {
        return None;
    }
    match listener.socket.accept() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            listener.ready = false;
            None
        }
        Err(error) if !crate::socket::is_the_clients(&error) => {
            // Out of descriptors, say: those who wait are accepted at a later tick.
            listener.ready = false;
            Some(Err(error))
        }
        other => Some(other),
    }
}
