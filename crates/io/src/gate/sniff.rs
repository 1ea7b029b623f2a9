//! What a stream is, by its first bytes: every protocol served shows itself within ten.

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TLS handshake (RFC 8446 section 5.1).
    Tls,
    /// STUN without a length before it: TURN (RFC 8656 section 3.6).
    Turn,
    /// A length, then STUN: ICE (RFC 4571).
    Ice,
    /// The method of an HTTP request.
    Web,
    /// Nothing that we serve.
    Other,
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const TLS_HANDSHAKE: u8 = 22;

/// None: more bytes are needed.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    match bytes {
        [] => None,
        [TLS_HANDSHAKE, ..] => Some(Kind::Tls),
        [b'A'..=b'Z', ..] => Some(Kind::Web),
        // A message type or a length, each with its upper bits clear.
        [0..=8, ..] => {
            let cookie = |at| {
                bytes
                    .get(at..at + COOKIE.len())
                    .map(|found| found == COOKIE)
            };
            match (cookie(4), cookie(6)) {
                (Some(true), _) => Some(Kind::Turn),
                (Some(false), Some(true)) => Some(Kind::Ice),
                (Some(false), Some(false)) => Some(Kind::Other),
                _ => None,
            }
        }
        _ => Some(Kind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::tests::binding_request;

    #[test]
    fn each_protocol_shows_itself_as_soon_as_it_can() {
        let stun = binding_request("ours:theirs");
        let mut framed = Vec::new();
        assert!(crate::framing::encode(&stun, &mut framed));
        for (bytes, expected, needed) in [
            (stun.as_slice(), Kind::Turn, 8),
            (framed.as_slice(), Kind::Ice, 10),
            (b"GET /rtc HTTP/1.1".as_slice(), Kind::Web, 1),
            (&[22, 3, 1, 2, 0], Kind::Tls, 1),
            (&[0; 12], Kind::Other, 10),
            (b"SSH-2.0", Kind::Web, 1),
            (b"\x80rtp", Kind::Other, 1),
            (b"\0\0", Kind::Other, usize::MAX),
        ] {
            for end in 0..=bytes.len() {
                let expected = (end >= needed).then_some(expected);
                assert_eq!(kind(&bytes[..end]), expected, "{bytes:?} to {end}");
            }
        }
    }
}
