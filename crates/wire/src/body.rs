//! The inside of a sealed datagram: numbered frames, a repair of them, or control of the link.
//!
//! ```text
//! frames:    1 | link sequence 4 | sent 4 | n x (length 2 | frame)
//! repair:    2 | link sequence 4 | sent 4 | n x (length 2 | frame)
//! heartbeat: 3 | sent 4 | interval 2 | next link sequence 4 | number 2 | aside 2 | flags 1
//!            | loss 2 | residual 2 | queue 2 (| echoed 4 | held 4) | pairs x age 2
//! nack:      4 | sent 4 | n x link sequence 4
//! gone:      5 | sent 4 | n x link sequence 4
//! parity:    6 | sent 4 | number 4 | first link sequence 4 | count 1 | sum
//! probe:    16 | sent 4 | padding
//! probed:   17 | sent 4 | size 2
//! ```
//! Flags of a heartbeat: echo 1, primary 2, carrying 4, backup 8, pairs less one in bits 4 and 5.
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
const PROBE: u8 = 16;
const PROBED: u8 = 17;

/// Port pairs that a link may have.
pub const MAX_PAIRS: usize = 4;

/// Bytes of a probe without its padding.
pub const PROBE_HEADER: usize = 5;

/// The age of what never came, or came longer ago.
pub const NEVER: u16 = u16::MAX;

const ECHO: u8 = 1;
const PRIMARY: u8 = 2;
const CARRYING: u8 = 4;
const BACKUP: u8 = 8;

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
    /// Asks whether a datagram of this size passes (RFC 8899).
    Probe {
        sent: u32,
        padding: &'a [u8],
    },
    /// One of `size` bytes did.
    Probed {
        sent: u32,
        size: u16,
    },
}

/// A sign of life that is also a probe of its port pair and a report of the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub sent: u32,
    /// Milliseconds until the next one on this pair.
    pub interval: u16,
    /// The link sequence number that the sender will use next: shows losses at the tail.
    pub next_sequence: u32,
    /// Heartbeats before it on this pair, wrapping: shows which were lost.
    pub number: u16,
    /// Datagrams so far, wrapping, that say nothing of the pair in use: on the others, and probes.
    pub aside: u16,
    /// It travels on the pair that carries the frames.
    pub primary: bool,
    /// Frames were sent lately: the peer is to answer as often.
    pub carrying: bool,
    /// The link is somebody's second way.
    pub backup: bool,
    pub report: PeerReport,
    /// `sent` of the latest body that came over this pair, and the microseconds it has been held.
    pub echo: Option<(u32, u32)>,
    pub heard: Ages,
}

/// What the sender of a heartbeat measures of the receiver's direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerReport {
    /// Shares lost before and after repair, in 1/65535.
    pub loss: u16,
    pub residual: u16,
    /// One-way delay above its least, in 0.1 ms.
    pub queue: u16,
    /// Bytes that came so far, wrapping.
    pub received: u32,
}

/// How long ago something came, in milliseconds, by port pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    ages: [u16; MAX_PAIRS],
    count: u8,
}

impl Ages {
    /// Of 1 to `MAX_PAIRS` pairs; those past it are left out.
    pub fn new(ages: impl IntoIterator<Item = u16>) -> Ages {
        let mut all = Ages {
            ages: [NEVER; MAX_PAIRS],
            count: 0,
        };
        for (place, age) in all.ages.iter_mut().zip(ages) {
            *place = age;
            all.count += 1;
        }
        all.count = all.count.max(1);
        all
    }

    pub fn get(&self) -> &[u16] {
        &self.ages[..usize::from(self.count)]
    }
}

impl Heartbeat {
    fn decode(mut at: Cursor<'_>) -> Result<Heartbeat, Malformed> {
        let sent = at.u32("send time")?;
        let interval = at.u16("interval")?;
        let next_sequence = at.u32("link sequence")?;
        let number = at.u16("heartbeat number")?;
        let aside = at.u16("aside")?;
        let flags = at.u8("flags")?;
        if flags & 0xc0 != 0 {
            return Err(Malformed::Value {
                what: "heartbeat flags",
                value: flags.into(),
            });
        }
        let report = PeerReport {
            loss: at.u16("loss")?,
            residual: at.u16("residual loss")?,
            queue: at.u16("queue")?,
            received: at.u32("received")?,
        };
        let echo = (flags & ECHO != 0)
            .then(|| Ok((at.u32("echo")?, at.u32("echo")?)))
            .transpose()?;
        let count = (flags >> 4) + 1;
        let mut ages = [NEVER; MAX_PAIRS];
        for age in &mut ages[..usize::from(count)] {
            *age = at.u16("age")?;
        }
        if !at.is_empty() {
            return Err(Malformed::Trailing("heartbeat"));
        }
        Ok(Heartbeat {
            sent,
            interval,
            next_sequence,
            number,
            aside,
            primary: flags & PRIMARY != 0,
            carrying: flags & CARRYING != 0,
            backup: flags & BACKUP != 0,
            report,
            echo,
            heard: Ages { ages, count },
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(HEARTBEAT);
        out.extend(self.sent.to_be_bytes());
        out.extend(self.interval.to_be_bytes());
        out.extend(self.next_sequence.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.aside.to_be_bytes());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(
            flag(self.echo.is_some(), ECHO)
                | flag(self.primary, PRIMARY)
                | flag(self.carrying, CARRYING)
                | flag(self.backup, BACKUP)
                | (self.heard.count - 1) << 4,
        );
        for value in [self.report.loss, self.report.residual, self.report.queue] {
            out.extend(value.to_be_bytes());
        }
        out.extend(self.report.received.to_be_bytes());
        if let Some((sent, held)) = self.echo {
            out.extend(sent.to_be_bytes());
            out.extend(held.to_be_bytes());
        }
        for age in self.heard.get() {
            out.extend(age.to_be_bytes());
        }
    }
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
            HEARTBEAT => Heartbeat::decode(at).map(Body::Heartbeat),
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
            PROBE => Ok(Body::Probe {
                sent: at.u32("send time")?,
                padding: at.rest(),
            }),
            PROBED => {
                let (sent, size) = (at.u32("send time")?, at.u16("size")?);
                if !at.is_empty() {
                    return Err(Malformed::Trailing("probed"));
                }
                Ok(Body::Probed { sent, size })
            }
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
            Body::Heartbeat(beat) => beat.encode(out),
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
            Body::Probe { sent, padding } => {
                out.push(PROBE);
                out.extend(sent.to_be_bytes());
                out.extend_from_slice(padding);
            }
            Body::Probed { sent, size } => {
                out.push(PROBED);
                out.extend(sent.to_be_bytes());
                out.extend(size.to_be_bytes());
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
