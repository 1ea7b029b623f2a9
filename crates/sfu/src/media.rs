//! Media: from a publisher, or from elsewhere, to the subscribers of this worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, StreamId};

use crate::codec::mime;
use crate::forwarder::{Rewritten, Step};
use crate::gop::Kept;
use crate::interface::Output;
use crate::layering::{LayerId, View};
use crate::redundancy::Voice;
use crate::sfu::{Sfu, TransportKey};
use crate::stream::Stream;
use crate::track::{Asked, Subscription, Track, TrackKey};
use crate::transport::{Mid, Transport};
use crate::values::{Kind, Side};

/// A client may ask for keyframes for so long after it got another stream; later it lacks something,
/// or can't decode what it has.
const SETTLED: Duration = Duration::from_secs(2);

impl Sfu {
    /// A packet of a stream that a client of this worker publishes.
    pub(crate) fn published(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: MediaPacket,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.streams.get(&stream) else {
            self.count("media_unbound");
            return;
        };
        let exported = state.exported;
        let Some(track) = self.tracks.get_mut(&state.track) else {
            return;
        };
        if track.muted {
            self.count("media_muted");
            return;
        }
        if !track.live {
            track.live = true;
            out.push(Output::TrackLive {
                track: track.info.sid.clone(),
                mime: mime(packet.format),
            });
        }
        if !packet.format.is_audio() {
            self.mend(now, stream, &packet, out);
        }
        let packet = Arc::new(packet);
        let passage = self.passage(now, stream, &packet);
        for packet in self.passing(stream, passage, &packet) {
            if exported {
                out.push(Output::Media {
                    stream,
                    packet: Arc::clone(&packet),
                });
            }
            self.spread(now, stream, &packet, out);
        }
    }

    /// Ask for what a picture that somebody sees misses, and for a keyframe where that does not help any
    /// more.
    fn mend(&mut self, now: Instant, id: StreamId, packet: &MediaPacket, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.misses(now, packet) && !packet.keyframe {
            return;
        }
        let Some(track) = self.tracks.get(&stream.track) else {
            return;
        };
        let publisher = track.info.publisher.map(|id| (id, Side::Publisher));
        let seen = |s: &Subscription| s.forwarder.current() == Some(id);
        let wanted = stream.exported || track.subscriptions.iter().any(seen);
        let at = publisher.and_then(|(id, side)| self.participants.get(&id)?.on(side));
        let way = at.map(Transport::way_up).unwrap_or_default();
        let broken = stream.is_broken(now, way);
        if !wanted {
            return;
        }
        if let Some(key) = publisher.filter(|_| way.lossy()) {
            let lacks = stream.lacks(now, way);
            if let Some(transport) = self.transport(key) {
                transport.lacks(now, id, lacks);
            }
            self.touched(key);
        }
        if broken {
            self.need_keyframe(now, id, out);
        }
    }

    /// A packet of a stream from elsewhere.
    pub(crate) fn media(
        &mut self,
        now: Instant,
        stream: StreamId,
        packet: &Arc<MediaPacket>,
        out: &mut Vec<Output>,
    ) {
        let passage = self.passage(now, stream, packet);
        for packet in self.passing(stream, passage, packet) {
            self.spread(now, stream, &packet, out);
        }
    }

    /// A packet of any stream: to whoever here is subscribed to it.
    fn spread(
        &mut self,
        now: Instant,
        id: StreamId,
        packet: &Arc<MediaPacket>,
        out: &mut Vec<Output>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            self.count("media_unknown_stream");
            return;
        };
        let view = stream.observe(now, packet);
        if packet.keyframe {
            stream.keyframe_came();
        }
        let key = stream.track;
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        if let Some(level) = packet.audio_level {
            track.meter.observe(level);
        }
        let mut subscriptions = std::mem::take(&mut track.subscriptions);
        if track.info.kind == Kind::Video {
            stream.gop.take(packet, view);
        }
        // Sound that must stay as it is, or is neither Opus nor RED, is passed on as it came.
        let voiced = track.info.red && matches!(packet.format, Format::Opus | Format::Red);
        let mut voice = voiced.then(|| std::mem::take(&mut stream.voice));
        let taken = voice.as_mut().map(|voice| voice.take(packet));
        let taken = taken.unwrap_or_default();
        let holes = taken.late || !taken.recovered.is_empty();
        let mut switched = false;
        let mut forwarded = 0;
        for subscription in &mut subscriptions {
            switched |= self.enter(now, key, id, packet, subscription);
            if subscription.forwarder.current() != Some(id)
                || self.waits(now, id, packet, view, subscription)
            {
                continue;
            }
            let to = (subscription.participant, subscription.side);
            let mid = subscription.mid;
            // Who takes redundant sound has these frames in the packets that follow.
            let plain = holes && !self.transport(to).is_some_and(|t| t.takes_red(mid));
            let before = taken.recovered.iter().filter(|_| plain);
            let own = (!plain || !taken.late).then_some(&**packet);
            for packet in before.chain(own) {
                let voice = voice.as_mut();
                let sent = self.forward(now, key, packet, view, voice, subscription, out);
                forwarded += u64::from(sent);
            }
        }
        if holes {
            self.count_many("media_recovered", taken.recovered.len() as u64);
        }
        if let (Some(stream), Some(voice)) = (self.streams.get_mut(&id), voice) {
            stream.voice = voice;
        }
        self.count_many("media_forwarded", forwarded);
        if let Some(track) = self.tracks.get_mut(&key) {
            track.subscriptions = subscriptions;
        }
        if switched {
            self.update_wants(now, key, out);
        }
    }

    /// Let one subscriber go over to the stream of this packet, if it waits for that. True: it did.
    fn enter(
        &self,
        now: Instant,
        key: TrackKey,
        id: StreamId,
        packet: &MediaPacket,
        subscription: &mut Subscription,
    ) -> bool {
        let Some((stream, layer)) = subscription.target else {
            return false;
        };
        let current = subscription.forwarder.current();
        if current == Some(id) || !(packet.keyframe || packet.format.is_audio()) {
            return false;
        }
        let holder = self.participants.get(&subscription.participant);
        if !holder.is_some_and(|p| p.is_up(subscription.side)) {
            return false;
        }
        let Some(track) = self.tracks.get(&key) else {
            return false;
        };
        // Who sees nothing yet takes any lower layer that comes first.
        let lower = || current.is_none() && track.quality(id) < track.quality(stream);
        if stream != id && !lower() {
            return false;
        }
        let layer = if stream == id { layer } else { LayerId::ALL };
        subscription.forwarder.start(now, id, layer, packet);
        subscription.waiting_since = None;
        subscription.replay = None;
        true
    }

    /// Let a packet wait behind what was kept of its stream, if that is still going out to this
    /// subscriber. A keyframe makes it superfluous.
    fn waits(
        &mut self,
        now: Instant,
        id: StreamId,
        packet: &Arc<MediaPacket>,
        view: View,
        subscription: &mut Subscription,
    ) -> bool {
        let Some(replay) = &mut subscription.replay else {
            return false;
        };
        if packet.keyframe {
            subscription.replay = None;
            let aim = subscription.target.filter(|(stream, _)| *stream == id);
            let layer = aim.map_or(LayerId::ALL, |(_, layer)| layer);
            subscription.forwarder.start(now, id, layer, packet);
            return false;
        }
        let packet = Arc::clone(packet);
        if !replay.push(Kept { packet, view }) {
            // The next selection starts it anew, with a keyframe.
            subscription.replay = None;
            subscription.forwarder.pause();
            self.count("replays_given_up");
        }
        true
    }

    /// Give one subscriber a packet of the stream that it gets. True: one was sent.
    #[allow(
        clippy::too_many_arguments,
        reason = "one step of a loop, taken out to be read"
    )]
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        track: TrackKey,
        packet: &MediaPacket,
        view: View,
        voice: Option<&mut Voice>,
        subscription: &mut Subscription,
        out: &mut Vec<Output>,
    ) -> bool {
        let changed;
        let (placed, packet, vp8) = match subscription.forwarder.pass(now, packet, view) {
            Step::Before => {
                self.count("media_before_start");
                return false;
            }
            Step::LeaveOut => {
                self.count("media_left_out");
                return false;
            }
            Step::Fill(placed) => {
                changed = empty(packet);
                (placed, &changed, None)
            }
            Step::Send(sent) => {
                let packet = match rewritten(packet, &sent) {
                    None => packet,
                    Some(other) => {
                        changed = other;
                        &changed
                    }
                };
                (sent.placed, packet, sent.vp8)
            }
        };
        let to = (subscription.participant, subscription.side);
        let mid = subscription.mid;
        // Only pictures are kept back.
        let stream = subscription.forwarder.current();
        let stream = stream.filter(|_| !packet.format.is_audio());
        let stream = stream.and_then(|id| self.streams.get(&id));
        let keep_back = stream.map(Stream::keep_back).unwrap_or_default();
        let written = self.participants.get_mut(&to.0).is_some_and(|p| {
            let voice = voice.map(|voice| (voice, p.losses.repetition()));
            let playout = p.playout;
            p.transport(to.1).is_some_and(|t| {
                t.scene_playout = playout;
                t.come_late(keep_back);
                t.write(now, mid, packet, placed, voice, vp8)
            })
        });
        if !written {
            self.count("media_no_payload_type");
            return false;
        }
        self.wake(now, to);
        if !subscription.live {
            subscription.live = true;
            if let Some(track) = self.tracks.get(&track) {
                out.push(Output::SubscriptionLive {
                    participant: subscription.participant,
                    track: track.info.sid.clone(),
                });
            }
        }
        true
    }

    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        participant: u64,
        side: Side,
        mid: &str,
        sid: &str,
        out: &mut Vec<Output>,
    ) {
        let permitted = self
            .participants
            .get(&participant)
            .is_some_and(|p| p.info.can_subscribe);
        let key = self.track_keys.get(sid).copied();
        let Some((key, track)) = key.and_then(|k| Some((k, self.tracks.get_mut(&k)?))) else {
            self.count("subscribe_unknown_track");
            return;
        };
        if !permitted {
            self.count("subscribe_not_permitted");
            return;
        }
        // A second subscription of the same participant is a move to another m-line.
        let moved = take_subscriptions(track, participant);
        self.park(key, moved);
        let forwarder = self.participants.get_mut(&participant).and_then(|p| {
            p.subscribed.insert(key);
            p.idle.remove(&(side, Mid::from(mid)))
        });
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let forwarder = forwarder.unwrap_or_default();
        let subscription = Subscription::new(participant, side, Mid::from(mid), forwarder);
        track.subscriptions.push(subscription);
        self.select_for(now, participant, out);
        self.update_wants(now, key, out);
    }

    pub(crate) fn unsubscribe(&mut self, participant: u64, sid: &str, out: &mut Vec<Output>) {
        if let Some(key) = self.track_keys.get(sid).copied() {
            self.end_subscription(participant, key, out);
        }
    }

    pub(crate) fn end_subscription(
        &mut self,
        participant: u64,
        key: TrackKey,
        out: &mut Vec<Output>,
    ) {
        if let Some(track) = self.tracks.get_mut(&key) {
            let ended = take_subscriptions(track, participant);
            self.park(key, ended);
        }
        self.withdraw_wants(key, out);
    }

    /// Keep the numbering of m-lines whose subscriptions ended.
    pub(crate) fn park(&mut self, track: TrackKey, ended: Vec<Subscription>) {
        for mut subscription in ended {
            subscription.forwarder.pause();
            if let Some(p) = self.participants.get_mut(&subscription.participant) {
                p.subscribed.remove(&track);
                let line = (subscription.side, subscription.mid);
                p.idle.insert(line, subscription.forwarder);
            }
        }
    }

    pub(crate) fn set_quality(
        &mut self,
        now: Instant,
        participant: u64,
        sid: &str,
        asked: Asked,
        out: &mut Vec<Output>,
    ) {
        let track = self
            .track_keys
            .get(sid)
            .and_then(|k| self.tracks.get_mut(k));
        let of = |t: &'_ Track| {
            t.subscriptions
                .iter()
                .position(|s| s.participant == participant)
        };
        let Some((track, at)) = track.and_then(|t| of(t).map(|at| (t, at))) else {
            return;
        };
        track.subscriptions[at].asked = asked;
        self.select_for(now, participant, out);
    }

    pub(crate) fn set_muted(
        &mut self,
        now: Instant,
        sid: &str,
        muted: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(key) = self.track_keys.get(sid).copied() else {
            return;
        };
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let (resumed, ended) = (track.muted && !muted, !track.muted && muted);
        track.muted = muted;
        for layer in &track.info.layers {
            if let Some(stream) = self.streams.get_mut(&layer.stream) {
                stream.gop.forget();
            }
        }
        if resumed && track.info.kind == Kind::Video {
            let streams: Vec<_> = track.info.layers.iter().map(|l| l.stream).collect();
            for stream in streams {
                self.need_keyframe(now, stream, out);
            }
        }
        if ended {
            self.silence(now, key);
        }
    }

    /// A subscriber's client asks for a keyframe on one of its m-lines.
    pub(crate) fn keyframe_requested(
        &mut self,
        now: Instant,
        key: TransportKey,
        mid: Mid,
        out: &mut Vec<Output>,
    ) {
        let asked = self.subscriptions_of(key).filter(|(_, s)| s.mid == mid);
        let steady = |s: &Subscription| s.forwarder.steady(now).is_some_and(|t| t >= SETTLED);
        let shown: Vec<(String, StreamId, bool)> = asked
            .filter_map(|(t, s)| Some((t.info.sid.clone(), s.shown()?, steady(s))))
            .collect();
        for (sid, stream, steady) in shown {
            self.count("keyframe_requests");
            let whole = self.streams.get(&stream).is_some_and(|s| !s.broken());
            if let Some(asks) = self.participants.get_mut(&key.0) {
                asks.keyframes_asked += u32::from(steady && whole);
            }
            let track = self.track_keys.get(&sid).copied();
            if !track.is_some_and(|track| self.replay_once(now, track, key.0, stream)) {
                self.need_keyframe(now, stream, out);
            }
        }
    }

    /// A client came over another access: pictures were lost on the way both ways.
    pub(crate) fn moved(&mut self, now: Instant, key: TransportKey, out: &mut Vec<Output>) {
        self.count("clients_moved");
        let own = |t: &&Track| t.info.publisher.map(|p| (p, Side::Publisher)) == Some(key);
        let own = self.tracks.values().filter(own).filter(|t| moves(t));
        let own = own.flat_map(|t| t.info.layers.iter().map(|l| l.stream));
        let streams: Vec<StreamId> = own.chain(self.shown_to(key)).collect();
        for stream in streams {
            self.need_keyframe(now, stream, out);
        }
    }

    /// A client lost much of what was sent, and can't ask for it, or not in time.
    pub(crate) fn renew(
        &mut self,
        now: Instant,
        key: TransportKey,
        why: &'static str,
        out: &mut Vec<Output>,
    ) {
        self.count(why);
        let streams: Vec<StreamId> = self.shown_to(key).collect();
        for stream in streams {
            self.need_keyframe(now, stream, out);
        }
    }

    /// The pictures that a transport carries to its client.
    fn shown_to(&self, key: TransportKey) -> impl Iterator<Item = StreamId> {
        let seen = self.subscriptions_of(key).filter(|(t, _)| moves(t));
        seen.filter_map(|(_, s)| s.shown())
    }

    /// What a transport carries to its client, with the track of each.
    fn subscriptions_of(
        &self,
        (participant, side): TransportKey,
    ) -> impl Iterator<Item = (&Track, &Subscription)> {
        let subscribed = self.participants.get(&participant).map(|p| &p.subscribed);
        let tracks = subscribed.into_iter().flatten();
        let tracks = tracks.filter_map(|key| self.tracks.get(key));
        tracks
            .flat_map(|track| track.subscriptions.iter().map(move |s| (track, s)))
            .filter(move |(_, s)| s.participant == participant && s.side == side)
    }

    /// Somebody needs a keyframe: ask the publisher, or whoever is nearer to it, once per interval.
    pub(crate) fn need_keyframe(&mut self, now: Instant, id: StreamId, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.need_keyframe();
        self.ask_keyframe(now, id, out);
    }

    fn ask_keyframe(&mut self, now: Instant, id: StreamId, out: &mut Vec<Output>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.take_keyframe_request(now) {
            return;
        }
        let publisher = self.tracks.get(&stream.track).map(|t| t.info.publisher);
        match publisher.flatten() {
            None => out.push(Output::NeedKeyframe { stream: id }),
            Some(publisher) => {
                self.count("keyframes_asked");
                let key = (publisher, Side::Publisher);
                if let Some(transport) = self.transport(key) {
                    transport.request_keyframe(now, id);
                }
                self.touched(key);
            }
        }
    }

    /// Others want a stream that is published here, or no longer.
    pub(crate) fn export(&mut self, id: StreamId, wanted: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.exported = wanted;
            self.revalue.insert(stream.track);
        }
    }

    /// Every 400 ms: levels, layers and keyframes that were asked for too soon.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut levels: Vec<(String, f32, bool)> = Vec::new();
        for track in self.tracks.values_mut() {
            if track.info.kind == Kind::Audio
                && let Some((level, active)) = track.meter.close_window()
            {
                levels.push((track.info.sid.clone(), level, active));
            }
        }
        if !levels.is_empty() {
            levels.sort_by(|a, b| a.0.cmp(&b.0));
            out.push(Output::Levels(levels));
        }
        let mut watching: Vec<u64> = self
            .tracks
            .values()
            .filter(|t| t.info.kind == Kind::Video)
            .flat_map(|t| t.subscriptions.iter().map(|s| s.participant))
            .collect();
        watching.sort_unstable();
        watching.dedup();
        for participant in watching {
            self.select_for(now, participant, out);
            self.begin_again(now, participant, out);
        }
        let due: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, s)| s.keyframe_deadline().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for stream in due {
            self.ask_keyframe(now, stream, out);
        }
    }
}

/// The packet as the subscriber gets it, None if that is as it came.
fn rewritten(packet: &MediaPacket, sent: &Rewritten) -> Option<MediaPacket> {
    if sent.marker == packet.marker && sent.descriptor.is_none() {
        return None;
    }
    let descriptor = sent.descriptor.as_deref().map(Arc::from);
    Some(MediaPacket {
        marker: sent.marker,
        dependency_descriptor: descriptor.or_else(|| packet.dependency_descriptor.clone()),
        ..packet.clone()
    })
}

/// Whether a track has pictures to show now.
fn moves(track: &Track) -> bool {
    track.info.kind == Kind::Video && !track.muted
}

/// A packet that takes the place of one and says nothing.
fn empty(packet: &MediaPacket) -> MediaPacket {
    MediaPacket {
        marker: false,
        dependency_descriptor: None,
        payload: [].as_slice().into(),
        ..packet.clone()
    }
}

fn take_subscriptions(track: &mut Track, participant: u64) -> Vec<Subscription> {
    let all = std::mem::take(&mut track.subscriptions);
    let (ended, kept) = all.into_iter().partition(|s| s.participant == participant);
    track.subscriptions = kept;
    ended
}
