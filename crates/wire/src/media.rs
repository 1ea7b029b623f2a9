//! One RTP packet of a stream, free of its connection: what edges and workers hand each other.

use std::sync::Arc;

/// The codec of a payload. Payload type numbers belong to one peer connection; this tag is the
/// same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Format {
    Opus = 1,
    /// RFC 2198 redundancy around Opus.
    Red = 2,
    Pcmu = 3,
    Pcma = 4,
    Vp8 = 10,
    Vp9Profile0 = 11,
    Vp9Profile2 = 12,
    /// Constrained baseline, packetization mode 1.
    H264Baseline = 20,
    /// Constrained baseline, packetization mode 0.
    H264BaselineMode0 = 21,
    H264Main = 22,
    H264High = 23,
    H265 = 30,
    Av1 = 40,
    /// A packet of a data track as its publisher sent it; of a stream of nothing else.
    Data = 50,
}

impl Format {
    /// Every format, in order of tag.
    pub const ALL: [Format; 14] = [
        Format::Opus,
        Format::Red,
        Format::Pcmu,
        Format::Pcma,
        Format::Vp8,
        Format::Vp9Profile0,
        Format::Vp9Profile2,
        Format::H264Baseline,
        Format::H264BaselineMode0,
        Format::H264Main,
        Format::H264High,
        Format::H265,
        Format::Av1,
        Format::Data,
    ];

    /// The format with this tag, if there is one.
    pub fn from_tag(tag: u8) -> Option<Format> {
        Self::ALL.into_iter().find(|f| *f as u8 == tag)
    }

    pub fn is_audio(self) -> bool {
        matches!(
            self,
            Format::Opus | Format::Red | Format::Pcmu | Format::Pcma
        )
    }
}

/// One RTP packet of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPacket {
    pub format: Format,
    /// The publisher's sequence number, extended beyond 16 bits.
    pub sequence: u64,
    /// The publisher's RTP timestamp, in the format's clock.
    pub timestamp: u32,
    pub marker: bool,
    /// Whether this packet begins a frame that can be decoded without any before it.
    pub keyframe: bool,
    /// RFC 6464 level, in -dBov: 0 is loudest, 127 silence.
    pub audio_level: Option<u8>,
    pub voice_activity: Option<bool>,
    /// Clockwise rotation in quarter turns, 0 to 3 (3GPP TS 26.114 CVO).
    pub orientation: Option<u8>,
    /// RTP header extension absolute-capture-time, as NTP 32.32 fixed point.
    pub absolute_capture_time: Option<u64>,
    /// Dependency descriptor extension, uninterpreted.
    pub dependency_descriptor: Option<Arc<[u8]>>,
    pub payload: Arc<[u8]>,
}
