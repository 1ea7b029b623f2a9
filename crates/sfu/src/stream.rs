//! One stream as this worker sees it: how fast it comes, who wants it, when a keyframe was asked.

use std::time::{Duration, Instant};

use wire::MediaPacket;

use crate::gop::Gop;
use crate::holes::{Holes, WayUp};
use crate::lacking::Lack;
use crate::late::Late;
use crate::layering::{Layering, View};
use crate::rates::Rates;
use crate::redundancy::Voice;
use crate::track::TrackKey;

/// One keyframe request per stream in this time, however many ask.
pub(crate) const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
/// Of one that misses something a request is repeated sooner: the way that lost that loses requests
/// too. Encoders take what comes within 300 ms for one (libwebrtc).
const MENDING_INTERVAL: Duration = Duration::from_millis(200);
/// A stream of few pictures (a screen) has no keyframe sooner than a picture: it has the time of so
/// many of them, up to the most.
const KEYFRAME_PICTURES: u32 = 2;
const MAX_KEYFRAME_INTERVAL: Duration = Duration::from_secs(3);
/// Of the way to the time between the last two pictures.
const PACE_STEP: f64 = 0.2;
/// A picture that does not come for so many times as long as others took comes late.
const OVERDUE: u32 = 4;
/// A layer without a packet for this long is not being sent.
pub(crate) const ALIVE: Duration = Duration::from_millis(1_500);

/// What is known of one stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) track: TrackKey,
    /// Other workers or nodes want it (local streams only).
    pub(crate) exported: bool,
    /// Asked for from its origin (remote streams only), since then.
    pub(crate) wanted_since: Option<Instant>,
    pub(crate) last_packet: Option<Instant>,
    /// Its latest frames, if it is sound.
    pub(crate) voice: Voice,
    /// Its packets since the last keyframe, if it is a picture.
    pub(crate) gop: Gop,
    /// What is missing of it, if it is a picture of a client of this worker.
    holes: Holes,
    /// How late they come, if it is a picture.
    late: Late,
    pub(crate) rates: Rates,
    layering: Layering,
    /// It misses something that will not come any more.
    broken: bool,
    keyframe_asked: Option<Instant>,
    keyframe_due: bool,
    /// Timestamp and arrival of the last picture, and the time between pictures.
    picture: Option<(u32, Instant)>,
    pace: Duration,
}

impl Stream {
    pub(crate) fn new(track: TrackKey, now: Instant) -> Self {
        Self {
            track,
            exported: false,
            wanted_since: None,
            last_packet: None,
            voice: Voice::default(),
            gop: Gop::default(),
            holes: Holes::default(),
            late: Late::default(),
            rates: Rates::new(now),
            layering: Layering::default(),
            broken: false,
            keyframe_asked: None,
            keyframe_due: false,
            picture: None,
            pace: Duration::ZERO,
        }
    }

    /// Take note of a packet of it: what it is.
    pub(crate) fn observe(&mut self, now: Instant, packet: &MediaPacket) -> View {
        self.last_packet = Some(now);
        let view = self.layering.read(packet);
        if !packet.format.is_audio() {
            self.late.came(now, packet.sequence);
        }
        self.keep_pace(now, packet.timestamp);
        self.rates.observe(now, view.layer, packet.payload.len());
        view
    }

    /// So long who sees it is to keep its pictures back.
    pub(crate) fn keep_back(&self) -> Duration {
        self.late.keep_back()
    }

    /// Note what came of it on its way up. True: something of it is missing.
    pub(crate) fn misses(&mut self, now: Instant, packet: &MediaPacket) -> bool {
        self.holes.take(now, packet.sequence, packet.keyframe);
        self.broken = false;
        !self.holes.is_empty()
    }

    /// Whether something that it misses will not come any more.
    pub(crate) fn is_broken(&mut self, now: Instant, way: WayUp) -> bool {
        self.broken = self.holes.given_up(now, way);
        self.broken
    }

    /// What it misses that its publisher is to be asked for beside str0m's requests.
    pub(crate) fn lacks(&self, now: Instant, way: WayUp) -> Vec<Lack> {
        self.holes.lacks(now, way)
    }

    fn keep_pace(&mut self, now: Instant, timestamp: u32) {
        if let Some((last, at)) = self.picture {
            if last == timestamp {
                return;
            }
            let gap = now.saturating_duration_since(at);
            let paused = gap >= ALIVE && gap > self.pace * OVERDUE;
            let step = gap.min(MAX_KEYFRAME_INTERVAL);
            let pace = self.pace.as_secs_f64();
            self.pace = match self.pace.is_zero() {
                true => step,
                // What was before it paused says nothing.
                false if paused => Duration::ZERO,
                false => Duration::from_secs_f64(pace + (step.as_secs_f64() - pace) * PACE_STEP),
            };
        }
        self.picture = Some((timestamp, now));
    }

    /// Pictures a second that come now, fewer where the next one is long overdue; None until that is
    /// known.
    pub(crate) fn fps_now(&self, now: Instant) -> Option<f64> {
        let (_, at) = self.picture.filter(|_| !self.pace.is_zero())?;
        let overdue = now.saturating_duration_since(at) / OVERDUE;
        Some(1.0 / self.pace.max(overdue).as_secs_f64())
    }

    /// Pictures a second that come, 0 until that is known.
    pub(crate) fn fps(&self) -> f64 {
        let pace = self.pace.as_secs_f64();
        if pace > 0.0 { 1.0 / pace } else { 0.0 }
    }

    /// The time that a keyframe is given to come.
    pub(crate) fn keyframe_interval(&self) -> Duration {
        let pictures = self.pace * KEYFRAME_PICTURES;
        let least = match self.broken {
            true => MENDING_INTERVAL,
            false => KEYFRAME_INTERVAL,
        };
        pictures.clamp(least, MAX_KEYFRAME_INTERVAL)
    }

    /// It misses something that a publisher of this worker did not send again.
    pub(crate) fn broken(&self) -> bool {
        self.broken
    }

    /// A keyframe came: who asked for one before has it now.
    pub(crate) fn keyframe_came(&mut self) {
        self.keyframe_due = false;
    }

    /// Whether packets may be expected: they come, or it was only just asked for.
    pub(crate) fn alive(&self, now: Instant, local: bool) -> bool {
        let recent =
            |t: Option<Instant>| t.is_some_and(|t| now.saturating_duration_since(t) < ALIVE);
        recent(self.last_packet)
            || (!local && (self.wanted_since.is_none() || recent(self.wanted_since)))
    }

    /// Note that somebody needs a keyframe.
    pub(crate) fn need_keyframe(&mut self) {
        self.keyframe_due = true;
    }

    /// Whether to ask for one now; if it is too soon, it stays due.
    pub(crate) fn take_keyframe_request(&mut self, now: Instant) -> bool {
        let rested = self
            .keyframe_asked
            .is_none_or(|t| now.saturating_duration_since(t) >= self.keyframe_interval());
        if self.keyframe_due && rested {
            self.keyframe_due = false;
            self.keyframe_asked = Some(now);
            return true;
        }
        false
    }

    pub(crate) fn keyframe_deadline(&self) -> Option<Instant> {
        match (self.keyframe_due, self.keyframe_asked) {
            (true, Some(t)) => Some(t + self.keyframe_interval()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn a_slow_stream_keeps_its_pace_and_one_that_paused_begins_anew() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut screen = Stream::new(TrackKey::default(), now);
        for n in 0..5u32 {
            screen.keep_pace(now + ms(2_000) * n, n);
        }
        assert_eq!(screen.keyframe_interval(), MAX_KEYFRAME_INTERVAL);
        let mut camera = Stream::new(TrackKey::default(), now);
        for n in 0..20u32 {
            camera.keep_pace(now + ms(50) * n, n);
        }
        let back = now + ms(9_000);
        camera.keep_pace(back, 20);
        assert_eq!(camera.fps_now(back), None);
        camera.keep_pace(back + ms(50), 21);
        assert_eq!(camera.fps_now(back + ms(50)), Some(20.0));
    }

    #[test]
    fn a_keyframe_that_comes_settles_what_was_asked_too_soon() {
        let now = Instant::now();
        let mut stream = Stream::new(TrackKey::default(), now);
        stream.need_keyframe();
        assert!(stream.take_keyframe_request(now));
        stream.need_keyframe();
        assert!(!stream.take_keyframe_request(now + KEYFRAME_INTERVAL / 2));
        assert_eq!(stream.keyframe_deadline(), Some(now + KEYFRAME_INTERVAL));
        stream.keyframe_came();
        assert_eq!(stream.keyframe_deadline(), None);
        assert!(!stream.take_keyframe_request(now + KEYFRAME_INTERVAL));
    }
}
