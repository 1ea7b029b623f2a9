//! Redundant audio data (RFC 2198): the blocks of one payload.

use crate::Malformed;
use crate::cursor::Cursor;

/// The most blocks that a payload may have here: browsers send two, we send at most five.
pub const MAX_BLOCKS: usize = 16;

/// One encoding within a RED payload, oldest first; the last is the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    pub payload_type: u8,
    /// How much older than the packet's timestamp, in the codec's clock; 0 for the primary.
    pub timestamp_offset: u16,
    pub bytes: &'a [u8],
}

/// The blocks of a RED payload, oldest first.
pub fn red_blocks(payload: &[u8]) -> Result<Vec<Block<'_>>, Malformed> {
    let mut at = Cursor::new(payload);
    let mut headers = Vec::with_capacity(3);
    let primary = loop {
        let first = at.u8("RED header")?;
        if first & 0x80 == 0 {
            break first;
        }
        if headers.len() + 1 == MAX_BLOCKS {
            return Err(Malformed::Value {
                what: "RED block count",
                value: MAX_BLOCKS as u64 + 1,
            });
        }
        let [a, b, c] = at.array("RED header")?;
        let packed = u32::from_be_bytes([0, a, b, c]);
        headers.push((
            first & 0x7f,
            (packed >> 10) as u16,
            (packed & 0x3ff) as usize,
        ));
    };
    let mut blocks = Vec::with_capacity(headers.len() + 1);
    for (payload_type, timestamp_offset, length) in headers {
        blocks.push(Block {
            payload_type,
            timestamp_offset,
            bytes: at.take(length, "RED block")?,
        });
    }
    blocks.push(Block {
        payload_type: primary,
        timestamp_offset: 0,
        bytes: at.rest(),
    });
    Ok(blocks)
}

/// Append a RED payload of `blocks`, the primary last.
///
/// None, and nothing appended, if there is no block, more than `MAX_BLOCKS`, an offset beyond 14
/// bits or a redundant block beyond 1023 bytes.
pub fn put_red(out: &mut Vec<u8>, blocks: &[Block<'_>]) -> Option<()> {
    let (primary, redundant) = blocks.split_last()?;
    let fits = |b: &Block<'_>| b.timestamp_offset < 1 << 14 && b.bytes.len() < 1 << 10;
    if blocks.len() > MAX_BLOCKS || !redundant.iter().all(fits) {
        return None;
    }
    for block in redundant {
        let packed = u32::from(block.timestamp_offset) << 10 | block.bytes.len() as u32;
        let [_, a, b, c] = packed.to_be_bytes();
        out.extend([0x80 | block.payload_type, a, b, c]);
    }
    out.push(primary.payload_type & 0x7f);
    for block in blocks {
        out.extend_from_slice(block.bytes);
    }
    Some(())
}
