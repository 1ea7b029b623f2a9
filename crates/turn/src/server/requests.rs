//! The requests of RFC 8656, each with its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use turn_types::stun::attribute::{
    AttributeType, ErrorCode, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce, Realm,
    Username,
};
use turn_types::stun::message::{IntegrityKey, Message};
use turn_types::stun::prelude::{Attribute, AttributeFromRaw, AttributeStaticType};

use super::auth::User;
use super::{Client, Server};
use crate::address::{RELAY_V4, RELAY_V6};
use crate::allocation::{Allocation, CHANNELS, DEFAULT_LIFETIME, MAX_LIFETIME};
use crate::answer::Answer;

/// Attributes that every request may have.
const COMMON: [AttributeType; 6] = [
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Fingerprint::TYPE,
];

/// Peers named by one request; past it the request is refused.
const PEERS_PER_REQUEST: usize = 16;

/// Where the client's packets seem to come from (RFC 8489 section 2).
pub(super) fn binding(client: Client, message: &Message<'_>) -> Vec<u8> {
    Answer::success(message)
        .mapped(message, client.from)
        .unsigned()
}

pub(super) fn bad_request(message: &Message<'_>) -> Vec<u8> {
    Answer::error(message, ErrorCode::BAD_REQUEST).unsigned()
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let user = match self.authenticate(now, client, message) {
            Ok(user) => user,
            Err(answer) => return answer,
        };
        if let Some(allocation) = self.live(now, client) {
            // Sent again because the answer was lost (RFC 8656 section 7.2), or a second one.
            return if allocation.transaction == message.transaction_id() {
                allocated(now, client, allocation, message)
            } else {
                Answer::error(message, ErrorCode::ALLOCATION_MISMATCH).signed(&user.key)
            };
        }
        match self.new_allocation(now, message, user) {
            Ok(allocation) => {
                let answer = allocated(now, client, &allocation, message);
                self.remove(client);
                self.insert(now, client, allocation);
                answer
            }
            Err(answer) => answer,
        }
    }

    fn new_allocation(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        user: User,
    ) -> Result<Allocation, Vec<u8>> {
        let refuse = |code| Answer::error(message, code).signed(&user.key);
        let known = [
            RequestedTransport::TYPE,
            Lifetime::TYPE,
            RequestedAddressFamily::TYPE,
        ];
        check_attributes(message, &known, &user.key)?;
        let transport = read::<RequestedTransport>(message).ok_or_else(|| refuse(400))?;
        if transport.protocol() != RequestedTransport::UDP {
            return Err(refuse(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL));
        }
        let v6 = match message.has_attribute(RequestedAddressFamily::TYPE) {
            true => {
                read::<RequestedAddressFamily>(message)
                    .ok_or_else(|| refuse(400))?
                    .family()
                    == AddressFamily::IPV6
            }
            false => false,
        };
        if !self.config.peers.iter().any(|peer| peer.is_ipv6() == v6) {
            self.counts.unsupported += 1;
            return Err(refuse(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
        }
        if self.users.get(&user.name).copied().unwrap_or(0) >= self.config.max_per_user {
            self.counts.quota_refused += 1;
            return Err(refuse(ErrorCode::ALLOCATION_QUOTA_REACHED));
        }
        let full = self.allocations.len() >= self.config.max_allocations;
        let by_port = &self.by_port;
        let port = self.ports.take(|port| !by_port.contains_key(&port));
        let Some(port) = port.filter(|_| !full) else {
            self.counts.capacity_refused += 1;
            return Err(refuse(ErrorCode::INSUFFICIENT_CAPACITY));
        };
        let relayed = SocketAddr::new(if v6 { RELAY_V6 } else { RELAY_V4 }, port);
        let lifetime = lifetime(message).max(DEFAULT_LIFETIME);
        Ok(Allocation::new(
            now,
            user.name,
            user.key,
            message.transaction_id(),
            relayed,
            lifetime,
        ))
    }

    pub(super) fn refresh(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let user = match self.authenticate(now, client, message) {
            Ok(user) => user,
            Err(answer) => return answer,
        };
        if let Err(answer) = check_attributes(
            message,
            &[Lifetime::TYPE, RequestedAddressFamily::TYPE],
            &user.key,
        ) {
            return answer;
        }
        let asked = lifetime(message);
        let Some(allocation) = self.live(now, client) else {
            return Answer::error(message, ErrorCode::ALLOCATION_MISMATCH).signed(&user.key);
        };
        let granted = if asked.is_zero() {
            self.remove(client);
            Duration::ZERO
        } else {
            let granted = asked.max(DEFAULT_LIFETIME);
            allocation.expires = now + granted;
            granted
        };
        Answer::success(message)
            .lifetime(granted.as_secs() as u32)
            .signed(&user.key)
    }

    pub(super) fn create_permission(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let user = match self.authenticate(now, client, message) {
            Ok(user) => user,
            Err(answer) => return answer,
        };
        let refuse = |code| Answer::error(message, code).signed(&user.key);
        if let Err(answer) = check_attributes(message, &[XorPeerAddress::TYPE], &user.key) {
            return answer;
        }
        let Some(peers) = peers(message).filter(|peers| !peers.is_empty()) else {
            self.counts.malformed += 1;
            return refuse(ErrorCode::BAD_REQUEST);
        };
        let Some(relayed) = self.live(now, client).map(|allocation| allocation.relayed) else {
            return refuse(ErrorCode::ALLOCATION_MISMATCH);
        };
        for peer in &peers {
            if let Err(code) = self.check_peer(relayed, |own| own.ip() == peer.ip(), *peer) {
                return refuse(code);
            }
        }
        if let Some(allocation) = self.live(now, client) {
            for peer in peers {
                allocation.permit(now, peer.ip());
            }
        }
        Answer::success(message).signed(&user.key)
    }

    pub(super) fn channel_bind(
        &mut self,
        now: Instant,
        client: Client,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let user = match self.authenticate(now, client, message) {
            Ok(user) => user,
            Err(answer) => return answer,
        };
        let refuse = |code| Answer::error(message, code).signed(&user.key);
        let known = [XorPeerAddress::TYPE, ChannelNumber::TYPE];
        if let Err(answer) = check_attributes(message, &known, &user.key) {
            return answer;
        }
        let number = read::<ChannelNumber>(message).map(|number| number.channel());
        let peer = read::<XorPeerAddress>(message).map(|peer| peer.addr(message.transaction_id()));
        let (Some(number), Some(peer)) = (number.filter(|n| CHANNELS.contains(n)), peer) else {
            self.counts.malformed += 1;
            return refuse(ErrorCode::BAD_REQUEST);
        };
        let Some(relayed) = self.live(now, client).map(|allocation| allocation.relayed) else {
            return refuse(ErrorCode::ALLOCATION_MISMATCH);
        };
        if let Err(code) = self.check_peer(relayed, |own| *own == peer, peer) {
            return refuse(code);
        }
        let allocation = self.live(now, client);
        if !allocation.is_some_and(|allocation| allocation.bind(now, number, peer)) {
            return refuse(ErrorCode::BAD_REQUEST);
        }
        Answer::success(message).signed(&user.key)
    }

    /// Whether a peer is this node's media, as `is_own` compares it.
    fn check_peer(
        &mut self,
        relayed: SocketAddr,
        is_own: impl Fn(&SocketAddr) -> bool,
        peer: SocketAddr,
    ) -> Result<(), u16> {
        if peer.is_ipv6() != relayed.is_ipv6() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        if !self.config.peers.iter().any(is_own) {
            self.counts.peers_refused += 1;
            return Err(ErrorCode::FORBIDDEN);
        }
        Ok(())
    }

    fn live(&mut self, now: Instant, client: Client) -> Option<&mut Allocation> {
        let allocation = self.allocations.get_mut(&client)?;
        (now < allocation.expires).then_some(allocation)
    }
}

fn allocated(
    now: Instant,
    client: Client,
    allocation: &Allocation,
    message: &Message<'_>,
) -> Vec<u8> {
    let left = allocation.expires.saturating_duration_since(now);
    Answer::success(message)
        .relayed(message, allocation.relayed)
        .mapped(message, client.from)
        .lifetime(left.as_secs() as u32)
        .signed(&allocation.key)
}

/// What a request asks for: zero ends an allocation.
fn lifetime(message: &Message<'_>) -> Duration {
    read::<Lifetime>(message).map_or(DEFAULT_LIFETIME, |asked| {
        Duration::from_secs(asked.seconds().into()).min(MAX_LIFETIME)
    })
}

fn peers(message: &Message<'_>) -> Option<Vec<SocketAddr>> {
    let mut peers = Vec::new();
    for (_, raw) in message.iter_attributes() {
        if raw.get_type() == XorPeerAddress::TYPE {
            let peer = XorPeerAddress::from_raw(raw).ok()?;
            peers.push(peer.addr(message.transaction_id()));
        }
    }
    (peers.len() <= PEERS_PER_REQUEST).then_some(peers)
}

/// Refuses what a client insists on and we don't know (RFC 8489 section 6.3.1).
fn check_attributes(
    message: &Message<'_>,
    known: &[AttributeType],
    key: &IntegrityKey,
) -> Result<(), Vec<u8>> {
    let types = message.iter_attributes().map(|(_, raw)| raw.get_type());
    let unknown: Vec<AttributeType> = types
        .filter(|one| one.comprehension_required())
        .filter(|one| !known.contains(one) && !COMMON.contains(one))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Answer::unknown(message, &unknown).signed(key))
}

fn read<'a, A: AttributeFromRaw<'a> + AttributeStaticType>(message: &'a Message<'a>) -> Option<A> {
    message.attribute::<A>().ok()
}
