//! A session goes from one node to another: every reliable message comes once, both ways, and the
//! client hears no goodbye.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{World, packet, say};
use sfu::{Input, Output, ParticipantInfo, Side, TransportState};
use str0m::change::SdpAnswer;
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, MediaKind};
use str0m::{Candidate, Rtc};
use wire::RoomKey;

const VOICE: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const ROOM: RoomKey = RoomKey([1; 16]);
const CHANNELS: [u16; 3] = [0, 2, 4];
const A_WHILE: Duration = Duration::from_millis(300);

/// What a client heard, by the payload that `packet` carries.
fn heard(w: &World, client: usize) -> String {
    let text = |m: &Vec<u8>| m[m.iter().position(|b| *b == 0x12).unwrap() + 4] as char;
    w.clients[client].messages.iter().map(text).collect()
}

fn hold(w: &mut World, client: usize, so_long: Duration) {
    let (participant, until) = (w.clients[client].id, w.now + so_long);
    w.input(Input::Hold { participant, until });
}

fn replay(w: &mut World, client: usize, had: &[(&str, u32)]) {
    let had: Vec<_> = had.iter().map(|(sid, n)| ((*sid).into(), *n)).collect();
    let (participant, had) = (w.clients[client].id, &had[..]);
    w.input(Input::Replay { participant, had });
}

/// What a node tells the others of its room's data, since the last time.
fn told(w: &mut World) -> Vec<Arc<[u8]>> {
    let data = |e: Output| match e {
        Output::Data { bytes, .. } => Some(bytes),
        _ => None,
    };
    w.events.drain(..).filter_map(data).collect()
}

fn tell(w: &mut World, messages: &[Arc<[u8]>]) {
    for bytes in messages {
        let (room, reliable) = (ROOM, true);
        w.input(Input::Data {
            room,
            reliable,
            bytes,
        });
    }
}

/// `PA_3` comes from another node, where it was for so long; its next offer is still to come.
fn asks(w: &mut World, here: Duration) {
    w.input(Input::AddParticipant(ParticipantInfo {
        allow_pause: false,
        packet_trailers: false,
        participant: 100,
        room: ROOM,
        sid: "PA_3".into(),
        identity: "client-3".into(),
        agent: false,
        can_publish_data: true,
        can_subscribe: true,
        single: true,
        negotiated_channels: false,
    }));
    w.input(Input::Adopt {
        participant: 100,
        channels: CHANNELS,
        here,
    });
}

/// Its offer: a client's DTLS and SCTP begin anew when it sees a new fingerprint, so that it is a
/// new one here, whose channels have their old ids.
fn comes(w: &mut World, channels: [u16; 3]) -> usize {
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(w.now);
    let address = "10.0.2.1:5000".parse().unwrap();
    rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
    for (label, id) in ["_reliable", "_lossy", "_data_track"]
        .into_iter()
        .zip(channels)
    {
        api.add_channel_with_config(ChannelConfig {
            label: label.into(),
            ordered: true,
            reliability: Reliability::Reliable,
            negotiated: Some(id),
            ..Default::default()
        });
    }
    let (offer, pending) = api.apply().unwrap();
    w.input(Input::AcceptOffer {
        participant: 100,
        side: Side::Publisher,
        offer_id: 1,
        sdp: &offer.to_sdp_string(),
    });
    let Some(Output::Answered { sdp, .. }) = w.events.pop() else {
        panic!("no answer");
    };
    let answer = SdpAnswer::from_sdp_string(&sdp).unwrap();
    rtc.sdp_api().accept_answer(pending, answer).unwrap();
    w.adopt(100, rtc, address)
}

fn is_up(w: &World) -> bool {
    w.events.iter().any(|e| {
        let up = TransportState::Connected;
        matches!(e, Output::TransportState { participant: 100, state, .. } if *state == up)
    })
}

#[test]
fn what_is_held_comes_once_when_the_client_says_what_it_has() {
    let mut w = World::new();
    let (ann, bob) = (w.join(1, &[VOICE]), w.join(1, &[VOICE]));
    say(&mut w, ann, &packet(b"a", 1));
    w.run(A_WHILE);
    hold(&mut w, bob, Duration::from_secs(5));
    for (text, number) in [(b"b", 2), (b"c", 3)] {
        say(&mut w, ann, &packet(text, number));
    }
    w.run(A_WHILE);
    assert_eq!(heard(&w, bob), "a");
    replay(&mut w, bob, &[("PA_1", 1)]);
    say(&mut w, ann, &packet(b"d", 4));
    w.run(A_WHILE);
    assert_eq!(heard(&w, bob), "abcd");
}

#[test]
fn what_is_held_comes_by_itself_where_the_client_never_says() {
    let mut w = World::new();
    let (ann, bob) = (w.join(1, &[VOICE]), w.join(1, &[VOICE]));
    hold(&mut w, bob, Duration::from_secs(1));
    say(&mut w, ann, &packet(b"a", 1));
    w.run(Duration::from_millis(900));
    assert_eq!(heard(&w, bob), "");
    w.run(A_WHILE);
    assert_eq!(heard(&w, bob), "a");
    // Nobody knows such a participant.
    let (participant, until) = (77, w.now);
    w.input(Input::Hold { participant, until });
    w.input(Input::HandOver { participant });
}

#[test]
fn who_goes_on_elsewhere_hears_no_goodbye() {
    for handed_over in [false, true] {
        let mut w = World::new();
        let ann = w.join(1, &[VOICE]);
        let participant = w.clients[ann].id;
        if handed_over {
            w.input(Input::HandOver { participant });
        }
        w.input(Input::RemoveParticipant(participant));
        w.run(Duration::from_millis(50));
        // close_notify ends an association, and with it a client's channels.
        assert_eq!(w.clients[ann].rtc.is_alive(), handed_over);
    }
}

/// Two edges: at the first are Ann, who moves, and Bob; at the second is Eve.
fn edges() -> (World, World, [usize; 3]) {
    let (mut from, mut to) = (World::new(), World::new());
    from.join(2, &[]);
    let bob = from.join(1, &[VOICE]);
    let ann = from.join(1, &[VOICE]);
    let eve = to.join(1, &[VOICE]);
    (from, to, [ann, bob, eve])
}

/// What a client's words come to for the other nodes.
fn says(w: &mut World, client: usize, words: &[(&[u8], u8)]) -> Vec<Arc<[u8]>> {
    told(w);
    for (text, number) in words {
        say(w, client, &packet(text, *number));
    }
    w.run(A_WHILE);
    told(w)
}

#[test]
fn what_waits_for_a_client_goes_where_it_goes_and_to_nobody_else() {
    let (mut from, mut to, [ann, bob, eve]) = edges();
    hold(&mut from, ann, Duration::from_secs(5));
    // The other node has the room from the second message on.
    says(&mut from, bob, &[(b"a", 1)]);
    let second = says(&mut from, bob, &[(b"b", 2)]);
    tell(&mut to, &second);
    asks(&mut to, Duration::from_secs(60));
    let participant = from.clients[ann].id;
    from.input(Input::HandOver { participant });
    let passed_on = told(&mut from);
    assert_eq!(passed_on.len(), 2);
    tell(&mut to, &passed_on);
    let again = comes(&mut to, CHANNELS);
    replay(&mut to, again, &[]);
    to.run_until("up", is_up);
    to.run(A_WHILE);
    assert_eq!(
        (heard(&to, again), heard(&to, eve)),
        ("ab".into(), "b".into())
    );
    // Where it was, nothing comes any more.
    let third = says(&mut from, bob, &[(b"c", 3)]);
    assert_eq!(heard(&from, ann), "");
    tell(&mut to, &third);
    to.run(A_WHILE);
    assert_eq!(heard(&to, again), "abc");
}

#[test]
fn what_is_passed_on_late_comes_once_too() {
    let (mut from, mut to, [ann, bob, _]) = edges();
    asks(&mut to, Duration::from_secs(60));
    let again = comes(&mut to, CHANNELS);
    replay(&mut to, again, &[]);
    to.run_until("up", is_up);
    hold(&mut from, ann, Duration::from_secs(5));
    let live = says(&mut from, bob, &[(b"a", 1)]);
    tell(&mut to, &live);
    let participant = from.clients[ann].id;
    from.input(Input::HandOver { participant });
    tell(&mut to, &told(&mut from));
    to.run(A_WHILE);
    assert_eq!(heard(&to, again), "a");
    assert_eq!(to.count("data_repeated"), 1);
}

#[test]
fn who_was_there_before_a_message_gets_it_at_its_new_place() {
    for (here, gets) in [(Duration::from_secs(60), "a"), (Duration::ZERO, "")] {
        let mut w = World::new();
        let bob = w.join(1, &[VOICE]);
        says(&mut w, bob, &[(b"a", 1)]);
        asks(&mut w, here);
        let again = comes(&mut w, CHANNELS);
        replay(&mut w, again, &[]);
        w.run_until("up", is_up);
        w.run(A_WHILE);
        assert_eq!(heard(&w, again), gets);
    }
}

#[test]
fn what_a_client_says_in_both_places_is_heard_once() {
    let (mut from, mut to, [ann, _, eve]) = edges();
    asks(&mut to, Duration::from_secs(60));
    let participant = from.clients[ann].id;
    from.input(Input::HandOver { participant });
    let old = says(&mut from, ann, &[(b"a", 1), (b"b", 2)]);
    assert_eq!(old.len(), 2, "what it still says there is taken");
    tell(&mut to, &old[..1]);
    let again = comes(&mut to, CHANNELS);
    to.run_until("up", is_up);
    // It heard of none that arrived, and says both again.
    says(&mut to, again, &[(b"a", 1), (b"b", 2)]);
    tell(&mut to, &old[1..]);
    to.run(A_WHILE);
    assert_eq!(heard(&to, eve), "ab");
    assert_eq!(to.count("data_repeated"), 2);
}

#[test]
fn it_is_up_when_its_channels_are() {
    let mut w = World::new();
    asks(&mut w, Duration::ZERO);
    let again = comes(&mut w, CHANNELS);
    w.run_until("connected", |w| w.clients[again].connected);
    // The end of the DTLS handshake comes through, the SCTP association does not.
    w.step();
    w.loses = Box::new(|_, toward| !toward);
    w.run(Duration::from_secs(2));
    assert!(!is_up(&w));
    w.loses = Box::new(|_, _| false);
    w.run_until("up", is_up);
    assert_eq!(w.clients[again].channels.len(), 3);
}
