//! RFC 4571: each packet on a TCP connection is preceded by its length in two bytes.

/// The largest packet that we take from a TCP client: more than any path's MTU, so that a stream
/// which isn't RFC 4571 (a TLS hello, an HTTP request) shows itself at its first two bytes.
pub const MAX_PACKET: usize = 2_048;

const PREFIX: usize = 2;

/// The stream isn't RFC 4571, or its packets are larger than [`MAX_PACKET`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a TCP frame of {0} bytes is empty or larger than {MAX_PACKET}")]
pub struct BadFrame(pub usize);

/// Cuts what was read so far into packets; holds at most one unfinished one.
#[derive(Default)]
pub struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// Calls `packet` with each packet that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8], mut packet: impl FnMut(&[u8])) -> Result<(), BadFrame> {
        self.held.extend_from_slice(bytes);
        let mut rest = self.held.as_slice();
        while let [high, low, body @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length == 0 || length > MAX_PACKET {
                return Err(BadFrame(length));
            }
            let Some(whole) = body.get(..length) else {
                break;
            };
            packet(whole);
            rest = &body[length..];
        }
        let done = self.held.len() - rest.len();
        self.held.drain(..done);
        Ok(())
    }
}

/// Appends `packet`, framed, to `out`. A packet longer than 65,535 bytes can't be framed: false.
pub fn encode(packet: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(packet.len()) else {
        return false;
    };
    out.reserve(PREFIX + packet.len());
    out.extend(length.to_be_bytes());
    out.extend_from_slice(packet);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_any_cutting_of_the_stream() {
        let packets: Vec<Vec<u8>> = (1..40).map(|size| vec![size as u8; size * 7]).collect();
        let mut stream = Vec::new();
        for packet in &packets {
            assert!(encode(packet, &mut stream));
        }
        for step in [1, 2, 3, 17, 1000, stream.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in stream.chunks(step) {
                decoder
                    .push(part, |packet| seen.push(packet.to_vec()))
                    .expect("the stream is well formed");
            }
            assert_eq!(seen, packets);
            assert!(decoder.held.is_empty());
        }
    }

    #[test]
    fn what_is_not_rfc_4571_is_refused() {
        let refused = |bytes: &[u8]| Decoder::default().push(bytes, |_| {}).unwrap_err();
        assert_eq!(refused(b"GET / HTTP/1.1"), BadFrame(0x4745));
        assert_eq!(refused(&[0, 0, 1]), BadFrame(0));
        assert_eq!(refused(&[0x16, 0x03, 0x01]), BadFrame(0x1603));
    }

    #[test]
    fn an_unfinished_packet_is_all_that_is_held() {
        let mut decoder = Decoder::default();
        let mut stream = Vec::new();
        encode(&[1; MAX_PACKET], &mut stream);
        decoder
            .push(&stream[..stream.len() - 1], |_| panic!("not whole yet"))
            .expect("a packet of the greatest size is taken");
        assert_eq!(decoder.held.len(), MAX_PACKET + 1);
    }
}
