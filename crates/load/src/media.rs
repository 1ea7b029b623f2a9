//! What a publisher sends: packets of the right shape and rate, each stamped with its number and
//! the moment it left.

use std::time::{Duration, Instant};

use serde::Deserialize;
use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid};
use str0m::rtp::{ExtensionValues, RtpWrite};

/// The stamp stands at the end of a payload: publisher, number (4 bytes each), nanoseconds (8).
pub(crate) const STAMP_BYTES: usize = 16;

const AUDIO_FRAME: Duration = Duration::from_millis(20);
const VIDEO_FRAME: Duration = Duration::from_nanos(33_333_333);

/// 30 of these a second are 1.2 Mb/s.
const DELTA_PACKETS: [usize; 5] = [1_100, 1_100, 1_100, 1_100, 600];
const KEY_PACKETS: [usize; 20] = [1_100; 20];

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Opus-looking, 50 packets a second.
    Audio,
    /// VP8-looking, 30 frames a second, a key frame when asked for.
    Video,
}

impl Kind {
    pub(crate) fn media(self) -> MediaKind {
        match self {
            Kind::Audio => MediaKind::Audio,
            Kind::Video => MediaKind::Video,
        }
    }

    fn frame(self) -> Duration {
        match self {
            Kind::Audio => AUDIO_FRAME,
            Kind::Video => VIDEO_FRAME,
        }
    }

    fn codec(self) -> Codec {
        match self {
            Kind::Audio => Codec::Opus,
            Kind::Video => Codec::Vp8,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    pub(crate) number: u32,
    /// Nanoseconds since the run's epoch.
    pub(crate) at: u64,
}

impl Stamp {
    fn write(self, payload: &mut [u8]) {
        let end = payload.len() - STAMP_BYTES;
        let place = &mut payload[end..];
        place[..4].copy_from_slice(&self.publisher.to_be_bytes());
        place[4..8].copy_from_slice(&self.number.to_be_bytes());
        place[8..].copy_from_slice(&self.at.to_be_bytes());
    }

    /// None: the payload is too short to be ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Stamp> {
        let stamp = payload.last_chunk::<STAMP_BYTES>()?;
        let number = |from: usize| {
            u32::from_be_bytes([
                stamp[from],
                stamp[from + 1],
                stamp[from + 2],
                stamp[from + 3],
            ])
        };
        Some(Stamp {
            publisher: number(0),
            number: number(4),
            at: u64::from(number(8)) << 32 | u64::from(number(12)),
        })
    }
}

/// One published track.
#[derive(Debug)]
pub(crate) struct Source {
    publisher: u32,
    kind: Kind,
    payload_bytes: usize,
    /// The number of the next packet.
    pub(crate) number: u32,
    frames: u64,
    keyframe: bool,
    /// None: silent.
    started: Option<Instant>,
}

impl Source {
    pub(crate) fn new(publisher: u32, kind: Kind, payload_bytes: usize) -> Source {
        Source {
            publisher,
            kind,
            payload_bytes,
            number: 0,
            frames: 0,
            keyframe: true,
            started: None,
        }
    }

    /// Begins to speak; `share` of a frame later, so that publishers do not speak in step.
    pub(crate) fn start(&mut self, now: Instant, share: f64) {
        self.started = Some(now + self.kind.frame().mul_f64(share));
    }

    pub(crate) fn ask_keyframe(&mut self) {
        self.keyframe = true;
    }

    /// When the next frame is due; None while silent.
    pub(crate) fn due(&self) -> Option<Instant> {
        let frames = u32::try_from(self.frames).unwrap_or(u32::MAX);
        self.started.map(|start| start + self.kind.frame() * frames)
    }

    /// Sends one frame. Its packets leave when the connection is drained.
    pub(crate) fn write(&mut self, now: Instant, epoch: Instant, rtc: &mut Rtc, mid: Mid) {
        let kind = self.kind;
        let codec = rtc
            .codec_config()
            .find(|one| one.spec().codec == kind.codec());
        let Some(pt) = codec.map(|one| one.pt()) else {
            return;
        };
        let mut api = rtc.direct_api();
        let Some(tx) = api.stream_tx_by_mid(mid, None) else {
            return;
        };
        let sizes: &[usize] = match kind {
            Kind::Audio => &[self.payload_bytes],
            Kind::Video if self.keyframe => &KEY_PACKETS,
            Kind::Video => &DELTA_PACKETS,
        };
        let ticks: u64 = if kind == Kind::Audio { 960 } else { 3_000 };
        let time = (self.frames * ticks) as u32;
        for (at, &size) in sizes.iter().enumerate() {
            let mut payload = vec![0; size];
            if kind == Kind::Video {
                vp8_header(&mut payload, self.frames as u16, at == 0, self.keyframe);
            }
            let stamp = Stamp {
                publisher: self.publisher,
                number: self.number,
                at: (now - epoch).as_nanos() as u64,
            };
            stamp.write(&mut payload);
            let values = ExtensionValues {
                mid: Some(mid),
                audio_level: (kind == Kind::Audio).then_some(-20),
                voice_activity: (kind == Kind::Audio).then_some(true),
                ..Default::default()
            };
            let packet = RtpWrite::new(pt, u64::from(self.number).into(), time, now, payload)
                .marker(kind == Kind::Video && at + 1 == sizes.len())
                .nackable(true)
                .ext_vals(values);
            tx.write_rtp(packet);
            self.number += 1;
        }
        self.frames += 1;
        self.keyframe = false;
    }
}

/// A VP8 payload descriptor with picture id, TL0PICIDX and layer index (RFC 7741 section 4.2),
/// and in a frame's first packet the frame tag (RFC 6386 section 9.1).
fn vp8_header(payload: &mut [u8], picture: u16, first: bool, keyframe: bool) {
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
        payload[12..14].copy_from_slice(&640_u16.to_le_bytes());
        payload[14..16].copy_from_slice(&360_u16.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_written() {
        let stamp = Stamp {
            publisher: 3,
            number: 70_000,
            at: 1 << 40,
        };
        let mut payload = vec![9; 100];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[83], 9);
        assert_eq!(Stamp::read(&payload[..15]), None);
    }

    #[test]
    fn frames_are_due_on_time_whatever_the_load() {
        let now = Instant::now();
        let mut source = Source::new(0, Kind::Audio, 100);
        assert_eq!(source.due(), None);
        source.start(now, 0.5);
        source.frames = 10;
        assert_eq!(source.due(), Some(now + Duration::from_millis(210)));
    }

    #[test]
    fn delta_frames_make_1200_kbit_a_second() {
        assert_eq!(DELTA_PACKETS.iter().sum::<usize>() * 8 * 30, 1_200_000);
    }
}
