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
    /// By number and layer: numbers are those of the camera, the same in all layers.
    frames: BTreeMap<(u64, u8), Frame>,
    last: Option<(u64, u8)>,
    asked: Option<Instant>,
    pub shown: Vec<Shown>,
    pub heard: BTreeMap<u64, Duration>,
    pub keyframes_asked: u64,
}

impl Viewer {
    pub fn new(client: usize) -> Viewer {
        Viewer {
            client,
            frames: BTreeMap::new(),
            last: None,
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
                frame.key = piece.key;
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
            self.shown.push(Shown {
                at: now,
                layer: next.1,
                took: now.saturating_duration_since(film.frame_at(next.0)),
            });
            self.frames.retain(|(number, _), _| *number > next.0);
        }
    }

    /// The next frame that can be decoded: the one after the last, or a keyframe.
    fn next(&self) -> Option<(u64, u8)> {
        let complete = |frame: &Frame| frame.parts.len() == usize::from(frame.of);
        let follows = self.last.map(|(number, layer)| (number + 1, layer));
        let decodable = |(name, frame): &(&(u64, u8), &Frame)| {
            complete(frame) && (frame.key || Some(**name) == follows)
        };
        self.frames.iter().find(decodable).map(|(name, _)| *name)
    }
}
