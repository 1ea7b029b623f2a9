//! Where frames may be: the sets of nodes that tags stand for.

use std::collections::{HashMap, HashSet};

use wire::NodeId;

/// The nodes where frames under `tag` (not 0) may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub tag: u32,
    pub nodes: Vec<NodeId>,
}

/// Every policy that this node knows. It fails closed: what is not known to be allowed is not.
#[derive(Debug, Default)]
pub(crate) struct Policies(HashMap<u32, HashSet<NodeId>>);

impl Policies {
    pub(crate) fn replace(&mut self, policies: &[Policy]) {
        self.0.clear();
        for policy in policies {
            // Two sets under one tag contradict each other: what both allow is allowed.
            let nodes: HashSet<NodeId> = policy.nodes.iter().copied().collect();
            match self.0.get_mut(&policy.tag) {
                Some(set) => set.retain(|node| nodes.contains(node)),
                None => {
                    self.0.insert(policy.tag, nodes);
                }
            }
        }
    }

    pub(crate) fn knows(&self, tag: u32) -> bool {
        tag == 0 || self.0.contains_key(&tag)
    }

    /// Whether a frame under `tag` may be at `node`. Untagged ones may be anywhere.
    pub(crate) fn allow(&self, tag: u32, node: NodeId) -> bool {
        tag == 0 || self.0.get(&tag).is_some_and(|set| set.contains(&node))
    }

    pub(crate) fn allow_all(&self, tag: u32, nodes: &[NodeId]) -> bool {
        nodes.iter().all(|node| self.allow(tag, *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(tag: u32, nodes: &[u16]) -> Policy {
        let nodes = nodes.iter().copied().map(NodeId).collect();
        Policy { tag, nodes }
    }

    #[test]
    fn what_is_not_known_to_be_allowed_is_not() {
        let mut policies = Policies::default();
        assert!(policies.allow(0, NodeId(1)) && policies.knows(0));
        assert!(!policies.allow(7, NodeId(1)) && !policies.knows(7));
        policies.replace(&[policy(7, &[1, 2]), policy(8, &[3]), policy(7, &[2, 3])]);
        assert!(policies.allow(7, NodeId(2)) && !policies.allow(7, NodeId(1)));
        assert!(!policies.allow(7, NodeId(3)) && policies.allow(8, NodeId(3)));
        assert!(policies.allow_all(7, &[]) && !policies.allow_all(7, &[NodeId(2), NodeId(3)]));
        policies.replace(&[]);
        assert!(!policies.allow(7, NodeId(2)));
    }
}
