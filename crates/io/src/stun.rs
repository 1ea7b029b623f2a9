//! Just enough of STUN (RFC 8489) to see whom a binding request is for, before anyone opens it.

const BINDING_REQUEST: [u8; 2] = [0, 1];

/// The local ufrag that a binding request names: what precedes the colon in USERNAME (RFC 8445
/// section 7.2.2). None for anything else, malformed messages included. Nothing is verified.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    if !datagram.starts_with(&BINDING_REQUEST) {
        return None;
    }
    wire::stun_username(datagram)?.split(':').next()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A binding request with an odd-sized attribute before its USERNAME.
    pub(crate) fn binding_request(username: &str) -> Vec<u8> {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        attributes.extend([0x00, 0x06]);
        attributes.extend((username.len() as u16).to_be_bytes());
        attributes.extend(username.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        let mut message = BINDING_REQUEST.to_vec();
        message.extend((attributes.len() as u16).to_be_bytes());
        message.extend([0x21, 0x12, 0xa4, 0x42]);
        message.extend([7; 12]);
        message.extend(attributes);
        message
    }

    #[test]
    fn username_names_the_local_side_first() {
        assert_eq!(local_ufrag(&binding_request("ours:theirs")), Some("ours"));
    }

    #[test]
    fn responses_and_other_packets_name_nobody() {
        let mut response = binding_request("ours:theirs");
        response[0] = 1;
        assert_eq!(local_ufrag(&response), None);
        assert_eq!(local_ufrag(&[0x80; 64]), None);
        assert_eq!(local_ufrag(&[]), None);
    }

    #[test]
    fn no_cut_or_flipped_byte_panics_or_reads_outside() {
        let whole = binding_request("ours:theirs");
        for end in 0..whole.len() {
            let named = local_ufrag(&whole[..end]);
            assert_eq!(named, None, "cut at {end} leaves a length that lies");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let _ = local_ufrag(&flipped);
            }
        }
    }
}
