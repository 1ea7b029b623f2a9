//! A client with two networks, of which the one in use falls silent.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Network, World, publish, subscribe};
use sfu::Kind;
use str0m::format::Codec;
use str0m::ice::StunMessage;
use str0m::media::{Direction, MediaKind};

const SAYS: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const HEARS: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);
const LTE: &str = "10.0.9.1:5000";

/// The SFU's own checks of clients, as they leave.
#[derive(Default)]
struct Checks {
    seen: Vec<Check>,
    /// Nothing comes to or from this client.
    dead: Option<usize>,
}

struct Check {
    at: Instant,
    nominates: bool,
    controlling: Option<u64>,
}

impl Network for Checks {
    fn carry(&mut self, at: Instant, client: usize, toward: bool, bytes: &[u8]) -> bool {
        if toward
            && let Ok(message) = StunMessage::parse(bytes)
            && message.is_binding_request()
        {
            self.seen.push(Check {
                at,
                nominates: message.use_candidate(),
                controlling: message.ice_controlling(),
            });
        }
        self.dead == Some(client)
    }

    fn arrived(&mut self, _: Instant) -> Vec<(usize, bool, Vec<u8>)> {
        vec![]
    }
}

struct Call {
    world: World,
    checks: Rc<RefCell<Checks>>,
    ann: usize,
    bob: usize,
    said: u64,
}

impl Call {
    /// Bob, who is on Wi-Fi and on this network too, speaks to Ann for three seconds.
    fn begin(also: Option<&str>) -> Self {
        let mut world = World::new();
        let ann = world.join(1, &[HEARS]);
        world.also = also.map(|address| address.parse().unwrap());
        let bob = world.join(1, &[SAYS]);
        publish(&mut world, bob, 0, "TR_b", Kind::Audio, 5);
        subscribe(&mut world, ann, 0, "TR_b");
        let checks = Rc::new(RefCell::new(Checks::default()));
        world.network = Some(Rc::clone(&checks) as Rc<RefCell<dyn Network>>);
        let mut call = Self {
            world,
            checks,
            ann,
            bob,
            said: 100,
        };
        call.speak(150);
        assert_eq!(call.checks.borrow().seen.len(), 0);
        call
    }

    fn speak(&mut self, packets: u64) {
        let pt = self.world.pt(self.bob, Codec::Opus);
        for _ in 0..packets {
            self.said += 1;
            let payload = self.said.to_be_bytes();
            self.world.send(self.bob, 0, pt, self.said, &payload);
            self.world.run(Duration::from_millis(20));
        }
    }

    fn heard(&self) -> usize {
        self.world.clients[self.ann].packets.len()
    }

    fn wifi(&self) -> SocketAddr {
        self.world.clients[self.bob].address
    }

    /// How long after this moment the first nomination left, of how many.
    fn nominated(&self, since: Instant) -> (Option<Duration>, usize) {
        let checks = self.checks.borrow();
        let mut nominations = checks.seen.iter().filter(|check| check.nominates);
        let count = nominations.clone().count();
        (nominations.next().map(|check| check.at - since), count)
    }
}

#[test]
fn a_client_whose_network_falls_silent_is_told_to_go_to_its_other_one() {
    let mut call = Call::begin(Some(LTE));
    let (cut, wifi) = (call.world.now, call.wifi());
    call.world.clients[call.bob].cut = Some(wifi);
    call.speak(25);
    let (after, count) = call.nominated(cut);
    let after = after.unwrap();
    assert!(after > Duration::from_millis(250), "after {after:?}");
    assert!(after < Duration::from_millis(350), "after {after:?}");
    // Until it comes, and with a right to it that no client contests.
    assert!((2..=8).contains(&count), "{count} times");
    for check in &call.checks.borrow().seen {
        let ours = check.controlling == Some(u64::MAX);
        assert!(!check.nominates || ours);
    }
    // What libwebrtc does then, and str0m does not: it sends from there.
    call.world.clients[call.bob].cut = None;
    call.world.clients[call.bob].seen_as = LTE.parse().unwrap();
    let before = call.heard();
    call.speak(10);
    assert!(call.heard() >= before + 9);
    assert_eq!(call.world.count("clients_moved"), 1);
    // The client has its role back some time later, is answered all the while, and stays.
    call.speak(1_000);
    assert!(call.heard() >= before + 1_000);
    assert_eq!(call.nominated(cut).1, count);
    assert!(call.world.clients[call.bob].rtc.is_connected());
}

#[test]
fn a_client_that_pauses_is_asked_and_left_where_it_is() {
    let mut call = Call::begin(Some(LTE));
    let since = call.world.now;
    call.world.run(Duration::from_secs(5));
    assert!(!call.checks.borrow().seen.is_empty());
    assert_eq!(call.nominated(since), (None, 0));
    let before = call.heard();
    call.speak(50);
    assert_eq!(call.heard(), before + 50);
    assert_eq!(call.world.count("clients_moved"), 0);
}

#[test]
fn a_client_that_answers_nowhere_is_not_sent_away_and_not_asked_for_ever() {
    let mut call = Call::begin(Some(LTE));
    let since = call.world.now;
    call.checks.borrow_mut().dead = Some(call.bob);
    call.world.run(Duration::from_secs(60));
    assert_eq!(call.nominated(since).1, 0);
    let asked = call.checks.borrow().seen.iter().map(|check| check.at).max();
    let asked = asked.map(|at| at - since).unwrap();
    assert!(asked < Duration::from_secs(12), "{asked:?}");
}

#[test]
fn who_has_one_network_is_never_asked() {
    let mut call = Call::begin(None);
    call.world.run(Duration::from_secs(5));
    call.checks.borrow_mut().dead = Some(call.bob);
    call.world.run(Duration::from_secs(5));
    assert!(call.checks.borrow().seen.is_empty());
}
