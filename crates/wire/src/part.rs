//! A frame that is too long for a link's datagrams crosses it in numbered parts.
//!
//! ```text
//! 0 2 | message 2 | index 1 | count 1 | bytes
//! ```
//! It stands in a frame's place: no frame begins with node 0.

use crate::Malformed;
use crate::cursor::Cursor;

/// Bytes before a part's own.
pub const PART_HEADER: usize = 6;

/// The most parts of one frame.
pub const MAX_PARTS: u8 = 4;

/// One part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub message: u16,
    pub index: u8,
    pub count: u8,
    pub bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// None if this is a whole frame.
    pub fn decode(frame: &'a [u8]) -> Option<Result<Part<'a>, Malformed>> {
        frame.starts_with(&[0, 0]).then(|| Part::read(&frame[2..]))
    }

    fn read(bytes: &'a [u8]) -> Result<Part<'a>, Malformed> {
        let mut at = Cursor::new(bytes);
        let message = at.u16("part")?;
        let (index, count) = (at.u8("part index")?, at.u8("part count")?);
        if !(2..=MAX_PARTS).contains(&count) || index >= count {
            return Err(Malformed::Value {
                what: "part count",
                value: count.into(),
            });
        }
        Ok(Part {
            message,
            index,
            count,
            bytes: at.rest(),
        })
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([0, 0]);
        out.extend(self.message.to_be_bytes());
        out.extend([self.index, self.count]);
        out.extend_from_slice(self.bytes);
    }
}
