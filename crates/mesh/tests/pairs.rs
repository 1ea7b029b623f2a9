//! Port pairs: one that fails costs no link, and peers are found where they speak from.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{World, ms, packet, port_of, stream};
use mesh::{Input, LinkState};
use wire::NodeId;

fn talk(world: &mut World, from: u64, packets: u64) {
    for i in from..from + packets {
        world.publish(stream(1, 1), &packet(i, 100));
        world.run(ms(20));
        world.sent.clear();
    }
}

/// Nodes 1 and 2 over so many pairs, and a stream between them.
fn call(ports: u8, delay: Duration) -> World {
    let mut world = World::new(&[1, 2]);
    world.ports = ports;
    world.delay = delay;
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(2_500) + 4 * delay);
    world.want(2, stream(1, 1));
    talk(&mut world, 0, 150);
    world.events.clear();
    world.begun_up = true;
    world
}

#[test]
fn every_pair_is_measured() {
    let mut world = call(4, ms(20));
    talk(&mut world, 200, 250);
    for (node, peer) in [(1, 2), (2, 1)] {
        let link = world.link(node, peer);
        assert_eq!(link.pairs.len(), 4);
        for pair in &link.pairs {
            assert_eq!((pair.state, pair.loss), (LinkState::Up, 0.0), "{pair:?}");
            assert!(pair.rtt.unwrap().abs_diff(ms(40)) < ms(1));
        }
        assert_eq!(link.loss, 0.0);
    }
}

#[test]
fn a_pair_that_fails_alone_costs_no_link_and_few_packets() {
    for delay in [5, 20, 60, 120] {
        for broken in [0, 1, 2] {
            let mut world = call(4, ms(delay));
            let used = world.link(1, 2).pair;
            let back = world.link(2, 1).pair;
            // Both ways, or one of them.
            world.pair_filter = Box::new(move |from, _, pair| match broken {
                0 => pair != used && pair != back,
                n => from != n || pair != if n == 1 { used } else { back },
            });
            talk(&mut world, 1_000, 200);
            let what = format!("{delay} ms, {broken}");
            for (node, peer) in [(1, 2), (2, 1)] {
                assert_eq!(world.count(node, "mesh_link_downs"), 0, "{what}");
                assert_eq!(world.link(node, peer).state, LinkState::Up, "{what}");
            }
            assert!(world.count(1, "mesh_pair_hops") + world.count(2, "mesh_pair_hops") > 0);
            let mut got = world.media(2);
            got.retain(|sequence| *sequence >= 1_000);
            let gap = if broken == 2 { 0 } else { 200 + 3 * delay };
            assert!(got.len() as u64 >= 195 - gap / 20, "{what}: {}", got.len());
        }
    }
}

#[test]
fn a_dead_pair_is_no_loss_of_the_link_and_shows_as_down() {
    let mut world = call(4, ms(20));
    let idle = (world.link(1, 2).pair + 1) % 4;
    world.pair_filter = Box::new(move |_, _, pair| pair != idle);
    talk(&mut world, 1_000, 600);
    let link = world.link(2, 1);
    assert_eq!(link.loss, 0.0);
    assert_eq!(link.pairs[usize::from(idle)].state, LinkState::Down);
    assert_eq!(world.states(2, 1), []);
    assert_eq!(world.count(1, "mesh_pair_hops"), 0);
}

#[test]
fn a_link_whose_pairs_all_fail_is_down() {
    let mut world = call(4, ms(20));
    world.pair_filter = Box::new(|_, _, _| false);
    talk(&mut world, 1_000, 13);
    assert_eq!(world.link(1, 2).state, LinkState::Down);
    assert_eq!(world.link(2, 1).state, LinkState::Down);
}

#[test]
fn ends_with_different_numbers_of_ports_use_the_common_ones() {
    let mut world = World::new(&[1, 2]);
    world.ports = 4;
    world.introduce(1, 2);
    world.ports = 2;
    world.introduce(2, 1);
    // Node 2 has two ports: what comes to the others gets lost.
    world.pair_filter = Box::new(|from, _, pair| from == 2 || pair < 2);
    world.run(ms(3_000));
    world.want(2, stream(1, 1));
    world.run(ms(100));
    talk(&mut world, 0, 100);
    assert_eq!(world.link(2, 1).pairs.len(), 2);
    assert_eq!(world.media(2).len(), 100);
    assert_eq!(world.states(1, 2), [LinkState::Up]);
}

#[test]
fn handshakes_go_over_every_pair_until_one_answers() {
    let mut world = World::new(&[1, 2]);
    world.ports = 4;
    world.pair_filter = Box::new(|_, _, pair| pair == 2);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(8_000));
    assert!(world.is_up(1, 2) && world.is_up(2, 1));
    assert_eq!((world.link(1, 2).pair, world.link(2, 1).pair), (2, 2));
}

#[test]
fn each_pair_follows_its_own_move() {
    let mut world = call(2, ms(20));
    // Node 2 is said to be elsewhere; its datagrams come from where they came.
    world.give(
        1,
        Input::AddPeer {
            node: NodeId(2),
            public_key: mesh::public_key(&common::key(2)),
            addresses: &[port_of(9, 0), port_of(9, 1)],
        },
    );
    world.run(ms(1_100));
    world.events.clear();
    talk(&mut world, 1_000, 50);
    assert_eq!(world.media(2).len(), 50);
    world.run(ms(3_000));
    for pair in world.link(2, 1).pairs {
        assert_eq!(pair.state, LinkState::Up);
    }
}

#[test]
fn a_replay_on_another_pair_is_still_a_replay() {
    let mut world = call(4, ms(20));
    let copy = Rc::new(Cell::new(None));
    let taken = copy.clone();
    world.filter = Box::new(move |from, _, bytes| {
        if from == 1 && bytes.len() > 120 {
            taken.set(Some(bytes.clone()));
        }
        true
    });
    talk(&mut world, 1_000, 10);
    world.run(ms(100));
    let datagram = copy.take().unwrap();
    let before = world.count(2, "mesh_drop_replayed");
    for port in 0..4 {
        world.datagram_at(2, port, port_of(1, port), &datagram);
    }
    assert_eq!(world.count(2, "mesh_drop_replayed"), before + 4);
    assert_eq!(world.media(2).len(), 10);
}

#[test]
fn nothing_is_lost_while_a_link_comes_up() {
    for (delay, apart) in [
        (90, 0),
        (90, 100),
        (90, 300),
        (10, 5),
        (10, 400),
        (200, 150),
    ] {
        let mut world = World::new(&[1, 2]);
        world.ports = 4;
        world.delay = ms(delay);
        world.jitter = ms(2);
        world.introduce(1, 2);
        world.run(ms(apart));
        world.introduce(2, 1);
        // At first some may just be on their way when they are counted.
        world.run(ms(2_000));
        for second in 2..12 {
            world.run(ms(1_000));
            for (node, peer) in [(1, 2), (2, 1)] {
                let link = world.link(node, peer);
                assert_eq!(link.loss, 0.0, "{delay} {apart} {node} after {second} s");
            }
        }
    }
}
