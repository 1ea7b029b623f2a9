//! On which links a frame goes out: first and second trees, fan-out around a sick end, detours.
//!
//! Nothing here is kept but by the caller: a plan holds until routes, policies or a link's health
//! change.

use wire::{Class, MAX_LINKS, NodeId, Tree, TreeBuf};

use crate::count::Count;
use crate::policy::Policies;
use crate::route::Routes;

/// The most neighbours that frames are fanned out over around a sick end.
const MAX_FAN: usize = 4;

/// How far a neighbour's link is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Good,
    /// Back only just: it carries, but others are taken before it.
    Held,
    /// Silent for too long, or too often: what goes there goes another way too.
    Suspect,
    /// It seems dead, but not for long: the last resort.
    Silent,
    /// Nothing can go there.
    Down,
}

/// What a plan is made from.
pub(crate) struct View<'a> {
    pub(crate) node: NodeId,
    pub(crate) routes: &'a Routes,
    pub(crate) policies: &'a Policies,
    pub(crate) health: &'a dyn Fn(NodeId) -> Health,
    /// Neighbours in good health, the nearest first.
    pub(crate) near: &'a [NodeId],
    /// Those on hold.
    pub(crate) held: &'a [NodeId],
    /// Two links of this node or more have just failed.
    pub(crate) sick: bool,
}

/// A copy of a frame for one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) next: NodeId,
    pub(crate) tree: TreeBuf,
}

/// What frames travel on one way, what on more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    First,
    /// Everything, because a first link is suspect.
    Doubled,
    /// Protected classes.
    Second,
    /// Audio and control, around a sick end.
    Wide,
}

struct Way {
    path: Vec<NodeId>,
    role: Role,
}

/// Where frames to a set of nodes go, with more and more copies.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    levels: [Vec<Branch>; 4],
    crossings: [u64; 4],
    /// Whether a level has more than the one below.
    more: [bool; 4],
    /// How many of the nodes can be reached.
    pub(crate) reached: u64,
    /// Why the others can't.
    pub(crate) failed: Vec<Count>,
}

impl Plan {
    pub(crate) fn new(view: &View<'_>, tag: u32, targets: &[NodeId]) -> Plan {
        let mut plan = Plan::default();
        let mut ways = Vec::new();
        for target in targets {
            match view.ways(tag, *target, &mut ways) {
                Ok(()) => plan.reached += 1,
                Err(reason) => plan.failed.push(reason),
            }
        }
        // First ways before copies: those share what they can, these only what is theirs anyway.
        ways.sort_by_key(|way| way.role);
        for (level, most) in [Role::First, Role::Doubled, Role::Second, Role::Wide]
            .into_iter()
            .enumerate()
        {
            let taken = ways.iter().take_while(|way| way.role <= most);
            let paths = taken.map(|way| (&way.path[..], way.role != Role::First));
            plan.levels[level] = grow(paths, MAX_LINKS - 1);
            let count = |branch: &Branch| branch.tree.as_tree().count() as u64;
            plan.crossings[level] = plan.levels[level].iter().map(count).sum();
            plan.more[level] = level > 0 && plan.levels[level] != plan.levels[level - 1];
        }
        plan
    }

    /// The level with the most copies that a class may have and that can be paid for: `pays` is
    /// asked for the links that copies cross. And whether any had to be left out.
    pub(crate) fn choose(&self, class: Class, mut pays: impl FnMut(u64) -> bool) -> (usize, bool) {
        let most = match class {
            Class::Control | Class::Audio => 3,
            Class::Base => 2,
            Class::Rest => 1,
        };
        let mut short = false;
        for level in (1..=most).rev() {
            if !self.more[level] {
                continue;
            }
            if pays(self.extra(level)) {
                return (level, short);
            }
            short = true;
        }
        (0, short)
    }

    pub(crate) fn level(&self, level: usize) -> &[Branch] {
        &self.levels[level]
    }

    /// Links that a frame crosses on first ways.
    pub(crate) fn crossings(&self) -> u64 {
        self.crossings[0]
    }

    /// Links that its copies cross on top.
    pub(crate) fn extra(&self, level: usize) -> u64 {
        self.crossings[level] - self.crossings[0]
    }
}

impl View<'_> {
    /// Append the ways to a node, if there is one.
    fn ways(&self, tag: u32, target: NodeId, ways: &mut Vec<Way>) -> Result<(), Count> {
        if !self.policies.knows(tag) {
            return Err(Count::DropTagUnknown);
        }
        if !self.policies.allow(tag, self.node) || !self.policies.allow(tag, target) {
            return Err(Count::DropTagForbidden);
        }
        let lease = self.routes.get(tag, target);
        let direct = [target];
        let leased = lease.into_iter().flat_map(|ways| {
            let second = ways.second.as_deref();
            [Some(&ways.first[..]), second].into_iter().flatten()
        });
        let mut known: Vec<&[NodeId]> = leased.chain([&direct[..]]).collect();
        known.retain(|path| self.policies.allow_all(tag, path));
        let health_of = |path: &&[NodeId]| self.health_of(path);
        let is_silent = |path: &&[NodeId]| health_of(path) == Health::Silent;
        let silent = known.iter().copied().find(is_silent);
        known.retain(|path| health_of(path) < Health::Silent);
        // Good ones first, otherwise as the lease has them.
        known.sort_by_key(|path| self.health_of(path));
        let over = |relays: &[NodeId], taken: &[Way]| -> Vec<Vec<NodeId>> {
            let free = |n: &&NodeId| {
                **n != target
                    && self.policies.allow(tag, **n)
                    && !taken.iter().any(|way| way.path[0] == **n)
            };
            let relays = relays.iter().filter(free);
            relays.map(|relay| vec![*relay, target]).collect()
        };
        let fan = |taken: &[Way]| over(self.near, taken);
        let begin = ways.len();
        let Some(first) = known.first() else {
            // Every known way is dead: somebody near may have one, or it only seems dead.
            let mut relays = lease.map(|_| fan(&[])).unwrap_or_default();
            relays.truncate(MAX_FAN);
            let apart = |path: &&[NodeId]| !relays.iter().any(|way| way[0] == path[0]);
            let silent = silent.filter(apart).map(<[NodeId]>::to_vec);
            let held = lease.map(|_| over(self.held, &[])).unwrap_or_default();
            let last = silent.into_iter().chain(held).collect::<Vec<_>>();
            let mut relays = relays.into_iter().chain(last).take(MAX_FAN);
            let Some(path) = relays.next() else {
                return Err(match lease {
                    Some(_) => Count::DropNextHopDown,
                    None => Count::DropNoRoute,
                });
            };
            let role = Role::First;
            ways.push(Way { path, role });
            let role = Role::Wide;
            ways.extend(relays.map(|path| Way { path, role }));
            return Ok(());
        };
        ways.push(Way {
            path: first.to_vec(),
            role: Role::First,
        });
        // The lease's first way may be the suspect one that comes second here.
        let lead = lease.map_or(&direct[..], |ways| &ways.first);
        let is_suspect = |path| self.health_of(path) == Health::Suspect;
        let role = if is_suspect(lead) || is_suspect(first) {
            Role::Doubled
        } else {
            Role::Second
        };
        let apart = |path: &&&[NodeId]| {
            let relays = &path[..path.len() - 1];
            path[0] != first[0] && !relays.iter().any(|relay| first.contains(relay))
        };
        // The direct link, or else somebody near, stands in for a leased way that fails or that
        // there is none of; else copies keep to the lease.
        let is_leased = |path: &[NodeId]| {
            lease.is_some_and(|ways| ways.first == path || ways.second.as_deref() == Some(path))
        };
        let bare = lease.is_some_and(|ways| {
            let fails = |path: &[NodeId]| self.health_of(path) != Health::Good;
            fails(&ways.first) || ways.second.as_deref().is_none_or(fails)
        });
        let may = |path: &&&[NodeId]| bare || is_leased(path);
        let second = known[1..].iter().filter(may).find(apart);
        let second = second.map(|path| path.to_vec());
        let second = match second {
            None if role == Role::Doubled || bare => fan(&ways[begin..]).into_iter().next(),
            second => second,
        };
        ways.extend(second.map(|path| Way { path, role }));
        let all_sick = known.iter().all(|path| is_suspect(path));
        if self.sick || all_sick {
            let room = MAX_FAN.saturating_sub(ways.len() - begin);
            let role = Role::Wide;
            let more = fan(&ways[begin..]).into_iter().take(room);
            ways.extend(more.map(|path| Way { path, role }));
        }
        Ok(())
    }

    /// Other ways to where `tree`, whose root's link fails, delivers, for a frame of `origin`
    /// that has crossed `hops` links: around its root, or to the root itself another way.
    pub(crate) fn around(
        &self,
        (origin, tag, hops): (NodeId, u32, u8),
        tree: Tree<'_>,
    ) -> Vec<Branch> {
        let root = tree.root().node;
        // A detour may be one link longer than what was planned; at the origin it is a plan.
        let longest = MAX_LINKS + u8::from(hops > 0) - hops.min(MAX_LINKS);
        let mut found: Vec<(Vec<NodeId>, bool)> = Vec::new();
        let mut chain: Vec<NodeId> = Vec::new();
        for stop in tree.stops() {
            chain.truncate(stop.depth.into());
            chain.push(stop.node);
            if !stop.delivers {
                continue;
            }
            let fits = |path: &Vec<NodeId>| {
                path.len() <= usize::from(longest)
                    && path[0] != root
                    && !path.contains(&origin)
                    && !path.contains(&self.node)
                    && TreeBuf::chain(path).is_some()
                    && self.policies.allow_all(tag, path)
            };
            let clear =
                |path: &Vec<NodeId>| fits(path) && (stop.node == root || !path.contains(&root));
            let own = self.own_ways(tag, stop.node, hops);
            let path = own.into_iter().find(clear).or_else(|| {
                let joined = self.own_ways(tag, root, hops).into_iter().map(|mut path| {
                    path.extend(&chain[1..]);
                    path
                });
                joined.into_iter().find(fits)
            });
            found.extend(path.map(|path| (path, stop.copy)));
        }
        found.sort_by_key(|(_, copy)| *copy);
        let paths = found.iter().map(|(path, copy)| (&path[..], *copy));
        grow(paths, longest - 1)
    }

    /// The ways that this node knows to another, and then those that it may try for a frame that
    /// has crossed `hops` links.
    fn own_ways(&self, tag: u32, target: NodeId, hops: u8) -> Vec<Vec<NodeId>> {
        let lease = self.routes.get(tag, target);
        let leased = lease.map(|ways| {
            let second = ways.second.clone();
            [Some(ways.first.clone()), second].into_iter().flatten()
        });
        let known = leased.into_iter().flatten().chain([vec![target]]);
        let mut ways: Vec<Vec<NodeId>> = known.collect();
        ways.retain(|path| self.health_of(path) <= Health::Held);
        ways.sort_by_key(|path| self.health_of(path));
        // Whether a neighbour reaches it is not known: a way on hold that does comes first.
        // From a relay a neighbour on hold may be where the frame came from.
        let held = if hops == 0 { self.held } else { &[] };
        let near = self.near.iter().chain(held).filter(|near| **near != target);
        ways.extend(near.take(MAX_FAN).map(|near| vec![*near, target]));
        ways
    }

    fn health_of(&self, path: &[NodeId]) -> Health {
        (self.health)(path[0])
    }
}

/// The paths, each with whether it is a copy's, as trees by first link: as few as possible.
fn grow<'a>(paths: impl Iterator<Item = (&'a [NodeId], bool)>, depth: u8) -> Vec<Branch> {
    let mut branches: Vec<Branch> = Vec::new();
    for (path, copy) in paths {
        let next = path[0];
        let fits = |branch: &mut Branch| {
            branch.next == next
                && (branch.tree.add(path, copy, depth)
                    || !copy && branch.tree.graft(path, copy, depth))
        };
        if branches.iter_mut().any(fits) {
            continue;
        }
        let mut tree = TreeBuf::new(next);
        if tree.add(path, copy, depth) {
            branches.push(Branch { next, tree });
        }
    }
    branches
}

#[cfg(test)]
mod tests;
