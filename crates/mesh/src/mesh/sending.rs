//! Frames that begin here: planned, named, paid for, put on their links.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Class, Content, Header, NodeId};

use super::{MAX_CONTENT, Mesh, PIECE};
use crate::assembly::{MAX_PIECES, cut};
use crate::count::Count;
use crate::link::{Level, Link, LinkState};
use crate::message::Output;
use crate::plan::{Health, Plan, View};

/// Plans and detours kept; past it all are made anew.
const MAX_PLANS: usize = 4096;
/// Links that failed this short ago make a sick end; what is down longer the controller knows.
const SICK: Duration = Duration::from_secs(10);

/// How a frame is treated on its way.
#[derive(Clone, Copy)]
pub(super) struct Care {
    pub(super) class: Class,
    /// As which class it goes on second paths.
    pub(super) copied_as: Class,
    pub(super) tag: u32,
}

impl Care {
    /// What is no stream's.
    pub(super) fn control(tag: u32) -> Care {
        Care {
            class: Class::Control,
            copied_as: Class::Control,
            tag,
        }
    }
}

impl Mesh {
    /// Send a content that nobody repeats in a hurry: a want, a request, data.
    pub(super) fn say(
        &mut self,
        now: Instant,
        destination: NodeId,
        tag: u32,
        content: &Content<'_>,
        out: &mut Vec<Output>,
    ) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        content.encode(&mut bytes);
        let plan = self.plan(now, tag, &[destination]);
        self.send(now, &plan, Care::control(tag), &bytes, out);
        self.scratch = bytes;
    }

    /// Send an encoded content the best ways there are now; false if there is none.
    pub(super) fn send(
        &mut self,
        now: Instant,
        plan: &Plan,
        care: Care,
        content: &[u8],
        out: &mut Vec<Output>,
    ) -> bool {
        for reason in &plan.failed {
            self.counts.add(*reason);
        }
        if plan.reached == 0 {
            return false;
        }
        if content.len() <= MAX_CONTENT {
            self.emit(now, plan, care, content, out);
        } else if content.len() > usize::from(MAX_PIECES) * PIECE {
            self.counts.add(Count::DropDataTooBig);
            return false;
        } else {
            self.message = self.message.wrapping_add(1);
            for piece in cut(self.message, content, PIECE) {
                self.emit(now, plan, care, &piece, out);
            }
        }
        true
    }

    fn emit(
        &mut self,
        now: Instant,
        plan: &Plan,
        care: Care,
        content: &[u8],
        out: &mut Vec<Output>,
    ) {
        let Care { class, tag, .. } = care;
        let as_class = care.copied_as;
        let length = content.len() as u64;
        let first = plan.crossings() * length;
        self.budget.on_first(first);
        let budget = &mut self.budget;
        let (level, short) =
            plan.choose(as_class, |links| budget.take(now, as_class, links * length));
        self.counts.add(Count::FramesSent);
        self.counts.add_many(Count::FirstBytes, first);
        if short {
            self.counts.add(Count::left_out(class));
        }
        if level > 0 {
            self.counts.add(Count::copied(class));
            let copies = plan.extra(level) * length;
            self.counts.add_many(Count::CopyBytes, copies);
        }
        let serial = self.serial;
        self.serial = serial.wrapping_add(1);
        for branch in plan.level(level) {
            let header = Header {
                origin: self.config.node,
                epoch: self.epoch as u16,
                serial,
                class,
                hops: 1,
                detoured: false,
                tag,
                tree: branch.tree.as_tree(),
            };
            self.push(now, branch.next, &header, content, out);
        }
    }

    /// Where frames under `tag` to `targets` go.
    pub(super) fn plan(&mut self, now: Instant, tag: u32, targets: &[NodeId]) -> Arc<Plan> {
        let known = self.plans.get(&tag).and_then(|plans| plans.get(targets));
        if let Some(plan) = known {
            return plan.clone();
        }
        let plan = Arc::new(self.view(now, |view| Plan::new(view, tag, targets)));
        if self.planned >= MAX_PLANS {
            self.plans.clear();
            self.planned = 0;
        }
        self.planned += 1;
        let plans = self.plans.entry(tag).or_default();
        plans.insert(targets.into(), plan.clone());
        plan
    }

    /// Routes, policies or links have changed: no plan holds any more.
    pub(super) fn replan(&mut self) {
        self.generation += 1;
        self.planned = 0;
        self.plans.clear();
        self.detours.clear();
    }

    pub(super) fn view<R>(&self, now: Instant, call: impl FnOnce(&View<'_>) -> R) -> R {
        let health = |node| self.links.get(&node).map_or(Health::Down, health);
        let near = |wanted: Health| -> Vec<NodeId> {
            let those = self.links.values().filter(|l| health(l.node) == wanted);
            let mut near: Vec<(Duration, NodeId)> = those
                .map(|link| (link.measure.rtt().unwrap_or(Duration::MAX), link.node))
                .collect();
            near.sort_unstable();
            near.into_iter().map(|(_, node)| node).collect()
        };
        call(&View {
            node: self.config.node,
            routes: &self.routes,
            policies: &self.policies,
            health: &health,
            near: &near(Health::Good),
            held: &near(Health::Held),
            sick: self.sick(now),
        })
    }

    /// Whether two links of this node or more are failing.
    pub(super) fn sick(&self, now: Instant) -> bool {
        let failing = |at: &&Instant| now.saturating_duration_since(**at) < SICK;
        self.failing.values().filter(failing).nth(1).is_some()
    }

    /// After a link's health changed.
    pub(super) fn on_health(&mut self, now: Instant, node: NodeId, before: Health, after: Health) {
        self.replan();
        if after >= Health::Suspect && before < Health::Suspect {
            self.failing.insert(node, now);
            self.failed.push(node);
        } else if after < Health::Suspect {
            self.failing.remove(&node);
        }
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        next: NodeId,
        header: &Header<'_>,
        content: &[u8],
        out: &mut Vec<Output>,
    ) {
        // Every frame passes here: whatever chose its way, a tag is kept.
        if !self.policies.allow(header.tag, next) {
            debug_assert!(false, "a frame under tag {} for node {next}", header.tag);
            self.counts.add(Count::DropTagForbidden);
            return;
        }
        let first = self.with_link(now, next, out, |link, ctx| link.push(ctx, header, content));
        if first == Some(true) && !self.pending.contains(&next) {
            if self.pending.is_empty() {
                self.pending_since = now;
            }
            self.pending.push(next);
        }
    }
}

pub(super) fn health(link: &Link) -> Health {
    match link.state() {
        LinkState::Up => Health::Good,
        LinkState::Suspect => Health::Suspect,
        LinkState::Connecting => Health::Down,
        LinkState::Down => match link.level() {
            Level::Fine => Health::Held,
            Level::Suspect => Health::Suspect,
            Level::Silent => Health::Silent,
            Level::Down => Health::Down,
        },
    }
}
