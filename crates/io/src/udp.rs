//! One UDP socket: datagrams in by recvmmsg with GRO, out through a bounded queue by sendmmsg.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, UdpSocketState};

use crate::batch;

/// Receive buffers filled by one system call; with GRO each may hold many datagrams.
const RECEIVE_BUFFERS: usize = 16;

/// The largest GRO buffer that the kernel hands out.
const BUFFER_BYTES: usize = 65_536;

/// Datagrams that wait while the socket's own buffer is full; past it the newest are dropped.
/// A keyframe of 60 packets for 60 subscribers.
pub(crate) const SEND_BACKLOG: usize = 4_096;

/// A datagram on its way out.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) to: SocketAddr,
    /// The local address to send from, where the socket is bound to all of them.
    pub(crate) source: Option<IpAddr>,
    pub(crate) bytes: Vec<u8>,
}

/// What one flush did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flushed {
    pub(crate) sent: u64,
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

/// Memory for receiving, shared by the sockets of a worker.
pub(crate) struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; RECEIVE_BUFFERS],
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers {
            bytes: vec![0; RECEIVE_BUFFERS * BUFFER_BYTES],
            metas: [RecvMeta::default(); RECEIVE_BUFFERS],
        }
    }
}

impl Buffers {
    /// The datagrams of the first `count` buffers: (sender, local address, bytes).
    pub(crate) fn datagrams(
        &mut self,
        count: usize,
    ) -> impl Iterator<Item = (SocketAddr, Option<IpAddr>, &mut [u8])> {
        let buffers = self.bytes.chunks_exact_mut(BUFFER_BYTES);
        self.metas[..count]
            .iter()
            .zip(buffers)
            .flat_map(|(meta, buffer)| {
                let datagrams = buffer[..meta.len].chunks_mut(meta.stride.max(1));
                datagrams.map(|datagram| (meta.addr, meta.dst_ip, datagram))
            })
    }
}

/// A registered, non-blocking UDP socket.
pub(crate) struct UdpPort {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    queue: Vec<Datagram>,
    gso: bool,
    /// There may be more to read: readiness is reported once (edge-triggered).
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl UdpPort {
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        registry: &Registry,
        token: Token,
    ) -> io::Result<UdpPort> {
        let state = UdpSocketState::new((&socket).into())?;
        let gso = state.max_gso_segments() >= batch::MAX_SEGMENTS;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(UdpPort {
            socket,
            state,
            queue: Vec::new(),
            gso,
            readable: true,
            writable: true,
        })
    }

    pub(crate) fn ready(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_error();
        self.writable |= event.is_writable();
    }

    /// Fills `buffers` by one system call. Returns how many were filled; 0 when nothing waits.
    pub(crate) fn fill(&mut self, buffers: &mut Buffers) -> io::Result<usize> {
        let mut chunks = buffers.bytes.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        loop {
            match self
                .state
                .recv((&self.socket).into(), &mut slices, &mut buffers.metas)
            {
                Ok(count) => {
                    // Fewer than asked for: the socket was empty, and what comes next is reported.
                    self.readable = count == RECEIVE_BUFFERS;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(0);
                }
                // An ICMP error about an earlier datagram: a client that went away.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Queues a datagram for the next flush; false if the backlog is full and it was dropped.
    pub(crate) fn queue(&mut self, datagram: Datagram) -> bool {
        if self.queue.len() >= SEND_BACKLOG && !self.writable {
            return false;
        }
        self.queue.push(datagram);
        true
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Hands the queue to the kernel; what it doesn't take waits until the socket is writable.
    pub(crate) fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        if self.queue.is_empty() || !self.writable {
            return flushed;
        }
        if self.gso {
            batch::group(&mut self.queue);
        }
        let mut done = 0;
        while done < self.queue.len() {
            let sent = batch::send(self.socket.as_fd(), &self.queue[done..], self.gso);
            flushed.calls += 1;
            flushed.sent += sent.datagrams as u64;
            done += sent.datagrams;
            let Some((error, datagrams)) = sent.stopped else {
                continue;
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                self.writable = false;
                break;
            }
            if datagrams > 1 && refuses_segmentation(&error) {
                self.gso = false;
                continue;
            }
            flushed.failed += datagrams as u64;
            done += datagrams;
        }
        self.queue.drain(..done);
        flushed
    }
}

/// Some network drivers can't do GSO and say so only when asked to send.
fn refuses_segmentation(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;

    fn port(poll: &Poll) -> UdpPort {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        UdpPort::new(socket, poll.registry(), Token(0)).expect("a socket can be registered")
    }

    fn datagram(to: SocketAddr, mark: u16) -> Datagram {
        let bytes = mark.to_be_bytes().to_vec();
        Datagram {
            to,
            source: None,
            bytes,
        }
    }

    #[test]
    fn a_blocked_socket_keeps_a_bounded_backlog_and_drops_the_newest() {
        let poll = Poll::new().expect("epoll works here");
        let (mut sender, mut receiver) = (port(&poll), port(&poll));
        let to = receiver.socket.local_addr().expect("it is bound");
        sender.writable = false;
        for mark in 0..SEND_BACKLOG as u16 {
            assert!(sender.queue(datagram(to, mark)));
        }
        assert!(!sender.queue(datagram(to, 0xffff)));
        assert_eq!(sender.flush().sent, 0, "it is blocked");

        sender.writable = true;
        let flushed = sender.flush();
        assert_eq!((flushed.sent, flushed.failed), (SEND_BACKLOG as u64, 0));
        assert_eq!(sender.queued(), 0);
        let mut buffers = Buffers::default();
        let count = receiver.fill(&mut buffers).expect("the socket works");
        let (from, _, first) = buffers.datagrams(count).next().expect("something arrived");
        assert_eq!(from, sender.socket.local_addr().expect("it is bound"));
        assert_eq!(first, 0u16.to_be_bytes());
    }

    #[test]
    fn a_datagram_too_large_is_counted_and_the_next_one_goes() {
        let poll = Poll::new().expect("epoll works here");
        let (mut sender, receiver) = (port(&poll), port(&poll));
        let to = receiver.socket.local_addr().expect("it is bound");
        let bytes = vec![0; 70_000];
        assert!(sender.queue(Datagram {
            to,
            source: None,
            bytes
        }));
        assert!(sender.queue(datagram(to, 1)));
        let flushed = sender.flush();
        assert_eq!((flushed.sent, flushed.failed), (1, 1));
    }
}
