//! The clients of one worker behind one `handle`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

use wire::{Format, RoomKey, StreamId};

use crate::addresses::Addresses;
use crate::datatracks::DataTracks;
use crate::figures;
use crate::ids::ById;
use crate::interface::{Config, Input, Output};
use crate::levels;
use crate::missed::Missed;
use crate::participant::{Participant, ufrag};
use crate::restart::as_client;
use crate::scene::{Scene, Stage};
use crate::spare::Place;
use crate::strangers::Strangers;
use crate::stream::Stream;
use crate::track::{Asked, Track, TrackKey};
use crate::transport::{Happened, Transport, is_stun};
use crate::values::{ParticipantInfo, Protocol, Side, TrackInfo, Transmit};

/// Addresses that one transport may be spoken to from; the longest unused is forgotten.
const MAX_ADDRESSES: usize = 16;

/// Ids of the reliable and the lossy channel, and of that of data tracks, where both sides know them
/// (livekit.md 1.12).
const AGREED_CHANNELS: [u16; 3] = [100, 101, 102];
/// Of an offer with data channels.
const DATA_SECTION: &str = "m=application";

/// What a participant's transport is known by.
pub(crate) type TransportKey = (u64, Side);

/// See the module.
#[derive(Debug)]
pub struct Sfu {
    pub(crate) config: Config,
    pub(crate) participants: ById<Participant>,
    pub(crate) rooms: HashMap<RoomKey, BTreeSet<u64>>,
    pub(crate) missed: HashMap<RoomKey, Missed>,
    /// Of the rooms that have a scene.
    pub(crate) stages: HashMap<RoomKey, Stage>,
    pub(crate) tracks: BTreeMap<TrackKey, Track>,
    pub(crate) track_keys: HashMap<String, TrackKey>,
    next_track: TrackKey,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) data_tracks: DataTracks,
    pub(crate) addresses: Addresses,
    pub(crate) strangers: Strangers,
    ufrags: HashMap<String, TransportKey>,
    /// Deadline of each transport, soonest first: what it has as `scheduled`.
    deadlines: BTreeSet<(Instant, TransportKey)>,
    /// Transports that have something to send since `woken`.
    due: Vec<TransportKey>,
    woken: Option<Instant>,
    pub(crate) next_tick: Instant,
    next_figures: Instant,
    /// What was kept is on its way to these subscribers of tracks.
    pub(crate) replaying: BTreeSet<(TrackKey, u64)>,
    pub(crate) next_replay: Option<Instant>,
    /// Tracks of which more or less may be needed than was told.
    pub(crate) revalue: BTreeSet<TrackKey>,
    transmits: Vec<Transmit>,
    happened: Vec<Happened>,
    counts: BTreeMap<&'static str, u64>,
}

impl Sfu {
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            participants: ById::default(),
            rooms: HashMap::new(),
            missed: HashMap::new(),
            stages: HashMap::new(),
            tracks: BTreeMap::new(),
            track_keys: HashMap::new(),
            next_track: 0,
            streams: BTreeMap::new(),
            data_tracks: DataTracks::default(),
            addresses: Addresses::default(),
            strangers: Strangers::default(),
            ufrags: HashMap::new(),
            deadlines: BTreeSet::new(),
            due: Vec::new(),
            woken: None,
            next_tick: now + levels::WINDOW,
            next_figures: now + figures::INTERVAL,
            replaying: BTreeSet::new(),
            next_replay: None,
            revalue: BTreeSet::new(),
            transmits: Vec::new(),
            happened: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// What was counted since the start.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// How much of everything is held: for leak checks and metrics.
    pub fn sizes(&self) -> [(&'static str, u64); 8] {
        let subscriptions: usize = self.tracks.values().map(|t| t.subscriptions.len()).sum();
        [
            ("participants", self.participants.len() as u64),
            ("tracks", self.tracks.len() as u64),
            ("streams", self.streams.len() as u64),
            ("subscriptions", subscriptions as u64),
            ("transports", self.deadlines.len() as u64),
            ("client_addresses", self.addresses.len() as u64),
            ("data_tracks", self.data_tracks.len() as u64),
            (
                "data_subscriptions",
                self.data_tracks.subscriptions() as u64,
            ),
        ]
    }

    /// Bits a second that the way to a participant is taken to carry; None if it was not measured.
    pub fn estimate(&self, participant: u64) -> Option<u64> {
        self.participants.get(&participant)?.estimate
    }

    /// When `handle(Timeout)` is due next.
    pub fn deadline(&self) -> Option<Instant> {
        let transport = self.deadlines.first().map(|(at, _)| *at);
        let soonest = [
            transport,
            self.woken,
            self.next_replay,
            Some(self.next_tick),
        ];
        soonest.into_iter().flatten().min()
    }

    /// Whether this worker has the transport that a client's user fragment names.
    pub fn knows_ufrag(&self, ufrag: &str) -> bool {
        self.ufrags.contains_key(ufrag)
    }

    /// Whether a client of this worker publishes the stream.
    pub fn publishes(&self, stream: StreamId) -> bool {
        if let Some(here) = self.data_tracks.published_here(stream) {
            return here;
        }
        let track = self
            .streams
            .get(&stream)
            .and_then(|s| self.tracks.get(&s.track));
        track.is_some_and(|t| t.info.publisher.is_some())
    }

    /// Take an estimate of the bandwidth toward a participant, bits per second, as if its client's
    /// feedback had led to it: for tests whose clients give none.
    #[doc(hidden)]
    pub fn set_estimate(
        &mut self,
        now: Instant,
        participant: u64,
        bits: u64,
        out: &mut Vec<Output>,
    ) {
        self.estimated(now, participant, bits, out);
        self.tell_wanted(out);
    }

    /// Take one input. Packets for clients leave with the `Timeout` that is due at once.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout => self.timeout(now, out),
            Input::Datagram {
                protocol,
                from,
                to,
                bytes,
            } => self.datagram(now, protocol, from, to, bytes, out),
            Input::Closed { from } => {
                self.addresses.remove(from);
            }
            Input::Media { stream, packet } if packet.format == Format::Data => {
                self.spread_data(now, stream, &packet.payload);
            }
            Input::Media { stream, packet } => self.media(now, stream, packet, out),
            Input::Data {
                room,
                reliable,
                bytes,
            } => self.deliver(now, room, reliable, bytes, None),
            Input::Wanted { stream, wanted } => {
                self.export(stream, wanted);
                self.data_tracks.export(stream, wanted);
            }
            Input::KeyframeWanted { stream } => self.need_keyframe(now, stream, out),
            Input::AddParticipant(info) => self.add_participant(now, info),
            Input::UpdateParticipant {
                participant,
                can_publish_data,
                can_subscribe,
            } => {
                if let Some(p) = self.participants.get_mut(&participant) {
                    p.info.can_publish_data = can_publish_data;
                    p.info.can_subscribe = can_subscribe;
                }
            }
            Input::RemoveParticipant(participant) => self.remove_participant(now, participant, out),
            Input::AcceptOffer {
                participant,
                side,
                offer_id,
                sdp,
            } => self.accept_offer(now, participant, side, offer_id, sdp, out),
            Input::CreateOffer {
                participant,
                offer_id,
                sections,
                restart_ice,
            } => {
                let side = Side::Subscriber;
                let made = self
                    .open(now, participant, side)
                    .and_then(|t| t.create_offer(now, offer_id, sections, restart_ice));
                self.renamed((participant, side));
                out.push(match made {
                    Ok((sdp, mids)) => Output::Offered {
                        participant,
                        offer_id,
                        sdp,
                        mids,
                    },
                    Err(reason) => failed(participant, side, offer_id, reason),
                });
            }
            Input::AcceptAnswer {
                participant,
                offer_id,
                sdp,
            } => {
                let side = Side::Subscriber;
                let taken = self
                    .open(now, participant, side)
                    .and_then(|t| t.accept_answer(now, offer_id, sdp));
                self.renamed((participant, side));
                if let Err(reason) = taken {
                    out.push(failed(participant, side, offer_id, reason));
                }
            }
            Input::AddCandidate {
                participant,
                side,
                candidate,
            } => {
                let transport = self.transport((participant, side));
                if !transport.is_some_and(|t| t.add_candidate(now, candidate)) {
                    self.count("candidate_ignored");
                }
                self.touched((participant, side));
            }
            Input::AddTrack(info) => self.add_track(now, info),
            Input::RemoveTrack(sid) => {
                self.remove_track(sid, out);
                self.data_tracks.remove(sid, out);
            }
            Input::AddDataTrack(info) => self.data_tracks.add(info),
            Input::Publish {
                participant,
                mid,
                track,
            } => self.publish(participant, mid, track),
            Input::ExpectSource {
                participant,
                stream,
                ssrc,
                rtx,
            } => {
                let transport = self.transport((participant, Side::Publisher));
                if !transport.is_some_and(|t| t.expect(stream, ssrc, rtx)) {
                    self.count("source_unbound");
                }
            }
            Input::SetMuted { track, muted } => self.set_muted(now, track, muted, out),
            Input::Subscribe {
                participant,
                side,
                mid,
                track,
            } => self.subscribe(now, participant, side, mid, track, out),
            Input::Unsubscribe { participant, track } => {
                self.unsubscribe(participant, track, out);
                self.data_tracks.unsubscribe(participant, track, out);
            }
            Input::SubscribeData {
                participant,
                track,
                handle,
            } => self.subscribe_data(participant, track, handle, out),
            Input::SetQuality {
                participant,
                track,
                quality,
                priority,
                fps,
            } => {
                let asked = Asked {
                    quality,
                    priority,
                    fps,
                };
                self.set_quality(now, participant, track, asked, out);
            }
            Input::Resume { participant } => out.push(Output::Resumed {
                participant,
                last_sequence: self.resume(participant),
            }),
            Input::Adopt {
                participant,
                channels,
                here,
            } => {
                if let Some(p) = self.participants.get_mut(&participant) {
                    p.adopted = Some(channels);
                    p.adopted_at = Some(now);
                    p.added = now.checked_sub(here).unwrap_or(p.added);
                }
            }
            Input::Hold { participant, until } => self.hold(participant, until),
            Input::HandOver { participant } => self.hand_over(participant, out),
            Input::Replay { participant, had } => self.send_missed(now, participant, had),
            Input::Restrict {
                participant,
                capacity,
                tcp_only,
            } => {
                if let Some(p) = self.participants.get_mut(&participant) {
                    p.headroom.limit(capacity);
                    p.tcp_only = tcp_only;
                }
                self.select_for(now, participant, out);
            }
            Input::MoveParticipant {
                participant,
                room,
                sid,
            } => self.move_participant(participant, room, sid),
            Input::Call {
                participant,
                call,
                packet,
            } => self.call(now, participant, call, packet),
            Input::SetScene { room, scene } => self.set_scene(room, scene),
        }
        self.tell_wanted(out);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    pub(crate) fn count_many(&mut self, what: &'static str, many: u64) {
        *self.counts.entry(what).or_default() += many;
    }

    pub(crate) fn transport(
        &mut self,
        (participant, side): TransportKey,
    ) -> Option<&mut Transport> {
        self.participants.get_mut(&participant)?.transport(side)
    }

    fn datagram(
        &mut self,
        now: Instant,
        protocol: Protocol,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) {
        let taken = match self.owner(from, bytes) {
            Some(key) => self.take(now, key, protocol, (to, from), bytes, out),
            None if protocol == Protocol::Udp => self.stranger(now, (to, from), bytes, out),
            None => false,
        };
        if !taken {
            self.count("client_unknown");
        }
    }

    /// Let a transport take a datagram. True: its client is there.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        key: TransportKey,
        protocol: Protocol,
        place: Place,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        let (to, from) = place;
        let Some(transport) = self.transport(key) else {
            return false;
        };
        if transport.receive(now, protocol, from, to, bytes).is_err() {
            self.count("client_malformed");
        }
        self.poll(now, key, out);
        true
    }

    /// Whose a datagram is. STUN says so itself, and is believed only with the password: nobody
    /// else moves a session's address.
    fn owner(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<TransportKey> {
        let known = self.addresses.get(from);
        if !is_stun(bytes) {
            return known;
        }
        let key = match stun_ufrag(bytes) {
            Some(ufrag) => *self.ufrags.get(ufrag)?,
            None => return known,
        };
        if known == Some(key) {
            return known;
        }
        let transport = self.transport(key)?;
        if !transport.authenticates(bytes) {
            self.count("stun_forged");
            return None;
        }
        self.learn(from, key);
        Some(key)
    }

    /// A client proved that this address is its.
    pub(crate) fn learn(&mut self, address: SocketAddr, key: TransportKey) {
        let Some(transport) = self.transport(key) else {
            return;
        };
        transport.addresses.push_back(address);
        let forgotten = match transport.addresses.len() > MAX_ADDRESSES {
            true => transport.addresses.pop_front(),
            false => None,
        };
        if let Some(old) = forgotten {
            self.addresses.forget(old, key);
        }
        self.addresses.insert(address, key);
    }

    fn add_participant(&mut self, now: Instant, info: ParticipantInfo) {
        let members = self.rooms.entry(info.room).or_default();
        members.insert(info.participant);
        let (id, stage) = (info.participant, self.stages.get(&info.room));
        let mut participant = Participant::new(info, now);
        if let Some(stage) = stage {
            participant.play(&stage.scene);
        }
        self.participants.insert(id, participant);
    }

    fn move_participant(&mut self, participant: u64, room: RoomKey, sid: &str) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        p.info.sid = sid.into();
        let before = std::mem::replace(&mut p.info.room, room);
        let usual = Scene::default();
        p.play(self.stages.get(&room).map_or(&usual, |stage| &stage.scene));
        self.leave_room(before, participant);
        self.rooms.entry(room).or_default().insert(participant);
    }

    fn leave_room(&mut self, room: RoomKey, participant: u64) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.remove(&participant);
            if members.is_empty() {
                self.rooms.remove(&room);
                self.missed.remove(&room);
            }
        }
    }

    fn remove_participant(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let subscribed = self.participants.get_mut(&participant);
        let subscribed = subscribed.map(|p| std::mem::take(&mut p.subscribed));
        for key in subscribed.into_iter().flatten() {
            self.end_subscription(participant, key, out);
        }
        self.data_tracks.unsubscribe_all(participant, out);
        let here = self.participants.get(&participant);
        let silently = here.is_some_and(|p| p.handed_over);
        for side in [Side::Publisher, Side::Subscriber] {
            let key = (participant, side);
            if let Some(t) = self.transport(key).filter(|_| !silently) {
                t.close(now);
                // What str0m has to say about its own end is no news: only its packets count.
                self.drain(now, key);
                self.send_transmits(out);
                self.happened.clear();
            }
            self.forget_transport(key);
        }
        let Some(gone) = self.participants.remove(&participant) else {
            return;
        };
        self.leave_room(gone.info.room, participant);
    }

    fn forget_transport(&mut self, key: TransportKey) {
        let scheduled = self.transport(key).and_then(|t| t.scheduled.take());
        if let Some(at) = scheduled {
            self.deadlines.remove(&(at, key));
        }
        self.ufrags.retain(|_, k| *k != key);
        let addresses = self
            .transport(key)
            .map(|t| std::mem::take(&mut t.addresses));
        for address in addresses.into_iter().flatten() {
            self.addresses.forget(address, key);
        }
        self.strangers.forget(key);
    }

    /// The transport, made if it is not there yet.
    fn open(
        &mut self,
        now: Instant,
        participant: u64,
        side: Side,
    ) -> Result<&mut Transport, String> {
        let Some(p) = self.participants.get_mut(&participant) else {
            return Err(format!("participant {participant} is not on this node"));
        };
        let slot = match side {
            Side::Publisher => &mut p.publisher,
            Side::Subscriber => &mut p.subscriber,
        };
        if slot.is_none() {
            let prefix = ufrag(participant, side, "");
            let udp: &[SocketAddr] = if p.tcp_only { &[] } else { &self.config.udp };
            let transport = slot.insert(Transport::new(now, udp, &self.config.tcp, prefix));
            transport.packet_trailers = p.info.packet_trailers;
        }
        slot.as_mut().ok_or_else(|| "no transport".into())
    }

    fn accept_offer(
        &mut self,
        now: Instant,
        participant: u64,
        side: Side,
        offer_id: u32,
        sdp: &str,
        out: &mut Vec<Output>,
    ) {
        let mut agreed = None;
        let mut adopted = None;
        if let Some(p) = self.participants.get_mut(&participant) {
            agreed = p.info.negotiated_channels.then_some(AGREED_CHANNELS);
            adopted = p.adopted.take();
        }
        let sdp = match adopted {
            Some(_) => Cow::Owned(as_client(sdp)),
            None => Cow::Borrowed(sdp),
        };
        let answered = self.open(now, participant, side).and_then(|t| {
            if adopted.is_some() && sdp.contains(DATA_SECTION) {
                t.await_channels();
            }
            t.accept_offer(now, &sdp, adopted.or(agreed))
        });
        self.renamed((participant, side));
        out.push(match answered {
            Ok(sdp) => Output::Answered {
                participant,
                side,
                offer_id,
                sdp,
            },
            Err(reason) => failed(participant, side, offer_id, reason),
        });
    }

    /// A negotiation may have restarted ICE: a transport is known by the name that it goes by, and
    /// by the one that an open offer promises; checks under any other end.
    fn renamed(&mut self, key: TransportKey) {
        if let Some(names) = self.transport(key).and_then(Transport::take_names) {
            self.ufrags.retain(|_, of| *of != key);
            self.ufrags
                .extend(names.into_iter().map(|name| (name, key)));
        }
        self.touched(key);
    }

    /// Have a transport polled by the `Timeout` that is then due at once.
    pub(crate) fn wake(&mut self, now: Instant, key: TransportKey) {
        let queued = self
            .transport(key)
            .map(|t| std::mem::replace(&mut t.queued, true));
        if queued == Some(false) {
            self.due.push(key);
            self.woken.get_or_insert(now);
        }
    }

    /// Note that a transport's deadline may have changed.
    pub(crate) fn touched(&mut self, key: TransportKey) {
        let Some(transport) = self.transport(key) else {
            return;
        };
        let at = transport.deadline;
        let before = transport.scheduled.replace(at);
        if before == Some(at) {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, key));
        }
        self.deadlines.insert((at, key));
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.next_replay.is_some_and(|at| at <= now) {
            self.replay(now, out);
        }
        self.woken = None;
        let mut due = std::mem::take(&mut self.due);
        for key in due.drain(..) {
            self.poll(now, key, out);
        }
        if self.due.is_empty() {
            self.due = due;
        }
        // Each due transport once: one that stays due is served again by the next call.
        let mut due = Vec::new();
        while let Some((at, key)) = self.deadlines.first().copied().filter(|due| due.0 <= now) {
            self.deadlines.pop_first();
            if let Some(transport) = self.transport(key) {
                transport.scheduled.take_if(|scheduled| *scheduled == at);
            }
            due.push(key);
        }
        for key in due {
            self.poll(now, key, out);
        }
        if now >= self.next_tick {
            self.next_tick = now + levels::WINDOW;
            self.tick(now, out);
        }
        if now >= self.next_figures {
            self.next_figures = now + figures::INTERVAL;
            let figures = self.figures(now);
            if !figures.is_empty() {
                out.push(Output::Figures(figures));
            }
        }
    }

    fn drain(&mut self, now: Instant, key: TransportKey) {
        let mut transmits = std::mem::take(&mut self.transmits);
        let mut happened = std::mem::take(&mut self.happened);
        if let Some(transport) = self.transport(key) {
            transport.poll(now, &mut transmits, &mut happened);
        }
        self.transmits = transmits;
        self.happened = happened;
    }

    fn send_transmits(&mut self, out: &mut Vec<Output>) {
        out.extend(self.transmits.drain(..).map(Output::Transmit));
    }

    /// Drain a transport and act on what it says.
    fn poll(&mut self, now: Instant, key: TransportKey, out: &mut Vec<Output>) {
        self.drain(now, key);
        self.send_transmits(out);
        self.touched(key);
        let mut happened = std::mem::take(&mut self.happened);
        for event in happened.drain(..) {
            self.happened(now, key, event, out);
        }
        self.happened = happened;
    }

    fn happened(
        &mut self,
        now: Instant,
        key: TransportKey,
        event: Happened,
        out: &mut Vec<Output>,
    ) {
        let (participant, side) = key;
        match event {
            Happened::State(state) => out.push(Output::TransportState {
                participant,
                side,
                state,
            }),
            Happened::Established => self.select_for(now, participant, out),
            Happened::Moved => self.moved(now, key, out),
            Happened::Strayed => self.renew(now, key, "clients_strayed", out),
            Happened::Returned => self.renew(now, key, "clients_returned", out),
            Happened::Packet(stream, packet) => self.published(now, stream, packet, out),
            Happened::Unbound => self.count("media_unbound"),
            Happened::Source { stream, ssrc, rtx } => {
                out.push(Output::StreamSource {
                    participant,
                    stream,
                    ssrc,
                    rtx,
                });
            }
            Happened::Sender(ssrc) => self.strangers.named(ssrc, key),
            Happened::KeyframeRequest(mid) => self.keyframe_requested(now, key, mid, out),
            Happened::Message { reliable, bytes } => {
                self.message(now, participant, reliable, &bytes, out);
            }
            Happened::TrackPacket(bytes) => self.track_packet(now, participant, &bytes, out),
            Happened::ChannelsOpen => self.touched(key),
            Happened::Lost(lost) => {
                if let Some(p) = self.participants.get_mut(&participant)
                    && p.data_side() == side
                {
                    p.losses.observe(now, lost);
                    let share = p.losses.share();
                    if let Some(transport) = p.transport(side) {
                        transport.set_losses(now, share);
                    }
                }
            }
            Happened::Estimate(estimate) => self.estimated(now, participant, estimate, out),
        }
    }

    fn add_track(&mut self, now: Instant, info: TrackInfo) {
        if self.track_keys.contains_key(&info.sid) {
            self.count("track_known_already");
            return;
        }
        let key = self.next_track;
        self.next_track += 1;
        for layer in &info.layers {
            self.streams.insert(layer.stream, Stream::new(key, now));
        }
        self.track_keys.insert(info.sid.clone(), key);
        self.tracks.insert(key, Track::new(info));
        self.revalue.insert(key);
    }

    fn remove_track(&mut self, sid: &str, out: &mut Vec<Output>) {
        let Some(key) = self.track_keys.remove(sid) else {
            return;
        };
        let Some(mut track) = self.tracks.remove(&key) else {
            return;
        };
        if let Some(stage) = self.stages.get_mut(&track.info.room) {
            stage.forget(key);
        }
        let ended = std::mem::take(&mut track.subscriptions);
        self.park(key, ended);
        for layer in &track.info.layers {
            if let Some(publisher) = track.info.publisher
                && let Some(t) = self.transport((publisher, Side::Publisher))
            {
                t.unbind(layer.stream);
            }
            if let Some(stream) = self.streams.remove(&layer.stream)
                && stream.wanted_since.is_some()
            {
                out.push(Output::Want {
                    stream: layer.stream,
                    wanted: false,
                });
            }
        }
    }

    fn publish(&mut self, participant: u64, mid: &str, track: &str) {
        let Some(track) = self
            .track_keys
            .get(track)
            .and_then(|k| self.tracks.get_mut(k))
        else {
            self.count("publish_unknown_track");
            return;
        };
        track.mid = Some(mid.into());
        let layers = track.info.layers.clone();
        let single = layers.len() == 1;
        if let Some(t) = self.transport((participant, Side::Publisher)) {
            for layer in layers {
                let rid = if single { None } else { layer.rid.as_deref() };
                t.bind(mid, rid, layer.stream);
            }
        }
    }
}

fn failed(participant: u64, side: Side, offer_id: u32, reason: String) -> Output {
    Output::NegotiationFailed {
        participant,
        side,
        offer_id,
        reason,
    }
}

/// The receiver's part of a STUN message's USERNAME, before the colon (RFC 8445 section 7.2.2).
fn stun_ufrag(bytes: &[u8]) -> Option<&str> {
    wire::stun_username(bytes)?.split(':').next()
}
