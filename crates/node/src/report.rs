//! What a worker tells of itself once a second.

use mesh::Mesh;

use crate::event::{Event, Link};
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
        let links = mesh.links().into_iter().map(|l| Link {
            node: l.node.0,
            state: match l.state {
                mesh::LinkState::Connecting => "connecting",
                mesh::LinkState::Up => "up",
                mesh::LinkState::Down => "down",
            },
            rtt_ms: l.rtt.map(|d| d.as_secs_f64() * 1e3),
            jitter_ms: l.jitter.as_secs_f64() * 1e3,
            loss: l.loss.into(),
            residual_loss: l.residual_loss.into(),
            sent_packets: l.sent_packets,
            received_packets: l.received_packets,
        });
        out.events.push(Event::LinkReport {
            links: links.collect(),
        });
    }
}
