//! Offers captured from real SDKs are answered: payload types echoed, no m-line missing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Instant;

use sfu::{Config, Input, Output, ParticipantInfo, Sfu, Side};
use wire::RoomKey;

fn offers() -> Vec<(String, String)> {
    let folder = manifest_dir().join("../../tests/data/offers");
    let mut offers: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .map(|p| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&p).unwrap())
        })
        .collect();
    offers.sort();
    assert_eq!(offers.len(), 3);
    offers
}

fn answer(offer: &str) -> Result<String, String> {
    let now = Instant::now();
    let config = Config {
        udp: vec!["127.0.0.1:7882".parse().unwrap()],
        tcp: vec!["127.0.0.1:7881".parse().unwrap()],
    };
    let mut sfu = Sfu::new(config, now);
    let mut out = vec![];
    let info = ParticipantInfo {
        participant: 7,
        room: RoomKey([1; 16]),
        sid: "PA_x".into(),
        identity: "ann".into(),
        agent: false,
        can_publish_data: true,
        can_subscribe: true,
        single: true,
        negotiated_channels: false,
        allow_pause: false,
        packet_trailers: false,
    };
    sfu.handle(now, Input::AddParticipant(info), &mut out);
    let accept = Input::AcceptOffer {
        participant: 7,
        side: Side::Publisher,
        offer_id: 1,
        sdp: offer,
    };
    sfu.handle(now, accept, &mut out);
    match out.pop().unwrap() {
        Output::Answered { sdp, .. } => Ok(sdp),
        Output::NegotiationFailed { reason, .. } => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// codec names by payload type, per mid
fn codecs(sdp: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for section in sdp.split("m=").skip(1) {
        let line =
            |prefix: &'static str| section.lines().filter_map(move |l| l.strip_prefix(prefix));
        let mid = line("a=mid:").next().unwrap().to_owned();
        let codecs = line("a=rtpmap:")
            .filter_map(|l| l.split_once(' '))
            .map(|(pt, codec)| (pt.to_owned(), codec.to_lowercase()))
            .collect();
        all.insert(mid, codecs);
    }
    all
}

#[test]
fn payload_types_are_those_offered() {
    for (name, offer) in offers() {
        let answer = answer(&offer).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (offered, answered) = (codecs(&offer), codecs(&answer));
        assert_eq!(
            offered.keys().collect::<Vec<_>>(),
            answered.keys().collect::<Vec<_>>(),
            "{name}: an m-line is missing"
        );
        for (mid, codecs) in &answered {
            for (pt, codec) in codecs {
                assert_eq!(
                    offered[mid].get(pt),
                    Some(codec),
                    "{name}: m-line {mid}, type {pt}"
                );
            }
        }
        let has = |mid: &str, codec: &str| answered[mid].values().any(|c| c.starts_with(codec));
        assert!(has("0", "opus") && has("0", "red"), "{name}");
        for codec in ["vp8", "vp9", "h264", "av1", "rtx"] {
            assert!(has("3", codec), "{name}: {codec} is missing");
        }
        assert!(!answer.contains("sctp-init") && !answer.contains("goog-sped"));
        assert!(answer.contains("a=ice-lite") && answer.contains("candidate:"));
        assert!(
            answer.contains("dependency-descriptor") || !offer.contains("dependency-descriptor")
        );
    }
}

#[test]
fn a_broken_offer_is_refused_with_a_reason() {
    let (_, offer) = offers().remove(0);
    for broken in [
        String::new(),
        "v=0".into(),
        "\u{0}\u{ff}".repeat(200),
        offer.replace("a=fingerprint", "a=fingerprunt"),
        offer.replace("a=ice-ufrag", "a=ice-ufrog"),
        offer[..offer.len() / 2].into(),
    ] {
        if let Err(reason) = answer(&broken) {
            assert!(!reason.is_empty());
        }
    }
    assert!(answer("v=0").is_err());
}

/// As cargo says now: clones share a build cache, and its binaries may come from another.
fn manifest_dir() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}
