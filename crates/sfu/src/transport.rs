//! One peer connection to a client: the only module that drives str0m.
//!
//! str0m asks to be drained after every change; this is done in `poll` alone, and whatever changes
//! something marks the connection due, so that the rule can't be forgotten elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use checks::{Checks, Taken, stun};
use keying::Keys;
use setup::config;
use srtcp::Sealer;
use str0m::bwe::Bitrate;
use str0m::change::SdpPendingOffer;
use str0m::channel::ChannelId;
use str0m::ice::StunMessage;
use str0m::media::{KeyframeRequestKind, Pt};
use str0m::net::{Protocol as NetProtocol, Receive, TcpType};
use str0m::rtp::{RawPacket, Ssrc};
use str0m::{Candidate, Event, Output, PacerReason, Reason, Rtc};
use wire::{Format, MediaPacket, StreamId};

use crate::backlog::Backlog;
use crate::codec::PayloadTypes;
use crate::copies::Copies;
use crate::estimate::Estimator;
use crate::figures::Gauge;
use crate::lacking::Lacking;
use crate::pace::{Left, Pace};
use crate::redundancy::Lost;
use crate::reorder::Reorder;
use crate::repair::Repeats;
use crate::restart::Names;
use crate::spare::{Check, Place, Spares};
use crate::twofold::Twofold;
use crate::uplink::Uplink;
use crate::values::{Protocol, Transmit, TransportState};

pub(crate) use str0m::media::{Mid, Rid};

mod asking;
mod checks;
mod events;
mod keying;
mod messages;
mod negotiation;
mod reports;
mod setup;
mod srtcp;
mod twcc;
mod uplink;
mod writing;

/// What is sent within this time of a probe's start is its own.
const PROBE_LASTS: Duration = Duration::from_millis(60);

/// After a client moved, packets of its old place are only late.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// Times that one `poll` calls str0m: a whole frame's packets leave in one turn.
const MAX_ROUNDS: usize = 64;
/// After a packet str0m's pacer lets the next go only when so much time has passed.
const ROUND: Duration = Duration::from_micros(1);
/// Between two calls of str0m for its bookkeeping alone, at most. Every call does what is due by
/// then, so that nothing of a connection that sends waits for this, and nothing of another longer.
const REST: Duration = Duration::from_millis(40);

/// Between copies of a packet of sound: they may not share the fate of one burst, and are no queue.
const COPIES_APART: Duration = Duration::from_millis(4);
/// Of so many packets of sound one is sent once, whatever is lost.
const SENT_ONCE: u32 = 8;

const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";
const DATA_TRACK: &str = "_data_track";

/// Of RFC 7983: what begins so shares a port with DTLS and SRTP.
pub(crate) fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4)
}

fn is_binding_response(bytes: &[u8]) -> bool {
    bytes.starts_with(&[1, 1])
}

fn is_binding_request(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 1])
}

/// Whether what begins as RTP does is RTCP (RFC 5761 section 4).
pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, kind, ..] if first >> 6 == 2 && (64..96).contains(&(kind & 0x7f)))
}

/// Whether str0m wants to be called for nothing but its own estimate and pace, which are not used.
fn is_bookkeeping(reason: Reason) -> bool {
    let pace = Reason::Pacer(PacerReason::Handle);
    reason == pace || reason == Reason::BweDelayControl
}

/// What names an RTP packet, None for anything else (RFC 3550, RFC 5761).
pub(crate) fn rtp_name(bytes: &[u8]) -> Option<(u32, u16)> {
    let [first, _, rest @ ..] = bytes else {
        return None;
    };
    if first >> 6 != 2 || is_rtcp(bytes) {
        return None;
    }
    let (sequence, rest) = rest.split_first_chunk::<2>()?;
    let ssrc = rest.get(4..8)?.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*ssrc), u16::from_be_bytes(*sequence)))
}

/// What a transport has to tell after it was polled.
#[derive(Debug)]
pub(crate) enum Happened {
    State(TransportState),
    /// Media can be sent from now on.
    Established,
    /// The client is at another address.
    Moved,
    /// The client is not heard any more; it gets copies over other ways.
    Strayed,
    /// Nothing reached the client for a while; now something does.
    Returned,
    Packet(StreamId, MediaPacket),
    /// A layer comes under these SSRCs.
    Source {
        stream: StreamId,
        ssrc: u32,
        rtx: Option<u32>,
    },
    /// The client sends under this SSRC.
    Sender(u32),
    /// A packet that belongs to no published track, or has no format of ours.
    Unbound,
    KeyframeRequest(Mid),
    Message {
        reliable: bool,
        bytes: Vec<u8>,
    },
    /// A packet of a data track.
    TrackPacket(Vec<u8>),
    ChannelsOpen,
    Estimate(u64),
    /// What of all that was sent of late did not arrive.
    Lost(Lost),
}

/// How a message for a client's data channel went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Taken,
    Dropped,
}

pub(crate) struct Transport {
    rtc: Rtc,
    names: Names,
    /// Its names changed since they were last taken.
    named: bool,
    /// It was connected before, and is not known to be now.
    lost: bool,
    established: bool,
    pub(crate) deadline: Instant,
    /// When str0m is to be called.
    due: Instant,
    /// The deadline that its owner knows of.
    pub(crate) scheduled: Option<Instant>,
    /// Before this str0m is not called again.
    clock: Instant,
    /// When str0m wants to be called, as it said when it had nothing left to send.
    foreseen: Instant,
    /// It was for its bookkeeping, which every call does.
    keeps_books: bool,
    /// Packets written to str0m that have not left, at most.
    waiting: usize,
    /// A client asked for packets again, and not all of what str0m sends may have left.
    resending: bool,
    /// What came in has not been heard yet.
    received: bool,
    /// It has something to send and waits for its next `poll`.
    pub(crate) queued: bool,
    /// So long it is to keep back what comes late from its publisher.
    come_late: Option<Duration>,
    /// How long the scene lets pictures wait at the client, at least and at most.
    pub(crate) scene_playout: Option<(Duration, Duration)>,
    /// The client takes what publishers append to their pictures.
    pub(crate) packet_trailers: bool,
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// Where the client is, over UDP.
    pub(crate) place: Option<Place>,
    spares: Spares,
    checks: Checks,
    /// What str0m does not make: checks of ours, answers to the client's, requests for packets.
    own: Vec<Transmit>,
    requests: Twofold,
    lacking: Lacking,
    /// Nothing reached the client for a while, and it is heard again.
    gone: bool,
    /// What just came from elsewhere: the client is there if it turns out to be its.
    knock: Option<(Knock, Place)>,
    placed_at: Instant,
    moved: bool,
    types: PayloadTypes,
    bindings: Vec<(Mid, Option<Rid>, StreamId)>,
    sources: HashMap<Ssrc, Option<StreamId>>,
    /// The SSRCs of layers, and of their retransmissions, as they were told.
    told_sources: HashMap<StreamId, (Ssrc, Option<Ssrc>)>,
    round_trip: Option<Duration>,
    /// Measured with extended reports (RFC 3611 section 4.5), which not all clients answer.
    repair_round_trip: Option<Duration>,
    /// How long the client lets pictures wait for what is sent again; None: it was never told.
    repair_wait: Option<Duration>,
    /// When the share lost was last told, which that follows.
    losses_set: Option<Instant>,
    /// Lost sound is asked for again.
    asks_for_sound: bool,
    /// So long what came behind it waits for it.
    sound_waits: Duration,
    sounds: BTreeMap<StreamId, Reorder>,
    senders: BTreeMap<Mid, Vec<(Format, Pt)>>,
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    /// Of data tracks.
    data_track: Option<ChannelId>,
    channels_agreed: bool,
    /// A connection that was another node's is up once its channels are, too.
    awaits_channels: bool,
    backlog: Backlog,
    created: Instant,
    /// When the client was heard last, whatever it sent.
    pub(crate) heard: Option<Instant>,
    pub(crate) gauge: Gauge,
    offer: Option<(u32, SdpPendingOffer)>,
    closed: bool,
    estimator: Estimator,
    repeats: Repeats,
    /// What waits for room, and where the last datagram went: there its number belongs.
    repairs: Pace,
    pictures: Pace,
    put: Option<Class>,
    repair_types: BTreeSet<u8>,
    picture_types: BTreeSet<u8>,
    sound_types: BTreeSet<u8>,
    /// So many times each packet of sound is sent, and how many were.
    sound_times: u32,
    sound_count: u32,
    copies: Copies,
    /// The packet that just left is sent again.
    copied: bool,
    /// M-lines whose retransmissions are set up.
    repaired: BTreeSet<Mid>,
    probe_until: Option<Instant>,
    /// The RTCP datagram that is being heard, and those to be heard again.
    hearing: Option<Feedback>,
    again: VecDeque<(Instant, Feedback)>,
    hearing_again: bool,
    loss_told: Option<Instant>,
    reported: Option<Instant>,
    /// Count and last number of the latest report.
    last_report: Option<(u8, u64)>,
    /// The highest number that any told of: one that goes beyond it is no replay.
    told_up_to: Option<u64>,
    keys: Keys,
    /// For RTCP of our own, which goes out under an SSRC of its own.
    sealer: Option<Sealer>,
    asker: Ssrc,
    uplink: Uplink,
}

/// What may have to wait before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Repair,
    Picture,
}

/// What proves where a client is, if it is authentic and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knock {
    Packet(u32, u16),
    Report,
}

/// An RTCP datagram of the client's.
#[derive(Clone)]
struct Feedback {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    /// A connection that answers at these addresses. `prefix` begins its ICE user fragments.
    pub(crate) fn new(
        now: Instant,
        udp: &[SocketAddr],
        tcp: &[SocketAddr],
        prefix: String,
    ) -> Self {
        let names = Names::new(prefix);
        let creds = names.credentials();
        let mut rtc = config().clone().set_local_ice_credentials(creds).build(now);
        let keys = keying::of_made();
        let asker = rtc.direct_api().new_ssrc();
        let udp = udp
            .iter()
            .map(|a| Candidate::builder().udp().host(*a).build());
        let tcp = tcp.iter().map(|a| {
            let tcp = Candidate::builder().tcp().host(*a);
            tcp.tcptype(TcpType::Passive).build()
        });
        for candidate in udp.chain(tcp).flatten() {
            rtc.add_local_candidate(candidate);
        }
        Self {
            rtc,
            names,
            named: true,
            lost: false,
            established: false,
            deadline: now,
            due: now,
            scheduled: None,
            clock: now,
            foreseen: now,
            keeps_books: false,
            waiting: 0,
            resending: false,
            received: false,
            queued: false,
            come_late: None,
            scene_playout: None,
            packet_trailers: true,
            addresses: VecDeque::new(),
            place: None,
            spares: Spares::default(),
            checks: Checks::default(),
            own: vec![],
            requests: Twofold::default(),
            lacking: Lacking::default(),
            gone: false,
            knock: None,
            placed_at: now,
            moved: false,
            types: PayloadTypes::new(),
            bindings: Vec::new(),
            sources: HashMap::new(),
            told_sources: HashMap::new(),
            round_trip: None,
            repair_round_trip: None,
            repair_wait: None,
            losses_set: None,
            asks_for_sound: true,
            sound_waits: Duration::ZERO,
            sounds: BTreeMap::new(),
            senders: BTreeMap::new(),
            reliable: None,
            lossy: None,
            data_track: None,
            channels_agreed: false,
            awaits_channels: false,
            backlog: Backlog::default(),
            created: now,
            heard: None,
            gauge: Gauge::default(),
            offer: None,
            closed: false,
            estimator: Estimator::new(now),
            repeats: Repeats::default(),
            repairs: Pace::of_repairs(),
            pictures: Pace::of_pictures(),
            put: None,
            repair_types: BTreeSet::new(),
            picture_types: BTreeSet::new(),
            sound_types: BTreeSet::new(),
            sound_times: 1,
            sound_count: 0,
            copies: Copies::default(),
            copied: false,
            repaired: BTreeSet::new(),
            probe_until: None,
            hearing: None,
            again: VecDeque::new(),
            hearing_again: false,
            loss_told: None,
            reported: None,
            last_report: None,
            told_up_to: None,
            keys,
            sealer: None,
            asker,
            uplink: Uplink::default(),
        }
    }

    /// The user fragments by which a client's connectivity checks name this transport; None if
    /// they are those that were taken before.
    pub(crate) fn take_names(&mut self) -> Option<Vec<String>> {
        if !std::mem::take(&mut self.named) {
            return None;
        }
        let mut names = vec![self.rtc.direct_api().local_ice_credentials().ufrag];
        names.extend(self.names.promised().map(Into::into));
        Some(names)
    }

    /// Whether a STUN message was made by someone who knows this transport's password.
    pub(crate) fn authenticates(&mut self, bytes: &[u8]) -> bool {
        let ours = self.rtc.direct_api().local_ice_credentials();
        StunMessage::parse(bytes).is_ok_and(|m| checks::verified(&m, &ours))
    }

    /// Take a datagram of the client's. Err: it is nothing that WebRTC knows.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), ()> {
        // Before it has proved who it is, a stranger is not the client.
        let known = protocol == Protocol::Tcp || self.addresses.contains(&from);
        self.knock = None;
        let mut instead = None;
        if protocol == Protocol::Udp {
            let place = (to, from);
            if is_binding_response(bytes) && self.checks.answered(place, bytes) {
                match self.place == Some(place) {
                    true => self.gone |= self.spares.heard(now),
                    false => self.spares.answered(place),
                }
                self.changed(now);
                return Ok(());
            }
            self.follow(now, place, bytes);
            if self.place == Some(place) {
                self.gone |= self.spares.heard(now);
            }
            // Who checks from a known address proved before who it is.
            if is_binding_request(bytes) && known {
                self.spares.checked(now, place);
            }
            if is_binding_request(bytes) && self.checks.controls() {
                let ours = self.rtc.direct_api().local_ice_credentials();
                let in_use = self.place == Some(place);
                match self.checks.take(now, &ours, in_use, bytes) {
                    Taken::AsItIs => {}
                    Taken::As(other) => instead = Some(other),
                    Taken::Answered(bytes) => {
                        self.own.push(stun(place, bytes));
                        self.changed(now);
                        return Ok(());
                    }
                }
            }
            self.hearing = is_rtcp(bytes).then(|| Feedback {
                from,
                to,
                bytes: bytes.into(),
            });
        }
        let protocol = match protocol {
            Protocol::Udp => NetProtocol::Udp,
            Protocol::Tcp => NetProtocol::Tcp,
        };
        let bytes = instead.as_deref().unwrap_or(bytes);
        let receive = Receive::new(protocol, from, to, bytes).map_err(|_| ())?;
        let input = str0m::Input::Receive(self.tick(now), receive);
        // An error here is the client's: str0m keeps going, the datagram is lost.
        let taken = self.rtc.handle_input(input).map_err(|_| ());
        if taken.is_ok() && known {
            self.heard = Some(now);
        }
        self.received = true;
        self.changed(now);
        taken
    }

    /// Follow a client to where it nominates itself, or sends its media from.
    ///
    /// str0m keeps to the nominated pair of the highest priority until that was silent for 15 s. A
    /// client whose access died sends over another within seconds, and says so with its next check,
    /// which may be 2.5 s later.
    fn follow(&mut self, now: Instant, place: Place, bytes: &[u8]) {
        if self.place == Some(place) {
            return;
        }
        if is_binding_request(bytes) {
            let nominates = StunMessage::parse(bytes).is_ok_and(|m| m.use_candidate());
            if nominates && self.authenticates(bytes) {
                self.settle(now, place);
            }
        } else if self.place.is_some() && now > self.placed_at + STRAGGLERS {
            let packet = rtp_name(bytes).map(|(ssrc, sequence)| Knock::Packet(ssrc, sequence));
            let knock = packet.or(is_rtcp(bytes).then_some(Knock::Report));
            self.knock = knock.map(|knock| (knock, place));
        }
    }

    /// Something of the client's is authentic and new: if it knocked, the client is there.
    fn proved(&mut self, now: Instant, knock: Knock) {
        if let Some((_, place)) = self.knock.filter(|(knocked, _)| *knocked == knock) {
            self.settle(now, place);
        }
    }

    fn settle(&mut self, now: Instant, place: Place) {
        self.moved |= self.place.is_some();
        self.place = Some(place);
        self.placed_at = now;
        self.knock = None;
        // A move has keyframes asked for by itself.
        self.spares.settled(now);
    }

    /// Let what arrives on an m-line (and rid) be a stream.
    pub(crate) fn bind(&mut self, mid: &str, rid: Option<&str>, stream: StreamId) {
        let (mid, rid) = (Mid::from(mid), rid.map(Rid::from));
        self.bindings.retain(|(m, r, _)| (*m, *r) != (mid, rid));
        self.bindings.push((mid, rid, stream));
        self.sources.clear();
    }

    pub(crate) fn unbind(&mut self, stream: StreamId) {
        self.bindings.retain(|(_, _, s)| *s != stream);
        self.sources.clear();
        self.requests.forget(stream);
        self.lacking.set(stream, vec![]);
        self.sounds.remove(&stream);
        self.told_sources.remove(&stream);
    }

    /// Where a stream arrives.
    fn bound(&self, stream: StreamId) -> Option<(Mid, Option<Rid>)> {
        let bound = self.bindings.iter().find(|(.., bound)| *bound == stream);
        bound.map(|(mid, rid, _)| (*mid, *rid))
    }

    /// Let what comes under these SSRCs be what is bound as a stream. False: nothing is.
    pub(crate) fn expect(&mut self, stream: StreamId, ssrc: u32, rtx: Option<u32>) -> bool {
        let Some((mid, rid)) = self.bound(stream) else {
            return false;
        };
        if self.rtc.media(mid).is_none() {
            return false;
        }
        let rtx = rtx.map(Ssrc::from);
        self.rtc
            .direct_api()
            .expect_stream_rx(ssrc.into(), rtx, mid, rid);
        self.sources.clear();
        true
    }

    /// Ask the publisher for a keyframe of a stream.
    pub(crate) fn request_keyframe(&mut self, now: Instant, stream: StreamId) {
        let Some((mid, rid)) = self.bound(stream) else {
            return;
        };
        let mut api = self.rtc.direct_api();
        if let Some(rx) = api.stream_rx_by_mid(mid, rid) {
            rx.request_keyframe(KeyframeRequestKind::Pli);
            self.changed(now);
        }
    }

    /// Say how much video would be sent if there were room for it, bits per second.
    pub(crate) fn set_desired(&mut self, desired: u64) {
        self.estimator.want(desired);
    }

    /// How long what pictures wait with would take by the estimate alone.
    pub(crate) fn behind(&self) -> Duration {
        self.estimator.takes(self.pictures.bytes())
    }

    /// The queue on the way to the client is short.
    pub(crate) fn drained(&self) -> bool {
        self.estimator.drained()
    }

    /// Send a burst to learn whether more is carried, where that is of use.
    ///
    /// str0m sends bursts when its own estimator starts. What that makes of them is of no
    /// interest; it must only not go on by itself.
    fn probe(&mut self, now: Instant) {
        let nothing = Bitrate::from(0);
        if self.probe_until.is_some_and(|until| until <= now) {
            self.probe_until = None;
            self.changed(now);
            self.rtc.bwe().set_bitrate(nothing, nothing);
        }
        if let Some(rate) = self.estimator.probe(now) {
            self.probe_until = Some(now + PROBE_LASTS);
            self.changed(now);
            // It begins with three times its first rate, and no more than twice what is desired.
            self.rtc.bwe().reset(Bitrate::from(rate / 3));
            self.rtc.bwe().set_bitrate(nothing, Bitrate::from(rate / 2));
        }
    }

    /// Whether the client's keys are known: nothing can be sent before.
    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    /// Close, saying goodbye to the client with the next `poll`.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        self.changed(now);
    }

    /// Let time pass and drain str0m.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        transmits: &mut Vec<Transmit>,
        happened: &mut Vec<Happened>,
    ) {
        while let Some(bytes) = self.backlog.next(now) {
            if !self.channel_open(true) || !self.write_message(true, &bytes) {
                break;
            }
            self.backlog.sent();
            self.changed(now);
        }
        self.queued = false;
        let before = transmits.len();
        // What came in before this call is heard now; what it asks for may be heard once more.
        if std::mem::take(&mut self.received) {
            self.drain(now, transmits, happened);
        }
        self.hearing = None;
        self.hear_again(now, transmits, happened);
        self.probe(now);
        self.run(now, transmits, happened);
        self.let_go(now, transmits);
        transmits.extend(self.requests.due(now));
        transmits.extend(self.copies.due(now));
        self.pass_sound(now, happened);
        let round_trip = self.round_trip.unwrap_or_default();
        self.check(now, round_trip);
        self.ask_on(now);
        transmits.append(&mut self.own);
        // Who tells nothing of what arrives may be silent for long.
        if let Some(place) = self.place.filter(|_| self.reported.is_some()) {
            let leaving = &transmits[before..];
            let (copies, first) = self.spares.copy(now, place, round_trip, leaving);
            transmits.extend(copies);
            happened.extend(first.then_some(Happened::Strayed));
        }
        if std::mem::take(&mut self.gone) {
            happened.push(Happened::Returned);
        }
        let again = self.again.front().map(|(at, _)| *at);
        let waiting = [&self.repairs, &self.pictures].map(Pace::deadline);
        let held = self.backlog.held_until();
        let copies = [self.requests.deadline(), self.copies.deadline()];
        let sounds = self.sounds.values();
        let sounds = sounds.filter_map(|s| s.due_at(self.sound_waits)).min();
        let doubt = self
            .place
            .and_then(|place| self.spares.deadline(place, round_trip));
        let soonest = [
            again,
            self.probe_until,
            waiting[0],
            waiting[1],
            held,
            copies[0],
            copies[1],
            sounds,
            doubt,
            self.asks_at(now),
        ];
        self.deadline = self.due;
        if let Some(at) = soonest.into_iter().flatten().min() {
            self.deadline = self.due.min(at.max(now + Duration::from_micros(1)));
        }
        if std::mem::take(&mut self.moved) {
            happened.push(Happened::Moved);
        }
        if !self.rtc.is_alive() && !self.closed {
            self.closed = true;
            happened.push(Happened::State(TransportState::Closed));
        }
        if self.closed {
            // A dead transport waits to be removed; it must not be polled in a circle.
            self.deadline = now + Duration::from_secs(3600);
        }
    }

    /// Ask a client that fell silent where else it is, and have it go there.
    fn check(&mut self, now: Instant, round_trip: Duration) {
        let Some(place) = self.place else {
            return;
        };
        let checks = self.spares.checks(now, place, round_trip);
        if checks.is_empty() {
            return;
        }
        let ours = self.rtc.direct_api().local_ice_credentials();
        self.own
            .extend(checks.into_iter().filter_map(|check| match check {
                Check::Ask(place) => self.checks.ask(&ours, place),
                Check::Nominate(place) => self.checks.nominate(now, &ours, place),
            }));
    }

    /// str0m was told something: it is to be called.
    fn changed(&mut self, now: Instant) {
        self.due = now;
        self.deadline = now;
    }

    /// The time of the next call of str0m: later than that of the one before.
    fn tick(&mut self, now: Instant) -> Instant {
        let time = self.clock.max(now);
        self.clock = time + ROUND;
        time
    }

    /// Call str0m for as long as it is due. Its pacer lets one packet go at a time.
    fn run(&mut self, now: Instant, transmits: &mut Vec<Transmit>, happened: &mut Vec<Happened>) {
        for _ in 0..MAX_ROUNDS {
            if self.due > self.clock.max(now) {
                break;
            }
            let input = str0m::Input::Timeout(self.tick(now));
            if self.rtc.handle_input(input).is_err() {
                self.rtc.disconnect();
            }
            self.drain(now, transmits, happened);
        }
    }

    /// str0m wants to be called next at this time. If that is for the packet that just left and none
    /// follows, it can wait for the next packet, or for when it is due otherwise.
    ///
    /// What is due otherwise is hidden while a packet has just left: it is what was foreseen before.
    fn due_at(&mut self, at: Instant) {
        let reason = self.rtc.last_timeout_reason();
        if reason == Reason::Pacer(PacerReason::Immediate) {
            self.packet_left();
        } else if at > self.clock {
            self.keeps_books = self.probe_until.is_none() && is_bookkeeping(reason);
            self.foreseen = if self.keeps_books {
                self.clock + REST
            } else {
                at
            };
            self.due = self.foreseen;
            self.waiting = 0;
            self.resending = false;
        } else {
            self.due = at;
        }
    }

    /// A packet has just left, and the pacer waits for the next call.
    fn packet_left(&mut self) {
        if self.keeps_books {
            self.foreseen = self.clock + REST;
        }
        let follows = self.waiting > 0 || self.resending || self.probe_until.is_some();
        let settled = !follows && self.foreseen > self.clock;
        self.due = if settled { self.foreseen } else { self.clock };
    }

    /// Take everything that str0m has to say, up to when it wants to be called next.
    fn drain(&mut self, now: Instant, transmits: &mut Vec<Transmit>, happened: &mut Vec<Happened>) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => return self.due_at(at),
                Ok(Output::Transmit(t)) => {
                    let protocol = match t.proto {
                        NetProtocol::Udp => Protocol::Udp,
                        _ => Protocol::Tcp,
                    };
                    let chosen = (t.source, t.destination);
                    // A check is answered where it came from.
                    let place = self.place.filter(|_| !is_stun(&t.contents));
                    let (from, to) = match protocol {
                        Protocol::Udp => place.unwrap_or(chosen),
                        Protocol::Tcp => chosen,
                    };
                    let bytes: Vec<u8> = t.contents.into();
                    let transmit = |bytes| Transmit {
                        protocol,
                        from,
                        to,
                        bytes,
                    };
                    if is_rtcp(&bytes) {
                        for bytes in self.told(now, bytes) {
                            self.leaves(now, transmit(bytes), transmits);
                        }
                    } else {
                        self.leaves(now, transmit(bytes), transmits);
                    }
                }
                Ok(Output::Event(Event::RawPacket(raw))) => {
                    let left = matches!(*raw, RawPacket::RtpTx(..));
                    self.raw(now, *raw, happened);
                    // A packet is the last that str0m has to say before its next call, and this
                    // comes after it: to ask once more would take longer than the packet did.
                    if left && self.probe_until.is_none() && !self.resending {
                        return self.packet_left();
                    }
                }
                Ok(Output::Event(event)) => self.event(event, happened),
                Err(_) => {
                    self.rtc.disconnect();
                    return;
                }
            }
        }
    }

    /// Send a packet of sound again, if what it says is to be sent several times. One of some is
    /// not: by those it is known how much is lost.
    fn copy_sound(&mut self, now: Instant, class: Option<Class>, transmit: &Transmit) {
        let more = self.sound_times.saturating_sub(1);
        if more == 0 || class.is_some() || transmit.protocol == Protocol::Tcp {
            return;
        }
        let sound = |kind: &u8| self.sound_types.contains(&(kind & 0x7f));
        if is_rtcp(&transmit.bytes) || !transmit.bytes.get(1).is_some_and(sound) {
            return;
        }
        self.sound_count = self.sound_count.wrapping_add(1);
        if !self.sound_count.is_multiple_of(SENT_ONCE) {
            self.copies.put(now, transmit, more, COPIES_APART);
            self.copied = true;
        }
    }

    /// A datagram leaves at once, or waits until there is room.
    fn leaves(&mut self, now: Instant, transmit: Transmit, transmits: &mut Vec<Transmit>) {
        if !self.bindings.is_empty() {
            self.requests.sent(now, &transmit);
        }
        let class = self.class(&transmit.bytes);
        self.copy_sound(now, class, &transmit);
        self.put = class;
        match self.line(class) {
            Some(line) => line.push(now, transmit),
            None => transmits.push(transmit),
        }
    }

    /// Whether a datagram of ours has to wait for room. What is sent while a burst measures the
    /// way is part of it.
    fn class(&self, bytes: &[u8]) -> Option<Class> {
        let kind = bytes.get(1).map(|kind| kind & 0x7f)?;
        if is_rtcp(bytes) {
            return None;
        }
        let probing = self.probe_until.is_some();
        if self.picture_types.contains(&kind) {
            return (!probing || !self.pictures.is_empty()).then_some(Class::Picture);
        }
        (!probing && self.repair_types.contains(&kind)).then_some(Class::Repair)
    }

    /// Where a datagram of this class waits.
    fn line(&mut self, class: Option<Class>) -> Option<&mut Pace> {
        Some(match class? {
            Class::Repair => &mut self.repairs,
            Class::Picture => &mut self.pictures,
        })
    }

    /// Send what waits, as far as there is room.
    fn let_go(&mut self, now: Instant, transmits: &mut Vec<Transmit>) {
        let rates = [
            self.estimator.repairs(),
            self.estimator.pictures(self.pictures.bytes()),
        ];
        for (pace, rate) in [&mut self.repairs, &mut self.pictures]
            .into_iter()
            .zip(rates)
        {
            while let Some(left) = pace.pop(now, rate) {
                match left {
                    Left::Sent(transmit, number) => {
                        transmits.push(transmit);
                        number.inspect(|number| self.estimator.left(now, *number));
                    }
                    Left::Dropped(number) => {
                        number.inspect(|number| self.estimator.dropped(*number));
                    }
                }
            }
        }
    }
}
