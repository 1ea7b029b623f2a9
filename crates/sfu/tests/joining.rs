//! Who joins hears what is said then: what was said before it could be reached is gone.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Part, World, subscribe, track};
use sfu::{Input, Kind};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use wire::{Format, MediaPacket, StreamId};

const FRAME: Duration = Duration::from_millis(20);
const FRAMES_BEFORE: u64 = 30;

/// A frame of speech from elsewhere.
fn say(w: &mut World, sequence: u64) {
    let packet = Arc::new(MediaPacket {
        format: Format::Opus,
        sequence,
        timestamp: (sequence * 960) as u32,
        marker: false,
        keyframe: false,
        audio_level: None,
        voice_activity: None,
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: [1u8; 20].as_slice().into(),
    });
    w.input(Input::Media {
        stream: StreamId(3),
        packet: &packet,
    });
}

#[test]
fn speech_does_not_wait_for_a_connection() {
    let mut w = World::new();
    w.input(Input::AddTrack(track("TR_1", Kind::Audio, None, &[3])));
    let lines = [(MediaKind::Audio, Direction::RecvOnly)];
    let bob = w.begin_join(1, &lines, &[], false);
    subscribe(&mut w, bob, 0, "TR_1");
    w.loses = Box::new(|_, _| true);
    for sequence in 0..FRAMES_BEFORE {
        say(&mut w, sequence);
        w.run(FRAME);
    }
    w.loses = Box::new(|_, _| false);
    let mut late = vec![];
    for sequence in FRAMES_BEFORE..FRAMES_BEFORE + 150 {
        say(&mut w, sequence);
        let before = w.clients[bob].packets.len();
        w.run(FRAME);
        let came = &w.clients[bob].packets[before..];
        let newest = (sequence * 960) as u32;
        late.extend(came.iter().map(|p| newest - p.header.timestamp));
    }
    assert!(late.len() > 100, "{} came", late.len());
    assert!(late.iter().all(|ticks| *ticks == 0), "{late:?}");
}

#[test]
fn who_connects_sees_what_was_kept_until_then() {
    let mut w = World::new();
    let ann = w.join(1, &[(MediaKind::Video, Direction::SendOnly)]);
    let publisher = w.clients[ann].id;
    w.input(Input::AddTrack(track(
        "TR_1",
        Kind::Video,
        Some(publisher),
        &[3],
    )));
    let mid = w.clients[ann].mids[0].to_string();
    w.input(Input::Publish {
        participant: w.clients[ann].id,
        mid: &mid,
        track: "TR_1",
    });
    let pt = w.pt(ann, Codec::Vp8);
    let show = |w: &mut World, n: u64| {
        // A keyframe begins with a zero bit (RFC 6386 section 9.1).
        let frame = if n == 0 { 0 } else { 1 };
        let part = Part {
            sequence: n,
            timestamp: (n * 1_800) as u32,
            marker: true,
            payload: &[0x10, frame, 0, 0, 0x9d, 1, 0x2a, 0, 1, 0, 1],
        };
        w.send_picture(ann, None, pt, &part);
        w.run(FRAME);
    };
    let bob = w.begin_join(1, &[(MediaKind::Video, Direction::RecvOnly)], &[], false);
    subscribe(&mut w, bob, 0, "TR_1");
    w.loses = Box::new(move |client, _| client == bob);
    for n in 0..FRAMES_BEFORE {
        show(&mut w, n);
    }
    assert!(w.clients[bob].packets.is_empty());
    let asked = w.clients[ann].keyframe_requests.len();
    w.loses = Box::new(|_, _| false);
    let mut n = FRAMES_BEFORE;
    while w.clients[bob].packets.is_empty() {
        show(&mut w, n);
        n += 1;
        assert!(n < 100, "nothing is seen");
    }
    show(&mut w, n);
    let seen = &w.clients[bob].packets;
    assert!(seen.len() as u64 > FRAMES_BEFORE, "{} came", seen.len());
    assert_eq!(seen[0].payload[1], 0, "the keyframe first");
    assert_eq!(w.clients[ann].keyframe_requests.len(), asked);
}
