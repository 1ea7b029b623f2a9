//! The table of the gate's connections, and the limits that close them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};

use super::stream::Stream;

/// Connections that have not yet shown what they are; past it the oldest of them is closed.
const UNSETTLED_CAPACITY: usize = 512;

/// Connections, those to the HTTP server on loopback among them; past it new ones are refused.
pub(super) const STREAM_CAPACITY: usize = 8_192;

/// A connection that has not shown what it is for so long is closed.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// A TURN connection without an allocation for so long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Connections read in one turn.
const READ_PER_TURN: usize = 64;

/// What a connection carries.
pub(super) enum Role {
    /// Not known yet: what was read so far.
    Unsettled(Vec<u8>),
    Turn {
        splitter: turn::Splitter,
        client: turn::Client,
        served: Instant,
    },
    /// One of the two ends of HTTP.
    Web { other: Token },
}

pub(super) struct Entry {
    pub(super) stream: Stream,
    pub(super) role: Role,
    /// Whether it may be HTTP.
    pub(super) front: bool,
}

pub(super) struct Streams {
    by_token: BTreeMap<Token, Entry>,
    by_client: BTreeMap<turn::Client, Token>,
    unsettled: BTreeSet<Token>,
    /// Those that may hold more to read.
    readable: BTreeSet<Token>,
    /// Those that have bytes to send and may take them.
    unflushed: BTreeSet<Token>,
    next: usize,
}

impl Streams {
    /// Tokens from `first` upward are theirs.
    pub(super) fn new(first: usize) -> Streams {
        Streams {
            by_token: BTreeMap::new(),
            by_client: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            readable: BTreeSet::new(),
            unflushed: BTreeSet::new(),
            next: first,
        }
    }

    pub(super) fn has_input(&self) -> bool {
        !self.readable.is_empty() || !self.unflushed.is_empty()
    }

    pub(super) fn get(&mut self, token: Token) -> Option<&mut Entry> {
        self.by_token.get_mut(&token)
    }

    /// The one that is closed so that another may be accepted.
    pub(super) fn surplus(&self) -> Option<Token> {
        let full = self.unsettled.len() >= UNSETTLED_CAPACITY;
        self.unsettled.first().copied().filter(|_| full)
    }

    pub(super) fn insert(
        &mut self,
        registry: &Registry,
        mut stream: Stream,
        role: Role,
        front: bool,
    ) -> io::Result<Token> {
        if self.by_token.len() >= STREAM_CAPACITY {
            return Err(io::Error::other("too many TCP connections"));
        }
        let token = Token(self.next);
        self.next += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream.socket, token, interest)?;
        if matches!(role, Role::Unsettled(_)) {
            self.unsettled.insert(token);
        }
        self.readable.insert(token);
        let entry = Entry {
            stream,
            role,
            front,
        };
        self.by_token.insert(token, entry);
        Ok(token)
    }

    /// It has shown what it is.
    pub(super) fn settle(&mut self, token: Token, role: Role) {
        self.unsettled.remove(&token);
        if let Role::Turn { client, .. } = &role {
            self.by_client.insert(*client, token);
        }
        if let Some(entry) = self.by_token.get_mut(&token) {
            entry.role = role;
        }
    }

    pub(super) fn of_client(&self, client: turn::Client) -> Option<Token> {
        self.by_client.get(&client).copied()
    }

    pub(super) fn ready(&mut self, event: &mio::event::Event) {
        let token = event.token();
        let Some(entry) = self.by_token.get_mut(&token) else {
            return;
        };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.readable.insert(token);
        }
        if event.is_writable() {
            entry.stream.writable = true;
            if entry.stream.is_waiting() {
                self.unflushed.insert(token);
            }
        }
    }

    /// Those whose turn it is to be read.
    pub(super) fn take_readable(&mut self) -> Vec<Token> {
        let turn: Vec<Token> = self.readable.iter().take(READ_PER_TURN).copied().collect();
        for token in &turn {
            self.readable.remove(token);
        }
        turn
    }

    pub(super) fn may_hold_more(&mut self, token: Token) {
        if self.by_token.contains_key(&token) {
            self.readable.insert(token);
        }
    }

    /// Queues bytes for a connection; false if it is gone.
    pub(super) fn write(&mut self, now: Instant, token: Token, bytes: &[u8]) -> bool {
        let Some(entry) = self.by_token.get_mut(&token) else {
            return false;
        };
        entry.stream.write(now, bytes);
        if entry.stream.writable {
            self.unflushed.insert(token);
        }
        true
    }

    pub(super) fn has_room(&self, token: Token) -> bool {
        let entry = self.by_token.get(&token);
        entry.is_none_or(|entry| entry.stream.has_room())
    }

    /// Writes what waits. Returns the connections to close: broken, or ended and sent.
    pub(super) fn flush(&mut self, now: Instant) -> Vec<Token> {
        let mut done = Vec::new();
        for token in std::mem::take(&mut self.unflushed) {
            let Some(entry) = self.by_token.get_mut(&token) else {
                continue;
            };
            let broken = entry.stream.flush(now).is_err();
            let waiting = entry.stream.is_waiting();
            if broken || (entry.stream.ending && !waiting) {
                done.push(token);
            } else if let Role::Web { other } = entry.role
                && entry.stream.has_room()
            {
                // What stopped for want of room here goes on.
                self.may_hold_more(other);
            }
        }
        done
    }

    /// Sends what is queued and nothing more; true if there is nothing, and it can be closed.
    pub(super) fn end(&mut self, now: Instant, token: Token) -> bool {
        let Some(entry) = self.by_token.get_mut(&token) else {
            return false;
        };
        entry.stream.end(now);
        let waiting = entry.stream.is_waiting();
        if waiting && entry.stream.writable {
            self.unflushed.insert(token);
        }
        !waiting
    }

    pub(super) fn remove(&mut self, registry: &Registry, token: Token) -> Option<Entry> {
        let mut entry = self.by_token.remove(&token)?;
        self.unsettled.remove(&token);
        self.readable.remove(&token);
        self.unflushed.remove(&token);
        if let Role::Turn { client, .. } = &entry.role {
            self.by_client.remove(client);
        }
        // Closing the descriptor takes it out of epoll in any case.
        let _ = registry.deregister(&mut entry.stream.socket);
        Some(entry)
    }

    /// Those that a limit says to close.
    pub(super) fn over(
        &mut self,
        now: Instant,
        is_served: impl Fn(turn::Client) -> bool,
    ) -> Vec<Token> {
        let mut over = Vec::new();
        for (&token, entry) in &mut self.by_token {
            let since = |at| now.saturating_duration_since(at);
            let late = match &mut entry.role {
                Role::Unsettled(_) => since(entry.stream.opened) > SETTLE_LIMIT,
                Role::Turn { client, served, .. } => {
                    if is_served(*client) {
                        *served = now;
                    }
                    since(*served) > IDLE_LIMIT
                }
                Role::Web { .. } => false,
            };
            if late || entry.stream.is_stalled(now) {
                over.push(token);
            }
        }
        over
    }
}
