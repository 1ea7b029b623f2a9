//! What the server does to a client beside media: calls it, moves it, restricts it, measures it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::time::Duration;

use common::{World, figures};
use sfu::{Input, Kind, Layer, Output, Side, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use wire::{RoomKey, StreamId};

const SPEAK: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const HEAR: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);

/// DataPacket{user{payload: "hi"}} and the same for one destination.
fn packet(to: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x04, 0x12, 0x02, b'h', b'i'];
    if let Some(to) = to {
        bytes.extend([0x2a, to.len() as u8]);
        bytes.extend(to.as_bytes());
    }
    bytes
}

fn say(w: &mut World, client: usize, bytes: &[u8]) {
    let (id, _) = w.clients[client].channels[0].clone();
    let mut channel = w.clients[client].rtc.channel(id).unwrap();
    assert!(channel.write(true, bytes).unwrap());
    w.run(Duration::from_millis(200));
}

fn answers(w: &World) -> Vec<&str> {
    w.events
        .iter()
        .filter_map(|e| match e {
            Output::CallAnswered { call, .. } => Some(call.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_call_reaches_one_client_and_its_answers_the_server_alone() {
    let mut w = World::new();
    let (ann, bob) = (w.join(1, &[]), w.join(1, &[]));
    w.run(Duration::from_millis(200));
    let participant = w.clients[ann].id;
    w.input(Input::Call {
        participant,
        call: "call-1",
        packet: &packet(None),
    });
    w.run(Duration::from_millis(200));
    assert_eq!(w.clients[ann].messages, [packet(None)]);
    for _ in 0..3 {
        say(&mut w, ann, &packet(Some("call-1")));
    }
    assert_eq!(answers(&w), ["call-1", "call-1"], "the third is nobody's");
    assert!(w.clients[bob].messages.is_empty());
    say(&mut w, bob, &packet(Some("call-1")));
    assert_eq!(answers(&w).len(), 2, "it was not called");
}

#[test]
fn who_moves_hears_the_new_room_and_the_old_one_no_more() {
    let mut w = World::new();
    let (ann, bob, eve) = (w.join(1, &[]), w.join(1, &[]), w.join(2, &[]));
    w.run(Duration::from_millis(200));
    let participant = w.clients[ann].id;
    w.input(Input::MoveParticipant {
        participant,
        room: RoomKey([2; 16]),
        sid: "PA_moved",
    });
    say(&mut w, ann, &packet(None));
    assert!(w.clients[bob].messages.is_empty());
    let heard = String::from_utf8_lossy(&w.clients[eve].messages[0]).into_owned();
    assert!(heard.contains("PA_moved"), "{heard}");
    say(&mut w, bob, &packet(None));
    assert!(w.clients[ann].messages.is_empty());
    w.input(Input::MoveParticipant {
        participant: 999,
        room: RoomKey([2; 16]),
        sid: "PA_nobody",
    });
}

#[test]
fn the_figures_tell_what_is_lost_each_way() {
    let mut w = World::new();
    let (ann, bob) = (w.join(1, &[SPEAK]), w.join(1, &[HEAR]));
    let (from, to) = (w.clients[ann].id, w.clients[bob].id);
    let mid = |w: &World, client: usize| w.clients[client].mids[0].to_string();
    let layer = Layer {
        stream: StreamId(7),
        rid: None,
        quality: 0,
    };
    w.input(Input::AddTrack(TrackInfo {
        sid: "TR_a".into(),
        room: RoomKey([1; 16]),
        kind: Kind::Audio,
        layers: vec![layer],
        publisher: Some(from),
        red: true,
    }));
    let (ours, theirs) = (mid(&w, ann), mid(&w, bob));
    w.input(Input::Publish {
        participant: from,
        mid: &ours,
        track: "TR_a",
    });
    w.input(Input::Subscribe {
        participant: to,
        side: Side::Publisher,
        mid: &theirs,
        track: "TR_a",
    });
    let mut datagram = 0u32;
    w.loses = Box::new(move |client, down| {
        datagram += u32::from(down && client == bob);
        down && client == bob && datagram.is_multiple_of(5)
    });
    let pt = w.pt(ann, Codec::Opus);
    for sequence in 0..1600 {
        w.send(ann, 0, pt, sequence, &[1; 60]);
        w.run(Duration::from_millis(20));
    }
    let (up, down) = (figures(&w, ann), figures(&w, bob));
    let (up, down) = (up.last().unwrap(), down.last().unwrap());
    assert!(up.packets_up > 200 && up.loss_up < 0.02, "{up:?}");
    assert!(up.silent < Duration::from_secs(1), "{up:?}");
    assert!(down.packets_down > 100, "{down:?}");
    assert!((0.05..0.4).contains(&down.loss_down), "{down:?}");
    assert_eq!((down.packets_up, up.packets_down), (0, 0));

    w.loses = Box::new(move |client, _| client == ann);
    w.run(Duration::from_secs(12));
    let cut = figures(&w, ann).pop().unwrap();
    assert!(cut.silent > Duration::from_secs(6), "{cut:?}");
    assert_eq!(cut.packets_up, 0, "nothing came: nothing is said of loss");
}
