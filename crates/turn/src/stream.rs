//! TURN over a stream (RFC 8656 section 3.6): messages one after the other, each with its length.

/// The largest message taken from a stream: more than any path's MTU and its framing.
pub const MAX_MESSAGE: usize = 2_048;

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// The stream is no TURN, or its messages are larger than [`MAX_MESSAGE`].
#[derive(Debug, PartialEq, Eq)]
pub struct BadStream;

/// Cuts a stream into messages; holds at most one that is unfinished, and what was pushed last.
#[derive(Default)]
pub struct Splitter {
    held: Vec<u8>,
}

impl Splitter {
    /// Hands each message that is whole to `message`, without a channel's padding.
    pub fn push(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), BadStream> {
        self.held.extend_from_slice(bytes);
        let mut rest = self.held.as_slice();
        while let [first, _, high, low, ..] = rest {
            let body = usize::from(u16::from_be_bytes([*high, *low]));
            let (length, padded) = match first >> 6 {
                0 => (STUN_HEADER + body, STUN_HEADER + body),
                1 => {
                    let length = CHANNEL_HEADER + body;
                    (length, length.next_multiple_of(4))
                }
                _ => return Err(BadStream),
            };
            if padded > MAX_MESSAGE {
                return Err(BadStream);
            }
            if rest.len() < padded {
                break;
            }
            message(&rest[..length]);
            rest = &rest[padded..];
        }
        let done = self.held.len() - rest.len();
        self.held.drain(..done);
        Ok(())
    }
}
