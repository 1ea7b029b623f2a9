//! Walks the fields of a protobuf message without knowing its type, so that what a newer client
//! adds passes through whole.

/// One field, as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    /// The body of a length-delimited field; empty for every other wire type.
    pub(crate) body: &'a [u8],
    /// The number of a varint field; 0 for every other wire type.
    pub(crate) value: u64,
    /// Key, length and body.
    pub(crate) whole: &'a [u8],
}

/// The fields of a message, in order. Stops with `Err` where it can't be read.
pub(crate) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(bytes);
        bytes = match &field {
            Ok(f) => &bytes[f.whole.len()..],
            Err(Malformed) => &[],
        };
        Some(field)
    })
}

/// A message that is no protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is not protobuf")]
pub(crate) struct Malformed;

fn field(bytes: &[u8]) -> Result<Field<'_>, Malformed> {
    let (key, start) = varint(bytes)?;
    let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
    if number == 0 {
        return Err(Malformed);
    }
    let rest = &bytes[start..];
    let mut value = 0;
    let (skip, length) = match key & 7 {
        0 => {
            let (number, n) = varint(rest)?;
            value = number;
            (n, 0)
        }
        1 => (8, 0),
        2 => {
            let (length, n) = varint(rest)?;
            (n, usize::try_from(length).map_err(|_| Malformed)?)
        }
        5 => (4, 0),
        _ => return Err(Malformed),
    };
    let end = skip.checked_add(length).ok_or(Malformed)?;
    let body = rest.get(skip.min(end)..end).ok_or(Malformed)?;
    Ok(Field {
        number,
        body: if length == 0 { &[] } else { body },
        value,
        whole: &bytes[..start + end],
    })
}

fn varint(bytes: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok((value, i + 1));
        }
    }
    Err(Malformed)
}

/// Append a length-delimited field.
pub(crate) fn put(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Append a varint field.
#[cfg(test)]
pub(crate) fn put_number(out: &mut Vec<u8>, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value.into());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_put_writes() {
        let mut bytes = vec![];
        put(&mut bytes, 4, b"ann");
        put(&mut bytes, 300, &[7; 200]);
        bytes.extend([0x80, 0x01, 0x2a]); // field 16, varint 42
        let read: Vec<_> = fields(&bytes).map(|f| f.expect("field")).collect();
        assert_eq!(read[0].number, 4);
        assert_eq!(read[0].body, b"ann");
        assert_eq!((read[1].number, read[1].body.len()), (300, 200));
        assert_eq!(read[2].value, 42);
        assert_eq!(
            (read[2].number, read[2].whole),
            (16, &bytes[bytes.len() - 3..])
        );
    }

    #[test]
    fn garbage_is_an_error_not_a_panic() {
        let bytes = [0x22, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x22, 0x03, 0x61];
        for from in 0..bytes.len() {
            for to in from..=bytes.len() {
                let _ = fields(&bytes[from..to]).count();
            }
        }
        assert!(fields(&[0x22, 0x05, 1]).next().is_some_and(|f| f.is_err()));
    }
}
