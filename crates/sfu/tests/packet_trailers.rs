//! What a publisher appends to its pictures reaches the clients that know of it, and no others.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Part, World, publish, subscribe};
use sfu::Kind;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};

/// A frame id (type 2, 4 bytes; all XORed), the length of the whole, and the mark.
const TRAILER: [u8; 11] = [
    0xfd, 0xfb, 0xff, 0xff, 0xff, 0xf8, 0xf4, b'L', b'K', b'T', b'S',
];
/// A keyframe of VP8 in one packet.
const PICTURE: [u8; 6] = [0x10, 0x00, 1, 2, 3, 4];

#[test]
fn who_knows_nothing_of_it_is_not_sent_it() {
    let mut w = World::new();
    let ann = w.join(1, &[(MediaKind::Video, Direction::SendOnly)]);
    let [old, new] = [false, true].map(|packet_trailers| {
        w.packet_trailers = packet_trailers;
        w.join(1, &[(MediaKind::Video, Direction::RecvOnly)])
    });
    publish(&mut w, ann, 0, "TR_v", Kind::Video, 7);
    for viewer in [old, new] {
        subscribe(&mut w, viewer, 0, "TR_v");
    }
    let whole = [&PICTURE[..], &TRAILER].concat();
    let pt = w.pt(ann, Codec::Vp8);
    for n in 0..20 {
        let part = Part {
            sequence: n,
            timestamp: n as u32 * 3_600,
            marker: n > 9,
            payload: &whole,
        };
        w.send_picture(ann, None, pt, &part);
        w.run(Duration::from_millis(40));
    }
    let seen = |viewer: usize, marker| {
        let packets = w.clients[viewer].packets.iter();
        let packets = packets.filter(move |p| p.header.marker == marker);
        packets.map(|p| p.payload.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(seen(old, true), vec![PICTURE.to_vec(); 10]);
    assert_eq!(seen(new, true), vec![whole.clone(); 10]);
    assert!(seen(old, false).iter().all(|payload| *payload == whole));
}
