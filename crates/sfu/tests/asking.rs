//! How often a publisher is asked for what is lost on its way up.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;
mod weak;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use common::{Part, World, publish, subscribe, vp8};
use sfu::Kind;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use weak::access::Lines;
use weak::call::{line, ms};

/// How often it was asked for each packet, of pictures of six each 50 ms for ten seconds.
fn asked(loss: f32) -> BTreeMap<u16, u32> {
    let mut world = World::new();
    world.tick = ms(1);
    world.configure = |config| config.enable_raw_packets(true);
    let ann = world.join(1, &[(MediaKind::Video, Direction::SendOnly)]);
    publish(&mut world, ann, 0, "TR_v", Kind::Video, 5);
    let bob = world.join(1, &[(MediaKind::Video, Direction::RecvOnly)]);
    subscribe(&mut world, bob, 0, "TR_v");
    let lines = Rc::new(RefCell::new(Lines::default()));
    let [down, up] = [0.0, loss].map(|loss| line(20_000_000, ms(40), loss, ms(300)));
    lines.borrow_mut().open(&[ann], down, up, 5);
    world.network = Some(lines);
    let pt = world.pt(ann, Codec::Vp8);
    let mut sequence = 0;
    for picture in 0..200 {
        let requests = &mut world.clients[ann].keyframe_requests;
        let keyframe = picture == 0 || !std::mem::take(requests).is_empty();
        for n in 0..6 {
            sequence += 1;
            let payload = vp8(1_000, n == 0, keyframe);
            let part = Part {
                sequence,
                timestamp: picture * 4_500,
                marker: n == 5,
                payload: &payload,
            };
            world.send_picture(ann, None, pt, &part);
            world.run(ms(2));
        }
        world.run(ms(38));
    }
    let mut asked = BTreeMap::new();
    for sequence in &world.clients[ann].asked {
        *asked.entry(*sequence).or_insert(0) += 1;
    }
    asked
}

#[test]
fn where_much_is_lost_a_packet_is_asked_for_thirteen_times() {
    for (loss, times) in [(0.05, 1..=5), (0.5, 10..=13)] {
        let most = asked(loss).into_values().max().unwrap();
        assert!(times.contains(&most), "{loss}: {most}");
    }
}
