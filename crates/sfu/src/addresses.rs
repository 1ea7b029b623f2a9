//! Whose each address of a client is.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use crate::sfu::TransportKey;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    known: HashMap<SocketAddr, TransportKey>,
    /// All of them, those of one host side by side.
    sorted: BTreeSet<SocketAddr>,
}

impl Addresses {
    pub(crate) fn get(&self, address: SocketAddr) -> Option<TransportKey> {
        self.known.get(&address).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn insert(&mut self, address: SocketAddr, key: TransportKey) {
        self.known.insert(address, key);
        self.sorted.insert(address);
    }

    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.known.remove(&address);
        self.sorted.remove(&address);
    }

    /// Forget an address, unless it is another's by now.
    pub(crate) fn forget(&mut self, address: SocketAddr, key: TransportKey) {
        if self.get(address) == Some(key) {
            self.remove(address);
        }
    }

    /// The addresses of one host, by port, and whose they are.
    pub(crate) fn of_host(&self, host: IpAddr) -> impl Iterator<Item = (SocketAddr, TransportKey)> {
        let first = SocketAddr::new(host, 0);
        let sorted = self.sorted.range(first..);
        let here = sorted.take_while(move |address| address.ip() == host);
        here.filter_map(move |address| Some((*address, self.get(*address)?)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::values::Side;

    #[test]
    fn those_of_a_host_are_found_by_it_and_forgotten_with_their_owner() {
        let mut addresses = Addresses::default();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let key = |participant| (participant, Side::Publisher);
        for (text, participant) in [
            ("10.0.0.1:65535", 1),
            ("10.0.0.2:9", 3),
            ("10.0.0.2:7", 2),
            ("10.0.0.3:1", 4),
            ("[fd00::1]:7", 5),
        ] {
            addresses.insert(at(text), key(participant));
        }
        let of_host = |addresses: &Addresses, host: &str| -> Vec<u64> {
            let found = addresses.of_host(host.parse().unwrap());
            found.map(|(_, key)| key.0).collect()
        };
        assert_eq!(of_host(&addresses, "10.0.0.2"), [2, 3]);
        assert_eq!(of_host(&addresses, "fd00::1"), [5]);
        assert_eq!(of_host(&addresses, "10.0.0.9"), [0; 0]);
        addresses.forget(at("10.0.0.2:7"), key(9));
        assert_eq!(addresses.get(at("10.0.0.2:7")), Some(key(2)));
        addresses.forget(at("10.0.0.2:7"), key(2));
        assert_eq!(of_host(&addresses, "10.0.0.2"), [3]);
        assert_eq!(addresses.len(), 4);
    }
}
