//! Failures that nobody hears: two ways, detours, replay, fan-out, what copies may cost, tags.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{World, ms, packet, stream};
use mesh::{Input, Output, Protection};
use proptest::prelude::*;
use wire::{Format, Header, MediaPacket, NodeId, StreamId};

fn video(sequence: u64, size: usize) -> Arc<MediaPacket> {
    let audio = packet(sequence, size);
    // No layers are told apart by the first byte of it.
    Arc::new(MediaPacket {
        format: Format::Vp8,
        payload: vec![0; size].into(),
        ..(*audio).clone()
    })
}

struct Heard {
    missing: Vec<u64>,
    /// How much later than the earliest any came.
    jump: Duration,
}

/// Publish a packet of what `make` makes each 20 ms for two seconds, with `fault` after one, and
/// say what node 3 heard.
fn speak(
    world: &mut World,
    s: StreamId,
    make: fn(u64, usize) -> Arc<MediaPacket>,
    fault: impl FnOnce(&mut World),
) -> Heard {
    world.want(3, s);
    world.run(ms(100));
    let mut sent: Vec<Instant> = Vec::new();
    let mut fault = Some(fault);
    for i in 0..150 {
        if i == 50 {
            // Between two packets, as it comes.
            world.run(ms(7));
            fault.take().unwrap()(world);
        }
        sent.push(world.now);
        world.publish(s, &make(i, 100));
        world.run(ms(20));
    }
    world.run(ms(600));
    let arrivals = world.arrivals(3);
    let missing = (0..150).filter(|i| !arrivals.contains_key(i)).collect();
    let delays: Vec<Duration> = arrivals
        .iter()
        .map(|(i, at)| *at - sent[*i as usize])
        .collect();
    let (most, least) = (delays.iter().max(), delays.iter().min());
    let jump = most
        .zip(least)
        .map_or(Duration::ZERO, |(most, least)| *most - *least);
    Heard { missing, jump }
}

fn cut(pairs: &'static [(u16, u16)]) -> impl FnOnce(&mut World) {
    move |world| world.filter = Box::new(move |a, b, _| !pairs.contains(&(a, b)))
}

/// Nodes 1 to 4, all linked; 1 and 3 reach each other by the first and second way.
fn two_ways(first: &[u16], second: &[u16]) -> World {
    let mut world = World::connected(&[1, 2, 3, 4]);
    world.ways(1, &[(3, first, second)]);
    world.ways(3, &[(1, first, second)]);
    world
}

#[test]
fn audio_loses_nothing_when_a_link_is_cut() {
    for (first, second, pairs) in [
        (&[][..], &[2][..], &[(1, 3), (3, 1)][..]),
        (&[2], &[4], &[(1, 2), (2, 1)]),
        (&[2], &[4], &[(2, 3), (3, 2)]),
        // One way only, here and there.
        (&[2], &[4], &[(1, 2)]),
        (&[2], &[4], &[(3, 2)]),
        (&[], &[4], &[(1, 3)]),
    ] {
        let mut world = two_ways(first, second);
        let heard = speak(&mut world, stream(1, 1), packet, cut(pairs));
        assert_eq!(heard.missing, [], "cut {pairs:?}");
        assert!(heard.jump <= ms(20), "{:?} for {pairs:?}", heard.jump);
    }
}

#[test]
fn audio_loses_nothing_when_a_relay_dies() {
    let mut world = two_ways(&[2], &[4]);
    let heard = speak(&mut world, stream(1, 1), packet, |world| {
        world.nodes.remove(&2);
    });
    assert_eq!(heard.missing, []);
    assert!(heard.jump <= ms(20), "{:?}", heard.jump);
}

#[test]
fn audio_loses_nothing_in_a_brown_out() {
    let mut world = two_ways(&[2], &[4]);
    let mut rng = fastrand::Rng::with_seed(11);
    let heard = speak(&mut world, stream(1, 1), packet, |world| {
        world.filter = Box::new(move |a, b, _| (a.min(b), a.max(b)) != (1, 2) || rng.f32() < 0.4);
    });
    assert_eq!(heard.missing, []);
    assert!(heard.jump <= ms(20), "{:?}", heard.jump);
}

#[test]
fn each_packet_leaves_the_mesh_once_and_copies_are_counted() {
    let mut world = two_ways(&[2], &[4]);
    let heard = speak(&mut world, stream(1, 1), packet, |_| {});
    assert_eq!(heard.missing, []);
    assert_eq!(world.media(3).len(), 150);
    assert!(world.count(1, "mesh_copies_sent_audio") == 150);
    assert!(world.count(3, "mesh_drop_copy") >= 150);
    assert!(world.count(3, "mesh_copies_won_audio") <= 150);
    let bytes = |name| world.count(1, name);
    assert_eq!(bytes("mesh_first_bytes"), bytes("mesh_copy_bytes"));
}

#[test]
fn video_goes_once_and_what_was_under_way_on_a_dead_link_is_replayed() {
    let mut world = two_ways(&[2], &[4]);
    let s = stream(1, 1);
    world.add(s, 0, false);
    let heard = speak(&mut world, s, video, cut(&[(1, 2), (2, 1)]));
    assert_eq!(heard.missing, []);
    assert!(world.count(1, "mesh_replayed") > 0);
    assert!(world.count(1, "mesh_copies_sent_rest") < 30);
    assert!(heard.jump <= ms(300), "{:?}", heard.jump);
}

#[test]
fn a_stream_is_copied_as_its_room_asks() {
    use mesh::Copies::{Always, Base, Never};
    // What is asked for, of a base layer or an upper one, and how many of 150 packets go twice.
    for (copies, base, twice) in [
        (Base, true, 150),
        (Base, false, 0),
        (Never, true, 0),
        (Never, false, 0),
        (Always, true, 150),
        (Always, false, 150),
    ] {
        let mut world = two_ways(&[2], &[4]);
        let s = stream(1, 1);
        world.add(s, 0, base);
        world.give(1, Input::SetCopies { stream: s, copies });
        let heard = speak(&mut world, s, video, |_| {});
        assert_eq!(heard.missing, []);
        let class = if base { "base" } else { "rest" };
        let sent = world.count(1, &format!("mesh_copies_sent_{class}"));
        assert_eq!(sent, twice, "{copies:?} of a base: {base}");
    }
}

#[test]
fn no_scene_takes_the_second_way_from_speech() {
    let mut world = two_ways(&[2], &[4]);
    let s = stream(1, 1);
    world.add(s, 0, true);
    let copies = mesh::Copies::Never;
    world.give(1, Input::SetCopies { stream: s, copies });
    let heard = speak(&mut world, s, packet, cut(&[(1, 2), (2, 1)]));
    assert_eq!(heard.missing, []);
    assert_eq!(world.count(1, "mesh_copies_sent_audio"), 150);
}

#[test]
fn a_relay_goes_around_its_next_link_and_replays_what_was_on_it() {
    for dead in [false, true] {
        let mut world = two_ways(&[2], &[2]);
        world.ways(2, &[(3, &[], &[4])]);
        let s = stream(1, 1);
        world.add(s, 0, false);
        let heard = speak(&mut world, s, video, |world| {
            // 1 and 3 have no link either: the relay alone can help.
            world.filter = Box::new(move |a, b, _| {
                let pair = (a.min(b), a.max(b));
                pair != (2, 3) && pair != (1, 3) && (pair != (1, 4) || !dead)
            });
        });
        assert_eq!(heard.missing, []);
        assert!(world.count(2, "mesh_detours") > 50);
        assert!(world.count(2, "mesh_replayed") > 0);
    }
}

#[test]
fn a_detour_is_made_once() {
    // 1 > 2 > 3, 2-3 is dead, and so is the link by which 4 would reach 3.
    let mut world = two_ways(&[2], &[2]);
    world.ways(2, &[(3, &[], &[4])]);
    world.ways(4, &[(3, &[], &[2])]);
    world.filter = Box::new(|a, b, _| a != 3 && b != 3);
    // Links in no use are looked at each second.
    world.run(ms(7_000));
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    let relayed = world.count(4, "mesh_relayed") + world.count(2, "mesh_relayed");
    for i in 0..10 {
        world.give(
            1,
            Input::Data {
                room: common::ROOM,
                tag: 0,
                reliable: false,
                bytes: vec![i].into(),
                nodes: &[NodeId(3)],
            },
        );
        world.run(ms(20));
    }
    world.run(ms(100));
    let after = world.count(4, "mesh_relayed") + world.count(2, "mesh_relayed");
    assert_eq!(after, relayed, "nothing goes to and fro");
    assert!(world.count(4, "mesh_drop_relay_next_hop_down") >= 10);
}

#[test]
fn copies_keep_to_their_budget_and_the_base_gives_way_first() {
    let mut world = two_ways(&[2], &[4]);
    // What audio needs and a little more: 50 packets of 120 bytes a second over two links.
    let protection = Protection {
        share: None,
        rate: Some(160_000),
    };
    world.give(1, Input::SetProtection(protection));
    let (voice, picture) = (stream(1, 1), stream(1, 2));
    world.add(picture, 0, true);
    world.want(3, voice);
    world.want(3, picture);
    world.run(ms(100));
    for i in 0..500 {
        world.publish(voice, &packet(i, 100));
        for k in 0..4 {
            world.publish(picture, &video(i * 4 + k, 1_000));
        }
        world.run(ms(20));
    }
    assert_eq!(world.count(1, "mesh_copies_left_out_audio"), 0);
    assert_eq!(world.count(1, "mesh_copies_sent_audio"), 500);
    let left_out = world.count(1, "mesh_copies_left_out_base");
    assert!(left_out > 1_800, "{left_out}");
    let copies = world.count(1, "mesh_copy_bytes") as f64 * 8.0 / 10.0;
    assert!(copies < 160_000.0 * 1.15, "{copies} bit/s");
}

#[test]
fn one_copy_crosses_each_link_however_many_want_it() {
    let mut world = World::connected(&[1, 2, 3, 4, 5]);
    // 3, 4 and 5 are behind 2, and 2 wants it too.
    world.route(1, &[(2, &[]), (3, &[2]), (4, &[2]), (5, &[2, 4])]);
    let s = stream(1, 1);
    for node in 2..=5 {
        world.want(node, s);
    }
    world.run(ms(100));
    for node in 2..=5 {
        world.nodes.get_mut(&node).unwrap().watch();
    }
    for i in 0..10 {
        world.publish(s, &packet(i, 100));
        world.run(ms(20));
    }
    world.run(ms(100));
    for (node, from) in [(2, 1), (3, 2), (4, 2), (5, 4)] {
        assert_eq!(world.media(node), (0..10).collect::<Vec<_>>());
        let seen = world.nodes.get_mut(&node).unwrap().seen();
        let media = seen.iter().filter(|seen| seen.frame.len() > 100);
        let from_them = media.filter(|seen| seen.from == NodeId(from)).count();
        assert_eq!(from_them, 10, "at node {node}");
    }
    assert_eq!(world.count(1, "mesh_media_sent"), 40);
}

#[test]
fn a_frame_under_an_unknown_tag_goes_nowhere() {
    let mut world = two_ways(&[2], &[4]);
    let s = stream(1, 1);
    world.add(s, 77, true);
    for node in 2..=4 {
        world.nodes.get_mut(&node).unwrap().watch();
    }
    let heard = speak(&mut world, s, packet, |_| {});
    assert_eq!(heard.missing.len(), 150);
    assert!(world.count(1, "mesh_drop_tag_unknown") >= 150);
    for node in 2..=4 {
        let seen = world.nodes.get_mut(&node).unwrap().seen();
        let tag = |frame: &[u8]| Header::decode(frame).unwrap().0.tag;
        assert!(seen.iter().all(|seen| tag(&seen.frame) == 0));
    }
}

#[test]
fn routes_of_another_tag_never_serve_and_a_removed_stream_has_none() {
    let mut world = two_ways(&[2], &[4]);
    world.policies(&[(77, &[1, 3])]);
    // The untagged ways lead through 2 and 4, which are not allowed; the direct link is.
    let s = stream(1, 1);
    world.add(s, 77, true);
    for relay in [2, 4] {
        world.nodes.get_mut(&relay).unwrap().watch();
    }
    let heard = speak(&mut world, s, packet, |_| {});
    assert_eq!(heard.missing, []);
    for relay in [2, 4] {
        let seen = world.nodes.get_mut(&relay).unwrap().seen();
        let tag = |frame: &[u8]| Header::decode(frame).unwrap().0.tag;
        assert!(seen.iter().all(|seen| tag(&seen.frame) == 0));
    }
    world.give(1, Input::RemoveStream { stream: s });
    world.publish(s, &packet(1_000, 10));
    assert_eq!(world.count(1, "mesh_drop_media_unknown_stream"), 1);
}

#[test]
fn a_relay_whose_own_table_forbids_it_passes_nothing_on() {
    let mut world = two_ways(&[2], &[2]);
    world.tagged(1, 77, &[(3, &[2], &[2])]);
    world.policies(&[(77, &[1, 2, 3])]);
    let s = stream(1, 1);
    world.add(s, 77, true);
    let heard = speak(&mut world, s, packet, |_| {});
    assert_eq!(heard.missing, []);
    let relayed = world.count(2, "mesh_relayed_tagged");
    assert!(relayed >= 150);
    let policy = mesh::Policy {
        tag: 77,
        nodes: vec![NodeId(1), NodeId(3)],
    };
    world.give(2, Input::SetPolicies(&[policy]));
    for sequence in 1_000..1_150 {
        world.publish(s, &packet(sequence, 100));
        world.run(ms(20));
    }
    let came = world.media(3).len();
    assert_eq!(
        came, 300,
        "the direct link stands in: nothing else was leased"
    );
    assert!(world.count(2, "mesh_drop_tag_forbidden") >= 150);
    assert_eq!(world.count(2, "mesh_relayed_tagged"), relayed);
}

#[test]
fn a_tag_that_is_not_known_yet_holds_up_its_own_data_alone() {
    let mut world = World::connected(&[1, 2]);
    let give = |world: &mut World, tag, byte: u8| {
        world.give(
            1,
            Input::Data {
                room: common::ROOM,
                tag,
                reliable: true,
                bytes: vec![byte].into(),
                nodes: &[NodeId(2)],
            },
        );
    };
    give(&mut world, 77, 1);
    give(&mut world, 0, 2);
    world.run(ms(500));
    assert_eq!(world.messages(2), [[2]]);
    world.policies(&[(77, &[1, 2])]);
    world.run(ms(500));
    assert_eq!(world.messages(2), [[2], [1]]);
}

type Ways = Vec<(u16, Vec<u16>, Option<Vec<u16>>, u32)>;

fn ways() -> impl Strategy<Value = Ways> {
    let via = || prop::collection::vec(1u16..6, 0..3);
    let way = (1u16..6, via(), prop::option::of(via()), 0u32..4);
    prop::collection::vec(way, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Random sets, routes of a broken controller, links that fail one way or both: nothing that
    /// is tagged is ever read by a node outside its set. `Mesh` checks the same of each frame
    /// before it is sent, in test builds with a panic; here all of it works together.
    #[test]
    fn no_tagged_frame_leaves_its_set(
        sets in prop::collection::vec(prop::collection::btree_set(1u16..6, 0..6), 3),
        tables in prop::collection::vec(ways(), 5),
        cuts in prop::collection::vec((1u16..6, 1u16..6), 0..8),
        tags in prop::collection::vec(0u32..5, 5),
    ) {
        let mut world = World::connected(&[1, 2, 3, 4, 5]);
        let sets: Vec<Vec<u16>> = sets.into_iter().map(|s| s.into_iter().collect()).collect();
        let policies: Vec<(u32, &[u16])> = (1..).zip(sets.iter().map(|s| &s[..])).collect();
        world.policies(&policies);
        for (node, table) in (1..).zip(&tables) {
            let nodes = |ids: &[u16]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
            let routes: Vec<mesh::Route> = table.iter().map(|(to, via, second, tag)| mesh::Route {
                destination: NodeId(*to),
                via: nodes(via),
                second: second.as_deref().map(nodes),
                tag: *tag,
            }).collect();
            world.give(node, Input::SetRoutes(&routes));
        }
        for (node, tag) in (1u16..).zip(&tags) {
            world.add(stream(node, 1), *tag, false);
            for other in (1..6).filter(|n| *n != node) {
                world.want(other, stream(node, 1));
            }
            world.nodes.get_mut(&node).unwrap().watch();
        }
        world.run(ms(200));
        for i in 0..60 {
            if i == 20 {
                let cuts = cuts.clone();
                world.filter = Box::new(move |a, b, _| !cuts.contains(&(a, b)));
            }
            for (node, tag) in (1u16..).zip(&tags) {
                world.publish(stream(node, 1), &if i % 2 == 0 { packet(i, 50) } else { video(i, 50) });
                let nodes: Vec<NodeId> = (1..6).map(NodeId).collect();
                world.give(node, Input::Data {
                    room: common::ROOM, tag: *tag, reliable: i % 3 == 0,
                    bytes: vec![1].into(), nodes: &nodes,
                });
            }
            world.run(ms(20));
        }
        for node in 1..6 {
            for seen in world.nodes.get_mut(&node).unwrap().seen() {
                let (header, _) = Header::decode(&seen.frame).unwrap();
                let set = sets.get((header.tag as usize).wrapping_sub(1));
                let allowed = header.tag == 0 || set.is_some_and(|set| set.contains(&node));
                prop_assert!(allowed, "node {} saw {:?}", node, header);
            }
        }
        for (node, output) in &world.events {
            if let Output::Media { stream, .. } = output {
                let tag = tags[usize::from(stream.origin().0) - 1];
                let set = sets.get((tag as usize).wrapping_sub(1));
                prop_assert!(tag == 0 || set.is_some_and(|set| set.contains(node)));
            }
        }
    }
}
