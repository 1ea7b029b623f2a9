//! The relayed addresses: no socket has them and no packet on a network carries them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The IPv4 dummy address (RFC 7600), which no host has and nothing is ever routed to: a relayed
/// address can't be taken for a real client's, on the same machine or elsewhere.
pub const RELAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));

/// Of the prefix that is discarded everywhere (RFC 6666).
pub const RELAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8));

/// Below it ports look odd to clients.
const FIRST_PORT: u16 = 1_024;

/// Whether packets to `address` are for an allocation.
pub fn is_relayed(address: SocketAddr) -> bool {
    address.ip() == RELAY_V4 || address.ip() == RELAY_V6
}

/// Hands out ports in turn: one that was given back is used again as late as can be.
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    pub(crate) fn new() -> Ports {
        Ports { next: FIRST_PORT }
    }

    /// The next port that is free; None if all are taken.
    pub(crate) fn take(&mut self, is_free: impl Fn(u16) -> bool) -> Option<u16> {
        for _ in FIRST_PORT..=u16::MAX {
            let port = self.next;
            self.next = port.checked_add(1).unwrap_or(FIRST_PORT);
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }
}
