//! One peer connection to a client: the only file that drives str0m.
//!
//! str0m asks to be drained after every change; this file drains it in `poll` alone, and marks
//! itself due after each change, so that the rule can't be forgotten elsewhere.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::config::CryptoProvider;
use str0m::ice::StunMessage;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Pt};
use str0m::net::{Protocol as NetProtocol, Receive, TcpType};
use str0m::rtp::rtcp::{Nack, NackEntry, Rtcp, Twcc};
use str0m::rtp::{RawPacket, RtpHeader, RtpPacket, RtpWrite, SeqNo, Ssrc};
use str0m::{Candidate, Event, IceConnectionState, Output, PacerReason, Reason, Rtc, RtcConfig};
use wire::{Format, MediaPacket, StreamId};

use crate::backlog::Backlog;
use crate::codec::{self, PayloadTypes};
use crate::estimate::{self, Estimator};
use crate::figures::Gauge;
use crate::forwarder::Placed;
use crate::pace::{Left, Pace};
use crate::packet::{extension_values, media_packet, set_playout, without_trailer};
use crate::redundancy::{Lost, Voice};
use crate::repair::{APART, Repeats};
use crate::restart::Names;
use crate::spare::{Place, Spares};
use crate::values::{Kind, Protocol, Section, Transmit, TransportState};

pub(crate) use str0m::media::{Mid, Rid};

/// Bytes of reliable messages that wait for a slow client; over that the new message is dropped
/// and counted.
const MAX_BACKLOG: usize = 4 * 1024 * 1024;
/// Reliable messages held for a client whose channels are not open yet (livekit.md 1.12).
const MAX_HELD: usize = 100 * 1024;
const MAX_HELD_AGE: Duration = Duration::from_secs(10);

/// A lost packet of sound is asked for again up to this round trip. Beyond, it comes too late for
/// listeners' jitter buffers, and hides from the speaker's Opus encoder that frames need protection:
/// of 10 % lost at 40 ms, 1 % stays lost with requests and 0.1 % without.
const MAX_AUDIO_ROUND_TRIP: Duration = Duration::from_millis(30);
/// Pictures wait for what is sent again from this share of loss on (livekit-server#1838), until
/// less than the other is lost.
const PLAYOUT_FROM: f32 = 0.02;
const PLAYOUT_STAY: f32 = 0.01;
/// How long, in round trips, and at least and at most; speech is held back with the picture.
const PLAYOUT_TRIPS: f64 = 1.3;
const MIN_PLAYOUT: Duration = Duration::from_millis(20);
const MAX_PLAYOUT: Duration = Duration::from_millis(400);
/// The most that a client may let them wait by itself, which is its own default.
const PLAYOUT_LIMIT: Duration = Duration::from_secs(10);
/// Packets kept to be sent again, for so long; retransmissions take this share of all bytes at most.
/// At half lost, with everything asked for sent twice more, they are six in ten.
const REPAIR_PACKETS: usize = 2_000;
const REPAIR_AGE: Duration = Duration::from_secs(3);
const REPAIR_SHARE: f32 = 0.7;
/// Of the headers around an RTP packet: SRTP's tag, UDP and IP.
const AROUND: usize = 38;
/// What is sent within this time of a probe's start is its own.
const PROBE_LASTS: Duration = Duration::from_millis(60);
/// Losses are told this often, by receiver reports only where for so long nothing else told of them.
const LOSS_EVERY: Duration = Duration::from_millis(100);
const LOSS_KNOWN: Duration = Duration::from_secs(3);
/// Packets between two reports that are taken for lost, at most.
const MAX_BETWEEN: u64 = 1_000;
/// Requests for retransmissions that wait to be heard again.
const MAX_AGAIN: usize = 64;
/// How often losses are looked at.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// After a client moved, packets of its old place are only late.
const STRAGGLERS: Duration = Duration::from_millis(500);

/// Times that one `poll` calls str0m: a whole frame's packets leave in one turn.
const MAX_ROUNDS: usize = 64;
/// After a packet str0m's pacer lets the next go only when so much time has passed.
const ROUND: Duration = Duration::from_micros(1);
/// Between two calls of str0m for its bookkeeping alone, at most. Every call does what is due by
/// then, so that nothing of a connection that sends waits for this, and nothing of another longer.
const REST: Duration = Duration::from_millis(40);

/// RTP clocks, Hz (RFC 3551, RFC 7587).
const VIDEO_CLOCK: u32 = 90_000;
const SOUND_CLOCK: u32 = 48_000;

const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

/// Of RFC 7983: what begins so shares a port with DTLS and SRTP.
pub(crate) fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4)
}

fn is_binding_request(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 1])
}

/// Whether what begins as RTP does is RTCP (RFC 5761 section 4).
fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, kind, ..] if first >> 6 == 2 && (64..96).contains(&(kind & 0x7f)))
}

/// Whether str0m wants to be called for nothing but its own estimate and pace, which are not used.
fn is_bookkeeping(reason: Reason) -> bool {
    let pace = Reason::Pacer(PacerReason::Handle);
    reason == pace || reason == Reason::BweDelayControl
}

/// What names an RTP packet, None for anything else (RFC 3550, RFC 5761).
fn rtp_name(bytes: &[u8]) -> Option<(Ssrc, u16)> {
    let [first, _, rest @ ..] = bytes else {
        return None;
    };
    if first >> 6 != 2 || is_rtcp(bytes) {
        return None;
    }
    let (sequence, rest) = rest.split_first_chunk::<2>()?;
    let ssrc = rest.get(4..8)?.first_chunk::<4>()?;
    Some((
        u32::from_be_bytes(*ssrc).into(),
        u16::from_be_bytes(*sequence),
    ))
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
    /// A packet that belongs to no published track, or has no format of ours.
    Unbound,
    KeyframeRequest(Mid),
    Message {
        reliable: bool,
        bytes: Vec<u8>,
    },
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
    /// How long the scene lets pictures wait at the client, at least and at most.
    pub(crate) scene_playout: Option<(Duration, Duration)>,
    /// The client takes what publishers append to their pictures.
    pub(crate) packet_trailers: bool,
    pub(crate) addresses: VecDeque<SocketAddr>,
    /// Where the client is, over UDP.
    place: Option<Place>,
    spares: Spares,
    /// Nothing reached the client for a while, and it is heard again.
    gone: bool,
    /// A media packet that came from elsewhere: the client is there if it turns out to be its.
    knock: Option<(Ssrc, u16, Place)>,
    placed_at: Instant,
    moved: bool,
    types: PayloadTypes,
    bindings: Vec<(Mid, Option<Rid>, StreamId)>,
    sources: HashMap<Ssrc, Option<StreamId>>,
    round_trip: Option<Duration>,
    /// Measured with extended reports (RFC 3611 section 4.5), which not all clients answer.
    repair_round_trip: Option<Duration>,
    /// How long the client lets pictures wait for what is sent again; None: it was never told.
    repair_wait: Option<Duration>,
    /// The client is too far away for lost sound to come again in time.
    far: bool,
    senders: BTreeMap<Mid, Vec<(Format, Pt)>>,
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
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
}

/// What may have to wait before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Repair,
    Picture,
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
            scene_playout: None,
            packet_trailers: true,
            addresses: VecDeque::new(),
            place: None,
            spares: Spares::default(),
            gone: false,
            knock: None,
            placed_at: now,
            moved: false,
            types: PayloadTypes::new(),
            bindings: Vec::new(),
            sources: HashMap::new(),
            round_trip: None,
            repair_round_trip: None,
            repair_wait: None,
            far: false,
            senders: BTreeMap::new(),
            reliable: None,
            lossy: None,
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
            repaired: BTreeSet::new(),
            probe_until: None,
            hearing: None,
            again: VecDeque::new(),
            hearing_again: false,
            loss_told: None,
            reported: None,
            last_report: None,
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
        let password = self.rtc.direct_api().local_ice_credentials().pass;
        StunMessage::parse(bytes).is_ok_and(|m| {
            m.verify(password.as_bytes(), |key, parts| {
                crypto().sha1_hmac_provider.sha1_hmac(key, parts)
            })
        })
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
        if protocol == Protocol::Udp {
            let place = (to, from);
            self.follow(now, place, bytes);
            if self.place == Some(place) {
                self.gone |= self.spares.heard(now);
            }
            // Who checks from a known address proved before who it is.
            if is_binding_request(bytes) && self.addresses.contains(&from) {
                self.spares.checked(now, place);
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
        let receive = Receive::new(protocol, from, to, bytes).map_err(|_| ())?;
        let input = str0m::Input::Receive(self.tick(now), receive);
        // An error here is the client's: str0m keeps going, the datagram is lost.
        let taken = self.rtc.handle_input(input).map_err(|_| ());
        if taken.is_ok() {
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
        } else if let Some((ssrc, sequence)) = rtp_name(bytes)
            && self.place.is_some()
            && now > self.placed_at + STRAGGLERS
        {
            self.knock = Some((ssrc, sequence, place));
        }
    }

    fn settle(&mut self, now: Instant, place: Place) {
        self.moved |= self.place.is_some();
        self.place = Some(place);
        self.placed_at = now;
        self.knock = None;
        // A move has keyframes asked for by itself.
        self.spares.heard(now);
    }

    /// Answer an offer. Err: a sentence for the log.
    pub(crate) fn accept_offer(
        &mut self,
        now: Instant,
        sdp: &str,
        agreed_channels: Option<[u16; 2]>,
    ) -> Result<String, String> {
        let sdp = without_snap(sdp);
        let offer = SdpOffer::from_sdp_string(&sdp).map_err(|e| e.to_string())?;
        let before = self.rtc.direct_api().local_ice_credentials();
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|e| e.to_string())?;
        let answer = answer.to_sdp_string();
        let (answer, restarted) = self.names.answer(&mut self.rtc, &before, &answer);
        self.restarted(restarted);
        self.changed(now);
        self.negotiated();
        if let Some([reliable, lossy]) = agreed_channels
            && !self.channels_agreed
        {
            self.channels_agreed = true;
            let mut api = self.rtc.direct_api();
            self.reliable = Some(api.create_data_channel(channel(RELIABLE, Some(reliable))));
            self.lossy = Some(api.create_data_channel(channel(LOSSY, Some(lossy))));
        }
        Ok(ask_for_lost_sound(&answer))
    }

    /// Make an offer with exactly these sections after the data section. Err: nothing to offer.
    pub(crate) fn create_offer(
        &mut self,
        now: Instant,
        id: u32,
        sections: &[Section],
        restart_ice: bool,
    ) -> Result<(String, Vec<String>), String> {
        let first = self.reliable.is_none();
        let mut api = self.rtc.sdp_api();
        if first {
            self.reliable = Some(api.add_channel_with_config(channel(RELIABLE, None)));
            self.lossy = Some(api.add_channel_with_config(channel(LOSSY, None)));
        }
        let mut mids = Vec::with_capacity(sections.len());
        for section in sections {
            let direction = match section.active {
                true => Direction::SendOnly,
                false => Direction::Inactive,
            };
            let mid = match &section.mid {
                Some(mid) => {
                    let mid = Mid::from(mid.as_str());
                    api.set_direction(mid, direction);
                    mid
                }
                None => {
                    let kind = match section.kind {
                        Kind::Audio => MediaKind::Audio,
                        Kind::Video => MediaKind::Video,
                    };
                    api.add_media(kind, direction, None, None, None)
                }
            };
            mids.push(mid.to_string());
        }
        let restart = restart_ice.then(|| api.ice_restart(true));
        let Some((offer, pending)) = api.apply() else {
            return Err("the offer would change nothing".into());
        };
        self.changed(now);
        self.offer = Some((id, pending));
        self.named = true;
        Ok((self.names.offer(restart, offer.to_sdp_string()), mids))
    }

    /// Take the answer to the offer `id` (0: whichever is open).
    pub(crate) fn accept_answer(&mut self, now: Instant, id: u32, sdp: &str) -> Result<(), String> {
        match &self.offer {
            Some((open, _)) if id == 0 || id == *open => {}
            Some((open, _)) => return Err(format!("answer {id} is not for offer {open}")),
            None => return Err(format!("answer {id} comes without an offer")),
        }
        let answer = SdpAnswer::from_sdp_string(&without_snap(sdp)).map_err(|e| e.to_string())?;
        let Some((_, pending)) = self.offer.take() else {
            return Err(format!("answer {id} comes without an offer"));
        };
        self.changed(now);
        let before = self.rtc.direct_api().local_ice_credentials();
        self.rtc
            .sdp_api()
            .accept_answer(pending, answer)
            .map_err(|e| e.to_string())?;
        let restarted = self.names.answered(&mut self.rtc, &before);
        self.restarted(restarted);
        self.negotiated();
        Ok(())
    }

    /// A restarted connection says so when it is back; its packets go the old way until then.
    fn restarted(&mut self, restarted: bool) {
        self.named |= restarted;
        self.lost |= restarted;
    }

    /// Learn what the last negotiation agreed on.
    fn negotiated(&mut self) {
        self.types.learn(self.rtc.codec_config());
        let repairs = self.rtc.codec_config().iter().filter_map(|p| p.resend());
        self.repair_types = repairs.map(|pt| *pt).collect();
        let all = self.rtc.codec_config().iter();
        let pictures = all.filter(|p| p.spec().codec.is_video());
        self.picture_types = pictures.map(|p| *p.pt()).collect();
        self.senders.clear();
        self.sources.clear();
    }

    /// Take a trickled candidate; false if it can't be used (an mDNS name, say).
    pub(crate) fn add_candidate(&mut self, now: Instant, candidate: &str) -> bool {
        match Candidate::from_sdp_string(candidate) {
            Ok(candidate) => {
                self.rtc.add_remote_candidate(candidate);
                self.changed(now);
                true
            }
            Err(_) => false,
        }
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
    }

    /// Ask the publisher for a keyframe of a stream.
    pub(crate) fn request_keyframe(&mut self, now: Instant, stream: StreamId) {
        let Some((mid, rid, _)) = self.bindings.iter().find(|(_, _, s)| *s == stream) else {
            return;
        };
        let (mid, rid) = (*mid, *rid);
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

    /// What was sent on an m-line is not worth sending again, nor what waits worth sending.
    pub(crate) fn forget_repairs(&mut self, mid: Mid) {
        let forgotten = self.repairs.clear().chain(self.pictures.clear());
        forgotten.for_each(|number| self.estimator.dropped(number));
        self.again.clear();
        // Set up anew with the next packet.
        self.repaired.remove(&mid);
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

    /// Have the client keep pictures back until what is lost of them came again, if it loses this
    /// share: some more than a round trip, told with each packet (the playout-delay extension).
    pub(crate) fn set_losses(&mut self, share: f32) {
        let waits = self.repair_wait.is_some_and(|delay| !delay.is_zero());
        let from = if waits { PLAYOUT_STAY } else { PLAYOUT_FROM };
        let delay = self.round_trip.filter(|_| share >= from);
        let delay = delay.map(|trip| trip.mul_f64(PLAYOUT_TRIPS));
        let delay = delay.map(|delay| delay.clamp(MIN_PLAYOUT, MAX_PLAYOUT));
        // Who was told once goes on by that until it is told otherwise.
        if delay.is_some() || waits {
            self.repair_wait = Some(delay.unwrap_or_default());
        }
    }

    /// How long the client is to let pictures wait, at least and at most: what the scene says, and
    /// what repair takes.
    fn playout(&self) -> Option<(Duration, Duration)> {
        if self.scene_playout.is_none() && self.repair_wait.is_none() {
            return None;
        }
        let (least, most) = self
            .scene_playout
            .unwrap_or((Duration::ZERO, PLAYOUT_LIMIT));
        let least = least.max(self.repair_wait.unwrap_or_default());
        Some((least, most.max(least)))
    }

    /// Queue a packet for the client; it leaves with the next `poll`. False: the m-line has no
    /// payload type for it.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        mid: Mid,
        packet: &MediaPacket,
        placed: Placed,
        voice: Option<(&mut Voice, &'static [u64])>,
        vp8: Option<str0m::rtp::Vp8Patch>,
    ) -> bool {
        let Some((pt, payload)) = self.payload(mid, packet, voice) else {
            return false;
        };
        let playout = self.playout().filter(|_| !packet.format.is_audio());
        let mut api = self.rtc.direct_api();
        let Some(tx) = api.stream_tx_by_mid(mid, None) else {
            return false;
        };
        if self.repaired.insert(mid) {
            tx.set_rtx_cache(REPAIR_PACKETS, REPAIR_AGE, Some(REPAIR_SHARE));
        }
        let sequence = SeqNo::from(placed.sequence);
        let mut values = extension_values(packet);
        if let Some(playout) = playout {
            set_playout(&mut values, playout);
        }
        let mut rtp = RtpWrite::new(pt, sequence, placed.timestamp, placed.at, payload)
            .marker(packet.marker)
            .nackable(true)
            .ext_vals(values);
        if let Some(patch) = vp8 {
            rtp = rtp.vp8_patch(patch);
        }
        // It is paced here, by another estimate.
        tx.set_unpaced(true);
        tx.write_rtp(rtp);
        self.waiting += 1;
        self.changed(now);
        true
    }

    /// The payload type and payload with which this m-line takes a packet: sound from its `voice`,
    /// with the frames so many before it where the m-line takes them.
    fn payload(
        &mut self,
        mid: Mid,
        packet: &MediaPacket,
        voice: Option<(&mut Voice, &'static [u64])>,
    ) -> Option<(Pt, Arc<[u8]>)> {
        let types = self.sending(mid)?;
        let pt = |format| types.iter().find(|(f, _)| *f == format).map(|(_, pt)| *pt);
        if let Some((voice, distances)) = voice {
            let opus = pt(Format::Opus)?;
            let red = pt(Format::Red).filter(|_| !distances.is_empty());
            let redundant = red.and_then(|red| {
                let payload = voice.redundant(packet.sequence, *opus, distances)?;
                Some((red, payload))
            });
            return redundant.or_else(|| Some((opus, voice.plain(packet.sequence)?)));
        }
        if let Some(pt) = pt(packet.format) {
            let known = self.packet_trailers || !packet.marker;
            let shorter = without_trailer(&packet.payload).filter(|_| !known);
            let payload = shorter.map_or_else(|| Arc::clone(&packet.payload), Arc::from);
            return Some((pt, payload));
        }
        match packet.format {
            // A client without RED gets the primary block alone.
            Format::Red => {
                let blocks = wire::red_blocks(&packet.payload).ok()?;
                Some((pt(Format::Opus)?, blocks.last()?.bytes.into()))
            }
            _ => None,
        }
    }

    /// Whether an m-line takes redundant sound.
    pub(crate) fn takes_red(&mut self, mid: Mid) -> bool {
        let types = self.sending(mid).unwrap_or_default();
        types.iter().any(|(format, _)| *format == Format::Red)
    }

    /// The payload types under which an m-line takes each format.
    fn sending(&mut self, mid: Mid) -> Option<&[(Format, Pt)]> {
        Some(match self.senders.entry(mid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let media = self.rtc.media(mid)?;
                let types = codec::sending_types(self.rtc.codec_config(), media.remote_pts());
                place.insert(types)
            }
        })
    }

    /// Whether the client's keys are known: nothing can be sent before.
    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    /// The round trip by which str0m asks for lost packets again, if it knows one.
    pub(crate) fn repair_round_trip(&self) -> Option<Duration> {
        self.repair_round_trip
    }

    /// Say that the connection is up only when its channels are open.
    pub(crate) fn await_channels(&mut self) {
        self.awaits_channels = !self.established;
    }

    /// Keep reliable messages back until then.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.backlog.hold(until);
        self.deadline = self.deadline.min(until);
    }

    /// The reliable messages that wait; they are the caller's now.
    pub(crate) fn take_backlog(&mut self) -> VecDeque<Arc<[u8]>> {
        self.backlog.take()
    }

    /// Send a message on a data channel, or keep it for when there is room.
    pub(crate) fn send_message(&mut self, now: Instant, reliable: bool, bytes: &Arc<[u8]>) -> Sent {
        let open = self.channel_open(reliable);
        // Who comes from another node gets all that it missed at once, before its channels open.
        let limit = match open || self.awaits_channels {
            true => MAX_BACKLOG,
            false => MAX_HELD,
        };
        self.changed(now);
        let at_once = !reliable || !self.backlog.delays();
        if open && at_once && self.write_message(reliable, bytes) {
            return Sent::Taken;
        }
        let too_old = !open && now.saturating_duration_since(self.created) > MAX_HELD_AGE;
        match reliable && !too_old && self.backlog.push(bytes, limit) {
            true => Sent::Taken,
            false => Sent::Dropped,
        }
    }

    fn channel_open(&mut self, reliable: bool) -> bool {
        let id = if reliable { self.reliable } else { self.lossy };
        id.is_some_and(|id| self.rtc.channel(id).is_some())
    }

    fn write_message(&mut self, reliable: bool, bytes: &[u8]) -> bool {
        let id = if reliable { self.reliable } else { self.lossy };
        id.and_then(|id| self.rtc.channel(id))
            .is_some_and(|mut c| matches!(c.write(true, bytes), Ok(true)))
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
        // Who tells nothing of what arrives may be silent for long.
        if let Some(place) = self.place.filter(|_| self.reported.is_some()) {
            let round_trip = self.round_trip.unwrap_or_default();
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
        let soonest = [again, self.probe_until, waiting[0], waiting[1], held];
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
                    let class = self.class(&bytes);
                    let transmit = Transmit {
                        protocol,
                        from,
                        to,
                        bytes,
                    };
                    self.put = class;
                    match self.line(class) {
                        Some(line) => line.push(now, transmit),
                        None => transmits.push(transmit),
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

    /// A packet as it is inside: sent after its datagram was, received before its events come.
    fn raw(&mut self, now: Instant, raw: RawPacket, happened: &mut Vec<Happened>) {
        match raw {
            RawPacket::RtpTx(header, bytes) => self.rtp_sent(now, &header, bytes.len()),
            RawPacket::RtcpRx(Rtcp::Twcc(report)) => self.reported(now, report, happened),
            RawPacket::RtcpRx(Rtcp::Nack(nack)) => {
                self.resending = true;
                if !self.hearing_again {
                    self.nacked(now, &nack);
                }
            }
            _ => {}
        }
    }

    fn rtp_sent(&mut self, now: Instant, header: &RtpHeader, bytes: usize) {
        let number = header.ext_vals.transport_cc;
        if let Some(number) = number {
            self.estimator.sent(now, number, bytes + AROUND);
        }
        if !self.repair_types.contains(&header.payload_type) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let class = self.put.take();
        let Some(line) = self.line(class) else { return };
        line.name(number);
        number.inspect(|number| self.estimator.waits(*number));
    }

    fn reported(&mut self, now: Instant, report: Twcc, happened: &mut Vec<Happened>) {
        let zero = self.created;
        let next = self.estimator.next_number();
        let micros = |at: Instant| at.saturating_duration_since(zero).as_micros() as i64;
        let count = report.feedback_count;
        let statuses: Vec<(u64, Option<i64>)> = report
            .into_iter(zero, next.into())
            .map(|(number, _, arrived)| (*number, arrived.map(micros)))
            .collect();
        let (Some(first), Some(last)) = (statuses.first(), statuses.last()) else {
            return;
        };
        // Some clients begin a report with what came next: what is between it and the report just
        // before did not come. If a report was lost, nothing is known of that.
        let before = self.last_report.replace((count, last.0));
        let follows = before.filter(|(c, _)| c.wrapping_add(1) == count);
        let between = follows.map_or(first.0, |(_, end)| {
            (end + 1).max(first.0.saturating_sub(MAX_BETWEEN))
        });
        let missing = (between..first.0).map(|number| (number, None));
        let statuses = missing.chain(statuses.iter().copied());
        self.estimator.feedback(now, statuses);
        self.reported = Some(now);
        happened.push(Happened::Estimate(self.estimator.usable()));
        if self.loss_told.is_none_or(|at| now >= at + LOSS_EVERY) {
            self.loss_told = Some(now);
            happened.push(Happened::Lost(Lost {
                share: self.estimator.loss() as f32,
                in_bursts: self.estimator.loses_in_bursts(),
            }));
        }
    }

    /// A client asks for packets again. To have them sent more than once, the same is heard again:
    /// str0m has no other way to it.
    fn nacked(&mut self, now: Instant, nack: &Nack) {
        let Some(heard) = self.hearing.as_ref() else {
            return;
        };
        let numbers = nack.reports.iter().flat_map(|entry| lacks(*entry));
        let (loss, rate) = (self.estimator.loss(), self.estimator.repairs());
        let times = self.repeats.asked(now, numbers, loss, rate);
        for time in 1..=times {
            if self.again.len() < MAX_AGAIN {
                self.again.push_back((now + APART * time, heard.clone()));
            }
        }
    }

    fn hear_again(
        &mut self,
        now: Instant,
        transmits: &mut Vec<Transmit>,
        happened: &mut Vec<Happened>,
    ) {
        self.hearing_again = true;
        while self.again.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, Feedback { from, to, bytes })) = self.again.pop_front() else {
                break;
            };
            if let Ok(receive) = Receive::new(NetProtocol::Udp, from, to, &bytes) {
                let input = str0m::Input::Receive(self.tick(now), receive);
                // It was taken once already.
                let _ = self.rtc.handle_input(input);
            }
            self.drain(now, transmits, happened);
        }
        self.hearing_again = false;
    }

    fn event(&mut self, event: Event, happened: &mut Vec<Happened>) {
        match event {
            Event::Connected => {
                (self.established, self.lost) = (true, false);
                happened.push(Happened::Established);
                if !self.awaits_channels {
                    happened.push(Happened::State(TransportState::Connected));
                }
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.lost = true;
                happened.push(Happened::State(TransportState::Disconnected));
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) if self.established && std::mem::take(&mut self.lost) && !self.awaits_channels => {
                happened.push(Happened::State(TransportState::Connected));
            }
            Event::RtpPacket(packet) => {
                let (ssrc, sequence) = (packet.header.ssrc, packet.header.sequence_number);
                if let Some((.., place)) = self.knock.filter(|k| (k.0, k.1) == (ssrc, sequence)) {
                    self.settle(packet.timestamp, place);
                }
                happened.push(self.packet(packet));
            }
            Event::KeyframeRequest(request) => {
                happened.push(Happened::KeyframeRequest(request.mid));
            }
            Event::ChannelOpen(id, label) => {
                match label.as_str() {
                    RELIABLE => self.reliable = Some(id),
                    LOSSY => self.lossy = Some(id),
                    _ => return,
                }
                happened.push(Happened::ChannelsOpen);
                if Some(id) == self.reliable && std::mem::take(&mut self.awaits_channels) {
                    happened.push(Happened::State(TransportState::Connected));
                }
            }
            Event::ChannelData(data) => {
                let reliable = Some(data.id) == self.reliable;
                if reliable || Some(data.id) == self.lossy {
                    happened.push(Happened::Message {
                        reliable,
                        bytes: data.data,
                    });
                }
            }
            Event::ChannelClose(id) => {
                // A client that re-opens its channels (protocol 17 against agreed ids) gets new ids.
                if Some(id) == self.reliable {
                    self.reliable = None;
                }
                if Some(id) == self.lossy {
                    self.lossy = None;
                }
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair;
                if let Some(time) = pair
                    .and_then(|pair| pair.current_round_trip_time)
                    .or(stats.rtt)
                {
                    self.on_round_trip(time);
                }
            }
            // What the client's receiver reports say (RFC 3550), where nothing else tells it.
            Event::MediaEgressStats(stats) => {
                self.gauge
                    .sent((stats.mid, stats.rid), stats.packets, stats.loss);
                if let Some(time) = stats.rtt {
                    self.gauge.on_round_trip(time);
                }
                let known = |at: Instant| stats.timestamp < at + LOSS_KNOWN;
                if !self.reported.is_some_and(known) {
                    let lost = |share| Lost {
                        share,
                        in_bursts: true,
                    };
                    happened.extend(stats.loss.map(lost).map(Happened::Lost));
                }
            }
            // The way can be measured; until it was, it is taken to be as at first.
            Event::EgressBitrateEstimate(BweKind::Twcc {
                can_probe: true, ..
            }) if self.reported.is_none() => {
                happened.push(Happened::Estimate(self.estimator.usable()));
            }
            Event::MediaIngressStats(stats) => {
                let video = self.rtc.media(stats.mid).map(|m| m.kind()) == Some(MediaKind::Video);
                let clock = if video { VIDEO_CLOCK } else { SOUND_CLOCK };
                let jitter = Duration::from_secs_f64(f64::from(stats.jitter) / f64::from(clock));
                self.repair_round_trip = stats.rtt.or(self.repair_round_trip);
                let key = (stats.mid, stats.rid);
                self.gauge.received(key, stats.packets, stats.loss, jitter);
            }
            _ => {}
        }
    }

    /// A round trip to the client was measured.
    fn on_round_trip(&mut self, round_trip: Duration) {
        self.gauge.on_round_trip(round_trip);
        self.round_trip = Some(round_trip);
        let far = round_trip > MAX_AUDIO_ROUND_TRIP;
        if far != self.far {
            self.far = far;
            // Each is looked at anew with its next packet.
            self.sources.clear();
        }
    }

    /// Ask for what is lost of a source if it is sound, or not where it would come too late. Left to
    /// itself, str0m asks only where retransmissions have a payload type of their own, which sound
    /// has not.
    fn ask_again(&mut self, ssrc: Ssrc) {
        let mid = self.rtc.direct_api().stream_rx(&ssrc).map(|rx| rx.mid());
        let media = mid.and_then(|mid| self.rtc.media(mid));
        if media.is_some_and(|media| media.kind() == MediaKind::Audio)
            && let Some(rx) = self.rtc.direct_api().stream_rx(&ssrc)
        {
            rx.suppress_nack(self.far);
        }
    }

    fn packet(&mut self, rtp: RtpPacket) -> Happened {
        let ssrc = rtp.header.ssrc;
        let stream = match self.sources.get(&ssrc) {
            Some(stream) => *stream,
            None => {
                let mut api = self.rtc.direct_api();
                let Some(rx) = api.stream_rx(&ssrc) else {
                    return Happened::Unbound;
                };
                let (mid, rid) = (rx.mid(), rx.rid());
                self.ask_again(ssrc);
                let exact = self.bindings.iter().find(|b| (b.0, b.1) == (mid, rid));
                let whole = || self.bindings.iter().find(|b| (b.0, b.1) == (mid, None));
                let stream = exact.or_else(whole).map(|(_, _, s)| *s);
                self.sources.insert(ssrc, stream);
                stream
            }
        };
        let format = self.types.format(rtp.header.payload_type);
        match (stream, format) {
            (Some(stream), Some(format)) => Happened::Packet(stream, media_packet(format, rtp)),
            _ => Happened::Unbound,
        }
    }
}

/// The sequence numbers that an entry of a request names (RFC 4585 section 6.2.1).
fn lacks(entry: NackEntry) -> impl Iterator<Item = u16> {
    let more = (0..16).filter(move |bit| entry.blp >> bit & 1 == 1);
    [entry.pid]
        .into_iter()
        .chain(more.map(move |bit| entry.pid.wrapping_add(bit + 1)))
}

/// SDKs offer SNAP (`a=sctp-init`), which the protocol's servers leave unanswered.
fn without_snap(sdp: &str) -> String {
    sdp.lines()
        .filter(|l| !l.starts_with("a=sctp-init"))
        .flat_map(|l| [l, "\r\n"])
        .collect()
}

/// An answer that has the client send lost Opus packets again (RFC 4585 section 4.2), on the
/// m-lines where it only sends.
fn ask_for_lost_sound(sdp: &str) -> String {
    let mut answer = String::with_capacity(sdp.len() + 64);
    let lines: Vec<&str> = sdp.lines().collect();
    for section in lines.chunk_by(|_, next| !next.starts_with("m=")) {
        let speaks = section[0].starts_with("m=audio") && section.contains(&"a=recvonly");
        for line in section {
            answer.extend([line, "\r\n"]);
            let opus = line.strip_prefix("a=rtpmap:").filter(|_| speaks);
            if let Some((pt, _)) = opus.and_then(|map| map.split_once(" opus/48000")) {
                answer.extend(["a=rtcp-fb:", pt, " nack\r\n"]);
            }
        }
    }
    answer
}

fn channel(label: &str, negotiated: Option<u16>) -> ChannelConfig {
    let reliable = label == RELIABLE;
    ChannelConfig {
        label: label.into(),
        ordered: reliable,
        reliability: match reliable {
            true => Reliability::Reliable,
            false => Reliability::MaxRetransmits { retransmits: 0 },
        },
        negotiated,
        ..Default::default()
    }
}

fn crypto() -> &'static CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(str0m::crypto::from_feature_flags)
}

/// What all transports have in common. One certificate serves the process: making one costs a
/// key pair, and browsers pin the fingerprint of each connection's own SDP.
fn config() -> &'static RtcConfig {
    static CONFIG: OnceLock<RtcConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let config = Rtc::builder()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_stats_interval(Some(STATS_INTERVAL))
            // As often as for pictures: the speaker protects what it says by what it hears of losses.
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .set_extension_map(codec::extensions())
            .enable_opus(true, true)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .set_sctp_max_message_size(262_144)
            // Of str0m's estimator only the bursts are used: see `Transport::probe`.
            .enable_bwe(Some(Bitrate::from(estimate::INITIAL as u64)))
            .enable_raw_packets(true);
        match crypto().dtls_provider.generate_certificate() {
            Some(cert) => config.set_dtls_cert(cert),
            None => config,
        }
    })
}
