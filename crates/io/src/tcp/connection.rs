//! One TCP client: its stream, what is half read and what waits to be written.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use crate::framing::Decoder;

/// Bytes that wait for one slow client; past it packets to it are dropped.
pub(super) const SEND_LIMIT: usize = 256 << 10;

/// A client that takes nothing for so long while bytes wait is closed.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(10);

/// A connection on which the node answered no STUN for so long is closed.
pub(super) const UNANSWERED_LIMIT: Duration = Duration::from_secs(10);

/// A connection on which nothing arrived for so long is closed: twice what a session survives.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) decoder: Decoder,
    pub(super) queue: Vec<u8>,
    pub(super) opened: Instant,
    pub(super) heard: Instant,
    pub(super) progressed: Instant,
    /// A first STUN named its participant, and that is this worker's.
    pub(super) claimed: bool,
    /// The node sent something on it: its STUN was authentic.
    pub(super) answered: bool,
    pub(super) writable: bool,
}

impl Connection {
    /// Writes what waits, as far as the client takes it.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
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

    /// Whether a limit says to close it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        let unanswered = !self.answered && since(self.opened) > UNANSWERED_LIMIT;
        let stalled = !self.queue.is_empty() && since(self.progressed) > STALL_LIMIT;
        unanswered || stalled || since(self.heard) > SILENCE_LIMIT
    }
}
