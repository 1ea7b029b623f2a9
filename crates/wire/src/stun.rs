//! What a worker must know of a STUN message (RFC 8489) to find the session that it is for.

use crate::cursor::Cursor;

const MAGIC: u32 = 0x2112_a442;
const USERNAME: u16 = 0x0006;
/// RFC 8489 section 14.3: a username has fewer than 509 bytes.
const MAX_USERNAME: usize = 508;

/// The USERNAME of a STUN message, None if `bytes` is no STUN message or has none.
pub fn stun_username(bytes: &[u8]) -> Option<&str> {
    let mut at = Cursor::new(bytes);
    let kind = at.u16("type").ok()?;
    let length = usize::from(at.u16("length").ok()?);
    let magic = at.u32("cookie").ok()?;
    at.take(12, "transaction").ok()?;
    if kind & 0xc000 != 0 || magic != MAGIC || !length.is_multiple_of(4) {
        return None;
    }
    let mut at = Cursor::new(at.take(length, "attributes").ok()?);
    while !at.is_empty() {
        let kind = at.u16("attribute").ok()?;
        let length = usize::from(at.u16("attribute").ok()?);
        let padded = at.take(length.next_multiple_of(4), "attribute").ok()?;
        if kind == USERNAME {
            let value = &padded[..length];
            return (length <= MAX_USERNAME).then(|| str::from_utf8(value).ok())?;
        }
    }
    None
}
