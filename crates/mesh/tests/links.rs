//! Links: connecting, measuring, going down, coming back, rekeying.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{World, address, key, ms, packet, stream};
use mesh::{Input, LinkState};
use wire::NodeId;

#[test]
fn both_ends_start_at_once_and_measure_each_other() {
    let mut world = World::new(&[1, 2]);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(5_000));
    for (node, peer) in [(1, 2), (2, 1)] {
        assert_eq!(world.changes(node, peer), [true]);
        let link = &world.nodes[&node].links()[0];
        assert_eq!(link.state, LinkState::Up);
        let rtt = link.rtt.unwrap();
        assert!(rtt.abs_diff(ms(40)) < ms(1), "{rtt:?}");
        assert_eq!((link.loss, link.residual_loss), (0.0, 0.0));
        assert!(link.jitter < ms(1));
    }
    assert_eq!(world.count(1, "mesh_handshake_ties"), 1);
    assert_eq!(world.count(1, "mesh_handshakes"), 1);
}

#[test]
fn connects_though_most_handshakes_are_lost() {
    let mut world = World::new(&[1, 2]);
    let mut rng = fastrand::Rng::with_seed(3);
    world.filter = Box::new(move |_, _, bytes| bytes[0] > 2 || rng.u8(..) < 100);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(20_000));
    world.filter = Box::new(|_, _, _| true);
    world.run(ms(2_500));
    assert!(world.is_up(1, 2) && world.is_up(2, 1));
}

#[test]
fn connects_over_a_path_longer_than_the_first_retry() {
    let mut world = World::new(&[1, 2]);
    world.delay = ms(400);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(4_000));
    assert!(world.is_up(1, 2) && world.is_up(2, 1));
    assert!(world.nodes[&1].links()[0].rtt.unwrap().abs_diff(ms(800)) < ms(2));
}

#[test]
fn handshakes_that_cross_leave_a_link_that_lasts() {
    let mut world = World::new(&[1, 2]);
    // So long that neither end can know of the other's handshake while its own is young.
    world.delay = ms(1_200);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(600_000));
    assert_eq!(world.changes(1, 2), [true]);
    assert_eq!(world.changes(2, 1), [true]);
    assert!(world.count(1, "mesh_handshakes") < 15);
}

#[test]
fn no_false_alarm_at_five_percent_loss_in_an_hour() {
    let mut world = World::new(&[1, 2]);
    let mut rng = fastrand::Rng::with_seed(4);
    world.filter = Box::new(move |_, _, _| rng.f32() > 0.05);
    world.introduce(1, 2);
    world.introduce(2, 1);
    for _ in 0..36 {
        world.run(Duration::from_secs(100));
        world.sent.clear();
    }
    assert_eq!(world.changes(1, 2), [true]);
    assert_eq!(world.changes(2, 1), [true]);
    assert_eq!(
        world.nodes[&1].links()[0].loss,
        world.nodes[&1].links()[0].loss.clamp(0.01, 0.12)
    );
}

#[test]
fn the_shells_own_stall_is_not_the_peers_silence() {
    let mut world = World::connected(&[1, 2]);
    // Node 1 is not called for a second, then finds the datagrams that waited.
    world.now += ms(1_000);
    world.give(1, Input::Timeout);
    assert!(world.is_up(1, 2));
    assert_eq!(world.count(1, "mesh_stalls"), 1);
}

#[test]
fn keys_are_replaced_without_losing_a_packet() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    for i in 0..15_000 {
        world.publish(s, &packet(i, 10));
        world.run(ms(20));
        world.sent.clear();
    }
    world.run(ms(100));
    assert_eq!(world.media(2), (0..15_000).collect::<Vec<_>>());
    assert!((3..=4).contains(&world.count(1, "mesh_handshakes")));
    assert_eq!(world.changes(1, 2), []);
}

#[test]
fn a_restarted_peer_is_back_with_its_first_handshake() {
    for restarted in [1, 2] {
        let other = 3 - restarted;
        let mut world = World::connected(&[1, 2]);
        let s = stream(other, 1);
        world.want(restarted, s);
        for i in 0..100 {
            world.publish(s, &packet(i, 100));
            world.run(ms(20));
        }
        world.start(restarted);
        world.introduce(restarted, other);
        world.run(ms(120));
        assert!(world.is_up(restarted, other) && world.is_up(other, restarted));
        assert_eq!(world.changes(other, restarted), [false, true]);
        world.forget();
        world.want(restarted, s);
        world.run(ms(50));
        for i in 100..200 {
            world.publish(s, &packet(i, 100));
            world.run(ms(20));
        }
        world.run(ms(50));
        assert_eq!(world.media(restarted), (100..200).collect::<Vec<_>>());
    }
}

#[test]
fn a_peer_is_found_where_it_speaks_from() {
    let mut world = World::connected(&[1, 2]);
    // Node 2's datagrams come from elsewhere now: its answers must go there.
    let moved: std::net::SocketAddr = ([127, 0, 0, 1], 4_002).into();
    let wrong = address(9);
    world.give(
        1,
        Input::AddPeer {
            node: NodeId(2),
            public_key: mesh::public_key(&key(2)),
            addresses: &[wrong],
        },
    );
    world.run(ms(1_000));
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    world.publish(s, &packet(1, 10));
    world.run(ms(100));
    assert_eq!(moved, address(2));
    assert_eq!(world.media(2), [1]);
}

#[test]
fn losses_are_repaired_in_time_and_measured() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    let mut rng = fastrand::Rng::with_seed(5);
    world.filter = Box::new(move |_, _, _| rng.f32() > 0.05);
    for i in 0..5_000 {
        world.publish(s, &packet(i, 100));
        world.run(ms(5));
    }
    let link = world.nodes[&2].links()[0].clone();
    assert!((0.03..0.07).contains(&link.loss), "{link:?}");
    assert!(link.residual_loss < 0.002, "{link:?}");
    world.run(ms(300));
    let mut got = world.media(2);
    assert!(got.len() >= 4_998, "{} of 5000", got.len());
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), world.media(2).len(), "none came twice");
    assert!(world.count(2, "mesh_repaired") > 200);
}

#[test]
fn the_last_packet_before_a_pause_is_repaired_too() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(100));
    let lose = Rc::new(Cell::new(true));
    let once = lose.clone();
    world.filter = Box::new(move |_, _, bytes| bytes.len() < 200 || !once.replace(false));
    world.publish(s, &packet(1, 300));
    world.run(ms(150));
    assert!(!lose.get());
    assert_eq!(world.media(2), [1]);
}

#[test]
fn reordering_costs_no_packet_and_few_repairs() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    for i in 0..1_000u64 {
        world.delay = ms(20 + 6 * (i % 2));
        world.publish(s, &packet(i, 100));
        world.run(ms(3));
    }
    world.run(ms(100));
    let mut got = world.media(2);
    assert_ne!(got, (0..1_000).collect::<Vec<_>>());
    got.sort_unstable();
    assert_eq!(got, (0..1_000).collect::<Vec<_>>());
    assert!(world.count(1, "mesh_repairs_sent") < 50);
}

#[test]
fn repairs_of_audio_take_at_most_as_much_as_it_does() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    let mut rng = fastrand::Rng::with_seed(6);
    world.filter =
        Box::new(move |from, _, bytes| from == 2 || bytes.len() < 200 || rng.f32() > 0.9);
    for i in 0..2_000 {
        world.publish(s, &packet(i, 1_000));
        world.run(ms(2));
    }
    let repairs = world.count(1, "mesh_repairs_sent");
    // And the burst that was saved up.
    assert!((1_900..=2_070).contains(&repairs), "{repairs}");
    assert!(world.count(1, "mesh_repairs_capped") > 0);
}

#[test]
fn several_small_frames_share_a_datagram() {
    let mut world = World::connected(&[1, 2]);
    for n in 0..20 {
        world.want(2, stream(1, n));
    }
    world.run(ms(100));
    world.sent.clear();
    for n in 0..20 {
        world.publish(stream(1, n), &packet(1, 80));
    }
    world.give(1, Input::Timeout);
    let frames = world.sent.iter().filter(|(from, _, _)| *from == 1).count();
    assert_eq!(frames, 2);
    world.run(ms(50));
    assert_eq!(world.media(2).len(), 20);
}
