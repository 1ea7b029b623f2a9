//! Keyframe requests: few on the wire, and none forgotten.
//!
//! The publisher's node lets one request for a stream through in `INTERVAL`, whoever asks; edges
//! and relays hold back what they asked or passed on just before. An edge repeats its request,
//! more and more slowly, until the stream's keyframe comes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::StreamId;

/// One request for a stream in this time, from an edge or to a publisher.
const INTERVAL: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(4);
/// A relay passes one on in this time: shorter, so that who is held back repeats it in time.
const PASSED: Duration = Duration::from_millis(200);
/// Streams that a relay remembers; past it all are forgotten, and requests pass.
const MAX_PASSED: usize = 1024;

struct Asked {
    last: Instant,
    wait: Duration,
    /// The keyframe has not come.
    open: bool,
    /// A request for it was sent.
    sent: bool,
}

struct Told {
    last: Instant,
    /// Somebody asked since, too soon.
    due: bool,
}

/// What was asked, by whom does not matter.
#[derive(Default)]
pub(crate) struct Keyframes {
    /// Of remote streams, by this edge.
    asked: BTreeMap<StreamId, Asked>,
    /// Of local streams, by others.
    told: BTreeMap<StreamId, Told>,
    /// Of others' streams, by others.
    passed: BTreeMap<StreamId, Instant>,
}

impl Keyframes {
    /// This edge needs a keyframe of a remote stream: when to send a request.
    pub(crate) fn ask(&mut self, now: Instant, stream: StreamId) -> Instant {
        let asked = self.asked.entry(stream).or_insert(Asked {
            last: now.checked_sub(INTERVAL).unwrap_or(now),
            wait: INTERVAL,
            open: false,
            sent: false,
        });
        if !asked.open {
            asked.open = true;
            asked.sent = false;
            asked.wait = INTERVAL;
        }
        asked.last + asked.wait
    }

    /// A keyframe of it came, or nobody here wants it any more.
    pub(crate) fn settle(&mut self, stream: StreamId) {
        if let Some(asked) = self.asked.get_mut(&stream) {
            asked.open = false;
        }
    }

    /// Another node needs a keyframe of a local stream: when to ask the publisher.
    pub(crate) fn tell(&mut self, now: Instant, stream: StreamId) -> Instant {
        let told = self.told.entry(stream).or_insert(Told {
            last: now.checked_sub(INTERVAL).unwrap_or(now),
            due: true,
        });
        told.due = true;
        told.last + INTERVAL
    }

    /// A keyframe of a local stream went out: who asked before it is served.
    pub(crate) fn sent(&mut self, stream: StreamId) {
        if let Some(told) = self.told.get_mut(&stream) {
            told.due = false;
        }
    }

    /// Whether a relay passes a request on.
    pub(crate) fn pass(&mut self, now: Instant, stream: StreamId) -> bool {
        let last = self.passed.get(&stream);
        if last.is_some_and(|last| now.saturating_duration_since(*last) < PASSED) {
            return false;
        }
        if self.passed.len() == MAX_PASSED {
            self.passed.clear();
        }
        self.passed.insert(stream, now);
        true
    }

    /// The remote streams to send a request for now, the local ones to ask the publisher of, and
    /// when the next is due.
    pub(crate) fn due(&mut self, now: Instant) -> (Vec<StreamId>, Vec<StreamId>, Option<Instant>) {
        let (mut remote, mut local, mut next) = (Vec::new(), Vec::new(), None::<Instant>);
        let mut later = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        self.asked.retain(|stream, asked| {
            if asked.open && asked.last + asked.wait <= now {
                remote.push(*stream);
                if asked.sent {
                    asked.wait = (asked.wait * 2).min(MAX_WAIT);
                }
                asked.sent = true;
                asked.last = now;
            }
            if asked.open {
                later(asked.last + asked.wait);
            }
            asked.open || asked.last + INTERVAL > now
        });
        self.told.retain(|stream, told| {
            if told.due && told.last + INTERVAL <= now {
                local.push(*stream);
                told.due = false;
                told.last = now;
            }
            if told.due {
                later(told.last + INTERVAL);
            }
            told.due || told.last + INTERVAL > now
        });
        (remote, local, next)
    }
}

#[cfg(test)]
mod tests;
