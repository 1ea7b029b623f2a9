//! What must hold, whatever the weather: looked at while the world runs and when it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh::Mesh;

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

/// No frame goes round: with one relay at most, none is passed on more than once, and none ever
/// comes where its route does not lead.
pub(crate) fn loops<'a>(
    meshes: impl Iterator<Item = &'a Mesh>,
    past: &BTreeMap<&'static str, u64>,
    violations: &mut Violations,
) {
    let mut totals = past.clone();
    for mesh in meshes {
        for (name, n) in mesh.counts() {
            *totals.entry(name).or_default() += n;
        }
    }
    let total = |name| totals.get(name).copied().unwrap_or_default();
    let (sent, relayed) = (total("mesh_frames_sent"), total("mesh_relayed"));
    if relayed > sent {
        violations.add(|| format!("{relayed} frames passed on, only {sent} sent"));
    }
    for name in [
        "mesh_drop_route",
        "mesh_drop_malformed",
        "mesh_drop_forged",
        "mesh_invalid_routes",
    ] {
        if total(name) > 0 {
            violations.add(|| format!("{name} is {}", total(name)));
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
            received += usize::from(subscription.received.contains_key(&(number as u64)));
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
    for node in &chat.to {
        let received = chat.received.get(node).map_or(&[][..], Vec::as_slice);
        if chat.reliable && !received.is_sorted_by(|a, b| a < b) {
            violations.add(|| format!("node {node}: messages of {} not in order", chat.from));
        }
        if !chat.reliable {
            continue;
        }
        for (number, at) in chat.times.iter().enumerate() {
            let number = number as u32;
            if (from..to).contains(at) && received.binary_search(&number).is_err() {
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
    let mut arrivals: Vec<Instant> = subscription
        .received
        .values()
        .copied()
        .filter(|at| (from..to).contains(at))
        .collect();
    arrivals.extend([from, to]);
    arrivals.sort_unstable();
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}
