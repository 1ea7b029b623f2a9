//! A call through one SFU: media, data, keyframes and what must not get through.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{SERVER, World, figures, publish, subscribe, track};
use sfu::{Figures, Input, Kind, Output, Protocol};
use str0m::format::Codec;
use str0m::ice::{StunMessage, TransId};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind};
use str0m::rtp::RtpPacket;
use wire::{Format, MediaPacket, StreamId};

const AUDIO: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const VIDEO: (MediaKind, Direction) = (MediaKind::Video, Direction::SendOnly);
const HEAR: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);
const SEE: (MediaKind, Direction) = (MediaKind::Video, Direction::RecvOnly);

fn speak(world: &mut World, client: usize, from: u64, packets: u64) {
    let pt = world.pt(client, Codec::Opus);
    for sequence in from..from + packets {
        world.send(client, 0, pt, sequence, &sequence.to_be_bytes());
        world.run(Duration::from_millis(20));
    }
}

/// One who shows a picture and one who watches it.
fn watched() -> (World, usize, usize) {
    let mut w = World::new();
    let ann = w.join(1, &[VIDEO]);
    let bob = w.join(1, &[SEE]);
    publish(&mut w, ann, 0, "TR_v", Kind::Video, 5);
    subscribe(&mut w, bob, 0, "TR_v");
    (w, ann, bob)
}

fn heard(world: &World, client: usize) -> Vec<u64> {
    let packets = &world.clients[client].packets;
    let red = world.red(client);
    let number = |p: &[u8]| u64::from_be_bytes(p.try_into().unwrap());
    let own = |p: &RtpPacket| match p.header.payload_type == red {
        true => number(wire::red_blocks(&p.payload).unwrap().last().unwrap().bytes),
        false => number(&p.payload),
    };
    // The frames in which a muted microphone ends have no number.
    let silent = |p: &&RtpPacket| *p.payload != [0xf8, 0xff, 0xfe];
    packets.iter().filter(silent).map(own).collect()
}

#[test]
fn a_voice_reaches_its_subscriber_and_nobody_else() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    let eve = w.join(2, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    speak(&mut w, ann, 100, 50);
    assert_eq!(heard(&w, bob), (100..150).collect::<Vec<_>>());
    assert!(w.clients[eve].packets.is_empty());
    let levels = &w.clients[bob].packets[0].header.ext_vals;
    assert_eq!(levels.audio_level, Some(-20));
    assert!(w.events.iter().any(
        |e| matches!(e, Output::TrackLive { track, mime } if track == "TR_a" && *mime == "audio/opus")
    ));
    assert!(w.events.iter().any(
        |e| matches!(e, Output::Levels(l) if l.iter().any(|(t, level, active)| t == "TR_a" && *level > 0.0 && *active))
    ));
}

#[test]
fn mute_unsubscribe_and_unpublish_stop_the_flow() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    speak(&mut w, ann, 100, 5);
    w.input(Input::SetMuted {
        track: "TR_a",
        muted: true,
    });
    speak(&mut w, ann, 105, 5);
    w.input(Input::SetMuted {
        track: "TR_a",
        muted: false,
    });
    speak(&mut w, ann, 110, 5);
    w.input(Input::Unsubscribe {
        participant: 2,
        track: "TR_a",
    });
    speak(&mut w, ann, 115, 5);
    let expected: Vec<u64> = (100..105).chain(110..115).collect();
    assert_eq!(heard(&w, bob), expected);
    w.input(Input::RemoveTrack("TR_a"));
    speak(&mut w, ann, 120, 5);
    assert!(w.count("media_unbound") > 0);
    w.input(Input::RemoveParticipant(1));
    w.input(Input::RemoveParticipant(2));
    w.run(Duration::from_secs(1));
    for (what, size) in w.sfu.sizes() {
        assert_eq!(size, 0, "{what} left behind");
    }
}

#[test]
fn a_lost_packet_is_sent_again() {
    let (mut w, ann, bob) = watched();
    let pt = w.pt(ann, Codec::Vp8);
    for sequence in 1..200u64 {
        // A VP8 keyframe's first packet, numbered.
        let mut payload = vec![0x10, 0x00];
        payload.extend(sequence.to_be_bytes());
        w.send(ann, 0, pt, sequence, &payload);
        // The client's packets 50 to 52 never arrive at the SFU.
        let lost = (50..53).contains(&sequence);
        if lost {
            let held =
                std::mem::replace(&mut w.clients[ann].address, "10.9.9.9:1".parse().unwrap());
            let now = w.now;
            let rtc = &mut w.clients[ann].rtc;
            rtc.handle_input(str0m::Input::Timeout(now)).unwrap();
            while !matches!(rtc.poll_output().unwrap(), str0m::Output::Timeout(_)) {}
            w.clients[ann].address = held;
        }
        w.run(Duration::from_millis(10));
    }
    let mut numbers: Vec<u64> = w.clients[bob]
        .packets
        .iter()
        .map(|p| u64::from_be_bytes(p.payload[2..10].try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..200).collect::<Vec<_>>());
}

#[test]
fn what_is_lost_both_ways_is_asked_for_often_enough() {
    let (mut w, ann, bob) = watched();
    let mut random = fastrand::Rng::with_seed(5);
    w.loses = Box::new(move |client, _| client == ann && random.f64() < 0.3);
    let pt = w.pt(ann, Codec::Vp8);
    let mid = w.clients[ann].mids[0];
    let mut api = w.clients[ann].rtc.direct_api();
    let tx = api.stream_tx_by_mid(mid, None).unwrap();
    tx.set_rtx_cache(2_000, Duration::from_secs(3), None);
    let sent = 6_000u64;
    for sequence in 1..=sent {
        let mut payload = vec![0x10, 0x00];
        payload.extend(sequence.to_be_bytes());
        w.send(ann, 0, pt, sequence, &payload);
        w.run(Duration::from_millis(10));
    }
    w.run(Duration::from_secs(1));
    let numbers: BTreeSet<u64> = w.clients[bob]
        .packets
        .iter()
        .map(|p| u64::from_be_bytes(p.payload[2..10].try_into().unwrap()))
        .collect();
    let missing = sent as usize - numbers.len();
    assert!(missing <= 20, "{missing} of {sent}");
}

#[test]
fn keyframes_that_are_asked_for_of_a_whole_picture_are_told() {
    let (mut w, ann, bob) = watched();
    let pt = w.pt(ann, Codec::Vp8);
    let mid = w.clients[bob].mids[0];
    for sequence in 1..=330u64 {
        w.send(ann, 0, pt, sequence, &[0x10, 0x00, 0, 0]);
        w.run(Duration::from_millis(50));
        // In the first second, when it may, and later.
        if [5, 160, 240].contains(&sequence) {
            let mut api = w.clients[bob].rtc.direct_api();
            let rx = api.stream_rx_by_mid(mid, None).unwrap();
            rx.request_keyframe(KeyframeRequestKind::Pli);
        }
    }
    let (shows, sees) = (figures(&w, ann), figures(&w, bob));
    let asked = |all: &[Figures]| all.iter().map(|f| f.keyframes_asked).sum::<u32>();
    assert_eq!((asked(&shows), asked(&sees)), (0, 2));
    assert!(sees.iter().all(|f| f.pictures.is_empty()));
    let picture = &shows.last().unwrap().pictures[0];
    assert_eq!((picture.track.as_str(), picture.layers), ("TR_v", 1));
    assert!((18.0..22.0).contains(&picture.fps), "{picture:?}");
}

#[test]
fn the_packets_of_a_picture_leave_in_one_turn() {
    let (mut w, ann, bob) = watched();
    let pt = w.pt(ann, Codec::Vp8);
    for picture in 0..20u64 {
        for sequence in 1 + picture * 8..9 + picture * 8 {
            // A keyframe's first packet.
            w.send(ann, 0, pt, sequence, &[0x10, 0x00, 0, 0]);
        }
        let before = w.forwarded;
        w.step();
        assert_eq!(w.forwarded - before, 8, "picture {picture}");
        w.run(Duration::from_millis(25));
    }
    assert_eq!(w.clients[bob].packets.len(), 160);
}

#[test]
fn keyframe_requests_are_throttled_and_reach_the_publisher() {
    let mut w = World::new();
    let ann = w.join(1, &[VIDEO]);
    publish(&mut w, ann, 0, "TR_v", Kind::Video, 5);
    let pt = w.pt(ann, Codec::Vp8);
    for sequence in 1..20u64 {
        w.send(ann, 0, pt, sequence, &[0x10, 0x01, 0, 0]);
        w.run(Duration::from_millis(10));
    }
    let start = w.now;
    for _ in 0..50 {
        w.input(Input::KeyframeWanted {
            stream: StreamId(5),
        });
        w.run(Duration::from_millis(20));
    }
    let asked = w.clients[ann].keyframe_requests.len();
    let most = (w.now - start).as_millis() as usize / 500 + 1;
    assert!(
        (1..=most).contains(&asked),
        "{asked} requests, at most {most}"
    );
}

#[test]
fn data_goes_to_the_room_and_not_back() {
    let mut w = World::new();
    let ann = w.join(1, &[]);
    let bob = w.join(1, &[]);
    let eve = w.join(2, &[]);
    // DataPacket{user{payload: "hi"}}
    let packet = [0x12, 0x04, 0x12, 0x02, b'h', b'i'];
    let (id, _) = w.clients[ann].channels[0].clone();
    assert!(
        w.clients[ann]
            .rtc
            .channel(id)
            .unwrap()
            .write(true, &packet)
            .unwrap()
    );
    w.run(Duration::from_millis(200));
    assert_eq!(w.clients[bob].messages.len(), 1);
    assert!(String::from_utf8_lossy(&w.clients[bob].messages[0]).contains("client-1"));
    assert!(w.clients[ann].messages.is_empty() && w.clients[eve].messages.is_empty());
    assert!(
        w.events
            .iter()
            .any(|e| matches!(e, Output::Data { reliable: true, .. }))
    );
    // Garbage is counted, and the channel goes on.
    assert!(
        w.clients[ann]
            .rtc
            .channel(id)
            .unwrap()
            .write(true, &[0xff; 40])
            .unwrap()
    );
    assert!(
        w.clients[ann]
            .rtc
            .channel(id)
            .unwrap()
            .write(true, &packet)
            .unwrap()
    );
    w.run(Duration::from_millis(200));
    assert_eq!(w.count("data_malformed"), 1);
    assert_eq!(w.clients[bob].messages.len(), 2);
}

#[test]
fn a_remote_stream_is_asked_for_once_and_given_up_with_its_last_subscriber() {
    let mut w = World::new();
    let bob = w.join(1, &[HEAR]);
    let cid = w.join(1, &[HEAR]);
    w.input(Input::AddTrack(track("TR_r", Kind::Audio, None, &[9])));
    subscribe(&mut w, bob, 0, "TR_r");
    subscribe(&mut w, cid, 0, "TR_r");
    let wants = |w: &World| -> Vec<bool> {
        let want = |e: &Output| match e {
            Output::Want {
                stream: StreamId(9),
                wanted,
            } => Some(*wanted),
            _ => None,
        };
        w.events.iter().filter_map(want).collect()
    };
    assert_eq!(wants(&w), [true]);
    let packet = Arc::new(MediaPacket {
        format: Format::Opus,
        sequence: 70_000,
        timestamp: 1,
        marker: false,
        keyframe: false,
        audio_level: Some(30),
        voice_activity: None,
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: [7u8; 8].as_slice().into(),
    });
    w.input(Input::Media {
        stream: StreamId(9),
        packet: &packet,
    });
    w.run(Duration::from_millis(100));
    assert_eq!(w.clients[bob].packets.len(), 1);
    assert_eq!(w.clients[cid].packets.len(), 1);
    w.input(Input::Unsubscribe {
        participant: 1,
        track: "TR_r",
    });
    assert_eq!(wants(&w), [true]);
    w.input(Input::RemoveParticipant(2));
    assert_eq!(wants(&w), [true, false]);
}

#[test]
fn a_client_that_comes_from_another_address_is_answered_there() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    speak(&mut w, ann, 100, 50);
    assert_eq!(heard(&w, bob).len(), 50);
    // A forged nomination moves nobody: it knows the name, not the password.
    let ufrag = w.clients[bob].answer.split("a=ice-ufrag:").nth(1).unwrap();
    let username = format!("{}:x", ufrag.lines().next().unwrap().trim());
    let nomination = StunMessage::binding_request(&username, TransId::new(), true, 1, 1, true);
    let mut forged = vec![0; 500];
    let wrong = |_: &[u8], _: &[&[u8]]| [7; 20];
    let length = nomination
        .to_bytes(Some(b"wrong"), &mut forged, wrong)
        .unwrap();
    w.input(Input::Datagram {
        protocol: Protocol::Udp,
        from: "10.0.9.9:9".parse().unwrap(),
        to: SERVER.parse().unwrap(),
        bytes: &forged[..length],
    });
    speak(&mut w, ann, 150, 50);
    assert_eq!(heard(&w, bob).len(), 100);
    assert_eq!(w.count("clients_moved"), 0);
    // The NAT forgets the port; what still goes there is lost.
    w.clients[bob].seen_as = "10.0.9.1:7".parse().unwrap();
    speak(&mut w, ann, 200, 250);
    assert_eq!(w.count("clients_moved"), 1);
    let last = heard(&w, bob).into_iter().filter(|n| *n >= 350).count();
    assert_eq!(last, 100, "within 3 s of silence the checks have told");
    // Whoever sends is found at once where a check was answered before.
    let home = w.clients[ann].seen_as;
    w.clients[ann].seen_as = "10.0.9.2:7".parse().unwrap();
    speak(&mut w, ann, 450, 250);
    assert_eq!(w.count("clients_moved"), 2);
    w.clients[ann].seen_as = home;
    speak(&mut w, ann, 700, 1);
    assert_eq!(w.count("clients_moved"), 3);
}

#[test]
fn a_nat_that_changes_the_port_is_followed_with_what_comes_from_there_first() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    let cid = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    subscribe(&mut w, cid, 0, "TR_a");
    // Both who listen are behind one NAT.
    w.clients[cid].seen_as = "10.0.1.2:4000".parse().unwrap();
    speak(&mut w, ann, 100, 200);
    let moved = w.count("clients_moved");
    w.clients[ann].seen_as = "10.0.9.9:7".parse().unwrap();
    speak(&mut w, ann, 300, 5);
    assert_eq!(w.count("clients_moved"), moved + 1, "at once");
    assert_eq!(heard(&w, bob).len(), 205);
    // Who only listens tells what arrived just before, and that it lacks what follows.
    w.clients[bob].seen_as = "10.0.1.2:4444".parse().unwrap();
    speak(&mut w, ann, 305, 50);
    assert_eq!(w.count("clients_moved"), moved + 2);
    assert_eq!(w.count("strangers_known"), 2);
    let got = heard(&w, bob).len();
    assert!(got > 245, "{got} of 255");
    let strangers = w.count("client_unknown");
    speak(&mut w, ann, 355, 50);
    assert_eq!(w.count("client_unknown"), strangers);
    assert!(heard(&w, cid).len() > 250);
}

#[test]
fn what_is_replayed_or_forged_from_elsewhere_moves_nobody() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    w.record = true;
    speak(&mut w, ann, 100, 100);
    let recorded = std::mem::take(&mut w.recorded);
    w.record = false;
    let stranger = |client: usize| format!("10.0.1.{}:6666", client + 1).parse().unwrap();
    let from_there = |w: &mut World, client: usize, bytes: &[u8]| {
        w.input(Input::Datagram {
            protocol: Protocol::Udp,
            from: stranger(client),
            to: SERVER.parse().unwrap(),
            bytes,
        });
    };
    let (mut media, mut reports) = (0, 0);
    for (client, bytes) in &recorded {
        media += usize::from(*client == ann);
        reports += usize::from(*client == bob);
        from_there(&mut w, *client, bytes);
    }
    assert!(media >= 100 && reports >= 10, "{media}, {reports}");
    // One that is ahead of what comes next, and then what it pretends to be.
    let (_, last) = recorded.iter().rfind(|(client, _)| *client == ann).unwrap();
    let sequence = u16::from_be_bytes([last[2], last[3]]);
    for ahead in 1..10u16 {
        let mut forged = last.clone();
        forged[2..4].copy_from_slice(&(sequence + ahead).to_be_bytes());
        from_there(&mut w, ann, &forged);
        let mut report = recorded.iter().rfind(|r| r.0 == bob).unwrap().1.clone();
        report[20] ^= ahead as u8;
        from_there(&mut w, bob, &report);
        speak(&mut w, ann, 199 + u64::from(ahead), 1);
    }
    assert_eq!(w.count("clients_moved"), 0);
    assert_eq!(w.count("strangers_known"), 0);
    assert_eq!(heard(&w, bob).len(), 109);
    // Noise is looked at so often and no more.
    let before = w.count("client_unknown");
    for (_, bytes) in recorded.iter().cycle().take(5_000) {
        from_there(&mut w, bob, bytes);
    }
    assert_eq!(w.count("client_unknown"), before + 5_000);
    speak(&mut w, ann, 209, 10);
    assert_eq!(heard(&w, bob).len(), 119);
}

#[test]
fn a_client_that_falls_silent_is_sent_to_where_it_checked_too() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    speak(&mut w, ann, 100, 50);
    let (wifi, lte) = (w.clients[bob].seen_as, "10.0.9.1:7".parse().unwrap());
    // It was seen over its other access, and is back.
    for (place, from) in [(lte, 150), (wifi, 400)] {
        w.clients[bob].seen_as = place;
        speak(&mut w, ann, from, 250);
    }
    assert_eq!(heard(&w, bob).last(), Some(&649));
    let before = heard(&w, bob).len();
    // The first access dies: nothing that it says arrives, and only what goes to the other.
    w.clients[bob].seen_as = lte;
    w.loses = Box::new(move |client, toward| client == bob && !toward);
    speak(&mut w, ann, 650, 100);
    let since = heard(&w, bob)[before..].to_vec();
    assert!((696..710).contains(&since[0]), "again from {}", since[0]);
    assert_eq!(since, (since[0]..750).collect::<Vec<_>>());
    assert_eq!(w.count("clients_strayed"), 1);
    // It comes back where it was: nothing is sent twice any more.
    w.loses = Box::new(|_, _| false);
    w.clients[bob].seen_as = wifi;
    speak(&mut w, ann, 750, 50);
    w.clients[bob].seen_as = lte;
    let before = heard(&w, bob).len();
    w.loses = Box::new(move |client, toward| client == bob && !toward);
    speak(&mut w, ann, 800, 20);
    assert_eq!(heard(&w, bob).len(), before);
}

#[test]
fn strangers_and_forgers_are_counted_and_move_nothing() {
    let mut w = World::new();
    let ann = w.join(1, &[AUDIO]);
    let bob = w.join(1, &[HEAR]);
    publish(&mut w, ann, 0, "TR_a", Kind::Audio, 5);
    subscribe(&mut w, bob, 0, "TR_a");
    let to = common::SERVER.parse().unwrap();
    let stranger = "10.6.6.6:666".parse().unwrap();
    let victim = w.clients[ann]
        .answer
        .lines()
        .find_map(|l| l.strip_prefix("a=ice-ufrag:"));
    let username = format!("{}:zzzz", victim.unwrap());
    // A binding request with the victim's name and no password (RFC 8489 section 5).
    let mut forged = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    forged.extend([9; 12]);
    forged.extend([0, 6]);
    forged.extend((username.len() as u16).to_be_bytes());
    forged.extend(username.bytes());
    forged.resize(forged.len().next_multiple_of(4), 0);
    let length = (forged.len() - 20) as u16;
    forged[2..4].copy_from_slice(&length.to_be_bytes());
    for bytes in [
        forged.as_slice(),
        &[],
        &[0x80; 12],
        &[0x16, 0xfe],
        &[1; 1500],
        &[0xff; 3],
    ] {
        for length in 0..=bytes.len().min(64) {
            let bytes = if length == 64 {
                bytes
            } else {
                &bytes[..length]
            };
            w.input(Input::Datagram {
                protocol: Protocol::Udp,
                from: stranger,
                to,
                bytes,
            });
        }
        w.input(Input::Datagram {
            protocol: Protocol::Udp,
            from: stranger,
            to,
            bytes,
        });
    }
    assert!(w.count("stun_forged") > 0);
    assert!(w.count("client_unknown") > 0);
    assert_eq!(w.sfu.sizes()[5], ("client_addresses", 2));
    speak(&mut w, ann, 100, 10);
    assert_eq!(heard(&w, bob).len(), 10);
}

/// Requests for a keyframe at the publisher after pictures with these numbers, 40 ms each.
fn shown(w: &mut World, client: usize, numbers: std::ops::Range<u64>, keyframe: bool) -> usize {
    let pt = w.pt(client, Codec::Vp8);
    for n in numbers.clone() {
        // A keyframe begins with a zero bit (RFC 6386 section 9.1).
        let kind = u8::from(!keyframe || n != numbers.start);
        let picture = [0x10, kind, 0, 0, 0x9d, 1, 0x2a, 0, 1, 0, 1];
        w.send(client, 0, pt, n, &picture);
        w.run(Duration::from_millis(40));
    }
    w.clients[client].keyframe_requests.len()
}

#[test]
fn a_picture_that_misses_something_for_good_is_mended_unasked() {
    let (mut w, ann, _) = watched();
    let before = shown(&mut w, ann, 1..30, true);
    // 30 was never sent. It is asked for five times, first.
    assert_eq!(shown(&mut w, ann, 31..32, false), before);
    let asked = shown(&mut w, ann, 32..46, false) - before;
    assert!((1..4).contains(&asked), "{asked} in 600 ms");
    let again = shown(&mut w, ann, 46..56, false) - before - asked;
    assert!((1..3).contains(&again), "{again} in 400 ms more");
    let asked = shown(&mut w, ann, 56..57, true);
    assert_eq!(shown(&mut w, ann, 57..100, false), asked);
}

#[test]
fn what_nobody_sees_is_not_mended() {
    let mut w = World::new();
    let ann = w.join(1, &[VIDEO]);
    publish(&mut w, ann, 0, "TR_v", Kind::Video, 5);
    let before = shown(&mut w, ann, 1..30, true);
    assert_eq!(shown(&mut w, ann, 31..100, false), before);
}

#[test]
fn who_comes_back_from_a_dead_network_sees_a_new_picture_unasked() {
    let (mut w, ann, bob) = watched();
    shown(&mut w, ann, 1..50, true);
    w.loses = Box::new(move |client, _| client == bob);
    let before = shown(&mut w, ann, 50..125, false);
    w.loses = Box::new(|_, _| false);
    assert_eq!(shown(&mut w, ann, 125..135, false), before + 1);
    assert_eq!(w.count("clients_returned"), 1);
    // What is lost for a moment is sent again instead.
    w.loses = Box::new(move |client, _| client == bob);
    shown(&mut w, ann, 135..150, false);
    w.loses = Box::new(|_, _| false);
    assert_eq!(shown(&mut w, ann, 150..170, false), before + 1);
}
