//! Which packets of a stream one subscriber gets: layers are dropped at once and entered only
//! where nothing that was dropped is missed.

use wire::MediaPacket;

use crate::layering::{LayerId, View};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passes {
    /// With this marker: the last packet of what the subscriber gets of a picture has it.
    With(bool),
    No,
}

/// The layers of one stream that one subscriber gets.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    current: LayerId,
    /// Entered with the next picture.
    opened: u8,
    target: LayerId,
    /// Timestamp of the newest picture.
    picture: Option<u32>,
}

impl Filter {
    /// Begin with a keyframe: every spatial layer may be entered, of the temporal ones the base.
    pub(crate) fn start(&mut self, target: LayerId, packet: &MediaPacket) {
        *self = Self {
            current: LayerId {
                spatial: target.spatial,
                temporal: 0,
            },
            opened: 0,
            target,
            picture: Some(packet.timestamp),
        };
    }

    /// Aim at these layers from the next picture on.
    pub(crate) fn aim(&mut self, target: LayerId) {
        self.target = target;
    }

    /// Whether a keyframe would bring more than what is shown.
    pub(crate) fn waits_for_keyframe(&self) -> bool {
        self.target.spatial > self.current.spatial
    }

    /// Decide on a packet of the stream.
    pub(crate) fn decide(&mut self, packet: &MediaPacket, view: View) -> Passes {
        let before = self.picture.unwrap_or(packet.timestamp);
        let ahead = packet.timestamp.wrapping_sub(before);
        let newer = ahead != 0 && ahead < 1 << 31;
        if newer {
            self.picture = Some(packet.timestamp);
            self.next_picture();
        }
        if packet.keyframe && ahead < 1 << 31 {
            self.current.spatial = self.target.spatial;
        }
        let LayerId { spatial, temporal } = view.layer;
        let wanted = temporal <= self.target.temporal;
        if view.enters && view.begins && wanted && temporal == self.current.temporal + 1 {
            self.current.temporal = temporal;
            self.opened = self.opened.max(temporal);
        }
        if spatial > self.current.spatial || temporal > self.current.temporal {
            return Passes::No;
        }
        self.opened = self.opened.max(view.opens);
        let last = view.ends && spatial == self.current.spatial;
        Passes::With(packet.marker || last)
    }

    fn next_picture(&mut self) {
        let (current, target) = (&mut self.current, self.target);
        current.spatial = current.spatial.min(target.spatial);
        let reached = current.temporal.max(self.opened);
        current.temporal = reached.min(target.temporal);
        self.opened = 0;
    }
}

#[cfg(test)]
mod tests {
    use wire::Format;

    use super::*;
    use crate::descriptor::samples::{keyframe, plain};
    use crate::layering::Layering;
    use crate::layering::samples::{described, packet};

    const fn id(spatial: u8, temporal: u8) -> LayerId {
        LayerId { spatial, temporal }
    }

    /// VP8 with the usual four-picture pattern: 0, 2, 1, 2; upper pictures with or without Y.
    fn vp8(picture: u32) -> MediaPacket {
        let (temporal, sync) = [(0, false), (2, true), (1, true), (2, false)][picture as usize % 4];
        let octet = temporal << 6 | u8::from(sync) << 5;
        let mut packet = packet(Format::Vp8, u64::from(picture), picture);
        packet.keyframe = picture == 0;
        packet.payload = vec![0x90, 0xe0, 0x80, picture as u8, 0, octet, 1, 0].into();
        packet
    }

    /// The pictures that pass, of those in the range.
    fn pass(filter: &mut Filter, layering: &mut Layering, range: std::ops::Range<u32>) -> Vec<u32> {
        let passes = |picture: &u32| {
            let packet = vp8(*picture);
            filter.decide(&packet, layering.read(&packet)) != Passes::No
        };
        range.filter(passes).collect()
    }

    #[test]
    fn temporal_layers_go_at_once_and_come_back_where_nothing_is_missed() {
        let (mut filter, mut layering) = (Filter::default(), Layering::default());
        filter.start(LayerId::ALL, &vp8(0));
        // The first picture of layer 2 comes before layer 1 was entered: it has to wait.
        assert_eq!(pass(&mut filter, &mut layering, 0..8), [0, 2, 4, 5, 6, 7]);
        filter.aim(id(0, 0));
        assert_eq!(pass(&mut filter, &mut layering, 8..16), [8, 12]);
        filter.aim(id(0, 1));
        assert_eq!(pass(&mut filter, &mut layering, 16..24), [16, 18, 20, 22]);
    }

    /// All frames of one picture of three spatial layers with temporal layers 0, 2, 1, 2.
    fn svc(picture: u32) -> Vec<MediaPacket> {
        let temporal = [0, 2, 1, 2][picture as usize % 4];
        let frames = (0..3u32).map(|spatial| {
            let number = picture * 3 + spatial;
            let bytes = match (picture, spatial) {
                (0 | 8, 0) => {
                    let mut bytes = keyframe(3, 3, number as u16);
                    bytes[0] |= 0x40;
                    bytes
                }
                _ => plain(true, true, (spatial * 3 + temporal) as u8, number as u16),
            };
            let mut packet = described(u64::from(number), picture, &bytes);
            packet.marker = spatial == 2;
            packet
        });
        frames.collect()
    }

    /// (picture, spatial layer, marker) of what passes.
    fn pass_svc(
        filter: &mut Filter,
        layering: &mut Layering,
        range: std::ops::Range<u32>,
    ) -> Vec<(u32, u8, bool)> {
        let mut passed = Vec::new();
        for picture in range {
            for packet in svc(picture) {
                let view = layering.read(&packet);
                if let Passes::With(marker) = filter.decide(&packet, view) {
                    passed.push((picture, view.layer.spatial, marker));
                }
            }
        }
        passed
    }

    #[test]
    fn a_spatial_layer_is_left_at_once_and_entered_at_a_keyframe() {
        let (mut filter, mut layering) = (Filter::default(), Layering::default());
        filter.start(id(1, 0), &svc(0)[0]);
        let passed = pass_svc(&mut filter, &mut layering, 0..5);
        let expected = [(0, 0, false), (0, 1, true), (4, 0, false), (4, 1, true)];
        assert_eq!(passed, expected, "the marker moves to the last frame sent");
        filter.aim(id(0, 0));
        assert_eq!(pass_svc(&mut filter, &mut layering, 5..6), []);
        filter.aim(id(2, 0));
        assert!(filter.waits_for_keyframe());
        let passed = pass_svc(&mut filter, &mut layering, 6..9);
        let expected = [(8, 0, false), (8, 1, false), (8, 2, true)];
        assert_eq!(passed, expected);
        assert!(!filter.waits_for_keyframe());
    }

    #[test]
    fn a_described_frame_opens_the_layers_above_for_the_next_picture() {
        let (mut filter, mut layering) = (Filter::default(), Layering::default());
        filter.start(id(0, 0), &svc(0)[0]);
        pass_svc(&mut filter, &mut layering, 0..1);
        filter.aim(id(0, 2));
        let passed = pass_svc(&mut filter, &mut layering, 1..8);
        let pictures: Vec<u32> = passed.iter().map(|p| p.0).collect();
        assert_eq!(pictures, [1, 2, 3, 4, 5, 6, 7]);
    }
}
