//! What operators complain about in cascades of SFUs (`overlay.md` section 7), as far as an edge
//! answers for it, one test a row; `crates/mesh/tests/cascade.rs` has the others.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{World, subscribe};
use sfu::{Input, Kind, Layer, Output, TrackInfo};
use str0m::media::{Direction, MediaKind};
use wire::{Format, MediaPacket, RoomKey, StreamId};

const SEE: (MediaKind, Direction) = (MediaKind::Video, Direction::RecvOnly);
const HEAR: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);
const MS: Duration = Duration::from_millis(1);

/// A track that comes from another node, its layers from the lowest.
fn remote(w: &mut World, sid: &str, kind: Kind, streams: &[u64]) {
    let layer = |(quality, stream): (usize, &u64)| Layer {
        stream: StreamId(*stream),
        rid: None,
        quality: quality as u8,
    };
    w.input(Input::AddTrack(TrackInfo {
        sid: sid.into(),
        room: RoomKey([1; 16]),
        kind,
        layers: streams.iter().enumerate().map(layer).collect(),
        publisher: None,
        red: true,
    }));
}

fn packet(format: Format, sequence: u64, timestamp: u32, payload: Vec<u8>) -> MediaPacket {
    MediaPacket {
        format,
        sequence,
        timestamp,
        marker: true,
        keyframe: false,
        audio_level: Some(20),
        voice_activity: Some(true),
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: payload.into(),
    }
}

/// A picture of VP8 in one packet comes over the mesh.
fn picture(w: &mut World, stream: u64, n: u64, every: Duration, key: bool, bytes: usize) {
    let mut payload = vec![0x90, 0x80, 0x80 | (n >> 8) as u8, n as u8, u8::from(!key)];
    payload.resize(bytes, 0);
    let ticks = (every.as_millis() as u64 * 90 * n) as u32;
    let mut packet = packet(Format::Vp8, n, ticks, payload);
    packet.keyframe = key;
    packet.audio_level = None;
    w.input(Input::Media {
        stream: StreamId(stream),
        packet: &Arc::new(packet),
    });
    w.run(every);
}

fn asked(w: &World, stream: u64) -> usize {
    let of = |e: &&Output| matches!(e, Output::NeedKeyframe { stream: s } if s.0 == stream);
    w.events.iter().filter(of).count()
}

/// "Dozens of PLI/s with simulcast; low-fps screen share counted as loss": screen-share aware
/// timer; pending PLI cleared when a keyframe arrives; per-layer.
#[test]
fn dozens_of_requests_for_a_screen_of_few_pictures() {
    for (every, most) in [(33 * MS, 21), (1_000 * MS, 6)] {
        let mut w = World::new();
        let bob = w.join(1, &[SEE]);
        remote(&mut w, "TR_s", Kind::Video, &[1, 2]);
        subscribe(&mut w, bob, 0, "TR_s");
        let pictures = 10_000 / every.as_millis() as u64;
        picture(&mut w, 1, 0, every, true, 40);
        for n in 1..pictures {
            picture(&mut w, 1, n, every, false, 40);
        }
        let before = asked(&w, 1);
        for n in pictures..2 * pictures {
            w.input(Input::KeyframeWanted {
                stream: StreamId(1),
            });
            picture(&mut w, 1, n, every, false, 40);
        }
        let for_ten_seconds = asked(&w, 1) - before;
        assert!(
            for_ten_seconds <= most,
            "{for_ten_seconds} at one in {every:?}"
        );
        assert!(
            for_ten_seconds >= most / 2,
            "{for_ten_seconds} at one in {every:?}"
        );
        // Too soon after the last: due, and settled by the keyframe that comes.
        w.input(Input::KeyframeWanted {
            stream: StreamId(1),
        });
        picture(&mut w, 1, 2 * pictures, MS, true, 40);
        let before = asked(&w, 1);
        w.run(5_000 * MS);
        assert_eq!(asked(&w, 1), before);
        // It asks for the layer that is silent by itself, every 800 ms: well between two of those.
        let before = asked(&w, 2);
        w.run_until("asked for the silent layer", |w| asked(w, 2) > before);
        w.run(600 * MS);
        let other = asked(&w, 2);
        w.input(Input::KeyframeWanted {
            stream: StreamId(2),
        });
        w.run(MS * 5);
        assert_eq!(asked(&w, 2), other + 1, "each layer counts for itself");
    }
}

/// "Remote publisher starts 5-10 s late": the edge has what was kept since the last keyframe.
#[test]
fn a_remote_publisher_is_there_at_once_for_the_second_who_sees_it() {
    let mut w = World::new();
    let (ann, bob) = (w.join(1, &[SEE]), w.join(1, &[SEE]));
    remote(&mut w, "TR_v", Kind::Video, &[1]);
    subscribe(&mut w, ann, 0, "TR_v");
    assert_eq!(asked(&w, 1), 1, "the first has to ask");
    for n in 0..30 {
        picture(&mut w, 1, n, 33 * MS, n == 0, 500);
    }
    subscribe(&mut w, bob, 0, "TR_v");
    w.run(10 * MS);
    assert!(!w.clients[bob].packets.is_empty());
    for n in 30..60 {
        picture(&mut w, 1, n, 33 * MS, false, 500);
    }
    assert_eq!(asked(&w, 1), 1);
    let sequences: Vec<u64> = w.clients[bob].packets.iter().map(|p| *p.seq_no).collect();
    assert_eq!(sequences.len(), 60);
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1));
    // Nobody sees it any more: what was kept is old when somebody does.
    for at in [ann, bob] {
        w.input(Input::Unsubscribe {
            participant: w.clients[at].id,
            track: "TR_v",
        });
    }
    subscribe(&mut w, ann, 0, "TR_v");
    assert_eq!(asked(&w, 1), 2);
}

/// "RED eats video bandwidth under low caps": it is counted inside the estimate, and only for who
/// speaks.
#[test]
fn repeated_sound_is_counted_before_pictures_and_only_for_who_speaks() {
    // Bytes of each of five voices' packets, 50 a second: they speak, or are silent with DTX; and a
    // link that is too narrow even for them.
    let cases = [
        (70, 400_000, Some(1)),
        (2, 400_000, Some(2)),
        (70, 30_000, None),
    ];
    for (bytes, estimate, shows) in cases {
        let mut w = World {
            feedback: false,
            ..World::new()
        };
        let lines = [SEE, HEAR, HEAR, HEAR, HEAR, HEAR];
        let bob = w.join(1, &lines);
        remote(&mut w, "TR_v", Kind::Video, &[1, 2]);
        subscribe(&mut w, bob, 0, "TR_v");
        for voice in 1..=5 {
            remote(&mut w, &format!("TR_{voice}"), Kind::Audio, &[10 + voice]);
            subscribe(&mut w, bob, voice as usize, &format!("TR_{voice}"));
        }
        // The large picture needs 240 kbit/s, the small one 60.
        w.estimate(bob, estimate);
        let before = |n: u64| n * 20 * 90;
        for n in 0..300u64 {
            for voice in 1..=5u64 {
                let sound = packet(Format::Opus, n, (n * 960) as u32, vec![1; bytes]);
                w.input(Input::Media {
                    stream: StreamId(10 + voice),
                    packet: &Arc::new(sound),
                });
            }
            for (stream, size) in [(1, 150), (2, 600)] {
                let key = n % 50 == 0;
                let mut payload = vec![0x10, u8::from(!key), stream as u8];
                payload.resize(size, 0);
                let mut shot = packet(Format::Vp8, n, before(n) as u32, payload);
                shot.keyframe = key;
                shot.audio_level = None;
                w.input(Input::Media {
                    stream: StreamId(stream),
                    packet: &Arc::new(shot),
                });
            }
            w.run(20 * MS);
        }
        // In steps of 5 ms the pacer sends late what it would send within microseconds.
        w.run(5_000 * MS);
        let vp8 = w.pt(bob, str0m::format::Codec::Vp8);
        let packets = w.clients[bob].packets.iter();
        let (pictures, sound): (Vec<_>, Vec<_>) =
            packets.partition(|p| p.header.payload_type == vp8);
        let seen = |layer: u8| pictures.iter().filter(|p| p.payload[2] == layer).count();
        match shows {
            Some(1) => assert!(seen(1) > seen(2), "{} of 1, {} of 2", seen(1), seen(2)),
            Some(_) => assert!(seen(2) > seen(1), "{} of 1, {} of 2", seen(1), seen(2)),
            None => assert!(pictures.len() <= 30, "{} pictures of 300", pictures.len()),
        }
        assert_eq!(sound.len(), 5 * 300, "every word of everyone");
    }
}
