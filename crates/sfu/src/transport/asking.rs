//! Asking a client on for packets for which str0m has asked as often as it does.

use std::time::Instant;

use wire::StreamId;

use super::srtcp::Sealer;
use super::{Protocol, Transmit, Transport};
use crate::holes::WayUp;
use crate::nack;

/// Where so much is lost, what five requests did not bring is asked for again.
const MUCH_LOST: f32 = 0.2;

impl Transport {
    /// What is known of the way that its packets come.
    pub(crate) fn way_up(&self) -> WayUp {
        WayUp {
            round_trip: self.repair_round_trip,
            lossy: self.requests.share() >= MUCH_LOST,
        }
    }

    /// Ask for packets of a stream for which str0m does not ask any more. Over TCP nothing is lost.
    pub(crate) fn ask_on(&mut self, now: Instant, stream: StreamId, sequences: &[u64]) {
        let bound = self.bindings.iter().find(|(.., bound)| *bound == stream);
        let Some(((mid, rid, _), (from, to))) = bound.zip(self.place) else {
            return;
        };
        let (mid, rid) = (*mid, *rid);
        let mut api = self.rtc.direct_api();
        let Some(ssrc) = api.stream_rx_by_mid(mid, rid).map(|rx| *rx.ssrc()) else {
            return;
        };
        let Some(bytes) = self.seal(&nack::write(*self.asker, ssrc, sequences)) else {
            return;
        };
        let transmit = Transmit {
            protocol: Protocol::Udp,
            from,
            to,
            bytes,
        };
        self.requests.sent(now, &transmit);
        self.own.push(transmit);
        self.changed(now);
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
