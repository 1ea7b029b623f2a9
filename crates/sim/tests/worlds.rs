//! Whole worlds: what calls need of the mesh, in any weather.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use netem::{Loss, Weather};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sim::{Breakage, Fault, Kind, PublisherId, Storm, Strike, World};
use wire::RoomKey;

const ROOM: RoomKey = RoomKey([1; 16]);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn far(delay: u64) -> Weather {
    Weather::delayed(ms(delay))
}

fn cut(a: u16, b: u16, cut: bool) -> Fault {
    let loss = Loss::None;
    Fault::Weather { a, b, loss, cut }
}

/// Nodes 1 (Jakarta), 2 (Singapore) and 3 (Frankfurt), every path there.
fn triangle(seed: u64) -> World {
    let mut world = World::new(seed, Instant::now());
    world.add_nodes(3);
    world.add_path(1, 2, far(8));
    world.add_path(2, 3, far(90));
    world.add_path(1, 3, far(85));
    world
}

/// Audio and video both ways between nodes 1 and 3, and messages.
fn call(world: &mut World) -> Vec<PublisherId> {
    let mut publishers = Vec::new();
    for (node, other) in [(1, 3), (3, 1)] {
        for kind in [Kind::Audio, Kind::Video] {
            let publisher = world.publish(node, kind);
            world.subscribe(other, publisher);
            publishers.push(publisher);
        }
    }
    world.chat(ROOM, 1, &[3], true);
    world.chat(ROOM, 3, &[1], true);
    world.chat(ROOM, 1, &[3], false);
    publishers
}

fn assert_good(world: &World) {
    let violations = world.violations();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn two_people_on_two_continents() {
    let mut world = triangle(1);
    let publishers = call(&mut world);
    world.run(ms(2_000));
    world.settle(ms(5_000), 0.0);
    assert_good(&world);
    for publisher in publishers {
        let node = if publisher.0 < 2 { 3 } else { 1 };
        assert!(world.worst_gap(node, publisher, ms(10_000)) <= ms(40));
    }
    assert_eq!(world.count("mesh_repairs_sent"), 0);
    assert_eq!(world.count("mesh_link_downs"), 0);
}

#[test]
fn without_a_direct_path_the_call_takes_the_relay() {
    let mut world = World::new(2, Instant::now());
    world.add_nodes(3);
    world.add_path(1, 2, far(8));
    world.add_path(2, 3, far(78));
    call(&mut world);
    world.settle(ms(5_000), 0.0);
    assert_good(&world);
    assert!(world.count_at(2, "mesh_relayed") > 2_000);
    assert_eq!(world.count_at(2, "mesh_media_delivered"), 0);
}

#[test]
fn three_percent_loss_is_repaired() {
    for loss in [
        Loss::Random(0.03),
        Loss::Bursts {
            good_packets: 97.0,
            bad_packets: 3.0,
            bad_loss: 1.0,
        },
    ] {
        let mut world = World::new(3, Instant::now());
        world.add_nodes(3);
        let lossy = |delay| Weather {
            loss,
            jitter: ms(2),
            ..far(delay)
        };
        world.add_path(1, 2, lossy(15));
        world.add_path(2, 3, lossy(30));
        call(&mut world);
        world.settle(ms(30_000), 0.001);
        assert_good(&world);
        assert!(world.count("mesh_repaired") > 500);
        assert_eq!(world.count("mesh_link_downs"), 0);
    }
}

#[test]
fn a_cut_direct_path_is_not_heard() {
    for seed in 0..10 {
        let mut world = triangle(seed);
        let publishers = call(&mut world);
        world.run(ms(3_000));
        world.fault(ms(1_000 + seed * 13), cut(1, 3, true));
        world.run(ms(4_000));
        let gap = world.worst_gap(3, publishers[0], ms(4_000));
        // A packet each 20 ms; the second way is some longer than the first.
        assert!(gap < ms(60), "{gap:?}");
        world.fault(ms(0), cut(1, 3, false));
        world.settle(ms(3_000), 0.0);
        assert_good(&world);
    }
}

#[test]
fn reliable_messages_come_once_and_in_order_through_cuts() {
    let mut world = World::new(5, Instant::now());
    world.add_nodes(2);
    let weather = Weather {
        loss: Loss::Random(0.1),
        jitter: ms(10),
        reorder: true,
        ..far(60)
    };
    world.add_path(1, 2, weather);
    world.chat(ROOM, 1, &[2], true);
    world.chat(ROOM, 2, &[1], true);
    for i in 0..5 {
        world.fault(ms(3_000 + i * 6_000), cut(1, 2, true));
        world.fault(ms(5_500 + i * 6_000), cut(1, 2, false));
    }
    world.run(ms(40_000));
    world.settle(ms(2_000), 0.0);
    assert_good(&world);
    // All, also those written while there was no way.
    for (chat, node) in [(0, 2), (1, 1)] {
        let (received, sent) = world.messages(chat, node);
        assert!(sent > 400 && sent - received <= 3, "{received} of {sent}");
    }
}

#[test]
fn a_restarted_node_is_part_of_the_call_again() {
    for node in [1, 2, 3] {
        let mut world = World::new(6, Instant::now());
        world.add_nodes(3);
        world.add_path(1, 2, far(8));
        world.add_path(2, 3, far(78));
        call(&mut world);
        world.run(ms(3_000));
        world.fault(ms(0), Fault::Restart { node });
        world.settle(ms(3_000), 0.0);
        assert_good(&world);
    }
}

#[test]
fn a_broken_direction_is_a_broken_link() {
    let mut world = triangle(7);
    let publishers = call(&mut world);
    world.run(ms(3_000));
    let (from, to) = (1, 3);
    let cut = true;
    world.fault(ms(0), Fault::OneWay { from, to, cut });
    world.settle(ms(3_000), 0.0);
    assert_good(&world);
    assert!(world.worst_gap(3, publishers[0], ms(3_000)) < ms(60));
    assert!(world.count_at(2, "mesh_relayed") > 1_000);
}

#[test]
fn one_copy_to_each_node_and_none_to_a_strangers_room() {
    let mut world = World::new(8, Instant::now());
    world.add_nodes(5);
    for a in 1..=5 {
        for b in a + 1..=5 {
            world.add_path(a, b, far(20 + u64::from(a + b)));
        }
    }
    let rooms = [RoomKey([1; 16]), RoomKey([2; 16])];
    let mut expected = 0;
    for (room, members) in rooms.iter().zip([[1, 2, 3], [3, 4, 5]]) {
        for from in members {
            let publisher = world.publish(from, Kind::Audio);
            let others: Vec<u16> = members.into_iter().filter(|m| *m != from).collect();
            for to in &others {
                world.subscribe(*to, publisher);
                expected += 1;
            }
            world.chat(*room, from, &others, true);
        }
    }
    world.settle(ms(5_000), 0.0);
    assert_good(&world);
    let (received, published) = world.received(2, PublisherId(0));
    assert!(received + 100 > published);
    let copies = world.count("mesh_media_sent") as f64 / published as f64;
    assert!((expected as f64 - copies).abs() < 0.5, "{copies} copies");
}

#[test]
fn a_narrow_path_drops_but_nothing_grows() {
    let mut world = World::new(9, Instant::now());
    world.add_nodes(2);
    let narrow = Weather {
        rate: Some(700_000),
        queue_bytes: 20_000,
        ..far(40)
    };
    world.add_path(1, 2, narrow);
    call_between(&mut world, 1, 2);
    world.run(ms(20_000));
    assert_good(&world);
    let (received, published) = world.received(2, PublisherId(1));
    assert!(received > published / 4 && received < published);
}

fn call_between(world: &mut World, a: u16, b: u16) {
    for kind in [Kind::Audio, Kind::Video] {
        let publisher = world.publish(a, kind);
        world.subscribe(b, publisher);
    }
    world.chat(ROOM, a, &[b], true);
}

fn fault(nodes: u16) -> impl Strategy<Value = Fault> {
    let ends = (1..=nodes, 1..=nodes);
    let loss = prop_oneof![
        Just(Loss::None),
        (0.0..0.3f32).prop_map(Loss::Random),
        (2.0..200.0f32, 1.0..10.0f32).prop_map(|(good_packets, bad_packets)| Loss::Bursts {
            good_packets,
            bad_packets,
            bad_loss: 1.0
        }),
    ];
    prop_oneof![
        4 => (ends.clone(), any::<bool>()).prop_map(|((a, b), c)| cut(a, b, c)),
        3 => (ends.clone(), loss)
            .prop_map(|((a, b), loss)| Fault::Weather { a, b, loss, cut: false }),
        1 => (ends, any::<bool>()).prop_map(|((from, to), cut)| Fault::OneWay { from, to, cut }),
        2 => (1..=nodes).prop_map(|node| Fault::Restart { node }),
    ]
}

/// Five nodes in a ring with two chords, a call of three and messages among all.
fn troubled(seed: u64, faults: &[(u64, Fault)]) -> World {
    let mut world = World::new(seed, Instant::now());
    world.add_nodes(5);
    for (a, b, delay) in [
        (1, 2, 8),
        (2, 3, 40),
        (3, 4, 5),
        (4, 5, 60),
        (5, 1, 30),
        (1, 3, 70),
        (2, 5, 25),
    ] {
        let weather = Weather {
            jitter: ms(1),
            ..far(delay)
        };
        world.add_path(a, b, weather);
    }
    for (node, others) in [(1, [3, 4]), (3, [1, 4]), (4, [1, 3])] {
        let publisher = world.publish(node, Kind::Audio);
        for other in others {
            world.subscribe(other, publisher);
        }
        world.chat(ROOM, node, &others, true);
    }
    world.run(ms(1_500));
    for (after, fault) in faults {
        world.fault(ms(*after), *fault);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        max_shrink_iters: 64,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Whatever went wrong before: once it stops, whoever has a way has a call.
    #[test]
    fn after_the_last_fault_everything_flows(
        seed: u64,
        faults in prop::collection::vec((0u64..8_000, fault(5)), 0..12),
    ) {
        let mut world = troubled(seed, &faults);
        world.run(ms(8_000));
        // Weather that stays would lose packets for good; what is cut stays cut.
        for a in 1..=5 {
            for b in a + 1..=5 {
                world.calm(a, b);
            }
        }
        world.settle(ms(2_000), 0.0);
        prop_assert!(world.violations().is_empty(), "{:#?}", world.violations());
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let faults = [
        (500, cut(1, 3, true)),
        (900, Fault::Restart { node: 2 }),
        (
            1_500,
            Fault::Weather {
                a: 2,
                b: 3,
                loss: Loss::Random(0.1),
                cut: false,
            },
        ),
        (3_000, cut(1, 3, false)),
    ];
    let run = |seed| {
        let mut world = troubled(seed, &faults);
        world.run(ms(6_000));
        assert_good(&world);
        world.trace()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// A call in a world where something is made wrong on purpose.
fn broken(breakage: Breakage) -> World {
    let mut world = triangle(11);
    world.break_it(breakage);
    call(&mut world);
    world.run(ms(3_000));
    world
}

fn assert_seen(world: &World, what: &str) {
    let seen = world.violations();
    assert!(seen.iter().any(|v| v.contains(what)), "{what}: {seen:#?}");
}

#[test]
fn a_packet_delivered_twice_is_seen() {
    assert_seen(&broken(Breakage::Twice), "twice");
}

#[test]
fn a_frame_that_goes_round_is_seen() {
    assert_seen(&broken(Breakage::Loop), "saw a packet of");
}

#[test]
fn a_queue_that_holds_too_much_is_seen() {
    assert_seen(&broken(Breakage::Queues), "Queue");
}

#[test]
fn a_message_to_a_stranger_is_seen() {
    let mut world = triangle(12);
    world.chat(ROOM, 1, &[3], false);
    let room = RoomKey([2; 16]);
    world.chat(room, 2, &[3], false);
    world.misdirect(2, room, &[1]);
    world.run(ms(3_000));
    assert_seen(&world, "room that it does not serve");
}

#[test]
fn a_packet_where_its_room_may_not_be_is_seen() {
    // Untagged, it goes over node 2, the only way there is.
    let mut world = World::new(13, Instant::now());
    world.add_nodes(3);
    world.add_path(1, 2, far(8));
    world.add_path(2, 3, far(78));
    world.restrict(ROOM, 0, &[1, 3]);
    let publisher = world.publish_in(ROOM, 1, Kind::Audio);
    world.subscribe(3, publisher);
    world.run(ms(3_000));
    assert_seen(&world, "may not be there");
}

#[test]
fn a_pair_that_stays_apart_is_seen() {
    let mut world = triangle(14);
    world.run(ms(2_000));
    world.fault(ms(0), Fault::Control { gone: true });
    // The nodes would find the way over node 2 by themselves, so it passes nothing on.
    let (node, grey) = (2, true);
    world.fault(ms(0), Fault::Grey { node, grey });
    world.fault(ms(0), cut(1, 3, true));
    world.settle(ms(1_000), 0.0);
    assert_seen(&world, "can't hear");
}

#[test]
fn a_gap_in_speech_is_seen() {
    let mut world = triangle(15);
    call(&mut world);
    world.run(ms(3_000));
    world.set_gap_budget(Some(ms(100)));
    // Both ways of node 1 at once.
    for other in [2, 3] {
        world.fault(ms(0), cut(1, other, true));
        world.fault(ms(600), cut(1, other, false));
    }
    world.run(ms(3_000));
    assert_seen(&world, "heard nothing of");
}

#[test]
fn a_lease_without_a_second_path_leaves_no_gap() {
    let mut world = triangle(15);
    world.break_it(Breakage::NoSecond);
    call(&mut world);
    world.run(ms(3_000));
    world.set_gap_budget(Some(ms(100)));
    world.fault(ms(0), cut(1, 3, true));
    world.run(ms(3_000));
    assert_good(&world);
}

#[test]
fn a_route_that_flaps_is_seen() {
    let mut world = triangle(16);
    // A link that failed is held back, for longer each time: few changes are left to see.
    world.set_route_budget(1);
    world.run(ms(2_000));
    for i in 0..4 {
        world.fault(ms(i * 8_000), cut(1, 3, true));
        world.fault(ms(i * 8_000 + 1_000), cut(1, 3, false));
    }
    world.run(ms(34_000));
    assert_seen(&world, "times in a minute");
}

/// Eight nodes, each with a path to all others, and voices between them.
fn full_mesh(seed: u64) -> World {
    let mut world = World::new(seed, Instant::now());
    world.add_nodes(8);
    for a in 1..=8 {
        for b in a + 1..=8 {
            let weather = Weather {
                jitter: ms(1),
                ..far(10 + u64::from(a * 5 + b * 11) % 90)
            };
            world.add_path(a, b, weather);
        }
    }
    for node in 1..=8 {
        let publisher = world.publish(node, Kind::Audio);
        for other in [node % 8 + 1, (node + 3) % 8 + 1] {
            world.subscribe(other, publisher);
        }
    }
    world.run(ms(3_000));
    world
}

fn storm(seed: u64, faults: usize) -> World {
    let mut world = full_mesh(seed);
    let links = (1..=8).flat_map(|a| (a + 1..=8).map(move |b| (a, b)));
    let storm = Storm {
        links: links.collect(),
        nodes: (1..=8).collect(),
        every: ms(700),
        lasts: (ms(200), ms(3_000)),
        strikes: Strike::ALL.to_vec(),
    };
    world.storm(Duration::ZERO, &storm.faults(faults, seed));
    world.run(ms(700 * faults as u64 + 3_000));
    world.settle(ms(2_000), 0.0);
    world
}

#[test]
fn a_storm_passes() {
    for seed in 0..2 {
        assert_good(&storm(seed, 40));
    }
}

/// `cargo test --release -p fairlead-sim -- --ignored`
#[test]
#[ignore = "takes minutes"]
fn thousands_of_faults_pass() {
    for seed in 0..20 {
        let world = storm(seed, 100);
        assert!(
            world.violations().is_empty(),
            "seed {seed}: {:#?}",
            world.violations()
        );
    }
}

#[test]
fn nobody_hears_a_relay_that_passes_nothing_on() {
    // From 1 to 3 over 2, the shorter way, with the direct path beside it.
    let mut world = World::new(17, Instant::now());
    world.add_nodes(3);
    world.add_path(1, 2, far(8));
    world.add_path(2, 3, far(30));
    world.add_path(1, 3, far(85));
    let publisher = world.publish(1, Kind::Audio);
    world.subscribe(3, publisher);
    world.run(ms(4_000));
    world.fault(
        ms(0),
        Fault::Grey {
            node: 2,
            grey: true,
        },
    );
    let from = world.time();
    world.run(ms(4_000));
    let figures = world.figures(3, publisher, (from, from + ms(3_500)));
    assert_eq!(figures.map(|f| f.published - f.received), Some(0));
    assert_good(&world);
}

#[test]
fn a_clock_that_jumps_is_no_silence() {
    let mut world = triangle(18);
    let publishers = call(&mut world);
    world.run(ms(3_000));
    // Who slept for seconds is not missed for a fraction of one more.
    world.set_gap_budget(Some(ms(200)));
    for (i, by) in [30, 5_000, 4_290_000].into_iter().enumerate() {
        let by = ms(by);
        world.fault(ms(2_000 * i as u64), Fault::Clock { node: 1, by });
    }
    world.run(ms(8_000));
    assert_good(&world);
    let (received, published) = world.received(3, publishers[0]);
    assert!(published - received < 40, "{received} of {published}");
}
