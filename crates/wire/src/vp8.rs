//! The temporal layer of a VP8 payload (RFC 7741 section 4.2).

/// The payload's temporal layer; None if it does not say, or is cut short.
pub fn vp8_temporal_layer(payload: &[u8]) -> Option<u8> {
    const EXTENDED: u8 = 0x80;
    const PICTURE_ID: u8 = 0x80;
    const TL0_INDEX: u8 = 0x40;
    const TEMPORAL: u8 = 0x20;
    let (first, rest) = payload.split_first()?;
    if first & EXTENDED == 0 {
        return None;
    }
    let (extensions, mut rest) = rest.split_first()?;
    if extensions & TEMPORAL == 0 {
        return None;
    }
    if extensions & PICTURE_ID != 0 {
        let long = rest.first()? & 0x80 != 0;
        rest = rest.get(1 + usize::from(long)..)?;
    }
    if extensions & TL0_INDEX != 0 {
        rest = rest.get(1..)?;
    }
    Some(rest.first()? >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_behind_every_mix_of_ids() {
        for (payload, layer) in [
            (&[0x90, 0xe0, 0x81, 0x02, 0x07, 0x60, 1, 2][..], Some(1)),
            (&[0x90, 0xe0, 0x01, 0x07, 0xa0, 1], Some(2)),
            (&[0x80, 0x20, 0x00], Some(0)),
            (&[0x80, 0x60, 0x07, 0x40], Some(1)),
            (&[0x90, 0x80, 0x81, 0x02, 1], None),
            (&[0x10, 0x00], None),
        ] {
            assert_eq!(vp8_temporal_layer(payload), layer, "{payload:?}");
        }
        let whole = [0x90, 0xe0, 0x81, 0x02, 0x07, 0x60];
        for cut in 0..whole.len() {
            assert_eq!(vp8_temporal_layer(&whole[..cut]), None);
        }
    }
}
