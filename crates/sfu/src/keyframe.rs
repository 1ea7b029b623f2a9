//! Whether a video payload begins a keyframe.

use wire::Format;

/// Whether this RTP payload is the first of a frame that needs no other frame.
///
/// Reads VP8 (RFC 7741), VP9 (RFC 9628), H.264 (RFC 6184), H.265 (RFC 7798) and AV1 (its RTP
/// specification, section 4.4) only as far as that needs. Anything unreadable is no keyframe.
pub(crate) fn starts_keyframe(format: Format, payload: &[u8]) -> bool {
    match format {
        Format::Vp8 => vp8(payload),
        Format::Vp9Profile0 | Format::Vp9Profile2 => vp9(payload),
        Format::H264Baseline | Format::H264BaselineMode0 | Format::H264Main | Format::H264High => {
            h264(payload)
        }
        Format::H265 => h265(payload),
        Format::Av1 => av1(payload),
        Format::Opus | Format::Red | Format::Pcmu | Format::Pcma | Format::Data => false,
    }
}

fn vp8(payload: &[u8]) -> bool {
    str0m::rtp::Vp8Descriptor::parse(payload).is_ok_and(|d| d.starts_keyframe(payload))
}

fn vp9(payload: &[u8]) -> bool {
    let Some(&flags) = payload.first() else {
        return false;
    };
    let (picture_id, predicted, layered) = (flags & 0x80, flags & 0x40, flags & 0x20);
    let begins = flags & 0x08;
    if predicted != 0 || begins == 0 {
        return false;
    }
    if layered == 0 {
        return true;
    }
    let mut at = 1;
    if picture_id != 0 {
        let Some(&id) = payload.get(at) else {
            return false;
        };
        at += if id & 0x80 != 0 { 2 } else { 1 };
    }
    // Spatial layer id: bits 1 to 3 of the layer byte. Only the base layer starts a keyframe.
    payload.get(at).is_some_and(|layer| layer & 0x0e == 0)
}

fn h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let is_key = |kind: u8| kind == IDR || kind == SPS;
    let Some(&first) = payload.first() else {
        return false;
    };
    match first & 0x1f {
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, body @ ..] = rest {
                let size = usize::from(u16::from_be_bytes([*high, *low]));
                if body.first().is_some_and(|nal| is_key(nal & 0x1f)) {
                    return true;
                }
                let Some(next) = body.get(size..) else {
                    return false;
                };
                rest = next;
            }
            false
        }
        FU_A => payload
            .get(1)
            .is_some_and(|fu| fu & 0x80 != 0 && is_key(fu & 0x1f)),
        kind => is_key(kind),
    }
}

fn h265(payload: &[u8]) -> bool {
    const AGGREGATION: u8 = 48;
    const FRAGMENT: u8 = 49;
    // IRAP pictures are 16 to 23; parameter sets 32 to 34 come right before one.
    let is_key = |kind: u8| (16..=23).contains(&kind) || (32..=34).contains(&kind);
    let Some(&first) = payload.first() else {
        return false;
    };
    match (first >> 1) & 0x3f {
        AGGREGATION => payload.get(4).is_some_and(|nal| is_key((nal >> 1) & 0x3f)),
        FRAGMENT => payload
            .get(2)
            .is_some_and(|fu| fu & 0x80 != 0 && is_key(fu & 0x3f)),
        kind => is_key(kind),
    }
}

fn av1(payload: &[u8]) -> bool {
    // N: first packet of a new coded video sequence; Z: continues an OBU of the packet before.
    payload
        .first()
        .is_some_and(|header| header & 0x08 != 0 && header & 0x80 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_first_packet_of_a_keyframe() {
        assert!(starts_keyframe(Format::Vp8, &[0x10, 0x00, 0, 0]));
        assert!(!starts_keyframe(Format::Vp8, &[0x10, 0x01, 0, 0]));
        assert!(!starts_keyframe(Format::Vp8, &[0x00, 0x00, 0, 0]));
    }

    #[test]
    fn vp9_base_layer_only() {
        assert!(starts_keyframe(Format::Vp9Profile0, &[0x08]));
        assert!(!starts_keyframe(Format::Vp9Profile0, &[0x48]));
        assert!(starts_keyframe(
            Format::Vp9Profile0,
            &[0xa8, 0x81, 0x02, 0x00]
        ));
        assert!(!starts_keyframe(Format::Vp9Profile0, &[0xa8, 0x01, 0x02]));
    }

    #[test]
    fn h264_alone_aggregated_and_fragmented() {
        assert!(starts_keyframe(Format::H264Baseline, &[0x65]));
        assert!(!starts_keyframe(Format::H264Baseline, &[0x41]));
        assert!(starts_keyframe(
            Format::H264Baseline,
            &[0x18, 0, 1, 0x06, 0, 1, 0x67]
        ));
        assert!(starts_keyframe(Format::H264Baseline, &[0x7c, 0x85]));
        assert!(!starts_keyframe(Format::H264Baseline, &[0x7c, 0x05]));
    }

    #[test]
    fn av1_and_h265() {
        assert!(starts_keyframe(Format::Av1, &[0x18]));
        assert!(!starts_keyframe(Format::Av1, &[0x10]));
        assert!(starts_keyframe(Format::H265, &[0x40, 0x01]));
        assert!(!starts_keyframe(Format::H265, &[0x02, 0x01]));
    }

    #[test]
    fn every_truncation_is_no_panic() {
        let bytes = [0x18, 0xff, 0xff, 0xb0, 0x80, 0xff, 0x62, 0x7c, 0x61, 0x31];
        for format in Format::ALL {
            for from in 0..bytes.len() {
                for to in from..=bytes.len() {
                    starts_keyframe(format, &bytes[from..to]);
                }
            }
        }
    }
}
