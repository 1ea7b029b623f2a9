//! Keeps VP8 picture ids continuous over a switch of layers (RFC 7741 section 4.2).

use str0m::rtp::{Vp8Descriptor, Vp8Patch};

/// Rewrites picture ids and TL0PICIDX of one subscription.
#[derive(Debug, Default)]
pub(crate) struct PictureIds {
    offset: Option<(u16, u8)>,
    last: Option<(u16, u8)>,
}

impl PictureIds {
    /// Begin with another layer: its next picture continues after the last one sent.
    pub(crate) fn switch(&mut self) {
        self.offset = None;
    }

    /// What to write over this payload's ids; None if nothing needs to change.
    pub(crate) fn patch(&mut self, payload: &[u8]) -> Option<Vp8Patch> {
        let descriptor = Vp8Descriptor::parse(payload).ok()?;
        let picture = descriptor.picture_id()? & 0x7fff;
        let tl0 = descriptor.tl0_pic_idx().unwrap_or(0);
        let (by_picture, by_tl0) = *self.offset.get_or_insert_with(|| match self.last {
            Some((last_picture, last_tl0)) => (
                last_picture.wrapping_add(1).wrapping_sub(picture),
                last_tl0.wrapping_add(1).wrapping_sub(tl0),
            ),
            None => (0, 0),
        });
        let picture = picture.wrapping_add(by_picture) & 0x7fff;
        let tl0 = tl0.wrapping_add(by_tl0);
        self.last = Some((picture, tl0));
        if by_picture == 0 && by_tl0 == 0 {
            return None;
        }
        let mut patch = descriptor.patch().picture_id(picture);
        if descriptor.tl0_pic_idx().is_some() {
            patch = patch.tl0_pic_idx(tl0);
        }
        patch.build().ok()
    }
}
