//! Which ways to each node: the leased routes of this one.

use std::collections::HashMap;

use wire::{MAX_LINKS, NodeId, TreeBuf};

use crate::count::{Count, Counts};
use crate::policy::Policies;

/// The ways to `destination` for frames under `tag` (0: none): through `via` in order, at most
/// two relays, where empty is the direct link; and the second, disjoint one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub destination: NodeId,
    pub via: Vec<NodeId>,
    pub second: Option<Vec<NodeId>>,
    pub tag: u32,
}

/// The ways of one route: every node after this one, the destination last.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) first: Vec<NodeId>,
    pub(crate) second: Option<Vec<NodeId>>,
}

#[derive(Debug, Default)]
pub(crate) struct Routes(HashMap<(u32, NodeId), Ways>);

impl Routes {
    /// Replace every route. A way that cannot be (too long, a loop) is counted and left out; one
    /// through a node where its tag may not go is counted, and never taken.
    pub(crate) fn replace(
        &mut self,
        node: NodeId,
        routes: &[Route],
        policies: &Policies,
        counts: &mut Counts,
    ) {
        self.0.clear();
        for route in routes {
            let mut way = |via: &[NodeId]| {
                let mut path = via.to_vec();
                path.push(route.destination);
                let fits = path.len() <= usize::from(MAX_LINKS)
                    && !path.contains(&node)
                    && TreeBuf::chain(&path).is_some();
                // Which nodes a tag allows may yet change: that is looked at when a frame goes.
                let strays = policies.knows(route.tag) && !policies.allow_all(route.tag, &path);
                if !fits || strays {
                    counts.add(Count::InvalidRoutes);
                }
                fits.then_some(path)
            };
            let first = way(&route.via);
            let second = route.second.as_deref().and_then(&mut way);
            let second = second.filter(|second| first.as_ref() != Some(second));
            let ways = match (first, second) {
                (Some(first), second) => Ways { first, second },
                (None, Some(first)) => {
                    let second = None;
                    Ways { first, second }
                }
                (None, None) => continue,
            };
            self.0.insert((route.tag, route.destination), ways);
        }
    }

    /// Whether a second way begins with the link to this node.
    #[allow(clippy::disallowed_methods)] // the order is not seen
    pub(crate) fn is_second(&self, next: NodeId) -> bool {
        let mut seconds = self.0.values().filter_map(|ways| ways.second.as_ref());
        seconds.any(|path| path.first() == Some(&next))
    }

    /// The ways to `destination` for frames under `tag`: those of another tag never serve it.
    pub(crate) fn get(&self, tag: u32, destination: NodeId) -> Option<&Ways> {
        self.0.get(&(tag, destination))
    }
}
