//! What reaches a worker: its inbox, clients' datagrams and connections, the mesh.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use node::{Command, Input, Protocol};
use wire::NodeId;

use super::{Core, Worker};
use crate::queue::Handover;
use crate::socket;
use crate::tcp::Arrived;
use crate::udp::Buffers;
use crate::weather::Forecast;

/// Receive calls on one socket before the other sources get their turn.
const RECEIVE_CALLS_PER_TURN: usize = 4;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Whether it looks like RTP or RTCP (RFC 7983).
fn is_media(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|first| (128..192).contains(first))
}

impl<C: Core> Worker<C> {
    /// True: stop.
    pub(super) fn take_inbox(&mut self, now: Instant) -> bool {
        let taken = self.shared.inboxes[usize::from(self.index)].take();
        self.inbox_has_more = taken.more;
        for command in taken.commands {
            match command {
                Command::SetEmulation {
                    node,
                    pair,
                    delay_ms,
                    jitter_ms,
                    loss,
                    rate_kbps,
                    cut,
                } => {
                    let forecast = Forecast {
                        delay_ms,
                        jitter_ms,
                        loss,
                        rate_kbps,
                        cut,
                    };
                    self.weather.set(NodeId(node), pair, forecast);
                }
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
                Handover::Relayed { from, to, bytes } => {
                    let protocol = Protocol::Udp;
                    let bytes = &bytes;
                    let input = Input::Client {
                        protocol,
                        from,
                        to,
                        bytes,
                    };
                    self.feed(now, input);
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

    pub(super) fn receive_clients(
        &mut self,
        now: Instant,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
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
        if owner.is_none() && is_media(bytes) && self.owners.may_show(now) {
            self.show_others(from, local, bytes);
        }
        let owner = owner.unwrap_or(self.index);
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

    /// None: nobody knows.
    fn owner_of_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Option<u16> {
        if self.shared.inboxes.len() == 1 {
            return Some(self.index);
        }
        let Some(named) = self.shared.named_owner(bytes) else {
            return self.owners.get(now, from);
        };
        if !self.owners.named(now, from, named) {
            self.tally.owners_full += 1;
        }
        Some(named)
    }

    /// Lets every other worker see a datagram: only the one that has its client can tell.
    fn show_others(&mut self, from: SocketAddr, local: Option<IpAddr>, bytes: &[u8]) {
        self.tally.strays += 1;
        let (own, workers) = (self.index, self.shared.inboxes.len() as u16);
        for other in (0..workers).filter(|worker| *worker != own) {
            let bytes = bytes.to_vec();
            self.hand_over(other, Handover::Datagram { from, local, bytes });
        }
    }

    fn hand_over(&mut self, owner: u16, handover: Handover) {
        if self.shared.inboxes[usize::from(owner)].handover(handover) {
            self.tally.handed_over += 1;
        } else {
            self.tally.inbox_dropped += 1;
        }
    }

    pub(super) fn receive_mesh(&mut self, now: Instant, buffers: &mut Buffers) -> io::Result<()> {
        for port in 0..self.mesh.len() {
            for _ in 0..RECEIVE_CALLS_PER_TURN {
                if !self.mesh[port].readable {
                    break;
                }
                let count = self.mesh[port].fill(buffers)?;
                for (from, _, bytes) in buffers.datagrams(count) {
                    self.tally.mesh_received += 1;
                    let port = port as u8;
                    self.feed(now, Input::Mesh { from, port, bytes });
                }
            }
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, now: Instant) {
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
                Err(error) if socket::is_the_clients(&error) => self.tally.tcp_refused += 1,
                // Out of descriptors, say: those who wait are accepted at a later tick.
                Err(_) => {
                    self.tally.tcp_refused += 1;
                    self.accepting = false;
                    return;
                }
            }
        }
    }

    pub(super) fn receive_tcp(&mut self, now: Instant) {
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
        match packets
            .first()
            .and_then(|first| self.shared.named_owner(first))
        {
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
}
