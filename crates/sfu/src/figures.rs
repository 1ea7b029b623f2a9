//! What the packets of one participant tell of its connection: measured here, judged elsewhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::sfu::Sfu;
use crate::track::Track;
use crate::transport::{Mid, Rid};
use crate::values::{Kind, Layer};

/// How often figures are reported.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// A participant's figures over the last interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    pub participant: u64,
    /// Packets of media that came from it.
    pub packets_up: u64,
    /// Share of those that were lost on the way, 0 to 1.
    pub loss_up: f32,
    /// The worst of its tracks.
    pub jitter: Duration,
    pub packets_down: u64,
    pub loss_down: f32,
    pub round_trip: Option<Duration>,
    /// Since anything came from it, over the connection that was heard last.
    pub silent: Duration,
    /// Video layers that it asks for and that are being published.
    pub layers_wanted: u32,
    /// Those that it gets.
    pub layers_sent: u32,
    /// Keyframes that it asked for of pictures that had come for a while and whole.
    pub keyframes_asked: u32,
    /// What it publishes.
    pub pictures: Vec<Picture>,
}

/// A video track as it comes from its publisher.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub track: String,
    /// Of its layers, from the lowest, those that lead to the best that comes.
    pub layers: u32,
    /// Pictures a second of the lowest that comes.
    pub fps: f32,
}

/// An m-line and, in simulcast, one of its encodings.
type Encoding = (Mid, Option<Rid>);

/// One direction of a transport.
#[derive(Debug, Default)]
struct Way {
    /// Packets of each encoding when it was last counted.
    counted: HashMap<Encoding, u64>,
    packets: u64,
    lost: f64,
}

impl Way {
    /// Take a track's count of all packets so far, and the share lost of the latest. A track that
    /// rests (muted, or silent under DTX) adds as little as it sends.
    fn observe(&mut self, key: Encoding, packets: u64, loss: Option<f32>) {
        // Until a share is told it is of all that was sent since the last one.
        let Some(loss) = loss.filter(|l| l.is_finite()) else {
            return;
        };
        let before = self.counted.insert(key, packets).unwrap_or(0);
        let new = packets.saturating_sub(before);
        self.packets += new;
        self.lost += f64::from(loss.clamp(0.0, 1.0)) * new as f64;
    }

    /// Packets and the share lost of them, since the last call.
    fn take(&mut self) -> (u64, f64) {
        (
            std::mem::take(&mut self.packets),
            std::mem::take(&mut self.lost),
        )
    }
}

/// What one transport has measured since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    up: Way,
    down: Way,
    jitter: Duration,
    round_trip: Option<Duration>,
}

impl Gauge {
    /// What came of an encoding: all packets so far, the share lost of late, and its jitter.
    pub(crate) fn received(
        &mut self,
        key: Encoding,
        packets: u64,
        loss: Option<f32>,
        jitter: Duration,
    ) {
        self.up.observe(key, packets, loss);
        self.jitter = self.jitter.max(jitter);
    }

    /// What was sent of an encoding, as the client reports it.
    pub(crate) fn sent(&mut self, key: Encoding, packets: u64, loss: Option<f32>) {
        self.down.observe(key, packets, loss);
    }

    pub(crate) fn on_round_trip(&mut self, time: Duration) {
        self.round_trip = Some(time);
    }
}

impl Sfu {
    /// The figures of every participant that has a connection.
    pub(crate) fn figures(&mut self, now: Instant) -> Vec<Figures> {
        let mut all = Vec::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "what comes of it is put in order"
        )]
        let participants: Vec<u64> = self.participants.keys().copied().collect();
        for participant in participants {
            let (layers_wanted, layers_sent) = self.layers_of(now, participant);
            let Some(p) = self.participants.get_mut(&participant) else {
                continue;
            };
            let mut figures = Figures {
                participant,
                packets_up: 0,
                loss_up: 0.0,
                jitter: Duration::ZERO,
                packets_down: 0,
                loss_down: 0.0,
                round_trip: None,
                silent: Duration::MAX,
                layers_wanted,
                layers_sent,
                keyframes_asked: std::mem::take(&mut p.keyframes_asked),
                pictures: Vec::new(),
            };
            let (mut lost_up, mut lost_down) = (0.0, 0.0);
            for transport in [&mut p.publisher, &mut p.subscriber].into_iter().flatten() {
                let Some(heard) = transport.heard else {
                    continue;
                };
                let silent = now.saturating_duration_since(heard);
                figures.silent = figures.silent.min(silent);
                let gauge = &mut transport.gauge;
                let (packets, lost) = gauge.up.take();
                figures.packets_up += packets;
                lost_up += lost;
                let (packets, lost) = gauge.down.take();
                figures.packets_down += packets;
                lost_down += lost;
                figures.jitter = figures.jitter.max(std::mem::take(&mut gauge.jitter));
                figures.round_trip = figures.round_trip.max(gauge.round_trip);
            }
            if figures.silent == Duration::MAX {
                continue;
            }
            figures.loss_up = share(lost_up, figures.packets_up);
            figures.loss_down = share(lost_down, figures.packets_down);
            all.push(figures);
        }
        all.sort_by_key(|f| f.participant);
        for (participant, picture) in self.pictures(now) {
            if let Ok(at) = all.binary_search_by_key(&participant, |f| f.participant) {
                all[at].pictures.push(picture);
            }
        }
        all
    }

    /// The video tracks that come from clients of this worker, and from whom.
    fn pictures(&self, now: Instant) -> Vec<(u64, Picture)> {
        let videos = self.tracks.values().filter(|t| t.info.kind == Kind::Video);
        let mut all: Vec<(u64, Picture)> = videos
            .filter_map(|track| {
                let layers = self.best_alive(now, track, u8::MAX)?;
                let mut streams = track.info.layers.iter();
                let comes = |l: &Layer| self.streams.get(&l.stream).filter(|s| s.alive(now, true));
                let fps = streams.find_map(comes)?.fps() as f32;
                let track_sid = track.info.sid.clone();
                let picture = Picture {
                    track: track_sid,
                    layers,
                    fps,
                };
                Some((track.info.publisher?, picture))
            })
            .collect();
        all.sort_by(|a, b| (a.0, &a.1.track).cmp(&(b.0, &b.1.track)));
        all
    }

    /// The video layers that a participant asks for and that come, and those that it is given.
    fn layers_of(&self, now: Instant, participant: u64) -> (u32, u32) {
        let Some(p) = self.participants.get(&participant) else {
            return (0, 0);
        };
        let (mut wanted, mut sent) = (0, 0);
        let tracks = p.subscribed.iter().filter_map(|key| self.tracks.get(key));
        for track in tracks.filter(|t| t.info.kind == Kind::Video) {
            let subscription = track
                .subscriptions
                .iter()
                .find(|s| s.participant == participant);
            let Some((subscription, most)) = subscription.and_then(|s| Some((s, s.asked.quality?)))
            else {
                continue;
            };
            let Some(best) = self.best_alive(now, track, most) else {
                continue;
            };
            wanted += best;
            let current = subscription.forwarder.current();
            let given = track
                .info
                .layers
                .iter()
                .position(|l| Some(l.stream) == current);
            sent += given.map_or(0, |at| at as u32 + 1).min(best);
        }
        (wanted, sent)
    }

    /// How many layers, from the lowest, lead to the best that is published and asked for.
    fn best_alive(&self, now: Instant, track: &Track, most: u8) -> Option<u32> {
        let local = track.info.publisher.is_some();
        let alive = |stream| {
            self.streams
                .get(&stream)
                .is_some_and(|s| s.last_packet.is_some() && s.alive(now, local))
        };
        let best = track
            .info
            .layers
            .iter()
            .rposition(|l| l.quality <= most && alive(l.stream))?;
        Some(best as u32 + 1)
    }
}

fn share(lost: f64, packets: u64) -> f32 {
    match packets {
        0 => 0.0,
        packets => (lost / packets as f64) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_weighs_by_packets_and_a_resting_track_says_nothing() {
        let mut way = Way::default();
        let (speech, rests) = ((Mid::from("0"), None), (Mid::from("1"), None));
        way.observe(speech, 100, Some(0.1));
        way.observe(rests, 0, Some(0.0));
        way.observe(speech, 150, Some(0.4));
        way.observe(speech, 150, Some(1.0));
        way.observe(speech, 160, Some(f32::NAN));
        way.observe(speech, 170, None);
        let (packets, lost) = way.take();
        assert_eq!(packets, 150);
        assert!((lost - 30.0).abs() < 0.001, "{lost}");
        assert_eq!(way.take().0, 0);
    }
}
