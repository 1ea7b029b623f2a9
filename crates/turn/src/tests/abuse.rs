//! What a client with wrong or without credentials, or with bad intent, doesn't get.

use std::time::Duration;

use proptest::prelude::*;
use turn_types::attribute::{EvenPort, RequestedTransport};
use turn_types::message::{ALLOCATE, CONNECT, REFRESH};
use turn_types::stun::message::BINDING;

use super::client::{MEDIA, Person, SECRET, START, World, address, on_channel, verdict};
use crate::{
    Input, MAX_MESSAGE, NONCE_LIFETIME, SOURCE_CAPACITY, SOURCE_REQUESTS_PER_S, Splitter,
    Transport, password, username,
};

const HERE: &str = "198.51.100.7:40000";

fn udp() -> RequestedTransport {
    RequestedTransport::new(RequestedTransport::UDP)
}

#[test]
fn wrong_and_foreign_and_malformed_credentials_are_refused() {
    let good = username(START + 60, "PA_1");
    let mut world = World::new();
    for (name, secret) in [
        (good.as_str(), b"another secret".as_slice()),
        ("PA_1", SECRET),
        ("12x:PA_1", SECRET),
        ("+99999999999:PA_1", SECRET),
        ("99999999999999999999999:PA_1", SECRET),
        (":PA_1", SECRET),
        ("99999999999:", SECRET),
    ] {
        let mut person = Person::over(Transport::Udp, HERE, name);
        person.password = password(name, secret);
        assert_eq!(person.allocate(&mut world), Err(401), "{name}");
    }
    assert_eq!(world.server.counts().unauthorized, 7);
    let mut person = Person::over(Transport::Udp, HERE, &username(START, "PA_1"));
    assert_eq!(person.allocate(&mut world), Err(401), "it ends now");
    assert_eq!(world.server.counts().expired_credentials, 1);
    assert_eq!(world.server.counts().allocations, 0);
}

#[test]
fn a_request_replayed_from_elsewhere_or_later_is_stale() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    assert_eq!(person.refresh(&mut world, 0), Ok(0));
    let captured = person.request(ALLOCATE, &[&udp()]);
    let mut thief = person.clone();
    thief.client.from = address("198.51.100.99:40000");
    let answer = world.feed(thief.client, &captured).expect("a refusal");
    assert_eq!(verdict(&answer), Err(438));
    world.pass(Duration::from_secs(NONCE_LIFETIME + 1));
    let answer = world.feed(person.client, &captured).expect("a refusal");
    assert_eq!(verdict(&answer), Err(438));
    for forged in [
        "",
        "0",
        "zzzzzzzzzzzzzzzz0000000000000000",
        "ü0000000000000000",
    ] {
        let mut forger = person.clone();
        forger.nonce = forged.to_owned();
        let request = forger.request(ALLOCATE, &[&udp()]);
        let answer = world.feed(forger.client, &request).expect("a refusal");
        assert_eq!(verdict(&answer), Err(438), "{forged}");
    }
    assert_eq!(world.server.counts().stale_nonces, 6);
    assert_eq!(world.server.counts().allocations, 0);
}

#[test]
fn another_user_can_not_take_an_allocation_over() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    let mut other = Person::over(Transport::Udp, HERE, &username(START + 60, "PA_2"));
    (other.realm, other.nonce) = (person.realm.clone(), person.nonce.clone());
    assert_eq!(other.refresh(&mut world, 0), Err(441));
    assert_eq!(other.permit(&mut world, MEDIA), Err(441));
    assert_eq!(world.server.counts().wrong_user, 2);
    assert_eq!(world.server.counts().allocations, 1);
}

#[test]
fn it_is_no_open_relay() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let relayed = person
        .allocate(&mut world)
        .expect("the credentials are right");
    for elsewhere in [
        "198.51.100.1:7882",
        "127.0.0.1:7882",
        "10.0.0.1:22",
        "192.0.0.8:1024",
    ] {
        assert_eq!(
            person.permit(&mut world, elsewhere),
            Err(403),
            "{elsewhere}"
        );
        assert_eq!(person.bind(&mut world, 0x4000, elsewhere), Err(403));
        person.send(&mut world, elsewhere, b"x");
    }
    assert_eq!(person.permit(&mut world, "[2001:db8::1]:7882"), Err(443));
    assert_eq!(
        person.permit(&mut world, "[::ffff:203.0.113.5]:7882"),
        Err(443)
    );
    // A permission is for an address, whatever the port; what is on its other ports is not ours.
    person
        .permit(&mut world, "203.0.113.5:22")
        .expect("the address is ours");
    assert_eq!(person.bind(&mut world, 0x4000, "203.0.113.5:22"), Err(403));
    person.send(&mut world, "203.0.113.5:22", b"x");
    assert!(world.out.peers.is_empty(), "{:?}", world.out.peers);
    assert_eq!(world.server.counts().peers_refused, 4 * 2 + 2);
    assert_eq!(world.server.counts().unpermitted, 4);

    let stranger = Input::Peer {
        from: address("198.51.100.1:7882"),
        relayed,
        bytes: b"x",
    };
    world.server.handle(world.now, stranger, &mut world.out);
    assert!(world.out.clients.is_empty());
}

#[test]
fn channels_are_within_their_range_and_bound_once() {
    let mut world = World::with(|config| config.peers.push(address("203.0.113.6:7882")));
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    for number in [0, 0x3fff, 0x5000, 0xffff] {
        assert_eq!(
            person.bind(&mut world, number, MEDIA),
            Err(400),
            "{number:#x}"
        );
    }
    assert_eq!(person.bind(&mut world, 0x4000, MEDIA), Ok(()));
    assert_eq!(person.bind(&mut world, 0x4000, MEDIA), Ok(()), "again");
    assert_eq!(person.bind(&mut world, 0x4001, MEDIA), Err(400));
    assert_eq!(
        person.bind(&mut world, 0x4000, "203.0.113.6:7882"),
        Err(400)
    );
}

#[test]
fn channel_data_that_lies_is_counted() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    person
        .bind(&mut world, 0x4000, MEDIA)
        .expect("it is our media");
    for lie in [
        on_channel(0x4000, 5, b"four"),
        on_channel(0x4000, 0xffff, b"four"),
        on_channel(0x4000, 0, b"four"),
        on_channel(0x4000, 1, &[0; 9]),
        vec![0x40],
        vec![0x40, 0, 0],
    ] {
        assert_eq!(world.feed(person.client, &lie), None);
    }
    assert_eq!(world.server.counts().malformed, 6);
    person.send_on(&mut world, 0x4001, b"four");
    let stranger = Person::new("198.51.100.9:1");
    stranger.send_on(&mut world, 0x4000, b"four");
    assert_eq!(world.server.counts().unpermitted, 2);
    assert_eq!(
        world.feed(person.client, &on_channel(0x4000, 3, b"odd\0")),
        None
    );
    assert_eq!(
        world.out.peers.pop().expect("padding is no lie").bytes,
        b"odd"
    );
    assert!(world.out.peers.is_empty());
}

#[test]
fn a_user_has_a_quota_and_the_server_a_capacity() {
    let mut world = World::with(|config| config.max_allocations = 6);
    let place = |port: u16| format!("198.51.100.7:{port}");
    let mut people: Vec<Person> = (0..5).map(|n| Person::new(&place(1_000 + n))).collect();
    let results: Vec<_> = people
        .iter_mut()
        .map(|person| person.allocate(&mut world).map(drop))
        .collect();
    assert_eq!(results, [Ok(()), Ok(()), Ok(()), Ok(()), Err(486)]);
    let name = username(START + 60, "PA_2");
    let mut other = |port: u16| {
        Person::over(Transport::Udp, &place(port), &name)
            .allocate(&mut world)
            .map(drop)
    };
    assert_eq!(other(2_000), Ok(()));
    assert_eq!(other(2_001), Ok(()));
    assert_eq!(other(2_002), Err(508));
    let counts = world.server.counts();
    assert_eq!((counts.quota_refused, counts.capacity_refused), (1, 1));
    assert_eq!(people[0].refresh(&mut world, 0), Ok(0));
    people[4].allocate(&mut world).expect("one was given back");
}

#[test]
fn a_flood_is_held_to_its_budget_and_leaves_no_state() {
    let mut world = World::new();
    let mut answered = 0;
    for port in 1..=5_000_u16 {
        let mut person = Person::new(&format!("198.51.100.7:{port}"));
        let request = person.request(ALLOCATE, &[&udp()]);
        answered += u32::from(world.feed(person.client, &request).is_some());
    }
    assert_eq!(answered, SOURCE_REQUESTS_PER_S * 5);
    let refused = u64::from(5_000 - answered);
    assert_eq!(world.server.counts().rate_limited, refused);
    assert_eq!(world.server.counts().allocations, 0);
    let mut neighbour = Person::new("198.51.100.8:1");
    neighbour.allocate(&mut world).expect("others go on");
    world.pass(Duration::from_secs(1));
    let mut person = Person::new("198.51.100.7:1");
    person.allocate(&mut world).expect("the budget grows back");
}

#[test]
fn many_forged_addresses_fill_a_table_that_empties_itself() {
    let mut world = World::new();
    let request = Person::new(HERE).request(BINDING, &[]);
    let feed = |world: &mut World, n: usize| {
        let mut client = Person::new(HERE).client;
        client
            .from
            .set_ip(std::net::Ipv4Addr::from(0x0a00_0000 + n as u32).into());
        world.feed(client, &request).is_some()
    };
    for n in 0..SOURCE_CAPACITY {
        assert!(feed(&mut world, n));
    }
    assert!(!feed(&mut world, SOURCE_CAPACITY));
    world.pass(Duration::from_secs(2));
    assert!(feed(&mut world, SOURCE_CAPACITY));
}

#[test]
fn what_is_not_supported_is_said_to_be() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    let even = EvenPort::new(false);
    assert_eq!(
        person.ask(&mut world, ALLOCATE, &[&udp(), &even]).err(),
        Some(420)
    );
    let tcp = RequestedTransport::new(RequestedTransport::TCP);
    assert_eq!(person.ask(&mut world, ALLOCATE, &[&tcp]).err(), Some(442));
    assert_eq!(person.ask(&mut world, ALLOCATE, &[]).err(), Some(400));
    assert_eq!(person.ask(&mut world, CONNECT, &[]).err(), Some(400));
    assert_eq!(person.ask(&mut world, REFRESH, &[]).err(), Some(437));
}

#[test]
fn a_stream_of_something_else_is_refused() {
    let refused = |bytes: &[u8]| Splitter::default().push(bytes, |_| {}).is_err();
    assert!(refused(&[0x80, 0, 0, 0]));
    assert!(refused(&[0x16 | 0xc0, 3, 1, 0]));
    let long = (MAX_MESSAGE - 3) as u16;
    assert!(refused(&on_channel(0x4000, long, b"")));
    assert!(!refused(&on_channel(0x4000, long - 1, b"")));
}

#[test]
fn a_client_sends_no_more_than_its_share() {
    let mut world = World::new();
    let mut person = Person::new(HERE);
    person
        .allocate(&mut world)
        .expect("the credentials are right");
    person
        .bind(&mut world, 0x4000, MEDIA)
        .expect("it is our media");
    let packet = vec![0; 1_000];
    for _ in 0..3_000 {
        person.send_on(&mut world, 0x4000, &packet);
    }
    let share = crate::ALLOCATION_BYTES_PER_S as usize / 1_000;
    assert_eq!(world.out.peers.len(), share);
    assert_eq!(world.server.counts().rate_limited, 3_000 - share as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic_or_reach_a_peer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new();
        let mut person = Person::new(HERE);
        person.allocate(&mut world).expect("the credentials are right");
        let _ = world.feed(person.client, &bytes);
        let mut splitter = Splitter::default();
        let _ = splitter.push(&bytes, |message| assert!(message.len() <= MAX_MESSAGE));
        prop_assert!(world.out.peers.is_empty());
    }

    #[test]
    fn a_request_with_a_byte_changed_changes_nothing(at in 0_usize..400, bit in 0_u8..8) {
        let mut world = World::new();
        let mut person = Person::new(HERE);
        person.allocate(&mut world).expect("the credentials are right");
        let mut request = person.request(REFRESH, &[&turn_types::attribute::Lifetime::new(0)]);
        let at = at % request.len();
        request[at] ^= 1 << bit;
        let _ = world.feed(person.client, &request);
        prop_assert_eq!(world.server.counts().allocations, 1);
    }
}
