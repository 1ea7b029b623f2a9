//! A media packet as it travels inside a link frame.

use std::sync::Arc;

use crate::cursor::{Cursor, put_varint};
use crate::{Format, Malformed, MediaPacket};

const MARKER: u8 = 1;
const KEYFRAME: u8 = 1 << 1;
const LEVEL: u8 = 1 << 2;
const VOICE_KNOWN: u8 = 1 << 3;
const VOICE: u8 = 1 << 4;
const ORIENTATION: u8 = 1 << 5;
const CAPTURE_TIME: u8 = 1 << 6;
const DESCRIPTOR: u8 = 1 << 7;

impl MediaPacket {
    /// Append the packet: format, flags, sequence (LEB128), timestamp, what the flags say, payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.push(self.format as u8);
        out.push(
            flag(self.marker, MARKER)
                | flag(self.keyframe, KEYFRAME)
                | flag(self.audio_level.is_some(), LEVEL)
                | flag(self.voice_activity.is_some(), VOICE_KNOWN)
                | flag(self.voice_activity == Some(true), VOICE)
                | flag(self.orientation.is_some(), ORIENTATION)
                | flag(self.absolute_capture_time.is_some(), CAPTURE_TIME)
                | flag(self.dependency_descriptor.is_some(), DESCRIPTOR),
        );
        put_varint(out, self.sequence);
        out.extend(self.timestamp.to_be_bytes());
        out.extend(self.audio_level);
        out.extend(self.orientation);
        if let Some(time) = self.absolute_capture_time {
            out.extend(time.to_be_bytes());
        }
        if let Some(descriptor) = &self.dependency_descriptor {
            put_varint(out, descriptor.len() as u64);
            out.extend_from_slice(descriptor);
        }
        out.extend_from_slice(&self.payload);
    }

    /// The packet that `bytes` hold, to their end.
    pub fn decode(bytes: &[u8]) -> Result<MediaPacket, Malformed> {
        let mut at = Cursor::new(bytes);
        let tag = at.u8("media format")?;
        let format = Format::from_tag(tag).ok_or(Malformed::Value {
            what: "media format",
            value: tag.into(),
        })?;
        let flags = at.u8("media flags")?;
        let has = |bit: u8| flags & bit != 0;
        if has(VOICE) && !has(VOICE_KNOWN) {
            return Err(Malformed::Value {
                what: "media flags",
                value: flags.into(),
            });
        }
        let sequence = at.varint("media sequence")?;
        let timestamp = at.u32("media timestamp")?;
        let audio_level = has(LEVEL).then(|| at.u8("audio level")).transpose()?;
        let orientation = has(ORIENTATION).then(|| at.u8("orientation")).transpose()?;
        for (what, value, limit) in [
            ("audio level", audio_level, 127),
            ("orientation", orientation, 3),
        ] {
            if let Some(value) = value.filter(|v| *v > limit) {
                return Err(Malformed::Value {
                    what,
                    value: value.into(),
                });
            }
        }
        let absolute_capture_time = has(CAPTURE_TIME)
            .then(|| at.u64("capture time"))
            .transpose()?;
        let dependency_descriptor = has(DESCRIPTOR)
            .then(|| {
                let length = at.varint("dependency descriptor")?;
                let length = usize::try_from(length)
                    .map_err(|_| Malformed::Short("dependency descriptor"))?;
                at.take(length, "dependency descriptor").map(Arc::from)
            })
            .transpose()?;
        Ok(MediaPacket {
            format,
            sequence,
            timestamp,
            marker: has(MARKER),
            keyframe: has(KEYFRAME),
            audio_level,
            voice_activity: has(VOICE_KNOWN).then(|| has(VOICE)),
            orientation,
            absolute_capture_time,
            dependency_descriptor,
            payload: at.rest().into(),
        })
    }
}
