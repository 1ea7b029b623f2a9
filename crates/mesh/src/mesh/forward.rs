//! Frames of others passed on, around what fails; and what was sent on a failing link sent again.

use std::sync::Arc;
use std::time::Instant;

use wire::{Class, Content, Frames, Header, NodeId, Tree};

use super::Mesh;
use super::sending::health;
use crate::count::Count;
use crate::message::Output;
use crate::plan::{Branch, Health};

/// Detours kept; past it all are made anew.
const MAX_DETOURS: usize = 4096;

impl Mesh {
    /// Pass a frame on to a branch of its tree.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        header: &Header<'_>,
        branch: Tree<'_>,
        content: &[u8],
        out: &mut Vec<Output>,
    ) {
        let next = branch.root().node;
        if !self.policies.allow(header.tag, next) {
            self.counts.add(Count::DropTagForbidden);
            return;
        }
        if header.class == Class::Control
            && let Some(stream) = Content::keyframe_request(content)
            && !self.keyframes.pass(now, stream)
        {
            self.counts.add(Count::KeyframesAbsorbed);
            return;
        }
        let health = self.links.get(&next).map_or(Health::Down, health);
        let length = content.len() as u64 * branch.count() as u64;
        let detoured = health >= Health::Suspect
            && !header.detoured
            && (health >= Health::Silent || self.budget.take(now, header.class, length))
            && self.detour(now, header, header.hops, branch, content, out);
        if detoured {
            self.counts.add(Count::Detours);
        }
        if health < Health::Silent || health == Health::Silent && !detoured {
            if detoured {
                self.counts.add_many(Count::CopyBytes, length);
            }
            self.counts.add(Count::Relayed);
            if header.tag != 0 {
                self.counts.add(Count::RelayedTagged);
            }
            self.push(now, next, &header.onward(branch), content, out);
        } else if !detoured {
            self.counts.add(Count::DropRelayDown);
        }
    }

    /// Send a frame, which has crossed `hops` links, to where a branch delivers, not by the link
    /// to its root; false if there is no other way.
    fn detour(
        &mut self,
        now: Instant,
        header: &Header<'_>,
        hops: u8,
        branch: Tree<'_>,
        content: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        let branches = self.around(now, (header.origin, header.tag, hops), branch);
        for branch in &*branches {
            let header = Header {
                hops: hops + 1,
                // At the origin it is a plan like any other.
                detoured: hops > 0,
                tree: branch.tree.as_tree(),
                ..*header
            };
            self.push(now, branch.next, &header, content, out);
        }
        !branches.is_empty()
    }

    fn around(
        &mut self,
        now: Instant,
        (origin, tag, hops): (NodeId, u32, u8),
        tree: Tree<'_>,
    ) -> Arc<[Branch]> {
        let mut key = std::mem::take(&mut self.detour_key);
        key.clear();
        key.extend(origin.0.to_be_bytes());
        key.extend(tag.to_be_bytes());
        key.push(hops);
        tree.encode(&mut key);
        let found = if let Some(known) = self.detours.get(&key[..]) {
            known.clone()
        } else {
            let found: Arc<[Branch]> = self
                .view(now, |view| view.around((origin, tag, hops), tree))
                .into();
            if self.detours.len() >= MAX_DETOURS {
                self.detours.clear();
            }
            self.detours.insert(key[..].into(), found.clone());
            found
        };
        self.detour_key = key;
        found
    }

    /// A link fails: what was sent on it since it was known to work, and is not too old to be of
    /// use, goes again another way. The exit drops what it had.
    pub(super) fn replay(&mut self, now: Instant, node: NodeId, out: &mut Vec<Output>) {
        let Some(link) = self.links.get(&node) else {
            return;
        };
        let round = link.measure.rtt().unwrap_or_default();
        for (sent, frames) in link.doubtful(now) {
            let age = now.saturating_duration_since(sent);
            for frame in Frames::new(&frames).flatten() {
                let Ok((header, content)) = Header::decode(frame) else {
                    continue;
                };
                let allowed = self.policies.allow(header.tag, self.config.node)
                    && self.policies.allow(header.tag, header.origin);
                let length = content.len() as u64 * header.tree.count() as u64;
                if header.detoured
                    || !allowed
                    || age > header.class.budget() + round
                    || !self.budget.take(now, header.class, length)
                {
                    continue;
                }
                let hops = header.hops - 1;
                if self.detour(now, &header, hops, header.tree, content, out) {
                    self.counts.add(Count::Replayed);
                    self.counts.add_many(Count::CopyBytes, length);
                }
            }
        }
    }
}
