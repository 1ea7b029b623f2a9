//! Which layer each packet of a stream belongs to, whatever the codec says it with.

use wire::{Format, MediaPacket};

use crate::descriptor::{self, Structure};
use crate::{vp8, vp9};

/// Layers that are told apart; what is above counts as the top one.
pub(crate) const MAX_LAYERS: usize = 4;
const TOP: u8 = MAX_LAYERS as u8 - 1;

/// A layer of a stream, or the best that a subscriber gets: both numbers count from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerId {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

impl LayerId {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        spatial: TOP,
        temporal: TOP,
    };
}

/// What one packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) layer: LayerId,
    /// First and last packet of its frame.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    /// Its temporal layer may be entered with this very frame.
    pub(crate) enters: bool,
    /// Up to this temporal layer may be entered after this frame.
    pub(crate) opens: u8,
}

/// Reads the packets of one stream.
#[derive(Debug, Default)]
pub(crate) struct Layering {
    structure: Option<Structure>,
}

impl Layering {
    /// What a packet is. H.264 and H.265 without a dependency descriptor have one layer.
    pub(crate) fn read(&mut self, packet: &MediaPacket) -> View {
        let mut view = self.described(packet).unwrap_or_else(|| payload(packet));
        view.layer.spatial = view.layer.spatial.min(TOP);
        view.layer.temporal = view.layer.temporal.min(TOP);
        view
    }

    fn described(&mut self, packet: &MediaPacket) -> Option<View> {
        let bytes = packet.dependency_descriptor.as_ref()?;
        let frame = descriptor::read(bytes, &mut self.structure)?;
        Some(View {
            layer: LayerId {
                spatial: frame.spatial,
                temporal: frame.temporal,
            },
            begins: frame.begins,
            ends: frame.ends,
            enters: false,
            opens: frame.opens,
        })
    }
}

fn payload(packet: &MediaPacket) -> View {
    match packet.format {
        Format::Vp8 => {
            let read = vp8::layer(&packet.payload);
            View {
                layer: LayerId {
                    spatial: 0,
                    temporal: read.temporal,
                },
                begins: read.begins,
                ends: packet.marker,
                enters: read.sync,
                ..View::default()
            }
        }
        Format::Vp9Profile0 | Format::Vp9Profile2 => {
            let read = vp9::layer(&packet.payload);
            View {
                layer: LayerId {
                    spatial: read.spatial,
                    temporal: read.temporal,
                },
                begins: read.begins,
                ends: read.ends,
                enters: read.up,
                opens: 0,
            }
        }
        _ => View {
            begins: packet.keyframe,
            ends: packet.marker,
            ..View::default()
        },
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use std::sync::Arc;

    use wire::{Format, MediaPacket};

    /// A packet of picture `picture`, 30 of which make a second.
    pub(crate) fn packet(format: Format, sequence: u64, picture: u32) -> MediaPacket {
        MediaPacket {
            format,
            sequence,
            timestamp: picture * 3_000,
            marker: true,
            keyframe: false,
            audio_level: None,
            voice_activity: None,
            orientation: None,
            absolute_capture_time: None,
            dependency_descriptor: None,
            payload: [0u8; 4].as_slice().into(),
        }
    }

    /// The same with a dependency descriptor.
    pub(crate) fn described(sequence: u64, picture: u32, descriptor: &[u8]) -> MediaPacket {
        MediaPacket {
            dependency_descriptor: Some(Arc::from(descriptor)),
            keyframe: crate::descriptor::starts_keyframe(descriptor),
            marker: false,
            ..packet(Format::Av1, sequence, picture)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{described, packet};
    use super::*;
    use crate::descriptor::samples::{keyframe, plain};

    #[test]
    fn a_descriptor_says_it_for_any_codec() {
        let mut layering = Layering::default();
        let first = layering.read(&described(1, 0, &keyframe(2, 2, 0)));
        assert!(first.begins && first.opens == 1);
        let upper = layering.read(&described(2, 0, &plain(true, true, 2, 1)));
        assert_eq!(upper.layer.spatial, 1);
        let later = layering.read(&described(3, 1, &plain(true, true, 3, 2)));
        assert_eq!((later.layer.spatial, later.layer.temporal), (1, 1));
    }

    #[test]
    fn a_codec_without_layers_has_one() {
        let mut layering = Layering::default();
        let view = layering.read(&packet(Format::H264Baseline, 1, 0));
        assert_eq!(view.layer, LayerId::default());
    }
}
