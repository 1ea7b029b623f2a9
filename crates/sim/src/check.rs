//! What must hold, whatever the weather: looked at while the world runs and when it ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesh::Mesh;
use node::Route;

use crate::traffic::{Chat, Publisher, Subscription};

/// Enough to see what is wrong.
const MAX_VIOLATIONS: usize = 20;

#[derive(Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    pub(crate) fn add(&mut self, what: impl FnOnce() -> String) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(what());
        }
    }

    pub(crate) fn list(&self) -> &[String] {
        &self.0
    }
}

/// Bounded queues stay bounded.
pub(crate) fn queues(node: u16, mesh: &Mesh, violations: &mut Violations) {
    for queue in mesh.queues() {
        if queue.length > queue.capacity {
            violations.add(|| format!("node {node}: {queue:?}"));
        }
    }
}

/// What honest nodes never do to each other, by what it is counted as.
const NEVER: [&str; 4] = [
    "mesh_drop_route",
    "mesh_drop_malformed",
    "mesh_drop_forged",
    "mesh_invalid_routes",
];

/// No frame ever comes where its route does not lead, and none is broken.
pub(crate) fn honest(totals: &BTreeMap<&'static str, u64>, violations: &mut Violations) {
    for name in NEVER {
        match totals.get(name) {
            Some(0) => {}
            Some(n) => violations.add(|| format!("{name} is {n}")),
            None => violations.add(|| format!("nobody counts {name} any more")),
        }
    }
}

/// How often each route changed: no more than so many times in any minute.
#[derive(Default)]
pub(crate) struct Flapping {
    pub(crate) budget: Option<usize>,
    routes: BTreeMap<(u16, u16, u32), Route>,
    changes: BTreeMap<(u16, u16, u32), VecDeque<Instant>>,
    pub(crate) total: u64,
}

impl Flapping {
    pub(crate) fn route(
        &self,
        node: u16,
        to: u16,
        tag: u32,
    ) -> Option<(Vec<u16>, Option<Vec<u16>>)> {
        let route = self.routes.get(&(node, to, tag))?;
        Some((route.via.clone(), route.second.clone()))
    }

    const WINDOW: Duration = Duration::from_secs(60);

    /// A node is told its routes; what it is told first is no change.
    pub(crate) fn told(
        &mut self,
        now: Instant,
        node: u16,
        routes: &[Route],
        violations: &mut Violations,
    ) {
        for route in routes {
            let key = (node, route.destination, route.tag);
            let same = |old: &Route| (&old.via, &old.second) == (&route.via, &route.second);
            let before = self.routes.insert(key, route.clone());
            if before.as_ref().is_none_or(same) {
                continue;
            }
            // A second path that comes or goes moves nobody.
            if before.is_some_and(|old| old.via == route.via) {
                continue;
            }
            self.total += 1;
            let changes = self.changes.entry(key).or_default();
            changes.push_back(now);
            while changes.front().is_some_and(|at| *at + Self::WINDOW < now) {
                changes.pop_front();
            }
            if self.budget.is_some_and(|budget| changes.len() > budget) {
                violations.add(|| {
                    format!(
                        "the route of node {node} to {} under tag {} changed {} times in a minute",
                        route.destination,
                        route.tag,
                        changes.len()
                    )
                });
            }
        }
    }
}

/// Of what was published between `from` and `to`, at most this share is missing.
pub(crate) fn flows(
    publisher: &Publisher,
    subscription: &Subscription,
    (from, to): (Instant, Instant),
    missing: f64,
    violations: &mut Violations,
) {
    let in_window = |at: &Instant| (from..to).contains(at);
    let (mut published, mut received) = (0, 0);
    for (number, at) in publisher.published.iter().enumerate() {
        if in_window(at) {
            published += 1;
            received += usize::from(subscription.came(number).is_some());
        }
    }
    if published == 0 || (published - received) as f64 > missing * published as f64 {
        violations.add(|| {
            format!(
                "node {} got {received} of {published} packets of {:?} on node {}",
                subscription.node, publisher.kind, publisher.node
            )
        });
    }
}

/// Reliable messages sent in the window came: all, in order, each once.
pub(crate) fn messages(chat: &Chat, (from, to): (Instant, Instant), violations: &mut Violations) {
    for node in chat.to.iter().filter(|_| chat.reliable) {
        let heard = chat.received.get(node);
        if heard.is_some_and(|heard| heard.disordered) {
            violations.add(|| format!("node {node}: messages of {} not in order", chat.from));
        }
        for (number, at) in chat.times.iter().enumerate() {
            let missing = heard.is_none_or(|heard| !heard.numbers.contains(&(number as u32)));
            if (from..to).contains(at) && missing {
                violations.add(|| {
                    format!(
                        "node {node} never got message {number} of node {}",
                        chat.from
                    )
                });
                break;
            }
        }
    }
}

/// The longest time without a packet between `from` and `to`.
pub(crate) fn worst_gap(subscription: &Subscription, from: Instant, to: Instant) -> Duration {
    let came = subscription.received.iter().copied().flatten();
    let mut arrivals: Vec<Instant> = came.filter(|at| (from..to).contains(at)).collect();
    arrivals.extend([from, to]);
    arrivals.sort_unstable();
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}
