//! A LiveKit DataPacket on its way through: who may send it, who said it, whom it is for.

use crate::protobuf::{Malformed, fields, put};

// Field numbers of livekit_models.proto: DataPacket and UserPacket.
const KIND: u32 = 1;
const USER: u32 = 2;
const IDENTITY: u32 = 4;
const DESTINATIONS: u32 = 5;
const TRANSCRIPTION: u32 = 7;
const METRICS: u32 = 8;
const SEQUENCE: u32 = 16;
const SID: u32 = 17;
const USER_SID: u32 = 1;
const USER_DESTINATION_SIDS: u32 = 3;
const USER_IDENTITY: u32 = 5;
const USER_DESTINATIONS: u32 = 6;

/// The longest DataPacket that is taken: SDKs stop at 64,000 bytes of payload.
pub(crate) const MAX_DATA: usize = 66 * 1024;

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    pub(crate) identity: &'a str,
    pub(crate) sid: &'a str,
    pub(crate) agent: bool,
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed,
    TooLong,
    /// Only agents transcribe.
    Transcription,
    /// Client metrics are for the server alone.
    Metrics,
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Self {
        Refused::Malformed
    }
}

/// The same packet with the true sender in it, destinations in the outer and the inner place.
///
/// Fields unknown to us stay as they are (livekit.md 1.12).
pub(crate) fn stamp(packet: &[u8], sender: Sender<'_>) -> Result<Vec<u8>, Refused> {
    if packet.len() > MAX_DATA {
        return Err(Refused::TooLong);
    }
    let to = Destinations::read(packet)?;
    let mut out = Vec::with_capacity(packet.len() + 96);
    for field in fields(packet) {
        let field = field?;
        match field.number {
            KIND | IDENTITY | SID | DESTINATIONS => {}
            TRANSCRIPTION if !sender.agent => return Err(Refused::Transcription),
            METRICS => return Err(Refused::Metrics),
            USER => put(&mut out, USER, &stamp_user(field.body, sender, &to)?),
            _ => out.extend_from_slice(field.whole),
        }
    }
    put(&mut out, IDENTITY, sender.identity.as_bytes());
    put(&mut out, SID, sender.sid.as_bytes());
    for identity in &to.identities {
        put(&mut out, DESTINATIONS, identity);
    }
    Ok(out)
}

fn stamp_user(
    user: &[u8],
    sender: Sender<'_>,
    to: &Destinations<'_>,
) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(user.len() + 64);
    for field in fields(user) {
        let field = field?;
        match field.number {
            USER_SID | USER_IDENTITY | USER_DESTINATIONS => {}
            _ => out.extend_from_slice(field.whole),
        }
    }
    put(&mut out, USER_SID, sender.sid.as_bytes());
    put(&mut out, USER_IDENTITY, sender.identity.as_bytes());
    for identity in &to.identities {
        put(&mut out, USER_DESTINATIONS, identity);
    }
    Ok(out)
}

/// A stamped packet, for one of its receivers alone.
pub(crate) fn readdress(packet: &[u8], identity: &str) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(packet.len() + identity.len() + 4);
    for field in fields(packet) {
        let field = field?;
        if field.number != DESTINATIONS {
            out.extend_from_slice(field.whole);
        }
    }
    put(&mut out, DESTINATIONS, identity.as_bytes());
    Ok(out)
}

/// Whom a packet is for. Nobody named means everybody.
#[derive(Debug, Default)]
pub(crate) struct Destinations<'a> {
    identities: Vec<&'a [u8]>,
    sids: Vec<&'a [u8]>,
}

impl<'a> Destinations<'a> {
    pub(crate) fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let mut to = Self::default();
        let mut user = None;
        for field in fields(packet) {
            let field = field?;
            match field.number {
                DESTINATIONS => to.identities.push(field.body),
                USER => user = Some(field.body),
                _ => {}
            }
        }
        let outer = !to.identities.is_empty();
        for field in user.into_iter().flat_map(fields) {
            let field = field?;
            match field.number {
                USER_DESTINATIONS if !outer => to.identities.push(field.body),
                USER_DESTINATION_SIDS => to.sids.push(field.body),
                _ => {}
            }
        }
        Ok(to)
    }

    /// Whether this identity is named, not just meant by all.
    pub(crate) fn names(&self, identity: &str) -> bool {
        self.identities.contains(&identity.as_bytes())
    }

    pub(crate) fn include(&self, identity: &str, sid: &str) -> bool {
        (self.identities.is_empty() && self.sids.is_empty())
            || self.identities.contains(&identity.as_bytes())
            || self.sids.contains(&sid.as_bytes())
    }
}

/// The number that a publisher gave a reliable packet; 0 if it gives none.
pub(crate) fn sequence(packet: &[u8]) -> u32 {
    fields(packet)
        .filter_map(Result::ok)
        .find(|f| f.number == SEQUENCE)
        .map_or(0, |f| f.value as u32)
}

/// What names a stamped packet for those who get it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) sid: &'a [u8],
    pub(crate) sequence: u32,
}

/// The origin of a stamped packet; None if nobody numbered it.
pub(crate) fn origin(packet: &[u8]) -> Option<Origin<'_>> {
    let sequence = sequence(packet);
    let sid = sender_sid(packet)?;
    (sequence > 0).then_some(Origin { sid, sequence })
}

/// The sid that a stamped packet says it comes from.
pub(crate) fn sender_sid(packet: &[u8]) -> Option<&[u8]> {
    fields(packet)
        .filter_map(Result::ok)
        .find(|f| f.number == SID)
        .map(|f| f.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Sender<'_> = Sender {
        identity: "ann",
        sid: "PA_1",
        agent: false,
    };

    fn user(to: &[&str]) -> Vec<u8> {
        let mut user = vec![];
        put(&mut user, 2, b"hello");
        put(&mut user, USER_SID, b"PA_forged");
        for t in to {
            put(&mut user, USER_DESTINATIONS, t.as_bytes());
        }
        let mut packet = vec![];
        put(&mut packet, USER, &user);
        put(&mut packet, IDENTITY, b"somebody else");
        put(&mut packet, 99, b"from the future");
        packet
    }

    #[test]
    fn the_true_sender_is_written_in_and_the_unknown_stays() {
        let out = stamp(&user(&[]), ANN).expect("stamped");
        let text = String::from_utf8_lossy(&out).into_owned();
        assert!(!text.contains("forged") && !text.contains("somebody"));
        assert!(text.contains("from the future") && text.contains("hello"));
        assert_eq!(sender_sid(&out), Some(&b"PA_1"[..]));
    }

    #[test]
    fn inner_destinations_are_mirrored_outside() {
        let out = stamp(&user(&["bob"]), ANN).expect("stamped");
        let to = Destinations::read(&out).expect("read");
        assert!(to.include("bob", "PA_2"));
        assert!(!to.include("eve", "PA_3"));
    }

    #[test]
    fn a_packet_for_many_can_be_passed_to_one() {
        let out = stamp(&user(&["bob", "eve"]), ANN).expect("stamped");
        let out = readdress(&out, "bob").expect("readdressed");
        let to = Destinations::read(&out).expect("read");
        assert!(to.names("bob") && !to.include("eve", "PA_3"));
        assert_eq!(sender_sid(&out), Some(&b"PA_1"[..]));
        assert_eq!(readdress(&[0x22, 9], "bob"), Err(Malformed));
    }

    #[test]
    fn refuses_what_only_others_may_say() {
        let mut transcription = vec![];
        put(&mut transcription, TRANSCRIPTION, b"");
        assert_eq!(stamp(&transcription, ANN), Err(Refused::Transcription));
        assert!(stamp(&transcription, Sender { agent: true, ..ANN }).is_ok());
        assert_eq!(stamp(&[0x22, 9], ANN), Err(Refused::Malformed));
        assert_eq!(stamp(&vec![0; MAX_DATA + 1], ANN), Err(Refused::TooLong));
    }
}
