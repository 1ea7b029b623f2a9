//! VP9's payload descriptor (RFC 9628 section 4.2), as far as layers go.

/// What a payload says of its frame; one picture has a frame of each spatial layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vp9Layer {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// This temporal layer may be gone up to here (U, as encoders set it).
    pub(crate) up: bool,
    /// First and last packet of the frame (B, E).
    pub(crate) begins: bool,
    pub(crate) ends: bool,
}

/// Read the layer. What can't be read, or has none, is of the base layer.
pub(crate) fn layer(payload: &[u8]) -> Vp9Layer {
    let Some((flags, rest)) = payload.split_first() else {
        return Vp9Layer::default();
    };
    let mut layer = Vp9Layer {
        begins: flags & 0x08 != 0,
        ends: flags & 0x04 != 0,
        ..Default::default()
    };
    let (picture_id, layered) = (flags & 0x80 != 0, flags & 0x20 != 0);
    let long = picture_id && rest.first().is_some_and(|id| id & 0x80 != 0);
    let at = usize::from(picture_id) + usize::from(long);
    if let Some(octet) = rest.get(at).filter(|_| layered) {
        layer.temporal = octet >> 5;
        layer.up = octet & 0x10 != 0;
        layer.spatial = octet >> 1 & 0x07;
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spatial_and_temporal_layers_are_read() {
        // I, P, L, B | 15-bit id | TID 2, U, SID 1 | TL0PICIDX
        let payload = [0xe8, 0x81, 0x02, 0x52, 0x07, 0];
        let expected = Vp9Layer {
            spatial: 1,
            temporal: 2,
            up: true,
            begins: true,
            ends: false,
        };
        assert_eq!(layer(&payload), expected);
        let short = [0xa4, 0x11, 0x04];
        assert_eq!((layer(&short).spatial, layer(&short).temporal), (2, 0));
        assert!(layer(&short).ends);
        for end in 0..payload.len() {
            layer(&payload[..end]);
        }
    }
}
