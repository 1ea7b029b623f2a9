//! What is counted in a run, on each thread for itself and then together.

use std::collections::BTreeMap;

use crate::histogram::Histogram;
use crate::media::Kind;

/// Of one kind of media, in the measured time.
#[derive(Debug, Default)]
pub(crate) struct Medium {
    /// Packets of all publishers, in all layers.
    pub(crate) sent: u64,
    /// Packets that arrived, at all subscribers together.
    pub(crate) received: u64,
    /// Packets that did not, or after their frame was given up.
    pub(crate) lost: u64,
    /// Of those that arrived: over the limit.
    pub(crate) late: u64,
    /// Of the whole run.
    pub(crate) duplicates: u64,
    /// Who should hear whom, and of these who heard nothing at all.
    pub(crate) subscriptions: u64,
    pub(crate) unheard: u64,
    /// From the publisher's socket to the subscriber's.
    pub(crate) delay: Histogram,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    media: [Medium; 3],
    /// By how much publishers sent later than a frame was due: this machine's own fault.
    pub(crate) behind: Histogram,
    /// From the first packet of the join until ICE and DTLS are done.
    pub(crate) join: Histogram,
    /// From the same until the server's answer to the join.
    pub(crate) signal: Histogram,
    pub(crate) joined: u64,
    /// By reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Who was in and then lost, by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) rtp_datagrams: u64,
    pub(crate) rtp_bytes: u64,
    pub(crate) reoffers: u64,
    pub(crate) keyframes_asked: u64,
}

impl Medium {
    fn add_counts(&mut self, more: &Medium) {
        self.sent += more.sent;
        self.received += more.received;
        self.lost += more.lost;
        self.late += more.late;
        self.duplicates += more.duplicates;
        self.subscriptions += more.subscriptions;
        self.unheard += more.unheard;
    }
}

impl Tally {
    pub(crate) fn of(&mut self, kind: Kind) -> &mut Medium {
        &mut self.media[kind as usize]
    }

    pub(crate) fn medium(&self, kind: Kind) -> &Medium {
        &self.media[kind as usize]
    }

    /// Of all media together, delays aside.
    pub(crate) fn sum(&self) -> Medium {
        let mut sum = Medium::default();
        for one in &self.media {
            sum.add_counts(one);
        }
        sum
    }

    pub(crate) fn add(&mut self, other: Tally) {
        for (own, more) in self.media.iter_mut().zip(other.media) {
            own.add_counts(&more);
            own.delay.add(&more.delay);
        }
        self.behind.add(&other.behind);
        self.join.add(&other.join);
        self.signal.add(&other.signal);
        self.joined += other.joined;
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
        for (reason, count) in other.dropped {
            *self.dropped.entry(reason).or_default() += count;
        }
        self.rtp_datagrams += other.rtp_datagrams;
        self.rtp_bytes += other.rtp_bytes;
        self.reoffers += other.reoffers;
        self.keyframes_asked += other.keyframes_asked;
    }
}
