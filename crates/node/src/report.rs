//! What a worker tells of itself once a second.

use std::time::Duration;

use mesh::{Fault, LinkReport, LinkState, Mesh, PairReport};

use crate::event::{Event, Figures, Link, Pair, Picture};
use crate::node::{Node, Outputs};

impl Node {
    pub(crate) fn report(&mut self, out: &mut Outputs) {
        let mesh = self.mesh.as_ref().map(Mesh::counts);
        let sizes = self.sfu.sizes();
        let counts = self
            .sfu
            .counts()
            .iter()
            .map(|(k, v)| (*k, *v))
            .chain(sizes)
            .chain(mesh.into_iter().flatten())
            .chain([("needs", self.needs.len() as u64)])
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        out.events.push(Event::Counters { counts });
        self.report_links(out);
    }

    pub(crate) fn report_links(&self, out: &mut Outputs) {
        let Some(mesh) = &self.mesh else { return };
        let links = mesh.links().into_iter().map(link).collect();
        out.events.push(Event::LinkReport { links });
    }
}

fn link(l: LinkReport) -> Link {
    Link {
        node: l.node.0,
        state: state_name(l.state),
        held: l.held,
        fault: l.fault.map(|fault| match fault {
            Fault::In => "in",
            Fault::Out => "out",
            Fault::Both => "both",
        }),
        rtt_ms: l.rtt.map(ms),
        rtt_min_ms: l.rtt_min.map(ms),
        rtt_p95_ms: l.rtt_p95.map(ms),
        delay_change_ms: ms(l.delay_change),
        jitter_ms: ms(l.jitter),
        loss: l.loss.into(),
        residual_loss: l.residual_loss.into(),
        loss_out: l.loss_out.into(),
        residual_loss_out: l.residual_loss_out.into(),
        burst: l.burst.into(),
        kbps_in: l.rate_in as f64 / 1e3,
        kbps_out: l.rate_out as f64 / 1e3,
        queue_ms: ms(l.queue),
        capacity_kbps: l.capacity.map(|rate| (rate / 1000) as u32),
        mtu: l.mtu,
        repair_share: l.repair_share.into(),
        parity_share: l.parity_share.into(),
        pair: l.pair,
        pairs: l.pairs.into_iter().map(pair).collect(),
        sent_packets: l.sent_packets,
        received_packets: l.received_packets,
    }
}

fn pair(p: PairReport) -> Pair {
    Pair {
        pair: p.pair,
        state: state_name(p.state),
        rtt_ms: p.rtt.map(ms),
        loss: p.loss.into(),
    }
}

pub(crate) fn figures_of(f: sfu::Figures) -> Figures {
    Figures {
        participant: f.participant,
        packets_up: f.packets_up,
        loss_up: f.loss_up,
        jitter_ms: ms(f.jitter),
        packets_down: f.packets_down,
        loss_down: f.loss_down,
        rtt_ms: f.round_trip.map(ms),
        silent_s: f.silent.as_secs_f64(),
        layers_wanted: f.layers_wanted,
        layers_sent: f.layers_sent,
        keyframes_asked: f.keyframes_asked,
        pictures: f.pictures.into_iter().map(picture).collect(),
    }
}

fn picture(p: sfu::Picture) -> Picture {
    Picture {
        track: p.track,
        layers: p.layers,
        fps: p.fps,
    }
}

fn state_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Up => "up",
        LinkState::Suspect => "suspect",
        LinkState::Down => "down",
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
