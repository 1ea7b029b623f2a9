//! One allocation: whose it is, whom it may talk to, and until when.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use turn_types::stun::message::{IntegrityKey, TransactionId};

use crate::budget::Bucket;

/// What an allocation lasts unless its client asks for more (RFC 8656 section 3.2).
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

pub const MAX_LIFETIME: Duration = Duration::from_secs(3_600);

/// RFC 8656 section 9.
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// RFC 8656 section 12.
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// Of one allocation, each way, with one second's worth at once: four pictures of 5 Mb/s.
pub const ALLOCATION_BYTES_PER_S: u32 = 2_500_000;

/// Requests of one allocation, with five seconds' worth at once.
pub const REQUESTS_PER_S: u32 = 20;

const REQUEST_BURST: u32 = 100;

/// The channel numbers of RFC 8656 section 12.
pub(crate) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

pub(crate) struct Allocation {
    pub(crate) username: String,
    pub(crate) key: IntegrityKey,
    /// Of the request that made it: the same one again is answered the same.
    pub(crate) transaction: TransactionId,
    pub(crate) relayed: SocketAddr,
    pub(crate) expires: Instant,
    permissions: BTreeMap<IpAddr, Instant>,
    channels: BTreeMap<u16, Channel>,
    pub(crate) requests: Bucket,
    pub(crate) up: Bucket,
    pub(crate) down: Bucket,
}

struct Channel {
    peer: SocketAddr,
    expires: Instant,
}

impl Allocation {
    pub(crate) fn new(
        now: Instant,
        username: String,
        key: IntegrityKey,
        transaction: TransactionId,
        relayed: SocketAddr,
        lifetime: Duration,
    ) -> Allocation {
        let bytes = || Bucket::new(now, ALLOCATION_BYTES_PER_S, ALLOCATION_BYTES_PER_S);
        Allocation {
            username,
            key,
            transaction,
            relayed,
            expires: now + lifetime,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            requests: Bucket::new(now, REQUESTS_PER_S, REQUEST_BURST),
            up: bytes(),
            down: bytes(),
        }
    }

    pub(crate) fn permit(&mut self, now: Instant, peer: IpAddr) {
        self.permissions.insert(peer, now + PERMISSION_LIFETIME);
    }

    pub(crate) fn permits(&self, now: Instant, peer: IpAddr) -> bool {
        self.permissions
            .get(&peer)
            .is_some_and(|&expires| now < expires)
    }

    /// Binds a channel to a peer, or again. False: the one or the other is bound elsewhere.
    pub(crate) fn bind(&mut self, now: Instant, number: u16, peer: SocketAddr) -> bool {
        self.channels.retain(|_, channel| now < channel.expires);
        let taken = self
            .channels
            .iter()
            .any(|(&at, channel)| (at == number) != (channel.peer == peer));
        if taken {
            return false;
        }
        let expires = now + CHANNEL_LIFETIME;
        self.channels.insert(number, Channel { peer, expires });
        self.permit(now, peer.ip());
        true
    }

    /// Whom data on a channel is for.
    pub(crate) fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let channel = self.channels.get(&number)?;
        (now < channel.expires).then_some(channel.peer)
    }

    /// The channel for data of a peer.
    pub(crate) fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let mut channels = self.channels.iter();
        let (&number, _) =
            channels.find(|(_, channel)| channel.peer == peer && now < channel.expires)?;
        Some(number)
    }
}
