//! What operators complain about in cascades of SFUs (`overlay.md` section 7), one test a row.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{World, ms, packet, stream};
use mesh::{Input, LinkState, Output};
use wire::{Class, Content, Format, Header, MediaPacket, NodeId, StreamId, TreeBuf};

fn picture(sequence: u64, keyframe: bool) -> Arc<MediaPacket> {
    let audio = packet(sequence, 300);
    Arc::new(MediaPacket {
        format: Format::Vp8,
        keyframe,
        ..(*audio).clone()
    })
}

fn ask(world: &mut World, node: u16, stream: StreamId) {
    world.give(node, Input::RequestKeyframe { stream });
}

/// Requests that came out at the publisher's node.
fn asked(world: &World, stream: StreamId) -> usize {
    let of = |e: &&(u16, Output)| matches!(e, (_, Output::RequestKeyframe { stream: s }) if *s == stream);
    world.events.iter().filter(of).count()
}

/// Edges 3 to 6 behind relay 2, all of which want a stream of node 1.
fn star() -> (World, StreamId) {
    let mut world = World::connected(&[1, 2, 3, 4, 5, 6]);
    world.filter = Box::new(|a, b, _| a == 2 || b == 2);
    world.run(ms(1_000));
    let s = stream(1, 1);
    world.route(1, &[(3, &[2]), (4, &[2]), (5, &[2]), (6, &[2])]);
    for edge in 3..=6 {
        world.route(edge, &[(1, &[2])]);
        world.want(edge, s);
    }
    world.run(ms(200));
    world.forget();
    (world, s)
}

/// "Keyframe storm across bridges: relayed PLI bypasses both limiters."
#[test]
fn keyframe_storm_across_bridges() {
    let (mut world, s) = star();
    for _ in 0..200 {
        for edge in 3..=6 {
            ask(&mut world, edge, s);
        }
        world.run(ms(10));
    }
    let n = asked(&world, s);
    assert!(
        (2..=5).contains(&n),
        "{n} requests to the publisher in two seconds"
    );
    let by_edges: u64 = (3..=6)
        .map(|n| world.count(n, "mesh_keyframe_requests_sent"))
        .sum();
    assert!(by_edges <= 4 * 4, "{by_edges} of 800 left the edges");
    assert!(
        world.count(2, "mesh_keyframe_requests_absorbed") > 0,
        "the relay merges them"
    );
    // A request says whose it is: nobody asks for what he does not want.
    let tree = TreeBuf::chain(&[NodeId(1)]).unwrap();
    let header = Header {
        origin: NodeId(2),
        epoch: 9,
        serial: 1,
        class: Class::Control,
        hops: 1,
        detoured: false,
        tag: 0,
        tree: tree.as_tree(),
    };
    let mut content = Vec::new();
    Content::Keyframe { stream: s }.encode(&mut content);
    let mut out = Vec::new();
    let relay = world.nodes.get_mut(&2).unwrap();
    relay.send_raw(world.now, NodeId(1), &header, &content, &mut out);
    for output in out {
        if let Output::Transmit { bytes, .. } = output {
            world.datagram(1, common::address(2), &bytes);
        }
    }
    assert_eq!(world.count(1, "mesh_drop_keyframe_unwanted"), 1);
}

/// "Dozens of PLI/s with simulcast": what a keyframe has served is not asked for again, and each
/// layer counts for itself.
#[test]
fn dozens_of_requests_a_second_with_simulcast() {
    let mut world = World::connected(&[1, 2]);
    let layers = [stream(1, 1), stream(1, 2), stream(1, 3)];
    for s in layers {
        world.want(2, s);
    }
    world.run(ms(100));
    for (i, s) in layers.into_iter().enumerate() {
        for _ in 0..20 {
            ask(&mut world, 2, s);
        }
        world.run(ms(50));
        assert_eq!(asked(&world, s), 1, "layer {i}");
        world.publish(s, &picture(i as u64, true));
    }
    world.run(ms(5_000));
    for s in layers {
        assert_eq!(asked(&world, s), 1, "the keyframe came: no more");
    }
}

/// "First PLI or keyframe lost => black forever."
#[test]
fn the_first_request_or_keyframe_is_lost() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    // Too long for any repair of the link.
    world.filter = Box::new(|_, _, _| false);
    ask(&mut world, 2, s);
    world.run(ms(450));
    world.filter = Box::new(|_, _, _| true);
    world.run(ms(1_500));
    assert!(asked(&world, s) >= 1, "asked again");
    let before = asked(&world, s);
    world.run(ms(4_500));
    assert!(asked(&world, s) > before, "and again, for none came");
    world.publish(s, &picture(1, true));
    world.run(ms(100));
    let settled = asked(&world, s);
    world.run(ms(10_000));
    assert_eq!(asked(&world, s), settled);
}

/// "Remote publisher starts 5-10 s late because the RTCP path was not wired."
#[test]
fn a_remote_publisher_starts_at_once() {
    let (mut world, _) = star();
    let late = stream(1, 9);
    world.publish(late, &picture(0, true));
    let begun = world.now;
    world.want(3, late);
    ask(&mut world, 3, late);
    let mut answered = None;
    for i in 1..50 {
        world.run(ms(5));
        if answered.is_none() && asked(&world, late) > 0 {
            answered = Some(world.now - begun);
        }
        world.publish(late, &picture(i, answered.is_some()));
    }
    world.run(ms(100));
    // Two links of 20 ms each way: the request is there after one way, media after two.
    assert!(answered.unwrap() <= ms(50), "{answered:?}");
    let first = world.arrivals(3).into_values().min().unwrap() - begun;
    assert!(first <= ms(90), "{first:?}");
}

/// "Same SSRC for all remote publishers => switch breaks."
#[test]
fn streams_of_all_nodes_are_named_apart() {
    let mut world = World::connected(&[1, 2, 3]);
    // Each node's first stream, with the same sequence numbers.
    let streams = [stream(1, 1), stream(2, 1)];
    for s in streams {
        world.want(3, s);
    }
    world.run(ms(100));
    for i in 0..20 {
        for s in streams {
            world.publish(s, &packet(i, 50));
        }
        world.run(ms(20));
    }
    world.run(ms(100));
    for s in streams {
        let of =
            |e: &&(u16, Output)| matches!(e, (3, Output::Media { stream, .. }) if *stream == s);
        assert_eq!(world.events.iter().filter(of).count(), 20);
    }
}

/// "NACK for packets the previous server never had; retries exhausted."
#[test]
fn what_the_source_never_had_is_not_asked_for() {
    let (mut world, s) = star();
    for i in 0..200 {
        // Nine of ten were lost before they came to the mesh.
        world.publish(s, &packet(i * 10, 100));
        world.run(ms(10));
    }
    world.run(ms(300));
    assert_eq!(world.media(3).len(), 200);
    for node in 1..=6 {
        assert_eq!(world.count(node, "mesh_repairs_sent"), 0);
        assert_eq!(world.count(node, "mesh_repairs_missed"), 0);
    }
}

/// "Pipe without RTX/SRTP across hosts."
#[test]
fn a_link_is_sealed_and_repaired_and_nothing_turns_that_off() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    world.sent.clear();
    let mut rng = fastrand::Rng::with_seed(3);
    world.filter = Box::new(move |_, _, _| rng.f32() > 0.03);
    let secret = b"nobody on the way reads this";
    for i in 0..500 {
        let mut packet = (*packet(i, 0)).clone();
        packet.payload = secret[..].into();
        world.publish(s, &Arc::new(packet));
        world.run(ms(10));
    }
    world.run(ms(300));
    assert!(world.media(2).len() >= 499, "{}", world.media(2).len());
    let readable = |bytes: &[u8]| bytes.windows(8).any(|w| w == &secret[..8]);
    assert!(!world.sent.iter().any(|(_, _, bytes)| readable(bytes)));
}

/// "Simulcast collapsed to one layer across the pipe."
#[test]
fn layers_cross_as_streams_of_their_own_and_only_if_wanted() {
    let mut world = World::connected(&[1, 2, 3]);
    let layers = [stream(1, 1), stream(1, 2), stream(1, 3)];
    for s in layers {
        world.want(2, s);
    }
    world.want(3, layers[0]);
    world.run(ms(100));
    for i in 0..50 {
        for s in layers {
            world.publish(s, &picture(i, i == 0));
        }
        world.run(ms(20));
    }
    world.run(ms(200));
    let got = |node: u16, s: StreamId| {
        let of = |e: &&(u16, Output)| matches!(e, (n, Output::Media { stream, .. }) if (*n, *stream) == (node, s));
        world.events.iter().filter(of).count()
    };
    assert_eq!(layers.map(|s| got(2, s)), [50, 50, 50]);
    assert_eq!(layers.map(|s| got(3, s)), [50, 0, 0]);
    assert_eq!(
        world.count(3, "mesh_drop_media_unwanted"),
        0,
        "none crossed in vain"
    );
}

/// "BWE on a pipe: endpoint BWE starves a DC link; or 0 video => never probes up."
#[test]
fn no_estimate_holds_a_link_back_after_a_pause() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(30_000));
    let from = world.now;
    // 8 Mbit/s from the first packet on.
    for i in 0..1_000 {
        world.publish(s, &picture(i, i == 0));
        if i % 4 == 3 {
            world.run(ms(1));
        }
    }
    world.run(ms(100));
    assert_eq!(world.media(2).len(), 1_000);
    let last = world.arrivals(2).into_values().max().unwrap() - from;
    assert!(last < ms(350), "{last:?}");
}

/// "One weak viewer degrades all."
#[test]
fn one_weak_viewer_degrades_nobody() {
    let mut world = World::connected(&[1, 2, 3]);
    let layers = [stream(1, 1), stream(1, 2)];
    for s in layers {
        world.want(2, s);
        world.want(3, s);
    }
    world.run(ms(100));
    let mut rng = fastrand::Rng::with_seed(9);
    world.filter = Box::new(move |a, b, _| (a.max(b)) != 3 || rng.f32() > 0.6);
    for i in 0..250 {
        if i == 100 {
            // The weak one turns to the lowest layer.
            world.give(3, Input::Unwant { stream: layers[1] });
        }
        for s in layers {
            world.publish(s, &picture(i, i == 0));
        }
        world.run(ms(20));
    }
    world.run(ms(300));
    assert_eq!(world.media(2).len(), 500, "all of both layers");
    let told = |e: &(u16, Output)| matches!(e, (1, Output::Wanted { wanted: false, .. }));
    assert!(
        !world.events.iter().any(told),
        "the publisher goes on with both"
    );
}

/// "Retransmit demux across receive pipelines."
#[test]
fn repairs_belong_to_a_link_and_not_to_a_stream() {
    let mut world = World::connected(&[1, 2, 3]);
    let streams: Vec<StreamId> = (1..20).map(|n| stream(1, n)).collect();
    for s in &streams {
        world.want(2, *s);
        world.want(3, *s);
    }
    world.run(ms(100));
    let mut rng = fastrand::Rng::with_seed(2);
    world.filter = Box::new(move |a, b, _| (a, b) != (1, 2) || rng.f32() > 0.05);
    for i in 0..100 {
        for s in &streams {
            world.publish(*s, &packet(i, 100));
        }
        world.run(ms(20));
    }
    world.run(ms(300));
    for node in [2, 3] {
        let got = world.media(node).len();
        assert!(got >= 19 * 100 - 40, "{got} at node {node}");
    }
    assert!(world.count(2, "mesh_repaired") > 0);
    assert_eq!(
        world.count(3, "mesh_repaired"),
        0,
        "the other link was whole"
    );
}

/// "100 users = 100 publish_remotely calls": to subscribe is all that anyone says, and it holds
/// over a publisher's restart and a link that comes later.
#[test]
fn a_subscription_is_all_that_is_said() {
    let mut world = World::new(&[1, 2]);
    let streams: Vec<StreamId> = (1..=100).map(|n| stream(1, n)).collect();
    for s in &streams {
        world.want(2, *s);
    }
    world.run(ms(500));
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(1_500));
    assert!(world.is_up(1, 2));
    for s in &streams {
        world.publish(*s, &packet(1, 50));
    }
    world.run(ms(200));
    assert_eq!(world.media(2).len(), 100);
    world.start(1);
    world.introduce(1, 2);
    world.run(ms(1_500));
    let link = &world.nodes[&2].links()[0];
    assert_ne!(link.state, LinkState::Down);
    for s in &streams {
        world.publish(*s, &packet(2, 50));
    }
    world.run(ms(200));
    assert_eq!(world.media(2).len(), 200);
}
