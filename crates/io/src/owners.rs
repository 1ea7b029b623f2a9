//! Which worker owns a client's address, where the kernel's hash may have picked another.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses remembered by one worker.
pub(crate) const OWNER_CAPACITY: usize = 16_384;

/// An address whose owner no STUN confirmed for so long is forgotten. Clients check consent every
/// few seconds (RFC 7675) and give up after 30 s, so a living one's never is.
pub(crate) const OWNER_LIFETIME: Duration = Duration::from_secs(30);

/// The least time between two searches for addresses to forget when the map is full.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Packets a second from addresses that nobody named, which each worker is shown.
pub(crate) const STRAYS: u32 = 500;
const STRAYS_PER: Duration = Duration::from_secs(1);

/// A bounded map from address to worker, learned from STUN that nobody has verified yet.
///
/// Therefore the first to name an owner holds the address while it keeps confirming it: a forged
/// request can't divert a living client's media. When full, a new address isn't remembered, and
/// only its STUN finds its worker until others are forgotten.
#[derive(Default)]
pub(crate) struct Owners {
    known: HashMap<SocketAddr, Owner>,
    swept: Option<Instant>,
    strays: u32,
    strays_since: Option<Instant>,
}

struct Owner {
    worker: u16,
    confirmed: Instant,
}

impl Owner {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.confirmed) <= OWNER_LIFETIME
    }
}

impl Owners {
    /// The worker of an address, while it is known.
    pub(crate) fn get(&self, now: Instant, address: SocketAddr) -> Option<u16> {
        let owner = self.known.get(&address)?;
        owner.is_fresh(now).then_some(owner.worker)
    }

    /// A STUN request from `address` names a participant of `worker`. False if there is no room.
    pub(crate) fn named(&mut self, now: Instant, address: SocketAddr, worker: u16) -> bool {
        if let Some(owner) = self.known.get_mut(&address) {
            if owner.worker == worker || !owner.is_fresh(now) {
                *owner = Owner {
                    worker,
                    confirmed: now,
                };
            }
            return true;
        }
        if self.known.len() >= OWNER_CAPACITY {
            self.sweep(now);
        }
        let room = self.known.len() < OWNER_CAPACITY;
        if room {
            self.known.insert(
                address,
                Owner {
                    worker,
                    confirmed: now,
                },
            );
        }
        room
    }

    /// Whether another packet of an unknown address may be shown to every worker: it may be of a
    /// client whose address has just changed.
    pub(crate) fn may_show(&mut self, now: Instant) -> bool {
        let fresh = |since: Instant| now.saturating_duration_since(since) < STRAYS_PER;
        if !self.strays_since.is_some_and(fresh) {
            (self.strays_since, self.strays) = (Some(now), 0);
        }
        self.strays = self.strays.saturating_add(1);
        self.strays <= STRAYS
    }

    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|at| now.saturating_duration_since(at) < SWEEP_INTERVAL)
        {
            return;
        }
        self.swept = Some(now);
        self.known.retain(|_, owner| owner.is_fresh(now));
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
    fn an_owner_lasts_while_it_is_confirmed() {
        let start = crate::clock::now();
        let mut owners = Owners::default();
        assert!(owners.named(start, address(1), 3));
        assert_eq!(owners.get(start + OWNER_LIFETIME, address(1)), Some(3));
        assert!(owners.named(start + OWNER_LIFETIME, address(1), 3));
        assert_eq!(owners.get(start + OWNER_LIFETIME * 2, address(1)), Some(3));
        let silent = start + OWNER_LIFETIME * 2 + Duration::from_millis(1);
        assert_eq!(owners.get(silent, address(1)), None);
    }

    #[test]
    fn strays_are_shown_up_to_a_number_a_second() {
        let start = Instant::now();
        let mut owners = Owners::default();
        let shown = |owners: &mut Owners, at: Instant| {
            (0..2 * STRAYS).filter(|_| owners.may_show(at)).count() as u32
        };
        assert_eq!(shown(&mut owners, start), STRAYS);
        assert_eq!(shown(&mut owners, start + STRAYS_PER / 2), 0);
        assert_eq!(shown(&mut owners, start + STRAYS_PER), STRAYS);
    }

    #[test]
    fn a_forged_request_moves_nothing_until_the_owner_is_gone() {
        let start = crate::clock::now();
        let mut owners = Owners::default();
        assert!(owners.named(start, address(1), 3));
        assert!(owners.named(start + OWNER_LIFETIME, address(1), 2));
        assert_eq!(owners.get(start + OWNER_LIFETIME, address(1)), Some(3));
        let gone = start + OWNER_LIFETIME + Duration::from_millis(1);
        assert!(owners.named(gone, address(1), 2));
        assert_eq!(owners.get(gone, address(1)), Some(2));
    }

    #[test]
    fn a_full_map_refuses_until_the_silent_are_forgotten() {
        let start = crate::clock::now();
        let mut owners = Owners::default();
        for n in 0..OWNER_CAPACITY {
            assert!(owners.named(start, address(n), 1));
        }
        assert!(!owners.named(start, address(OWNER_CAPACITY), 1));
        assert!(
            owners.named(start, address(0), 1),
            "a known address is confirmed"
        );
        let later = start + OWNER_LIFETIME + Duration::from_millis(1);
        assert!(owners.named(later, address(OWNER_CAPACITY), 1));
        assert_eq!(owners.known.len(), 1);
    }
}
