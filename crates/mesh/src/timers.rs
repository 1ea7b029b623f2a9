//! When each part wants to be called. Lazy: a timer may fire early, never late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use wire::NodeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Housekeeping,
    Link(NodeId),
    /// To and from a node, under a tag.
    Channel(NodeId, u32),
    Keyframes,
}

#[derive(Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    set: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Fire `timer` at `when`, or before if it is already set for earlier.
    pub(crate) fn at(&mut self, timer: Timer, when: Instant) {
        if let Some(earlier) = self.set.get(&timer).copied() {
            if earlier <= when {
                return;
            }
            self.queue.remove(&(earlier, timer));
        }
        self.set.insert(timer, when);
        self.queue.insert((when, timer));
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(when) = self.set.remove(&timer) {
            self.queue.remove(&(when, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(when, _)| *when)
    }

    /// A timer that is due, unset.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (when, timer) = *self.queue.first().filter(|(when, _)| *when <= now)?;
        self.queue.remove(&(when, timer));
        self.set.remove(&timer);
        Some(timer)
    }
}
