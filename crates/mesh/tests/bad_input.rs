//! What others do wrong is counted and dropped, and nobody else notices.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, address, key, ms, packet, stream};
use mesh::{Config, Input, Mesh, Output, public_key};
use proptest::prelude::*;
use wire::{Class, Content, Header, NodeId, SEALED_HEADER, Segment, StreamId, TreeBuf};

/// A world in which node 1 is about to get what `corrupt` makes of node 2's datagrams.
fn sealed_from_2(world: &mut World) -> Vec<Vec<u8>> {
    world.want(1, stream(2, 1));
    world.run(ms(100));
    world.sent.clear();
    for i in 0..10 {
        world.publish(stream(2, 1), &packet(i, 100));
        world.run(ms(5));
    }
    world.run(ms(100));
    let sent = world.sent.len();
    world.run(world.delay);
    world.sent.truncate(sent); // the rest has not arrived
    let from_2 = |(from, _, bytes): (u16, u16, Vec<u8>)| (from == 2).then_some(bytes);
    world.sent.drain(..).filter_map(from_2).collect()
}

#[test]
fn forged_replayed_and_cut_datagrams() {
    let mut world = World::connected(&[1, 2]);
    let datagrams = sealed_from_2(&mut world);
    assert_eq!(world.media(1).len(), 10);
    let before = world.nodes[&1].counts();
    for datagram in &datagrams {
        world.datagram(1, address(2), datagram);
        let mut forged = datagram.clone();
        *forged.last_mut().unwrap() ^= 1;
        forged[5] = 0x7f; // a counter far ahead
        world.datagram(1, address(2), &forged);
        world.datagram(1, address(2), &datagram[..SEALED_HEADER + 5]);
        let mut misled = datagram.clone();
        misled[1] ^= 0x55;
        world.datagram(1, address(2), &misled);
    }
    let grown = |name: &str| world.count(1, name) - before[name];
    let n = datagrams.len() as u64;
    assert_eq!(grown("mesh_drop_replayed"), n);
    assert_eq!(grown("mesh_drop_forged"), n);
    assert_eq!(grown("mesh_drop_malformed"), n);
    assert_eq!(grown("mesh_drop_unknown_session"), n);
    assert_eq!(world.media(1).len(), 10);
    // A forged counter did not move the window.
    world.publish(stream(2, 1), &packet(10, 100));
    world.run(ms(100));
    assert_eq!(world.media(1).len(), 11);
}

#[test]
fn a_forger_cannot_take_a_links_address() {
    let mut world = World::connected(&[1, 2]);
    let datagrams = sealed_from_2(&mut world);
    world.sent.clear();
    world.datagram(1, address(66), &datagrams[3]);
    world.run(ms(1_000));
    world.publish(stream(1, 1), &packet(0, 10));
    assert!(world.is_up(2, 1), "node 1 still sends to node 2");
}

#[test]
fn old_datagrams_are_refused_after_a_restart_and_after_new_keys() {
    let mut world = World::connected(&[1, 2]);
    let old = sealed_from_2(&mut world);
    world.start(1);
    world.introduce(1, 2);
    world.run(ms(500));
    world.want(1, stream(2, 1));
    world.run(ms(100));
    world.forget();
    for datagram in &old {
        world.datagram(1, address(2), datagram);
    }
    assert_eq!(world.media(1), []);
    assert!(world.is_up(1, 2));
}

#[test]
fn strangers_get_no_answer() {
    let mut world = World::connected(&[1, 2]);
    world.start(3);
    world.introduce(3, 1);
    world.run(ms(10_000));
    assert!(!world.is_up(3, 1));
    assert!(world.count(1, "mesh_drop_unknown_key") >= 5);
    assert!(
        !world
            .sent
            .iter()
            .any(|(from, to, _)| (*from, *to) == (1, 3))
    );
    assert!(world.is_up(1, 2));
}

#[test]
fn a_pinned_key_cannot_speak_for_another_node() {
    let mut world = World::connected(&[1, 2]);
    // Node 2's key, but it says that it is node 9.
    let mut liar = Mesh::new(Config::new(NodeId(9), key(2), 1), world.now);
    let mut out = Vec::new();
    liar.handle(
        world.now,
        Input::AddPeer {
            node: NodeId(1),
            public_key: public_key(&key(1)),
            addresses: &[address(1)],
        },
        &mut out,
    );
    liar.handle(world.now, Input::Timeout, &mut out);
    let [Output::Transmit { bytes, .. }] = &out[..] else {
        panic!("{out:?}")
    };
    world.datagram(1, address(2), bytes);
    assert_eq!(world.count(1, "mesh_drop_unknown_key"), 1);
}

#[test]
fn a_replayed_handshake_disturbs_nothing() {
    let mut world = World::new(&[1, 2]);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(1_000));
    let first: Vec<Vec<u8>> = world
        .sent
        .iter()
        .filter(|s| s.2[0] == 1)
        .map(|s| s.2.clone())
        .collect();
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    // Both ends start anew, so that none remembers having answered.
    for i in 0..200 {
        for bytes in &first {
            world.datagram(1, address(2), bytes);
            world.datagram(2, address(1), bytes);
            world.datagram(2, address(77), bytes);
        }
        world.publish(s, &packet(i, 50));
        world.run(ms(10));
    }
    world.run(ms(100));
    assert_eq!(world.media(2), (0..200).collect::<Vec<_>>());
    assert_eq!(world.changes(1, 2), [true]);
}

#[test]
fn a_flood_of_handshakes_is_limited_and_peers_still_connect() {
    let mut world = World::new(&[1, 2]);
    let mut flood = vec![1];
    flood.extend([9; 110]);
    for _ in 0..1_000 {
        world.datagram(1, address(50), &flood);
    }
    assert_eq!(world.count(1, "mesh_drop_forged"), 50);
    assert_eq!(world.count(1, "mesh_drop_handshake_flood"), 950);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(500));
    assert!(world.is_up(1, 2));
}

/// Where a wrong frame says that it comes from, how many links it has crossed, and its way on.
type Way = (u16, u8, &'static [u16]);

fn header((origin, hops, _): Way, serial: u32, tree: &TreeBuf) -> Header<'_> {
    Header {
        origin: NodeId(origin),
        epoch: 1,
        serial,
        class: Class::Control,
        hops,
        detoured: false,
        tag: 0,
        tree: tree.as_tree(),
    }
}

fn chain((_, _, nodes): Way) -> TreeBuf {
    let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
    TreeBuf::chain(&nodes).unwrap()
}

/// From node 2 itself to node 1.
const STRAIGHT: Way = (2, 1, &[1]);

/// Contents that node 2 may send, authentic but wrong, and the counter each moves at node 1.
fn wrong_frames() -> Vec<(&'static str, Way, Content<'static>)> {
    let lossy = Content::Lossy {
        room: common::ROOM,
        bytes: b"x",
    };
    let keyframe = |origin| Content::Keyframe {
        stream: stream(origin, 1),
    };
    let segment = |epoch, base, sequence| {
        Content::Reliable(Segment {
            epoch,
            base,
            sequence,
            first: true,
            last: true,
            bytes: b"short",
        })
    };
    vec![
        ("mesh_drop_route", (2, 1, &[3]), lossy.clone()),
        ("mesh_drop_route", (3, 1, &[1]), lossy.clone()),
        ("mesh_drop_route", (1, 1, &[3]), lossy.clone()),
        ("mesh_drop_malformed", (2, 3, &[1, 3]), lossy.clone()),
        ("mesh_drop_relay_next_hop_down", (2, 1, &[1, 3]), lossy),
        (
            "mesh_drop_media_unwanted",
            STRAIGHT,
            Content::Media {
                stream: stream(2, 99),
                packet: b"\x01\x00\x00\x00\x00\x00\x00",
            },
        ),
        (
            "mesh_drop_malformed",
            STRAIGHT,
            Content::Media {
                stream: stream(2, 1),
                packet: b"\xff",
            },
        ),
        (
            "mesh_drop_route",
            STRAIGHT,
            Content::Media {
                stream: stream(5, 1),
                packet: b"\x01\x00\x00\x00\x00\x00\x00",
            },
        ),
        ("mesh_drop_keyframe_unwanted", STRAIGHT, keyframe(1)),
        ("mesh_drop_keyframe_unwanted", STRAIGHT, keyframe(7)),
        (
            "mesh_drop_want_foreign",
            STRAIGHT,
            Content::Want {
                epoch: 1,
                version: 1,
                wanted: true,
                streams: vec![StreamId(7), stream(2, 1)],
            },
        ),
        ("mesh_drop_data_invalid", STRAIGHT, segment(1, 0, 0)),
        ("mesh_drop_data_invalid", STRAIGHT, segment(2, 0, 5_000)),
        (
            "mesh_drop_data_invalid",
            STRAIGHT,
            segment(2, u64::MAX, u64::MAX),
        ),
        ("mesh_drop_data_ancient", STRAIGHT, segment(1, 0, 1)),
        (
            "mesh_drop_data_ancient",
            STRAIGHT,
            Content::Acknowledge {
                epoch: 3,
                receiver: 4,
                next: 1 << 60,
                received: [u64::MAX; 4],
            },
        ),
        (
            "mesh_drop_partial_message",
            STRAIGHT,
            Content::Fragment {
                message: 1,
                index: 0,
                count: 255,
                bytes: b"",
            },
        ),
        (
            "mesh_drop_malformed",
            STRAIGHT,
            Content::Fragment {
                message: 1,
                index: 0,
                count: 1,
                bytes: b"\x07\x00\x00\x00\x01\x00\x01",
            },
        ),
    ]
}

#[test]
fn authentic_frames_that_say_something_impossible() {
    let mut world = World::connected(&[1, 2]);
    world.want(1, stream(2, 1));
    world.run(ms(100));
    for (serial, (name, way, content)) in (0..).zip(wrong_frames()) {
        let before = world.count(1, name);
        let mut bytes = Vec::new();
        content.encode(&mut bytes);
        let mut out = Vec::new();
        let mesh = world.nodes.get_mut(&2).unwrap();
        let tree = chain(way);
        let header = header(way, serial, &tree);
        mesh.send_raw(world.now, NodeId(1), &header, &bytes, &mut out);
        for output in out {
            if let Output::Transmit { bytes, .. } = output {
                world.datagram(1, address(2), &bytes);
            }
        }
        world.run(ms(30));
        assert!(world.count(1, name) > before, "{name}: {content:?}");
    }
    assert_eq!(world.media(1), []);
    assert_eq!(world.messages(1).len(), 0);
    world.publish(stream(2, 1), &packet(1, 10));
    world.run(ms(100));
    assert_eq!(world.media(1), [1], "and the link goes on");
}

#[test]
fn a_revoked_key_ends_the_session_at_once_and_is_refused_by_name() {
    let mut world = World::connected(&[1, 2]);
    let old = sealed_from_2(&mut world);
    world.events.clear();
    world.give(1, Input::RemovePeer { node: NodeId(2) });
    assert_eq!(world.changes(1, 2), [false]);
    for datagram in &old {
        world.datagram(1, address(2), datagram);
    }
    let n = old.len() as u64;
    assert_eq!(world.count(1, "mesh_drop_revoked_key"), n);
    // Nor does a handshake help: the thief's are told from strangers'.
    world.run(ms(10_000));
    assert!(world.count(1, "mesh_drop_revoked_key") > n + 3);
    assert_eq!(world.count(1, "mesh_drop_unknown_key"), 0);
    assert!(!world.is_up(2, 1));
    // The key is the node's again: it is taken again.
    world.introduce(1, 2);
    world.run(ms(8_000));
    assert!(world.nodes[&1].links()[0].state != mesh::LinkState::Connecting);
}

#[test]
fn another_key_for_a_node_ends_the_session_of_the_first() {
    let mut world = World::connected(&[1, 2]);
    let old = sealed_from_2(&mut world);
    world.give(
        1,
        Input::AddPeer {
            node: NodeId(2),
            public_key: public_key(&key(22)),
            addresses: &[address(2)],
        },
    );
    for datagram in &old {
        world.datagram(1, address(2), datagram);
    }
    world.run(ms(10_000));
    assert!(world.count(1, "mesh_drop_revoked_key") > old.len() as u64);
    assert_eq!(world.link(1, 2).state, mesh::LinkState::Connecting);
    assert_eq!(world.media(1).len(), 10);
}

/// A stream from node 2 to node 1, a packet each 20 ms.
fn talk(world: &mut World, from: u64, packets: u64) {
    for i in from..from + packets {
        world.publish(stream(2, 1), &packet(i, 100));
        world.run(ms(20));
    }
}

#[test]
fn a_clock_that_jumps_at_either_end_spoils_no_measure_and_no_stream() {
    for jumper in [1, 2] {
        for jump in [100, 400, 1_500, 100_000, 4_000_000_000 / 1_000] {
            let mut world = World::connected(&[1, 2]);
            world.want(1, stream(2, 1));
            talk(&mut world, 0, 200);
            world.ahead.insert(jumper, ms(jump));
            talk(&mut world, 200, 500);
            let what = format!("node {jumper} by {jump} ms");
            for (node, peer) in [(1, 2), (2, 1)] {
                let link = world.link(node, peer);
                let rtt = link.rtt.unwrap();
                assert!(rtt.abs_diff(ms(40)) < ms(2), "{what}: {link:?}");
                assert!(link.rtt_p95.unwrap() < ms(45), "{what}: {link:?}");
                assert!(link.delay_change < ms(5), "{what}: {link:?}");
                assert!(link.queue < ms(5), "{what}: {link:?}");
                assert_eq!(world.count(node, "mesh_link_downs"), 0, "{what}");
            }
            let odd = world.count(1, "mesh_odd_times") + world.count(2, "mesh_odd_times");
            assert!(odd > 0, "{what}");
            // A want is repeated each second: so long may an origin whose clock went on miss it.
            let wanted = if jump < 5_000 { 690 } else { 640 };
            assert!(world.media(1).len() >= wanted, "{what}");
        }
    }
}

#[test]
fn reordered_and_late_datagrams_are_taken_once_and_ancient_ones_not_at_all() {
    let mut world = World::connected(&[1, 2]);
    world.want(1, stream(2, 1));
    world.run(ms(100));
    let mut held = Vec::new();
    world.filter = Box::new(|from, _, bytes| from != 2 || bytes.len() < 150);
    for i in 0..20 {
        world.sent.clear();
        world.publish(stream(2, 1), &packet(i, 200));
        world.run(ms(5));
        let big = |(from, _, b): &(u16, u16, Vec<u8>)| *from == 2 && b.len() >= 150;
        held.extend(world.sent.iter().find(|s| big(s)).map(|s| s.2.clone()));
    }
    held.reverse();
    for datagram in &held {
        world.datagram(1, address(2), datagram);
        world.datagram(1, address(2), datagram);
    }
    assert_eq!(world.media(1).len(), 20);
    assert_eq!(world.count(1, "mesh_drop_replayed"), 20);
    world.filter = Box::new(|_, _, _| true);
    for i in 20..20_000 {
        world.publish(stream(2, 1), &packet(i, 10));
        world.give(2, Input::Timeout);
        if i % 100 == 0 {
            world.run(ms(20));
            world.sent.clear();
        }
    }
    let before = world.count(1, "mesh_drop_replayed");
    world.datagram(1, address(2), &held[0]);
    assert_eq!(world.count(1, "mesh_drop_replayed"), before + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn garbage_never_stops_a_node(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..50),
        kinds in prop::collection::vec(0u8..5, 50),
    ) {
        let mut world = World::new(&[1, 2]);
        world.introduce(1, 2);
        for (mut bytes, kind) in datagrams.into_iter().zip(kinds) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            world.datagram(1, address(2), &bytes);
            world.run(ms(1));
        }
        world.introduce(2, 1);
        world.run(ms(3_000));
        prop_assert!(world.is_up(1, 2));
    }

    #[test]
    fn authentic_garbage_never_stops_a_node(
        frames in prop::collection::vec((0u8..9, prop::collection::vec(any::<u8>(), 0..200)), 1..100),
    ) {
        let mut world = World::connected(&[1, 2]);
        let tree = chain(STRAIGHT);
        for (serial, (kind, mut bytes)) in (0..).zip(frames) {
            let header = header(STRAIGHT, serial, &tree);
            bytes.insert(0, kind);
            let mut out = Vec::new();
            let mesh = world.nodes.get_mut(&2).unwrap();
            mesh.send_raw(world.now, NodeId(1), &header, &bytes, &mut out);
            for output in out {
                if let Output::Transmit { bytes, .. } = output {
                    world.datagram(1, address(2), &bytes);
                }
            }
        }
        world.run(ms(1_000));
        prop_assert!(world.is_up(1, 2));
    }
}
