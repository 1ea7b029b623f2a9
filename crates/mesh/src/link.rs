//! The session with one neighbour: handshakes, heartbeats, up and down, numbering and repair.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::{Body, Class, Heartbeat, NodeId, Part};

use crate::config::Timing;
use crate::count::{Count, Counts};
use crate::handshake::Initiator;
use crate::incoming::Incoming;
use crate::measure::{Came, Measure};
use crate::message::{Output, Queue};
use crate::outgoing::Outgoing;
use crate::pacer::Pacer;
use crate::session::{Refused, Session};

mod agree;
mod health;
mod heartbeat;
mod mtu;
mod pairs;
mod parts;
mod repairing;
mod replay;
mod report;
mod sending;

pub(crate) use health::Level;
use health::Record;
use mtu::{MAX_FRAMES, Mtu};
use pairs::Pair;
use parts::Parts;
use repairing::{Repairs, Shares};
pub use report::{Fault, LinkReport, LinkState, PairReport};

/// A link counts as active this long after its last frame.
const ACTIVE: Duration = Duration::from_secs(1);
/// The same first message is repeated this long, then a new handshake is made.
const ATTEMPT: Duration = Duration::from_secs(5);
/// A lower node ignores its peer's handshakes this long while its own is under way.
const TIE: Duration = Duration::from_secs(1);
/// A link that stays down this long makes a new handshake: the peer may have restarted.
const SUSPECT_RESTART: Duration = Duration::from_secs(1);
/// Datagrams under replaced keys may come this late.
const OLD_KEYS: Duration = Duration::from_secs(10);
/// The end that answered the last handshake leaves the next to the other, for this long.
const REKEY_GRACE: Duration = Duration::from_secs(10);

/// What a link needs of its mesh while it is being called.
pub(crate) struct Context<'a> {
    /// This node.
    pub(crate) node: NodeId,
    pub(crate) now: Instant,
    /// `now` in wrapping microseconds, as it goes on the wire.
    pub(crate) clock: u32,
    pub(crate) timing: &'a Timing,
    pub(crate) counts: &'a mut Counts,
    pub(crate) out: &'a mut Vec<Output>,
    /// Set when a link went up: what waits for a way may try again.
    pub(crate) went_up: &'a mut bool,
}

struct Attempt {
    initiator: Initiator,
    begun: Instant,
    retry_at: Instant,
    wait: Duration,
}

/// The last first message that was answered, by its ephemeral key, and the answer.
struct Answer {
    ephemeral: Vec<u8>,
    datagram: Vec<u8>,
}

pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) peer_key: [u8; 32],
    /// Key ids that are no longer ours to receive under.
    pub(crate) retired: Vec<u32>,
    /// Its timer is yet to be set.
    pub(crate) touched: bool,
    pub(crate) measure: Measure,
    state: LinkState,
    current: Option<Session>,
    /// Agreed as responder, not yet used by the peer.
    next: Option<Session>,
    previous: Option<(Session, Instant)>,
    attempt: Option<Attempt>,
    answer: Option<Answer>,
    /// No handshake of our own before this.
    handshake_at: Instant,
    peer_epoch: Option<u64>,
    pairs: Vec<Pair>,
    /// The pair that carries our frames; none other before `settled_at`.
    active: usize,
    settled_at: Instant,
    /// The pair that carries the peer's.
    peer_active: usize,
    /// On any pair, and on the one that carries the peer's frames.
    heard: Instant,
    primary_heard: Instant,
    record: Record,
    /// How the way to the peer is, by its last heartbeat.
    outward: Level,
    /// What last failed.
    fault: Option<Fault>,
    peer_interval: Duration,
    /// It is somebody's second way, here or there.
    backup: bool,
    peer_backup: bool,
    /// Frames went either way, or out, within `ACTIVE`.
    active_until: Instant,
    sending_until: Instant,
    /// Frames began to go out then, and the peer has not shown yet that it noticed.
    kicked: Option<Instant>,
    kicked_clock: u32,
    /// The interval announced last, and a slower one that the peer may still go by.
    spoke: Duration,
    slow: Duration,
    slow_until: Instant,
    /// Datagrams sent under these keys that say nothing of the pair in use.
    aside: u16,
    mtu: Mtu,
    part_number: u16,
    parts: Parts,
    /// Frames of this turn, and the most urgent class among them.
    pending: Vec<u8>,
    pending_class: Class,
    scratch: Vec<u8>,
    pacer: Pacer,
    outgoing: Outgoing,
    incoming: Incoming,
    repairs: Repairs,
    shares: Shares,
}

impl Link {
    pub(crate) fn new(
        now: Instant,
        node: NodeId,
        peer_key: [u8; 32],
        addresses: &[SocketAddr],
        ports: usize,
        timing: &Timing,
    ) -> Link {
        Link {
            node,
            peer_key,
            retired: Vec::new(),
            touched: false,
            measure: Measure::default(),
            state: LinkState::Connecting,
            current: None,
            next: None,
            previous: None,
            attempt: None,
            answer: None,
            handshake_at: now,
            peer_epoch: None,
            pairs: pairs::pairs(now, addresses, ports, timing),
            active: 0,
            settled_at: now,
            peer_active: 0,
            heard: now,
            primary_heard: now,
            record: Record::new(now),
            outward: Level::Fine,
            fault: None,
            peer_interval: timing.heartbeat_idle,
            backup: false,
            peer_backup: false,
            active_until: now,
            sending_until: now,
            kicked: None,
            kicked_clock: 0,
            spoke: timing.heartbeat_idle,
            slow: timing.heartbeat_idle,
            slow_until: now,
            aside: 0,
            mtu: Mtu::new(now),
            part_number: 0,
            parts: Parts::default(),
            pending: Vec::new(),
            pending_class: Class::Rest,
            scratch: Vec::new(),
            pacer: Pacer::new(now),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            repairs: Repairs::default(),
            shares: Shares::default(),
        }
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = Queue> {
        let frames = Queue {
            name: "link_frames_bytes",
            length: self.pending.len(),
            capacity: MAX_FRAMES,
        };
        let numbering = [self.outgoing.queue(), self.incoming.queue()];
        let repair = [frames, self.repairs.queue(), self.parts.queue()];
        let lanes = self.pacer.queues();
        numbering.into_iter().chain(repair).chain(lanes)
    }

    /// Open a sealed datagram and act on it; the frames that it brings for the first time.
    pub(crate) fn on_sealed<'a>(
        &mut self,
        ctx: &mut Context<'_>,
        (from, port): (SocketAddr, u8),
        (receiver, counter): (u32, u64),
        datagram: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let length = datagram.len();
        let is = |session: &&mut Session| session.local == receiver;
        let previous = self.previous.as_mut().map(|(session, _)| session);
        let slots = [self.current.as_mut(), self.next.as_mut(), previous];
        let Some((slot, session)) = slots
            .into_iter()
            .enumerate()
            .find_map(|(i, session)| session.filter(is).map(|session| (i, session)))
        else {
            ctx.counts.add(Count::DropUnknownSession);
            return None;
        };
        let (body, advance) = match session.open(counter, datagram) {
            Ok(opened) => opened,
            Err(Refused::Replayed) => {
                ctx.counts.add(Count::DropReplayed);
                return None;
            }
            Err(Refused::Forged) => {
                ctx.counts.add(Count::DropForged);
                return None;
            }
        };
        if slot == 1
            && let Some(session) = self.next.take()
        {
            self.establish(ctx, session);
        }
        if slot == 2 {
            self.settle_crossing(ctx);
        }
        self.heard = ctx.now;
        let port = usize::from(port);
        if let Some(pair) = self.pairs.get_mut(port) {
            pair.heard = Some(ctx.now);
            if slot < 2 && advance > 0 {
                pair.address = from;
            }
        }
        let Ok(body) = Body::decode(body) else {
            ctx.counts.add(Count::DropMalformed);
            return None;
        };
        let (Body::Frames { sent, .. }
        | Body::Heartbeat(Heartbeat { sent, .. })
        | Body::Nack { sent, .. }
        | Body::Gone { sent, .. }
        | Body::Parity { sent, .. }
        | Body::Probe { sent, .. }
        | Body::Probed { sent, .. }) = body;
        let aside = match &body {
            Body::Heartbeat(beat) => !beat.primary,
            Body::Probe { .. } | Body::Probed { .. } => true,
            _ => false,
        };
        if !aside {
            self.primary_heard = ctx.now;
            if self.peer_active != port {
                self.peer_active = port;
                self.measure.on_other_pair();
            }
        }
        let came = Came {
            bytes: length,
            advance,
            aside,
            old: slot == 2,
            sent,
            arrived: ctx.clock,
        };
        if !self.measure.on_datagram(came) {
            ctx.counts.add(Count::OddTimes);
        }
        if let Body::Heartbeat(beat) = &body {
            if slot < 2 && beat.primary {
                self.measure.on_aside(beat.aside);
            }
            self.on_heartbeat(ctx, port, beat);
        }
        if let Some(pair) = self.pairs.get_mut(port) {
            pair.echo = Some((sent, ctx.now));
        }
        self.connect(ctx);
        if self.state != LinkState::Up || matches!(body, Body::Heartbeat(_)) {
            self.judge(ctx);
        }
        match body {
            Body::Frames {
                repair,
                sequence,
                frames,
                ..
            } => {
                let is_new = self.on_frames(ctx, (repair, sequence), frames);
                is_new.then_some(frames)
            }
            Body::Heartbeat(_) => None,
            Body::Probe { .. } => {
                self.on_probe(ctx, length);
                None
            }
            Body::Probed { size, .. } => {
                self.on_probed(ctx, size);
                None
            }
            Body::Nack { sequences, .. } => {
                self.repair(ctx, &sequences);
                None
            }
            Body::Gone { sequences, .. } => {
                self.incoming.on_gone(&sequences);
                None
            }
            Body::Parity {
                number,
                first,
                count,
                sum,
                ..
            } => {
                self.on_parity(ctx, number, (first, count), sum);
                None
            }
        }
    }

    /// A part of a frame came: the whole, if it was the last one missing.
    pub(crate) fn on_part(&mut self, ctx: &mut Context<'_>, part: &Part<'_>) -> Option<Vec<u8>> {
        let (whole, given_up) = self.parts.add(ctx.now, part);
        ctx.counts.add_many(Count::DropPart, given_up);
        whole
    }

    // --- time ---------------------------------------------------------------------------------

    /// Do what is due.
    pub(crate) fn on_timeout(&mut self, ctx: &mut Context<'_>, spread: f32) {
        if self
            .previous
            .as_ref()
            .is_some_and(|(_, until)| *until <= ctx.now)
        {
            self.retire_previous();
        }
        self.judge(ctx);
        self.retry_handshake(ctx, spread);
        self.beat(ctx);
        if self.current.is_some() {
            self.probe(ctx);
        }
        self.ask(ctx);
        self.send_copies(ctx);
        self.release(ctx);
    }

    fn retry_handshake(&mut self, ctx: &mut Context<'_>, spread: f32) {
        let due = |attempt: &&mut Attempt| attempt.retry_at <= ctx.now;
        let Some(attempt) = self.attempt.as_mut().filter(due) else {
            return;
        };
        if attempt.begun + ATTEMPT <= ctx.now {
            self.retired.push(attempt.initiator.local);
            self.attempt = None;
            self.handshake_at = ctx.now;
            return;
        }
        attempt.wait = (attempt.wait * 2).min(ctx.timing.handshake_retry_max);
        attempt.retry_at = ctx.now + attempt.wait.mul_f32(0.75 + spread / 2.0);
        let bytes = attempt.initiator.datagram.clone();
        if !self.carries() {
            self.next_pair();
        }
        self.transmit(ctx, bytes);
    }

    /// A second is over: settle what was measured in it.
    pub(crate) fn roll(&mut self, counts: &mut Counts) {
        let (sent, missed) = self.incoming.take_tally();
        counts.add_many(Count::RepairsMissed, missed);
        self.measure.on_numbered(sent, missed);
        self.measure.roll();
        self.outgoing.fade();
        self.shares.fade();
        for pair in &mut self.pairs {
            pair.roll();
        }
    }

    /// When `on_timeout` or a handshake is due.
    pub(crate) fn deadline(&self, now: Instant, timing: &Timing) -> Instant {
        let mut at = match &self.attempt {
            Some(attempt) => attempt.retry_at,
            None => self.handshake_due(timing),
        };
        let probe_at = self.current.is_some().then(|| self.mtu.deadline());
        let due = [self.beat_at(), self.judge_at(now, timing), probe_at];
        at = due.into_iter().flatten().fold(at, Instant::min);
        let copies = self.repairs.deadline();
        let repair = [self.incoming.deadline(), copies, self.pacer.deadline()];
        repair.into_iter().flatten().fold(at, Instant::min)
    }

    /// Every key id that this link receives under.
    pub(crate) fn key_ids(&self) -> Vec<u32> {
        let sessions = [self.current.as_ref(), self.next.as_ref()];
        let mut ids: Vec<u32> = sessions.into_iter().flatten().map(|s| s.local).collect();
        ids.extend(self.previous.as_ref().map(|(s, _)| s.local));
        ids.extend(self.attempt.as_ref().map(|a| a.initiator.local));
        ids.extend(&self.retired);
        ids
    }
}
