//! Asking a client for packets beside str0m, which asks five times.

use std::time::{Duration, Instant};

use wire::StreamId;

use super::srtcp::Sealer;
use super::{Protocol, Transmit, Transport};
use crate::holes::WayUp;
use crate::lacking::Lack;
use crate::nack;

impl Transport {
    /// What is known of the way that its packets come.
    pub(crate) fn way_up(&self) -> WayUp {
        WayUp {
            round_trip: self.repair_round_trip,
            lost: self.requests.share(),
        }
    }

    /// What a stream lacks that str0m's requests may not bring in time.
    pub(crate) fn lacks(&mut self, now: Instant, stream: StreamId, lacks: Vec<Lack>) {
        self.lacking.set(stream, lacks);
        if let Some(at) = self.asks_at(now) {
            self.deadline = self.deadline.min(at);
        }
    }

    /// Ask for what is lacking, if it is time to. Over TCP nothing is lost.
    pub(super) fn ask_on(&mut self, now: Instant) {
        let round_trip = self.asked_over();
        let due = self.lacking.due(now, round_trip);
        let Some((from, to)) = self.place.filter(|_| !due.is_empty()) else {
            return;
        };
        let mut requests = vec![];
        for (stream, sequences) in due {
            if let Some(ssrc) = self.ssrc_of(stream) {
                requests.extend(nack::write(*self.asker, ssrc, &sequences));
            }
        }
        let Some(bytes) = self.seal(&requests) else {
            return;
        };
        self.own.push(Transmit {
            protocol: Protocol::Udp,
            from,
            to,
            bytes,
        });
    }

    /// When it is to be asked again.
    pub(super) fn asks_at(&self, now: Instant) -> Option<Instant> {
        self.lacking.deadline(now, self.asked_over())
    }

    fn asked_over(&self) -> Duration {
        self.repair_round_trip.unwrap_or_default()
    }

    fn ssrc_of(&mut self, stream: StreamId) -> Option<u32> {
        let (mid, rid) = self.bound(stream)?;
        let mut api = self.rtc.direct_api();
        api.stream_rx_by_mid(mid, rid).map(|rx| *rx.ssrc())
    }

    /// RTCP of ours as it is sent. None: the keys are not known yet, or none that are known here.
    pub(super) fn seal(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        self.can_seal().then_some(())?;
        self.sealer.as_mut()?.seal(packet)
    }

    pub(super) fn can_seal(&mut self) -> bool {
        if self.sealer.is_none() {
            self.sealer = self.keys.get().and_then(Sealer::new);
        }
        self.sealer.is_some()
    }
}
