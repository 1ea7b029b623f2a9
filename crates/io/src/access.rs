//! The access networks of the field lab: a thread that moves IP packets between pairs of TUN
//! devices and does to them what weak networks do.
//!
//! What becomes of a packet is `netem`'s to say; here are the devices and the clock. A link's two
//! devices are moved into network namespaces by whoever asked for them: an open device survives
//! that, and it vanishes with the link.

mod ecn;
mod lateness;
mod links;
mod nat;
mod system;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use netem::{Cross, Weather};

use crate::clock;
pub use lateness::Lateness;
use links::Links;
pub use links::{LinkTally, MAX_LINKS, Way};
use system::Timer;

const WAKE: Token = Token(0);
const TIMER: Token = Token(1);
/// The devices follow, two a link.
const FIRST_DEVICE: usize = 2;

/// Readiness reports taken from one wait.
const READY_PER_WAIT: usize = 256;

/// Questions that wait for the thread; whoever comes next waits to ask.
const ASK_CAPACITY: usize = 16;

/// What the thread does for a caller, who waits: nothing of the links is ever under a lock, for a
/// thread that must not be late would wait for one that may be.
type Ask = Box<dyn FnOnce(&mut Links) + Send>;

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("link is {0}; allowed: one that add_link() gave")]
    NoLink(usize),
    #[error("links are {MAX_LINKS} already; allowed: up to {MAX_LINKS} in one access network")]
    Full,
    #[error("device is {0:?}; allowed: 1 to 15 letters, digits, hyphens, dots or underscores")]
    Name(String),
    #[error("device {name} can't be made ({error}): {}", remedy(.error))]
    Device { name: String, error: io::Error },
    #[error("the system gave no more for an access network ({0}): close other programs")]
    System(#[from] io::Error),
    #[error("the thread of this access network has ended: make a new one")]
    Ended,
}

/// Emulated access networks. Dropping it ends the thread and takes the devices away.
pub struct Access {
    /// None once closing.
    asks: Option<SyncSender<Ask>>,
    waker: mio::Waker,
    thread: Option<JoinHandle<()>>,
}

impl Access {
    /// Starts the thread. One seed has one schedule of what goes wrong.
    pub fn start(seed: u64) -> Result<Access, AccessError> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKE)?;
        let timer = Timer::new()?;
        let mut source = SourceFd(&timer.fd());
        poll.registry()
            .register(&mut source, TIMER, Interest::READABLE)?;
        let links = Links::new(seed, poll.registry().try_clone()?);
        let (asks, asked) = mpsc::sync_channel(ASK_CAPACITY);
        let thread = std::thread::Builder::new().name("fairlead-access".to_owned());
        let thread = thread.spawn(move || {
            // Without the right to it the thread is late more often, which `lateness` tells.
            let _ = system::go_first();
            // Err: the system took epoll or the timer away, and every later call says so.
            let _ = run(poll, timer, &asked, links);
        })?;
        Ok(Access {
            asks: Some(asks),
            waker,
            thread: Some(thread),
        })
    }

    /// Makes two devices, in the caller's network namespace, and joins them by a link without
    /// weather; returns its number. They are down and have no address.
    pub fn add_link(&self, inside: &str, outside: &str) -> Result<usize, AccessError> {
        self.join(open(inside)?, open(outside)?)
    }

    /// Joins two non-blocking descriptors of which each read and write is one IP packet.
    fn join(&self, inside: File, outside: File) -> Result<usize, AccessError> {
        self.ask(|links| links.add(inside, outside))?
    }

    /// Changes the weather of one way, from now on and for what waits.
    pub fn set(&self, link: usize, way: Way, weather: Weather) -> Result<(), AccessError> {
        self.ask(move |links| links.set(clock::now(), link, way, weather))?
    }

    /// Others share one way from now on.
    pub fn share(&self, link: usize, way: Way, cross: Cross) -> Result<(), AccessError> {
        self.ask(move |links| links.share(clock::now(), link, way, cross))?
    }

    /// The NAT of a link gives every UDP flow another port from now on; what comes to one of before
    /// is dropped.
    pub fn rebind(&self, link: usize) -> Result<(), AccessError> {
        self.ask(move |links| links.rebind(link))?
    }

    /// What became of the packets of one way so far.
    pub fn tally(&self, link: usize, way: Way) -> Result<LinkTally, AccessError> {
        self.ask(move |links| links.tally(link, way))?
    }

    /// How late packets left since this was last asked. A packet that waits unread while the
    /// machine stalls isn't late by this: the kernel does not say when it came.
    pub fn lateness(&self) -> Result<Lateness, AccessError> {
        self.ask(Links::lateness)
    }

    /// Ends the thread and takes the devices away.
    pub fn close(self) {}

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Links) -> T + Send + 'static,
    ) -> Result<T, AccessError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let ask: Ask = Box::new(move |links| {
            // Fails only where nobody waits for it.
            let _ = answer.send(question(links));
        });
        let asks = self.asks.as_ref().ok_or(AccessError::Ended)?;
        asks.send(ask).map_err(|_| AccessError::Ended)?;
        self.waker.wake()?;
        answered.recv().map_err(|_| AccessError::Ended)
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.asks = None;
        // Fails only when the thread's poll is gone, and the thread with it.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves packets until nobody can ask any more.
fn run(
    mut poll: Poll,
    mut timer: Timer,
    asked: &Receiver<Ask>,
    mut links: Links,
) -> io::Result<()> {
    let mut ready = mio::Events::with_capacity(READY_PER_WAIT);
    loop {
        // A wait of epoll is rounded up to a millisecond, hence a timer for what is due.
        timer.set(links.deadline())?;
        match poll.poll(&mut ready, links.patience()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &ready {
            match event.token() {
                WAKE => {}
                TIMER => timer.rang(),
                Token(device) => links.ready(device - FIRST_DEVICE),
            }
        }
        loop {
            match asked.try_recv() {
                Ok(ask) => ask(&mut links),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        links.turn();
    }
}

/// Opens a device by a name that the kernel would neither change nor refuse.
fn open(name: &str) -> Result<File, AccessError> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = (1..=system::MAX_NAME).contains(&name.len()) && name.chars().all(known);
    if !fits || name == "." || name == ".." {
        return Err(AccessError::Name(name.to_owned()));
    }
    system::open_tun(name).map_err(|error| AccessError::Device {
        name: name.to_owned(),
        error,
    })
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "this machine has no /dev/net/tun; load the kernel module tun",
        io::ErrorKind::PermissionDenied => "run as root, or in a user namespace of your own",
        io::ErrorKind::ResourceBusy => "there is one of that name; take another or delete that",
        _ => "see what `ip tuntap add` says to the same name",
    }
}
