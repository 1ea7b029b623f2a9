//! What a client with the right credentials gets.

use std::time::Duration;

use turn_types::attribute::{Data, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};
use turn_types::stun::attribute::XorMappedAddress;
use turn_types::stun::message::{BINDING, IntegrityAlgorithm, Message};

use super::client::{MEDIA, Person, START, World, address, on_channel};
use crate::{
    CHANNEL_LIFETIME, DEFAULT_LIFETIME, Input, NONCE_LIFETIME, PERMISSION_LIFETIME, RELAY_V4,
    Splitter, Transport, is_relayed, password, username,
};

const HERE: &str = "198.51.100.7:40000";

#[test]
fn credentials_are_those_that_signalling_makes() {
    // The same as in tests/unit/rooms/test_ice_servers.py.
    let name = username(1_433_895_918, "alice");
    assert_eq!(name, "1433895918:alice");
    assert_eq!(password(&name, b"north"), "RqMvcGPYTJMGThVLSi4amT4zFtI=");
}

#[test]
fn anyone_may_ask_where_it_is_seen_from() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let answer = person.ask(&mut world, BINDING, &[]).expect("it is allowed");
    let message = Message::from_bytes(&answer).expect("the server writes STUN");
    let mapped = message.attribute::<XorMappedAddress>().expect("told");
    assert_eq!(mapped.addr(message.transaction_id()), address(HERE));
}

#[test]
fn media_goes_both_ways_by_indication_and_by_channel() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let relayed = person
        .allocate(&mut world)
        .expect("the credentials are right");
    assert_eq!(relayed.ip(), RELAY_V4);
    assert!(is_relayed(relayed));

    person.permit(&mut world, MEDIA).expect("it is our media");
    person.send(&mut world, MEDIA, b"up");
    let sent = world.out.peers.pop().expect("it is permitted");
    assert_eq!((sent.relayed, sent.peer), (relayed, address(MEDIA)));
    assert_eq!(sent.bytes, b"up");
    let told = world.node_says(relayed, b"down").expect("it is permitted");
    let message = Message::from_bytes(&told).expect("an indication");
    assert_eq!(
        message.attribute::<Data<'_>>().expect("told").data(),
        b"down"
    );

    person
        .bind(&mut world, 0x4001, MEDIA)
        .expect("it is our media");
    person.send_on(&mut world, 0x4001, b"odd");
    assert_eq!(world.out.peers.pop().expect("it is bound").bytes, b"odd");
    let told = world.node_says(relayed, b"odd").expect("it is bound");
    assert_eq!(told, on_channel(0x4001, 3, b"odd"));
    let counts = world.server.counts();
    assert_eq!((counts.to_peers, counts.to_clients), (2, 2));
    assert_eq!((counts.allocations, counts.bytes), (1, 2 + 4 + 3 + 3));
}

#[test]
fn on_a_stream_channel_data_is_padded_and_cut_right() {
    let mut world = World::new();
    let name = username(START + 60, "PA_1");
    let mut person = Person::over(Transport::Tcp, HERE, &name);
    let relayed = person
        .allocate(&mut world)
        .expect("the credentials are right");
    person
        .bind(&mut world, 0x4fff, MEDIA)
        .expect("it is our media");
    let told = world.node_says(relayed, b"odd").expect("it is bound");
    assert_eq!(told, [0x4f, 0xff, 0, 3, b'o', b'd', b'd', 0]);

    let mut stream = told.clone();
    stream.extend(person.request(BINDING, &[]));
    stream.extend(&told);
    for step in [1, 3, 7, stream.len()] {
        let mut splitter = Splitter::default();
        let mut lengths = Vec::new();
        for part in stream.chunks(step) {
            let push = splitter.push(part, |message| lengths.push(message.len()));
            push.expect("the stream is well formed");
        }
        assert_eq!(lengths, [7, stream.len() - 16, 7]);
    }
}

#[test]
fn everything_lasts_its_time_and_no_longer() {
    let second = Duration::from_secs(1);
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let relayed = person
        .allocate(&mut world)
        .expect("the credentials are right");
    person.permit(&mut world, MEDIA).expect("it is our media");

    world.pass(PERMISSION_LIFETIME - second);
    assert!(world.node_says(relayed, b"x").is_some());
    world.pass(second);
    assert!(world.node_says(relayed, b"x").is_none());
    person.send(&mut world, MEDIA, b"x");
    assert!(world.out.peers.is_empty());
    person
        .bind(&mut world, 0x4000, MEDIA)
        .expect("it is our media");
    assert!(world.node_says(relayed, b"x").is_some());

    world.pass(DEFAULT_LIFETIME - PERMISSION_LIFETIME - second);
    assert_eq!(person.refresh(&mut world, 9_999), Ok(3_600));
    world.pass(CHANNEL_LIFETIME);
    person.send_on(&mut world, 0x4000, b"x");
    assert!(world.out.peers.is_empty());

    world.pass(Duration::from_secs(3_600) - CHANNEL_LIFETIME);
    assert_eq!(world.server.counts().expired_allocations, 1);
    assert_eq!(person.refresh(&mut world, 600), Err(437));
    assert!(world.server.deadline().is_none(), "nothing is left to end");
}

#[test]
fn a_call_outlasts_its_credentials_and_a_nonce_is_renewed_on_the_way() {
    let mut world = World::new();
    let name = username(START + 60, "PA_1");
    let mut person = Person::over(Transport::Udp, HERE, &name);
    person.allocate(&mut world).expect("they hold still");
    let first = person.nonce.clone();
    for _ in 0..4 {
        world.pass(Duration::from_secs(NONCE_LIFETIME / 2));
        assert_eq!(person.refresh(&mut world, 600), Ok(600));
    }
    assert_ne!(person.nonce, first);
    let mut other = Person::over(Transport::Udp, "198.51.100.7:40001", &name);
    assert_eq!(other.allocate(&mut world), Err(401));
    assert_eq!(world.server.counts().expired_credentials, 1);
}

#[test]
fn an_answer_that_was_lost_is_given_again_and_a_second_allocation_is_not() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let relayed = person
        .allocate(&mut world)
        .expect("the credentials are right");
    let udp = RequestedTransport::new(RequestedTransport::UDP);
    assert_eq!(person.ask(&mut world, ALLOCATE, &[&udp]).err(), Some(437));

    let mut late = Person::new("198.51.100.7:40001");
    let request = late.request(ALLOCATE, &[&udp]);
    let challenge = world.feed(late.client, &request).expect("a challenge");
    late.learn(&challenge);
    let request = late.request(ALLOCATE, &[&udp]);
    let once = world.feed(late.client, &request);
    assert_eq!(world.feed(late.client, &request), once);
    assert_eq!(world.server.counts().allocations, 2);

    assert_eq!(person.refresh(&mut world, 0), Ok(0));
    assert!(world.node_says(relayed, b"x").is_none());
    let closed = Input::Closed {
        client: late.client,
    };
    world.server.handle(world.now, closed, &mut world.out);
    assert_eq!(world.server.counts().allocations, 0);
}

#[test]
fn answers_are_signed() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    let answer = person.ask(&mut world, REFRESH, &[]);
    let answer = answer.expect("it is alive");
    let message = Message::from_bytes(&answer).expect("the server writes STUN");
    let algorithm = message
        .validate_integrity(&person.key())
        .expect("it is signed");
    assert_eq!(algorithm, IntegrityAlgorithm::Sha1);
}
