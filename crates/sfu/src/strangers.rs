//! Who a client is that sends from an address that nobody has. A NAT gave it another port, and the
//! connectivity check that would tell may be 2.5 s away; until then nothing would reach it.
//!
//! What it sends is its proof: SRTP authenticates it, and it is newer than all that was heard before
//! (RFC 3711 section 3.3.2). Who may have sent it is guessed by what its header shows in the clear.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::interface::Output;
use crate::sfu::{Sfu, TransportKey};
use crate::spare::Place;
use crate::transport::{is_rtcp, rtp_name};
use crate::values::Protocol;

/// Transports of one IP address that are tried with a report, at most; and tries a second: whoever
/// sends noise makes no more work than this.
const TRIED: usize = 16;
const TRIES: u32 = 500;
const PER: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// Whose an SSRC is.
    senders: HashMap<u32, TransportKey>,
    since: Option<Instant>,
    tries: u32,
}

impl Strangers {
    /// A client sends under this SSRC. Who was first keeps it.
    pub(crate) fn named(&mut self, ssrc: u32, key: TransportKey) {
        self.senders.entry(ssrc).or_insert(key);
    }

    pub(crate) fn forget(&mut self, key: TransportKey) {
        self.senders.retain(|_, of| *of != key);
    }

    fn may_try(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + PER) {
            (self.since, self.tries) = (Some(now), 0);
        }
        self.tries += 1;
        self.tries <= TRIES
    }
}

impl Sfu {
    /// Take a datagram that came over UDP from an address that nobody has. False: it is nobody's.
    pub(crate) fn stranger(
        &mut self,
        now: Instant,
        place: Place,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        for key in self.who_may_send(place.1, bytes) {
            if !self.strangers.may_try(now) {
                return false;
            }
            self.take(now, key, Protocol::Udp, place, bytes, out);
            if self.transport(key).is_some_and(|t| t.place == Some(place)) {
                self.learn(place.1, key);
                self.count("strangers_known");
                return true;
            }
        }
        false
    }

    /// A packet says under which SSRC it comes. So do reports, but those of clients that only listen
    /// come under the same everywhere: any client at the same IP address may have sent one.
    fn who_may_send(&self, from: SocketAddr, bytes: &[u8]) -> Vec<TransportKey> {
        if let Some((ssrc, _)) = rtp_name(bytes) {
            return self
                .strangers
                .senders
                .get(&ssrc)
                .copied()
                .into_iter()
                .collect();
        }
        if !is_rtcp(bytes) {
            return Vec::new();
        }
        let neighbours = self.addresses.of_host(from.ip());
        let lives_there = |(address, (participant, side)): &(SocketAddr, TransportKey)| {
            let participant = self.participants.get(participant);
            let place = participant.and_then(|p| p.on(*side)?.place);
            place.is_some_and(|(_, client)| client == *address)
        };
        let there = neighbours.filter(lives_there).map(|(_, key)| key);
        there.take(TRIED).collect()
    }
}
