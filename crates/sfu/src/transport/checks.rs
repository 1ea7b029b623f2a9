//! Connectivity checks of the edge's own (RFC 8445). It is ICE-lite and leaves the choice of a way to the client, save when
//! that fell silent where it was: then it asks over every way, takes the controlling role and nominates one that answered.
//!
//! libwebrtc leaves a dead network after 3.5 s by itself, and at once if it is the controlled side and another pair
//! is nominated; whoever claims the role with the greater tie-breaker has it (section 7.3.1.1).

use std::time::{Duration, Instant};

use crc::{CRC_32_ISO_HDLC, Crc};
use str0m::IceCreds;
use str0m::ice::{StunMessage, TransId};

use super::setup::crypto;
use crate::spare::Place;
use crate::values::{Protocol, Transmit};

/// So long the client is not given its role back: a network that died must not seem alive to it
/// (libwebrtc: `RECEIVING_TIMEOUT`, 2.5 s; 5 s until checks that fail tell).
const HOLD: Duration = Duration::from_secs(5);
/// Checks of which an answer is known as such.
const MAX_OPEN: usize = 48;
/// Of a peer-reflexive candidate (RFC 8445 section 5.1.2).
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;
const MAX_LENGTH: usize = 1_024;

const MESSAGE_INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;
/// draft-thatcher-ice-renomination: of two nominations the one with the greater value counts.
const NOMINATION: u16 = 0xc001;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const HEADER: usize = 20;
/// Of the attribute that `to_bytes` ends with.
const FINGERPRINT_LENGTH: usize = 8;
const INTEGRITY_LENGTH: usize = 24;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// The client's, by its last description.
    client: Option<IceCreds>,
    open: Vec<(TransId, Place)>,
    nominations: u32,
    /// The edge has the controlling role, and gives it back when asked after this.
    controls: Option<Instant>,
}

/// What becomes of a client's check.
#[derive(Debug)]
pub(crate) enum Taken {
    /// str0m gets it as it is.
    AsItIs,
    /// str0m, which knows itself as the controlled side, gets this instead.
    As(Vec<u8>),
    /// It is answered with this.
    Answered(Vec<u8>),
}

impl Checks {
    /// The client described itself (again).
    pub(crate) fn described(&mut self, sdp: &str) {
        let value = |name: &str| {
            let mut lines = sdp.lines();
            lines.find_map(|line| line.strip_prefix(name).map(|v| v.trim().to_owned()))
        };
        if let (Some(ufrag), Some(pass)) = (value("a=ice-ufrag:"), value("a=ice-pwd:"))
            && self
                .client
                .as_ref()
                .is_none_or(|known| known.ufrag != ufrag)
        {
            self.client = Some(IceCreds { ufrag, pass });
            self.open.clear();
        }
    }

    /// The client's checks are to be looked at.
    pub(crate) fn controls(&self) -> bool {
        self.controls.is_some()
    }

    /// A check over a way, which only asks; None: the client is not known yet.
    pub(crate) fn ask(&mut self, ours: &IceCreds, place: Place) -> Option<Transmit> {
        let controls = self.controls.is_some();
        self.check(ours, place, controls, None)
    }

    /// A check that takes the controlling role and nominates the way.
    pub(crate) fn nominate(
        &mut self,
        now: Instant,
        ours: &IceCreds,
        place: Place,
    ) -> Option<Transmit> {
        self.controls = Some(now + HOLD);
        self.nominations += 1;
        self.check(ours, place, true, Some(self.nominations))
    }

    fn check(
        &mut self,
        ours: &IceCreds,
        place: Place,
        controlling: bool,
        nomination: Option<u32>,
    ) -> Option<Transmit> {
        let client = self.client.as_ref()?;
        let id = TransId::new();
        let username = format!("{}:{}", client.ufrag, ours.ufrag);
        let tie_breaker = if controlling { u64::MAX } else { 0 };
        let nominates = nomination.is_some();
        let request = StunMessage::binding_request(
            &username,
            id,
            controlling,
            tie_breaker,
            PRIORITY,
            nominates,
        );
        let bytes = signed(request, nomination, &client.pass)?;
        if self.open.len() == MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push((id, place));
        Some(stun(place, bytes))
    }

    /// Whether the message answers a check of ours, where that was sent.
    pub(crate) fn answered(&mut self, place: Place, bytes: &[u8]) -> bool {
        let (Some(client), Ok(message)) = (&self.client, StunMessage::parse(bytes)) else {
            return false;
        };
        let id = message.trans_id();
        let known = self.open.iter().position(|open| *open == (id, place));
        let Some(at) = known.filter(|_| verified(&message, client)) else {
            return false;
        };
        self.open.remove(at);
        message.is_successful_binding_response()
    }

    /// A client's check arrived, over the way in use or another.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        ours: &IceCreds,
        in_use: bool,
        bytes: &[u8],
    ) -> Taken {
        let Some(until) = self.controls else {
            return Taken::AsItIs;
        };
        let Ok(message) = StunMessage::parse(bytes) else {
            return Taken::AsItIs;
        };
        if !verified(&message, ours) {
            return Taken::AsItIs;
        }
        let over = now >= until;
        let (Some(_), Some(username), Some(priority)) =
            (message.ice_controlled(), message.username(), message.prio())
        else {
            // libwebrtc takes the role again with each description of an ICE-lite side.
            if over {
                self.controls = None;
            }
            return Taken::AsItIs;
        };
        let id = message.trans_id();
        let made = if over {
            StunMessage::binding_role_conflict_reply(id)
        } else {
            StunMessage::binding_request(username, id, true, 0, priority, in_use)
        };
        match (signed(made, None, &ours.pass), over) {
            (Some(bytes), true) => Taken::Answered(bytes),
            (Some(bytes), false) => Taken::As(bytes),
            (None, _) => Taken::AsItIs,
        }
    }
}

/// A message of STUN on its way.
pub(super) fn stun((from, to): Place, bytes: Vec<u8>) -> Transmit {
    Transmit {
        protocol: Protocol::Udp,
        from,
        to,
        bytes,
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    crypto().sha1_hmac_provider.sha1_hmac(key, parts)
}

/// Whether someone who knows the password of these credentials made the message.
pub(super) fn verified(message: &StunMessage<'_>, credentials: &IceCreds) -> bool {
    message.verify(credentials.pass.as_bytes(), hmac)
}

/// A message as it leaves (RFC 8489 sections 14.5 and 14.7); None if it does not fit.
fn signed(message: StunMessage<'_>, nomination: Option<u32>, password: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; MAX_LENGTH];
    let length = message.to_bytes(None, &mut bytes, hmac).ok()?;
    bytes.truncate(length - FINGERPRINT_LENGTH);
    if let Some(value) = nomination {
        append(&mut bytes, NOMINATION, &value.to_be_bytes());
    }
    // Either counts the attributes up to and with its own.
    set_length(&mut bytes, INTEGRITY_LENGTH);
    let integrity = hmac(password.as_bytes(), &[&bytes]);
    append(&mut bytes, MESSAGE_INTEGRITY, &integrity);
    set_length(&mut bytes, FINGERPRINT_LENGTH);
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&bytes) ^ FINGERPRINT_XOR;
    append(&mut bytes, FINGERPRINT, &sum.to_be_bytes());
    Some(bytes)
}

/// Append an attribute whose length is a multiple of four.
fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
}

fn set_length(bytes: &mut [u8], more: usize) {
    let length = (bytes.len() - HEADER + more) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    fn credentials(ufrag: &str, pass: &str) -> IceCreds {
        IceCreds {
            ufrag: ufrag.into(),
            pass: pass.into(),
        }
    }

    fn place() -> Place {
        let address = |s: &str| s.parse().unwrap();
        (address("10.0.0.1:7882"), address("10.0.1.2:5000"))
    }

    /// Checks of a client that described itself.
    fn known() -> (Checks, IceCreds, IceCreds) {
        let mut checks = Checks::default();
        checks.described("v=0\r\na=ice-ufrag:cccc\r\na=ice-pwd:the client's own\r\n");
        let client = credentials("cccc", "the client's own");
        (checks, client, credentials("ours", "a password of ours"))
    }

    fn from_client(ours: &IceCreds, controlling: bool) -> Vec<u8> {
        let request = StunMessage::binding_request(
            "ours:cccc",
            TransId::new(),
            controlling,
            7,
            99,
            controlling,
        );
        signed(request, None, &ours.pass).unwrap()
    }

    #[test]
    fn a_message_is_signed_as_str0m_signs_it() {
        let request = StunMessage::binding_request("a:b", TransId::new(), true, 7, 99, true);
        let mut theirs = vec![0; 200];
        let length = request
            .to_bytes(Some(b"secret"), &mut theirs, hmac)
            .unwrap();
        theirs.truncate(length);
        assert_eq!(signed(request, None, "secret"), Some(theirs));
    }

    #[test]
    fn a_nomination_takes_the_role_and_outbids_the_one_before() {
        let (mut checks, client, ours) = known();
        let now = Instant::now();
        for number in 1..4_u32 {
            let sent = checks.nominate(now, &ours, place()).unwrap();
            assert_eq!((sent.from, sent.to), place());
            let message = StunMessage::parse(&sent.bytes).unwrap();
            assert!(verified(&message, &client));
            assert_eq!(message.username(), Some("cccc:ours"));
            assert!(message.use_candidate());
            assert_eq!(message.ice_controlling(), Some(u64::MAX));
            let attribute = [&[0xc0, 1, 0, 4][..], &number.to_be_bytes()].concat();
            assert!(sent.bytes.windows(8).any(|bytes| bytes == attribute));
        }
    }

    #[test]
    fn only_the_client_answers_and_only_where_it_was_asked_and_once() {
        let (mut checks, client, ours) = known();
        let sent = checks.ask(&ours, place()).unwrap();
        let message = StunMessage::parse(&sent.bytes).unwrap();
        assert!(!message.use_candidate());
        assert_eq!(message.ice_controlled(), Some(0));
        let reply = |pass: &str| {
            let reply = StunMessage::binding_reply(message.trans_id(), place().0);
            signed(reply, None, pass).unwrap()
        };
        let (from, to) = place();
        assert!(!checks.answered((to, from), &reply(&client.pass)));
        assert!(!checks.answered(place(), &reply("a guess")));
        assert!(checks.answered(place(), &reply(&client.pass)));
        assert!(!checks.answered(place(), &reply(&client.pass)));
    }

    #[test]
    fn who_is_not_known_is_not_asked() {
        let ours = credentials("ours", "a password of ours");
        assert_eq!(Checks::default().ask(&ours, place()), None);
    }

    #[test]
    fn a_client_without_the_role_is_understood_and_then_given_it_back() {
        let (mut checks, _, ours) = known();
        let now = Instant::now();
        let check = from_client(&ours, false);
        assert!(matches!(
            checks.take(now, &ours, true, &check),
            Taken::AsItIs
        ));
        checks.nominate(now, &ours, place());
        for in_use in [false, true] {
            let Taken::As(bytes) = checks.take(now, &ours, in_use, &check) else {
                panic!("it is to be what an ICE-lite side understands");
            };
            let message = StunMessage::parse(&bytes).unwrap();
            assert!(verified(&message, &ours));
            assert!(message.ice_controlling().is_some());
            assert_eq!(
                (message.use_candidate(), message.prio()),
                (in_use, Some(99))
            );
        }
        let forged = from_client(&credentials("ours", "a guess"), false);
        assert!(matches!(
            checks.take(now, &ours, true, &forged),
            Taken::AsItIs
        ));
        let later = now + HOLD;
        let Taken::Answered(bytes) = checks.take(later, &ours, true, &check) else {
            panic!("it is to have its role back");
        };
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!(message.error_code().map(|(code, _)| code), Some(487));
        assert!(checks.controls());
        let check = from_client(&ours, true);
        assert!(matches!(
            checks.take(later, &ours, true, &check),
            Taken::AsItIs
        ));
        assert!(!checks.controls());
    }
}
