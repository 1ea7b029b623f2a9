//! One who watches and listens: which frames can be shown when, and what is heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use str0m::media::KeyframeRequestKind;
use wire::red_blocks;

use super::film::{Film, Piece};
use crate::common::World;

/// libwebrtc asks for a keyframe when nothing could be decoded for so long, and again so often.
const PATIENCE: Duration = Duration::from_secs(3);
const AT_FIRST: Duration = Duration::from_millis(200);
/// A gap between frames that a person notices.
pub const STALL: Duration = Duration::from_millis(500);
/// Frames that wait for an earlier one; libwebrtc's frame buffer holds as many.
const BUFFER: usize = 800;

#[derive(Default)]
struct Frame {
    key: bool,
    upper: bool,
    of: u16,
    parts: BTreeSet<u16>,
}

/// A frame that could be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub at: Instant,
    pub layer: u8,
    /// Since it was taken.
    pub took: Duration,
}

pub struct Viewer {
    pub client: usize,
    /// Some frames are of a second temporal layer.
    temporal: bool,
    /// By number and layer: numbers are those of the camera, the same in all layers.
    frames: BTreeMap<(u64, u8), Frame>,
    last: Option<(u64, u8)>,
    /// The last of the base layer, on which others follow.
    base: Option<(u64, u8)>,
    asked: Option<Instant>,
    pub shown: Vec<Shown>,
    pub heard: BTreeMap<u64, Duration>,
    pub keyframes_asked: u64,
}

impl Viewer {
    pub fn new(client: usize, temporal: bool) -> Viewer {
        Viewer {
            client,
            temporal,
            frames: BTreeMap::new(),
            last: None,
            base: None,
            asked: None,
            shown: vec![],
            heard: BTreeMap::new(),
            keyframes_asked: 0,
        }
    }

    /// Take what came; ask for a keyframe where libwebrtc would.
    pub fn run(&mut self, world: &mut World, film: &Film) {
        let now = world.now;
        let red = *world.red(self.client);
        let video = world.clients[self.client].mids[0];
        for packet in std::mem::take(&mut world.clients[self.client].packets) {
            let pt = *packet.header.payload_type;
            let sound = *world.pt(self.client, str0m::format::Codec::Opus);
            if pt == red {
                let blocks = red_blocks(&packet.payload).unwrap();
                blocks
                    .iter()
                    .for_each(|block| self.hear(now, film, block.bytes));
            } else if pt == sound {
                self.hear(now, film, &packet.payload);
            } else if let Some(piece) = Piece::read(&packet.payload) {
                let frame = self.frames.entry((piece.frame, piece.layer)).or_default();
                (frame.key, frame.upper) = (piece.key, piece.upper);
                frame.of = piece.of;
                frame.parts.insert(piece.index);
            }
        }
        self.show(now, film);
        while self.frames.len() > BUFFER {
            self.frames.pop_first();
        }
        let patience = if self.last.is_none() {
            AT_FIRST
        } else {
            PATIENCE
        };
        let since = self.shown.last().map(|s| s.at).max(self.asked);
        let waiting = since.is_none_or(|at| now > at + patience);
        if waiting && (self.last.is_some() || !self.frames.is_empty()) {
            self.asked = Some(now);
            self.keyframes_asked += 1;
            let mut api = world.clients[self.client].rtc.direct_api();
            if let Some(rx) = api.stream_rx_by_mid(video, None) {
                rx.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    fn hear(&mut self, now: Instant, film: &Film, bytes: &[u8]) {
        let Some(number) = bytes.first_chunk::<8>().map(|n| u64::from_be_bytes(*n)) else {
            return;
        };
        let took = now.saturating_duration_since(film.sound_at(number));
        self.heard.entry(number).or_insert(took);
    }

    fn show(&mut self, now: Instant, film: &Film) {
        while let Some(next) = self.next() {
            self.last = Some(next);
            if self.frames.get(&next).is_some_and(|frame| !frame.upper) {
                self.base = Some(next);
            }
            self.shown.push(Shown {
                at: now,
                layer: next.1,
                took: now.saturating_duration_since(film.frame_at(next.0)),
            });
            self.frames.retain(|(number, _), _| *number > next.0);
        }
    }

    /// The next frame that can be decoded: one that follows on the base, or a keyframe.
    fn next(&self) -> Option<(u64, u8)> {
        let complete = |frame: &Frame| frame.parts.len() == usize::from(frame.of);
        let (base, layer) = self.base.unwrap_or((u64::MAX, 0));
        let follows = |(number, of): (u64, u8)| {
            // With temporal layers the base comes every other frame.
            let every = if self.temporal { 1..=2 } else { 1..=1 };
            of == layer && every.contains(&number.wrapping_sub(base))
        };
        let decodable = |(name, frame): &(&(u64, u8), &Frame)| {
            complete(frame) && (frame.key || follows(**name))
        };
        self.frames.iter().find(decodable).map(|(name, _)| *name)
    }
}
