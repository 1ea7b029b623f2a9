//! Every event, encoded, against the bytes that the Python side decodes in its own test
//! (`tests/unit/protocol/test_node.py`). `FAIRLEAD_UPDATE=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use node::{Command, Event, Figures, Level, Link, Pair, Picture};

fn events() -> Vec<Event> {
    vec![
        Event::Answered {
            participant: 1,
            transport: "publisher",
            offer_id: 2,
            sdp: "v=0".into(),
        },
        Event::Offered {
            participant: 1,
            offer_id: 2,
            sdp: "v=0".into(),
            mids: vec!["0".into()],
        },
        Event::NegotiationFailed {
            participant: 1,
            transport: "subscriber",
            offer_id: 2,
            reason: "no".into(),
        },
        Event::TransportState {
            participant: u64::MAX,
            transport: "publisher",
            state: "connected",
        },
        Event::TrackLive {
            track: "TR_a".into(),
            mime: "audio/opus",
        },
        Event::StreamSource {
            participant: 1,
            stream: (1 << 48) | 7,
            ssrc: u32::MAX,
            rtx: None,
        },
        Event::Resumed {
            participant: 1,
            last_sequence: u32::MAX,
        },
        Event::Levels {
            levels: vec![Level {
                track: "TR_a".into(),
                level: 0.5,
                active: true,
            }],
        },
        Event::SubscriptionLive {
            participant: 1,
            track: "TR_a".into(),
        },
        Event::Quality {
            participants: vec![Figures {
                participant: 1,
                packets_up: 250,
                loss_up: 0.25,
                jitter_ms: 3.5,
                packets_down: 0,
                loss_down: 0.0,
                rtt_ms: None,
                silent_s: 0.5,
                layers_wanted: 3,
                layers_sent: 1,
                keyframes_asked: 2,
                pictures: vec![Picture {
                    track: "TR_a".into(),
                    layers: 3,
                    fps: 7.5,
                }],
            }],
        },
        Event::CallAnswered {
            participant: 1,
            call: "call-1".into(),
            packet: b"\x2a\x00".to_vec().into(),
        },
        Event::StreamState {
            participant: 1,
            track: "TR_a".into(),
            paused: true,
        },
        Event::TrackWanted {
            track: "TR_a".into(),
            quality: None,
        },
        Event::LinkReport {
            links: vec![Link {
                node: 2,
                state: "up",
                held: false,
                fault: Some("out"),
                rtt_ms: Some(161.5),
                rtt_min_ms: Some(160.0),
                rtt_p95_ms: None,
                delay_change_ms: 1.0,
                jitter_ms: 0.25,
                loss: 0.5,
                residual_loss: 0.0,
                loss_out: 0.25,
                residual_loss_out: 0.0,
                burst: 1.5,
                kbps_in: 64.0,
                kbps_out: 80.0,
                queue_ms: 2.0,
                capacity_kbps: Some(100_000),
                mtu: 1350,
                repair_share: 0.0,
                parity_share: 0.0,
                pair: 1,
                pairs: vec![Pair {
                    pair: 1,
                    state: "up",
                    rtt_ms: Some(161.0),
                    loss: 0.0,
                }],
                sent_packets: 1,
                received_packets: 2,
            }],
        },
        Event::Counters {
            counts: [("media_forwarded".to_owned(), 7)].into(),
        },
        Event::Fatal {
            reason: "stopped".into(),
        },
    ]
}

#[test]
fn events_are_what_python_decodes() {
    let path = manifest_dir().join("../../tests/data/node_events.msgpack");
    let mut bytes = vec![];
    for event in events() {
        let event = event.encode();
        bytes.extend((event.len() as u32).to_be_bytes());
        bytes.extend(event);
    }
    if std::env::var_os("FAIRLEAD_UPDATE").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes,
        "FAIRLEAD_UPDATE=1 writes them anew"
    );
}

#[test]
fn commands_are_what_python_encodes() {
    let path = manifest_dir().join("../../tests/data/node_commands.msgpack");
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut read = 0;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (command, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        let command = Command::decode(command).unwrap();
        assert!(!format!("{command:?}").is_empty());
        read += 1;
        rest = tail;
    }
    assert_eq!(read, 35, "one sample of each command");
}

#[test]
fn a_command_that_can_not_be_read_is_a_sentence() {
    for bytes in [
        &b""[..],
        &[0xc1],
        &[0x81, 0xa4, b't', b'y', b'p', b'e', 0xa1, b'X'],
    ] {
        assert!(
            Command::decode(bytes)
                .unwrap_err()
                .contains("can't be read")
        );
    }
}

/// As cargo says now: clones share a build cache, and its binaries may come from another.
fn manifest_dir() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}
