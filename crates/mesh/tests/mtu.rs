//! How large datagrams may be: found, filled, lost and found again.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{World, ms, packet, stream};
use mesh::Input;

/// A world whose paths take datagrams of at most so many bytes.
fn narrow(limit: usize) -> (World, Rc<Cell<usize>>) {
    let mut world = World::new(&[1, 2]);
    let limit = Rc::new(Cell::new(limit));
    let now = limit.clone();
    world.filter = Box::new(move |_, _, bytes| bytes.len() <= now.get());
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(3_000));
    world.want(2, stream(1, 1));
    world.run(ms(100));
    (world, limit)
}

fn talk(world: &mut World, from: u64, packets: u64, size: usize) {
    for i in from..from + packets {
        world.publish(stream(1, 1), &packet(i, size));
        world.run(ms(20));
    }
}

#[test]
fn the_largest_size_that_passes_is_found() {
    for (limit, found) in [
        (1_500, 1_452),
        (1_452, 1_452),
        (1_420, 1_400),
        (1_279, 1_200),
    ] {
        let (mut world, _) = narrow(limit);
        assert_eq!(world.link(1, 2).mtu, found);
        assert_eq!(world.link(2, 1).mtu, found);
        assert_eq!(world.link(2, 1).loss, 0.0, "probes are no loss");
        world.sent.clear();
        talk(&mut world, 0, 100, 1_000);
        assert_eq!(world.media(2).len(), 100);
        assert!(
            world
                .sent
                .iter()
                .all(|(_, _, b)| b.len() <= usize::from(found))
        );
    }
}

#[test]
fn bundles_fill_the_size_that_was_found() {
    let (mut world, _) = narrow(1_500);
    world.sent.clear();
    for i in 0..40 {
        world.publish(stream(1, 1), &packet(i, 80));
    }
    world.give(1, Input::Timeout);
    let largest = world.sent.iter().map(|(_, _, b)| b.len()).max().unwrap();
    assert!((1_300..=1_452).contains(&largest), "{largest}");
    world.run(ms(500));
    assert_eq!(world.media(2).len(), 40);
}

#[test]
fn a_frame_that_does_not_fit_goes_in_parts_which_are_repaired_like_all() {
    let (mut world, _) = narrow(1_250);
    talk(&mut world, 0, 100, 1_200);
    assert_eq!(world.media(2), (0..100).collect::<Vec<_>>());
    assert_eq!(world.count(1, "mesh_parts_sent"), 200);
    assert!(world.sent.iter().all(|(_, _, b)| b.len() <= 1_452));
    let mut rng = fastrand::Rng::with_seed(2);
    world.filter = Box::new(move |_, _, bytes| bytes.len() <= 1_250 && rng.f32() > 0.05);
    talk(&mut world, 100, 500, 1_200);
    world.run(ms(500));
    let got = world.media(2).len();
    assert!(got >= 595, "{got}");
}

#[test]
fn a_way_that_takes_less_than_before_is_noticed_and_one_that_takes_more_is_used() {
    let (mut world, limit) = narrow(1_500);
    talk(&mut world, 0, 50, 100);
    limit.set(1_300);
    talk(&mut world, 50, 500, 100);
    assert!(world.link(1, 2).mtu <= 1_300);
    assert_eq!(world.count(1, "mesh_mtu_falls"), 1);
    assert_eq!(world.count(1, "mesh_link_downs"), 0);
    let before = world.media(2).len();
    talk(&mut world, 1_000, 50, 1_200);
    assert_eq!(world.media(2).len(), before + 50);
    limit.set(1_500);
    world.run(ms(1_210_000));
    assert_eq!(world.link(1, 2).mtu, 1_452);
}

#[test]
fn loss_alone_is_no_smaller_way() {
    let mut world = World::new(&[1, 2]);
    let mut rng = fastrand::Rng::with_seed(3);
    world.filter = Box::new(move |_, _, _| rng.f32() > 0.1);
    world.introduce(1, 2);
    world.introduce(2, 1);
    world.run(ms(5_000));
    world.want(2, stream(1, 1));
    talk(&mut world, 0, 3_000, 100);
    assert_eq!(world.link(1, 2).mtu, 1_452);
    assert_eq!(world.count(1, "mesh_mtu_falls"), 0);
}
