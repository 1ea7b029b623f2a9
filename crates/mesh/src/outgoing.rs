//! The sending half of a link's numbering: what was sent, kept a while for repair.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::count::Count;
use crate::message::Queue;

/// Bounds of the repair memory; the oldest go first.
const MAX_KEPT: usize = 4096;
const MAX_KEPT_BYTES: usize = 4 << 20;
/// Repairs of one datagram.
const MAX_REPAIRS: u8 = 8;
/// Repairs are at most half of what is sent, after this much head start.
const BUCKET_BYTES: usize = 64 << 10;

struct Kept {
    sent: Instant,
    repairs: u8,
    frames: Vec<u8>,
}

pub(crate) struct Outgoing {
    next: u64,
    /// The frames of `next - kept.len() ..next`.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    bucket: usize,
}

impl Default for Outgoing {
    fn default() -> Self {
        Outgoing {
            next: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            bucket: BUCKET_BYTES,
        }
    }
}

impl Outgoing {
    /// The sequence number that the next frames will have.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.next as u32
    }

    /// Number frames that are being sent and keep them. Returns an emptied buffer for reuse.
    pub(crate) fn keep(&mut self, now: Instant, frames: Vec<u8>, memory: Duration) -> Vec<u8> {
        self.next += 1;
        self.bucket = (self.bucket + frames.len() / 2).min(BUCKET_BYTES);
        self.kept_bytes += frames.len();
        self.kept.push_back(Kept {
            sent: now,
            repairs: 0,
            frames,
        });
        let mut spare = Vec::new();
        while let Some(oldest) = self.kept.front() {
            let full = self.kept.len() > MAX_KEPT || self.kept_bytes > MAX_KEPT_BYTES;
            if !full && now.saturating_duration_since(oldest.sent) <= memory {
                break;
            }
            self.kept_bytes -= oldest.frames.len();
            spare = self.kept.pop_front().map(|k| k.frames).unwrap_or_default();
        }
        spare.clear();
        spare
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "link_repair_bytes",
            length: self.kept_bytes,
            capacity: MAX_KEPT_BYTES,
        }
    }

    /// The frames sent under `sequence`, if they may be sent once more.
    pub(crate) fn repair(&mut self, sequence: u32) -> Result<&[u8], Count> {
        let age = (self.next as u32).wrapping_sub(sequence) as usize;
        let index = self.kept.len().checked_sub(age).filter(|_| age > 0);
        let kept = index
            .and_then(|i| self.kept.get_mut(i))
            .ok_or(Count::RepairsUnknown)?;
        if kept.repairs == MAX_REPAIRS || self.bucket < kept.frames.len() {
            return Err(Count::RepairsCapped);
        }
        kept.repairs += 1;
        self.bucket -= kept.frames.len();
        Ok(&kept.frames)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;

    const MEMORY: Duration = Duration::from_millis(300);

    #[test]
    fn repairs_what_was_sent_and_nothing_else() {
        let now = Instant::now();
        let mut sent = Outgoing::default();
        assert_eq!(sent.repair(0), Err(Count::RepairsUnknown));
        sent.keep(now, vec![7], MEMORY);
        sent.keep(now, vec![8], MEMORY);
        assert_eq!(sent.repair(0).unwrap(), [7]);
        assert_eq!(sent.repair(1).unwrap(), [8]);
        for unknown in [2, 3, u32::MAX, 1 << 31] {
            assert_eq!(sent.repair(unknown), Err(Count::RepairsUnknown));
        }
        sent.keep(now + MEMORY * 2, vec![9], MEMORY);
        assert_eq!(sent.repair(1), Err(Count::RepairsUnknown));
        assert_eq!(sent.repair(2).unwrap(), [9]);
    }

    #[test]
    fn repairs_are_capped_and_memory_is_bounded() {
        let now = Instant::now();
        let mut sent = Outgoing::default();
        for _ in 0..10_000 {
            sent.keep(now, vec![0; 1000], MEMORY);
        }
        assert!(sent.kept.len() <= MAX_KEPT && sent.kept_bytes <= MAX_KEPT_BYTES);
        let asked = 9_000u32..10_000;
        let repaired = asked.filter(|s| sent.repair(*s).is_ok()).count();
        assert_eq!(repaired, BUCKET_BYTES / 1000);
        let mut again = Outgoing::default();
        again.keep(now, vec![0; 10], MEMORY);
        assert_eq!((0..20).filter(|_| again.repair(0).is_ok()).count(), 8);
    }
}
