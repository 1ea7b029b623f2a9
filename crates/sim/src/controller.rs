//! A stub of the controller: shortest routes by configured delay through at most one relay, and
//! the best other way beside them. The shipping controller is Python's; see `tests/world`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use node::{Command, Link, Policy, Route};

/// What a link on hold costs a first way on top, and a second one, in microseconds.
const HELD: [u64; 2] = [2_000_000, 60_000];

#[derive(Default)]
pub(crate) struct Controller {
    /// One-way delay of each path that exists, by lower and higher node.
    delays: BTreeMap<(u16, u16), Duration>,
    /// Who says that its link to whom works, and whether it is on hold.
    works: BTreeMap<(u16, u16), bool>,
    /// Where frames may be under each tag.
    policies: BTreeMap<u32, BTreeSet<u16>>,
}

impl Controller {
    pub(crate) fn know(&mut self, a: u16, b: u16, delay: Duration) {
        self.delays.insert(pair(a, b), delay);
    }

    pub(crate) fn allow(&mut self, tag: u32, nodes: BTreeSet<u16>) {
        self.policies.insert(tag, nodes);
    }

    /// True if a link changed between working and not.
    pub(crate) fn report(&mut self, node: u16, links: &[Link]) -> bool {
        let mut changed = false;
        for link in links {
            let ends = (node, link.node);
            let works = link.held || matches!(link.state, "up" | "suspect");
            let now = works.then_some(link.held);
            let before = match now {
                Some(held) => self.works.insert(ends, held),
                None => self.works.remove(&ends),
            };
            changed |= before != now;
        }
        changed
    }

    /// A restarted node has told nothing yet.
    pub(crate) fn forget(&mut self, node: u16) {
        self.works.retain(|(from, _), _| *from != node);
    }

    /// What each node is told.
    pub(crate) fn tables(&self, nodes: &[u16]) -> Vec<(u16, [Command; 2])> {
        let costs = self.costs(nodes);
        let mut routes: Vec<Vec<Route>> = nodes.iter().map(|_| Vec::new()).collect();
        let everywhere = (0, nodes.iter().copied().collect::<BTreeSet<u16>>());
        let tags = self.policies.iter().map(|(tag, nodes)| (*tag, nodes));
        for (tag, allowed) in std::iter::once((0, &everywhere.1)).chain(tags) {
            let within = |i: &usize| allowed.contains(&nodes[*i]);
            let members: Vec<usize> = (0..nodes.len()).filter(within).collect();
            for from in &members {
                for to in members.iter().filter(|to| *to != from) {
                    let Some((first, second)) = two_ways(&costs, &members, *from, *to) else {
                        continue;
                    };
                    let via = |relay: Option<usize>| relay.map(|r| nodes[r]).into_iter().collect();
                    let mut route = Route::direct(nodes[*to]);
                    route.via = via(first);
                    route.second = second.map(via);
                    route.tag = tag;
                    routes[*from].push(route);
                }
            }
        }
        let policies: Vec<Policy> = self
            .policies
            .iter()
            .map(|(tag, nodes)| Policy::new(*tag, nodes.iter().copied().collect()))
            .collect();
        let told = nodes.iter().zip(routes).map(|(node, routes)| {
            let policies = policies.clone();
            let policies = Command::SetPolicies { policies };
            (*node, [policies, Command::SetRoutes { routes }])
        });
        told.collect()
    }

    /// Microseconds of each link that works, in a first way and in a second, by place in `nodes`.
    fn costs(&self, nodes: &[u16]) -> Vec<Vec<Option<[u64; 2]>>> {
        let cost = |a: u16, b: u16| {
            let held = *self.works.get(&(a, b))? || *self.works.get(&(b, a))?;
            let delay = self.delays.get(&pair(a, b))?.as_micros() as u64;
            Some(HELD.map(|extra| delay + if held { extra } else { 0 }))
        };
        let row = |a: &u16| nodes.iter().map(|b| cost(*a, *b)).collect();
        nodes.iter().map(row).collect()
    }
}

type Relay = Option<usize>;

/// The best way and the best other one, each direct or over one relay.
fn two_ways(
    costs: &[Vec<Option<[u64; 2]>>],
    members: &[usize],
    from: usize,
    to: usize,
) -> Option<(Relay, Option<Relay>)> {
    let over = |relay: &usize| {
        let ([a, c], [b, d]) = (costs[from][*relay]?, costs[*relay][to]?);
        Some(([a + b, c + d], Some(*relay)))
    };
    let direct = costs[from][to].map(|cost| (cost, None));
    let ways: Vec<([u64; 2], Relay)> = direct
        .into_iter()
        .chain(members.iter().filter_map(over))
        .collect();
    let (_, first) = *ways.iter().min_by_key(|([cost, _], _)| *cost)?;
    let others = ways.iter().filter(|(_, relay)| *relay != first);
    let second = others.min_by_key(|([_, cost], _)| *cost);
    Some((first, second.map(|(_, relay)| *relay)))
}

pub(crate) fn pair(a: u16, b: u16) -> (u16, u16) {
    (a.min(b), a.max(b))
}
