//! What a publisher sends: frames of the right shape and rhythm, each packet stamped with its place
//! and the moment it left.

use std::time::Duration;

use serde::Deserialize;
use str0m::media::MediaKind;

/// The stamp stands at the end of a payload: publisher, frame (4 bytes each), layer, place in the
/// frame, packets of the frame (1 each), nothing (1), nanoseconds (8).
pub(crate) const STAMP_BYTES: usize = 20;

const AUDIO_FRAME: Duration = Duration::from_millis(20);
const VIDEO_FRAME: Duration = Duration::from_nanos(33_333_333);

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Ord, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Opus-looking, 50 packets a second.
    Audio,
    /// VP8-looking, 30 frames a second, a key frame when asked for.
    Video,
    /// Data packets, as often as the spec says.
    Data,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Audio, Kind::Video, Kind::Data];

impl Kind {
    /// None: it has no m-line of its own.
    pub(crate) fn media(self) -> Option<MediaKind> {
        match self {
            Kind::Audio => Some(MediaKind::Audio),
            Kind::Video => Some(MediaKind::Video),
            Kind::Data => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
            Kind::Data => "data",
        }
    }
}

/// One quality of a video.
#[derive(Debug)]
pub(crate) struct Layer {
    /// As LiveKit's SDKs name it; None where there is only one.
    pub(crate) rid: Option<&'static str>,
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Payload bytes of each packet of a frame that is no key frame.
    pub(crate) delta: &'static [usize],
    /// Full packets of a key frame.
    pub(crate) key: usize,
}

const FULL: usize = 1_100;

/// 1.2 Mb/s.
const ALONE: [Layer; 1] = [layer(None, 640, 360, &[FULL, FULL, FULL, FULL, 600], 20)];

/// 150 kb/s, 500 kb/s and 1.7 Mb/s: what LiveKit's SDKs send of a 720p camera.
const SIMULCAST: [Layer; 3] = [
    layer(Some("q"), 320, 180, &[625], 3),
    layer(Some("h"), 640, 360, &[FULL, 983], 8),
    layer(
        Some("f"),
        1280,
        720,
        &[FULL, FULL, FULL, FULL, FULL, FULL, 483],
        20,
    ),
];

const fn layer(
    rid: Option<&'static str>,
    width: u16,
    height: u16,
    delta: &'static [usize],
    key: usize,
) -> Layer {
    Layer {
        rid,
        width,
        height,
        delta,
        key,
    }
}

impl Layer {
    /// Of what is sent thirty times a second, key frames aside.
    pub(crate) fn bits_per_s(&self) -> u32 {
        self.delta.iter().sum::<usize>() as u32 * 8 * 30
    }
}

/// What all sources of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Of an audio packet, without RTP header.
    pub(crate) payload_bytes: usize,
    pub(crate) data_bytes: usize,
    pub(crate) data_per_s: f64,
    pub(crate) reliable: bool,
    /// The lowest layer first.
    pub(crate) layers: &'static [Layer],
}

impl Shape {
    pub(crate) fn layers(count: usize) -> &'static [Layer] {
        match count {
            1 => &ALONE,
            more => &SIMULCAST[..more.min(SIMULCAST.len())],
        }
    }

    /// From one frame of a source to its next.
    pub(crate) fn frame(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Audio => AUDIO_FRAME,
            Kind::Video => VIDEO_FRAME,
            Kind::Data => Duration::from_secs_f64(1.0 / self.data_per_s),
        }
    }

    /// Packets of a frame of which nothing was seen.
    pub(crate) fn usual_packets(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Audio | Kind::Data => 1,
            Kind::Video => self.layers.last().map_or(1, |top| top.delta.len() as u64),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    pub(crate) frame: u32,
    pub(crate) layer: u8,
    /// The packet's place in its frame, and the packets of that.
    pub(crate) index: u8,
    pub(crate) of: u8,
    /// Nanoseconds since the run's epoch.
    pub(crate) at: u64,
}

impl Stamp {
    /// Into the last `STAMP_BYTES` of a payload, which must have them.
    pub(crate) fn write(self, payload: &mut [u8]) {
        let end = payload.len() - STAMP_BYTES;
        let place = &mut payload[end..];
        place[..4].copy_from_slice(&self.publisher.to_be_bytes());
        place[4..8].copy_from_slice(&self.frame.to_be_bytes());
        place[8..12].copy_from_slice(&[self.layer, self.index, self.of, 0]);
        place[12..].copy_from_slice(&self.at.to_be_bytes());
    }

    /// None: the payload is not one of ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Stamp> {
        let (rest, at) = payload.split_last_chunk::<8>()?;
        let (rest, &[layer, index, of, 0]) = rest.split_last_chunk::<4>()? else {
            return None;
        };
        let (rest, frame) = rest.split_last_chunk::<4>()?;
        let (_, publisher) = rest.split_last_chunk::<4>()?;
        Some(Stamp {
            publisher: u32::from_be_bytes(*publisher),
            frame: u32::from_be_bytes(*frame),
            layer,
            index,
            of,
            at: u64::from_be_bytes(*at),
        })
    }
}

/// A VP8 payload descriptor with picture id, TL0PICIDX and layer index (RFC 7741 section 4.2),
/// and in a frame's first packet the frame tag (RFC 6386 section 9.1).
pub(crate) fn vp8_header(
    payload: &mut [u8],
    picture: u16,
    first: bool,
    keyframe: bool,
    layer: &Layer,
) {
    payload[0] = if first { 0x90 } else { 0x80 };
    payload[1] = 0xe0;
    payload[2..4].copy_from_slice(&(picture | 0x8000).to_be_bytes());
    payload[4] = picture as u8;
    if !first {
        return;
    }
    payload[6] = if keyframe { 0x10 } else { 0x11 };
    if keyframe {
        payload[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
        payload[12..14].copy_from_slice(&layer.width.to_le_bytes());
        payload[14..16].copy_from_slice(&layer.height.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_written() {
        let stamp = Stamp {
            publisher: 3,
            frame: 70_000,
            layer: 2,
            index: 4,
            of: 7,
            at: 1 << 40,
        };
        let mut payload = vec![9; 100];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[79], 9);
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
    }

    #[test]
    fn layers_have_the_rates_of_the_sdks() {
        let rates = |count| -> Vec<u32> {
            let layers = Shape::layers(count).iter();
            layers.map(Layer::bits_per_s).collect()
        };
        assert_eq!(rates(1), [1_200_000]);
        assert_eq!(rates(2), [150_000, 499_920]);
        assert_eq!(rates(3), [150_000, 499_920, 1_699_920]);
    }
}
