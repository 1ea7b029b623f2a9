//! Spatial layers in one stream (VP9's SVC): what a viewer does not want is left out of it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Part, World, publish, subscribe};
use sfu::{Input, Kind};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};

/// Bytes of a frame of each spatial layer: one packet each, 25 pictures a second.
const BYTES: [usize; 3] = [200, 500, 1_000];

struct Film {
    who: usize,
    picture: u64,
    asked: usize,
}

impl Film {
    fn run(&mut self, w: &mut World, pictures: u64) {
        let pt = w.pt(self.who, Codec::Vp9);
        for _ in 0..pictures {
            let requests = w.clients[self.who].keyframe_requests.len();
            let key = requests > self.asked || self.picture == 0;
            self.asked = requests;
            for (spatial, bytes) in BYTES.iter().enumerate() {
                // I, L, B, E, and P of what refers to another picture | id | SID | TL0PICIDX
                let predicted = if key { 0 } else { 0x40 };
                let id = self.picture as u8 & 0x7f;
                let mut payload = vec![0xac | predicted, id, (spatial as u8) << 1, 0];
                payload.resize(*bytes, 0);
                let part = Part {
                    sequence: 1_000 + 3 * self.picture + spatial as u64,
                    timestamp: (self.picture * 3_600) as u32,
                    marker: spatial == 2,
                    payload: &payload,
                };
                w.send_picture(self.who, None, pt, &part);
            }
            self.picture += 1;
            w.run(Duration::from_millis(40));
        }
    }
}

/// (spatial layer, marker) of the packets since then.
fn seen(w: &World, client: usize, since: usize) -> Vec<(u8, bool)> {
    let packets = &w.clients[client].packets[since..];
    let of = |p: &str0m::rtp::RtpPacket| (p.payload[2] >> 1, p.header.marker);
    packets.iter().map(of).collect()
}

#[test]
fn a_spatial_layer_is_left_at_once_and_entered_at_a_keyframe() {
    let mut w = World {
        feedback: false,
        ..World::new()
    };
    let who = w.join(1, &[(MediaKind::Video, Direction::SendOnly)]);
    publish(&mut w, who, 0, "TR_v", Kind::Video, 7);
    let viewers = [(); 2].map(|()| {
        let at = w.join(1, &[(MediaKind::Video, Direction::RecvOnly)]);
        subscribe(&mut w, at, 0, "TR_v");
        at
    });
    let [bob, eve] = viewers;
    let mut film = Film {
        who,
        picture: 0,
        asked: w.clients[who].keyframe_requests.len(),
    };
    film.run(&mut w, 75);
    let all = [(0, false), (1, false), (2, true)];
    assert_eq!(seen(&w, bob, 0)[..3], all);
    let quality = |w: &mut World, quality| {
        w.input(Input::SetQuality {
            participant: w.clients[bob].id,
            track: "TR_v",
            quality: Some(quality),
            priority: 0,
            fps: 0,
        });
    };
    for wanted in [1u8, 0] {
        quality(&mut w, wanted);
        let before = w.clients[bob].packets.len();
        film.run(&mut w, 10);
        let expected = (0..=wanted).map(|spatial| (spatial, spatial == wanted));
        let expected: Vec<_> = std::iter::repeat_n(expected, 10).flatten().collect();
        assert_eq!(seen(&w, bob, before), expected);
    }
    let (before, asked) = (w.clients[bob].packets.len(), film.asked);
    quality(&mut w, 2);
    w.run(Duration::from_millis(20));
    assert_eq!(
        w.clients[who].keyframe_requests.len(),
        asked + 1,
        "a keyframe is asked for"
    );
    film.run(&mut w, 3);
    let upper: Vec<_> = seen(&w, bob, before)
        .into_iter()
        .filter(|s| s.0 > 0)
        .collect();
    assert_eq!(upper, [all[1], all[2]].repeat(3), "with it all layers come");
    for viewer in viewers {
        let packets = &w.clients[viewer].packets;
        let next = |pair: &[str0m::rtp::RtpPacket]| *pair[1].seq_no == *pair[0].seq_no + 1;
        assert!(packets.windows(2).all(next), "no packet is missed");
    }
    let of_eve = seen(&w, eve, 0);
    assert_eq!(
        of_eve.len() as u64,
        3 * film.picture,
        "nobody else is touched"
    );
}
