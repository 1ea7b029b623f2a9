//! Just enough of STUN (RFC 8489) to see whom a binding request is for, before anyone opens it.

const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const MAGIC_COOKIE: u32 = 0x2112_A442;
const USERNAME: u16 = 0x0006;

/// The local ufrag that a binding request names: what precedes the colon in USERNAME (RFC 8445
/// section 7.2.2). None for anything else, malformed messages included. Nothing is verified.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    let header = datagram.get(..HEADER)?;
    let length = usize::from(be16(header, 2)?);
    let cookie = u32::from_be_bytes(header[4..8].try_into().ok()?);
    if be16(header, 0)? != BINDING_REQUEST || cookie != MAGIC_COOKIE {
        return None;
    }
    let mut rest = datagram.get(HEADER..HEADER + length)?;
    loop {
        let kind = be16(rest, 0)?;
        let size = usize::from(be16(rest, 2)?);
        let value = rest.get(4..4 + size)?;
        if kind == USERNAME {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        rest = rest.get(4 + size.next_multiple_of(4)..)?;
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A binding request with an odd-sized attribute before its USERNAME.
    pub(crate) fn binding_request(username: &str) -> Vec<u8> {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        attributes.extend(USERNAME.to_be_bytes());
        attributes.extend((username.len() as u16).to_be_bytes());
        attributes.extend(username.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
        message.extend((attributes.len() as u16).to_be_bytes());
        message.extend(MAGIC_COOKIE.to_be_bytes());
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
