//! VP8's payload descriptor (RFC 7741 section 4.2): layers read, picture ids kept continuous.

use str0m::rtp::Vp8Descriptor;
pub(crate) use str0m::rtp::Vp8Patch;

use crate::numbering::{Number, Numbering};

/// What a payload says of its picture's layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vp8Layer {
    pub(crate) temporal: u8,
    /// The picture refers to the base layer alone.
    pub(crate) sync: bool,
    /// First packet of a picture.
    pub(crate) begins: bool,
}

/// Read the layer; a payload without one is of the base layer, as is one that can't be read.
pub(crate) fn layer(payload: &[u8]) -> Vp8Layer {
    let first = payload.first().copied().unwrap_or(0);
    let mut layer = Vp8Layer {
        temporal: 0,
        sync: false,
        // S, and the first partition.
        begins: first & 0x17 == 0x10,
    };
    let Some((flags, rest)) = payload.get(1..).and_then(|p| p.split_first()) else {
        return layer;
    };
    let (picture_id, tl0, tid) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
    if first & 0x80 == 0 || !tid {
        return layer;
    }
    let long = picture_id && rest.first().is_some_and(|id| id & 0x80 != 0);
    let at = usize::from(picture_id) + usize::from(long) + usize::from(tl0);
    if let Some(octet) = rest.get(at) {
        layer.temporal = octet >> 6;
        layer.sync = octet & 0x20 != 0;
    }
    layer
}

/// Rewrites picture ids and TL0PICIDX of one subscription: a switch of streams and pictures that
/// are left out leave no gap. A receiver would wait for what is missing.
#[derive(Debug, Default)]
pub(crate) struct PictureIds {
    numbering: Numbering,
    /// Of the stream that is forwarded; None until its first picture.
    stream: Option<Source>,
    last_tl0: u8,
}

#[derive(Debug)]
struct Source {
    /// The greatest id so far, extended beyond its bits.
    newest: u64,
    tl0_shift: u8,
}

impl PictureIds {
    /// Begin with another stream: its next picture continues after the last one given.
    pub(crate) fn switch(&mut self) {
        self.stream = None;
    }

    /// What to write over this payload's ids; Ok(None): nothing needs to change. Err: its picture
    /// was left out.
    pub(crate) fn patch(&mut self, payload: &[u8]) -> Result<Option<Vp8Patch>, ()> {
        let Ok(descriptor) = Vp8Descriptor::parse(payload) else {
            return Ok(None);
        };
        let Some(id) = descriptor.picture_id() else {
            return Ok(None);
        };
        let tl0 = descriptor.tl0_pic_idx();
        let given = self.give(payload, id, tl0.unwrap_or(0)).ok_or(())?;
        if given == (id, tl0.unwrap_or(0)) {
            return Ok(None);
        }
        let mut patch = descriptor.patch().picture_id(given.0);
        if tl0.is_some() {
            patch = patch.tl0_pic_idx(given.1);
        }
        Ok(patch.build().ok())
    }

    /// The id and TL0PICIDX of this payload's picture, as the subscriber gets them.
    fn give(&mut self, payload: &[u8], id: u16, tl0: u8) -> Option<(u16, u8)> {
        let extended = self.extend(payload, id, tl0);
        let Number::Is(number) = self.numbering.place(extended) else {
            return None;
        };
        let shift = self.stream.as_ref().map_or(0, |source| source.tl0_shift);
        let tl0 = tl0.wrapping_add(shift);
        if number + 1 == self.numbering.next() {
            self.last_tl0 = tl0;
        }
        Some((number as u16 & bits(payload), tl0))
    }

    /// The picture of this payload is not forwarded.
    pub(crate) fn leave_out(&mut self, payload: &[u8]) {
        let Ok(descriptor) = Vp8Descriptor::parse(payload) else {
            return;
        };
        if let Some(id) = descriptor.picture_id() {
            let extended = self.extend(payload, id, descriptor.tl0_pic_idx().unwrap_or(0));
            self.numbering.leave_out(extended);
        }
    }

    /// The id beyond its bits, nearest to the greatest one.
    fn extend(&mut self, payload: &[u8], id: u16, tl0: u8) -> u64 {
        const BASE: u64 = 1 << 32;
        let span = u64::from(bits(payload)) + 1;
        if let Some(source) = &mut self.stream {
            let ahead = u64::from(id).wrapping_sub(source.newest) & (span - 1);
            let extended = match ahead < span / 2 {
                true => source.newest + ahead,
                false => (source.newest + ahead).saturating_sub(span),
            };
            source.newest = source.newest.max(extended);
            return extended;
        }
        let first = BASE + u64::from(id);
        let (next, begun) = match self.numbering.next() {
            0 => (first, false),
            next => (next, true),
        };
        let tl0_shift = match begun {
            true => self.last_tl0.wrapping_add(1).wrapping_sub(tl0),
            false => 0,
        };
        self.numbering.start(first, next);
        self.stream = Some(Source {
            newest: first,
            tl0_shift,
        });
        first
    }
}

/// All ones of the id's width: 7 or 15 bits (M).
fn bits(payload: &[u8]) -> u16 {
    match payload.get(2).is_some_and(|id| id & 0x80 != 0) {
        true => 0x7fff,
        false => 0x7f,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X, S | I, L, T | 15-bit id | TL0PICIDX | TID, Y | payload
    fn payload(id: u16, tl0: u8, temporal: u8, sync: bool) -> Vec<u8> {
        let [high, low] = (0x8000 | id).to_be_bytes();
        let octet = temporal << 6 | u8::from(sync) << 5;
        vec![0x90, 0xe0, high, low, tl0, octet, 1, 0, 0]
    }

    fn ids(ids: &mut PictureIds, payload: &[u8]) -> (u16, u8) {
        let read = Vp8Descriptor::parse(payload).expect("a descriptor");
        let (id, tl0) = (read.picture_id().expect("an id"), read.tl0_pic_idx());
        ids.give(payload, id, tl0.expect("an index"))
            .expect("given")
    }

    #[test]
    fn layers_are_read() {
        let read = |temporal, sync| layer(&payload(5, 1, temporal, sync));
        assert_eq!((read(2, true).temporal, read(2, true).sync), (2, true));
        assert_eq!((read(1, false).temporal, read(1, false).sync), (1, false));
        assert!(read(0, false).begins);
        // A short id, no TL0PICIDX, KEYIDX.
        let short = [0x80, 0xb0, 0x11, 0x7f, 0];
        let expected = Vp8Layer {
            temporal: 1,
            sync: true,
            begins: false,
        };
        assert_eq!(layer(&short), expected);
        for end in 0..5 {
            layer(&short[..end]);
        }
        assert_eq!(layer(&[0x10, 0]).temporal, 0);
    }

    #[test]
    fn pictures_left_out_and_a_switch_leave_no_gap() {
        let mut p = PictureIds::default();
        assert_eq!(ids(&mut p, &payload(0x7ffe, 254, 0, false)), (0x7ffe, 254));
        p.leave_out(&payload(0x7fff, 254, 2, true));
        assert_eq!(ids(&mut p, &payload(0, 254, 1, true)), (0x7fff, 254));
        p.leave_out(&payload(1, 254, 2, false));
        assert_eq!(ids(&mut p, &payload(2, 255, 0, false)), (0, 255));
        p.switch();
        assert_eq!(ids(&mut p, &payload(700, 9, 0, false)), (1, 0));
        assert_eq!(ids(&mut p, &payload(701, 9, 2, true)), (2, 0));
        assert_eq!(ids(&mut p, &payload(702, 10, 0, false)), (3, 1));
    }

    #[test]
    fn a_picture_that_comes_late_has_its_place() {
        let mut p = PictureIds::default();
        assert_eq!(ids(&mut p, &payload(10, 1, 0, false)).0, 10);
        p.leave_out(&payload(11, 1, 2, true));
        assert_eq!(ids(&mut p, &payload(14, 2, 0, false)).0, 13);
        assert_eq!(ids(&mut p, &payload(12, 1, 1, true)).0, 11);
        assert_eq!(ids(&mut p, &payload(15, 2, 2, true)).0, 14);
    }
}
