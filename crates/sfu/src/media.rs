//! Media: from a publisher, or from elsewhere, to the subscribers of this worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket, StreamId};

use crate::codec::mime;
use crate::interface::Output;
use crate::redundancy::Voice;
use crate::selection::{Candidate, choose, share};
use crate::sfu::{Sfu, TransportKey};
use crate::track::{Subscription, Track, TrackKey};
use crate::transport::Mid;
use crate::values::{Kind, Side};

/// A subscriber that waits for a keyframe asks again this often.
const KEYFRAME_RETRY: Duration = Duration::from_millis(800);
/// Room above the wanted layers that the pacer may probe for.
const PROBE_HEADROOM: u64 = 3;

/// What became of one packet for one subscriber.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// The subscriber went over to this packet's stream.
    switched: bool,
    sent: bool,
}

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
        stream.observe(now, packet.payload.len());
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
        let kind = track.info.kind;
        // Sound that must stay as it is, or is neither Opus nor RED, is passed on as it came.
        let voiced = track.info.red && matches!(packet.format, Format::Opus | Format::Red);
        let mut voice = voiced.then(|| std::mem::take(&mut stream.voice));
        let taken = voice.as_mut().map(|voice| voice.take(packet));
        let taken = taken.unwrap_or_default();
        let holes = taken.late || !taken.recovered.is_empty();
        let mut switched = false;
        let mut forwarded = 0;
        for subscription in &mut subscriptions {
            let to = (subscription.participant, subscription.side);
            let mid = subscription.mid;
            // Who takes redundant sound has these frames in the packets that follow.
            let plain = holes && !self.transport(to).is_some_and(|t| t.takes_red(mid));
            let before = taken.recovered.iter().filter(|_| plain);
            let own = (!plain || !taken.late).then_some(&**packet);
            for packet in before.chain(own) {
                let voice = voice.as_mut();
                let step = self.forward(now, id, kind, packet, voice, subscription, out, key);
                switched |= step.switched;
                forwarded += u64::from(step.sent);
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

    /// Give one subscriber a packet, if it is of the stream that it gets or waits for.
    #[allow(
        clippy::too_many_arguments,
        reason = "one step of a loop, taken out to be read"
    )]
    fn forward(
        &mut self,
        now: Instant,
        id: StreamId,
        kind: Kind,
        packet: &MediaPacket,
        voice: Option<&mut Voice>,
        subscription: &mut Subscription,
        out: &mut Vec<Output>,
        track: TrackKey,
    ) -> Step {
        let current = subscription.forwarder.current();
        let mut step = Step::default();
        if current != Some(id) {
            let wanted = subscription.target == Some(id);
            if !wanted || (kind == Kind::Video && !packet.keyframe) {
                return step;
            }
            subscription.forwarder.start(now, id, packet);
            subscription.waiting_since = None;
            step.switched = true;
        }
        let Some(placed) = subscription.forwarder.place(now, packet) else {
            self.count("media_before_start");
            return step;
        };
        let to = (subscription.participant, subscription.side);
        let patch = match packet.format {
            Format::Vp8 => subscription.forwarder.pictures.patch(&packet.payload),
            _ => None,
        };
        let mid = subscription.mid;
        let written = self.participants.get_mut(&to.0).is_some_and(|p| {
            let voice = voice.map(|voice| (voice, p.losses.distances()));
            let playout = p.playout;
            p.transport(to.1).is_some_and(|t| {
                t.playout = playout;
                t.write(now, mid, packet, placed, voice, patch)
            })
        });
        if !written {
            self.count("media_no_payload_type");
            return step;
        }
        self.wake(now, to);
        step.sent = true;
        if !subscription.live {
            subscription.live = true;
            if let Some(track) = self.tracks.get(&track) {
                out.push(Output::SubscriptionLive {
                    participant: subscription.participant,
                    track: track.info.sid.clone(),
                });
            }
        }
        step
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
        track.subscriptions.push(Subscription {
            participant,
            side,
            mid: Mid::from(mid),
            forwarder: forwarder.unwrap_or_default(),
            target: None,
            max_quality: Some(2),
            live: false,
            waiting_since: None,
        });
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
        quality: Option<u8>,
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
        track.subscriptions[at].max_quality = quality;
        self.select_for(now, participant, out);
    }

    pub(crate) fn set_muted(
        &mut self,
        now: Instant,
        sid: &str,
        muted: bool,
        out: &mut Vec<Output>,
    ) {
        let track = self
            .track_keys
            .get(sid)
            .and_then(|k| self.tracks.get_mut(k));
        let Some(track) = track else { return };
        let resumed = track.muted && !muted;
        track.muted = muted;
        if resumed && track.info.kind == Kind::Video {
            let streams: Vec<_> = track.info.layers.iter().map(|l| l.stream).collect();
            for stream in streams {
                self.need_keyframe(now, stream, out);
            }
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
        let streams: Vec<StreamId> = asked.filter_map(|(_, s)| s.shown()).collect();
        for stream in streams {
            self.count("keyframe_requests");
            self.need_keyframe(now, stream, out);
        }
    }

    /// A client came over another access: pictures were lost on the way both ways.
    pub(crate) fn moved(&mut self, now: Instant, key: TransportKey, out: &mut Vec<Output>) {
        self.count("clients_moved");
        let moves = |t: &Track| t.info.kind == Kind::Video && !t.muted;
        let seen = self.subscriptions_of(key).filter(|(t, _)| moves(t));
        let mut streams: Vec<StreamId> = seen.filter_map(|(_, s)| s.shown()).collect();
        let own = |t: &&Track| t.info.publisher.map(|p| (p, Side::Publisher)) == Some(key);
        let own = self.tracks.values().filter(own).filter(|t| moves(t));
        streams.extend(own.flat_map(|t| t.info.layers.iter().map(|l| l.stream)));
        for stream in streams {
            self.need_keyframe(now, stream, out);
        }
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
        }
    }

    /// Choose the layer of every video track that a participant is subscribed to.
    pub(crate) fn select_for(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let Some(p) = self.participants.get(&participant) else {
            return;
        };
        // Without feedback there is no estimate: everything is taken to fit.
        let estimate = match (p.estimate, p.capacity) {
            (Some(estimate), Some(capacity)) => Some(estimate.min(capacity)),
            (estimate, capacity) => estimate.or(capacity),
        };
        let side = p.data_side();
        let position = |key: &TrackKey| {
            let subscriptions = &self.tracks.get(key)?.subscriptions;
            let at = subscriptions
                .iter()
                .position(|s| s.participant == participant)?;
            Some((*key, at))
        };
        let keys: Vec<(TrackKey, usize)> = p.subscribed.iter().filter_map(position).collect();
        let (mut videos, mut voices) = (0, 0);
        for track in keys.iter().filter_map(|(key, _)| self.tracks.get(key)) {
            if track.info.kind == Kind::Video {
                videos += 1;
                continue;
            }
            let mut streams = track
                .info
                .layers
                .iter()
                .filter_map(|l| self.streams.get(&l.stream));
            voices += usize::from(streams.any(|stream| stream.alive(now, true)));
        }
        let repeats = p.losses.distances().len();
        let reserve = p.speech_reserve;
        let spare = estimate.map(|e| e.saturating_sub(reserve));
        let budget = spare.map_or(u64::MAX, |e| share(e, voices, repeats, videos));
        let mut desired = 0;
        for (key, at) in keys {
            let Some(track) = self.tracks.get(&key) else {
                continue;
            };
            let local = track.info.publisher.is_some();
            let candidates: Vec<Candidate> = track
                .info
                .layers
                .iter()
                .filter_map(|layer| {
                    let stream = self.streams.get(&layer.stream)?;
                    Some(Candidate {
                        stream: layer.stream,
                        quality: layer.quality,
                        alive: stream.alive(now, local),
                        bitrate: stream.bitrate,
                    })
                })
                .collect();
            let video = track.info.kind == Kind::Video;
            let max_quality = track.subscriptions[at].max_quality;
            let target = match max_quality {
                None => None,
                Some(_) if !video => candidates.first().map(|c| c.stream),
                Some(max) => choose(&candidates, max, budget),
            };
            desired += candidates
                .last()
                .filter(|_| video)
                .map_or(0, Candidate::needs);
            self.set_target(now, key, at, target, out);
        }
        if let Some(transport) = self.transport((participant, side)) {
            transport.set_desired(desired * PROBE_HEADROOM);
        }
    }

    fn set_target(
        &mut self,
        now: Instant,
        key: TrackKey,
        at: usize,
        target: Option<StreamId>,
        out: &mut Vec<Output>,
    ) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let video = track.info.kind == Kind::Video;
        let subscription = &mut track.subscriptions[at];
        if subscription.target != target {
            subscription.target = target;
            subscription.waiting_since = None;
            if target.is_none() {
                subscription.forwarder.pause();
            }
            self.update_wants(now, key, out);
        }
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let subscription = &mut track.subscriptions[at];
        let Some(target) = target else { return };
        if !video || subscription.forwarder.current() == Some(target) {
            return;
        }
        let rested = subscription
            .waiting_since
            .is_none_or(|t| now.saturating_duration_since(t) >= KEYFRAME_RETRY);
        if rested {
            subscription.waiting_since = Some(now);
            self.need_keyframe(now, target, out);
        }
    }

    /// Tell the origin which of a remote track's streams are needed here.
    fn update_wants(&mut self, now: Instant, key: TrackKey, out: &mut Vec<Output>) {
        let Some(track) = self.tracks.get(&key) else {
            return;
        };
        if track.info.publisher.is_some() {
            return;
        }
        for layer in &track.info.layers {
            let id = layer.stream;
            let wanted = track
                .subscriptions
                .iter()
                .any(|s| s.target == Some(id) || s.forwarder.current() == Some(id));
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            if wanted == stream.wanted_since.is_some() {
                continue;
            }
            stream.wanted_since = wanted.then_some(now);
            out.push(Output::Want { stream: id, wanted });
        }
    }

    fn withdraw_wants(&mut self, key: TrackKey, out: &mut Vec<Output>) {
        // The time is only noted for streams that become wanted, and none does by leaving.
        self.update_wants(self.next_tick, key, out);
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

fn take_subscriptions(track: &mut Track, participant: u64) -> Vec<Subscription> {
    let all = std::mem::take(&mut track.subscriptions);
    let (ended, kept) = all.into_iter().partition(|s| s.participant == participant);
    track.subscriptions = kept;
    ended
}
