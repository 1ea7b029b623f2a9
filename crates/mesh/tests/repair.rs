//! What repair, parity and pacing leave of a talk over lossy hops, in virtual time.
#![allow(clippy::unwrap_used)]

#[path = "common/chain.rs"]
mod chain;
mod common;

use chain::{CHANNELS, Case, Channel};
use common::{World, ms, packet, stream};
use mesh::Input;
use wire::{Class, NodeId};

fn case(channel: Channel, hops: u16, rtt: u64) -> Case {
    Case {
        channel,
        hops,
        rtt: ms(rtt),
        class: Class::Audio,
        patience: ms(150),
        packets: 1_500,
        seed: 7,
    }
}

/// More than chance explains, with three standard deviations.
fn exceeds(measured: f64, expected: f64, packets: u64) -> bool {
    let n = packets as f64;
    measured > expected + 3.0 * (expected * (1.0 - expected) / n).sqrt() + 1.0 / n
}

/// The residual loss of plain repair, by loss (both ways) and round trip: tries that fit into
/// 150 ms above the way's delay.
const REPAIR_ALONE: [(f64, [f64; 4]); 5] = [
    (0.01, [0.0, 0.000004, 0.000199, 0.01]),
    (0.03, [0.0, 0.000105, 0.001773, 0.03]),
    (0.05, [0.0, 0.000475, 0.004875, 0.05]),
    (0.1, [0.000005, 0.00361, 0.019, 0.1]),
    (0.3, [0.005279, 0.07803, 0.153, 0.3]),
];

#[test]
fn one_hop_is_no_worse_than_plain_repair() {
    for (loss, expected) in REPAIR_ALONE {
        for (rtt, expected) in [20, 60, 120, 200].into_iter().zip(expected) {
            let case = case(Channel::random(loss), 1, rtt);
            let figures = case.run();
            assert!(
                !exceeds(figures.residual, expected, case.packets),
                "{loss} lost, {rtt} ms: {figures:?}, {expected} with plain repair",
            );
        }
    }
}

/// DESIGN section 11.
#[test]
fn three_hops_of_60_ms_that_lose_3_percent_each_lose_a_twentieth_of_a_percent() {
    let case = Case {
        packets: 20_000,
        ..case(Channel::random(0.03), 3, 60)
    };
    let figures = case.run();
    assert!(figures.residual <= 0.0005, "{figures:?}");
}

#[test]
fn bursts_are_repaired_where_a_round_fits() {
    for channel in CHANNELS {
        let figures = Case {
            packets: 6_000,
            ..case(channel, 1, 20)
        }
        .run();
        // Where bursts last as long as the silence that takes a link down, so much is not even sent.
        let raw = channel.loss();
        assert!(
            figures.residual < raw / 3.0,
            "{}: {figures:?}",
            channel.name
        );
    }
}

#[test]
fn bursts_that_look_like_a_dead_link_stop_nothing_where_there_is_no_other_way() {
    for (channel, most) in [
        ("inflight_low", 0.2),
        ("gilbert_20_b4", 0.15),
        ("gilbert_30_b8", 0.45),
    ] {
        let channel = CHANNELS.into_iter().find(|c| c.name == channel).unwrap();
        let figures = Case {
            packets: 4_000,
            ..case(channel, 3, 60)
        }
        .run();
        assert!(figures.residual <= most, "{}: {figures:?}", channel.name);
    }
}

#[test]
fn a_clean_short_hop_pays_nothing() {
    let figures = case(Channel::random(0.0), 1, 60).run();
    assert_eq!(
        (figures.residual, figures.repair, figures.parity),
        (0.0, 0.0, 0.0)
    );
}

#[test]
fn what_upstream_never_had_is_not_asked_for() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    for i in 0..500 {
        // Every third packet was lost before it came to node 1.
        if i % 3 != 0 {
            world.publish(s, &packet(i, 100));
        }
        world.run(ms(5));
    }
    world.run(ms(50));
    assert_eq!(world.media(2).len(), 333);
    for count in [
        "mesh_repairs_sent",
        "mesh_repairs_unknown",
        "mesh_repairs_gone",
    ] {
        assert_eq!(world.count(1, count), 0, "{count}");
    }
}

#[test]
fn what_comes_too_late_is_given_up_and_not_asked_for_again() {
    let figures = case(Channel::random(0.1), 1, 400).run();
    assert!(figures.repair < 0.02, "repairs would be late: {figures:?}");
    assert!(figures.residual < 0.05, "parity is not: {figures:?}");
}

#[test]
fn a_given_capacity_is_kept() {
    let mut world = World::connected(&[1, 2]);
    let s = stream(1, 1);
    world.want(2, s);
    world.run(ms(50));
    world.give(
        1,
        Input::SetLink {
            node: NodeId(2),
            capacity: Some(1_000_000),
        },
    );
    world.run(ms(50));
    world.sent.clear();
    // 4 Mb/s for three seconds.
    for i in 0..1_500 {
        world.publish(s, &packet(i, 1_000));
        world.run(ms(2));
    }
    let sent = world.sent.iter().filter(|(from, ..)| *from == 1);
    let bytes: usize = sent.map(|(_, _, bytes)| bytes.len()).sum();
    // Beside what the pace brings, a burst saved up and one on credit.
    let rate = bytes as f64 * 8.0 / 3.0;
    assert!((950_000.0..1_110_000.0).contains(&rate), "{rate}");
}
