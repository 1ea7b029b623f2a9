//! One TCP connection of the gate, inside TLS or not: plain bytes in, plain bytes out, bounded.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use rustls::ServerConnection;

/// Bytes that wait for one slow peer; past it media is dropped, and what comes for it waits.
pub(super) const SEND_LIMIT: usize = 256 << 10;

/// A peer that takes nothing for so long while bytes wait is closed.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Read from one connection before the next gets its turn.
const READ_PER_TURN: usize = 16 << 10;

pub(super) struct Stream {
    pub(super) socket: TcpStream,
    pub(super) tls: Option<Box<ServerConnection>>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) opened: Instant,
    /// As they go to the socket.
    queue: Vec<u8>,
    progressed: Instant,
    pub(super) writable: bool,
    /// It is closed once its queue is empty.
    pub(super) ending: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More may wait.
    Some,
    Nothing,
    End,
}

impl Stream {
    pub(super) fn new(
        now: Instant,
        socket: TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Stream {
        Stream {
            socket,
            tls: None,
            peer,
            local,
            opened: now,
            queue: Vec::new(),
            progressed: now,
            writable: true,
            ending: false,
        }
    }

    /// Takes TLS up, with what the client said of it already.
    pub(super) fn secure(
        &mut self,
        now: Instant,
        tls: ServerConnection,
        said: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        self.tls = Some(Box::new(tls));
        self.decrypt(now, said, plain)
    }

    /// Reads a bounded share of what waits, as plain bytes, to the end of `plain`.
    pub(super) fn read(&mut self, now: Instant, plain: &mut Vec<u8>) -> io::Result<Heard> {
        let mut scratch = [0; READ_PER_TURN];
        match self.socket.read(&mut scratch) {
            Ok(0) => Ok(Heard::End),
            Ok(count) if self.tls.is_none() => {
                plain.extend(&scratch[..count]);
                Ok(Heard::Some)
            }
            Ok(count) => match self.decrypt(now, &scratch[..count], plain) {
                Ok(()) => Ok(Heard::Some),
                Err(error) => {
                    // The alert that says what was wrong goes out first, if the client takes it.
                    let _ = self.flush(now);
                    Err(io::Error::new(io::ErrorKind::InvalidData, error))
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Heard::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Heard::Some),
            Err(error) => Err(error),
        }
    }

    fn decrypt(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let mut failed = None;
        while !bytes.is_empty() && failed.is_none() {
            // Reading from memory fails only when TLS's own buffer is full, which draining clears.
            let taken = tls.read_tls(&mut bytes).unwrap_or(0);
            match tls.process_new_packets() {
                Ok(state) => {
                    let mut part = vec![0; state.plaintext_bytes_to_read()];
                    if tls.reader().read_exact(&mut part).is_ok() {
                        plain.extend(part);
                    }
                }
                Err(error) => failed = Some(error),
            }
            if taken == 0 {
                break;
            }
        }
        self.encrypt(now);
        failed.map_or(Ok(()), Err)
    }

    /// Moves what TLS has to say to the queue.
    fn encrypt(&mut self, now: Instant) {
        if self.queue.is_empty() {
            self.progressed = now;
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && tls.write_tls(&mut self.queue).is_ok() {}
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < SEND_LIMIT
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Queues plain bytes, whatever the queue holds already.
    pub(super) fn write(&mut self, now: Instant, plain: &[u8]) {
        if self.queue.is_empty() {
            self.progressed = now;
        }
        match &mut self.tls {
            Some(tls) => {
                // Into memory; rustls' own buffer is emptied at once below.
                let _ = tls.writer().write_all(plain);
                self.encrypt(now);
            }
            None => self.queue.extend(plain),
        }
    }

    /// Says that nothing more comes, and closes once that is sent.
    pub(super) fn end(&mut self, now: Instant) {
        self.ending = true;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.encrypt(now);
    }

    /// Writes what waits, as far as the peer takes it.
    pub(super) fn flush(&mut self, now: Instant) -> io::Result<()> {
        let mut written = 0;
        while self.writable && written < self.queue.len() {
            match self.socket.write(&self.queue[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.progressed = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.queue.drain(..written);
        Ok(())
    }

    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.is_waiting() && now.saturating_duration_since(self.progressed) > STALL_LIMIT
    }
}
