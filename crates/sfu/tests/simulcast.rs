//! Three layers come in, the best that is wanted goes out, without a seam where it changes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::time::Duration;

use common::World;
use sfu::{Input, Kind, Layer, Output, Side, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use wire::{RoomKey, StreamId};

const RIDS: [&str; 3] = ["q", "h", "f"];

/// Every layer sends one VP8 picture of one packet per 20 ms; each tenth is a keyframe. The
/// payload tells layer and number.
fn film(w: &mut World, publisher: usize, from: u64, pictures: u64, layers: &[usize]) {
    let pt = w.pt(publisher, Codec::Vp8);
    for n in from..from + pictures {
        for layer in layers {
            let interframe = u8::from(n % 10 != 0);
            let picture = 0x8000 | (1000 * (*layer as u16 + 1) + n as u16);
            let [high, low] = picture.to_be_bytes();
            // X, S, partition 0 | I | 15-bit picture id | frame header
            let payload = [
                0x90,
                0x80,
                high,
                low,
                interframe,
                *layer as u8,
                n as u8,
                0,
                0,
            ];
            let rid = Some(RIDS[*layer]);
            w.send_layer(
                publisher,
                0,
                rid,
                pt,
                5_000 * (*layer as u64 + 1) + n,
                &payload,
            );
        }
        w.run(Duration::from_millis(20));
    }
}

fn layers_seen(w: &World, client: usize, since: usize) -> Vec<u8> {
    let packets = &w.clients[client].packets[since..];
    let mut seen: Vec<u8> = packets.iter().map(|p| p.payload[5]).collect();
    seen.dedup();
    seen
}

/// A call in which one publishes three layers and one watches.
fn call() -> (World, usize, usize) {
    let mut w = World::new();
    let ann = w.join_with(1, &[(MediaKind::Video, Direction::SendOnly)], &RIDS);
    let bob = w.join(1, &[(MediaKind::Video, Direction::RecvOnly)]);
    let layers = RIDS.iter().enumerate().map(|(i, rid)| Layer {
        stream: StreamId(10 + i as u64),
        rid: Some((*rid).into()),
        quality: i as u8,
    });
    w.input(Input::AddTrack(TrackInfo {
        sid: "TR_v".into(),
        room: RoomKey([1; 16]),
        kind: Kind::Video,
        layers: layers.collect(),
        publisher: Some(1),
        red: true,
    }));
    let mid = w.clients[ann].mids[0].to_string();
    w.input(Input::Publish {
        participant: 1,
        mid: &mid,
        track: "TR_v",
    });
    let mid = w.clients[bob].mids[0].to_string();
    w.input(Input::Subscribe {
        participant: 2,
        side: Side::Publisher,
        mid: &mid,
        track: "TR_v",
    });
    (w, ann, bob)
}

#[test]
fn what_each_layer_comes_under_is_told_once_and_taken_from_elsewhere() {
    let (mut w, ann, _) = call();
    film(&mut w, ann, 0, 100, &[0, 1, 2]);
    let mut told: Vec<(u64, u32)> = w
        .events
        .iter()
        .filter_map(|e| match e {
            Output::StreamSource { stream, ssrc, .. } => Some((stream.0, *ssrc)),
            _ => None,
        })
        .collect();
    // The order of a picture's layers is that of the client's SSRCs.
    told.sort_unstable();
    let mid = w.clients[ann].mids[0];
    let mut api = w.clients[ann].rtc.direct_api();
    let sent = RIDS.map(|rid| {
        let tx = api.stream_tx_by_mid(mid, Some(rid.into())).unwrap();
        *tx.ssrc()
    });
    let expected: Vec<(u64, u32)> = (10..).zip(sent).collect();
    assert_eq!(told, expected);
    for (participant, stream, unbound) in [(1, 10, 0), (1, 99, 1), (7, 10, 2)] {
        w.input(Input::ExpectSource {
            participant,
            stream: StreamId(stream),
            ssrc: 5,
            rtx: Some(6),
        });
        assert_eq!(w.count("source_unbound"), unbound);
    }
}

#[test]
fn a_layer_that_starves_gives_way_to_the_one_below_until_it_has_its_pictures_again() {
    let (mut w, ann, bob) = call();
    film(&mut w, ann, 0, 100, &[0, 1, 2]);
    assert_eq!(layers_seen(&w, bob, 0).last(), Some(&2));
    // The way up has no room for more than three pictures a second of the largest.
    let before = w.clients[bob].packets.len();
    for n in 100..250 {
        let layers: &[usize] = if n % 16 == 0 { &[0, 1, 2] } else { &[0, 1] };
        film(&mut w, ann, n, 1, layers);
    }
    assert_eq!(layers_seen(&w, bob, before), [2, 1]);
    let got = w.clients[bob].packets.len() - before;
    assert!(got > 110, "{got} of 150 pictures");
    let before = w.clients[bob].packets.len();
    film(&mut w, ann, 250, 150, &[0, 1, 2]);
    assert_eq!(layers_seen(&w, bob, before), [1, 2]);
    // One that is slow by design is shown.
    for n in 400..550 {
        let layers: &[usize] = if n % 4 == 0 { &[0, 1, 2] } else { &[0, 1] };
        film(&mut w, ann, n, 1, layers);
    }
    let before = w.clients[bob].packets.len();
    film(&mut w, ann, 550, 1, &[0, 1, 2]);
    assert_eq!(layers_seen(&w, bob, before), [2]);
}

#[test]
fn the_best_layer_and_a_seamless_change() {
    let (mut w, ann, bob) = call();
    film(&mut w, ann, 0, 100, &[0, 1, 2]);
    assert_eq!(
        layers_seen(&w, bob, 0).last(),
        Some(&2),
        "the top layer is reached"
    );

    let before = w.clients[bob].packets.len();
    w.input(Input::SetQuality {
        participant: 2,
        track: "TR_v",
        quality: Some(0),
        priority: 0,
        fps: 0,
    });
    film(&mut w, ann, 100, 40, &[0, 1, 2]);
    // Whether one more picture of the old layer comes first depends on who is served first.
    assert!([&[0][..], &[2, 0]].contains(&layers_seen(&w, bob, before).as_slice()));

    let before = w.clients[bob].packets.len();
    w.input(Input::SetQuality {
        participant: 2,
        track: "TR_v",
        quality: Some(2),
        priority: 0,
        fps: 0,
    });
    film(&mut w, ann, 140, 40, &[0, 1, 2]);
    assert!([&[2][..], &[0, 2]].contains(&layers_seen(&w, bob, before).as_slice()));

    // The publisher's browser turns the top layer off: the next one follows by itself.
    film(&mut w, ann, 180, 160, &[0, 1]);
    assert_eq!(layers_seen(&w, bob, before).last(), Some(&1));

    // Paused is nothing at all.
    w.input(Input::SetQuality {
        participant: 2,
        track: "TR_v",
        quality: None,
        priority: 0,
        fps: 0,
    });
    let paused = w.clients[bob].packets.len();
    film(&mut w, ann, 340, 10, &[0, 1, 2]);
    assert_eq!(w.clients[bob].packets.len(), paused);

    let packets = &w.clients[bob].packets;
    for pair in packets.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(*b.seq_no, *a.seq_no + 1, "no hole, no repetition");
        let ticks = b.header.timestamp.wrapping_sub(a.header.timestamp);
        assert!((1..1 << 31).contains(&ticks), "time goes on: {ticks}");
        let id =
            |p: &str0m::rtp::RtpPacket| u16::from_be_bytes([p.payload[2], p.payload[3]]) & 0x7fff;
        assert_eq!(id(b), (id(a) + 1) & 0x7fff, "picture ids go on");
        if a.payload[5] != b.payload[5] {
            assert_eq!(b.payload[4], 0, "a layer starts with a keyframe");
        }
    }
}
