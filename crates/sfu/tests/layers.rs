//! Which layer each viewer gets, as its bandwidth changes: temporal ones go first, a pause is the
//! last, and nobody's picture depends on another's link.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Part, World, subscribe};
use sfu::{Input, Kind, Layer, Output, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Rid};
use wire::{RoomKey, StreamId};

const SHOW: (MediaKind, Direction) = (MediaKind::Video, Direction::SendOnly);
const SEE: (MediaKind, Direction) = (MediaKind::Video, Direction::RecvOnly);
const RIDS: [&str; 3] = ["q", "h", "f"];
/// Packets of one picture of each layer: 50, 200 and 600 kbit/s at 25 pictures a second.
const PACKETS: [(usize, usize); 3] = [(1, 250), (1, 1_000), (3, 1_000)];
const PICTURE: Duration = Duration::from_millis(40);

/// One who shows three layers of VP8 with three temporal layers each, keyframes on request alone.
struct Film {
    who: usize,
    picture: u64,
    sequences: [u64; 3],
    /// When a keyframe of each layer is due.
    keyframes: [Option<u64>; 3],
    asked: usize,
    /// Pictures from a request to its keyframe: the way there and back, and the encoder.
    delay: u64,
    layers: Vec<usize>,
}

impl Film {
    fn new(world: &mut World) -> Self {
        let who = world.join_with(1, &[SHOW], &RIDS);
        let layers = RIDS.iter().enumerate().map(|(i, rid)| Layer {
            stream: StreamId(10 + i as u64),
            rid: Some((*rid).into()),
            quality: i as u8,
        });
        world.input(Input::AddTrack(TrackInfo {
            sid: "TR_v".into(),
            room: RoomKey([1; 16]),
            kind: Kind::Video,
            layers: layers.collect(),
            publisher: Some(world.clients[who].id),
            red: true,
        }));
        let mid = world.clients[who].mids[0].to_string();
        world.input(Input::Publish {
            participant: world.clients[who].id,
            mid: &mid,
            track: "TR_v",
        });
        Self {
            who,
            picture: 0,
            sequences: [1_000, 20_000, 40_000],
            keyframes: [Some(0); 3],
            asked: 0,
            delay: 4,
            layers: vec![0, 1, 2],
        }
    }

    fn run(&mut self, world: &mut World, duration: Duration) {
        let mut left = duration;
        while left >= PICTURE {
            self.shoot(world);
            world.run(PICTURE);
            left -= PICTURE;
        }
    }

    fn shoot(&mut self, world: &mut World) {
        let requests = &world.clients[self.who].keyframe_requests[self.asked..];
        for request in requests {
            let layer = RIDS.iter().position(|r| request.rid == Some(Rid::from(*r)));
            self.keyframes[layer.unwrap()].get_or_insert(self.picture + self.delay);
        }
        self.asked += requests.len();
        let pt = world.pt(self.who, Codec::Vp8);
        for layer in self.layers.clone() {
            let key = self.keyframes[layer].take_if(|due| *due <= self.picture);
            let (packets, bytes) = PACKETS[layer];
            for n in 0..packets {
                let payload = self.payload(layer, key.is_some(), n == 0, bytes);
                let part = Part {
                    sequence: self.sequences[layer],
                    timestamp: (self.picture * 3_600) as u32,
                    marker: n + 1 == packets,
                    payload: &payload,
                };
                world.send_picture(self.who, Some(RIDS[layer]), pt, &part);
                self.sequences[layer] += 1;
            }
        }
        self.picture += 1;
    }

    /// X, S | I, L, T | 15-bit id | TL0PICIDX | TID, Y | frame header | layer, picture
    fn payload(&self, layer: usize, key: bool, first: bool, bytes: usize) -> Vec<u8> {
        let phase = if key { 0 } else { self.picture as usize % 4 };
        let (temporal, sync) = [(0u8, false), (2, true), (1, true), (2, false)][phase];
        let [high, low] = (0x8000 | self.picture as u16).to_be_bytes();
        let tl0 = (self.picture / 4) as u8;
        let begins = if first { 0x90 } else { 0x80 };
        let octet = temporal << 6 | u8::from(sync) << 5;
        let mut payload = vec![begins, 0xe0, high, low, tl0, octet, u8::from(!key)];
        payload.extend([layer as u8, self.picture as u8]);
        payload.resize(bytes, 0);
        payload
    }
}

/// A viewer who subscribes at once.
fn viewer(world: &mut World) -> usize {
    let at = world.join(1, &[SEE]);
    subscribe(world, at, 0, "TR_v");
    at
}

fn quality(world: &mut World, viewer: usize, quality: u8) {
    ask(world, viewer, quality, 0);
}

fn ask(world: &mut World, viewer: usize, quality: u8, fps: u8) {
    world.input(Input::SetQuality {
        participant: world.clients[viewer].id,
        track: "TR_v",
        quality: Some(quality),
        priority: 0,
        fps,
    });
}

/// (layer, temporal layer) of the packets since then.
fn seen(world: &World, viewer: usize, since: usize) -> Vec<(u8, u8)> {
    let packets = &world.clients[viewer].packets[since..];
    packets
        .iter()
        .map(|p| (p.payload[7], p.payload[5] >> 6))
        .collect()
}

fn layers(world: &World, viewer: usize, since: usize) -> Vec<u8> {
    let mut layers: Vec<u8> = seen(world, viewer, since).iter().map(|s| s.0).collect();
    layers.dedup();
    layers
}

fn temporal(world: &World, viewer: usize, since: usize) -> Vec<u8> {
    let mut temporal: Vec<u8> = seen(world, viewer, since).iter().map(|s| s.1).collect();
    temporal.sort_unstable();
    temporal.dedup();
    temporal
}

fn count(world: &World, viewer: usize) -> usize {
    world.clients[viewer].packets.len()
}

fn seamless(world: &World, viewer: usize) {
    let mut packets: Vec<_> = world.clients[viewer].packets.iter().collect();
    packets.sort_by_key(|p| *p.seq_no);
    let id = |p: &str0m::rtp::RtpPacket| u16::from_be_bytes([p.payload[2], p.payload[3]]) & 0x7fff;
    for pair in packets.windows(2) {
        assert_eq!(*pair[1].seq_no, *pair[0].seq_no + 1, "no packet is missed");
        let ahead = id(pair[1]).wrapping_sub(id(pair[0])) & 0x7fff;
        assert!(ahead <= 1, "no picture is missed");
    }
}

/// What the publisher's node was told is needed, oldest first.
fn wanted(world: &World) -> Vec<Option<u8>> {
    let of = |e: &Output| match e {
        Output::TrackWanted { quality, .. } => Some(*quality),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

fn world() -> World {
    World {
        feedback: false,
        ..World::new()
    }
}

const S: Duration = Duration::from_secs(1);

#[test]
fn temporal_layers_go_first_and_nothing_shows() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    let bob = viewer(&mut w);
    film.run(&mut w, 3 * S);
    assert_eq!(seen(&w, bob, 0).last().unwrap().0, 2);
    let before = count(&w, bob);
    w.estimate(bob, 600_000);
    film.run(&mut w, 2 * S);
    assert_eq!(layers(&w, bob, before), [2], "still the large picture");
    assert_eq!(temporal(&w, bob, before + 10), [0, 1], "of fewer pictures");
    let before = count(&w, bob);
    w.estimate(bob, 130_000);
    film.run(&mut w, 2 * S);
    assert_eq!(
        seen(&w, bob, before).last().unwrap().0,
        1,
        "then the smaller one"
    );
    let before = count(&w, bob);
    w.estimate(bob, 2_000_000);
    film.run(&mut w, S);
    assert_eq!(
        *layers(&w, bob, before).last().unwrap(),
        1,
        "room has to last"
    );
    film.run(&mut w, 3 * S);
    assert_eq!(*layers(&w, bob, before).last().unwrap(), 2);
    assert_eq!(temporal(&w, bob, count(&w, bob) - 30), [0, 1, 2]);
    seamless(&w, bob);
}

#[test]
fn an_estimate_that_wavers_changes_the_picture_a_few_times_in_a_minute() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    let bob = viewer(&mut w);
    film.run(&mut w, 2 * S);
    // The whole picture needs some 600 kbit/s; the estimate goes by it each second.
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..60 {
        w.estimate(bob, 400_000 + random.u64(..500_000));
        film.run(&mut w, S);
    }
    let mut shown = seen(&w, bob, 0);
    shown.dedup_by_key(|s| s.0);
    assert!(shown.len() <= 8, "{} layers shown in a minute", shown.len());
    seamless(&w, bob);
}

#[test]
fn who_asks_for_fewer_pictures_gets_fewer_of_the_same_size() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    let (bob, eve) = (viewer(&mut w), viewer(&mut w));
    film.run(&mut w, 3 * S);
    let (all, fewer) = (
        [0, 1, 2],
        [(12, 2), (6, 1), (1, 1), (13, 2), (20, 3), (0, 3)],
    );
    for (fps, layers_of_time) in fewer {
        ask(&mut w, bob, 2, fps);
        film.run(&mut w, 4 * S);
        let (bobs, eves) = (count(&w, bob), count(&w, eve));
        film.run(&mut w, 2 * S);
        assert_eq!(
            temporal(&w, bob, bobs),
            all[..layers_of_time],
            "{fps} a second"
        );
        assert_eq!(layers(&w, bob, bobs), [2], "{fps} a second");
        assert_eq!(temporal(&w, eve, eves), all);
    }
    seamless(&w, bob);
}

#[test]
fn one_weak_viewer_lowers_nobody_else() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    let (weak, strong) = (viewer(&mut w), viewer(&mut w));
    film.run(&mut w, 2 * S);
    w.estimate(weak, 40_000);
    let (of_weak, of_strong) = (count(&w, weak), count(&w, strong));
    film.run(&mut w, 8 * S);
    assert_eq!(seen(&w, weak, of_weak).last().unwrap().0, 0);
    assert_eq!(layers(&w, strong, of_strong), [2]);
    assert_eq!(count(&w, strong) - of_strong, 8 * 25 * 3, "every packet");
    assert_eq!(
        *wanted(&w).last().unwrap(),
        Some(2),
        "the publisher goes on with all"
    );
}

#[test]
fn the_publisher_hears_what_anybody_needs_and_what_it_sends_beyond_goes_nowhere() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    assert_eq!(wanted(&w), [None], "nobody is there");
    let bob = viewer(&mut w);
    film.run(&mut w, 2 * S);
    assert_eq!(*wanted(&w).last().unwrap(), Some(2));
    quality(&mut w, bob, 0);
    assert_eq!(*wanted(&w).last().unwrap(), Some(0));
    film.run(&mut w, S);
    // It ignores that: all layers go on.
    let before = count(&w, bob);
    film.run(&mut w, 3 * S);
    assert_eq!(layers(&w, bob, before), [0]);
    let elsewhere = StreamId(11);
    for expected in [true, false] {
        w.input(Input::Wanted {
            stream: elsewhere,
            wanted: expected,
        });
        assert_eq!(*wanted(&w).last().unwrap(), Some(u8::from(expected)));
    }
    // A layer that is not sent is needed all the same, and shown when it comes.
    film.layers = vec![0, 1];
    film.run(&mut w, 3 * S);
    quality(&mut w, bob, 2);
    film.run(&mut w, S);
    assert_eq!(*wanted(&w).last().unwrap(), Some(2));
    assert_eq!(seen(&w, bob, 0).last().unwrap().0, 1);
    film.layers = vec![0, 1, 2];
    film.keyframes[2] = Some(film.picture);
    film.run(&mut w, 3 * S);
    assert_eq!(seen(&w, bob, 0).last().unwrap().0, 2);
    w.input(Input::Unsubscribe {
        participant: w.clients[bob].id,
        track: "TR_v",
    });
    assert_eq!(*wanted(&w).last().unwrap(), None);
}

#[test]
fn below_the_floor_the_picture_pauses_and_who_takes_that_is_told() {
    for told in [true, false] {
        let mut w = World {
            allow_pause: told,
            ..world()
        };
        let mut film = Film::new(&mut w);
        let bob = viewer(&mut w);
        film.run(&mut w, 2 * S);
        let states = |w: &World| -> Vec<bool> {
            let of = |e: &Output| match e {
                Output::StreamState { paused, .. } => Some(*paused),
                _ => None,
            };
            w.events.iter().filter_map(of).collect()
        };
        // Less than the base layer of the smallest picture needs, and then next to nothing.
        w.estimate(bob, 8_000);
        film.run(&mut w, S);
        let before = count(&w, bob);
        film.run(&mut w, 2 * S);
        assert_eq!(
            count(&w, bob) == before,
            told,
            "the lowest layer stays if nobody is told"
        );
        w.estimate(bob, 4_000);
        film.run(&mut w, S);
        let before = count(&w, bob);
        film.run(&mut w, 3 * S);
        assert_eq!(count(&w, bob), before, "speech has what there is");
        w.estimate(bob, 1_000_000);
        film.run(&mut w, 5 * S);
        assert!(count(&w, bob) > before);
        assert_eq!(states(&w), if told { vec![true, false] } else { vec![] });
        seamless(&w, bob);
    }
}

/// Time until a joiner's first packet, and the keyframes asked for, of viewers who come one after
/// the other; `kept`: whether what was kept may serve them.
fn joins(kept: bool) -> (Vec<Duration>, u64) {
    let mut w = world();
    let mut film = Film::new(&mut w);
    film.layers = vec![1];
    let first = viewer(&mut w);
    film.run(&mut w, 2 * S);
    if !kept {
        // So long after a keyframe nothing is kept any more.
        film.run(&mut w, 12 * S);
    }
    let before = w.count("keyframes_asked");
    let mut waits = Vec::new();
    for _ in 0..4 {
        let at = w.join(1, &[SEE]);
        film.run(&mut w, S);
        subscribe(&mut w, at, 0, "TR_v");
        let asked = w.now;
        while count(&w, at) == 0 {
            film.run(&mut w, PICTURE);
            assert!(w.now - asked < 3 * S, "a picture comes");
        }
        waits.push(w.now - asked);
        if !kept {
            film.run(&mut w, 12 * S);
        }
        seamless(&w, at);
    }
    assert!(count(&w, first) > 0);
    (waits, w.count("keyframes_asked") - before)
}

#[test]
fn who_joins_sees_a_picture_at_once_and_the_publisher_is_spared() {
    let (with, asked_with) = joins(true);
    let (without, asked_without) = joins(false);
    println!("with {with:?} {asked_with}, without {without:?} {asked_without}");
    assert!(with.iter().all(|wait| *wait <= PICTURE), "{with:?}");
    assert!(
        without.iter().all(|wait| *wait >= 4 * PICTURE),
        "{without:?}"
    );
    assert_eq!((asked_with, asked_without), (0, 4));
}

#[test]
fn what_was_kept_goes_out_no_faster_than_the_link_takes_it() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    film.layers = vec![1];
    viewer(&mut w);
    film.run(&mut w, 3 * S);
    let late = w.join(1, &[SEE]);
    w.estimate(late, 1_000_000);
    film.run(&mut w, S);
    subscribe(&mut w, late, 0, "TR_v");
    let begun = w.now;
    let mut last = 0;
    // Of four seconds, base layer alone: 25 packets, 100 kbit. Ten a tenth of a second at most.
    for _ in 0..20 {
        w.run(Duration::from_millis(20));
        let n = count(&w, late);
        assert!(n - last <= 3, "{} packets in 20 ms", n - last);
        last = n;
    }
    assert!(last >= 20, "{last} after {:?}", w.now - begun);
    film.run(&mut w, S);
    seamless(&w, late);
}

#[test]
fn a_lost_picture_is_repaired_from_what_was_kept_once() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    let bob = viewer(&mut w);
    film.run(&mut w, S);
    let request = |w: &mut World| {
        let mid = w.clients[bob].mids[0];
        let mut api = w.clients[bob].rtc.direct_api();
        let rx = api.stream_rx_by_mid(mid, None).unwrap();
        rx.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
        w.run(Duration::from_millis(20));
    };
    let before = w.count("keyframes_asked");
    request(&mut w);
    assert_eq!(
        (w.count("keyframe_requests"), w.count("keyframes_asked")),
        (1, before)
    );
    film.run(&mut w, S);
    request(&mut w);
    assert_eq!(
        w.count("keyframes_asked"),
        before + 1,
        "the same again would help nobody"
    );
    // A flood is asked for once in half a second.
    let before = w.count("keyframes_asked");
    for _ in 0..100 {
        request(&mut w);
    }
    let asked = w.count("keyframes_asked") - before;
    assert!(asked <= 5, "{asked} in two seconds");
    seamless(&w, bob);
}

#[test]
fn asking_for_what_never_was_brings_nothing() {
    let mut w = world();
    let mut film = Film::new(&mut w);
    film.layers = vec![0];
    let bob = viewer(&mut w);
    film.run(&mut w, S);
    let before = count(&w, bob);
    for _ in 0..100 {
        // A number that is never sent: the viewer asks for it, and the server its publisher.
        film.sequences[0] += 1;
        film.run(&mut w, PICTURE);
    }
    w.run(S);
    let packets = &w.clients[bob].packets[before..];
    let mut numbers: Vec<u64> = packets.iter().map(|p| *p.seq_no).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((packets.len(), numbers.len()), (100, 100));
    assert_eq!(numbers[99] - numbers[0], 2 * 99, "its place stays empty");
}

#[test]
fn pictures_wait_for_what_is_sent_again_while_there_is_loss() {
    let mut w = World::new();
    let mut film = Film::new(&mut w);
    film.layers = vec![0];
    let bob = viewer(&mut w);
    let waits = |w: &World| {
        let last = w.clients[bob].packets.last().unwrap();
        last.header
            .ext_vals
            .play_delay_min
            .map(|delay| delay.as_seconds())
    };
    film.run(&mut w, 5 * S);
    assert_eq!(waits(&w), None);
    let mut n = 0;
    w.loses = Box::new(move |at, to| {
        n += 1;
        at == bob && to && n % 10 == 0
    });
    film.run(&mut w, 15 * S);
    let waited = waits(&w);
    assert!(
        waited.is_some_and(|seconds| seconds > 0.0 && seconds <= 0.4),
        "{waited:?}"
    );
    w.loses = Box::new(|_, _| false);
    film.run(&mut w, 40 * S);
    assert_eq!(waits(&w), Some(0.0), "it is taken back");
}
