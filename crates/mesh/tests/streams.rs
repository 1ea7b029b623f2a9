//! Streams and data between nodes: over direct links, through relays, through cuts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{ROOM, World, ms, packet, stream};
use mesh::{Input, MAX_MESSAGE, Output};
use wire::NodeId;

fn wanted(world: &World, node: u16) -> Vec<bool> {
    let of = |e: &(u16, Output)| match e {
        (n, Output::Wanted { wanted, .. }) if *n == node => Some(*wanted),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

fn blocked(pairs: &'static [(u16, u16)]) -> common::Filter {
    Box::new(move |a, b, _| !pairs.contains(&(a.min(b), a.max(b))))
}

/// 1 and 3 have no link; 2 is between them.
fn relayed() -> World {
    let mut world = World::new(&[1, 2, 3]);
    world.filter = blocked(&[(1, 3)]);
    for (a, b) in [(1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 1)] {
        world.introduce(a, b);
    }
    world.run(ms(1_500));
    world.route(1, &[(3, &[2])]);
    world.route(3, &[(1, &[2])]);
    world.forget();
    world
}

#[test]
fn one_copy_goes_to_each_node_that_wants() {
    let mut world = World::connected(&[1, 2, 3, 4]);
    let s = stream(1, 1);
    world.publish(s, &packet(0, 100));
    world.want(2, s);
    world.want(2, s);
    world.want(3, s);
    world.run(ms(50));
    assert_eq!(wanted(&world, 1), [true]);
    for i in 1..11 {
        world.publish(s, &packet(i, 100));
    }
    world.run(ms(50));
    assert_eq!(world.count(1, "mesh_media_sent"), 20);
    assert_eq!(world.media(2), (1..11).collect::<Vec<_>>());
    assert_eq!(world.media(3), (1..11).collect::<Vec<_>>());
    assert_eq!(world.media(4), []);
    world.give(2, Input::Unwant { stream: s });
    world.give(3, Input::Unwant { stream: s });
    world.run(ms(50));
    assert_eq!(wanted(&world, 1), [true, false]);
    world.publish(s, &packet(12, 100));
    world.run(ms(50));
    assert_eq!(world.count(1, "mesh_media_sent"), 20);
}

#[test]
fn a_want_dies_with_its_node_and_lives_while_repeated() {
    let mut world = World::connected(&[1, 2]);
    world.want(2, stream(1, 1));
    world.run(ms(20_000));
    assert_eq!(wanted(&world, 1), [true]);
    world.nodes.remove(&2);
    world.run(ms(4_500));
    assert_eq!(wanted(&world, 1), [true]);
    world.run(ms(2_500));
    assert_eq!(wanted(&world, 1), [true, false]);
}

#[test]
fn a_want_said_before_there_is_a_way_takes_effect_when_there_is() {
    let mut world = World::new(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(3_000));
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(250));
    assert_eq!(wanted(&world, 1), [true]);
    assert!(world.count(2, "mesh_drop_no_route") > 0);
}

#[test]
fn through_one_relay_and_through_two() {
    for via in [&[2][..], &[2, 4]] {
        let mut world = World::new(&[1, 2, 3, 4]);
        world.filter = blocked(if via.len() == 1 {
            &[(1, 3)]
        } else {
            &[(1, 3), (2, 3), (1, 4)]
        });
        for a in 1..=4 {
            for b in (1..=4).filter(|b| *b != a) {
                world.introduce(a, b);
            }
        }
        world.run(ms(1_500));
        let back: Vec<u16> = via.iter().rev().copied().collect();
        world.route(1, &[(3, via)]);
        world.route(3, &[(1, &back)]);
        let s = stream(1, 1);
        world.want(3, s);
        world.run(ms(200));
        for i in 0..100 {
            world.publish(s, &packet(i, 1_200));
            world.run(ms(10));
        }
        world.give(3, Input::RequestKeyframe { stream: s });
        world.data(3, &[1], true, b"over there");
        world.run(ms(500));
        assert_eq!(world.media(3), (0..100).collect::<Vec<_>>());
        assert_eq!(world.messages(1), [b"over there"]);
        let asked = |e: &&(u16, Output)| matches!(e, (1, Output::RequestKeyframe { .. }));
        assert_eq!(world.events.iter().filter(asked).count(), 1);
        assert!(world.count(2, "mesh_relayed") >= 100);
        assert_eq!(world.count(2, "mesh_media_delivered"), 0);
    }
}

#[test]
fn the_direct_link_serves_when_the_leased_first_hop_is_down() {
    let mut world = World::connected(&[1, 2, 3]);
    world.route(1, &[(3, &[2])]);
    let s = stream(1, 1);
    world.want(3, s);
    world.run(ms(100));
    world.publish(s, &packet(1, 10));
    world.run(ms(100));
    assert_eq!(world.count(2, "mesh_relayed"), 1);
    world.filter = blocked(&[(1, 2)]);
    world.run(ms(1_000));
    world.publish(s, &packet(2, 10));
    world.run(ms(100));
    assert_eq!(world.media(3), [1, 2]);
    assert_eq!(world.count(2, "mesh_relayed"), 1);
    // One way only: the others say that they no longer hear node 1.
    world.filter = Box::new(|a, _, _| a != 1);
    // For two seconds it is tried nevertheless.
    world.run(ms(3_000));
    world.publish(s, &packet(3, 10));
    assert!(world.count(1, "mesh_drop_next_hop_down") > 0);
}

#[test]
fn impossible_routes_are_refused() {
    let mut world = World::connected(&[1, 2]);
    world.route(
        1,
        &[
            (2, &[1]),
            (3, &[2, 2]),
            (4, &[2, 3, 5]),
            (1, &[]),
            (5, &[2]),
        ],
    );
    assert_eq!(world.count(1, "mesh_invalid_routes"), 4);
}

#[test]
fn packets_larger_than_a_datagram_arrive_whole() {
    let mut world = relayed();
    let s = stream(1, 1);
    world.want(3, s);
    world.run(ms(100));
    for (i, size) in [1_260, 1_280, 1_300, 2_000, 9_000, 60_000]
        .into_iter()
        .enumerate()
    {
        world.publish(s, &packet(i as u64, size));
        world.run(ms(50));
    }
    world.run(ms(200));
    assert_eq!(world.media(3), (0..6).collect::<Vec<_>>());
    world.publish(s, &packet(9, 100_000));
    assert_eq!(world.count(1, "mesh_drop_data_too_big"), 1);
}

#[test]
fn lossy_data_of_any_size_arrives_once() {
    let mut world = relayed();
    let sizes = [0, 1, 1_280, 1_300, 5_000, MAX_MESSAGE];
    for size in sizes {
        world.data(1, &[1, 2, 3], false, &vec![size as u8; size]);
        world.run(ms(50));
    }
    world.data(1, &[3], false, &vec![0; MAX_MESSAGE + 1]);
    world.run(ms(200));
    for node in [2, 3] {
        let got: Vec<usize> = world.messages(node).iter().map(Vec::len).collect();
        assert_eq!(got, sizes);
    }
    assert_eq!(world.messages(1).len(), 0);
    assert_eq!(world.count(1, "mesh_drop_data_too_big"), 1);
    let right = |e: &(u16, Output)| match e {
        (_, Output::Data { room, from, .. }) => *room == ROOM && *from == NodeId(1),
        _ => true,
    };
    assert!(world.events.iter().all(right));
}

#[test]
fn reliable_data_survives_loss_cuts_and_a_missing_way() {
    let mut world = relayed();
    let mut rng = fastrand::Rng::with_seed(7);
    world.filter = Box::new(move |a, b, _| a.abs_diff(b) == 1 && rng.f32() > 0.2);
    let messages: Vec<Vec<u8>> = (0..200u8).map(|i| vec![i; usize::from(i) * 50]).collect();
    for (i, message) in messages.iter().enumerate() {
        world.data(1, &[3], true, message);
        world.run(ms(20));
        if i == 60 {
            let whole = std::mem::replace(&mut world.filter, Box::new(|_, _, _| false));
            world.run(ms(3_000));
            world.filter = whole;
        }
    }
    world.run(ms(20_000));
    assert_eq!(world.messages(3), messages);
    assert!(world.count(1, "mesh_data_repeated") > 0);
}

#[test]
fn a_large_message_over_a_long_path_is_neither_flooded_nor_stuck() {
    let mut world = World::connected(&[1, 2]);
    world.delay = ms(100);
    for i in 0..20u8 {
        world.data(1, &[2], true, &vec![i; MAX_MESSAGE]);
    }
    world.run(ms(5_000));
    assert_eq!(world.messages(2).len(), 20);
    assert_eq!(world.count(1, "mesh_data_repeated"), 0);
}

#[test]
fn reliable_data_after_either_end_restarts() {
    for restarted in [1, 2] {
        let mut world = World::connected(&[1, 2]);
        for i in 0..10u8 {
            world.data(1, &[2], true, &[i]);
        }
        world.run(ms(500));
        world.start(restarted);
        world.introduce(restarted, 3 - restarted);
        world.run(ms(500));
        for i in 10..20u8 {
            world.data(1, &[2], true, &[i]);
        }
        world.run(ms(2_000));
        let expected: Vec<Vec<u8>> = (0..20u8).map(|i| vec![i]).collect();
        assert_eq!(world.messages(2), expected);
    }
}

#[test]
fn messages_to_nowhere_are_bounded_and_expire() {
    let mut world = World::connected(&[1, 2]);
    for _ in 0..200 {
        world.data(1, &[9], true, &[0; 60_000]);
    }
    let dropped = world.count(1, "mesh_drop_data_overflow");
    assert_eq!(dropped, 200 - (4 << 20) / (60_000 + 16));
    world.run(ms(62_000));
    assert_eq!(world.count(1, "mesh_drop_data_expired"), 200 - dropped);
}
