//! A server with media of its own, and a TURN client as the tests need it: its requests are right
//! unless a test makes them wrong.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};
use turn_types::stun::attribute::{ErrorCode, Nonce, Realm, Username};
use turn_types::stun::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWriteVec, Method,
};
use turn_types::stun::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};

use crate::{Client, Config, Input, Outputs, Server, Transport, password, username};

pub(super) const MEDIA: &str = "203.0.113.5:7882";
pub(super) const SECRET: &[u8] = b"shared with signalling";
/// Of the wall clock as a test starts.
pub(super) const START: u64 = 1_700_000_000;

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("the test's address is well formed")
}

/// A server in its virtual time.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) now: Instant,
    pub(super) out: Outputs,
    start: Instant,
}

impl World {
    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config {
            realm: "fairlead".to_owned(),
            secret: SECRET.to_vec(),
            nonce_secret: [7; 32],
            peers: vec![address(MEDIA)],
            max_allocations: 100,
            max_per_user: 4,
        };
        change(&mut config);
        #[expect(clippy::disallowed_methods, reason = "virtual time starts anywhere")]
        let start = Instant::now();
        let mut world = World {
            server: Server::new(config),
            now: start,
            out: Outputs::default(),
            start,
        };
        world.pass(Duration::ZERO);
        world
    }

    /// Lets time go on, the server's timers running when they are due.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.server.deadline().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.tell_time();
            self.server.handle(self.now, Input::Timeout, &mut self.out);
        }
        self.now = until;
        self.tell_time();
    }

    pub(super) fn unix(&self) -> u64 {
        START + (self.now - self.start).as_secs()
    }

    fn tell_time(&mut self) {
        let unix_s = self.unix();
        self.server
            .handle(self.now, Input::Clock { unix_s }, &mut self.out);
    }

    pub(super) fn feed(&mut self, client: Client, bytes: &[u8]) -> Option<Vec<u8>> {
        self.server
            .handle(self.now, Input::Client { client, bytes }, &mut self.out);
        let answer = self.out.clients.pop();
        assert!(self.out.clients.is_empty(), "one message has one answer");
        answer.map(|(to, bytes)| {
            assert_eq!(to, client);
            bytes
        })
    }

    /// Media of the node for a relayed address; what its client gets.
    pub(super) fn node_says(&mut self, relayed: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let from = address(MEDIA);
        let input = Input::Peer {
            from,
            relayed,
            bytes,
        };
        self.server.handle(self.now, input, &mut self.out);
        self.out.clients.pop().map(|(_, bytes)| bytes)
    }
}

/// What a client knows.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) realm: String,
    pub(super) nonce: String,
}

impl Person {
    pub(super) fn new(from: &str) -> Person {
        Person::over(Transport::Udp, from, &username(START + 3_600, "PA_1"))
    }

    pub(super) fn over(transport: Transport, from: &str, name: &str) -> Person {
        Person {
            client: Client {
                transport,
                from: address(from),
                to: address("203.0.113.5:3478"),
            },
            name: name.to_owned(),
            password: password(name, SECRET),
            realm: String::new(),
            nonce: String::new(),
        }
    }

    /// A request, signed if the realm is known.
    pub(super) fn request(&mut self, method: Method, more: &[&dyn AttributeWrite]) -> Vec<u8> {
        let mut message = Message::builder_request(method, MessageWriteVec::new());
        for attribute in more {
            message.add_attribute(*attribute).expect("it fits");
        }
        self.sign(message)
    }

    fn sign(&self, mut message: MessageWriteVec) -> Vec<u8> {
        if self.realm.is_empty() {
            return message.finish();
        }
        let name = Username::new(&self.name).expect("short");
        let realm = Realm::new(&self.realm).expect("short");
        let nonce = Nonce::new(&self.nonce).expect("short");
        let attributes: [&dyn AttributeWrite; 3] = [&name, &realm, &nonce];
        for attribute in attributes {
            message.add_attribute(attribute).expect("it fits");
        }
        message
            .add_message_integrity(&self.key(), IntegrityAlgorithm::Sha1)
            .expect("it has none yet");
        message.finish()
    }

    pub(super) fn key(&self) -> MessageIntegrityCredentials {
        MessageIntegrityCredentials::LongTerm(LongTermKeyCredentials::new(
            self.name.clone(),
            self.password.clone(),
            self.realm.clone(),
        ))
    }

    /// Asks once more with what a refusal told it, as every client does.
    pub(super) fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        more: &[&dyn AttributeWrite],
    ) -> Result<Vec<u8>, u16> {
        let request = self.request(method, more);
        let answer = world.feed(self.client, &request).ok_or(0_u16)?;
        match verdict(&answer) {
            Err(401 | 438) if self.learn(&answer) => {
                let request = self.request(method, more);
                let answer = world.feed(self.client, &request).ok_or(0_u16)?;
                verdict(&answer).map(|()| answer)
            }
            other => other.map(|()| answer),
        }
    }

    /// Takes realm and nonce from a refusal; false if it knew them.
    pub(super) fn learn(&mut self, answer: &[u8]) -> bool {
        let message = Message::from_bytes(answer).expect("the server writes STUN");
        let nonce = message.attribute::<Nonce>().expect("a challenge has one");
        let realm = message.attribute::<Realm>().expect("a challenge has one");
        let known = (nonce.nonce(), realm.realm()) == (&*self.nonce, &*self.realm);
        self.nonce = nonce.nonce().to_owned();
        self.realm = realm.realm().to_owned();
        !known
    }

    pub(super) fn allocate(&mut self, world: &mut World) -> Result<SocketAddr, u16> {
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        let answer = self.ask(world, ALLOCATE, &[&udp])?;
        let message = Message::from_bytes(&answer).expect("the server writes STUN");
        let relayed = message.attribute::<XorRelayedAddress>();
        let relayed = relayed.expect("an allocation has an address");
        Ok(relayed.addr(message.transaction_id()))
    }

    pub(super) fn refresh(&mut self, world: &mut World, seconds: u32) -> Result<u32, u16> {
        let answer = self.ask(world, REFRESH, &[&Lifetime::new(seconds)])?;
        let message = Message::from_bytes(&answer).expect("the server writes STUN");
        Ok(message
            .attribute::<Lifetime>()
            .expect("it is told")
            .seconds())
    }

    pub(super) fn permit(&mut self, world: &mut World, peer: &str) -> Result<(), u16> {
        self.about_peer(world, CREATE_PERMISSION, peer, None)
    }

    pub(super) fn bind(&mut self, world: &mut World, channel: u16, peer: &str) -> Result<(), u16> {
        self.about_peer(world, CHANNEL_BIND, peer, Some(channel))
    }

    fn about_peer(
        &self,
        world: &mut World,
        method: Method,
        peer: &str,
        channel: Option<u16>,
    ) -> Result<(), u16> {
        let mut message = Message::builder_request(method, MessageWriteVec::new());
        // An address is written against the transaction's id, which the builder chose.
        let peer = XorPeerAddress::new(address(peer), message.transaction_id());
        message.add_attribute(&peer).expect("it fits");
        if let Some(channel) = channel {
            let channel = ChannelNumber::new(channel);
            message.add_attribute(&channel).expect("it fits");
        }
        verdict(&world.feed(self.client, &self.sign(message)).ok_or(0_u16)?)
    }

    pub(super) fn send(&self, world: &mut World, peer: &str, bytes: &[u8]) {
        let mut message = Message::builder(
            MessageType::from_class_method(MessageClass::Indication, SEND),
            9.into(),
            MessageWriteVec::new(),
        );
        let peer = XorPeerAddress::new(address(peer), 9.into());
        message.add_attribute(&peer).expect("it fits");
        message.add_attribute(&Data::new(bytes)).expect("it fits");
        assert_eq!(world.feed(self.client, &message.finish()), None);
    }

    pub(super) fn send_on(&self, world: &mut World, channel: u16, bytes: &[u8]) {
        let message = on_channel(channel, bytes.len() as u16, bytes);
        assert_eq!(world.feed(self.client, &message), None);
    }
}

pub(super) fn on_channel(channel: u16, length: u16, bytes: &[u8]) -> Vec<u8> {
    let mut message = channel.to_be_bytes().to_vec();
    message.extend(length.to_be_bytes());
    message.extend(bytes);
    message
}

/// Ok, or the error code of an answer.
pub(super) fn verdict(answer: &[u8]) -> Result<(), u16> {
    let message = Message::from_bytes(answer).expect("the server writes STUN");
    match message.attribute::<ErrorCode>() {
        Ok(error) => Err(error.code()),
        Err(_) => Ok(()),
    }
}
