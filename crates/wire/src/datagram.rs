//! The outside of what two nodes exchange: handshake messages and sealed frames.
//!
//! ```text
//! initiate:  1 | sender key id 4 | Noise IK message 1
//! respond:   2 | sender key id 4 | receiver key id 4 | Noise IK message 2
//! sealed:    3 | receiver key id 4 | counter 8 | ciphertext | tag 16
//! ```

use crate::Malformed;
use crate::cursor::Cursor;

/// The datagram that a frame is made to fit: most paths take it whole.
pub const MAX_DATAGRAM: usize = 1350;

/// Bytes of UDP payload that every path takes (RFC 8899's base), and the most that are tried:
/// what an Ethernet frame leaves beside IPv6 and UDP.
pub const SMALLEST_MTU: usize = 1200;
pub const LARGEST_DATAGRAM: usize = 1452;

/// Bytes before the ciphertext of a sealed datagram; they are its associated data.
pub const SEALED_HEADER: usize = 13;

/// Bytes of the AEAD tag.
pub const TAG: usize = 16;

const INITIATE: u8 = 1;
const RESPOND: u8 = 2;
const SEALED: u8 = 3;

/// A datagram between nodes. Key ids are chosen by the end that receives under them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    Initiate {
        sender: u32,
        noise: &'a [u8],
    },
    Respond {
        sender: u32,
        receiver: u32,
        noise: &'a [u8],
    },
    /// The ciphertext lies from `SEALED_HEADER` on.
    Sealed {
        receiver: u32,
        counter: u64,
    },
}

impl<'a> Datagram<'a> {
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(bytes);
        match at.u8("datagram type")? {
            INITIATE => Ok(Datagram::Initiate {
                sender: at.u32("key id")?,
                noise: at.rest(),
            }),
            RESPOND => Ok(Datagram::Respond {
                sender: at.u32("key id")?,
                receiver: at.u32("key id")?,
                noise: at.rest(),
            }),
            SEALED => {
                let receiver = at.u32("key id")?;
                let counter = at.u64("counter")?;
                if at.rest().len() < TAG {
                    return Err(Malformed::Short("sealed frame"));
                }
                Ok(Datagram::Sealed { receiver, counter })
            }
            value => Err(Malformed::Value {
                what: "datagram type",
                value: value.into(),
            }),
        }
    }

    /// Append the datagram; for `Sealed` its header alone.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Datagram::Initiate { sender, noise } => {
                out.push(INITIATE);
                out.extend(sender.to_be_bytes());
                out.extend_from_slice(noise);
            }
            Datagram::Respond {
                sender,
                receiver,
                noise,
            } => {
                out.push(RESPOND);
                out.extend(sender.to_be_bytes());
                out.extend(receiver.to_be_bytes());
                out.extend_from_slice(noise);
            }
            Datagram::Sealed { receiver, counter } => {
                out.push(SEALED);
                out.extend(receiver.to_be_bytes());
                out.extend(counter.to_be_bytes());
            }
        }
    }
}
