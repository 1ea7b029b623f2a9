//! The receiving end of a reliable channel.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use wire::Segment;

use super::{ACK_DELAY, Acknowledgement, retire};
use crate::message::Queue;

/// Segments held at the receiver until what precedes them comes.
pub(super) const MAX_AHEAD: u64 = 1024;
const ACK_EVERY: u32 = 4;

/// What a segment turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// Yes, after messages that the sender gave up.
    AfterGap,
    Duplicate,
    Ancient,
    Invalid,
}

struct Held {
    first: bool,
    last: bool,
    bytes: Vec<u8>,
}

/// The receiving end.
#[derive(Default)]
pub(crate) struct Receiver {
    epoch: Option<u64>,
    retired: VecDeque<u64>,
    next: u64,
    ahead: BTreeMap<u64, Held>,
    /// The message being put together, None outside one.
    message: Option<Vec<u8>>,
    ack_at: Option<Instant>,
    unacknowledged: u32,
}

impl Receiver {
    /// Take a segment; whole messages that it completes go to `deliver`, in order.
    ///
    /// Messages beyond `max_message` bytes are left out.
    pub(crate) fn on_segment(
        &mut self,
        now: Instant,
        segment: Segment<'_>,
        max_message: usize,
        deliver: &mut Vec<Vec<u8>>,
    ) -> Taken {
        if segment.sequence == u64::MAX {
            return Taken::Invalid;
        }
        if self.epoch != Some(segment.epoch) {
            if self.retired.contains(&segment.epoch) {
                return Taken::Ancient;
            }
            self.begin(segment.epoch, segment.base);
        }
        let mut taken = Taken::Yes;
        if segment.base > self.next {
            self.skip_to(segment.base);
            // What waited behind the gap goes on, even if this segment itself is an old one.
            self.go_on(max_message, deliver);
            taken = Taken::AfterGap;
        }
        if segment.sequence >= self.next.saturating_add(MAX_AHEAD) {
            return Taken::Invalid;
        }
        self.unacknowledged += 1;
        if segment.sequence < self.next || self.ahead.contains_key(&segment.sequence) {
            self.ack_at = Some(now);
            return Taken::Duplicate;
        }
        let out_of_order = segment.sequence != self.next;
        let held = Held {
            first: segment.first,
            last: segment.last,
            bytes: segment.bytes.to_vec(),
        };
        self.ahead.insert(segment.sequence, held);
        self.go_on(max_message, deliver);
        let urgent = out_of_order || !self.ahead.is_empty() || self.unacknowledged >= ACK_EVERY;
        let at = if urgent { now } else { now + ACK_DELAY };
        self.ack_at = Some(self.ack_at.map_or(at, |earlier| earlier.min(at)));
        taken
    }

    fn begin(&mut self, epoch: u64, base: u64) {
        let old = std::mem::take(self);
        self.retired = old.retired;
        retire(&mut self.retired, old.epoch);
        self.epoch = Some(epoch);
        self.next = base;
    }

    /// The sender will not send anything below `base` any more.
    fn skip_to(&mut self, base: u64) {
        self.message = None;
        self.ahead = self.ahead.split_off(&base);
        self.next = base;
    }

    /// Take what is next of what came early.
    fn go_on(&mut self, max_message: usize, deliver: &mut Vec<Vec<u8>>) {
        while let Some(held) = self.ahead.remove(&self.next) {
            self.next += 1;
            self.append(held, max_message, deliver);
        }
    }

    fn append(&mut self, held: Held, max_message: usize, deliver: &mut Vec<Vec<u8>>) {
        if held.first {
            self.message = Some(Vec::new());
        }
        let Some(message) = &mut self.message else {
            return;
        };
        message.extend_from_slice(&held.bytes);
        if message.len() > max_message {
            self.message = None;
        } else if held.last {
            deliver.extend(self.message.take());
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ack_at
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "data_segments_ahead",
            length: self.ahead.len(),
            capacity: MAX_AHEAD as usize,
        }
    }

    /// The acknowledgement that is due, in the name of `receiver`, our incarnation.
    pub(crate) fn acknowledge(&mut self, now: Instant, receiver: u64) -> Option<Acknowledgement> {
        self.ack_at.filter(|at| *at <= now)?;
        self.ack_at = None;
        self.unacknowledged = 0;
        let mut received = [0; 4];
        for sequence in self.ahead.keys() {
            let bit = (sequence - self.next - 1) as usize;
            if let Some(word) = received.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        Some(Acknowledgement {
            epoch: self.epoch?,
            receiver,
            next: self.next,
            received,
        })
    }
}
