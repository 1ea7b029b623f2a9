//! What the client is told of what came: nothing of what was lost by chance.
//!
//! str0m's feedback calls all that is missing lost, which can't be changed. It is taken out of what str0m sends, and
//! ours goes out instead of it. (libwebrtc takes feedback about any SSRC: it can't be made to be about nobody.)

use std::time::Instant;

use str0m::rtp::RtpHeader;

use super::{Transport, twcc};
use crate::uplink::Sent;

impl Transport {
    /// A packet of the client's came.
    pub(super) fn rtp_came(&mut self, now: Instant, header: &RtpHeader, payload: &[u8]) {
        let repairs = self.repair_types.contains(&*header.payload_type);
        if let ([high, low, ..], true) = (payload, repairs) {
            self.lacking
                .came_again(now, u16::from_be_bytes([*high, *low]));
        }
        let Some(number) = header.ext_vals.transport_cc else {
            return;
        };
        let sent = Sent {
            number,
            at: header.ext_vals.abs_send_time,
            ssrc: *header.ssrc,
            sequence: header.sequence_number,
            repairs,
        };
        self.uplink.arrived(now, sent);
    }

    /// What goes out instead of RTCP of str0m's.
    pub(super) fn told(&mut self, now: Instant, rtcp: Vec<u8>) -> Vec<Vec<u8>> {
        if !self.uplink.heard() || !self.can_seal() {
            return vec![rtcp];
        }
        let sealer = self.sealer.as_mut();
        let Some(rest) = sealer.and_then(|sealer| sealer.reseal(&rtcp, twcc::without)) else {
            return vec![rtcp];
        };
        let mut told = vec![rest];
        let over = self.way_up().over();
        for arrivals in self.uplink.report(now, over) {
            told.extend(self.seal(&twcc::write(*self.asker, &arrivals)));
        }
        told.retain(|bytes| !bytes.is_empty());
        told
    }
}
