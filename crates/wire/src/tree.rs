//! The nodes that a frame still has to cross: a tree in preorder, its root the receiver.
//!
//! ```text
//! n x (node 2 | shape 1)
//! shape: depth below the root 2 bits | delivers here 1 | as a copy 1 | 0
//! ```

use crate::{Malformed, NodeId};

/// The most nodes in one frame's tree; more destinations make several frames.
pub const MAX_TREE: usize = 16;

/// The deepest that a shape can say: a detour around the first of three links.
const MAX_DEPTH: u8 = 3;
const DEPTH: u8 = 0b11;
const DELIVERS: u8 = 1 << 2;
const COPY: u8 = 1 << 3;
const ENTRY: usize = 3;

/// A tree where it lies in a frame. Taking a branch of it copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// At least one entry, checked.
    entries: &'a [[u8; ENTRY]],
    /// The depth of the root in the frame that this came in.
    base: u8,
}

/// One node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub node: NodeId,
    /// 0 at the root.
    pub depth: u8,
    pub delivers: bool,
    /// What is delivered here goes here on another way too, by which it is expected.
    pub copy: bool,
}

impl<'a> Tree<'a> {
    /// From the entries of a frame: a tree in which every leaf delivers and no node is twice.
    pub fn decode(bytes: &'a [u8]) -> Result<Tree<'a>, Malformed> {
        let (entries, rest) = bytes.as_chunks::<ENTRY>();
        let bad = |value: u8| Malformed::Value {
            what: "tree",
            value: value.into(),
        };
        if entries.is_empty() || entries.len() > MAX_TREE || !rest.is_empty() {
            return Err(bad(entries.len() as u8));
        }
        for (i, [high, low, shape]) in entries.iter().enumerate() {
            let depth = shape & DEPTH;
            let above = i.checked_sub(1).map(|i| entries[i][2] & DEPTH);
            let next = entries.get(i + 1).map_or(0, |next| next[2] & DEPTH);
            let fits = above.map_or(depth == 0, |above| (1..=above + 1).contains(&depth));
            let leaf = next <= depth;
            let delivers = shape & DELIVERS != 0;
            let sense = (delivers || !leaf && shape & COPY == 0) && shape >> 4 == 0;
            let twice = entries[..i].iter().any(|e| e[..2] == [*high, *low]);
            if !fits || !sense || twice || [*high, *low] == [0, 0] {
                return Err(bad(*shape));
            }
        }
        Ok(Tree { entries, base: 0 })
    }

    /// Bytes that the tree takes in a frame.
    pub fn encoded_len(&self) -> usize {
        self.entries.len() * ENTRY
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.base == 0 {
            out.extend_from_slice(self.entries.as_flattened());
        } else {
            for [high, low, shape] in self.entries {
                out.extend([*high, *low, *shape - self.base]);
            }
        }
    }

    /// How many nodes: the links that the frame still crosses, the one to the root among them.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    pub fn root(&self) -> Stop {
        self.stop(0)
    }

    /// Every node, in preorder.
    pub fn stops(&self) -> impl Iterator<Item = Stop> + use<'a> {
        let tree = *self;
        (0..self.entries.len()).map(move |i| tree.stop(i))
    }

    /// Links below the root.
    pub fn depth(&self) -> u8 {
        self.stops().map(|stop| stop.depth).max().unwrap_or(0)
    }

    /// Each child of the root, with what lies below it.
    pub fn branches(&self) -> impl Iterator<Item = Tree<'a>> + use<'a> {
        let base = self.base + 1;
        let mut rest = &self.entries[1..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let deeper = rest[1..].iter().take_while(|e| e[2] & DEPTH > base).count();
            let (entries, after) = rest.split_at(1 + deeper);
            rest = after;
            Some(Tree { entries, base })
        })
    }

    fn stop(&self, i: usize) -> Stop {
        let [high, low, shape] = self.entries[i];
        Stop {
            node: NodeId(u16::from_be_bytes([high, low])),
            depth: (shape & DEPTH) - self.base,
            delivers: shape & DELIVERS != 0,
            copy: shape & COPY != 0,
        }
    }
}

impl PartialEq for Tree<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count() && self.stops().eq(other.stops())
    }
}

impl Eq for Tree<'_> {}

/// A tree of one's own, grown path by path from its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeBuf(Vec<[u8; ENTRY]>);

impl TreeBuf {
    /// A root that nothing is delivered at yet: add a path before it is sent.
    pub fn new(root: NodeId) -> TreeBuf {
        let [high, low] = root.0.to_be_bytes();
        TreeBuf(vec![[high, low, 0]])
    }

    /// The chain through `path` to its last node. None if it is empty, too long or has a node twice.
    pub fn chain(path: &[NodeId]) -> Option<TreeBuf> {
        let mut tree = TreeBuf::new(*path.first()?);
        tree.add(path, false, MAX_DEPTH).then_some(tree)
    }

    pub fn as_tree(&self) -> Tree<'_> {
        Tree {
            entries: &self.0,
            base: 0,
        }
    }

    /// Grow the way along `path`, which begins at the root, to its last node. False, and nothing
    /// grew, if a node of it is in the tree elsewhere, it goes deeper than `depth`, or the tree
    /// is full.
    pub fn add(&mut self, path: &[NodeId], copy: bool, depth: u8) -> bool {
        if path.first() != Some(&self.as_tree().root().node) {
            return false;
        }
        let mut at = 0;
        let mut known = 1;
        while let Some(next) = path.get(known) {
            let Some(child) = self.child(at, *next) else {
                break;
            };
            at = child;
            known += 1;
        }
        self.grow(at, &path[known..], copy, depth)
    }

    /// The same, but from wherever in the tree the last node of `path` is that can be reached
    /// there already: shared links first, the path's own course second.
    pub fn graft(&mut self, path: &[NodeId], copy: bool, depth: u8) -> bool {
        let known = (0..path.len()).rev().find_map(|i| {
            let at = self.find(path[i])?;
            let end = usize::from(self.0[at][2] & DEPTH) + path.len() - 1 - i;
            (end <= usize::from(depth)).then_some((at, i + 1))
        });
        known.is_some_and(|(at, known)| self.grow(at, &path[known..], copy, depth))
    }

    fn grow(&mut self, at: usize, path: &[NodeId], copy: bool, depth: u8) -> bool {
        let above = self.0[at][2] & DEPTH;
        let deepest = usize::from(above) + path.len();
        let twice = |i: usize| path[..i].contains(&path[i]) || self.find(path[i]).is_some();
        if deepest > usize::from(depth.min(MAX_DEPTH))
            || self.0.len() + path.len() > MAX_TREE
            || (0..path.len()).any(|i| twice(i) || path[i].0 == 0)
        {
            return false;
        }
        let end = self.end(at);
        let new = path.iter().zip(above + 1..).map(|(node, depth)| {
            let [high, low] = node.0.to_be_bytes();
            [high, low, depth]
        });
        self.0.splice(end..end, new);
        let last = if path.is_empty() {
            at
        } else {
            end + path.len() - 1
        };
        let shape = &mut self.0[last][2];
        let first = *shape & DELIVERS != 0 && *shape & COPY == 0;
        *shape |= DELIVERS | COPY;
        if !copy || first {
            *shape &= !COPY;
        }
        true
    }

    fn find(&self, node: NodeId) -> Option<usize> {
        let id = node.0.to_be_bytes();
        self.0.iter().position(|e| e[..2] == id)
    }

    fn child(&self, at: usize, node: NodeId) -> Option<usize> {
        let depth = (self.0[at][2] & DEPTH) + 1;
        let child = self.find(node)?;
        let below = (at + 1..self.end(at)).contains(&child);
        (below && self.0[child][2] & DEPTH == depth).then_some(child)
    }

    /// One past the last entry below `at`.
    fn end(&self, at: usize) -> usize {
        let depth = self.0[at][2] & DEPTH;
        let below = self.0[at + 1..].iter();
        at + 1 + below.take_while(|e| e[2] & DEPTH > depth).count()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn nodes(ids: &[u16]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn shape(tree: Tree<'_>) -> Vec<(u16, u8, bool, bool)> {
        let of = |s: Stop| (s.node.0, s.depth, s.delivers, s.copy);
        tree.stops().map(of).collect()
    }

    #[test]
    fn paths_share_what_they_share() {
        let mut tree = TreeBuf::new(NodeId(1));
        assert!(tree.add(&nodes(&[1, 2, 3]), false, 2));
        assert!(tree.add(&nodes(&[1, 4]), true, 2));
        assert!(tree.add(&nodes(&[1, 2, 5]), false, 2));
        assert!(tree.add(&nodes(&[1]), false, 2));
        let expected = [
            (1, 0, true, false),
            (2, 1, false, false),
            (3, 2, true, false),
            (5, 2, true, false),
            (4, 1, true, true),
        ];
        assert_eq!(shape(tree.as_tree()), expected);
        let branches: Vec<_> = tree.as_tree().branches().map(shape).collect();
        let left = [
            (2, 0, false, false),
            (3, 1, true, false),
            (5, 1, true, false),
        ];
        assert_eq!(branches, [&left[..], &[(4, 0, true, true)]]);
        // The expected way wins over the copy, whichever is added first.
        assert!(tree.add(&nodes(&[1, 4]), false, 2) && tree.add(&nodes(&[1, 2, 3]), true, 2));
        assert!(tree.as_tree().stops().all(|stop| !stop.copy));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut tree = TreeBuf::new(NodeId(1));
        assert!(tree.add(&nodes(&[1, 2, 3]), false, 2));
        let before = tree.clone();
        for path in [
            &[2, 3][..],
            &[1, 3],
            &[1, 4, 2],
            &[1, 2, 3, 4],
            &[1, 1],
            &[1, 5, 5],
            &[1, 0],
            &[],
        ] {
            assert!(!tree.add(&nodes(path), false, 2), "{path:?}");
        }
        assert_eq!(tree, before);
        for i in 4..=MAX_TREE as u16 {
            assert!(tree.add(&nodes(&[1, i]), false, 2));
        }
        assert!(!tree.add(&nodes(&[1, 99]), false, 2), "it is full");
    }

    #[test]
    fn a_graft_takes_the_way_that_is_there() {
        let mut tree = TreeBuf::new(NodeId(1));
        assert!(tree.add(&nodes(&[1, 2, 3]), false, 2));
        assert!(tree.graft(&nodes(&[1, 3]), false, 2));
        assert_eq!(tree.as_tree().count(), 3);
        assert!(!tree.graft(&nodes(&[1, 3, 4]), false, 2), "too deep there");
        assert!(tree.graft(&nodes(&[1, 5, 2]), false, 2));
        assert!(tree.as_tree().stops().nth(1).unwrap().delivers);
        assert!(!tree.graft(&nodes(&[7, 8]), false, 2));
    }
}
