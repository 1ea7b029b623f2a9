//! str0m's codecs, payload types and header extensions against the wire's formats.

use std::sync::Arc;

use str0m::format::{Codec, PayloadParams};
use str0m::media::Pt;
use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};
use wire::Format;

const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// The payload types of one connection, in both directions.
#[derive(Debug)]
pub(crate) struct PayloadTypes {
    by_pt: [Option<Format>; 128],
}

impl PayloadTypes {
    pub(crate) fn new() -> Self {
        Self { by_pt: [None; 128] }
    }

    pub(crate) fn learn(&mut self, params: &[PayloadParams]) {
        self.by_pt = [None; 128];
        for p in params {
            let Some(format) = format(p) else { continue };
            if let Some(slot) = self.by_pt.get_mut(usize::from(*p.pt())) {
                *slot = Some(format);
            }
            if format == Format::Opus
                && let Some(red) = p.red()
                && let Some(slot) = self.by_pt.get_mut(usize::from(*red))
            {
                *slot = Some(Format::Red);
            }
        }
    }

    pub(crate) fn format(&self, pt: Pt) -> Option<Format> {
        self.by_pt.get(usize::from(*pt)).copied().flatten()
    }
}

/// The payload type under which an m-line with these payload types takes each format.
///
/// `remote` holds the m-line's payload types as str0m keeps them: primaries only.
pub(crate) fn sending_types(params: &[PayloadParams], remote: &[Pt]) -> Vec<(Format, Pt)> {
    let mut types: Vec<(Format, Pt)> = Vec::new();
    for p in params.iter().filter(|p| remote.contains(&p.pt())) {
        let Some(format) = format(p) else { continue };
        if !types.iter().any(|(f, _)| *f == format) {
            types.push((format, p.pt()));
        }
        if format == Format::Opus
            && let Some(red) = p.red()
        {
            types.push((Format::Red, red));
        }
    }
    types
}

fn format(params: &PayloadParams) -> Option<Format> {
    let spec = params.spec();
    let fmtp = spec.format;
    Some(match spec.codec {
        Codec::Opus => Format::Opus,
        Codec::PCMU => Format::Pcmu,
        Codec::PCMA => Format::Pcma,
        Codec::Vp8 => Format::Vp8,
        Codec::Vp9 => match fmtp.profile_id.unwrap_or(0) {
            0 => Format::Vp9Profile0,
            2 => Format::Vp9Profile2,
            _ => return None,
        },
        Codec::H264 => {
            let single = fmtp.packetization_mode.unwrap_or(0) == 0;
            match fmtp.profile_level_id.unwrap_or(0x42_e0_1f) >> 16 {
                0x42 if single => Format::H264BaselineMode0,
                0x42 => Format::H264Baseline,
                0x4d if !single => Format::H264Main,
                0x64 if !single => Format::H264High,
                _ => return None,
            }
        }
        Codec::H265 => Format::H265,
        Codec::Av1 => Format::Av1,
        _ => return None,
    })
}

/// The MIME type by which LiveKit calls a format.
pub(crate) fn mime(format: Format) -> &'static str {
    match format {
        Format::Opus => "audio/opus",
        Format::Red => "audio/red",
        Format::Pcmu => "audio/PCMU",
        Format::Pcma => "audio/PCMA",
        Format::Vp8 => "video/VP8",
        Format::Vp9Profile0 | Format::Vp9Profile2 => "video/VP9",
        Format::H264Baseline | Format::H264BaselineMode0 | Format::H264Main | Format::H264High => {
            "video/H264"
        }
        Format::H265 => "video/H265",
        Format::Av1 => "video/AV1",
        Format::Data => "application/octet-stream",
    }
}

/// RTP clock of a format, Hz.
pub(crate) fn clock(format: Format) -> u32 {
    match format {
        Format::Opus | Format::Red => 48_000,
        Format::Pcmu | Format::Pcma => 8_000,
        _ => 90_000,
    }
}

/// The header extensions that an edge takes and gives; ids are remapped to each client's offer.
pub(crate) fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    map.set(1, Extension::AudioLevel);
    map.set(2, Extension::AbsoluteSendTime);
    map.set(3, Extension::TransportSequenceNumber);
    map.set(4, Extension::RtpMid);
    map.set(5, Extension::AbsoluteCaptureTime);
    map.set(6, Extension::PlayoutDelay);
    map.set(
        8,
        Extension::with_serializer(DEPENDENCY_DESCRIPTOR, DependencyDescriptor),
    );
    map.set(10, Extension::RtpStreamId);
    map.set(11, Extension::RepairedRtpStreamId);
    map.set(13, Extension::VideoOrientation);
    map
}

/// Carries the dependency descriptor through as bytes.
#[derive(Debug)]
struct DependencyDescriptor;

/// The bytes of one packet's dependency descriptor.
#[derive(Clone, Debug)]
pub(crate) struct DescriptorBytes(pub(crate) Arc<[u8]>);

impl ExtensionSerializer for DependencyDescriptor {
    fn write_to(&self, buf: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(DescriptorBytes(bytes)) = values.user_values.get::<DescriptorBytes>() else {
            return 0;
        };
        let Some(space) = buf.get_mut(..bytes.len()) else {
            return 0;
        };
        space.copy_from_slice(bytes);
        bytes.len()
    }

    fn parse_value(&self, buf: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(DescriptorBytes(buf.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        match values.user_values.get::<DescriptorBytes>() {
            Some(DescriptorBytes(bytes)) => bytes.is_empty() || bytes.len() > 16,
            None => true,
        }
    }
}
