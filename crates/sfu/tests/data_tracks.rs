//! Data tracks: a publisher's packets reach who subscribes, under the subscriber's handle, and
//! nothing waits without a bound.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::time::Duration;

use common::World;
use sfu::{DataTrackInfo, Input, Output};
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, MediaKind};
use wire::{Format, StreamId};

const VOICE: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const STREAM: StreamId = StreamId(1 << 48 | 7);
const A_WHILE: Duration = Duration::from_millis(200);

/// A client with the data track channel that SDKs open beside the two others.
fn join(w: &mut World) -> usize {
    let at = w.join(1, &[VOICE]);
    let config = ChannelConfig {
        label: "_data_track".into(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        ..Default::default()
    };
    w.clients[at].rtc.direct_api().create_data_channel(config);
    w.run_until("open", |w| w.clients[at].channels.len() == 3);
    at
}

/// One packet that is a whole frame.
fn packet(handle: u16, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x18, 0];
    packet.extend(handle.to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet.extend_from_slice(payload);
    packet
}

fn push(w: &mut World, client: usize, bytes: &[u8]) {
    let channels = &w.clients[client].channels;
    let (id, _) = channels.iter().find(|(_, l)| l == "_data_track").unwrap();
    let id = *id;
    let mut channel = w.clients[client].rtc.channel(id).unwrap();
    assert!(channel.write(true, bytes).unwrap());
    w.run(A_WHILE);
}

fn add(w: &mut World, sid: &str, stream: StreamId, publisher: Option<(u64, u16)>) {
    w.input(Input::AddDataTrack(DataTrackInfo {
        sid: sid.into(),
        stream,
        publisher,
    }));
}

/// A client publishes a track under handle 5.
fn publish(w: &mut World, client: usize, sid: &str, stream: StreamId) {
    let publisher = Some((w.clients[client].id, 5));
    add(w, sid, stream, publisher);
}

fn subscribe(w: &mut World, client: usize, track: &str, handle: u16) {
    let participant = w.clients[client].id;
    w.input(Input::SubscribeData {
        participant,
        track,
        handle,
    });
}

fn wants(w: &World) -> Vec<bool> {
    let wanted = |e: &Output| match e {
        Output::Want { stream, wanted } if *stream == STREAM => Some(*wanted),
        _ => None,
    };
    w.events.iter().filter_map(wanted).collect()
}

#[test]
fn each_subscriber_gets_a_packet_under_its_own_handle() {
    let mut w = World::new();
    let (ann, bob, cid) = (join(&mut w), join(&mut w), join(&mut w));
    publish(&mut w, ann, "DTR_a", STREAM);
    subscribe(&mut w, bob, "DTR_a", 1);
    subscribe(&mut w, cid, "DTR_a", 65_535);
    push(&mut w, ann, &packet(5, 1, b"one"));
    assert_eq!(w.clients[bob].messages, [packet(1, 1, b"one")]);
    assert_eq!(w.clients[cid].messages, [packet(65_535, 1, b"one")]);
    assert_eq!(w.clients[ann].messages, Vec::<Vec<u8>>::new());
    assert_eq!(w.count("data_track_sent"), 2);
    assert!(w.exported.is_empty() && wants(&w).is_empty());

    subscribe(&mut w, bob, "DTR_a", 2);
    w.input(Input::Unsubscribe {
        participant: w.clients[cid].id,
        track: "DTR_a",
    });
    push(&mut w, ann, &packet(5, 2, b"two"));
    assert_eq!(w.clients[bob].messages[1..], [packet(2, 2, b"two")]);
    assert_eq!(w.clients[cid].messages.len(), 1);

    w.input(Input::RemoveTrack("DTR_a"));
    push(&mut w, ann, &packet(5, 3, b"three"));
    assert_eq!(w.clients[bob].messages.len(), 2);
    assert_eq!(w.count("data_track_unknown_handle"), 1);
}

#[test]
fn a_handle_belongs_to_its_newest_track() {
    let mut w = World::new();
    let (ann, bob) = (join(&mut w), join(&mut w));
    publish(&mut w, ann, "DTR_a", STREAM);
    publish(&mut w, ann, "DTR_b", StreamId(STREAM.0 + 1));
    w.input(Input::RemoveTrack("DTR_a"));
    subscribe(&mut w, bob, "DTR_b", 9);
    push(&mut w, ann, &packet(5, 1, b"new"));
    assert_eq!(w.clients[bob].messages, [packet(9, 1, b"new")]);
}

#[test]
fn what_is_wrong_with_a_packet_is_counted_and_goes_no_further() {
    let mut w = World::new();
    let (ann, bob) = (join(&mut w), join(&mut w));
    publish(&mut w, ann, "DTR_a", STREAM);
    subscribe(&mut w, bob, "DTR_a", 1);
    push(&mut w, ann, &packet(5, 1, b"")[..11]);
    push(&mut w, ann, &packet(6, 1, b"never published"));
    push(&mut w, ann, &packet(0, 1, b"no handle"));
    let mut other = packet(5, 1, b"of the future");
    other[0] |= 1 << 5;
    push(&mut w, ann, &other);
    let mut lying = packet(5, 1, &[0, 200, 2, 8, 1, 2, 3]);
    lying[0] |= 1 << 2;
    push(&mut w, ann, &lying);
    push(&mut w, ann, &packet(5, 1, &[0; 61 * 1024]));
    // Somebody else's handle is not one's own.
    push(&mut w, bob, &packet(5, 1, b"not mine"));
    assert_eq!(w.clients[bob].messages, Vec::<Vec<u8>>::new());
    assert_eq!(w.count("data_track_malformed"), 3);
    assert_eq!(w.count("data_track_unknown_version"), 1);
    assert_eq!(w.count("data_track_too_long"), 1);
    assert_eq!(w.count("data_track_unknown_handle"), 2);

    w.input(Input::UpdateParticipant {
        participant: w.clients[ann].id,
        can_publish_data: false,
        can_subscribe: true,
    });
    push(&mut w, ann, &packet(5, 2, b"not any more"));
    assert_eq!(w.count("data_not_permitted"), 1);
    w.input(Input::UpdateParticipant {
        participant: w.clients[ann].id,
        can_publish_data: true,
        can_subscribe: false,
    });
    subscribe(&mut w, ann, "DTR_a", 1);
    subscribe(&mut w, bob, "DTR_x", 1);
    assert_eq!(w.count("subscribe_not_permitted"), 1);
    assert_eq!(w.count("subscribe_unknown_track"), 1);
    push(&mut w, ann, &packet(5, 3, b"fine"));
    assert_eq!(w.clients[bob].messages, [packet(1, 3, b"fine")]);
}

#[test]
fn others_get_what_they_want_numbered_and_whole() {
    let mut w = World::new();
    let ann = join(&mut w);
    publish(&mut w, ann, "DTR_a", STREAM);
    assert!(w.sfu.publishes(STREAM));
    push(&mut w, ann, &packet(5, 1, b"nobody wants it"));
    assert!(w.exported.is_empty());
    w.input(Input::Wanted {
        stream: STREAM,
        wanted: true,
    });
    // The publisher's own numbers say nothing of copies: it may repeat or forge them.
    push(&mut w, ann, &packet(5, 1, b"a"));
    push(&mut w, ann, &packet(5, 1, b"b"));
    let sent: Vec<_> = w.exported.iter().map(|(s, p)| (*s, p.sequence)).collect();
    assert_eq!(sent, [(STREAM, 2), (STREAM, 3)]);
    let payloads: Vec<_> = w.exported.iter().map(|(_, p)| p.payload.to_vec()).collect();
    assert_eq!(payloads, [packet(5, 1, b"a"), packet(5, 1, b"b")]);
    w.input(Input::Wanted {
        stream: STREAM,
        wanted: false,
    });
    push(&mut w, ann, &packet(5, 2, b"c"));
    assert_eq!(w.exported.len(), 2);
}

#[test]
fn a_track_from_elsewhere_is_wanted_while_somebody_here_hears_it() {
    let mut w = World::new();
    let (ann, bob, cid) = (join(&mut w), join(&mut w), join(&mut w));
    publish(&mut w, ann, "DTR_a", STREAM);
    w.input(Input::Wanted {
        stream: STREAM,
        wanted: true,
    });
    push(&mut w, ann, &packet(5, 1, b"over the sea"));
    let (_, crossing) = w.exported.pop().unwrap();
    assert_eq!(crossing.format, Format::Data);
    w.input(Input::RemoveTrack("DTR_a"));

    // The other end of the sea.
    w.input(Input::Media {
        stream: STREAM,
        packet: &crossing,
    });
    assert_eq!(w.count("data_track_unknown_stream"), 1);
    add(&mut w, "DTR_a", STREAM, None);
    assert!(!w.sfu.publishes(STREAM));
    subscribe(&mut w, bob, "DTR_a", 3);
    subscribe(&mut w, cid, "DTR_a", 4);
    assert_eq!(wants(&w), [true]);
    w.input(Input::Media {
        stream: STREAM,
        packet: &crossing,
    });
    w.run(A_WHILE);
    assert_eq!(w.clients[bob].messages, [packet(3, 1, b"over the sea")]);
    assert_eq!(w.clients[cid].messages, [packet(4, 1, b"over the sea")]);
    w.input(Input::Unsubscribe {
        participant: w.clients[bob].id,
        track: "DTR_a",
    });
    assert_eq!(wants(&w), [true]);
    w.input(Input::RemoveParticipant(w.clients[cid].id));
    assert_eq!(wants(&w), [true, false]);
    subscribe(&mut w, bob, "DTR_a", 3);
    w.input(Input::RemoveTrack("DTR_a"));
    assert_eq!(wants(&w), [true, false, true, false]);
    let size = |name| w.sfu.sizes().iter().find(|(n, _)| *n == name).unwrap().1;
    assert_eq!((size("data_tracks"), size("data_subscriptions")), (0, 0));
}

#[test]
fn a_client_that_takes_nothing_loses_the_newest_and_hears_messages_again_afterwards() {
    let mut w = World::new();
    let (ann, bob) = (join(&mut w), join(&mut w));
    publish(&mut w, ann, "DTR_a", STREAM);
    subscribe(&mut w, bob, "DTR_a", 1);
    w.loses = Box::new(move |client, _| client == bob);
    let sent = 100;
    for number in 0..sent {
        push(&mut w, ann, &packet(5, number, &[7; 8_000]));
    }
    let (taken, dropped) = (w.count("data_track_sent"), w.count("data_track_dropped"));
    assert_eq!(taken + dropped, u64::from(sent));
    // 64 KiB wait at a time, and what was sent once is given up.
    assert!(dropped > u64::from(sent) / 2, "{dropped} dropped");
    w.loses = Box::new(|_, _| false);
    w.run_until("heard again", |w| {
        !w.clients[bob].messages.is_empty() || w.count("data_track_sent") > 0
    });
    let before = w.count("data_track_sent");
    w.run(Duration::from_secs(5));
    push(&mut w, ann, &packet(5, sent, b"again"));
    assert_eq!(w.count("data_track_sent"), before + 1);
    common::say(&mut w, ann, &common::packet(b"a message", 1));
    w.run_until("told", |w| {
        let text = |m: &Vec<u8>| m.windows(9).any(|x| x == b"a message");
        w.clients[bob].messages.iter().any(text)
    });
    assert_eq!(w.count("data_slow_reader"), 0);
}
