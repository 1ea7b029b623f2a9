//! One publisher and many subscribers in virtual time, with their feedback: what a forwarded packet
//! costs. `bench/instructions.py` counts it in instructions, with callgrind: those of
//! `counted_input` alone. Arguments: audio or video, subscribers, frames.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unreachable_pub
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Network, Part, World};
use sfu::{Input, Kind, Layer, Output, Sfu, Side, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use wire::{RoomKey, StreamId};

/// Bytes of each packet of a frame, as the load client sends them: 64 kb/s of sound, 1.2 Mb/s of
/// pictures, a keyframe first.
const SOUND: [usize; 1] = [160];
const PICTURE: [usize; 5] = [1_100, 1_100, 1_100, 1_100, 600];
/// Frames before those that count: estimates settle, what is grown once has grown.
const SETTLING: u64 = 100;

/// Between a client and the SFU: str0m looks at its estimate at least once a round trip.
const DELAY: Duration = Duration::from_millis(20);

/// What is said of a call.
struct Call {
    kind: Kind,
    media: MediaKind,
    codec: Codec,
    sizes: &'static [usize],
    /// From frame to frame, and in ticks of the RTP clock.
    pace: Duration,
    ticks: u32,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let video = words.first().is_some_and(|word| word == "video");
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (subscribers, frames) = (number(1).unwrap_or(50), number(2).unwrap_or(100));
    let call = match video {
        true => Call {
            kind: Kind::Video,
            media: MediaKind::Video,
            codec: Codec::Vp8,
            sizes: &PICTURE,
            pace: Duration::from_millis(30),
            ticks: 2_700,
        },
        false => Call {
            kind: Kind::Audio,
            media: MediaKind::Audio,
            codec: Codec::Opus,
            sizes: &SOUND,
            pace: Duration::from_millis(20),
            ticks: 960,
        },
    };
    let mut world = World::new();
    world.network = Some(Rc::new(RefCell::new(Way::default())));
    let ann = join(&mut world, &call, subscribers);
    speak(&mut world, &call, ann, 0..SETTLING);
    world.handle = timed_input;
    let before = world.forwarded;
    speak(&mut world, &call, ann, SETTLING..SETTLING + frames);
    let forwarded = world.forwarded - before;
    let packets = frames * call.sizes.len() as u64;
    let each = TOOK.get().as_nanos() / u128::from(forwarded.max(1));
    println!("{{\"published\": {packets}, \"forwarded\": {forwarded}, \"ns_each\": {each}}}");
}

/// Everyone joins and subscribes. Returns the publisher.
fn join(world: &mut World, call: &Call, subscribers: u64) -> usize {
    let ann = world.join(1, &[(call.media, Direction::SendOnly)]);
    world.input(Input::AddTrack(TrackInfo {
        sid: "TR".into(),
        room: RoomKey([1; 16]),
        kind: call.kind,
        layers: vec![Layer {
            stream: StreamId(10),
            rid: None,
            quality: 2,
        }],
        publisher: Some(world.clients[ann].id),
        red: false,
    }));
    let mid = world.clients[ann].mids[0].to_string();
    world.input(Input::Publish {
        participant: world.clients[ann].id,
        mid: &mid,
        track: "TR",
    });
    for _ in 0..subscribers {
        let other = world.join(1, &[(call.media, Direction::RecvOnly)]);
        let mid = world.clients[other].mids[0].to_string();
        world.input(Input::Subscribe {
            participant: world.clients[other].id,
            side: Side::Publisher,
            mid: &mid,
            track: "TR",
        });
    }
    ann
}

fn speak(world: &mut World, call: &Call, ann: usize, frames: std::ops::Range<u64>) {
    let pt = world.pt(ann, call.codec);
    let packets = call.sizes.len() as u64;
    for frame in frames {
        for (sequence, &size) in (1_000 + frame * packets..).zip(call.sizes) {
            let first = sequence == 1_000 + frame * packets;
            let payload = match call.kind {
                Kind::Video => vp8(frame as u16, first, size),
                Kind::Audio => vec![0xfc; size],
            };
            let part = Part {
                sequence,
                timestamp: frame as u32 * call.ticks,
                marker: sequence == 999 + (frame + 1) * packets,
                payload: &payload,
            };
            world.send_picture(ann, None, pt, &part);
        }
        world.run(call.pace);
    }
}

/// A path that only takes time.
#[derive(Default)]
struct Way(VecDeque<(Instant, usize, bool, Vec<u8>)>);

impl Network for Way {
    fn carry(&mut self, now: Instant, client: usize, toward: bool, bytes: &[u8]) -> bool {
        let datagram = (now + DELAY, client, toward, bytes.to_vec());
        self.0.push_back(datagram);
        true
    }

    fn arrived(&mut self, now: Instant) -> Vec<(usize, bool, Vec<u8>)> {
        let count = self.0.partition_point(|datagram| datagram.0 <= now);
        let came = self.0.drain(..count);
        came.map(|(_, client, toward, bytes)| (client, toward, bytes))
            .collect()
    }
}

/// X, S, partition 0 | I | 15-bit picture id | frame header (RFC 7741 section 4.2).
fn vp8(picture: u16, first: bool, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size];
    payload[0] = if first { 0x90 } else { 0x80 };
    payload[1] = 0x80;
    payload[2..4].copy_from_slice(&(0x8000 | picture).to_be_bytes());
    payload[4] = u8::from(picture > 0);
    payload
}

thread_local! {
    /// What the counted calls took in real time.
    static TOOK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn timed_input(sfu: &mut Sfu, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
    let begun = Instant::now();
    counted_input(sfu, now, input, out);
    TOOK.set(TOOK.get() + begun.elapsed());
}

/// What is counted.
#[inline(never)]
fn counted_input(sfu: &mut Sfu, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
    sfu.handle(now, input, out);
}
