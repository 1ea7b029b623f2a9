//! What leaves a worker: packets to clients and the mesh, messages to workers, events to Python.

use std::net::SocketAddr;
use std::time::Instant;

use node::{Event, Input, Protocol, Target};

use super::{Core, Worker};
use crate::counters::Tally;
use crate::tcp::Queued;
use crate::udp::{Datagram, Flushed, UdpPort};

/// Datagrams that gather before they are handed to the kernel within a turn.
const FLUSH_AT: usize = 512;

impl<C: Core> Worker<C> {
    /// Gives one input to the node and takes what comes of it.
    pub(super) fn feed(&mut self, now: Instant, input: Input<'_>) {
        self.core.handle(now, input, &mut self.out);
        for transmit in self.out.client.drain(..) {
            match transmit.protocol {
                Protocol::Udp if turn::is_relayed(transmit.to) => {
                    let gate = self.shared.gate.as_ref();
                    if !gate
                        .is_some_and(|gate| gate.push(transmit.from, transmit.to, transmit.bytes))
                    {
                        self.tally.relay_dropped += 1;
                    }
                }
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
                    Queued::Slow => self.tally.tcp_slow_dropped += 1,
                    Queued::Nowhere => self.tally.tcp_gone_dropped += 1,
                },
            }
        }
        for transmit in self.out.mesh.drain(..) {
            let (to, port) = (transmit.to, transmit.port);
            let way = (transmit.peer, port);
            if let Some(bytes) = self.weather.send(now, way, to, transmit.bytes) {
                queue_mesh(&mut self.mesh, &mut self.tally, port, to, bytes);
            }
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

    pub(super) fn flush(&mut self, now: Instant) {
        for peer in self.tcp.flush(now, self.poll.registry()) {
            self.tally.tcp_closed += 1;
            self.feed(now, Input::ClientClosed { from: peer });
        }
        let (mesh, tally) = (&mut self.mesh, &mut self.tally);
        self.weather.deliver(now, |port, to, bytes| {
            queue_mesh(mesh, tally, port, to, bytes)
        });
        self.tally.emulation_dropped = self.weather.dropped();
        self.flush_clients();
        for mesh in &mut self.mesh {
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

fn queue_mesh(mesh: &mut [UdpPort], tally: &mut Tally, port: u8, to: SocketAddr, bytes: Vec<u8>) {
    let datagram = Datagram {
        to,
        source: None,
        bytes,
    };
    let port = mesh.get_mut(usize::from(port));
    if !port.is_some_and(|port| port.queue(datagram)) {
        tally.mesh_send_dropped += 1;
    }
}
