//! Both ends against each other, over a bad wire.

#![allow(clippy::disallowed_methods)]

use proptest::prelude::*;

use std::time::Instant;

use wire::Segment;

use super::receiver::*;
use super::sender::*;
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
            prop_assert!(receiver.queue().length <= receiver.queue().capacity);
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
    assert!(sender.queue().length <= MAX_QUEUED_BYTES);
    while !sender.is_empty() {
        wire.step(&mut sender, &mut receiver, &mut got);
    }
    assert_eq!(got.len() as u64, 100 - dropped);
    assert_eq!(got[0][0], dropped as u8);
    assert_eq!(sender.queue().length, 0);
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

/// The sender gives up what is missing in a segment that the receiver has: what waited goes on.
#[test]
fn a_gap_told_by_an_old_segment_is_passed() {
    let now = Instant::now();
    let (mut receiver, mut got) = (Receiver::default(), Vec::new());
    let segment = |base, sequence, bytes| Segment {
        epoch: 1,
        base,
        sequence,
        first: true,
        last: true,
        bytes,
    };
    receiver.on_segment(now, segment(0, 0, b"a"), MAX, &mut got);
    receiver.on_segment(now, segment(0, 2, b"c"), MAX, &mut got);
    let taken = receiver.on_segment(now, segment(2, 0, b"a"), MAX, &mut got);
    assert_eq!(taken, Taken::Duplicate);
    assert_eq!(got, [b"a".to_vec(), b"c".to_vec()]);
    let ack = receiver.acknowledge(now + ACK_DELAY, 1);
    assert_eq!(ack.map(|ack| (ack.next, ack.received)), Some((3, [0; 4])));
}
