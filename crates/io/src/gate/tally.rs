//! What the gate counted, under the names that the product sees.

use std::collections::BTreeMap;

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) closed: u64,
    /// Streams that turned out to be nothing that we serve.
    pub(super) unknown: u64,
    pub(super) turn: u64,
    pub(super) ice: u64,
    pub(super) web: u64,
    pub(super) tls: u64,
    pub(super) tls_failed: u64,
    pub(super) bad_streams: u64,
    pub(super) slow_dropped: u64,
    pub(super) udp_received: u64,
    pub(super) udp_dropped: u64,
    pub(super) handover_dropped: u64,
    pub(super) certificate_failed: u64,
}

impl Tally {
    pub(super) fn add_to(&self, counts: &mut BTreeMap<String, u64>) {
        let figures = [
            ("gate_accepted", self.accepted),
            ("gate_refused", self.refused),
            ("gate_closed", self.closed),
            ("gate_unknown", self.unknown),
            ("gate_turn_streams", self.turn),
            ("gate_ice_streams", self.ice),
            ("gate_web_streams", self.web),
            ("gate_tls_streams", self.tls),
            ("gate_tls_failed", self.tls_failed),
            ("gate_bad_streams", self.bad_streams),
            ("gate_slow_dropped", self.slow_dropped),
            ("gate_udp_received", self.udp_received),
            ("gate_udp_dropped", self.udp_dropped),
            ("gate_handover_dropped", self.handover_dropped),
            ("gate_certificate_failed", self.certificate_failed),
        ];
        for (name, value) in figures {
            counts.insert(name.to_owned(), value);
        }
    }
}
