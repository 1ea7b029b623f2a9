//! One end of the relay's load: a mesh with a socket, on whatever thread drives it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mesh::{Config, Input, Mesh, Output, Route};
use wire::NodeId;

use super::socket::{MAX_SEGMENTS, Socket};

pub(super) struct End {
    mesh: Mesh,
    socket: Socket,
    clock: Instant,
    out: Vec<Output>,
    transmits: Vec<(SocketAddr, Vec<u8>)>,
    contents: Vec<u8>,
    heard: Heard,
    /// Streams that somebody wants of this end.
    pub(super) wanted: usize,
    /// Datagrams sent.
    pub(super) sent: u64,
}

/// Arrival and delay, in microseconds, of each packet that came.
#[derive(Default)]
pub(super) struct Heard(Vec<(Instant, u32)>);

impl Heard {
    /// The sorted delays of what was sent between two moments.
    pub(super) fn delays_between(&mut self, from: Instant, to: Instant) -> Vec<u32> {
        let sent_at = |(at, delay): &(Instant, u32)| *at - Duration::from_micros((*delay).into());
        let inside = |entry: &&(Instant, u32)| (from..to).contains(&sent_at(entry));
        let mut delays: Vec<u32> = self.0.iter().filter(inside).map(|entry| entry.1).collect();
        delays.sort_unstable();
        delays
    }
}

impl End {
    pub(super) fn new(node: NodeId, key: [u8; 32], clock: Instant) -> io::Result<End> {
        Ok(End {
            mesh: Mesh::new(Config::new(node, key, node.0.into()), Instant::now()),
            socket: Socket::open()?,
            clock,
            out: Vec::new(),
            transmits: Vec::new(),
            contents: Vec::new(),
            heard: Heard::default(),
            wanted: 0,
            sent: 0,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.address()
    }

    /// Nanoseconds on the clock that both ends share.
    pub(super) fn clock_ns(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    pub(super) fn meet(&mut self, node: NodeId, public_key: [u8; 32], address: SocketAddr) {
        self.give(Input::AddPeer {
            node,
            public_key,
            addresses: &[address],
        });
    }

    pub(super) fn route(&mut self, routes: &[Route]) {
        self.give(Input::SetRoutes(routes));
    }

    pub(super) fn give(&mut self, input: Input<'_>) {
        self.mesh.handle(Instant::now(), input, &mut self.out);
        self.take();
    }

    /// What the mesh wants done: datagrams wait for the end of the turn.
    fn take(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Transmit { to, bytes, .. } => self.transmits.push((to, bytes)),
                Output::Wanted { wanted: true, .. } => self.wanted += 1,
                Output::Wanted { wanted: false, .. } => self.wanted -= 1,
                Output::Media { packet, .. } => {
                    let Some(sent) = packet.payload.first_chunk::<8>() else {
                        continue;
                    };
                    let now = self.clock.elapsed().as_nanos() as u64;
                    let delay = now.saturating_sub(u64::from_be_bytes(*sent)) / 1000;
                    self.heard.0.push((Instant::now(), delay as u32));
                }
                _ => {}
            }
        }
    }

    /// Time passes, everything due goes out, what came within `wait` is taken.
    pub(super) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        self.keep_time();
        self.flush()?;
        self.receive(self.patience(wait))?;
        self.keep_time();
        self.flush()
    }

    /// Turns until told to stop; what was heard.
    pub(super) fn listen(mut self, ended: &AtomicBool) -> io::Result<Heard> {
        while !ended.load(Ordering::Relaxed) {
            self.turn(Duration::from_millis(20))?;
        }
        Ok(self.heard)
    }

    fn patience(&self, wait: Duration) -> Duration {
        let due = self.mesh.deadline();
        let until = due.map_or(wait, |at| at.saturating_duration_since(Instant::now()));
        until.min(wait)
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        while self.mesh.deadline().is_some_and(|at| at <= now) {
            self.mesh.handle(now, Input::Timeout, &mut self.out);
        }
        self.take();
    }

    fn receive(&mut self, wait: Duration) -> io::Result<()> {
        let (mesh, out) = (&mut self.mesh, &mut self.out);
        let mut woken = None;
        self.socket.receive(wait, |_, from, bytes, size| {
            let now = *woken.get_or_insert_with(Instant::now);
            for bytes in bytes.chunks_mut(size) {
                let datagram = Input::Datagram {
                    from,
                    port: 0,
                    bytes,
                };
                mesh.handle(now, datagram, out);
            }
            Ok(())
        })?;
        self.take();
        Ok(())
    }

    /// Datagrams of one size to one address go as segments of one message.
    fn flush(&mut self) -> io::Result<()> {
        let mut rest = &self.transmits[..];
        while let Some((to, first)) = rest.first() {
            let alike =
                |(other, bytes): &&(SocketAddr, Vec<u8>)| other == to && bytes.len() == first.len();
            let run = rest.iter().take(MAX_SEGMENTS).take_while(alike).count();
            self.contents.clear();
            for (_, bytes) in &rest[..run] {
                self.contents.extend_from_slice(bytes);
            }
            // A full buffer loses it, as a path would.
            if self
                .socket
                .outlet()
                .send(*to, &self.contents, first.len())?
            {
                self.sent += run as u64;
            }
            rest = &rest[run..];
        }
        self.transmits.clear();
        Ok(())
    }
}
