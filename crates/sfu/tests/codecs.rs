//! A picture in two codecs, each a track of its own: a viewer's m-line goes from one to the other.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{World, publish, subscribe};
use sfu::{Input, Kind, Output};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Pt};

const PICTURE: (MediaKind, Direction) = (MediaKind::Video, Direction::SendOnly);
/// A picture of one packet in each codec, the second of which refers to no other.
const VP9: [[u8; 4]; 2] = [[0xcc, 1, 0, 0], [0x8c, 1, 0, 0]];
const VP8: [[u8; 6]; 2] = [[0x90, 0x80, 0x81, 0, 1, 0], [0x90, 0x80, 0x81, 0, 0, 0]];

struct Film {
    who: usize,
    number: u64,
    pts: [Pt; 2],
}

impl Film {
    /// Each codec sends a picture per 40 ms; the first is a keyframe, and those after a request.
    fn run(&mut self, w: &mut World, pictures: u64) {
        for _ in 0..pictures {
            let asked = std::mem::take(&mut w.clients[self.who].keyframe_requests);
            for (line, pt) in self.pts.into_iter().enumerate() {
                let mid = w.clients[self.who].mids[line];
                let key = usize::from(self.number == 0 || asked.iter().any(|r| r.mid == mid));
                let sequence = 5_000 * (line as u64 + 1) + self.number;
                match line {
                    0 => w.send(self.who, line, pt, sequence, &VP9[key]),
                    _ => w.send(self.who, line, pt, sequence, &VP8[key]),
                }
            }
            self.number += 1;
            w.run(Duration::from_millis(40));
        }
    }
}

fn wanted(w: &World, sid: &str) -> Vec<Option<u8>> {
    let of = |e: &Output| match e {
        Output::TrackWanted { track, quality } if track == sid => Some(*quality),
        _ => None,
    };
    w.events.iter().filter_map(of).collect()
}

#[test]
fn a_viewer_goes_over_to_the_other_codec_without_a_seam() {
    let mut w = World {
        feedback: false,
        ..World::new()
    };
    let who = w.join(1, &[PICTURE, PICTURE]);
    publish(&mut w, who, 0, "TR_v", Kind::Video, 7);
    publish(&mut w, who, 1, "TR_v.vp8", Kind::Video, 8);
    let bob = w.join(1, &[(MediaKind::Video, Direction::RecvOnly)]);
    let pts = [w.pt(bob, Codec::Vp9), w.pt(bob, Codec::Vp8)];
    let mut film = Film {
        who,
        number: 0,
        pts: [w.pt(who, Codec::Vp9), w.pt(who, Codec::Vp8)],
    };
    subscribe(&mut w, bob, 0, "TR_v");
    film.run(&mut w, 50);
    w.input(Input::Unsubscribe {
        participant: w.clients[bob].id,
        track: "TR_v",
    });
    subscribe(&mut w, bob, 0, "TR_v.vp8");
    film.run(&mut w, 50);

    let packets = &w.clients[bob].packets;
    let mut codecs: Vec<Pt> = packets.iter().map(|p| p.header.payload_type).collect();
    codecs.dedup();
    assert_eq!(codecs, pts);
    let first = packets.iter().find(|p| p.header.payload_type == pts[1]);
    assert_eq!(first.unwrap().payload[4], 0, "it begins with a keyframe");
    for pair in packets.windows(2) {
        assert_eq!(pair[0].header.ssrc, pair[1].header.ssrc);
        assert_eq!(*pair[1].seq_no, *pair[0].seq_no + 1, "no packet is missed");
        let ahead = pair[1]
            .header
            .timestamp
            .wrapping_sub(pair[0].header.timestamp);
        assert!(ahead > 0 && ahead < 90_000, "time goes on by {ahead}");
    }
    assert_eq!(wanted(&w, "TR_v"), [None, Some(2), None]);
    assert_eq!(wanted(&w, "TR_v.vp8"), [None, Some(2)]);
}

#[test]
fn whether_anybody_hears_a_sound_is_told() {
    let mut w = World::new();
    let who = w.join(1, &[(MediaKind::Audio, Direction::SendOnly)]);
    publish(&mut w, who, 0, "TR_a", Kind::Audio, 5);
    let bob = w.join(1, &[(MediaKind::Audio, Direction::RecvOnly)]);
    subscribe(&mut w, bob, 0, "TR_a");
    w.run(Duration::from_secs(1));
    w.input(Input::Unsubscribe {
        participant: w.clients[bob].id,
        track: "TR_a",
    });
    w.run(Duration::from_secs(1));
    assert_eq!(wanted(&w, "TR_a"), [None, Some(2), None]);
}
