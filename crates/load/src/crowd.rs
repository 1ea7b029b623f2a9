//! The clients of one thread: sockets are emptied first, so that a packet's arrival is not dated by
//! the work on those before it. A client that fails is counted, and the others go on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::door::{Door, Knock, Place};
use crate::failure::Failure;
use crate::media::Kind;
use crate::peer::{Floor, Peer, Role, Watch};
use crate::signal::{self, Signal};
use crate::source::Source;
use crate::stage::Stage;
use crate::tally::Tally;

const WAKE: Token = Token(usize::MAX - 1);
const READY_PER_WAIT: usize = 1_024;

/// The longest wait: lost wakes cost no more.
const PATIENCE: Duration = Duration::from_millis(50);

/// From a client's knock until media is connected.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Datagrams read before they are handled; the rest wait in their sockets.
const BATCH: usize = 4_096;

const MAX_DATAGRAM: usize = 2_048;

/// Who is to come.
#[derive(Clone)]
pub(crate) struct Client {
    /// Among the run's places.
    pub(crate) place: usize,
    pub(crate) token: String,
    pub(crate) room: u32,
    /// The number of a publisher, and what it sends.
    pub(crate) publishes: Option<(u32, Kind)>,
    /// After everyone was let in; None: before all others.
    pub(crate) due: Option<Duration>,
}

pub(crate) struct Crowd<'a> {
    stage: &'a Stage,
    places: &'a [Place],
    watch: Watch,
    waiting: VecDeque<Client>,
    poll: Poll,
    events: Events,
    door: Door,
    seats: Vec<Option<Box<Seated>>>,
    /// When a client wants to be looked after; entries that no longer hold are passed over.
    agenda: BinaryHeap<Reverse<(Instant, usize)>>,
    next_look: Instant,
    /// Clients whose socket may hold more.
    unread: Vec<usize>,
    arrived: Vec<Arrived>,
    bytes: Vec<u8>,
    pub(crate) tally: Tally,
}

struct Seated {
    peer: Peer,
    knocked: Instant,
    settled: bool,
    /// The earliest entry in the agenda.
    queued: Option<Instant>,
}

struct Arrived {
    client: usize,
    at: Instant,
    from: SocketAddr,
    range: Range<usize>,
}

/// Where a crowd stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Not yet in, and not yet given up.
    pub(crate) coming: usize,
    pub(crate) joined: u64,
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) dropped: u64,
    /// Subscriptions of those who are in, and how many have heard anything.
    pub(crate) subscriptions: usize,
    pub(crate) heard: usize,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    /// Its thread has ended before its time.
    pub(crate) broken: bool,
}

impl Standing {
    pub(crate) fn add(&mut self, other: &Standing) {
        self.coming += other.coming;
        self.joined += other.joined;
        for (reason, count) in &other.failed {
            *self.failed.entry(reason.clone()).or_default() += count;
        }
        self.dropped += other.dropped;
        self.subscriptions += other.subscriptions;
        self.heard += other.heard;
        self.sent += other.sent;
        self.received += other.received;
        self.lost += other.lost;
        self.late += other.late;
        self.broken |= other.broken;
    }
}

impl<'a> Crowd<'a> {
    /// `clients` in the order in which they are due.
    pub(crate) fn new(
        stage: &'a Stage,
        places: &'a [Place],
        watch: Watch,
        clients: Vec<Client>,
    ) -> Result<Crowd<'a>, Failure> {
        let poll = Poll::new()?;
        let door = Door::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Crowd {
            stage,
            places,
            watch,
            waiting: clients.into(),
            poll,
            events: Events::with_capacity(READY_PER_WAIT),
            door,
            seats: Vec::new(),
            agenda: BinaryHeap::new(),
            next_look: Instant::now(),
            unread: Vec::new(),
            arrived: Vec::new(),
            bytes: Vec::new(),
            tally: Tally::default(),
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        let coming = self.waiting.len() + self.seats().filter(|seat| !seat.settled).count();
        let (mut subscriptions, mut heard) = (0, 0);
        let mut speaking = BTreeMap::new();
        for seat in self.seats().filter(|seat| seat.settled) {
            if seat.peer.source.is_some() {
                continue;
            }
            let room = seat.peer.room;
            let speaking = *speaking
                .entry(room)
                .or_insert_with(|| self.stage.speaking(room));
            subscriptions += speaking;
            heard += seat.peer.hearing.heard().min(speaking);
        }
        let sum = self.tally.sum();
        Standing {
            coming,
            joined: self.tally.joined,
            failed: self.tally.failed.clone(),
            dropped: self.tally.dropped.values().sum(),
            subscriptions,
            heard,
            sent: sum.sent,
            received: sum.received,
            lost: sum.lost,
            late: sum.late,
            broken: false,
        }
    }

    /// One client, while it is in.
    pub(crate) fn peer(&self, client: usize) -> Option<&Peer> {
        Some(&self.seats.get(client)?.as_ref()?.peer)
    }

    /// One more client knocks now. Returns its number.
    pub(crate) fn add(&mut self, client: Client) -> usize {
        let (now, number) = (Instant::now(), self.seats.len());
        match self.seat(&client, number, now) {
            Ok((seated, knock)) => {
                self.seats.push(Some(Box::new(seated)));
                self.door.knock(knock);
                self.schedule(number);
            }
            Err(reason) => {
                self.seats.push(None);
                *self.tally.failed.entry(reason).or_default() += 1;
            }
        }
        number
    }

    fn seat(
        &self,
        client: &Client,
        number: usize,
        now: Instant,
    ) -> Result<(Seated, Knock), String> {
        let place = &self.places[client.place];
        let in_room: Vec<Kind> = self.stage.in_room(client.room).map(|one| one.1).collect();
        let count = |kind: Kind| in_room.iter().filter(|&&one| one == kind).count();
        let heard = crate::media::KINDS.map(|kind| (kind, count(kind)));
        let source = client
            .publishes
            .map(|(publisher, kind)| Source::new(publisher, kind, &self.stage.shape));
        let hears = match source {
            Some(_) => vec![],
            None => heard.into_iter().filter(|one| one.1 > 0).collect(),
        };
        let data = match &source {
            Some(source) => source.kind == Kind::Data,
            None => count(Kind::Data) > 0,
        };
        let role = Role {
            room: client.room,
            source,
            hears,
            data,
            watch: self.watch,
        };
        let mut peer = Peer::new(role, place.from, now, self.stage)?;
        let kind = client.publishes.map(|one| one.1);
        let uri = signal::join_uri(&place.base, &peer.offer, kind, self.stage.shape.layers)?;
        let token = Token(2 * number);
        let registered = self
            .poll
            .registry()
            .register(&mut peer.socket, token, Interest::READABLE);
        registered.map_err(|error| format!("could not have a socket: {error}"))?;
        let knock = Knock {
            client: number,
            place: place.clone(),
            uri,
            token: client.token.clone(),
        };
        let seated = Seated {
            peer,
            knocked: now,
            settled: false,
            queued: None,
        };
        Ok((seated, knock))
    }

    /// Sends a client home and forgets it.
    pub(crate) fn remove(&mut self, client: usize) {
        if let Some(mut seat) = self.seats[client].take() {
            seat.peer.leave();
        }
    }

    /// Waits for what comes or is due, at most until `end`, and does it.
    pub(crate) fn turn(&mut self, end: Instant) -> Result<(), Failure> {
        let now = Instant::now();
        self.admit(now);
        let next = self.agenda.peek().map_or(end, |entry| entry.0.0);
        let wait = next.min(end).saturating_duration_since(now).min(PATIENCE);
        let wait = if self.unread.is_empty() {
            wait
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let mut signalled = Vec::new();
        for event in &self.events {
            match event.token() {
                WAKE => {}
                Token(token) if token % 2 == 0 => self.unread.push(token / 2),
                Token(token) => signalled.push(token / 2),
            }
        }
        self.receive();
        self.let_in(&mut signalled);
        let now = Instant::now();
        for client in signalled {
            self.with(client, |peer, floor| peer.listen(now, floor));
        }
        while let Some(&Reverse((due, client))) = self.agenda.peek() {
            if due > now {
                break;
            }
            self.agenda.pop();
            let Some(seat) = self.seats[client].as_mut() else {
                continue;
            };
            if seat.queued != Some(due) {
                continue;
            }
            seat.queued = None;
            self.with(client, |peer, floor| peer.tick(now, floor));
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            self.give_up(now);
        }
        Ok(())
    }

    /// Has a client do something, and sees what became of it.
    fn with(
        &mut self,
        client: usize,
        act: impl FnOnce(&mut Peer, &mut Floor<'_>) -> Result<(), String>,
    ) {
        let Some(seat) = self.seats.get_mut(client).and_then(Option::as_mut) else {
            return;
        };
        let floor = &mut Floor {
            stage: self.stage,
            tally: &mut self.tally,
        };
        if let Err(reason) = act(&mut seat.peer, floor) {
            self.lose(client, reason);
            return;
        }
        if !seat.settled && seat.peer.connected() {
            seat.settled = true;
            self.tally.joined += 1;
            let times = &seat.peer.times;
            let since = |at: Option<Instant>| Some(at? - times.asked?);
            for (step, at) in [
                (&mut self.tally.join, times.connected),
                (&mut self.tally.signal, times.joined),
            ] {
                if let Some(time) = since(at) {
                    step.note(time.as_nanos() as u64);
                }
            }
        }
        self.schedule(client);
    }

    fn schedule(&mut self, client: usize) {
        if let Some(seat) = &mut self.seats[client] {
            let due = seat.peer.deadline(self.stage);
            if seat.queued.is_none_or(|queued| due < queued) {
                seat.queued = Some(due);
                self.agenda.push(Reverse((due, client)));
            }
        }
    }

    /// A client that can't go on: it never came in, or it was lost.
    fn lose(&mut self, client: usize, reason: String) {
        let Some(mut seat) = self.seats[client].take() else {
            return;
        };
        seat.peer.leave();
        let reasons = if seat.settled {
            self.close(seat.peer);
            &mut self.tally.dropped
        } else {
            &mut self.tally.failed
        };
        *reasons.entry(reason).or_default() += 1;
    }

    fn give_up(&mut self, now: Instant) {
        for client in 0..self.seats.len() {
            let Some(seat) = &self.seats[client] else {
                continue;
            };
            if !seat.settled && now > seat.knocked + JOIN_PATIENCE {
                let missing = seat.peer.times.missing();
                let seconds = JOIN_PATIENCE.as_secs();
                self.lose(client, format!("was not in after {seconds} s: {missing}"));
            }
        }
    }

    /// Everyone begins to speak: what they have to do is due earlier than they thought.
    pub(crate) fn reschedule(&mut self) {
        for client in 0..self.seats.len() {
            self.schedule(client);
        }
    }

    /// The clients whose time has come knock.
    fn admit(&mut self, now: Instant) {
        while let Some(first) = self.waiting.front() {
            let due = first.due.map_or(Some(Duration::ZERO), |due| {
                self.stage
                    .admit_at()
                    .map(|at| Duration::from_nanos(at) + due)
            });
            if due.is_none_or(|due| self.stage.epoch + due > now) {
                return;
            }
            if let Some(client) = self.waiting.pop_front() {
                self.add(client);
            }
        }
    }

    /// Empties the sockets, then handles what was in them.
    fn receive(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        let mut bytes = std::mem::take(&mut self.bytes);
        arrived.clear();
        let mut filled = 0;
        while let Some(&client) = self.unread.last() {
            if arrived.len() >= BATCH {
                break;
            }
            let Some(seat) = &self.seats[client] else {
                self.unread.pop();
                continue;
            };
            if bytes.len() < filled + MAX_DATAGRAM {
                bytes.resize(filled + 64 * MAX_DATAGRAM, 0);
            }
            match seat.peer.socket.recv_from(&mut bytes[filled..]) {
                Ok((count, from)) => {
                    arrived.push(Arrived {
                        client,
                        at: Instant::now(),
                        from,
                        range: filled..filled + count,
                    });
                    filled += count;
                }
                Err(_) => {
                    self.unread.pop();
                }
            }
        }
        for one in &arrived {
            let bytes = &bytes[one.range.clone()];
            self.with(one.client, |peer, floor| {
                peer.receive(one.at, one.from, bytes, floor)
            });
        }
        (self.arrived, self.bytes) = (arrived, bytes);
    }

    /// Takes the signal connections that the door has opened.
    fn let_in(&mut self, signalled: &mut Vec<usize>) {
        while let Some(opened) = self.door.opened() {
            let registry = self.poll.registry();
            let signal = opened.socket.and_then(|socket| {
                let signal = Signal::new(socket, Instant::now());
                let token = Token(2 * opened.client + 1);
                let registered =
                    registry.register(&mut SourceFd(&signal.fd()), token, Interest::READABLE);
                registered.map_err(|error| format!("could not be waited for: {error}"))?;
                Ok(signal)
            });
            self.with(opened.client, |peer, _| {
                peer.times.asked = Some(opened.asked_at);
                peer.signal = Some(signal?);
                peer.times.opened = Some(Instant::now());
                Ok(())
            });
            // What came with the handshake is in the connection's buffer, not in the socket.
            signalled.push(opened.client);
        }
    }

    fn close(&mut self, peer: Peer) {
        if peer.source.is_none() {
            let expected = self.stage.in_room(peer.room);
            peer.hearing.close(expected, self.stage, &mut self.tally);
        }
    }

    /// Everyone goes home. Returns what was counted.
    pub(crate) fn finish(mut self) -> Tally {
        for seat in std::mem::take(&mut self.seats).into_iter().flatten() {
            let mut peer = seat.peer;
            peer.leave();
            if seat.settled {
                self.close(peer);
            }
        }
        self.tally
    }

    fn seats(&self) -> impl Iterator<Item = &Seated> {
        self.seats.iter().flatten().map(Box::as_ref)
    }
}
