//! How often a publisher is asked for what is lost on its way up, and how long its viewers keep back what comes late.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;
mod weak;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::{Part, World, publish, subscribe, vp8};
use sfu::Kind;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use weak::access::Lines;
use weak::call::{line, ms};

/// What became of pictures of six packets each 50 ms for ten seconds.
struct Became {
    /// How often each packet was asked for.
    asked: BTreeMap<u16, u32>,
    /// Packets that were sent, and that the viewer got.
    sent: u64,
    got: usize,
    /// How long the viewer is to keep the last back, ms.
    kept_back: f64,
}

/// The publisher sends a packet again for each request.
fn became(loss: f32) -> Became {
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
    let mid = world.clients[ann].mids[0];
    let mut api = world.clients[ann].rtc.direct_api();
    let tx = api.stream_tx_by_mid(mid, None).unwrap();
    tx.set_rtx_cache(2_000, Duration::from_secs(3), None);
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
    let packets = &world.clients[bob].packets;
    let last = packets.last().unwrap().header.ext_vals.play_delay_min;
    Became {
        asked,
        sent: sequence,
        got: packets.len(),
        kept_back: last.map_or(0.0, |time| time.as_seconds() * 1_000.0),
    }
}

#[test]
fn where_much_is_lost_a_packet_is_asked_for_until_it_comes() {
    let most = |of: &Became| of.asked.values().copied().max().unwrap();
    let few = became(0.05);
    assert!(most(&few) <= 5, "as often as str0m does: {}", most(&few));
    assert!(few.kept_back < 200.0, "{} ms", few.kept_back);
    let many = became(0.5);
    let lost = many.sent as usize - many.got;
    assert!(lost < 30, "{lost} of {}", many.sent);
    // Who sends a packet again for each request is asked less.
    let each = f64::from(many.asked.values().sum::<u32>()) / many.asked.len() as f64;
    assert!(each < 6.0, "{each}");
    let kept_back = many.kept_back;
    assert!((200.0..=700.0).contains(&kept_back), "{kept_back} ms");
}
