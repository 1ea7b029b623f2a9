//! A camera with three simulcast layers and a microphone, as a client of str0m's sends them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::format::Codec;

use crate::common::World;

pub const RIDS: [&str; 3] = ["q", "h", "f"];
pub const FRAME: Duration = Duration::from_millis(50);
const PACKET: usize = 1_100;
/// Encoders spread a frame over two fifths of its time (libwebrtc paces at 2.5 times the rate).
const SPREAD: Duration = Duration::from_millis(20);
const SOUND: Duration = Duration::from_millis(20);
const SOUND_BYTES: usize = 80;

/// What the encoders make of what the camera sees.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    /// Bits a second of each layer.
    pub rates: [u64; 3],
    /// A keyframe is so many times a frame's size; what it takes too much, later frames give back.
    pub keyframe: f64,
    /// Every other frame is of a second temporal layer, and takes this share of the bits.
    pub upper: Option<f64>,
}

/// What LiveKit's clients are set to by default.
pub const ORDINARY: Camera = Camera {
    rates: [150_000, 450_000, 1_500_000],
    keyframe: 4.0,
    upper: None,
};

/// What libwebrtc made of the field lab's pictures, in which much is new each time.
pub const BUSY: Camera = Camera {
    rates: [270_000, 800_000, 1_500_000],
    keyframe: 7.0,
    upper: Some(0.35),
};

/// What is sent by one client.
pub struct Film {
    camera: Camera,
    client: usize,
    started: Instant,
    frames: u64,
    sounds: u64,
    layers: [Layer; 3],
    waiting: VecDeque<(Instant, usize, Vec<u8>)>,
    rng: fastrand::Rng,
    pub keyframes: [u64; 3],
}

#[derive(Default)]
struct Layer {
    sequence: u64,
    wants_key: bool,
    debt: f64,
}

/// What a packet of the film says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub layer: u8,
    /// Its temporal layer.
    pub upper: bool,
    pub key: bool,
    pub frame: u64,
    pub index: u16,
    pub of: u16,
}

impl Piece {
    fn write(self, size: usize) -> Vec<u8> {
        let first = self.index == 0;
        let picture = (self.frame as u16 & 0x7fff) | 0x8000;
        let mut bytes = vec![if first { 0x90 } else { 0x80 }, 0xa0];
        bytes.extend(picture.to_be_bytes());
        // RFC 7741 section 4.2: TID, and Y: it may be decoded after the base layer alone.
        bytes.push(if self.upper { 0x60 } else { 0 });
        bytes.push(u8::from(!self.key));
        bytes.extend([self.layer, u8::from(self.key)]);
        bytes.extend(self.frame.to_be_bytes());
        bytes.extend(self.index.to_be_bytes());
        bytes.extend(self.of.to_be_bytes());
        bytes.resize(size.max(bytes.len()), 0);
        bytes
    }

    pub fn read(bytes: &[u8]) -> Option<Piece> {
        let rest = bytes.get(6..)?;
        let upper = *bytes.get(4)? != 0;
        Some(Piece {
            layer: *rest.first()?,
            upper,
            key: *rest.get(1)? != 0,
            frame: u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?),
            index: u16::from_be_bytes(rest.get(10..12)?.try_into().ok()?),
            of: u16::from_be_bytes(rest.get(12..14)?.try_into().ok()?),
        })
    }
}

impl Film {
    /// The camera is the client's m-line 0, the microphone its m-line 1.
    pub fn new(world: &World, client: usize, seed: u64, camera: Camera) -> Film {
        Film {
            camera,
            client,
            started: world.now,
            frames: 0,
            sounds: 0,
            layers: std::array::from_fn(|i| Layer {
                sequence: 5_000 * (i as u64 + 1),
                wants_key: true,
                debt: 0.0,
            }),
            waiting: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
            keyframes: [0; 3],
        }
    }

    /// When frame or sound of a number was taken.
    pub fn frame_at(&self, number: u64) -> Instant {
        self.started + FRAME * number as u32
    }

    pub fn sound_at(&self, number: u64) -> Instant {
        self.started + SOUND * number as u32
    }

    pub fn sounds(&self) -> u64 {
        self.sounds
    }

    /// Send what is due.
    pub fn run(&mut self, world: &mut World) {
        for request in std::mem::take(&mut world.clients[self.client].keyframe_requests) {
            let asked = |rid: &&str| request.rid.is_none_or(|r| *r == **rid);
            for (layer, _) in RIDS.iter().enumerate().filter(|(_, rid)| asked(rid)) {
                self.layers[layer].wants_key = true;
            }
        }
        while self.frame_at(self.frames) <= world.now {
            for layer in 0..RIDS.len() {
                self.take_picture(layer, world.now);
            }
            self.frames += 1;
            self.waiting.make_contiguous().sort_by_key(|(at, ..)| *at);
        }
        let video = world.pt(self.client, Codec::Vp8);
        while self
            .waiting
            .front()
            .is_some_and(|(at, ..)| *at <= world.now)
        {
            let Some((_, layer, payload)) = self.waiting.pop_front() else {
                break;
            };
            let sequence = self.layers[layer].sequence;
            self.layers[layer].sequence += 1;
            let rid = Some(RIDS[layer]);
            world.send_layer(self.client, 0, rid, video, sequence, &payload);
        }
        let sound = world.pt(self.client, Codec::Opus);
        while self.sound_at(self.sounds) <= world.now {
            let mut payload = self.sounds.to_be_bytes().to_vec();
            payload.resize(SOUND_BYTES, 0);
            world.send(self.client, 1, sound, 1_000 + self.sounds, &payload);
            self.sounds += 1;
        }
    }

    fn take_picture(&mut self, layer: usize, now: Instant) {
        let Camera {
            rates,
            keyframe,
            upper,
        } = self.camera;
        let state = &mut self.layers[layer];
        let key = std::mem::take(&mut state.wants_key);
        let above = upper.filter(|_| self.frames % 2 == 1 && !key);
        let share = upper.map_or(1.0, |upper| 2.0 * above.unwrap_or(1.0 - upper));
        let usual = rates[layer] as f64 / 8.0 * FRAME.as_secs_f64() * share;
        let spread = 0.85 + 0.3 * self.rng.f64();
        let size = if key {
            self.keyframes[layer] += 1;
            state.debt += (keyframe - 1.0) * usual;
            keyframe * usual
        } else {
            let paid = state.debt.min(0.3 * usual);
            state.debt -= paid;
            usual * spread - paid
        };
        let of = (size / PACKET as f64).ceil().max(1.0) as u16;
        for index in 0..of {
            let piece = Piece {
                layer: layer as u8,
                upper: above.is_some(),
                key,
                frame: self.frames,
                index,
                of,
            };
            let payload = piece.write((size / f64::from(of)) as usize);
            let at = now + SPREAD.mul_f64(f64::from(index) / f64::from(of));
            self.waiting.push_back((at, layer, payload));
        }
    }
}
