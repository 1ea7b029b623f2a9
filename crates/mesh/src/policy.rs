//! Where frames may be: the sets of nodes that tags stand for.

use wire::NodeId;

/// The nodes where frames under `tag` (not 0) may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub tag: u32,
    pub nodes: Vec<NodeId>,
}
