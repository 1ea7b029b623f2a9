//! The server: its allocations, and where each message goes.

mod auth;
mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};
use turn_types::stun::message::{BINDING, Message, MessageClass, MessageHeader};

use crate::address::Ports;
use crate::allocation::{Allocation, CHANNELS};
use crate::answer::{channel_data, data_indication};
use crate::budget::Sources;
use crate::counts::Counts;
use crate::nonce::Nonces;

/// How often what has ended is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// One client's five-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    pub transport: Transport,
    pub from: SocketAddr,
    pub to: SocketAddr,
}

/// How a server starts.
pub struct Config {
    pub realm: String,
    /// Shared with who makes the credentials.
    pub secret: Vec<u8>,
    /// Of the nonces; random, and nobody else's.
    pub nonce_secret: [u8; 32],
    /// This node's media: nothing else is relayed to.
    pub peers: Vec<SocketAddr>,
    pub max_allocations: usize,
    /// Of one user name.
    pub max_per_user: usize,
}

/// What happened.
pub enum Input<'a> {
    /// Seconds since 1970; told before anything else, and then once a second or so.
    Clock {
        unix_s: u64,
    },
    /// A datagram, or a message cut from a stream.
    Client {
        client: Client,
        bytes: &'a [u8],
    },
    /// The stream of a client ended.
    Closed {
        client: Client,
    },
    /// The node sends `bytes` from one of `Config::peers` to a relayed address.
    Peer {
        from: SocketAddr,
        relayed: SocketAddr,
        bytes: &'a [u8],
    },
    Timeout,
}

/// Data that a client sends to a peer.
#[derive(Debug, PartialEq, Eq)]
pub struct ToPeer {
    pub relayed: SocketAddr,
    pub peer: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Outputs {
    pub clients: Vec<(Client, Vec<u8>)>,
    pub peers: Vec<ToPeer>,
}

pub struct Server {
    config: Config,
    nonces: Nonces,
    unix_s: u64,
    allocations: BTreeMap<Client, Allocation>,
    /// By the ports of relayed addresses.
    by_port: BTreeMap<u16, Client>,
    /// Allocations by user name.
    users: BTreeMap<String, usize>,
    ports: Ports,
    sources: Sources,
    indications: u128,
    counts: Counts,
    next_sweep: Option<Instant>,
}

impl Server {
    pub fn new(config: Config) -> Server {
        Server {
            nonces: Nonces::new(&config.nonce_secret),
            config,
            unix_s: 0,
            allocations: BTreeMap::new(),
            by_port: BTreeMap::new(),
            users: BTreeMap::new(),
            ports: Ports::new(),
            sources: Sources::default(),
            indications: 0,
            counts: Counts::default(),
            next_sweep: None,
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outputs) {
        match input {
            Input::Clock { unix_s } => self.unix_s = unix_s,
            Input::Client { client, bytes } => self.client(now, client, bytes, out),
            Input::Closed { client } => self.remove(client),
            Input::Peer {
                from,
                relayed,
                bytes,
            } => self.peer(now, from, relayed, bytes, out),
            Input::Timeout => self.sweep(now),
        }
    }

    /// When `Timeout` is due; None while there is nothing that ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.next_sweep
    }

    pub fn counts(&self) -> Counts {
        let allocations = self.allocations.len() as u64;
        Counts {
            allocations,
            ..self.counts
        }
    }

    pub fn has_allocation(&self, client: Client) -> bool {
        self.allocations.contains_key(&client)
    }

    fn client(&mut self, now: Instant, client: Client, bytes: &[u8], out: &mut Outputs) {
        match bytes.first() {
            Some(0x00..=0x03) => self.stun(now, client, bytes, out),
            Some(0x40..=0x4f) => self.channel(now, client, bytes, out),
            _ => self.counts.malformed += 1,
        }
    }

    fn stun(&mut self, now: Instant, client: Client, bytes: &[u8], out: &mut Outputs) {
        let Some(message) = whole(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        match (message.class(), message.method()) {
            (MessageClass::Indication, SEND) => self.send(now, client, &message, out),
            (MessageClass::Request, method) => {
                if !self.may_ask(now, client) {
                    self.counts.rate_limited += 1;
                    return;
                }
                let answer = match method {
                    BINDING => requests::binding(client, &message),
                    ALLOCATE => self.allocate(now, client, &message),
                    REFRESH => self.refresh(now, client, &message),
                    CREATE_PERMISSION => self.create_permission(now, client, &message),
                    CHANNEL_BIND => self.channel_bind(now, client, &message),
                    _ => {
                        self.counts.unsupported += 1;
                        requests::bad_request(&message)
                    }
                };
                out.clients.push((client, answer));
            }
            _ => self.counts.unsupported += 1,
        }
    }

    /// Requests are taken within a budget: of the allocation, or of the address without one.
    fn may_ask(&mut self, now: Instant, client: Client) -> bool {
        match self.allocations.get_mut(&client) {
            Some(allocation) => allocation.requests.take(now, 1),
            None => self.sources.take(now, client.from.ip()),
        }
    }

    fn channel(&mut self, now: Instant, client: Client, bytes: &[u8], out: &mut Outputs) {
        let Ok(data) = ChannelData::parse(bytes) else {
            self.counts.malformed += 1;
            return;
        };
        // A datagram may be padded to four bytes, and holds nothing beyond.
        if !CHANNELS.contains(&data.id()) || bytes.len() - 4 - data.data().len() > 3 {
            self.counts.malformed += 1;
            return;
        }
        let allocation = self.allocations.get(&client);
        let peer = allocation.and_then(|allocation| allocation.peer_of(now, data.id()));
        match peer {
            Some(peer) => self.pass_on(now, client, peer, data.data(), out),
            None => self.counts.unpermitted += 1,
        }
    }

    fn send(&mut self, now: Instant, client: Client, message: &Message<'_>, out: &mut Outputs) {
        let (Ok(peer), Ok(data)) = (
            message.attribute::<XorPeerAddress>(),
            message.attribute::<Data<'_>>(),
        ) else {
            self.counts.malformed += 1;
            return;
        };
        let peer = peer.addr(message.transaction_id());
        self.pass_on(now, client, peer, data.data(), out);
    }

    fn pass_on(
        &mut self,
        now: Instant,
        client: Client,
        peer: SocketAddr,
        bytes: &[u8],
        out: &mut Outputs,
    ) {
        let allocation = self.allocations.get_mut(&client);
        let permitted = |allocation: &&mut Allocation| {
            now < allocation.expires && allocation.permits(now, peer.ip())
        };
        let Some(allocation) = allocation.filter(permitted) else {
            self.counts.unpermitted += 1;
            return;
        };
        // A permission is for an address; the ports beside our media on it are other people's.
        if !self.config.peers.contains(&peer) {
            self.counts.peers_refused += 1;
            return;
        }
        if !allocation.up.take(now, bytes.len()) {
            self.counts.rate_limited += 1;
            return;
        }
        self.counts.to_peers += 1;
        self.counts.bytes += bytes.len() as u64;
        out.peers.push(ToPeer {
            relayed: allocation.relayed,
            peer,
            bytes: bytes.to_vec(),
        });
    }

    fn peer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        relayed: SocketAddr,
        bytes: &[u8],
        out: &mut Outputs,
    ) {
        let client = self.by_port.get(&relayed.port()).copied();
        let found = client.and_then(|client| Some((client, self.allocations.get_mut(&client)?)));
        let Some((client, allocation)) = found.filter(|(_, allocation)| {
            allocation.relayed == relayed
                && now < allocation.expires
                && allocation.permits(now, from.ip())
        }) else {
            self.counts.unpermitted += 1;
            return;
        };
        if !allocation.down.take(now, bytes.len()) {
            self.counts.rate_limited += 1;
            return;
        }
        let message = match allocation.channel_of(now, from) {
            Some(number) => channel_data(number, bytes, client.transport != Transport::Udp),
            None => {
                self.indications += 1;
                data_indication(from, bytes, self.indications.into())
            }
        };
        let Some(message) = message else {
            self.counts.malformed += 1;
            return;
        };
        self.counts.to_clients += 1;
        self.counts.bytes += bytes.len() as u64;
        out.clients.push((client, message));
    }

    fn insert(&mut self, now: Instant, client: Client, allocation: Allocation) {
        self.counts.allocated += 1;
        self.by_port.insert(allocation.relayed.port(), client);
        *self.users.entry(allocation.username.clone()).or_default() += 1;
        self.allocations.insert(client, allocation);
        self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
    }

    fn remove(&mut self, client: Client) {
        let Some(allocation) = self.allocations.remove(&client) else {
            return;
        };
        self.by_port.remove(&allocation.relayed.port());
        if let Some(count) = self.users.get_mut(&allocation.username) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&allocation.username);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        let ended = self
            .allocations
            .iter()
            .filter(|(_, one)| one.expires <= now);
        let ended: Vec<Client> = ended.map(|(&client, _)| client).collect();
        self.counts.expired_allocations += ended.len() as u64;
        for client in ended {
            self.remove(client);
        }
        self.next_sweep = (!self.allocations.is_empty()).then(|| now + SWEEP_INTERVAL);
    }
}

/// A STUN message that fills `bytes`.
fn whole(bytes: &[u8]) -> Option<Message<'_>> {
    let header = MessageHeader::from_bytes(bytes).ok()?;
    if MessageHeader::LENGTH + usize::from(header.data_length()) != bytes.len() {
        return None;
    }
    Message::from_bytes(bytes).ok()
}
