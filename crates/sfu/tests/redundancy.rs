//! Sound over links that lose packets: repeated as often as each subscriber needs it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;
mod weak;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{World, subscribe};
use sfu::{Input, Kind, Layer, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use weak::access::Lines;
use weak::call::{line, ms};
use wire::{Block, RoomKey, StreamId, put_red, red_blocks};

const SPEAK: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const HEAR: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);

/// One who speaks and some who hear; those who take redundant sound, or not.
fn call(world: &mut World, red: bool, hearers: &[bool]) -> (usize, Vec<usize>) {
    let ann = world.join(1, &[SPEAK]);
    let mid = world.clients[ann].mids[0].to_string();
    world.input(Input::AddTrack(TrackInfo {
        sid: "TR_a".into(),
        room: RoomKey([1; 16]),
        kind: Kind::Audio,
        layers: vec![Layer {
            stream: StreamId(5),
            rid: None,
            quality: 0,
        }],
        publisher: Some(1),
        red,
    }));
    world.input(Input::Publish {
        participant: 1,
        mid: &mid,
        track: "TR_a",
    });
    let join = |takes: &bool| {
        let at = world.join_as(1, &[HEAR], &[], *takes);
        subscribe(world, at, 0, "TR_a");
        at
    };
    (ann, hearers.iter().map(join).collect())
}

fn speak(world: &mut World, ann: usize, from: u64, packets: u64) {
    let pt = world.pt(ann, Codec::Opus);
    for sequence in from..from + packets {
        world.send(ann, 0, pt, sequence, &sequence.to_be_bytes());
        world.run(Duration::from_millis(20));
    }
}

/// The frames that a client could play, and how often packets of so many blocks came.
fn played(world: &World, client: usize) -> (BTreeSet<u64>, BTreeMap<usize, usize>) {
    let red = world.clients[client]
        .rtc
        .codec_config()
        .find(|p| p.red().is_some())
        .and_then(|p| p.red());
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let (mut frames, mut sizes) = (BTreeSet::new(), BTreeMap::new());
    for packet in &world.clients[client].packets {
        if Some(packet.header.payload_type) == red {
            let blocks = red_blocks(&packet.payload).unwrap();
            frames.extend(blocks.iter().map(|block| number(block.bytes)));
            *sizes.entry(blocks.len()).or_default() += 1;
        } else {
            frames.insert(number(&packet.payload));
            *sizes.entry(0).or_default() += 1;
        }
    }
    (frames, sizes)
}

fn missing(world: &World, client: usize, from: u64, packets: u64) -> usize {
    let (frames, _) = played(world, client);
    (from..from + packets)
        .filter(|n| !frames.contains(n))
        .count()
}

#[test]
fn each_subscriber_gets_as_much_as_it_loses() {
    let mut w = World::new();
    let (ann, hearers) = call(&mut w, true, &[true, true, true, false]);
    let [good, poor, bad, plain] = hearers[..] else {
        panic!("four hear");
    };
    let mut rng = fastrand::Rng::with_seed(1);
    w.loses = Box::new(move |client, toward| {
        let share = if client == poor {
            0.1
        } else if client == bad {
            0.3
        } else {
            0.0
        };
        toward && rng.f64() < share
    });
    // They are to be known before anything is counted.
    speak(&mut w, ann, 1_000, 1_000);
    for hearer in &hearers {
        w.clients[*hearer].packets.clear();
    }
    speak(&mut w, ann, 2_000, 2_000);
    let deepest = |client| *played(&w, client).1.keys().max().unwrap();
    assert_eq!((deepest(good), deepest(plain)), (2, 0));
    assert!((3..=4).contains(&deepest(poor)));
    assert!((4..=5).contains(&deepest(bad)), "{:?}", played(&w, bad).1);
    assert_eq!(missing(&w, good, 2_000, 2_000), 0);
    assert_eq!(missing(&w, plain, 2_000, 2_000), 0);
    let shares = [poor, bad].map(|client| missing(&w, client, 2_000, 1_990) as f64 / 1_990.0);
    assert!(shares[0] <= 0.003, "10 % lost, {:?} left", shares[0]);
    assert!(shares[1] <= 0.015, "30 % lost, {:?} left", shares[1]);
}

#[test]
fn where_most_is_lost_each_packet_is_sent_several_times() {
    for (share, left) in [(0.5, 0.002), (0.7, 0.015)] {
        let mut w = World::new();
        w.tick = ms(1);
        let (ann, hearers) = call(&mut w, true, &[true]);
        let hearer = hearers[0];
        let mut rng = fastrand::Rng::with_seed(3);
        let sent = Rc::new(RefCell::new(0));
        let count = Rc::clone(&sent);
        w.loses = Box::new(move |client, toward| {
            let toward = toward && client == hearer;
            *count.borrow_mut() += u64::from(toward);
            toward && rng.f64() < share
        });
        speak(&mut w, ann, 1_000, 1_000);
        w.clients[hearer].packets.clear();
        *sent.borrow_mut() = 0;
        speak(&mut w, ann, 2_000, 2_000);
        // Each is sent three times but for one in eight; reports come beside them.
        let sent = *sent.borrow();
        assert!((5_000..6_500).contains(&sent), "{sent} datagrams");
        let (_, sizes) = played(&w, hearer);
        assert_eq!(sizes.keys().max(), Some(&5), "{sizes:?}");
        let missing = missing(&w, hearer, 2_000, 1_990) as f64 / 1_990.0;
        assert!(missing <= left, "{share} lost, {missing} left");
        let packets: usize = sizes.values().sum();
        assert!(packets <= 2_000, "who got one drops the others");
    }
}

#[test]
fn who_takes_no_redundant_sound_hears_what_the_speakers_packets_repeat() {
    let mut w = World::new();
    let (ann, hearers) = call(&mut w, true, &[false, true]);
    let mut rng = fastrand::Rng::with_seed(2);
    w.loses = Box::new(move |client, toward| client == ann && !toward && rng.f64() < 0.2);
    let (opus, red) = (w.pt(ann, Codec::Opus), w.red(ann));
    for sequence in 100..1_100u64 {
        let frames = [sequence - 2, sequence - 1, sequence].map(u64::to_be_bytes);
        let blocks: Vec<Block<'_>> = (0..3u16)
            .map(|i| Block {
                payload_type: *opus,
                timestamp_offset: (2 - i) * 960,
                bytes: &frames[usize::from(i)],
            })
            .collect();
        let mut payload = Vec::new();
        put_red(&mut payload, &blocks).unwrap();
        w.send(ann, 0, red, sequence, &payload);
        w.run(Duration::from_millis(20));
    }
    assert!(w.count("media_recovered") > 100);
    for hearer in hearers {
        let left = missing(&w, hearer, 110, 980);
        assert!(
            left <= 20,
            "{left} of 980: three in a row are lost in 0.8 %"
        );
    }
}

#[test]
fn lost_sound_is_asked_for_again_where_it_comes_in_time() {
    let mut w = World::new();
    let (ann, _) = call(&mut w, true, &[true]);
    let answer = w.clients[ann].answer.clone();
    let opus = w.pt(ann, Codec::Opus);
    assert!(
        answer.contains(&format!("a=rtcp-fb:{opus} nack\r\n")),
        "{answer}"
    );
    let hears = w.clients[1].answer.clone();
    assert!(
        !hears.contains(&format!("a=rtcp-fb:{opus} nack\r\n")),
        "{hears}"
    );
    let mut number = 0;
    w.loses = Box::new(move |client, toward| {
        number += u64::from(client == ann && !toward);
        client == ann && !toward && number % 10 == 0
    });
    speak(&mut w, ann, 100, 100);
    assert!(
        w.clients[ann].nacks > 3,
        "{} asked for",
        w.clients[ann].nacks
    );
}

/// Of 20 s of plain sound that a speaker sends over a line of 40 ms that loses this share each way:
/// frames that the listener lacks, packets that came behind a later one, and requests. As a browser,
/// the speaker's client sends again what it is asked for, no sooner than after a round trip.
fn far_away(loss: f32) -> (usize, usize, usize) {
    let mut w = World::new();
    w.tick = ms(1);
    w.configure = |config| config.enable_raw_packets(true);
    let mut lines = Lines::default();
    let [good, lossy] = [0.0, loss].map(|loss| line(20_000_000, ms(40), loss, ms(150)));
    let first = w.clients.len();
    let at = lines.open(&[first], good, good, 5);
    let lines = Rc::new(RefCell::new(lines));
    w.network = Some(Rc::clone(&lines) as _);
    let (ann, hearers) = call(&mut w, true, &[false]);
    let pt = w.pt(ann, Codec::Opus);
    let mut again: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut speak = |w: &mut World, packets: std::ops::Range<u64>| {
        for sequence in packets {
            w.send(ann, 0, pt, sequence, &sequence.to_be_bytes());
            for _ in 0..20 {
                w.run(ms(1));
                for number in std::mem::take(&mut w.clients[ann].asked) {
                    let number = u64::from(number);
                    if again.get(&number).is_none_or(|at| w.now >= *at + ms(40)) {
                        again.insert(number, w.now);
                        w.send(ann, 0, pt, number, &number.to_be_bytes());
                    }
                }
            }
        }
        again.len()
    };
    speak(&mut w, 100..200);
    lines.borrow_mut().change(w.now, at, lossy, lossy);
    // The share that is lost is known after a while.
    let before = speak(&mut w, 200..400);
    let heard = w.clients[hearers[0]].packets.len();
    let asked = speak(&mut w, 400..1_400) - before;
    let came = w.clients[hearers[0]].packets[heard..].windows(2);
    let behind = came.filter(|pair| pair[1].seq_no < pair[0].seq_no).count();
    (missing(&w, hearers[0], 400, 990), behind, asked)
}

#[test]
fn much_lost_sound_is_asked_for_from_afar_too_and_goes_on_in_order() {
    let (missing, behind, asked) = far_away(0.3);
    assert!(asked > 200, "{asked}");
    assert!(missing <= 60, "{missing} of 990");
    assert!(behind <= 80, "{behind} of 990 came behind a later one");
    // The speaker's encoder protects itself.
    let (missing, behind, asked) = far_away(0.1);
    assert!(missing > 60, "{missing} of 990");
    assert_eq!((behind, asked), (0, 0));
}

#[test]
fn sound_that_must_stay_plain_is_passed_on_as_it_came() {
    let mut w = World::new();
    let (ann, hearers) = call(&mut w, false, &[true]);
    speak(&mut w, ann, 100, 50);
    let (frames, sizes) = played(&w, hearers[0]);
    assert_eq!(frames.len(), 50);
    assert_eq!(sizes, BTreeMap::from([(0, 50)]));
}

#[test]
fn a_muted_microphone_ends_in_silence_and_goes_on_behind_it() {
    let mut w = World::new();
    let (ann, hearers) = call(&mut w, true, &[true, false]);
    speak(&mut w, ann, 100, 50);
    let muted = |w: &mut World, muted| {
        w.input(Input::SetMuted {
            track: "TR_a",
            muted,
        });
        w.run(Duration::from_millis(40));
    };
    muted(&mut w, true);
    muted(&mut w, true);
    for hearer in &hearers {
        let packets = &w.clients[*hearer].packets;
        let silent = packets.iter().rev();
        let silent = silent.take_while(|p| *p.payload == [0xf8, 0xff, 0xfe]);
        assert_eq!(silent.count(), 3);
    }
    muted(&mut w, false);
    // Whether the client numbered on or not while it was muted makes no difference.
    speak(&mut w, ann, 150, 20);
    for hearer in hearers {
        let packets = &w.clients[hearer].packets;
        assert_eq!(packets.len(), 73);
        for pair in packets.windows(2) {
            assert_eq!(*pair[1].seq_no, *pair[0].seq_no + 1, "no number twice");
            let ticks = pair[1]
                .header
                .timestamp
                .wrapping_sub(pair[0].header.timestamp);
            assert!((1..96_000).contains(&ticks), "time goes on: {ticks}");
        }
    }
}
