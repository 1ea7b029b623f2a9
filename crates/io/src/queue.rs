//! The bounded queues into a worker and out to Python.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use node::{Bus, Command, Event};

use crate::tcp::Handed;

/// Commands that wait for one worker; past it `handle` refuses, which is loud.
pub(crate) const COMMAND_CAPACITY: usize = 65_536;

/// Messages from the other workers; past it the newest is dropped and counted.
pub(crate) const BUS_CAPACITY: usize = 16_384;

/// Packets and connections that reached the wrong worker; past it the newest is dropped.
pub(crate) const HANDOVER_CAPACITY: usize = 4_096;

/// Events that wait for Python; past it the node stops with `Fatal`: nobody listens any more.
pub(crate) const EVENT_CAPACITY: usize = 65_536;

/// What one turn of a worker takes, so that packets get theirs.
const COMMANDS_PER_TURN: usize = 64;
const BUS_PER_TURN: usize = 1_024;
const HANDOVERS_PER_TURN: usize = 256;

/// What reached one worker and belongs to another.
pub(crate) enum Handover {
    Datagram {
        from: SocketAddr,
        local: Option<IpAddr>,
        bytes: Vec<u8>,
    },
    Connection(Box<Handed>),
    /// What a client sent through the gate's TURN server, from its relayed address.
    Relayed {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
}

/// The way into a worker, for Python's thread and the other workers.
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    waker: mio::Waker,
}

#[derive(Default)]
struct Waiting {
    commands: VecDeque<Command>,
    bus: VecDeque<Bus>,
    handovers: VecDeque<Handover>,
    stop: bool,
}

/// What a worker took in one turn.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) commands: Vec<Command>,
    pub(crate) bus: Vec<Bus>,
    pub(crate) handovers: Vec<Handover>,
    pub(crate) stop: bool,
    /// The inbox holds more.
    pub(crate) more: bool,
}

impl Inbox {
    pub(crate) fn new(waker: mio::Waker) -> Inbox {
        Inbox {
            waiting: Mutex::default(),
            waker,
        }
    }

    /// Queues a command; false if the worker is too far behind.
    pub(crate) fn command(&self, command: Command) -> bool {
        self.push(|waiting| bounded(&mut waiting.commands, command, COMMAND_CAPACITY))
    }

    pub(crate) fn bus(&self, messages: impl Iterator<Item = Bus>) -> u64 {
        let mut dropped = 0;
        self.push(|waiting| {
            for message in messages {
                dropped += u64::from(!bounded(&mut waiting.bus, message, BUS_CAPACITY));
            }
            true
        });
        dropped
    }

    pub(crate) fn handover(&self, handover: Handover) -> bool {
        self.push(|waiting| bounded(&mut waiting.handovers, handover, HANDOVER_CAPACITY))
    }

    pub(crate) fn stop(&self) {
        self.push(|waiting| {
            waiting.stop = true;
            true
        });
    }

    /// Takes a bounded share of each queue.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = lock(&self.waiting);
        let mut taken = Taken {
            stop: waiting.stop,
            ..Taken::default()
        };
        taken.commands = front(&mut waiting.commands, COMMANDS_PER_TURN);
        taken.bus = front(&mut waiting.bus, BUS_PER_TURN);
        taken.handovers = front(&mut waiting.handovers, HANDOVERS_PER_TURN);
        taken.more = !waiting.is_empty();
        taken
    }

    fn push(&self, change: impl FnOnce(&mut Waiting) -> bool) -> bool {
        let mut waiting = lock(&self.waiting);
        let was_empty = waiting.is_empty() && !waiting.stop;
        let accepted = change(&mut waiting);
        let wake = was_empty && (!waiting.is_empty() || waiting.stop);
        drop(waiting);
        if wake {
            // Fails only when the worker's poll is gone, and then nobody needs waking.
            let _ = self.waker.wake();
        }
        accepted
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.bus.is_empty() && self.handovers.is_empty()
    }
}

/// The way out to Python: a batch of events and a descriptor that is readable while it has any.
pub(crate) struct Events {
    waiting: Mutex<Vec<Event>>,
    /// One byte is in the pipe exactly while `waiting` isn't empty; both change under its lock,
    /// so neither end ever blocks.
    reader: PipeReader,
    writer: PipeWriter,
}

impl Events {
    pub(crate) fn new() -> io::Result<Events> {
        let (reader, writer) = io::pipe()?;
        Ok(Events {
            waiting: Mutex::default(),
            reader,
            writer,
        })
    }

    /// Queues events. False once the queue is full: all but one last `Fatal` is dropped.
    pub(crate) fn push(&self, events: impl IntoIterator<Item = Event>) -> bool {
        let mut waiting = lock(&self.waiting);
        let was_empty = waiting.is_empty();
        let mut full = false;
        for event in events {
            match waiting.len() {
                ..EVENT_CAPACITY => waiting.push(event),
                EVENT_CAPACITY => {
                    full = true;
                    let reason = format!(
                        "{EVENT_CAPACITY} events wait and nobody drains them; the event loop that \
                         owns this node hangs"
                    );
                    waiting.push(Event::Fatal { reason });
                }
                _ => full = true,
            }
        }
        if was_empty && !waiting.is_empty() {
            // The pipe is ours at both ends and empty: the write neither fails nor blocks.
            let _ = (&self.writer).write_all(&[1]);
        }
        !full
    }

    /// Every event since the last call.
    pub(crate) fn drain(&self) -> Vec<Event> {
        let mut waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            let _ = (&self.reader).read_exact(&mut [0]);
        }
        std::mem::take(&mut *waiting)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

/// A panic elsewhere must not hide its own report: a poisoned lock is used as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bounded<T>(queue: &mut VecDeque<T>, item: T, capacity: usize) -> bool {
    let room = queue.len() < capacity;
    if room {
        queue.push_back(item);
    }
    room
}

fn front<T>(queue: &mut VecDeque<T>, count: usize) -> Vec<T> {
    let count = count.min(queue.len());
    queue.drain(..count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn handover() -> Handover {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Handover::Datagram {
            from: address,
            local: None,
            bytes: Vec::new(),
        }
    }

    #[test]
    fn a_full_inbox_refuses_and_a_turn_takes_a_bounded_share() {
        let poll = Poll::new().expect("epoll works here");
        let waker = mio::Waker::new(poll.registry(), Token(0)).expect("eventfd works here");
        let inbox = Inbox::new(waker);
        for _ in 0..HANDOVER_CAPACITY {
            assert!(inbox.handover(handover()));
        }
        assert!(!inbox.handover(handover()));
        let taken = inbox.take();
        assert_eq!(taken.handovers.len(), HANDOVERS_PER_TURN);
        assert!(taken.more && !taken.stop);
        let mut total = taken.handovers.len();
        while total < HANDOVER_CAPACITY {
            total += inbox.take().handovers.len();
        }
        assert!(!inbox.take().more);
    }

    #[test]
    fn stopping_wakes_a_sleeping_worker() {
        let mut poll = Poll::new().expect("epoll works here");
        let waker = mio::Waker::new(poll.registry(), Token(7)).expect("eventfd works here");
        let inbox = Inbox::new(waker);
        inbox.stop();
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::from_secs(5)))
            .expect("epoll works here");
        assert_eq!(
            events.iter().next().map(|event| event.token()),
            Some(Token(7))
        );
        assert!(inbox.take().stop);
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let events = Events::new().expect("pipes work here");
        let mut poll = Poll::new().expect("epoll works here");
        let fd = events.fd();
        let mut source = mio::unix::SourceFd(&fd);
        poll.registry()
            .register(&mut source, Token(0), mio::Interest::READABLE)
            .expect("a pipe can be polled");
        let mut readable = |wait| {
            let mut ready = mio::Events::with_capacity(4);
            poll.poll(&mut ready, Some(Duration::from_millis(wait)))
                .expect("epoll works here");
            !ready.is_empty()
        };
        assert!(!readable(0));
        let fatal = || Event::Fatal {
            reason: "a test".to_owned(),
        };
        assert!(events.push([fatal(), fatal()]));
        assert!(events.push([fatal()]));
        assert!(readable(5_000));
        assert_eq!(events.drain().len(), 3);
        assert!(!readable(0));
        assert!(events.drain().is_empty());
        assert!(events.push([fatal()]));
        assert!(readable(5_000), "a new batch is a new edge");
    }

    #[test]
    fn an_event_queue_nobody_drains_ends_with_one_fatal() {
        let events = Events::new().expect("pipes work here");
        let counters = || Event::Counters {
            counts: Default::default(),
        };
        assert!(events.push((0..EVENT_CAPACITY).map(|_| counters())));
        assert!(!events.push([counters()]));
        assert!(!events.push([counters()]));
        let all = events.drain();
        assert_eq!(all.len(), EVENT_CAPACITY + 1);
        assert!(matches!(all.last(), Some(Event::Fatal { .. })));
    }
}
