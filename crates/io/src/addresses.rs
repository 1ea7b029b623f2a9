//! The addresses that clients know us by, and the local ones behind them.

use std::net::{IpAddr, SocketAddr};

/// Maps between advertised and local addresses: behind a NAT of one to one they differ, and a
/// socket bound to every address must answer from the one that was asked.
#[derive(Clone)]
pub(crate) struct Addresses {
    /// Never empty.
    advertised: Vec<IpAddr>,
    /// For each advertised address, the local one on which it was last reached.
    local: Vec<Option<IpAddr>>,
    wildcard: bool,
}

impl Addresses {
    /// What `bind` and the operator's list offer. On loopback only the bound address is of use.
    pub(crate) fn new(bind: IpAddr, listed: &[IpAddr]) -> Result<Addresses, String> {
        let mut advertised: Vec<IpAddr> = listed.to_vec();
        if bind.is_loopback() || (listed.is_empty() && !bind.is_unspecified()) {
            advertised = vec![bind];
        }
        if advertised.is_empty() {
            return Err(format!(
                "no address to offer to clients on {bind}: list some in addresses"
            ));
        }
        if let Some(other) = advertised.iter().find(|ip| ip.is_ipv4() != bind.is_ipv4()) {
            return Err(format!(
                "address {other} isn't of the family of bind {bind}: remove it"
            ));
        }
        let local = vec![None; advertised.len()];
        Ok(Addresses {
            advertised,
            local,
            wildcard: bind.is_unspecified(),
        })
    }

    pub(crate) fn candidates(&self, port: u16) -> Vec<SocketAddr> {
        self.advertised
            .iter()
            .map(|&ip| SocketAddr::new(ip, port))
            .collect()
    }

    /// The advertised address for a packet that reached `local`.
    pub(crate) fn reached(&mut self, local: Option<IpAddr>) -> IpAddr {
        let at = self
            .advertised
            .iter()
            .position(|&ip| Some(ip) == local)
            .unwrap_or(0);
        if local.is_some() {
            self.local[at] = local;
        }
        self.advertised[at]
    }

    /// The local address to send from so that the peer sees `from`; None leaves it to the system.
    pub(crate) fn source(&self, from: IpAddr) -> Option<IpAddr> {
        if !self.wildcard {
            return None;
        }
        let at = self.advertised.iter().position(|&ip| ip == from)?;
        self.local[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("the test's address is well formed")
    }

    #[test]
    fn loopback_offers_itself_whatever_is_listed() {
        let addresses = Addresses::new(ip("127.0.0.1"), &[ip("203.0.113.5")]).expect("valid");
        assert_eq!(
            addresses.candidates(7),
            [SocketAddr::new(ip("127.0.0.1"), 7)]
        );
    }

    #[test]
    fn behind_a_nat_packets_are_for_the_advertised_address_and_leave_from_the_local() {
        let public = ip("203.0.113.5");
        let mut addresses = Addresses::new(ip("0.0.0.0"), &[public]).expect("valid");
        assert_eq!(addresses.source(public), None, "nothing arrived yet");
        assert_eq!(addresses.reached(Some(ip("10.0.0.2"))), public);
        assert_eq!(addresses.source(public), Some(ip("10.0.0.2")));
    }

    #[test]
    fn each_address_answers_for_itself() {
        let (one, two) = (ip("198.51.100.1"), ip("198.51.100.2"));
        let mut addresses = Addresses::new(ip("0.0.0.0"), &[one, two]).expect("valid");
        assert_eq!(addresses.reached(Some(two)), two);
        assert_eq!(addresses.source(two), Some(two));
        assert_eq!(addresses.source(one), None);
    }

    #[test]
    fn nothing_to_offer_or_another_family_is_refused() {
        assert!(Addresses::new(ip("0.0.0.0"), &[]).is_err());
        assert!(Addresses::new(ip("0.0.0.0"), &[ip("2001:db8::1")]).is_err());
    }
}
