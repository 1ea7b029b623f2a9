//! What the sockets and queues of one worker counted, under the names that the product sees.

use std::collections::BTreeMap;

/// Totals since the start. Each field is a key of `Counters.counts`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) udp_received: u64,
    pub(crate) udp_sent: u64,
    pub(crate) udp_receive_calls: u64,
    pub(crate) udp_send_calls: u64,
    pub(crate) udp_send_backlog_dropped: u64,
    pub(crate) udp_send_failed: u64,
    pub(crate) mesh_received: u64,
    pub(crate) mesh_sent: u64,
    pub(crate) mesh_send_calls: u64,
    pub(crate) mesh_send_dropped: u64,
    pub(crate) emulation_dropped: u64,
    pub(crate) tcp_accepted: u64,
    pub(crate) tcp_refused: u64,
    pub(crate) tcp_closed: u64,
    pub(crate) tcp_bad_frames: u64,
    pub(crate) tcp_received: u64,
    pub(crate) tcp_sent: u64,
    pub(crate) tcp_slow_dropped: u64,
    pub(crate) tcp_gone_dropped: u64,
    pub(crate) handed_over: u64,
    pub(crate) inbox_dropped: u64,
    pub(crate) owners_full: u64,
    pub(crate) strays: u64,
    pub(crate) bus_dropped: u64,
    pub(crate) relay_dropped: u64,
}

impl Tally {
    /// Adds each figure to the map under its name.
    pub(crate) fn add_to(&self, counts: &mut BTreeMap<String, u64>) {
        let figures = [
            ("io_udp_received", self.udp_received),
            ("io_udp_sent", self.udp_sent),
            ("io_udp_receive_calls", self.udp_receive_calls),
            ("io_udp_send_calls", self.udp_send_calls),
            ("io_udp_send_backlog_dropped", self.udp_send_backlog_dropped),
            ("io_udp_send_failed", self.udp_send_failed),
            ("io_mesh_received", self.mesh_received),
            ("io_mesh_sent", self.mesh_sent),
            ("io_mesh_send_calls", self.mesh_send_calls),
            ("io_mesh_send_dropped", self.mesh_send_dropped),
            ("io_emulation_dropped", self.emulation_dropped),
            ("io_tcp_accepted", self.tcp_accepted),
            ("io_tcp_refused", self.tcp_refused),
            ("io_tcp_closed", self.tcp_closed),
            ("io_tcp_bad_frames", self.tcp_bad_frames),
            ("io_tcp_received", self.tcp_received),
            ("io_tcp_sent", self.tcp_sent),
            ("io_tcp_slow_dropped", self.tcp_slow_dropped),
            ("io_tcp_gone_dropped", self.tcp_gone_dropped),
            ("io_handed_over", self.handed_over),
            ("io_inbox_dropped", self.inbox_dropped),
            ("io_owners_full", self.owners_full),
            ("io_strays", self.strays),
            ("io_bus_dropped", self.bus_dropped),
            ("io_relay_dropped", self.relay_dropped),
        ];
        for (name, value) in figures {
            *counts.entry(name.to_owned()).or_default() += value;
        }
    }
}
