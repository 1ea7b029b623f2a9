//! A stub of the controller: shortest routes by configured delay, through at most one relay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh::Route;
use wire::NodeId;

#[derive(Default)]
pub(crate) struct Controller {
    /// One-way delay of each path that exists, by lower and higher node.
    delays: BTreeMap<(u16, u16), Duration>,
    /// Who says that its link to whom is up.
    up: BTreeSet<(u16, u16)>,
}

impl Controller {
    pub(crate) fn know(&mut self, a: u16, b: u16, delay: Duration) {
        self.delays.insert(pair(a, b), delay);
    }

    pub(crate) fn report(&mut self, node: u16, peer: u16, up: bool) {
        if up {
            self.up.insert((node, peer));
        } else {
            self.up.remove(&(node, peer));
        }
    }

    /// A restarted node has told nothing yet.
    pub(crate) fn forget(&mut self, node: u16) {
        self.up.retain(|(from, _)| *from != node);
    }

    /// The routes of one node.
    pub(crate) fn routes(&self, node: u16, nodes: &[u16]) -> Vec<Route> {
        let usable = |a, b| self.usable(a, b);
        let others = nodes.iter().copied().filter(|other| *other != node);
        let best = others.filter_map(|destination| {
            let direct = usable(node, destination).map(|delay| (delay, vec![]));
            let relayed = nodes.iter().copied().filter_map(|relay| {
                let delay = usable(node, relay)? + usable(relay, destination)?;
                Some((delay, vec![NodeId(relay)]))
            });
            let (_, via) = direct.into_iter().chain(relayed).min_by_key(|way| way.0)?;
            Some(Route {
                destination: NodeId(destination),
                via,
                ..Route::default()
            })
        });
        best.collect()
    }

    fn usable(&self, a: u16, b: u16) -> Option<Duration> {
        let both = self.up.contains(&(a, b)) && self.up.contains(&(b, a));
        self.delays.get(&pair(a, b)).copied().filter(|_| both)
    }
}

pub(crate) fn pair(a: u16, b: u16) -> (u16, u16) {
    (a.min(b), a.max(b))
}
