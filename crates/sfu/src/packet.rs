//! str0m's RTP packets against the wire's: header fields and extensions, both ways.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use str0m::rtp::{AbsCaptureTime, ExtensionValues, RtpPacket, VideoOrientation};
use wire::{Format, MediaPacket};

use crate::codec::DescriptorBytes;
use crate::descriptor;
use crate::keyframe::starts_keyframe;

/// The length and the mark at the end of a packet trailer.
const TRAILER_END: usize = 5;
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// What goes on from a packet of a client's.
pub(crate) fn media_packet(format: Format, rtp: RtpPacket) -> MediaPacket {
    let values = &rtp.header.ext_vals;
    let descriptor = values.user_values.get::<DescriptorBytes>();
    MediaPacket {
        format,
        sequence: *rtp.seq_no,
        timestamp: rtp.header.timestamp,
        marker: rtp.header.marker,
        keyframe: starts_keyframe(format, &rtp.payload)
            || descriptor.is_some_and(|d| descriptor::starts_keyframe(&d.0)),
        audio_level: values.audio_level.map(i8::unsigned_abs),
        voice_activity: values.voice_activity,
        orientation: values.video_orientation.map(|o| o as u8),
        absolute_capture_time: values.abs_capture_time.and_then(ntp),
        dependency_descriptor: descriptor.map(|d| Arc::clone(&d.0)),
        payload: rtp.payload,
    }
}

/// The last payload of a picture without what its publisher appended to it for other clients, None if
/// nothing was: (type, length, value)s, the XORed length of all, and a mark (LiveKit's packet trailers).
pub(crate) fn without_trailer(payload: &[u8]) -> Option<&[u8]> {
    let [.., length, b'L', b'K', b'T', b'S'] = payload else {
        return None;
    };
    let length = usize::from(length ^ 0xff);
    let kept = payload.len().checked_sub(length)?;
    (length >= TRAILER_END && kept > 0).then(|| &payload[..kept])
}

/// The header extensions of a packet for a client.
pub(crate) fn extension_values(packet: &MediaPacket) -> ExtensionValues {
    let mut values = ExtensionValues {
        audio_level: packet.audio_level.map(|l| -(l.min(127) as i8)),
        voice_activity: packet.voice_activity,
        video_orientation: packet.orientation.map(VideoOrientation::from),
        abs_capture_time: packet.absolute_capture_time.and_then(unix),
        ..Default::default()
    };
    if let Some(descriptor) = &packet.dependency_descriptor {
        values
            .user_values
            .set(DescriptorBytes(Arc::clone(descriptor)));
    }
    values
}

/// Ask the client to let pictures wait so long, at least and at most, before it shows them.
pub(crate) fn set_playout(values: &mut ExtensionValues, (least, most): (Duration, Duration)) {
    values.play_delay_min = Some(least.into());
    values.play_delay_max = Some(most.into());
}

/// Capture time as NTP 32.32 fixed point.
fn ntp(time: AbsCaptureTime) -> Option<u64> {
    let since = time
        .capture_time
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    Some((since.as_secs() + NTP_TO_UNIX) << 32 | fraction)
}

fn unix(ntp: u64) -> Option<AbsCaptureTime> {
    let seconds = (ntp >> 32).checked_sub(NTP_TO_UNIX)?;
    let nanos = ((ntp & 0xffff_ffff) * 1_000_000_000) >> 32;
    let since = Duration::new(seconds, nanos as u32);
    Some(AbsCaptureTime {
        capture_time: SystemTime::UNIX_EPOCH.checked_add(since)?,
        clock_offset: None,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A packet of sound, 20 ms after the one before it.
    pub(crate) fn sound(format: Format, sequence: u64, payload: &[u8]) -> MediaPacket {
        MediaPacket {
            format,
            sequence,
            timestamp: sequence as u32 * 960,
            marker: false,
            keyframe: false,
            audio_level: Some(20),
            voice_activity: Some(true),
            orientation: None,
            absolute_capture_time: None,
            dependency_descriptor: None,
            payload: payload.into(),
        }
    }

    #[test]
    fn a_trailer_is_found_at_the_end() {
        let end = |length: u8| [&[1, 2, 3, 4][..], &[!length, b'L', b'K', b'T', b'S']].concat();
        assert_eq!(without_trailer(&end(5)), Some(&[1, 2, 3, 4][..]));
        assert_eq!(without_trailer(&end(8)), Some(&[1][..]));
        for wrong in [0, 4, 9, 10, 255] {
            assert_eq!(without_trailer(&end(wrong)), None, "{wrong}");
        }
        assert_eq!(without_trailer(b"LKTS"), None);
        assert_eq!(without_trailer(&[]), None);
        assert_eq!(without_trailer(&end(5)[..8]), None);
    }
}
