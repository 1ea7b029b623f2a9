//! Which way to each node: the leased routes of this one.

use std::collections::BTreeMap;

use wire::{Hops, NodeId};

use crate::count::{Count, Counts};

/// The ways to `destination` for frames under `tag` (0: none): through `via` in order, at most
/// two relays, where empty is the direct link; and the second, disjoint one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub destination: NodeId,
    pub via: Vec<NodeId>,
    pub second: Option<Vec<NodeId>>,
    pub tag: u32,
}

#[derive(Default)]
pub(crate) struct Routes(BTreeMap<NodeId, Hops>);

impl Routes {
    /// Replace every route. One that cannot be (too long, a loop) is counted and left out.
    pub(crate) fn replace(&mut self, node: NodeId, routes: &[Route], counts: &mut Counts) {
        self.0.clear();
        for route in routes {
            match Hops::new(&route.via, route.destination) {
                Some(hops) if !hops.nodes().contains(&node) => {
                    self.0.insert(route.destination, hops);
                }
                _ => counts.add(Count::InvalidRoutes),
            }
        }
    }

    /// The way to take now: the lease if its first link is up, else the direct link if that is.
    pub(crate) fn resolve(
        &self,
        destination: NodeId,
        is_up: impl Fn(NodeId) -> bool,
    ) -> Result<Hops, Count> {
        let lease = self.0.get(&destination);
        if let Some(hops) = lease.filter(|hops| is_up(hops.first())) {
            return Ok(*hops);
        }
        match Hops::new(&[], destination) {
            Some(direct) if is_up(destination) => Ok(direct),
            _ if lease.is_some() => Err(Count::DropNextHopDown),
            _ => Err(Count::DropNoRoute),
        }
    }
}
