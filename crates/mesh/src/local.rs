//! A local publisher's stream as the mesh carries it: its tag, and the class of each packet.

use wire::{Class, Format, MediaPacket, vp8_temporal_layer};

use crate::protection::Copies;

/// What is known of a local stream.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) tag: u32,
    pub(crate) copies: Copies,
    base: bool,
    /// RTP timestamp of the latest keyframe.
    keyframe: Option<u32>,
}

impl Local {
    pub(crate) fn new(tag: u32, base: bool) -> Local {
        let keyframe = None;
        Local {
            tag,
            copies: Copies::default(),
            base,
            keyframe,
        }
    }

    /// The class of a packet: of a video, keyframes and the base are what the picture can't do
    /// without. Of a VP8 base, that is its lowest temporal layer; other codecs do not say it as
    /// cheaply, so there it is the whole stream.
    pub(crate) fn class(&mut self, packet: &MediaPacket) -> Class {
        if packet.format.is_audio() {
            return Class::Audio;
        }
        if packet.keyframe {
            self.keyframe = Some(packet.timestamp);
        }
        if self.keyframe == Some(packet.timestamp) {
            return Class::Base;
        }
        let upper = || {
            packet.format == Format::Vp8
                && vp8_temporal_layer(&packet.payload).is_some_and(|layer| layer > 0)
        };
        if self.base && !upper() {
            Class::Base
        } else {
            Class::Rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(format: Format, timestamp: u32, keyframe: bool, payload: &[u8]) -> MediaPacket {
        MediaPacket {
            format,
            sequence: 1,
            timestamp,
            marker: false,
            keyframe,
            audio_level: None,
            voice_activity: None,
            orientation: None,
            absolute_capture_time: None,
            dependency_descriptor: None,
            payload: payload.into(),
        }
    }

    #[test]
    fn keyframes_to_their_last_packet_and_the_base_are_protected() {
        let mut audio = Local::new(0, true);
        assert_eq!(
            audio.class(&packet(Format::Red, 1, false, &[])),
            Class::Audio
        );
        let mut data = Local::new(0, false);
        assert_eq!(
            data.class(&packet(Format::Data, 0, false, &[])),
            Class::Rest
        );
        for base in [false, true] {
            let mut video = Local::new(0, base);
            let mut class = |timestamp, keyframe, payload| {
                video.class(&packet(Format::Vp8, timestamp, keyframe, payload))
            };
            let usual = if base { Class::Base } else { Class::Rest };
            assert_eq!(class(1, false, &[]), usual);
            assert_eq!(class(2, true, &[]), Class::Base);
            assert_eq!(class(2, false, &[]), Class::Base);
            assert_eq!(class(3, false, &[]), usual);
            assert_eq!(
                class(3, false, &[0x80, 0x20, 0x40]),
                Class::Rest,
                "second layer"
            );
            assert_eq!(class(3, false, &[0x80, 0x20, 0x00]), usual);
        }
    }
}
