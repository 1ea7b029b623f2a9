//! decode(encode(x)) = x for every message, and no bytes make a parser panic.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use wire::{
    Ages, Block, Body, Class, Content, Datagram, FRAME_HEADER, Format, Frames, Header, Heartbeat,
    MediaPacket, NEVER, NodeId, Part, PeerReport, RoomKey, Segment, StreamId, TreeBuf, put_red,
    red_blocks,
};

#[path = "../fuzz/parsers.rs"]
#[allow(unreachable_pub)]
mod parsers;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

prop_compose! {
    fn media()(
        format in prop::sample::select(Format::ALL.to_vec()),
        sequence: u64, timestamp: u32, marker: bool, keyframe: bool,
        audio_level in prop::option::of(0u8..128),
        voice_activity: Option<bool>,
        orientation in prop::option::of(0u8..4),
        absolute_capture_time: Option<u64>,
        descriptor in prop::option::of(bytes(300)),
        payload in bytes(1300),
    ) -> MediaPacket {
        MediaPacket {
            format, sequence, timestamp, marker, keyframe, audio_level, voice_activity,
            orientation, absolute_capture_time,
            dependency_descriptor: descriptor.map(Arc::from),
            payload: payload.into(),
        }
    }
}

proptest! {
    #[test]
    fn media_packets(packet in media()) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        prop_assert_eq!(MediaPacket::decode(&out).unwrap(), packet);
    }

    #[test]
    fn truncated_media_never_gains(packet in media(), cut: prop::sample::Index) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        let head = &out[..cut.index(out.len())];
        if let Ok(shorter) = MediaPacket::decode(head) {
            prop_assert!(packet.payload.starts_with(&shorter.payload));
        }
    }

    #[test]
    fn headers(
        ids in prop::collection::hash_set(1u16.., 2..30),
        paths in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..3), any::<bool>()), 1..20),
        epoch: u16, serial: u32, class in prop::sample::select(Class::ALL.to_vec()), tag: u32,
    ) {
        let ids: Vec<NodeId> = ids.into_iter().map(NodeId).collect();
        let (origin, rest) = ids.split_first().unwrap();
        let mut tree = TreeBuf::new(rest[0]);
        prop_assert!(tree.add(&rest[..1], false, 2));
        for (path, graft) in paths {
            let mut nodes = vec![rest[0]];
            nodes.extend(path.iter().map(|i| *i.get(rest)));
            let last = *nodes.last().unwrap();
            let grew = match graft {
                true => tree.graft(&nodes, graft, 2),
                false => tree.add(&nodes, graft, 2),
            };
            prop_assert!(!grew || tree.as_tree().stops().any(|s| s.node == last && s.delivers));
        }
        let header = Header {
            origin: *origin, epoch, serial, class, hops: 1, detoured: false, tag, tree: tree.as_tree(),
        };
        let mut out = Vec::new();
        header.encode(&mut out);
        out.push(7);
        prop_assert!(out.len() - 1 <= FRAME_HEADER);
        prop_assert_eq!(Header::decode(&out).unwrap(), (header, &[7u8][..]));
        parsers::frame(&out);
    }

    #[test]
    fn contents(
        words: (u64, u32, bool, u64, u32), raw in bytes(1200),
        list in prop::collection::vec(any::<u64>(), 0..128), flags: (bool, bool), room: [u8; 16],
    ) {
        let (epoch, version, wanted, base, ahead) = words;
        let base = base >> 1;
        for content in [
            Content::Media { stream: StreamId(epoch), packet: &raw },
            Content::Want {
                epoch, version, wanted, streams: list.iter().copied().map(StreamId).collect(),
            },
            Content::Keyframe { stream: StreamId(base) },
            Content::Reliable(Segment {
                epoch, base, sequence: base + u64::from(ahead),
                first: flags.0, last: flags.1, bytes: &raw,
            }),
            Content::Acknowledge { epoch, receiver: 8, next: base, received: [1, u64::MAX, base, 0] },
            Content::Lossy { room: RoomKey(room), bytes: &raw },
            Content::Fragment { message: version, index: 3, count: 4, bytes: &raw },
        ] {
            let mut out = Vec::new();
            content.encode(&mut out);
            prop_assert_eq!(Content::decode(&out).unwrap(), content);
        }
    }

    #[test]
    fn parts(message: u16, count in 2u8..=4, index in 0u8..4, raw in bytes(1200)) {
        let part = Part { message, index: index % count, count, bytes: &raw };
        let mut out = Vec::new();
        part.encode(&mut out);
        prop_assert_eq!(Part::decode(&out).unwrap().unwrap(), part);
        prop_assert!(Header::decode(&out).is_err(), "no frame is taken for a part");
    }

    #[test]
    fn bodies(
        words: (bool, u32, u32, u16), echo: Option<(u32, u32)>,
        report: (u16, u16, u16), flags: (bool, bool), ages in prop::collection::vec(any::<u16>(), 1..=4),
        sequences in prop::collection::vec(any::<u32>(), 0..256),
        frames in prop::collection::vec(bytes(200), 0..5),
    ) {
        let (flag, sequence, sent, interval) = words;
        let mut joined = Vec::new();
        for frame in &frames {
            joined.extend((frame.len() as u16).to_be_bytes());
            joined.extend(frame);
        }
        let parts: Vec<_> = Frames::new(&joined).map(|f| f.unwrap().to_vec()).collect();
        prop_assert_eq!(&parts, &frames);
        for body in [
            Body::Frames { repair: flag, sequence, sent, frames: &joined },
            Body::Heartbeat(Heartbeat {
                sent, interval, next_sequence: sequence, number: report.0, aside: report.1,
                primary: flag, carrying: flags.0, backup: flags.1,
                report: PeerReport { loss: report.2, residual: report.1, queue: report.0, received: sent },
                echo, heard: Ages::new(ages.iter().copied()),
            }),
            Body::Probe { sent, padding: &joined },
            Body::Probed { sent, size: interval },
            Body::Nack { sent, sequences: sequences.clone() },
            Body::Gone { sent, sequences: sequences.clone() },
            Body::Parity { sent, number: sent ^ 1, first: sequence, count: sent as u8, sum: &joined },
        ] {
            let mut out = Vec::new();
            body.encode(&mut out);
            prop_assert_eq!(Body::decode(&out).unwrap(), body);
        }
    }

    #[test]
    fn datagrams(sender: u32, receiver: u32, noise in bytes(200), counter: u64) {
        for datagram in [
            Datagram::Initiate { sender, noise: &noise },
            Datagram::Respond { sender, receiver, noise: &noise },
        ] {
            let mut out = Vec::new();
            datagram.encode(&mut out);
            prop_assert_eq!(Datagram::decode(&out).unwrap(), datagram);
        }
        let datagram = Datagram::Sealed { receiver, counter };
        let mut out = Vec::new();
        datagram.encode(&mut out);
        prop_assert!(Datagram::decode(&out).is_err(), "a sealed datagram without a tag");
        out.extend([0; 16]);
        prop_assert_eq!(Datagram::decode(&out).unwrap(), datagram);
    }

    #[test]
    fn redundancy(
        redundant in prop::collection::vec((0u8..128, 0u16..1 << 14, bytes(1023)), 0..5),
        primary in (0u8..128, bytes(1300)),
    ) {
        let mut blocks: Vec<Block<'_>> = redundant
            .iter()
            .map(|(pt, offset, b)| Block { payload_type: *pt, timestamp_offset: *offset, bytes: b })
            .collect();
        blocks.push(Block { payload_type: primary.0, timestamp_offset: 0, bytes: &primary.1 });
        let mut out = Vec::new();
        put_red(&mut out, &blocks).unwrap();
        prop_assert_eq!(red_blocks(&out).unwrap(), blocks);
    }

    #[test]
    fn garbage(data in bytes(1500)) {
        parsers::all(&data);
    }

    #[test]
    fn garbage_behind_a_plausible_start(
        kind in 0u8..9, flags: u8, shapes in prop::collection::vec(0u8..16, 1..6), data in bytes(400),
    ) {
        let mut frame = vec![0, 1, 0, 9, 0, 0, 0, 7, flags & 0x3f];
        frame.push(shapes.len() as u8);
        for (i, shape) in shapes.iter().enumerate() {
            frame.extend([0, 2 + i as u8, *shape]);
        }
        let content = frame.len();
        frame.push(kind);
        frame.extend(&data);
        parsers::all(&frame);
        parsers::all(&frame[content..]);
    }
}

/// A frame of origin 1 with these flags, whose tree has these nodes and shapes.
fn frame(flags: u8, tree: &[(u8, u8)]) -> Vec<u8> {
    let mut frame = vec![0, 1, 0, 9, 0, 0, 0, 7, flags, tree.len() as u8];
    for (node, shape) in tree {
        frame.extend([0, *node, *shape]);
    }
    frame
}

#[test]
fn trees_that_cannot_be() {
    let sound = frame(0x04, &[(2, 4), (3, 1), (4, 14), (5, 5)]);
    assert!(Header::decode(&sound).is_ok());
    for cut in 0..sound.len() {
        assert!(Header::decode(&sound[..cut]).is_err(), "cut at {cut}");
    }
    for (why, frame) in [
        ("to itself", frame(0x04, &[(1, 4)])),
        ("back to its origin", frame(0x04, &[(2, 4), (1, 5)])),
        ("twice through 2", frame(0x04, &[(2, 4), (3, 1), (2, 6)])),
        ("to nobody", frame(0x04, &[])),
        ("to node 0", frame(0x04, &[(2, 4), (0, 5)])),
        ("a root below", frame(0x04, &[(2, 5)])),
        ("two roots", frame(0x04, &[(2, 4), (3, 4)])),
        ("a level left out", frame(0x04, &[(2, 4), (3, 6)])),
        ("a leaf that says nothing", frame(0x04, &[(2, 4), (3, 1)])),
        ("a copy of nothing", frame(0x04, &[(2, 8), (3, 5)])),
        ("an unknown shape", frame(0x04, &[(2, 0x14)])),
        ("four links", frame(0x08, &[(2, 0), (3, 1), (4, 6)])),
        (
            "five links, detoured",
            frame(0x2c, &[(2, 0), (3, 1), (4, 6)]),
        ),
        ("no link crossed", frame(0x00, &[(2, 4)])),
        ("a spare flag", frame(0x84, &[(2, 4)])),
        (
            "too wide",
            frame(
                0x04,
                &(2..19)
                    .map(|i| (i, if i == 2 { 4 } else { 5 }))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "tag 0",
            vec![0, 1, 0, 9, 0, 0, 0, 7, 0x44, 0, 0, 0, 0, 1, 0, 2, 4],
        ),
        (
            "from nobody",
            vec![0, 0, 0, 9, 0, 0, 0, 7, 0x04, 1, 0, 2, 4],
        ),
    ] {
        assert!(Header::decode(&frame).is_err(), "{why}");
    }
    assert!(
        Header::decode(&frame(0x28, &[(2, 0), (3, 1), (4, 6)])).is_ok(),
        "four, detoured"
    );
}

#[test]
fn stun_usernames() {
    let mut message = vec![0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 12]);
    message.extend([0x80, 0x22, 0, 1, b'x', 0, 0, 0]);
    message.extend([0, 6, 0, 3, b'a', b':', b'b', 0]);
    assert_eq!(wire::stun_username(&message), Some("a:b"));
    for cut in 0..message.len() {
        assert_eq!(wire::stun_username(&message[..cut]), None);
    }
    message[4] = 0;
    assert_eq!(wire::stun_username(&message), None);
}

#[test]
fn the_corpus_holds() {
    let corpus = corpus();
    let mut files = 0;
    for folder in std::fs::read_dir(&corpus).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            parsers::all(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
    }
    assert!(files >= 20, "only {files} corpus files");
}

#[test]
#[ignore = "writes the seed corpus: run by hand after a format changes"]
fn write_corpus() {
    let corpus = corpus();
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    let encoded = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        f(&mut out);
        out
    };
    let packet = MediaPacket {
        format: Format::Red,
        sequence: 70_000,
        timestamp: 960,
        marker: true,
        keyframe: false,
        audio_level: Some(30),
        voice_activity: Some(true),
        orientation: Some(1),
        absolute_capture_time: Some(1 << 40),
        dependency_descriptor: Some([1, 2, 3][..].into()),
        payload: [0xef, 0x0f, 0x00, 0x02, 0x6f, 9, 9, 8, 8][..].into(),
    };
    let media = encoded(&|out| packet.encode(out));
    put("media", "everything", &media);
    put("media", "cut", &media[..9]);
    put(
        "media",
        "long_descriptor",
        &[1, 0x80, 1, 0, 0, 0, 0, 0xff, 0xff, 0x7f, 1],
    );
    put("media", "endless_sequence", &[0xff; 14]);
    let stream = StreamId(1 << 48 | 5);
    let contents = [
        (
            "media",
            Content::Media {
                stream,
                packet: &media,
            },
        ),
        (
            "want",
            Content::Want {
                epoch: 9,
                version: 1,
                wanted: true,
                streams: vec![stream],
            },
        ),
        ("keyframe", Content::Keyframe { stream }),
        (
            "reliable",
            Content::Reliable(Segment {
                epoch: 9,
                base: 3,
                sequence: 300,
                first: true,
                last: false,
                bytes: b"hello",
            }),
        ),
        (
            "acknowledge",
            Content::Acknowledge {
                epoch: 9,
                receiver: 8,
                next: 4,
                received: [6, 0, 0, 1],
            },
        ),
        (
            "lossy",
            Content::Lossy {
                room: RoomKey([5; 16]),
                bytes: b"hello",
            },
        ),
        (
            "fragment",
            Content::Fragment {
                message: 1,
                index: 1,
                count: 3,
                bytes: b"mid",
            },
        ),
    ];
    let mut tree = TreeBuf::chain(&[NodeId(2), NodeId(3)]).unwrap();
    assert!(tree.add(&[NodeId(2), NodeId(4), NodeId(5)], true, 2));
    let mut joined = Vec::new();
    for (name, content) in &contents {
        let frame = encoded(&|out| {
            Header {
                origin: NodeId(1),
                epoch: 9,
                serial: 7,
                class: Class::Audio,
                hops: 1,
                detoured: *name == "lossy",
                tag: if *name == "media" { 77 } else { 0 },
                tree: tree.as_tree(),
            }
            .encode(out);
            content.encode(out);
        });
        put("frame", name, &frame);
        joined.extend((frame.len() as u16).to_be_bytes());
        joined.extend(&frame);
    }
    put("frame", "loop", &frame(0x04, &[(2, 0), (2, 5)]));
    put("frame", "too_deep", &frame(0x0c, &[(2, 0), (3, 1), (4, 6)]));
    put(
        "frame",
        "sequence_overflow",
        &[
            0, 1, 0, 9, 0, 0, 0, 7, 4, 1, 0, 2, 4, 4, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 0,
        ],
    );
    let beat = Heartbeat {
        sent: 1,
        interval: 20,
        next_sequence: 7,
        echo: Some((5, 6)),
        number: 3,
        aside: 4,
        primary: true,
        carrying: false,
        backup: true,
        report: PeerReport::default(),
        heard: Ages::new([7, NEVER]),
    };
    for (name, body) in [
        (
            "frames",
            Body::Frames {
                repair: false,
                sequence: 1,
                sent: 2,
                frames: &joined,
            },
        ),
        (
            "repair",
            Body::Frames {
                repair: true,
                sequence: 1,
                sent: 2,
                frames: &joined[..40],
            },
        ),
        ("heartbeat", Body::Heartbeat(beat)),
        (
            "nack",
            Body::Nack {
                sent: 1,
                sequences: vec![1, 2, 9],
            },
        ),
        (
            "gone",
            Body::Gone {
                sent: 1,
                sequences: vec![2, 9],
            },
        ),
        (
            "parity",
            Body::Parity {
                sent: 1,
                number: 3,
                first: 1,
                count: 4,
                sum: &joined[..40],
            },
        ),
    ] {
        put("body", name, &encoded(&|out| body.encode(out)));
    }
    put(
        "datagram",
        "initiate",
        &encoded(&|out| {
            Datagram::Initiate {
                sender: 1,
                noise: &[1; 96],
            }
            .encode(out)
        }),
    );
    put(
        "datagram",
        "respond",
        &encoded(&|out| {
            Datagram::Respond {
                sender: 1,
                receiver: 2,
                noise: &[1; 48],
            }
            .encode(out)
        }),
    );
    put(
        "datagram",
        "sealed",
        &encoded(&|out| {
            Datagram::Sealed {
                receiver: 1,
                counter: 2,
            }
            .encode(out);
            out.extend([0; 16]);
        }),
    );
    put("red", "two_blocks", &packet.payload);
    put("red", "endless", &[0xff; 80]);
    put("red", "empty", &[]);
    put(
        "stun",
        "username",
        &[
            0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0, 3,
            b'a', b':', b'b', 0,
        ],
    );
    put(
        "stun",
        "username_beyond_the_end",
        &[
            0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0xff,
            0xff, b'a', b':', b'b', 0,
        ],
    );
}

/// Where cargo says now: clones share a build cache, and its binaries may come from another.
fn corpus() -> std::path::PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    std::path::PathBuf::from(package).join("fuzz/corpus")
}
