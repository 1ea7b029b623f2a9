//! A way that takes less than is sent: what it takes is learnt, speech stays in time, and what
//! matters least is left out.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{World, ms, packet, stream};
use mesh::Output;
use wire::{Format, MediaPacket, StreamId};

const AUDIO: u64 = 1;
const BASE: u64 = 2;
const REST: u64 = 3;

fn picture(sequence: u64) -> Arc<MediaPacket> {
    Arc::new(MediaPacket {
        format: Format::Vp8,
        ..(*packet(sequence, 1_000)).clone()
    })
}

/// A packet of a data track that goes into one datagram.
fn short_data(sequence: u64) -> Arc<MediaPacket> {
    Arc::new(MediaPacket {
        format: Format::Data,
        ..(*packet(sequence, 1_000)).clone()
    })
}

/// The longest that SDKs send.
fn long_data(sequence: u64) -> Arc<MediaPacket> {
    Arc::new(MediaPacket {
        format: Format::Data,
        ..(*packet(sequence, 16_000)).clone()
    })
}

/// What happened to the packets of one stream that were sent in some seconds.
struct Fate {
    lost: f64,
    /// Above the delay of the way.
    late_p99: Duration,
}

/// Node 1 talks to node 2: a voice (50 packets of 100 bytes a second), a base of 0.4 Mb/s and an upper layer
/// of 3.2 Mb/s, for so many seconds; what became of those of the last `judged` seconds.
fn call(world: &mut World, seconds: u64, judged: u64) -> BTreeMap<u64, Fate> {
    call_with(world, seconds, judged, picture, 8)
}

/// The same, with so many other packets every 20 ms instead of the upper layer.
fn call_with(
    world: &mut World,
    seconds: u64,
    judged: u64,
    rest: fn(u64) -> Arc<MediaPacket>,
    many: usize,
) -> BTreeMap<u64, Fate> {
    world.forget();
    let mut sent: BTreeMap<(StreamId, u64), Instant> = BTreeMap::new();
    let mut counters = [0u64; 4];
    let mut send = |world: &mut World, serial: u64, packet: fn(u64) -> Arc<MediaPacket>| {
        counters[serial as usize] += 1;
        let number = counters[serial as usize];
        let number = world.start.elapsed_at(world.now) * 10_000 + number;
        sent.insert((stream(1, serial), number), world.now);
        world.publish(stream(1, serial), &packet(number));
    };
    for _ in 0..seconds * 50 {
        send(world, AUDIO, |n| packet(n, 100));
        send(world, BASE, picture);
        for _ in 0..many {
            send(world, REST, rest);
        }
        world.run(ms(20));
    }
    let until = world.now - ms(500);
    world.run(ms(1_000));
    let from = until - Duration::from_secs(judged);
    let mut came: BTreeMap<(StreamId, u64), Instant> = BTreeMap::new();
    for ((node, output), at) in world.events.iter().zip(&world.times) {
        if let (2, Output::Media { stream, packet }) = (node, output) {
            came.insert((*stream, packet.sequence), *at);
        }
    }
    let fate = |serial: u64| {
        let judged = sent
            .iter()
            .filter(|((s, _), at)| *s == stream(1, serial) && (from..until).contains(at));
        let late: Vec<Option<Duration>> = judged
            .map(|(key, at)| came.get(key).map(|c| *c - *at - world.delay))
            .collect();
        let mut late_of_those: Vec<Duration> = late.iter().flatten().copied().collect();
        late_of_those.sort_unstable();
        Fate {
            lost: 1.0 - late_of_those.len() as f64 / late.len() as f64,
            late_p99: late_of_those
                .get(late_of_those.len() * 99 / 100)
                .copied()
                .unwrap_or_default(),
        }
    };
    [AUDIO, BASE, REST]
        .map(|serial| (serial, fate(serial)))
        .into()
}

trait Elapsed {
    fn elapsed_at(self, now: Instant) -> u64;
}

impl Elapsed for Instant {
    /// Whole seconds: numbers of calls one after another stay apart.
    fn elapsed_at(self, now: Instant) -> u64 {
        now.saturating_duration_since(self).as_secs()
    }
}

fn talking() -> World {
    let mut world = World::connected(&[1, 2]);
    world.route(1, &[(2, &[])]);
    world.route(2, &[(1, &[])]);
    for (serial, base) in [(AUDIO, true), (BASE, true), (REST, false)] {
        world.add(stream(1, serial), 0, base);
        world.want(2, stream(1, serial));
    }
    world.run(ms(500));
    world
}

fn learnt(world: &World) -> Option<f64> {
    world.nodes[&1].links()[0].capacity.map(|c| c as f64)
}

#[test]
fn a_narrow_way_carries_the_voice_and_the_base_in_time() {
    for queue in [ms(150), ms(400)] {
        let mut world = talking();
        world.narrow(1, 2, 2e6, queue);
        let fates = call(&mut world, 12, 8);
        let share = learnt(&world).unwrap() / 2e6;
        assert!((0.75..1.1).contains(&share), "{queue:?}: {share}");
        let (audio, base, rest) = (&fates[&AUDIO], &fates[&BASE], &fates[&REST]);
        assert_eq!(audio.lost, 0.0, "{queue:?}");
        assert!(audio.late_p99 < ms(80), "{queue:?}: {:?}", audio.late_p99);
        assert!(base.lost < 0.01, "{queue:?}: {}", base.lost);
        assert!((0.5..0.75).contains(&rest.lost), "{queue:?}: {}", rest.lost);
    }
}

#[test]
fn a_flood_on_a_data_track_takes_what_voice_and_base_leave() {
    // 19 Mb/s of each kind.
    for (data, many) in [(short_data as fn(u64) -> _, 48), (long_data, 3)] {
        let mut world = talking();
        world.narrow(1, 2, 2e6, ms(150));
        let fates = call_with(&mut world, 12, 8, data, many);
        let (audio, base, rest) = (&fates[&AUDIO], &fates[&BASE], &fates[&REST]);
        assert_eq!(audio.lost, 0.0, "{many}");
        assert!(audio.late_p99 < ms(80), "{many}: {:?}", audio.late_p99);
        assert!(base.lost < 0.01, "{many}: {}", base.lost);
        assert!(rest.lost > 0.9, "{many}: {}", rest.lost);
        // Packets of one datagram get all the room that is left.
        assert!(rest.lost < 0.95 || many == 3, "{many}: {}", rest.lost);
        assert!(world.count(1, "mesh_shed_rest") > 1_000, "{many}");
        assert_eq!(world.count(1, "mesh_shed_audio"), 0, "{many}");
        assert_eq!(world.count(1, "mesh_copies_sent_rest"), 0, "{many}");
    }
}

#[test]
fn a_wide_way_that_loses_is_not_taken_for_a_narrow_one() {
    let mut world = talking();
    let mut rng = fastrand::Rng::with_seed(5);
    world.filter = Box::new(move |_, _, _| rng.u8(..) >= 26);
    world.narrow(1, 2, 50e6, ms(150));
    call(&mut world, 20, 10);
    assert_eq!(learnt(&world), None);
}

#[test]
fn a_way_that_grows_is_used_again() {
    let mut world = talking();
    world.narrow(1, 2, 1e6, ms(200));
    call(&mut world, 8, 4);
    assert!(learnt(&world).unwrap() < 1.1e6);
    world.narrow(1, 2, 20e6, ms(200));
    let fates = call(&mut world, 40, 5);
    assert!(fates[&REST].lost < 0.01, "{}", fates[&REST].lost);
}
