//! What the server counted, under the names that the product sees.

use std::collections::BTreeMap;

/// Totals since the start, and how many allocations there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub allocations: u64,
    pub allocated: u64,
    pub expired_allocations: u64,
    /// Packets from clients to the node and back, and their payload's bytes.
    pub to_peers: u64,
    pub to_clients: u64,
    pub bytes: u64,
    /// Neither STUN nor a channel's data, or with a length that lies.
    pub malformed: u64,
    pub unauthorized: u64,
    pub expired_credentials: u64,
    pub stale_nonces: u64,
    /// A request under another name than its allocation's.
    pub wrong_user: u64,
    pub quota_refused: u64,
    pub capacity_refused: u64,
    /// Peers that aren't this node's media.
    pub peers_refused: u64,
    /// Data without an allocation, a permission or a channel.
    pub unpermitted: u64,
    pub rate_limited: u64,
    pub unsupported: u64,
}

impl Counts {
    /// Adds each figure to the map under its name.
    pub fn add_to(&self, counts: &mut BTreeMap<String, u64>) {
        let figures = [
            ("turn_allocations", self.allocations),
            ("turn_allocated", self.allocated),
            ("turn_expired_allocations", self.expired_allocations),
            ("turn_to_peers", self.to_peers),
            ("turn_to_clients", self.to_clients),
            ("turn_bytes", self.bytes),
            ("turn_malformed", self.malformed),
            ("turn_unauthorized", self.unauthorized),
            ("turn_expired_credentials", self.expired_credentials),
            ("turn_stale_nonces", self.stale_nonces),
            ("turn_wrong_user", self.wrong_user),
            ("turn_quota_refused", self.quota_refused),
            ("turn_capacity_refused", self.capacity_refused),
            ("turn_peers_refused", self.peers_refused),
            ("turn_unpermitted", self.unpermitted),
            ("turn_rate_limited", self.rate_limited),
            ("turn_unsupported", self.unsupported),
        ];
        for (name, value) in figures {
            *counts.entry(name.to_owned()).or_default() += value;
        }
    }
}
