//! One published track, or one sender of data: writes its frames when they are due.

use std::time::{Duration, Instant};

use livekit_protocol as proto;
use prost::Message as _;
use str0m::Rtc;
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpWrite};

use crate::media::{Kind, Layer, Shape, Stamp, vp8_header};
use crate::stage::Stage;
use crate::tally::Tally;

pub(crate) struct Source {
    pub(crate) publisher: u32,
    pub(crate) kind: Kind,
    shape: Shape,
    pub(crate) mid: Option<Mid>,
    pub(crate) channel: Option<ChannelId>,
    /// The next frame.
    frame: u32,
    layers: Vec<Sending>,
}

/// Of one layer.
struct Sending {
    layer: &'static Layer,
    /// The number of its next RTP packet.
    sequence: u64,
    keyframe: bool,
}

impl Source {
    pub(crate) fn new(publisher: u32, kind: Kind, shape: &Shape) -> Source {
        let sending = |layer| Sending {
            layer,
            sequence: 0,
            keyframe: true,
        };
        // Of audio only the one numbering is used.
        let layers = match kind {
            Kind::Video => shape.layers,
            Kind::Audio | Kind::Data => Shape::layers(1),
        };
        Source {
            publisher,
            kind,
            shape: shape.clone(),
            mid: None,
            channel: None,
            frame: 0,
            layers: layers.iter().map(sending).collect(),
        }
    }

    /// Of all layers, if it isn't said of which.
    pub(crate) fn ask_keyframe(&mut self, rid: Option<Rid>) {
        for one in &mut self.layers {
            let named = rid.is_none_or(|rid| one.layer.rid.is_none_or(|own| rid == Rid::from(own)));
            one.keyframe |= named;
        }
    }

    /// When the next frame is due; None while silent.
    pub(crate) fn due(&self, stage: &Stage) -> Option<Instant> {
        let due = stage.due(self.publisher, self.frame)?;
        Some(stage.epoch + Duration::from_nanos(due))
    }

    /// Sends one frame. Its packets leave when the connection is drained.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        stage: &Stage,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let at = stage.nanos(now);
        let due = stage.due(self.publisher, self.frame).unwrap_or(at);
        let counted = stage.in_window(due);
        if counted {
            tally.behind.note(at.saturating_sub(due));
        }
        let packets = match self.kind {
            Kind::Data => self.write_data(at, rtc)?,
            Kind::Audio | Kind::Video => self.write_media(now, at, rtc),
        };
        if counted {
            tally.of(self.kind).sent += packets;
        }
        self.frame += 1;
        stage.sent_up_to(self.publisher, self.frame);
        Ok(())
    }

    /// Returns how many packets.
    fn write_media(&mut self, now: Instant, at: u64, rtc: &mut Rtc) -> u64 {
        let (kind, frame, publisher) = (self.kind, self.frame, self.publisher);
        let codec = match kind {
            Kind::Audio => Codec::Opus,
            _ => Codec::Vp8,
        };
        let found = rtc.codec_config().find(|one| one.spec().codec == codec);
        let (Some(pt), Some(mid)) = (found.map(|one| one.pt()), self.mid) else {
            return 0;
        };
        let ticks: u32 = if kind == Kind::Audio { 960 } else { 3_000 };
        let time = frame.wrapping_mul(ticks);
        let mut api = rtc.direct_api();
        let mut packets = 0;
        for (number, one) in self.layers.iter_mut().enumerate() {
            let rid = one.layer.rid.map(Rid::from);
            let Some(tx) = api.stream_tx_by_mid(mid, rid) else {
                continue;
            };
            let audio = [self.shape.payload_bytes];
            let full = [one.layer.delta[0].max(1_100); 32];
            let sizes: &[usize] = match kind {
                Kind::Audio => &audio,
                _ if one.keyframe => &full[..one.layer.key],
                _ => one.layer.delta,
            };
            for (index, &size) in sizes.iter().enumerate() {
                let mut payload = vec![0; size];
                if kind == Kind::Video {
                    let first = index == 0;
                    vp8_header(&mut payload, frame as u16, first, one.keyframe, one.layer);
                }
                let stamp = Stamp {
                    publisher,
                    frame,
                    layer: number as u8,
                    index: index as u8,
                    of: sizes.len() as u8,
                    at,
                };
                stamp.write(&mut payload);
                let values = ExtensionValues {
                    mid: Some(mid),
                    rid,
                    audio_level: (kind == Kind::Audio).then_some(-20),
                    voice_activity: (kind == Kind::Audio).then_some(true),
                    ..Default::default()
                };
                let packet = RtpWrite::new(pt, one.sequence.into(), time, now, payload)
                    .marker(kind == Kind::Video && index + 1 == sizes.len())
                    .nackable(true)
                    .ext_vals(values);
                tx.write_rtp(packet);
                one.sequence += 1;
                packets += 1;
            }
            one.keyframe = false;
        }
        packets
    }

    fn write_data(&mut self, at: u64, rtc: &mut Rtc) -> Result<u64, String> {
        let mut payload = vec![0; self.shape.data_bytes];
        let stamp = Stamp {
            publisher: self.publisher,
            frame: self.frame,
            layer: 0,
            index: 0,
            of: 1,
            at,
        };
        stamp.write(&mut payload);
        let user = proto::UserPacket {
            payload,
            ..Default::default()
        };
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(user)),
            sequence: if self.shape.reliable {
                self.frame + 1
            } else {
                0
            },
            ..Default::default()
        };
        let Some(mut channel) = self.channel.and_then(|id| rtc.channel(id)) else {
            return Ok(0);
        };
        // What does not fit its buffer is lost, and counted as that by who misses it.
        let _ = channel
            .write(true, &packet.encode_to_vec())
            .map_err(|error| format!("could not send data: {error}"))?;
        Ok(1)
    }
}
