//! Which way to each node: the leased routes of this one.

use std::collections::BTreeMap;

use wire::{MAX_LINKS, NodeId, TreeBuf};

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
pub(crate) struct Routes(BTreeMap<NodeId, Vec<NodeId>>);

impl Routes {
    /// Replace every route. One that cannot be (too long, a loop) is counted and left out.
    pub(crate) fn replace(&mut self, node: NodeId, routes: &[Route], counts: &mut Counts) {
        self.0.clear();
        for route in routes {
            let mut path = route.via.clone();
            path.push(route.destination);
            if path.len() <= usize::from(MAX_LINKS)
                && !path.contains(&node)
                && TreeBuf::chain(&path).is_some()
            {
                self.0.insert(route.destination, path);
            } else {
                counts.add(Count::InvalidRoutes);
            }
        }
    }

    /// The way to take now: the lease if its first link is up, else the direct link if that is.
    pub(crate) fn resolve(
        &self,
        destination: NodeId,
        is_up: impl Fn(NodeId) -> bool,
    ) -> Result<TreeBuf, Count> {
        let lease = self.0.get(&destination);
        let usable = lease.filter(|path| is_up(path[0]));
        if let Some(tree) = usable.and_then(|path| TreeBuf::chain(path)) {
            return Ok(tree);
        }
        match TreeBuf::chain(&[destination]) {
            Some(direct) if is_up(destination) => Ok(direct),
            _ if lease.is_some() => Err(Count::DropNextHopDown),
            _ => Err(Count::DropNoRoute),
        }
    }
}
