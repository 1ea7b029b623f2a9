//! A UDP socket that takes and hands out many datagrams at a time (GRO, GSO), for whoever waits on it.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

/// As in the node: the burst that a path sees.
pub(super) const MAX_SEGMENTS: usize = 16;

/// Asked for each way; the system may grant less.
const SOCKET_BUFFER: usize = 4 << 20;
/// Receive buffers filled by one system call.
const BUFFERS: usize = 16;
const BUFFER_BYTES: usize = 65_536;

pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// A read timeout of the socket would be as coarse as the system's tick, 4 ms and more.
    poll: Poll,
    events: Events,
    buffers: Vec<u8>,
}

impl Socket {
    /// On any free port of loopback.
    pub(super) fn open() -> io::Result<Socket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        let poll = Poll::new()?;
        let readable = Interest::READABLE;
        let mut source = SourceFd(&socket.as_raw_fd());
        poll.registry().register(&mut source, Token(0), readable)?;
        let buffer = socket2::SockRef::from(&socket);
        // Best effort: the system's own limit may be lower.
        let _ = buffer.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = buffer.set_send_buffer_size(SOCKET_BUFFER);
        Ok(Socket {
            socket,
            state,
            poll,
            events: Events::with_capacity(1),
            buffers: vec![0; BUFFERS * BUFFER_BYTES],
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Wait for datagrams, no longer than this, and call `each` with the sender, the
    /// bytes of runs of datagrams and the size of all but a run's last one.
    pub(super) fn receive(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(&Outlet<'_>, SocketAddr, &mut [u8], usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BUFFERS];
        let mut chunks = self.buffers.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let mut recv = || match self
            .state
            .recv((&self.socket).into(), &mut slices, &mut metas)
        {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        };
        let mut count = recv()?;
        if count == 0 {
            self.poll.poll(&mut self.events, Some(wait))?;
            count = recv()?;
        }
        let outlet = Outlet {
            socket: &self.socket,
            state: &self.state,
        };
        for (meta, buffer) in metas[..count]
            .iter()
            .zip(self.buffers.chunks_exact_mut(BUFFER_BYTES))
        {
            let bytes = &mut buffer[..meta.len];
            each(&outlet, meta.addr, bytes, meta.stride.max(1))?;
        }
        Ok(())
    }

    pub(super) fn outlet(&self) -> Outlet<'_> {
        Outlet {
            socket: &self.socket,
            state: &self.state,
        }
    }
}

/// The way out of a socket.
pub(super) struct Outlet<'a> {
    socket: &'a UdpSocket,
    state: &'a UdpSocketState,
}

impl Outlet<'_> {
    /// Send datagrams of `size` bytes each, the last may be shorter; false if they were lost to a
    /// full buffer, as on a path.
    pub(super) fn send(&self, to: SocketAddr, contents: &[u8], size: usize) -> io::Result<bool> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > size).then_some(size),
            src_ip: None,
        };
        match self.state.try_send(self.socket.into(), &transmit) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
