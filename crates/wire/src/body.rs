//! The inside of a sealed datagram: numbered frames, a repair of them, or control of the link.
//!
//! ```text
//! frames:    1 | link sequence 4 | sent 4 | n x (length 2 | frame)
//! repair:    2 | link sequence 4 | sent 4 | n x (length 2 | frame)
//! heartbeat: 3 | sent 4 | interval 2 | next link sequence 4 | echo 1 (| sent 4 | held 4)
//! nack:      4 | sent 4 | n x link sequence 4
//! gone:      5 | sent 4 | n x link sequence 4
//! parity:    6 | sent 4 | number 4 | first link sequence 4 | count 1 | sum
//! ```
//! `sent` is the sender's clock in microseconds, wrapping.

use crate::Malformed;
use crate::cursor::Cursor;

/// Bytes to leave for what is not frames in a numbered body: 9, and more where its parity is to
/// fit as well.
pub const BODY_HEADER: usize = 16;

/// The most sequence numbers that one negative acknowledgement lists, or one answer to it.
pub const MAX_NACKS: usize = 256;

const FRAMES: u8 = 1;
const REPAIR: u8 = 2;
const HEARTBEAT: u8 = 3;
const NACK: u8 = 4;
const GONE: u8 = 5;
const PARITY: u8 = 6;

/// What a sealed datagram holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Frames under a link sequence number; `repair` if they were sent before under the same.
    Frames {
        repair: bool,
        sequence: u32,
        sent: u32,
        frames: &'a [u8],
    },
    Heartbeat(Heartbeat),
    /// Sequence numbers that did not arrive.
    Nack {
        sent: u32,
        sequences: Vec<u32>,
    },
    /// Sequence numbers that will not be sent again.
    Gone {
        sent: u32,
        sequences: Vec<u32>,
    },
    /// The sum over GF(256) of the frames numbered `first` and the `count - 1` after it.
    Parity {
        sent: u32,
        number: u32,
        first: u32,
        count: u8,
        sum: &'a [u8],
    },
}

/// A sign of life that is also a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub sent: u32,
    /// Milliseconds until the next one.
    pub interval: u16,
    /// The link sequence number that the sender will use next: shows losses at the tail.
    pub next_sequence: u32,
    /// `sent` of the latest body from the other end, and the microseconds it has been held.
    pub echo: Option<(u32, u32)>,
}

impl<'a> Body<'a> {
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = Cursor::new(bytes);
        let kind = at.u8("body kind")?;
        match kind {
            FRAMES | REPAIR => Ok(Body::Frames {
                repair: kind == REPAIR,
                sequence: at.u32("link sequence")?,
                sent: at.u32("send time")?,
                frames: at.rest(),
            }),
            HEARTBEAT => {
                let sent = at.u32("send time")?;
                let interval = at.u16("interval")?;
                let next_sequence = at.u32("link sequence")?;
                let echo = at
                    .bool("echo")?
                    .then(|| Ok((at.u32("echo")?, at.u32("echo")?)))
                    .transpose()?;
                if !at.is_empty() {
                    return Err(Malformed::Trailing("heartbeat"));
                }
                Ok(Body::Heartbeat(Heartbeat {
                    sent,
                    interval,
                    next_sequence,
                    echo,
                }))
            }
            NACK | GONE => {
                let sent = at.u32("send time")?;
                let (words, rest) = at.rest().as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(Malformed::Short("link sequence"));
                }
                if words.len() > MAX_NACKS {
                    return Err(Malformed::Value {
                        what: "nack count",
                        value: words.len() as u64,
                    });
                }
                let sequences = words.iter().map(|w| u32::from_be_bytes(*w)).collect();
                Ok(match kind {
                    NACK => Body::Nack { sent, sequences },
                    _ => Body::Gone { sent, sequences },
                })
            }
            PARITY => Ok(Body::Parity {
                sent: at.u32("send time")?,
                number: at.u32("parity number")?,
                first: at.u32("link sequence")?,
                count: at.u8("parity count")?,
                sum: at.rest(),
            }),
            value => Err(Malformed::Value {
                what: "body kind",
                value: value.into(),
            }),
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Body::Frames {
                repair,
                sequence,
                sent,
                frames,
            } => {
                out.push(if *repair { REPAIR } else { FRAMES });
                out.extend(sequence.to_be_bytes());
                out.extend(sent.to_be_bytes());
                out.extend_from_slice(frames);
            }
            Body::Heartbeat(beat) => {
                out.push(HEARTBEAT);
                out.extend(beat.sent.to_be_bytes());
                out.extend(beat.interval.to_be_bytes());
                out.extend(beat.next_sequence.to_be_bytes());
                out.push(beat.echo.is_some().into());
                if let Some((sent, held)) = beat.echo {
                    out.extend(sent.to_be_bytes());
                    out.extend(held.to_be_bytes());
                }
            }
            Body::Nack { sent, sequences } => put_sequences(out, NACK, *sent, sequences),
            Body::Gone { sent, sequences } => put_sequences(out, GONE, *sent, sequences),
            Body::Parity {
                sent,
                number,
                first,
                count,
                sum,
            } => {
                out.push(PARITY);
                out.extend(sent.to_be_bytes());
                out.extend(number.to_be_bytes());
                out.extend(first.to_be_bytes());
                out.push(*count);
                out.extend_from_slice(sum);
            }
        }
    }
}

fn put_sequences(out: &mut Vec<u8>, kind: u8, sent: u32, sequences: &[u32]) {
    out.push(kind);
    out.extend(sent.to_be_bytes());
    for sequence in sequences {
        out.extend(sequence.to_be_bytes());
    }
}

/// The frames of a body, each still to be decoded. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Frames<'a>(Cursor<'a>);

impl<'a> Frames<'a> {
    pub fn new(frames: &'a [u8]) -> Self {
        Frames(Cursor::new(frames))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let length = self.0.u16("frame length");
        let frame = length.and_then(|n| self.0.take(n.into(), "frame"));
        if frame.is_err() {
            self.0 = Cursor::new(&[]);
        }
        Some(frame)
    }
}
