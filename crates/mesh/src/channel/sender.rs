//! The sending end of a reliable channel.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::Segment;

use super::{ACK_DELAY, Acknowledgement, retire};
use crate::message::Queue;

/// Messages waiting for one destination; past it the oldest are given up, and counted.
pub(super) const MAX_QUEUED_BYTES: usize = 4 << 20;
/// Bytes of a message in one segment.
const SEGMENT_BYTES: usize = 1200;
/// Segments sent and not acknowledged.
const MAX_WINDOW: usize = 256;
const MIN_WINDOW: usize = 8;
const INITIAL_WINDOW: usize = 32;
const MIN_RTO: Duration = Duration::from_millis(100);
const INITIAL_RTO: Duration = Duration::from_millis(500);
pub(super) const MAX_RTO: Duration = Duration::from_secs(2);

struct Waiting {
    message: Arc<[u8]>,
    range: Range<usize>,
    first: bool,
    last: bool,
    queued: Instant,
    sent: Option<Instant>,
    sends: u32,
    acknowledged: bool,
    lost: bool,
}

/// The sending end.
pub(crate) struct Sender {
    epoch: u64,
    /// The sequence number of `waiting[0]`.
    base: u64,
    waiting: VecDeque<Waiting>,
    /// How many of `waiting` have been sent at least once.
    sent: usize,
    queued_bytes: usize,
    window: usize,
    rtt: Option<(Duration, Duration)>,
    backoff: u32,
    /// The receiver's incarnation, and its earlier ones.
    receiver: Option<u64>,
    retired: VecDeque<u64>,
}

/// What an acknowledgement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    Taken,
    /// Of an earlier incarnation.
    Ancient,
    /// Of something never sent.
    Invalid,
}

impl Sender {
    pub(crate) fn new(epoch: u64) -> Sender {
        Sender {
            epoch,
            base: 0,
            waiting: VecDeque::new(),
            sent: 0,
            queued_bytes: 0,
            window: INITIAL_WINDOW,
            rtt: None,
            backoff: 0,
            receiver: None,
            retired: VecDeque::new(),
        }
    }

    /// Queue a message; how many older ones had to go for it.
    pub(crate) fn push(&mut self, now: Instant, message: Arc<[u8]>) -> u64 {
        let mut dropped = 0;
        while self.queued_bytes + message.len() > MAX_QUEUED_BYTES && !self.waiting.is_empty() {
            self.drop_oldest();
            dropped += 1;
        }
        self.queued_bytes += message.len();
        let mut start = 0;
        loop {
            let end = message.len().min(start + SEGMENT_BYTES);
            self.waiting.push_back(Waiting {
                message: message.clone(),
                range: start..end,
                first: start == 0,
                last: end == message.len(),
                queued: now,
                sent: None,
                sends: 0,
                acknowledged: false,
                lost: false,
            });
            start = end;
            if end == message.len() {
                return dropped;
            }
        }
    }

    /// Give up messages older than `lifetime`; how many.
    pub(crate) fn expire(&mut self, now: Instant, lifetime: Duration) -> u64 {
        let mut dropped = 0;
        while let Some(oldest) = self.waiting.front() {
            if now.saturating_duration_since(oldest.queued) < lifetime {
                break;
            }
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    fn drop_oldest(&mut self) {
        while let Some(segment) = self.pop() {
            if segment.last {
                break;
            }
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let segment = self.waiting.pop_front()?;
        self.base += 1;
        self.sent = self.sent.saturating_sub(1);
        self.queued_bytes -= segment.range.len();
        Some(segment)
    }

    /// Hand what is to be sent now to `send`; how many of it had been sent before.
    pub(crate) fn poll(&mut self, now: Instant, mut send: impl FnMut(Segment<'_>)) -> u64 {
        let rto = self.rto();
        let mut timed_out = false;
        let mut in_flight = 0;
        let mut repeated = 0;
        let (epoch, base) = (self.epoch, self.base);
        let window = self.window;
        for (i, segment) in self.waiting.iter_mut().enumerate() {
            if segment.acknowledged {
                continue;
            }
            if in_flight == window {
                break;
            }
            in_flight += 1;
            let late = segment.sent.is_some_and(|at| at + rto <= now);
            if segment.sent.is_some() && !late && !segment.lost {
                continue;
            }
            timed_out |= late;
            repeated += u64::from(segment.sent.is_some());
            segment.lost = false;
            segment.sent = Some(now);
            segment.sends += 1;
            self.sent = self.sent.max(i + 1);
            send(Segment {
                epoch,
                base,
                sequence: base + i as u64,
                first: segment.first,
                last: segment.last,
                bytes: &segment.message[segment.range.clone()],
            });
        }
        if timed_out {
            self.window = (self.window / 2).max(MIN_WINDOW);
            self.backoff = (self.backoff + 1).min(4);
        }
        repeated
    }

    /// When `poll` has something to repeat, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let unanswered = self.waiting.iter().take(self.sent);
        let oldest = unanswered
            .filter(|s| !s.acknowledged)
            .take(self.window)
            .filter_map(|s| s.sent)
            .min()?;
        Some(oldest + self.rto())
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: "data_queued_bytes",
            length: self.queued_bytes,
            capacity: MAX_QUEUED_BYTES,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hear what arrived.
    pub(crate) fn on_acknowledge(&mut self, now: Instant, ack: Acknowledgement) -> Acknowledged {
        let Acknowledgement { next, received, .. } = ack;
        if ack.epoch != self.epoch || self.retired.contains(&ack.receiver) {
            return Acknowledged::Ancient;
        }
        if next > self.base + self.sent as u64 {
            return Acknowledged::Invalid;
        }
        if self.receiver != Some(ack.receiver) {
            self.forget_received(ack.receiver);
        }
        let mut news = 0;
        while self.base < next {
            let Some(segment) = self.pop() else { break };
            if !segment.acknowledged {
                news += 1;
                self.sample(now, &segment);
            }
        }
        let mut highest = None;
        for bit in 0..256 {
            if received[bit / 64] & (1 << (bit % 64)) == 0 {
                continue;
            }
            let at = (next + 1 + bit as u64).checked_sub(self.base);
            let sent = self.sent;
            let Some(i) = at.map(|i| i as usize).filter(|i| *i < sent) else {
                continue;
            };
            highest = Some(i);
            if !self.waiting[i].acknowledged {
                self.waiting[i].acknowledged = true;
                news += 1;
            }
        }
        // What three later ones overtook is lost, unless it was sent again since.
        let patience = self.rtt.map_or(MIN_RTO, |(smoothed, _)| smoothed);
        for segment in self
            .waiting
            .iter_mut()
            .take(highest.map_or(0, |i| i.saturating_sub(2)))
        {
            let settled = segment.sent.is_some_and(|at| at + patience <= now);
            segment.lost |= settled && !segment.acknowledged;
        }
        if news > 0 {
            self.backoff = 0;
            self.window = (self.window + news).min(MAX_WINDOW);
        }
        Acknowledged::Taken
    }

    /// The receiver restarted: what it had received ahead of a gap is gone.
    fn forget_received(&mut self, receiver: u64) {
        retire(&mut self.retired, self.receiver.replace(receiver));
        for segment in &mut self.waiting {
            segment.lost |= segment.acknowledged;
            segment.acknowledged = false;
        }
    }

    /// RFC 6298, on segments sent once (Karn).
    fn sample(&mut self, now: Instant, segment: &Waiting) {
        let Some(sent) = segment.sent.filter(|_| segment.sends == 1) else {
            return;
        };
        let sample = now.saturating_duration_since(sent);
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((smoothed, deviation)) => (
                (smoothed * 7 + sample) / 8,
                (deviation * 3 + smoothed.abs_diff(sample)) / 4,
            ),
        });
    }

    fn rto(&self) -> Duration {
        let base = self.rtt.map_or(INITIAL_RTO, |(smoothed, deviation)| {
            (smoothed + 4 * deviation + ACK_DELAY).max(MIN_RTO)
        });
        (base * (1 << self.backoff)).min(MAX_RTO)
    }
}
