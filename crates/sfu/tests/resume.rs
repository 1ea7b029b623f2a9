//! A client that comes back: ICE is restarted either way, names stay ours, data comes once.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::time::Duration;

use common::{World, packet, say};
use sfu::{Input, Kind, Output, ParticipantInfo, Section, Side, participant_of_ufrag};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind};
use str0m::{Candidate, Rtc};
use wire::RoomKey;

const VOICE: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);

fn ufrag(sdp: &str) -> &str {
    let lines = &mut sdp.lines();
    lines.find_map(|l| l.strip_prefix("a=ice-ufrag:")).unwrap()
}

fn offer(w: &mut World, client: usize, sdp: &str) -> String {
    let participant = w.clients[client].id;
    w.input(Input::AcceptOffer {
        participant,
        side: Side::Publisher,
        offer_id: 2,
        sdp,
    });
    match w.events.pop() {
        Some(Output::Answered { sdp, .. }) => sdp,
        other => panic!("no answer but {other:?}"),
    }
}

/// The client restarts ICE; the answer.
fn restart(w: &mut World, client: usize) -> String {
    let mut api = w.clients[client].rtc.sdp_api();
    api.ice_restart(true);
    let (made, pending) = api.apply().unwrap();
    let answer = offer(w, client, &made.to_sdp_string());
    let parsed = SdpAnswer::from_sdp_string(&answer).unwrap();
    let api = w.clients[client].rtc.sdp_api();
    api.accept_answer(pending, parsed).unwrap();
    answer
}

fn states(w: &World, of: u64) -> Vec<sfu::TransportState> {
    let state = |e: &Output| match e {
        Output::TransportState {
            participant, state, ..
        } if *participant == of => Some(*state),
        _ => None,
    };
    w.events.iter().filter_map(state).collect()
}

#[test]
fn a_client_that_restarts_is_answered_under_a_new_name_of_ours() {
    let mut w = World::new();
    let ann = w.join(1, &[VOICE]);
    let first = ufrag(&w.clients[ann].answer.clone()).to_owned();
    for _ in 0..20 {
        w.events.clear();
        let answer = restart(&mut w, ann);
        let name = ufrag(&answer);
        assert_ne!(name, first);
        assert_eq!(participant_of_ufrag(name), Some(w.clients[ann].id));
        assert!(w.sfu.knows_ufrag(name));
        assert!(!w.sfu.knows_ufrag(&first));
        w.run_until("connected again", |w| !states(w, 1).is_empty());
        assert_eq!(states(&w, 1), [sfu::TransportState::Connected]);
    }
    say(&mut w, ann, &packet(b"still here", 1));
    w.run(Duration::from_millis(100));
    assert!(w.events.iter().any(|e| matches!(e, Output::Data { .. })));
}

#[test]
fn an_offer_that_restarts_nothing_changes_no_name() {
    let mut w = World::new();
    let ann = w.join(1, &[VOICE]);
    let first = ufrag(&w.clients[ann].answer.clone()).to_owned();
    let mut api = w.clients[ann].rtc.sdp_api();
    api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    let (made, _) = api.apply().unwrap();
    let answer = offer(&mut w, ann, &made.to_sdp_string());
    assert_eq!(ufrag(&answer), first);
    assert!(w.sfu.knows_ufrag(&first));
}

#[test]
fn a_server_offer_restarts_the_subscriber_connection() {
    let mut w = World::new();
    w.input(Input::AddParticipant(ParticipantInfo {
        allow_pause: false,
        packet_trailers: false,
        participant: 9,
        room: RoomKey([1; 16]),
        sid: "PA_9".into(),
        identity: "old".into(),
        agent: false,
        can_publish_data: true,
        can_subscribe: true,
        single: false,
        negotiated_channels: false,
    }));
    let mut rtc = Rtc::builder()
        .set_rtp_mode(true)
        .enable_opus(true, true)
        .build(w.now);
    let address = "10.0.1.9:5000".parse().unwrap();
    rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
    w.adopt(9, rtc, address);
    let exchange = |w: &mut World, offer_id: u32, restart_ice: bool| {
        let sections = [Section {
            mid: None,
            kind: Kind::Audio,
            active: true,
        }];
        w.input(Input::CreateOffer {
            participant: 9,
            offer_id,
            sections: if offer_id == 1 { &sections } else { &[] },
            restart_ice,
        });
        let Some(Output::Offered { sdp, .. }) = w.events.pop() else {
            panic!("no offer");
        };
        let parsed = SdpOffer::from_sdp_string(&sdp).unwrap();
        let api = w.clients[0].rtc.sdp_api();
        let answer = api.accept_offer(parsed).unwrap().to_sdp_string();
        w.input(Input::AcceptAnswer {
            participant: 9,
            offer_id,
            sdp: &answer,
        });
        w.run_until("connected", |w| !states(w, 9).is_empty());
        assert_eq!(states(w, 9), [sfu::TransportState::Connected]);
        w.events.clear();
        ufrag(&sdp).to_owned()
    };
    let first = exchange(&mut w, 1, false);
    let second = exchange(&mut w, 2, true);
    assert_ne!(second, first);
    assert_eq!(participant_of_ufrag(&second), Some(9));
    assert!(w.sfu.knows_ufrag(&second) && !w.sfu.knows_ufrag(&first));
}

#[test]
fn a_connection_that_was_another_nodes_is_opened_from_here() {
    let mut w = World::new();
    let ann = w.join(1, &[VOICE]);
    assert!(w.clients[ann].answer.contains("a=setup:passive"));
    // Another node: it knows nothing of the connection.
    let config = sfu::Config {
        udp: vec![common::SERVER.parse().unwrap()],
        tcp: vec![],
    };
    w.sfu = sfu::Sfu::new(config, w.now);
    w.input(Input::AddParticipant(ParticipantInfo {
        allow_pause: false,
        packet_trailers: false,
        participant: 1,
        room: RoomKey([1; 16]),
        sid: "PA_1".into(),
        identity: "client-1".into(),
        agent: false,
        can_publish_data: true,
        can_subscribe: true,
        single: true,
        negotiated_channels: false,
    }));
    w.input(Input::Adopt {
        participant: 1,
        channels: [0, 2, 4],
        here: Duration::ZERO,
    });
    let mut api = w.clients[ann].rtc.sdp_api();
    api.ice_restart(true);
    let (made, _) = api.apply().unwrap();
    let made = made.to_sdp_string();
    assert!(made.contains("a=setup:actpass"));
    let answer = offer(&mut w, ann, &made);
    assert!(answer.contains("a=setup:active"));
    assert_eq!(participant_of_ufrag(ufrag(&answer)), Some(1));
}

#[test]
fn a_message_that_comes_again_goes_to_nobody_again() {
    let mut w = World::new();
    let ann = w.join(1, &[VOICE]);
    let bob = w.join(1, &[VOICE]);
    for sequence in [1, 2, 2, 1, 3] {
        say(&mut w, ann, &packet(&[b'0' + sequence], sequence));
    }
    w.run(Duration::from_millis(200));
    assert_eq!(w.clients[bob].messages.len(), 3);
    assert_eq!(w.count("data_repeated"), 2);
    w.events.clear();
    w.input(Input::Resume { participant: 1 });
    assert!(matches!(
        w.events.pop(),
        Some(Output::Resumed {
            participant: 1,
            last_sequence: 3
        })
    ));
}

#[test]
fn a_client_gets_what_it_missed_and_only_that() {
    let mut w = World::new();
    let ann = w.join(1, &[VOICE]);
    let bob = w.join(1, &[VOICE]);
    for sequence in 1..=5 {
        say(&mut w, ann, &packet(&[b'0' + sequence], sequence));
    }
    w.run(Duration::from_millis(200));
    assert_eq!(w.clients[bob].messages.len(), 5);
    let had = [("PA_1".to_owned(), 3)];
    let participant = w.clients[bob].id;
    let had = &had;
    w.input(Input::Replay { participant, had });
    w.run(Duration::from_millis(200));
    let again = &w.clients[bob].messages[5..];
    assert_eq!(again.len(), 2);
    assert!(again[0].windows(3).any(|x| x == [0x80, 1, 4]));
    assert!(again[1].windows(3).any(|x| x == [0x80, 1, 5]));
    // Nobody the server does not know is asked for anything.
    let unknown = 77;
    w.input(Input::Replay {
        participant: unknown,
        had,
    });
    assert_eq!(w.count("data_replayed"), 2);
}
