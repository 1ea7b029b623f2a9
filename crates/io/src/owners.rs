//! Which worker owns a client's address, where the kernel's hash picked another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses remembered by one worker.
pub(crate) const OWNER_CAPACITY: usize = 16_384;

/// An address that sent nothing for so long is forgotten. Clients check consent every few
/// seconds (RFC 7675), so a living one never is.
pub(crate) const OWNER_LIFETIME: Duration = Duration::from_secs(60);

/// The least time between two searches for addresses to forget when the map is full.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A bounded map from address to worker; when full, a new address isn't remembered, and only its
/// STUN finds its worker until others are forgotten.
#[derive(Default)]
pub(crate) struct Owners {
    known: HashMap<SocketAddr, Owner>,
    swept: Option<Instant>,
}

struct Owner {
    worker: u16,
    seen: Instant,
}

impl Owners {
    /// The worker of an address, if it was learned and has not been silent for too long.
    pub(crate) fn get(&mut self, now: Instant, address: SocketAddr) -> Option<u16> {
        let owner = self.known.get_mut(&address)?;
        if now.saturating_duration_since(owner.seen) > OWNER_LIFETIME {
            self.known.remove(&address);
            return None;
        }
        owner.seen = now;
        Some(owner.worker)
    }

    /// Learns that an address is `worker`'s; false if there is no room.
    pub(crate) fn learn(&mut self, now: Instant, address: SocketAddr, worker: u16) -> bool {
        if self.known.len() >= OWNER_CAPACITY && !self.known.contains_key(&address) {
            self.sweep(now);
            if self.known.len() >= OWNER_CAPACITY {
                return false;
            }
        }
        self.known.insert(address, Owner { worker, seen: now });
        true
    }

    /// Forgets an address: it is this worker's own again.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.known.remove(&address);
    }

    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|at| now.saturating_duration_since(at) < SWEEP_INTERVAL)
        {
            return;
        }
        self.swept = Some(now);
        self.known
            .retain(|_, owner| now.saturating_duration_since(owner.seen) <= OWNER_LIFETIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n as u32), 5000))
    }

    #[test]
    fn silence_forgets_and_traffic_keeps() {
        let start = crate::clock::now();
        let mut owners = Owners::default();
        assert!(owners.learn(start, address(1), 3));
        let later = start + OWNER_LIFETIME;
        assert_eq!(owners.get(later, address(1)), Some(3));
        assert_eq!(owners.get(later + OWNER_LIFETIME, address(1)), Some(3));
        let silent = later + OWNER_LIFETIME * 2 + Duration::from_millis(1);
        assert_eq!(owners.get(silent, address(1)), None);
    }

    #[test]
    fn a_full_map_refuses_until_the_silent_are_forgotten() {
        let start = crate::clock::now();
        let mut owners = Owners::default();
        for n in 0..OWNER_CAPACITY {
            assert!(owners.learn(start, address(n), 1));
        }
        assert!(!owners.learn(start, address(OWNER_CAPACITY), 1));
        assert!(
            owners.learn(start, address(0), 2),
            "a known address may still move"
        );
        let later = start + OWNER_LIFETIME + Duration::from_millis(1);
        assert!(owners.learn(later, address(OWNER_CAPACITY), 1));
        assert_eq!(owners.known.len(), 1);
    }
}
