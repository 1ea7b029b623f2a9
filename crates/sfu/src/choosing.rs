//! Which layer of each track every subscriber gets now, and what is needed for that: streams,
//! keyframes, what was kept.

use std::time::{Duration, Instant};

use wire::StreamId;

use crate::interface::Output;
use crate::layering::LayerId;
use crate::replay::{self, Replay};
use crate::selection::{Request, Rung, allocate, ladder, nominal};
use crate::sfu::Sfu;
use crate::stream::Stream;
use crate::track::{Subscription, Track, TrackKey};
use crate::values::{Kind, Layer};

/// Bits per second of a voice until it was measured, and at most.
const VOICE: u64 = 48_000;
/// Who saw something so lately waits for a keyframe: what was kept would take it back in time.
const SEEN: Duration = Duration::from_secs(2);
/// A subscriber that waits for a keyframe asks again this often.
const KEYFRAME_RETRY: Duration = Duration::from_millis(800);
/// So much of the pictures a second that are asked for is enough.
const NEARLY: f64 = 0.8;
/// A layer starves that has less than this share of the pictures of a lower one, where it is shown
/// and where it is not; and not more than so many a second: some are meant to be slow.
const STARVES: f64 = 0.5;
const STARVED: f64 = 0.8;
const FEW: f64 = 10.0;
/// An estimate that falls below this share of the last one changes pictures at once.
const FALL: f64 = 0.9;

/// What one subscriber should get of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    target: Option<(StreamId, LayerId)>,
    wish: Option<StreamId>,
    paused: bool,
}

impl Sfu {
    /// The bandwidth toward a participant was estimated anew.
    pub(crate) fn estimated(
        &mut self,
        now: Instant,
        participant: u64,
        estimate: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        p.headroom.observe(now, estimate);
        p.losses.limit(estimate);
        let before = p.estimate.replace(estimate);
        if before.is_some_and(|before| (estimate as f64) < before as f64 * FALL) {
            self.shed(now, participant, out);
        } else {
            self.catch_up(now, participant);
        }
        self.begin_again(now, participant, out);
    }

    /// Choose the layer of every track that a participant is subscribed to.
    pub(crate) fn select_for(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let keys = self.subscribed(participant);
        let (mut videos, mut speech) = (Vec::new(), 0);
        for (key, at) in keys {
            let Some(track) = self.tracks.get(&key) else {
                continue;
            };
            if track.info.kind == Kind::Video {
                videos.push((key, at));
                continue;
            }
            let asked = track.subscriptions[at].asked.quality;
            let stream = track.info.layers.first().map(|l| l.stream);
            speech += self.speech(now, track);
            let choice = Choice {
                target: asked.and(stream).map(|stream| (stream, LayerId::ALL)),
                wish: asked.and(stream),
                paused: false,
            };
            self.apply(now, key, at, choice, out);
        }
        let choices = self.choose(now, participant, &videos, speech);
        for ((key, at), choice) in videos.into_iter().zip(choices) {
            self.apply(now, key, at, choice, out);
        }
    }

    /// The tracks that a participant is subscribed to, and which subscription of each is its.
    pub(crate) fn subscribed(&self, participant: u64) -> Vec<(TrackKey, usize)> {
        let keys = self.participants.get(&participant).map(|p| &p.subscribed);
        let own = |s: &Subscription| s.participant == participant;
        let place = |key: &TrackKey| {
            let at = self.tracks.get(key)?.subscriptions.iter().position(own)?;
            Some((*key, at))
        };
        keys.into_iter().flatten().filter_map(place).collect()
    }

    /// What the sound of a track takes, bits per second: next to nothing while nobody speaks.
    /// Repetitions are not in it.
    fn speech(&self, now: Instant, track: &Track) -> u64 {
        let streams = track.info.layers.iter();
        let streams = streams.filter_map(|l| self.streams.get(&l.stream));
        let comes = streams.filter(|stream| stream.alive(now, true));
        let bits = |stream: &Stream| {
            let measured = stream.rates.layers();
            // What its publisher repeats is counted with what this node does.
            measured.last().map_or(VOICE, |(_, bits)| VOICE.min(*bits))
        };
        comes.map(bits).sum()
    }

    /// A choice for each of a participant's pictures.
    fn choose(
        &mut self,
        now: Instant,
        participant: u64,
        videos: &[(TrackKey, usize)],
        speech: u64,
    ) -> Vec<Choice> {
        let requests: Vec<Request> = videos
            .iter()
            .map(|(key, at)| self.request(now, *key, *at))
            .collect();
        let Some(p) = self.participants.get_mut(&participant) else {
            return Vec::new();
        };
        let comes = requests.iter().filter_map(|request| request.rungs.first());
        let least = comes.filter(|rung| rung.alive).map(|rung| rung.needs).sum();
        let budget = p.budget(now, speech, least);
        let side = p.data_side();
        let wishes = allocate(&requests, budget);
        let living: Vec<Request> = requests.iter().map(only_alive).collect();
        let targets = match living
            .iter()
            .zip(&requests)
            .all(|(l, r)| l.rungs == r.rungs)
        {
            true => wishes.clone(),
            false => allocate(&living, budget),
        };
        let mut choices = Vec::with_capacity(requests.len());
        for ((living, request), (target, wish)) in living
            .iter()
            .zip(&requests)
            .zip(targets.into_iter().zip(wishes))
        {
            match (target, living.shown) {
                (Some(chosen), Some(shown)) if chosen > shown => p.headroom.grew(now),
                (chosen, Some(shown)) if chosen.is_none_or(|c| c < shown) => {
                    p.headroom.shrank(now);
                }
                _ => {}
            }
            let rung = target.map(|at| living.rungs[at]);
            choices.push(Choice {
                target: rung.map(|rung| (rung.stream, rung.layer)),
                wish: wish.map(|at| request.rungs[at].stream),
                paused: rung.is_none() && !living.rungs.is_empty(),
            });
        }
        let best = requests.iter().filter_map(|r| r.rungs.last());
        let desired: u64 = best.map(|rung| rung.needs).sum();
        if let Some(transport) = self.transport((participant, side)) {
            transport.set_desired(desired);
        }
        choices
    }

    /// What a subscription asks for, of everything that its track has.
    fn request(&self, now: Instant, key: TrackKey, at: usize) -> Request {
        let Some(track) = self.tracks.get(&key) else {
            return Request::default();
        };
        let subscription = &track.subscriptions[at];
        let asked = subscription.asked;
        let pausable = self
            .participants
            .get(&subscription.participant)
            .is_some_and(|p| p.info.allow_pause);
        let rungs = match asked.quality {
            None => Vec::new(),
            Some(best) => {
                let shown = subscription.target.map(|(stream, _)| stream);
                ladder(up_to(self.rungs(now, track, asked.fps, shown), best))
            }
        };
        let shown = subscription.target.and_then(|(stream, layer)| {
            let quality = track.quality(stream)?;
            let held = match track.info.layers.len() {
                1 => (quality.max(layer.spatial), layer.temporal),
                _ => (quality, layer.temporal),
            };
            let of = |rung: &Rung| (rung.quality, rung.layer.temporal) <= held;
            rungs.iter().rposition(of)
        });
        Request {
            priority: asked.priority,
            rungs,
            shown,
            pausable,
        }
    }

    /// Whether a layer brings few pictures where a lower one brings more: its publisher's way up has no
    /// room for it.
    fn starves(&self, now: Instant, track: &Track, layer: &Layer, shown: bool) -> bool {
        let fps = |layer: &Layer| self.streams.get(&layer.stream)?.fps_now(now);
        let Some(own) = fps(layer).filter(|fps| *fps < FEW) else {
            return false;
        };
        let share = if shown { STARVES } else { STARVED };
        let layers = track.info.layers.iter();
        let mut lower = layers.filter(|l| l.quality < layer.quality).filter_map(fps);
        lower.any(|lower| own < share * lower)
    }

    /// Every way to show a track; none with more pictures than another that shows `fps` a second.
    /// A layer that starves counts as one that does not come: it may be wished for.
    fn rungs(&self, now: Instant, track: &Track, fps: u8, shown: Option<StreamId>) -> Vec<Rung> {
        let local = track.info.publisher.is_some();
        let single = track.info.layers.len() == 1;
        let mut rungs = Vec::new();
        for layer in &track.info.layers {
            let Some(stream) = self.streams.get(&layer.stream) else {
                continue;
            };
            let measured = stream.rates.layers();
            let rung = |id: LayerId, needs, alive| Rung {
                stream: layer.stream,
                layer: id,
                // The layers of one stream are the qualities of a track that has only that.
                quality: layer.quality + if single { id.spatial } else { 0 },
                needs,
                alive,
            };
            let starves = self.starves(now, track, layer, shown == Some(layer.stream));
            let alive = stream.alive(now, local) && !starves;
            if alive && !measured.is_empty() {
                let needed = |(id, _): &&(LayerId, u64)| {
                    fps == 0 || !is_shown_below(*id, &measured, stream.fps(), fps)
                };
                let own = measured.iter().filter(needed).map(|(id, bits)| Rung {
                    layer: open_ended(*id, &measured),
                    ..rung(*id, *bits, true)
                });
                rungs.extend(own);
                continue;
            }
            let needs = measured
                .last()
                .map_or(nominal(layer.quality), |(_, bits)| *bits);
            rungs.push(Rung {
                quality: layer.quality,
                ..rung(LayerId::ALL, needs, alive)
            });
        }
        rungs
    }

    /// Have a subscription aim at what was chosen.
    fn apply(
        &mut self,
        now: Instant,
        key: TrackKey,
        at: usize,
        choice: Choice,
        out: &mut Vec<Output>,
    ) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let video = track.info.kind == Kind::Video;
        let subscription = &mut track.subscriptions[at];
        let participant = subscription.participant;
        let paused = std::mem::replace(&mut subscription.paused, choice.paused);
        let before = (subscription.aims_at(), subscription.wish);
        subscription.target = choice.target;
        subscription.wish = choice.wish;
        let aims_at = subscription.aims_at();
        if before.0 != aims_at {
            subscription.waiting_since = None;
        }
        let current = subscription.forwarder.current();
        match choice.target {
            None => {
                subscription.forwarder.pause();
                subscription.replay = None;
            }
            // The replay has its own layers; the aim is taken when it is over.
            Some(_) if subscription.replay.is_some() => {}
            Some((stream, layer)) if current == Some(stream) => {
                subscription.forwarder.filter.aim(layer);
            }
            Some((stream, _)) => {
                let quality = |s: Option<StreamId>| {
                    let layer = track.info.layers.iter().find(|l| Some(l.stream) == s);
                    layer.map(|layer| layer.quality)
                };
                if current.is_some() && quality(Some(stream)) < quality(current) {
                    // Until the lower one has a keyframe.
                    subscription.forwarder.filter.aim(LayerId {
                        temporal: 0,
                        ..LayerId::ALL
                    });
                }
            }
        }
        if paused != choice.paused {
            let told = self.participants.get(&participant);
            if told.is_some_and(|p| p.info.allow_pause) {
                out.push(Output::StreamState {
                    participant,
                    track: track.info.sid.clone(),
                    paused: choice.paused,
                });
            }
            self.count(if choice.paused {
                "pictures_paused"
            } else {
                "pictures_resumed"
            });
        }
        if before != (aims_at, choice.wish) {
            self.count("layer_choices");
            self.update_wants(now, key, out);
        }
        if video {
            self.reach(now, key, at, out);
        }
    }

    /// Get a subscription to what it aims at: with what was kept, or a keyframe.
    fn reach(&mut self, now: Instant, key: TrackKey, at: usize, out: &mut Vec<Output>) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let subscription = &mut track.subscriptions[at];
        let Some((stream, layer)) = subscription.target else {
            return;
        };
        let current = subscription.forwarder.current();
        let there = current == Some(stream);
        if there && !subscription.forwarder.filter.waits_for_keyframe() {
            return;
        }
        let sees = current.is_some() || subscription.forwarder.sent_within(SEEN, now);
        let holder = self.participants.get(&subscription.participant);
        let up = holder.is_some_and(|p| p.is_up(subscription.side));
        let kept = || self.streams.get(&stream).and_then(|s| s.gop.whole());
        // What is kept by then will do; where nothing is, a keyframe may come meanwhile.
        if !up && kept().is_some() {
            return;
        }
        if up && !sees && subscription.replay.is_none() {
            if self.begin_replay(now, key, at, stream, layer) {
                return;
            }
            self.show_anything(now, key, at, stream);
        }
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        let subscription = &mut track.subscriptions[at];
        let patience = self.streams.get(&stream).map(Stream::keyframe_interval);
        let patience = patience.map_or(KEYFRAME_RETRY, |least| least.max(KEYFRAME_RETRY));
        let rested = subscription
            .waiting_since
            .is_none_or(|t| now.saturating_duration_since(t) >= patience);
        let holder = self.participants.get(&subscription.participant);
        if rested && holder.is_none_or(|p| p.shed_at.is_none()) {
            subscription.waiting_since = Some(now);
            self.need_keyframe(now, stream, out);
        }
    }

    /// Show who sees nothing yet what was kept of a lower layer.
    fn show_anything(&mut self, now: Instant, key: TrackKey, at: usize, target: StreamId) {
        let Some(track) = self.tracks.get(&key) else {
            return;
        };
        let layers = track.info.layers.iter().rev();
        let lower = layers.filter(|l| Some(l.quality) < track.quality(target));
        let lower: Vec<StreamId> = lower.map(|l| l.stream).collect();
        for stream in lower {
            if self.begin_replay(now, key, at, stream, LayerId::ALL) {
                return;
            }
        }
    }

    /// Start a subscription with what was kept of a stream. False: that is of no use.
    fn begin_replay(
        &mut self,
        now: Instant,
        key: TrackKey,
        at: usize,
        stream: StreamId,
        layer: LayerId,
    ) -> bool {
        let (Some(track), Some(from)) = (self.tracks.get_mut(&key), self.streams.get(&stream))
        else {
            return false;
        };
        let local = track.info.publisher.is_some();
        if !from.alive(now, local) {
            return false;
        }
        let subscription = &mut track.subscriptions[at];
        let estimate = self
            .participants
            .get(&subscription.participant)
            .and_then(|p| p.estimate);
        let sees = subscription.forwarder.current().is_some();
        let Some(replay) = Replay::of(now, &from.gop, layer, estimate, sees) else {
            return false;
        };
        let Some(first) = replay.first() else {
            return false;
        };
        let base = LayerId {
            temporal: 0,
            ..layer
        };
        subscription.replayed = Some((stream, first.packet.sequence));
        subscription
            .forwarder
            .start(now, stream, base, &first.packet);
        subscription.waiting_since = None;
        self.replaying.insert((key, subscription.participant));
        subscription.replay = Some(replay);
        self.next_replay.get_or_insert(now);
        self.count("replays");
        true
    }

    /// Answer a subscriber's request for a keyframe with what was kept, once for each keyframe.
    pub(crate) fn replay_once(
        &mut self,
        now: Instant,
        key: TrackKey,
        participant: u64,
        stream: StreamId,
    ) -> bool {
        let (Some(track), Some(from)) = (self.tracks.get(&key), self.streams.get(&stream)) else {
            return false;
        };
        let own = |s: &Subscription| s.participant == participant;
        let Some(at) = track.subscriptions.iter().position(own) else {
            return false;
        };
        let subscription = &track.subscriptions[at];
        let kept = from.gop.first().map(|first| (stream, first));
        let layer = match subscription.target {
            Some((aim, layer)) if aim == stream => layer,
            _ => LayerId::ALL,
        };
        subscription.replay.is_none()
            && subscription.replayed != kept
            && self.begin_replay(now, key, at, stream, layer)
    }

    /// Send the next of what was kept to whom it is on its way.
    pub(crate) fn replay(&mut self, now: Instant, out: &mut Vec<Output>) {
        let replaying: Vec<(TrackKey, u64)> = self.replaying.iter().copied().collect();
        for (key, participant) in replaying {
            let Some(track) = self.tracks.get_mut(&key) else {
                self.replaying.remove(&(key, participant));
                continue;
            };
            let mut subscriptions = std::mem::take(&mut track.subscriptions);
            let own = subscriptions
                .iter_mut()
                .find(|s| s.participant == participant);
            let goes_on = own.is_some_and(|own| self.replay_to(now, key, own, out));
            if let Some(track) = self.tracks.get_mut(&key) {
                track.subscriptions = subscriptions;
            }
            if !goes_on {
                self.replaying.remove(&(key, participant));
            }
        }
        let more = !self.replaying.is_empty();
        self.next_replay = more.then_some(now + replay::INTERVAL);
    }

    /// True: there is more to send.
    fn replay_to(
        &mut self,
        now: Instant,
        key: TrackKey,
        subscription: &mut Subscription,
        out: &mut Vec<Output>,
    ) -> bool {
        while let Some(kept) = subscription.replay.as_mut().and_then(|r| r.next(now)) {
            subscription.forwarder.hasten(now, &kept.packet);
            let sent = self.forward(now, key, &kept.packet, kept.view, None, subscription, out);
            if let Some(replay) = subscription.replay.as_mut().filter(|_| sent) {
                replay.sent(kept.packet.payload.len());
            }
        }
        match &subscription.replay {
            Some(replay) if replay.is_over() => {
                subscription.end_replay();
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Tell the origin which of a remote track's streams are needed here, and note that of a local
    /// one more or less may be.
    pub(crate) fn update_wants(&mut self, now: Instant, key: TrackKey, out: &mut Vec<Output>) {
        let Some(track) = self.tracks.get(&key) else {
            return;
        };
        if track.info.publisher.is_some() {
            self.revalue.insert(key);
            return;
        }
        for layer in &track.info.layers {
            let id = layer.stream;
            let wanted = track.subscriptions.iter().any(|s| s.needs(id));
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            if wanted == stream.wanted_since.is_some() {
                continue;
            }
            stream.wanted_since = wanted.then_some(now);
            if !wanted {
                // What comes later does not follow on it.
                stream.gop.forget();
            }
            out.push(Output::Want { stream: id, wanted });
        }
    }

    pub(crate) fn withdraw_wants(&mut self, key: TrackKey, out: &mut Vec<Output>) {
        // The time is only noted for streams that become wanted, and none does by leaving.
        self.update_wants(self.next_tick, key, out);
    }

    /// Tell what is needed of tracks that are published here, where that changed.
    pub(crate) fn tell_wanted(&mut self, out: &mut Vec<Output>) {
        while let Some(key) = self.revalue.pop_first() {
            let Some(track) = self.tracks.get(&key) else {
                continue;
            };
            if track.info.publisher.is_none() {
                continue;
            }
            let needed = |stream: StreamId| {
                let exported = self.streams.get(&stream).is_some_and(|s| s.exported);
                let aims = |s: &Subscription| [s.aims_at(), s.wish].contains(&Some(stream));
                exported || track.subscriptions.iter().any(aims)
            };
            let best = track.info.layers.iter().rev().find(|l| needed(l.stream));
            let quality = best.map(|layer| match track.info.layers.len() {
                1 => 2,
                _ => layer.quality,
            });
            let sid = track.info.sid.clone();
            if let Some(track) = self.tracks.get_mut(&key)
                && track.told_wanted != Some(quality)
            {
                track.told_wanted = Some(quality);
                out.push(Output::TrackWanted {
                    track: sid,
                    quality,
                });
            }
        }
    }
}

/// The layer, without end where nothing above it comes now: that may change from picture to picture,
/// and costs little.
fn open_ended(id: LayerId, measured: &[(LayerId, u64)]) -> LayerId {
    let above = |at: &LayerId| at.spatial == id.spatial && at.temporal > id.temporal;
    let highest = !measured.iter().any(|(at, _)| above(at));
    let largest = !measured.iter().any(|(at, _)| at.spatial > id.spatial);
    LayerId {
        spatial: if largest {
            LayerId::ALL.spatial
        } else {
            id.spatial
        },
        temporal: if highest {
            LayerId::ALL.temporal
        } else {
            id.temporal
        },
    }
}

/// Whether the layers below in time show so many pictures a second as are asked for, of `shown` that
/// come: each layer doubles them.
fn is_shown_below(id: LayerId, measured: &[(LayerId, u64)], shown: f64, asked: u8) -> bool {
    let same = measured.iter().map(|(at, _)| at);
    let times = same
        .filter(|at| at.spatial == id.spatial)
        .map(|at| at.temporal);
    let above = times.max().unwrap_or(0) + 1 - id.temporal;
    id.temporal > 0 && shown / f64::from(1 << above) >= f64::from(asked) * NEARLY
}

/// The rungs up to a quality; the lowest if all are better.
fn up_to(mut rungs: Vec<Rung>, best: u8) -> Vec<Rung> {
    let least = rungs.iter().map(|rung| rung.quality).min().unwrap_or(0);
    rungs.retain(|rung| rung.quality <= best.max(least));
    rungs
}

/// The same request of what comes. Where nothing does, one of all may come alive.
fn only_alive(request: &Request) -> Request {
    let alive: Vec<Rung> = request.rungs.iter().filter(|r| r.alive).copied().collect();
    if alive.is_empty() {
        return request.clone();
    }
    let shown = request.shown.and_then(|shown| {
        let held = request.rungs[shown];
        let held = (held.quality, held.layer.temporal);
        let of = |rung: &Rung| (rung.quality, rung.layer.temporal) <= held;
        alive.iter().rposition(of)
    });
    Request {
        rungs: alive,
        shown,
        ..request.clone()
    }
}
