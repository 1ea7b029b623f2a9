//! Reliable messages that wait for a client: for its channels, for room on them, or until it says
//! what it has.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Bytes kept back from a client that is about to say what it has; beyond, it gets them at once.
const MAX_HELD_BACK: usize = 256 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    messages: VecDeque<Arc<[u8]>>,
    bytes: usize,
    held_until: Option<Instant>,
}

impl Backlog {
    /// Keep what there is and what comes back until then.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.held_until = Some(until);
    }

    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Whether a message waits for others, or for an end of the hold.
    pub(crate) fn delays(&self) -> bool {
        self.held_until.is_some() || !self.messages.is_empty()
    }

    /// Let a message wait; false if there is no room. `limit`: bytes that may wait without a hold.
    pub(crate) fn push(&mut self, bytes: &Arc<[u8]>, limit: usize) -> bool {
        let size = self.bytes + bytes.len();
        if size > MAX_HELD_BACK {
            self.held_until = None;
        }
        if self.held_until.is_none() && size > limit {
            return false;
        }
        self.bytes = size;
        self.messages.push_back(Arc::clone(bytes));
        true
    }

    /// The message that is to be sent next, unless all are kept back.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Arc<[u8]>> {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        match self.held_until {
            Some(_) => None,
            None => self.messages.front().cloned(),
        }
    }

    /// That one was sent.
    pub(crate) fn sent(&mut self) {
        if let Some(bytes) = self.messages.pop_front() {
            self.bytes -= bytes.len();
        }
    }

    /// All that waits; nothing is kept back any more.
    pub(crate) fn take(&mut self) -> VecDeque<Arc<[u8]>> {
        std::mem::take(self).messages
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(size: usize) -> Arc<[u8]> {
        vec![0; size].into()
    }

    #[test]
    fn what_is_held_goes_on_in_order_when_its_time_is_over() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let mut backlog = Backlog::default();
        backlog.hold(until);
        assert!(backlog.delays());
        assert!(backlog.push(&message(1), 0) && backlog.push(&message(2), 0));
        assert_eq!(backlog.next(now), None);
        assert_eq!(backlog.next(until).map(|m| m.len()), Some(1));
        backlog.sent();
        assert_eq!(backlog.next(now).map(|m| m.len()), Some(2));
        backlog.sent();
        assert!(!backlog.delays());
        assert_eq!(backlog.bytes, 0);
    }

    #[test]
    fn too_much_ends_the_hold_and_loses_nothing_that_there_is_room_for() {
        let now = Instant::now();
        let mut backlog = Backlog::default();
        backlog.hold(now + Duration::from_secs(1));
        let limit = 2 * MAX_HELD_BACK;
        assert!(backlog.push(&message(MAX_HELD_BACK), limit));
        assert_eq!(backlog.next(now), None);
        assert!(backlog.push(&message(1), limit));
        assert_eq!(backlog.next(now).map(|m| m.len()), Some(MAX_HELD_BACK));
        assert!(!backlog.push(&message(MAX_HELD_BACK), limit));
    }

    #[test]
    fn what_is_taken_leaves_nothing() {
        let mut backlog = Backlog::default();
        backlog.hold(Instant::now());
        backlog.push(&message(3), 0);
        assert_eq!(backlog.take().len(), 1);
        assert!(!backlog.delays() && backlog.held_until().is_none());
    }
}
