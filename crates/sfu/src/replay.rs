//! What was kept of a stream on its way to one subscriber: the base temporal layer, faster than it
//! came and no faster than its link takes it, until it has caught up with what comes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codec;
use crate::gop::{Gop, Kept};
use crate::layering::LayerId;

/// How often a part of it goes out.
pub(crate) const INTERVAL: Duration = Duration::from_millis(5);
/// Share of the estimate toward the subscriber at which it goes out.
const SHARE: f64 = 0.8;
/// The same in bits per second at least and at most, the latter also without an estimate.
const LEAST_RATE: f64 = 200_000.0;
const MOST_RATE: f64 = 4_000_000.0;
/// What would take longer is not begun: a keyframe comes sooner.
const MAX_DURATION: Duration = Duration::from_millis(800);
/// Who sees something already, and asks for a keyframe, is not taken back further than this.
const MAX_AGE: Duration = Duration::from_secs(2);
/// Packets that wait, what comes meanwhile included; past it the replay is given up.
const MAX_PACKETS: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Replay {
    waiting: VecDeque<Kept>,
    /// Bits per second.
    rate: f64,
    /// Bytes that may go out now.
    credit: f64,
    filled: Instant,
}

impl Replay {
    /// A replay of what is kept of a stream, up to the spatial layer of `target`. None: it has a
    /// hole, is too much, or too old for who sees something already.
    pub(crate) fn of(
        now: Instant,
        gop: &Gop,
        target: LayerId,
        estimate: Option<u64>,
        sees: bool,
    ) -> Option<Self> {
        let packets = gop.whole()?;
        let rate = estimate.map_or(MOST_RATE, |bits| bits as f64 * SHARE);
        let rate = rate.clamp(LEAST_RATE, MOST_RATE);
        let shown = |kept: &&Kept| {
            kept.view.layer.temporal == 0 && kept.view.layer.spatial <= target.spatial
        };
        let bytes: usize = packets
            .iter()
            .filter(shown)
            .map(|k| k.packet.payload.len())
            .sum();
        if bytes as f64 * 8.0 / rate > MAX_DURATION.as_secs_f64() {
            return None;
        }
        let (first, last) = (packets.front()?, packets.back()?);
        let ticks = last.packet.timestamp.wrapping_sub(first.packet.timestamp);
        let clock = f64::from(codec::clock(first.packet.format));
        if sees && f64::from(ticks) > MAX_AGE.as_secs_f64() * clock {
            return None;
        }
        Some(Self {
            waiting: packets.clone(),
            rate,
            credit: 0.0,
            filled: now,
        })
    }

    /// The keyframe that it begins with.
    pub(crate) fn first(&self) -> Option<&Kept> {
        self.waiting.front()
    }

    /// Take a packet that came meanwhile. False: there is no room, and what waited is of no use.
    pub(crate) fn push(&mut self, kept: Kept) -> bool {
        let sequence = kept.packet.sequence;
        let at = self
            .waiting
            .partition_point(|k| k.packet.sequence < sequence);
        self.waiting.insert(at, kept);
        self.waiting.len() <= MAX_PACKETS
    }

    /// The next packet that may go out now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Kept> {
        let elapsed = now.saturating_duration_since(self.filled).min(2 * INTERVAL);
        self.filled = now;
        self.credit += self.rate / 8.0 * elapsed.as_secs_f64();
        if self.credit < 0.0 {
            return None;
        }
        self.waiting.pop_front()
    }

    /// A packet went out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.credit -= bytes as f64;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use std::sync::Arc;

    use wire::Format;

    use super::*;
    use crate::layering::View;
    use crate::layering::samples::packet;

    /// A keyframe of 10 kB and pictures of 1 kB, 30 a second.
    fn gop(pictures: u32) -> Gop {
        let mut gop = Gop::default();
        for n in 0..pictures {
            let mut packet = packet(Format::Vp8, u64::from(n), n);
            packet.keyframe = n == 0;
            packet.payload = vec![0; if n == 0 { 10_000 } else { 1_000 }].into();
            gop.take(&Arc::new(packet), View::default());
        }
        gop
    }

    fn replay(pictures: u32, estimate: Option<u64>, sees: bool) -> Option<Replay> {
        let (now, all) = (Instant::now(), LayerId::ALL);
        Replay::of(now, &gop(pictures), all, estimate, sees)
    }

    #[test]
    fn it_is_begun_only_where_it_beats_a_keyframe() {
        assert!(replay(60, None, true).is_some());
        assert!(replay(60, Some(300_000), true).is_none(), "too slow a link");
        assert!(replay(90, None, true).is_none(), "too far back");
        assert!(replay(90, None, false).is_some());
    }

    #[test]
    fn it_goes_out_no_faster_than_the_link_takes_it() {
        let mut replay = replay(30, Some(1_250_000), false).expect("a replay");
        let from = replay.filled;
        let (mut bytes, mut now) = (0, from);
        while !replay.is_over() {
            now += INTERVAL;
            while let Some(kept) = replay.next(now) {
                bytes += kept.packet.payload.len();
                replay.sent(kept.packet.payload.len());
            }
            let most = 125_000.0 * (now - from).as_secs_f64() + 10_000.0;
            assert!(
                bytes as f64 <= most + 1_000.0,
                "{bytes} after {:?}",
                now - from
            );
        }
        assert_eq!(bytes, 39_000);
    }

    #[test]
    fn what_comes_meanwhile_waits_in_order_and_is_bounded() {
        let mut replay = replay(3, None, false).expect("a replay");
        for n in [5u64, 4, 3] {
            let packet = Arc::new(packet(Format::Vp8, n, n as u32));
            let view = View::default();
            assert!(replay.push(Kept { packet, view }));
        }
        let order: Vec<u64> = replay.waiting.iter().map(|k| k.packet.sequence).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        let room = (6..2_000).take_while(|n| {
            let packet = Arc::new(packet(Format::Vp8, *n, *n as u32));
            replay.push(Kept {
                packet,
                view: View::default(),
            })
        });
        assert_eq!(room.count(), MAX_PACKETS - 6);
    }
}
