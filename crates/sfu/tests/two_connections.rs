//! The older topology: the server offers on a second connection, and its data channels are there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::World;
use sfu::{Input, Kind, Layer, Output, ParticipantInfo, Section, Side, TrackInfo};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::{Candidate, Rtc};
use wire::{Format, MediaPacket, RoomKey, StreamId};

fn offered(w: &mut World) -> (u32, String, Vec<String>) {
    let at = w
        .events
        .iter()
        .position(|e| matches!(e, Output::Offered { .. }))
        .expect("an offer");
    match w.events.remove(at) {
        Output::Offered {
            offer_id,
            sdp,
            mids,
            ..
        } => (offer_id, sdp, mids),
        _ => unreachable!(),
    }
}

fn answer(w: &mut World, client: usize, id: u32, offer: &str) {
    let offer = SdpOffer::from_sdp_string(offer).unwrap();
    let answer: SdpAnswer = w.clients[client].rtc.sdp_api().accept_offer(offer).unwrap();
    let sdp = answer.to_sdp_string();
    w.input(Input::AcceptAnswer {
        participant: 9,
        offer_id: id,
        sdp: &sdp,
    });
}

fn audio(mid: Option<&str>, active: bool) -> Section {
    Section {
        mid: mid.map(Into::into),
        kind: Kind::Audio,
        active,
    }
}

#[test]
fn the_server_offers_tracks_and_data() {
    let mut w = World::new();
    w.input(Input::AddParticipant(ParticipantInfo {
        participant: 9,
        room: RoomKey([1; 16]),
        sid: "PA_9".into(),
        identity: "old".into(),
        agent: false,
        can_publish_data: true,
        can_subscribe: true,
        single: false,
        negotiated_channels: false,
        allow_pause: false,
        packet_trailers: false,
    }));
    let mut rtc = Rtc::builder()
        .set_rtp_mode(true)
        .enable_opus(true, true)
        .build(w.now);
    let address = "10.0.1.9:5000".parse().unwrap();
    rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
    w.adopt(9, rtc, address);
    w.input(Input::CreateOffer {
        participant: 9,
        offer_id: 1,
        sections: &[],
        restart_ice: false,
    });
    let (id, sdp, mids) = offered(&mut w);
    assert!(mids.is_empty());
    answer(&mut w, 0, id, &sdp);
    w.run_until("connected", |w| {
        w.clients[0].connected && w.clients[0].channels.len() == 3
    });
    let labels: Vec<_> = w.clients[0]
        .channels
        .iter()
        .map(|(_, l)| l.as_str())
        .collect();
    assert_eq!(labels, ["_reliable", "_lossy", "_data_track"]);

    let track = TrackInfo {
        sid: "TR_a".into(),
        room: RoomKey([1; 16]),
        kind: Kind::Audio,
        layers: vec![Layer {
            stream: StreamId(3),
            rid: None,
            quality: 0,
        }],
        publisher: None,
        red: true,
    };
    w.input(Input::AddTrack(track));
    let sections = [audio(None, true)];
    w.input(Input::CreateOffer {
        participant: 9,
        offer_id: 2,
        sections: &sections,
        restart_ice: false,
    });
    let (id, sdp, mids) = offered(&mut w);
    assert_eq!((id, mids.len()), (2, 1));
    // An answer to an offer that is not open is refused, and hurts nothing.
    w.input(Input::AcceptAnswer {
        participant: 9,
        offer_id: 77,
        sdp: &sdp,
    });
    assert!(matches!(
        w.events.pop(),
        Some(Output::NegotiationFailed { offer_id: 77, .. })
    ));
    answer(&mut w, 0, id, &sdp);
    w.input(Input::Subscribe {
        participant: 9,
        side: Side::Subscriber,
        mid: &mids[0],
        track: "TR_a",
    });
    let speak = |w: &mut World, from: u64| {
        for sequence in from..from + 20 {
            let packet = Arc::new(MediaPacket {
                format: Format::Opus,
                sequence,
                timestamp: (sequence * 960) as u32,
                marker: false,
                keyframe: false,
                audio_level: None,
                voice_activity: None,
                orientation: None,
                absolute_capture_time: None,
                dependency_descriptor: None,
                payload: [1u8; 20].as_slice().into(),
            });
            w.input(Input::Media {
                stream: StreamId(3),
                packet: &packet,
            });
            w.run(Duration::from_millis(20));
        }
    };
    speak(&mut w, 1);
    assert_eq!(w.clients[0].packets.len(), 20);

    // Data reaches the client on the second connection.
    // DataPacket{user{payload: "hi"}, participant_sid: "PA_1"}
    let data: Arc<[u8]> = [&[0x12, 4, 0x12, 2, b'h', b'i', 0x8a, 1, 4][..], b"PA_1"]
        .concat()
        .into();
    w.input(Input::Data {
        room: RoomKey([1; 16]),
        reliable: true,
        bytes: &data,
    });
    w.run(Duration::from_millis(200));
    assert_eq!(w.clients[0].messages.len(), 1);

    // The section is freed and used again.
    w.input(Input::Unsubscribe {
        participant: 9,
        track: "TR_a",
    });
    // To go straight to another track changes nothing but the track's name, and is offered too.
    for (id, active) in [(3, true), (4, false), (5, false), (6, true)] {
        let sections = [audio(Some(&mids[0]), active)];
        w.input(Input::CreateOffer {
            participant: 9,
            offer_id: id,
            sections: &sections,
            restart_ice: false,
        });
        let (id, sdp, again) = offered(&mut w);
        assert_eq!(again, mids);
        answer(&mut w, 0, id, &sdp);
    }
    w.input(Input::Subscribe {
        participant: 9,
        side: Side::Subscriber,
        mid: &mids[0],
        track: "TR_a",
    });
    speak(&mut w, 100);
    assert_eq!(w.clients[0].packets.len(), 40);
}
