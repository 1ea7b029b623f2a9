//! The session with one neighbour: handshakes, heartbeats, up and down, numbering and repair.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use wire::{
    BODY_HEADER, Body, Header, Heartbeat, MAX_DATAGRAM, MAX_NACKS, NodeId, SEALED_HEADER, TAG,
};

use crate::config::Timing;
use crate::count::{Count, Counts};
use crate::handshake::Initiator;
use crate::incoming::{Arrival, Incoming};
use crate::measure::Measure;
use crate::message::{Output, Queue};
use crate::outgoing::Outgoing;
use crate::session::{Refused, Session};

mod agree;

/// The most bytes of frames in one datagram.
const MAX_FRAMES: usize = MAX_DATAGRAM - SEALED_HEADER - BODY_HEADER - TAG;
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
/// How long ago a heartbeat says at most that something came.
const MAX_HELD: Duration = Duration::from_secs(60);
const MAX_JITTER_ALLOWANCE: Duration = Duration::from_millis(250);

/// Whether a neighbour can be reached directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Never up since it was added.
    Connecting,
    Up,
    /// Silent for too long: everything on it is doubled.
    Suspect,
    Down,
}

/// Port pairs that a link may have.
pub const MAX_PAIRS: usize = 4;

/// One port pair as this node measures it.
#[derive(Clone, Debug, PartialEq)]
pub struct PairReport {
    pub pair: u8,
    pub state: LinkState,
    pub rtt: Option<Duration>,
    pub loss: f32,
}

/// Which way of a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From the peer.
    In,
    /// Towards it.
    Out,
    Both,
}

/// One link as this node measures it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkReport {
    pub node: NodeId,
    pub state: LinkState,
    /// While it is suspect or down.
    pub fault: Option<Fault>,
    /// Smoothed; None before the first echo.
    pub rtt: Option<Duration>,
    pub rtt_min: Option<Duration>,
    pub rtt_p95: Option<Duration>,
    /// How far the one-way delay from the peer stands above its least of the last minute.
    pub delay_change: Duration,
    pub jitter: Duration,
    /// Share of the peer's datagrams lost before repair, 0 to 1, over the last seconds.
    pub loss: f32,
    /// The same of numbered datagrams, after repair.
    pub residual_loss: f32,
    /// Of ours, as the peer reports them.
    pub loss_out: f32,
    pub residual_loss_out: f32,
    /// Datagrams lost in a row, mean.
    pub burst: f32,
    /// Bits per second, delivered from the peer and sent to it.
    pub rate_in: u64,
    pub rate_out: u64,
    /// What waits here to be paced, and above the least delay on the way out.
    pub queue: Duration,
    /// Bits per second out, given or learnt.
    pub capacity: Option<u64>,
    /// Bytes of UDP payload that pass.
    pub mtu: u16,
    /// Shares of the bytes sent.
    pub repair_share: f32,
    pub parity_share: f32,
    /// The port pair in use.
    pub pair: u8,
    pub pairs: Vec<PairReport>,
    pub sent_packets: u64,
    pub received_packets: u64,
}

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
    pub(crate) address: SocketAddr,
    /// Key ids that are no longer ours to receive under.
    pub(crate) retired: Vec<u32>,
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
    heard: Instant,
    /// The peer says that it has not heard us for too long: the way there is broken.
    unheard: bool,
    went_down: Instant,
    peer_interval: Duration,
    heartbeat_at: Instant,
    active_until: Instant,
    /// Send time of the latest body that came, and when it came.
    echo: Option<(u32, Instant)>,
    pending: Vec<u8>,
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Link {
    pub(crate) fn new(
        now: Instant,
        node: NodeId,
        peer_key: [u8; 32],
        address: SocketAddr,
        timing: &Timing,
    ) -> Link {
        Link {
            node,
            peer_key,
            address,
            retired: Vec::new(),
            measure: Measure::default(),
            state: LinkState::Connecting,
            current: None,
            next: None,
            previous: None,
            attempt: None,
            answer: None,
            handshake_at: now,
            peer_epoch: None,
            heard: now,
            unheard: false,
            went_down: now,
            peer_interval: timing.heartbeat_idle,
            heartbeat_at: now,
            active_until: now,
            echo: None,
            pending: Vec::new(),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    pub(crate) fn report(&self) -> LinkReport {
        let (loss, residual_loss) = self.measure.loss();
        LinkReport {
            node: self.node,
            state: self.state,
            fault: None,
            rtt: self.measure.rtt(),
            rtt_min: None,
            rtt_p95: None,
            delay_change: Duration::ZERO,
            jitter: self.measure.jitter(),
            loss,
            residual_loss,
            loss_out: 0.0,
            residual_loss_out: 0.0,
            burst: 0.0,
            rate_in: 0,
            rate_out: 0,
            queue: Duration::ZERO,
            capacity: None,
            mtu: MAX_DATAGRAM as u16,
            repair_share: 0.0,
            parity_share: 0.0,
            pair: 0,
            pairs: Vec::new(),
            sent_packets: self.measure.sent_packets,
            received_packets: self.measure.received_packets,
        }
    }

    pub(crate) fn queues(&self) -> [Queue; 3] {
        let frames = Queue {
            name: "link_frames_bytes",
            length: self.pending.len(),
            capacity: MAX_FRAMES,
        };
        [frames, self.outgoing.queue(), self.incoming.queue()]
    }

    /// This node itself was asleep for `late`: the peer's silence meanwhile means nothing.
    pub(crate) fn forgive(&mut self, late: Duration) {
        self.heard += late;
        // Nor did this node fail to hear: what came meanwhile is still to be read.
        self.echo = None;
    }

    // --- frames -------------------------------------------------------------------------------

    /// Queue a frame; true if it is the first that waits.
    pub(crate) fn push(&mut self, ctx: &mut Context<'_>, header: &Header, content: &[u8]) -> bool {
        let length = 3 + 2 * header.hops.nodes().len() + content.len();
        if self.pending.len() + 2 + length > MAX_FRAMES {
            self.flush(ctx);
        }
        if self.active_until <= ctx.now {
            self.heartbeat_at = self.heartbeat_at.min(ctx.now);
        }
        self.active_until = ctx.now + ACTIVE;
        let first = self.pending.is_empty();
        self.pending.extend((length as u16).to_be_bytes());
        header.encode(&mut self.pending);
        self.pending.extend_from_slice(content);
        first
    }

    /// Send the frames that wait.
    pub(crate) fn flush(&mut self, ctx: &mut Context<'_>) {
        if self.pending.is_empty() {
            return;
        }
        let Some(session) = &mut self.current else {
            self.pending.clear();
            ctx.counts.add(Count::DropNextHopDown);
            return;
        };
        let bytes = session.seal(&Body::Frames {
            repair: false,
            sequence: self.outgoing.next_sequence(),
            sent: ctx.clock,
            frames: &self.pending,
        });
        let frames = std::mem::take(&mut self.pending);
        let two_rounds = 2 * self.measure.rtt().unwrap_or_default();
        let memory = ctx.timing.repair_memory.max(two_rounds + ACTIVE / 10);
        self.pending = self.outgoing.keep(ctx.now, frames, memory);
        self.transmit(ctx, bytes);
    }

    fn transmit(&mut self, ctx: &mut Context<'_>, bytes: Vec<u8>) {
        self.measure.sent_packets += 1;
        ctx.out.push(Output::Transmit {
            to: self.address,
            port: 0,
            peer: self.node,
            bytes,
        });
    }

    // --- receiving ----------------------------------------------------------------------------

    /// Open a sealed datagram and act on it; the frames that it brings for the first time.
    pub(crate) fn on_sealed<'a>(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        (receiver, counter): (u32, u64),
        datagram: &'a mut [u8],
    ) -> Option<&'a [u8]> {
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
        if slot < 2 && advance > 0 {
            self.address = from;
        }
        if slot == 2 {
            self.settle_crossing(ctx);
        }
        self.heard = ctx.now;
        let Ok(body) = Body::decode(body) else {
            ctx.counts.add(Count::DropMalformed);
            return None;
        };
        if let Body::Heartbeat(beat) = &body {
            self.on_heartbeat(ctx, beat);
        }
        self.go_up(ctx);
        let (Body::Frames { sent, .. }
        | Body::Heartbeat(Heartbeat { sent, .. })
        | Body::Nack { sent, .. }) = body;
        self.measure.on_datagram(advance, sent, ctx.clock);
        self.echo = Some((sent, ctx.now));
        match body {
            Body::Frames {
                repair,
                sequence,
                frames,
                ..
            } => self.on_frames(ctx, repair, sequence).then_some(frames),
            Body::Heartbeat(_) => None,
            Body::Nack {
                last_chance,
                sequences,
                ..
            } => {
                self.repair(ctx, last_chance, &sequences);
                None
            }
        }
    }

    fn on_heartbeat(&mut self, ctx: &mut Context<'_>, beat: &Heartbeat) {
        self.peer_interval = Duration::from_millis(beat.interval.into());
        self.incoming
            .on_next(ctx.now, beat.next_sequence, ctx.timing);
        self.unheard = false;
        let Some((sent, held)) = beat.echo else {
            return;
        };
        let limit = silence(ctx.timing, self.interval(ctx)).as_micros();
        self.unheard = u128::from(held) >= limit;
        let round = ctx.clock.wrapping_sub(sent).wrapping_sub(held);
        // Held for long, or less than nothing because clocks move between two readings.
        if !self.unheard && round < 1 << 26 {
            self.measure.on_echo(round);
        }
        if self.unheard {
            self.go_down(ctx);
        }
    }

    fn on_frames(&mut self, ctx: &mut Context<'_>, repair: bool, sequence: u32) -> bool {
        self.active_until = ctx.now + ACTIVE;
        match self
            .incoming
            .on_numbered(ctx.now, sequence, repair, ctx.timing)
        {
            Arrival::New => true,
            Arrival::Late => {
                ctx.counts.add_many(Count::Repaired, repair.into());
                true
            }
            Arrival::Duplicate => {
                ctx.counts.add(Count::DropDuplicateFrame);
                false
            }
        }
    }

    fn repair(&mut self, ctx: &mut Context<'_>, last_chance: bool, sequences: &[u32]) {
        for sequence in sequences {
            for _ in 0..=u8::from(last_chance) {
                let Some(session) = &mut self.current else {
                    return;
                };
                let frames = match self.outgoing.repair(*sequence) {
                    Ok(frames) => frames,
                    Err(reason) => {
                        ctx.counts.add(reason);
                        break;
                    }
                };
                let bytes = session.seal(&Body::Frames {
                    repair: true,
                    sequence: *sequence,
                    sent: ctx.clock,
                    frames,
                });
                ctx.counts.add(Count::RepairsSent);
                self.transmit(ctx, bytes);
            }
        }
    }

    /// Both ends hear each other.
    fn go_up(&mut self, ctx: &mut Context<'_>) {
        if self.state != LinkState::Up && !self.unheard {
            self.state = LinkState::Up;
            *ctx.went_up = true;
            ctx.out.push(Output::LinkChanged {
                node: self.node,
                state: self.state,
            });
        }
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
        if self.is_up() && self.silent_at(ctx.timing) <= ctx.now {
            self.go_down(ctx);
        }
        self.retry_handshake(ctx, spread);
        if self.heartbeat_at <= ctx.now {
            self.heartbeat(ctx);
        }
        self.ask(ctx);
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
        self.transmit(ctx, bytes);
    }

    fn heartbeat(&mut self, ctx: &mut Context<'_>) {
        let interval = self.interval(ctx);
        self.heartbeat_at = ctx.now + interval;
        let echo = self.echo.map(|(sent, at)| {
            let held = ctx.now.saturating_duration_since(at).min(MAX_HELD);
            (sent, held.as_micros() as u32)
        });
        let Some(session) = &mut self.current else {
            return;
        };
        let bytes = session.seal(&Body::Heartbeat(Heartbeat {
            sent: ctx.clock,
            interval: interval.as_millis() as u16,
            next_sequence: self.outgoing.next_sequence(),
            echo,
        }));
        self.transmit(ctx, bytes);
    }

    fn interval(&self, ctx: &Context<'_>) -> Duration {
        if self.active_until > ctx.now {
            ctx.timing.heartbeat_active
        } else {
            ctx.timing.heartbeat_idle
        }
    }

    fn ask(&mut self, ctx: &mut Context<'_>) {
        let asks = self.incoming.asks(ctx.now, self.measure.rtt(), ctx.timing);
        for (last_chance, sequences) in [(false, asks.sequences), (true, asks.last_chances)] {
            for sequences in sequences.chunks(MAX_NACKS) {
                let Some(session) = &mut self.current else {
                    return;
                };
                let bytes = session.seal(&Body::Nack {
                    sent: ctx.clock,
                    last_chance,
                    sequences: sequences.to_vec(),
                });
                self.transmit(ctx, bytes);
            }
        }
    }

    /// A second is over: settle what was measured in it.
    pub(crate) fn roll(&mut self, counts: &mut Counts) {
        let (sent, missed) = self.incoming.take_tally();
        counts.add_many(Count::RepairsMissed, missed);
        self.measure.on_numbered(sent, missed);
        self.measure.roll();
    }

    fn go_down(&mut self, ctx: &mut Context<'_>) {
        if self.state == LinkState::Up {
            self.state = LinkState::Down;
            self.went_down = ctx.now;
            ctx.counts.add(Count::LinkDowns);
            ctx.out.push(Output::LinkChanged {
                node: self.node,
                state: self.state,
            });
        }
    }

    fn silent_at(&self, timing: &Timing) -> Instant {
        let allowance = (4 * self.measure.jitter()).min(MAX_JITTER_ALLOWANCE);
        self.heard + silence(timing, self.peer_interval) + allowance
    }

    /// When `on_timeout` or a handshake is due.
    pub(crate) fn deadline(&self, timing: &Timing) -> Instant {
        let mut at = match &self.attempt {
            Some(attempt) => attempt.retry_at,
            None => self.handshake_due(timing),
        };
        if self.current.is_some() {
            at = at.min(self.heartbeat_at);
        }
        if self.is_up() {
            at = at.min(self.silent_at(timing));
        }
        self.incoming.deadline().map_or(at, |ask| at.min(ask))
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

/// The silence that means a broken way, where heartbeats come at `interval`.
fn silence(timing: &Timing, interval: Duration) -> Duration {
    // Half an interval more: the one that would come in time is not to come too late.
    let missed = interval * timing.missed_heartbeats + interval / 2;
    timing.down_after.max(missed)
}
