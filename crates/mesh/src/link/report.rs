//! What a link is like, as it is told.

use std::time::{Duration, Instant};

use wire::NodeId;

use super::Link;
use crate::config::Timing;

/// Whether a neighbour can be reached directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Never up since it was added.
    Connecting,
    Up,
    /// Silent for too long: everything on it is doubled.
    Suspect,
    Down,
}

/// One port pair as this node measures it.
#[derive(Clone, Debug, PartialEq)]
pub struct PairReport {
    pub pair: u8,
    pub state: LinkState,
    pub rtt: Option<Duration>,
    pub loss: f32,
}

/// Which way of a link fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From the peer.
    In,
    /// Towards it.
    Out,
    Both,
}

/// One link as this node measures it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkReport {
    pub node: NodeId,
    pub state: LinkState,
    /// Down, but it carries again: for those who have no other way.
    pub held: bool,
    /// While it is suspect or down.
    pub fault: Option<Fault>,
    /// Median of the last samples; None before the first.
    pub rtt: Option<Duration>,
    pub rtt_min: Option<Duration>,
    pub rtt_p95: Option<Duration>,
    /// How far the one-way delay from the peer stands above its least of the last minute.
    pub delay_change: Duration,
    /// The 95th percentile of the change of delay from packet to packet.
    pub jitter: Duration,
    /// Share of the peer's datagrams lost before repair, 0 to 1, over the last seconds.
    pub loss: f32,
    /// The same of numbered datagrams, after repair.
    pub residual_loss: f32,
    /// Of ours, as the peer reports them.
    pub loss_out: f32,
    pub residual_loss_out: f32,
    /// Datagrams lost in a row, mean.
    pub burst: f32,
    /// Bits per second, delivered from the peer and sent to it.
    pub rate_in: u64,
    pub rate_out: u64,
    /// What waits here to be paced, and above the least delay on the way out.
    pub queue: Duration,
    /// Bits per second out, given or learnt.
    pub capacity: Option<u64>,
    /// Bytes of UDP payload that pass.
    pub mtu: u16,
    /// Shares of the bytes sent.
    pub repair_share: f32,
    pub parity_share: f32,
    /// The port pair in use.
    pub pair: u8,
    pub pairs: Vec<PairReport>,
    pub sent_packets: u64,
    pub received_packets: u64,
}

impl Link {
    pub(crate) fn report(&self, now: Instant, timing: &Timing) -> LinkReport {
        let (loss, residual_loss) = self.measure.loss();
        let (repair_share, parity_share) = self.shares.get();
        let (loss_out, residual_loss_out) = self.measure.loss_out();
        let (rate_in, rate_out) = self.measure.rates();
        let rounds = self.measure.round_trips();
        LinkReport {
            node: self.node,
            state: self.state,
            held: self.carries() && !self.is_up(),
            fault: self.fault,
            rtt: rounds.map(|[_, median, _]| median),
            rtt_min: rounds.map(|[least, _, _]| least),
            rtt_p95: rounds.map(|[_, _, high]| high),
            delay_change: self.measure.delay_change(),
            jitter: self.measure.jitter(),
            loss,
            residual_loss,
            loss_out,
            residual_loss_out,
            burst: self.measure.burst(),
            rate_in,
            rate_out,
            queue: self.pacer.delay() + self.measure.peer_queue(),
            capacity: self.pacer.capacity(),
            mtu: self.mtu.size,
            repair_share,
            parity_share,
            pair: self.active as u8,
            pairs: self.pair_reports(now, timing),
            sent_packets: self.measure.sent_packets,
            received_packets: self.measure.received_packets,
        }
    }
}
