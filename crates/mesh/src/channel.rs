//! Reliable messages between two nodes: in order, each once, through cuts and restarts.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::Segment;

use crate::mesh::Queue;

/// Messages waiting for one destination; past it the oldest are given up, and counted.
const MAX_QUEUED_BYTES: usize = 4 << 20;
/// Bytes of a message in one segment.
const SEGMENT_BYTES: usize = 1200;
/// Segments sent and not acknowledged.
const MAX_WINDOW: usize = 256;
const MIN_WINDOW: usize = 8;
const INITIAL_WINDOW: usize = 32;
/// Segments held at the receiver until what precedes them comes.
const MAX_AHEAD: u64 = 1024;
const MIN_RTO: Duration = Duration::from_millis(100);
const INITIAL_RTO: Duration = Duration::from_millis(500);
const MAX_RTO: Duration = Duration::from_secs(2);
/// An acknowledgement waits this long for company.
const ACK_DELAY: Duration = Duration::from_millis(10);
const ACK_EVERY: u32 = 4;
/// Incarnations of the peer whose stragglers are recognised.
const RETIRED: usize = 8;

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

/// An acknowledgement, as in `wire::Content::Acknowledge`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) epoch: u64,
    pub(crate) receiver: u64,
    pub(crate) next: u64,
    pub(crate) received: [u64; 4],
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
    fn is_empty(&self) -> bool {
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
        while let Some(held) = self.ahead.remove(&self.next) {
            self.next += 1;
            self.append(held, max_message, deliver);
        }
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

fn retire(retired: &mut VecDeque<u64>, epoch: Option<u64>) {
    retired.extend(epoch);
    if retired.len() > RETIRED {
        retired.pop_front();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 70_000;

    type Sent = (u64, u64, u64, bool, bool, Vec<u8>);

    struct Wire {
        now: Instant,
        rng: fastrand::Rng,
        loss: f64,
        receiver: u64,
        /// Due, segment (epoch, base, sequence, first, last, bytes).
        segments: Vec<(Instant, Sent)>,
        acks: Vec<(Instant, Acknowledgement)>,
    }

    impl Wire {
        fn new(seed: u64, loss: f64) -> Wire {
            Wire {
                now: Instant::now(),
                rng: fastrand::Rng::with_seed(seed),
                loss,
                receiver: 1,
                segments: Vec::new(),
                acks: Vec::new(),
            }
        }

        fn due(&mut self) -> Option<Instant> {
            let lost = self.rng.f64() < self.loss;
            (!lost).then(|| self.now + Duration::from_millis(self.rng.u64(5..60)))
        }

        fn step(&mut self, sender: &mut Sender, receiver: &mut Receiver, out: &mut Vec<Vec<u8>>) {
            self.now += Duration::from_millis(5);
            let now = self.now;
            let mut sent = Vec::new();
            sender.poll(now, |s| {
                sent.push((
                    s.epoch,
                    s.base,
                    s.sequence,
                    s.first,
                    s.last,
                    s.bytes.to_vec(),
                ));
            });
            for segment in sent {
                if let Some(due) = self.due() {
                    if self.rng.u8(..) < 20 {
                        self.segments.push((due, segment.clone()));
                    }
                    self.segments.push((due, segment));
                }
            }
            for (_, (epoch, base, sequence, first, last, bytes)) in
                self.segments.extract_if(.., |(due, _)| *due <= now)
            {
                let bytes = &bytes;
                let segment = Segment {
                    epoch,
                    base,
                    sequence,
                    first,
                    last,
                    bytes,
                };
                receiver.on_segment(now, segment, MAX, out);
            }
            if let Some(ack) = receiver.acknowledge(now, self.receiver)
                && let Some(due) = self.due()
            {
                self.acks.push((due, ack));
            }
            for (_, ack) in self.acks.extract_if(.., |(due, _)| *due <= now) {
                sender.on_acknowledge(now, ack);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn in_order_and_once_whatever_is_lost(
            seed: u64, loss in 0.0..0.6f64, sizes in prop::collection::vec(0usize..9_000, 1..60),
        ) {
            let mut wire = Wire::new(seed, loss);
            let (mut sender, mut receiver) = (Sender::new(1), Receiver::default());
            let messages: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
            for message in &messages {
                prop_assert_eq!(sender.push(wire.now, message.as_slice().into()), 0);
            }
            let mut got = Vec::new();
            let mut steps = 0;
            while !sender.is_empty() {
                wire.step(&mut sender, &mut receiver, &mut got);
                prop_assert!(sender.is_empty() || sender.deadline().is_some());
                prop_assert!(receiver.ahead.len() <= MAX_AHEAD as usize);
                steps += 1;
                prop_assert!(steps < 100_000);
            }
            prop_assert_eq!(got, messages);
        }
    }

    #[test]
    fn a_restarted_sender_begins_anew_and_its_past_is_refused() {
        let mut wire = Wire::new(1, 0.0);
        let mut receiver = Receiver::default();
        let mut got = Vec::new();
        for epoch in [7, 8] {
            let mut sender = Sender::new(epoch);
            sender.push(wire.now, [epoch as u8][..].into());
            while !sender.is_empty() {
                wire.step(&mut sender, &mut receiver, &mut got);
            }
        }
        assert_eq!(got, [[7], [8]]);
        let stale = Segment {
            epoch: 7,
            base: 0,
            sequence: 0,
            first: true,
            last: true,
            bytes: &[7],
        };
        let taken = receiver.on_segment(wire.now, stale, MAX, &mut got);
        assert_eq!((taken, got.len()), (Taken::Ancient, 2));
    }

    #[test]
    fn a_restarted_receiver_goes_on_where_the_sender_is() {
        let mut wire = Wire::new(1, 0.0);
        let mut sender = Sender::new(7);
        let mut got = Vec::new();
        for round in 0..3u8 {
            let mut receiver = Receiver::default();
            sender.push(wire.now, [round][..].into());
            while !sender.is_empty() {
                wire.step(&mut sender, &mut receiver, &mut got);
            }
        }
        assert_eq!(got, [[0], [1], [2]]);
    }

    #[test]
    fn what_a_dead_receiver_had_ahead_is_sent_again() {
        let mut wire = Wire::new(1, 0.0);
        let mut sender = Sender::new(7);
        for i in 0..3u8 {
            sender.push(wire.now, [i][..].into());
        }
        sender.poll(wire.now, |_| {});
        // It said that it had the last two, then restarted.
        let ack = Acknowledgement {
            epoch: 7,
            receiver: 9,
            next: 0,
            received: [3, 0, 0, 0],
        };
        sender.on_acknowledge(wire.now, ack);
        let (mut receiver, mut got) = (Receiver::default(), Vec::new());
        for _ in 0..1_000 {
            wire.step(&mut sender, &mut receiver, &mut got);
        }
        assert_eq!(got, [[0], [1], [2]]);
        assert!(sender.is_empty());
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_the_receiver_skips_them() {
        let mut wire = Wire::new(1, 0.0);
        let mut sender = Sender::new(7);
        let mut receiver = Receiver::default();
        let mut got = Vec::new();
        let dropped: u64 = (0..100u8)
            .map(|i| sender.push(wire.now, vec![i; 60_000].into()))
            .sum();
        assert_eq!(dropped, 100 - (MAX_QUEUED_BYTES / 60_000) as u64);
        assert!(sender.queued_bytes <= MAX_QUEUED_BYTES);
        while !sender.is_empty() {
            wire.step(&mut sender, &mut receiver, &mut got);
        }
        assert_eq!(got.len() as u64, 100 - dropped);
        assert_eq!(got[0][0], dropped as u8);
        assert_eq!(sender.queued_bytes, 0);
        sender.push(wire.now, [1][..].into());
        assert_eq!(sender.expire(wire.now + MAX_RTO, MAX_RTO), 1);
        assert!(sender.is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let now = Instant::now();
        let mut sender = Sender::new(7);
        sender.push(now, [1][..].into());
        let ack = |epoch, receiver, next, received| Acknowledgement {
            epoch,
            receiver,
            next,
            received: [received; 4],
        };
        for (ack, expected) in [
            (ack(7, 1, 1, 0), Acknowledged::Invalid),
            (ack(7, 1, u64::MAX, 0), Acknowledged::Invalid),
            (ack(6, 1, 0, 0), Acknowledged::Ancient),
            (ack(7, 1, 0, u64::MAX), Acknowledged::Taken),
            (ack(7, 2, 0, 0), Acknowledged::Taken),
            (ack(7, 1, 0, 0), Acknowledged::Ancient),
        ] {
            assert_eq!(sender.on_acknowledge(now, ack), expected, "{ack:?}");
        }
        let mut receiver = Receiver::default();
        let far = Segment {
            epoch: 1,
            base: 0,
            sequence: MAX_AHEAD,
            first: true,
            last: true,
            bytes: &[],
        };
        let taken = receiver.on_segment(now, far, MAX, &mut Vec::new());
        assert_eq!(taken, Taken::Invalid);
    }
}
