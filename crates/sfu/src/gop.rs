//! The packets of a stream since its last keyframe, for who joins or switches to it: a picture at
//! once, and no keyframe asked of its publisher.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::MediaPacket;

use crate::layering::View;

/// What is kept of one stream at most; past either nothing is, until the next keyframe. A second of
/// a full picture, ten of a small one.
const MAX_PACKETS: usize = 512;
const MAX_BYTES: usize = 256 * 1024;

/// One packet and what it is.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) packet: Arc<MediaPacket>,
    pub(crate) view: View,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gop {
    /// By sequence; the first begins a keyframe.
    packets: VecDeque<Kept>,
    bytes: usize,
}

impl Gop {
    /// Take a packet of the stream.
    pub(crate) fn take(&mut self, packet: &Arc<MediaPacket>, view: View) {
        if packet.keyframe && self.newest().is_none_or(|newest| packet.sequence > newest) {
            self.forget();
        } else if self.packets.is_empty() {
            return;
        }
        if self.first().is_some_and(|first| packet.sequence < first) {
            return;
        }
        let at = self
            .packets
            .partition_point(|kept| kept.packet.sequence < packet.sequence);
        let known = self.packets.get(at);
        if known.is_some_and(|kept| kept.packet.sequence == packet.sequence) {
            return;
        }
        self.bytes += packet.payload.len();
        let packet = Arc::clone(packet);
        self.packets.insert(at, Kept { packet, view });
        if self.packets.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            self.forget();
        }
    }

    /// The packets, if none is missing. None: a keyframe has to be asked for.
    pub(crate) fn whole(&self) -> Option<&VecDeque<Kept>> {
        let span = self.newest()? - self.first()? + 1;
        (span == self.packets.len() as u64).then_some(&self.packets)
    }

    /// Which keyframe it begins with.
    pub(crate) fn first(&self) -> Option<u64> {
        self.packets.front().map(|kept| kept.packet.sequence)
    }

    /// Forget everything until the next keyframe.
    pub(crate) fn forget(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }

    fn newest(&self) -> Option<u64> {
        self.packets.back().map(|kept| kept.packet.sequence)
    }
}

#[cfg(test)]
mod tests {
    use wire::Format;

    use super::*;
    use crate::layering::samples::packet;

    fn take(gop: &mut Gop, sequence: u64, keyframe: bool, bytes: usize) {
        let mut packet = packet(Format::Vp8, sequence, sequence as u32);
        packet.keyframe = keyframe;
        packet.payload = vec![0; bytes].into();
        gop.take(&Arc::new(packet), View::default());
    }

    fn kept(gop: &Gop) -> Option<Vec<u64>> {
        let sequences = gop.whole()?.iter().map(|kept| kept.packet.sequence);
        Some(sequences.collect())
    }

    #[test]
    fn it_begins_with_the_last_keyframe_and_has_no_hole() {
        let mut gop = Gop::default();
        take(&mut gop, 1, false, 10);
        assert_eq!(kept(&gop), None, "nothing before a keyframe");
        take(&mut gop, 2, true, 10);
        take(&mut gop, 4, false, 10);
        assert_eq!(kept(&gop), None, "one is missing");
        take(&mut gop, 3, false, 10);
        take(&mut gop, 3, false, 10);
        assert_eq!(kept(&gop), Some(vec![2, 3, 4]));
        take(&mut gop, 1, false, 10);
        take(&mut gop, 5, true, 10);
        assert_eq!(kept(&gop), Some(vec![5]));
        take(&mut gop, 4, true, 10);
        assert_eq!(kept(&gop), Some(vec![5]), "an old keyframe is old");
    }

    #[test]
    fn it_is_bounded_in_packets_and_in_bytes() {
        let mut gop = Gop::default();
        take(&mut gop, 0, true, 10);
        for n in 1..MAX_PACKETS as u64 {
            take(&mut gop, n, false, 10);
        }
        assert_eq!(gop.whole().map(VecDeque::len), Some(MAX_PACKETS));
        take(&mut gop, MAX_PACKETS as u64, false, 10);
        assert_eq!(kept(&gop), None);
        take(&mut gop, 1_000, true, MAX_BYTES);
        assert_eq!(kept(&gop), Some(vec![1_000]));
        take(&mut gop, 1_001, false, 1);
        assert_eq!(kept(&gop), None);
        take(&mut gop, 1_002, false, 1);
        assert_eq!(kept(&gop), None, "until the next keyframe");
    }
}
