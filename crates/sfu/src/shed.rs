//! What no longer fits at all is not sent on until its substitute begins.

use std::time::{Duration, Instant};

use wire::StreamId;

use crate::interface::Output;
use crate::sfu::Sfu;
use crate::track::{Subscription, Track, TrackKey};
use crate::transport::Mid;
use crate::values::{Kind, Side};

/// A layer that needs so many times what is carried only fills the queue.
const FAR_TOO_MUCH: f64 = 1.5;
/// Pictures that wait for longer are given up for a newer one.
const TOO_LATE: Duration = Duration::from_millis(1_000);
/// The queue is given so long to drain; it may be another's.
const DRAINS: Duration = Duration::from_millis(800);

impl Sfu {
    /// The estimate toward a participant fell: choose anew at once, and stop every layer that fills
    /// the queue through which the keyframe of the lower one has to come.
    pub(crate) fn shed(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        let Some(most) = p.estimate.map(|e| (e as f64 * FAR_TOO_MUCH) as u64) else {
            return;
        };
        // Until the queue has drained a keyframe would only fill it.
        let before = p.shed_at.replace(now);
        self.select_for(now, participant, out);
        let stopped = self.stop(participant, |sfu, subscription| {
            let current = subscription.forwarder.current();
            let leaves = current.filter(|c| subscription.target.map(|t| t.0) != Some(*c));
            let stream = leaves.and_then(|c| sfu.streams.get(&c));
            let rate = stream.and_then(|s| s.rates.layers().last().map(|(_, bits)| *bits));
            rate.is_some_and(|bits| bits > most)
        });
        self.count_many("layers_shed", stopped.len() as u64);
        if stopped.is_empty() {
            if let Some(p) = self.participants.get_mut(&participant) {
                p.shed_at = before;
            }
            if before.is_none() {
                // What was not asked for meanwhile.
                self.select_for(now, participant, out);
            }
            return;
        }
        self.forget(participant, &stopped);
    }

    /// Pictures that wait for their turn for too long are given up: speech shares their way, and
    /// they would be late for good.
    pub(crate) fn catch_up(&mut self, now: Instant, participant: u64) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        let side = p.data_side();
        let late = p.transport(side).is_some_and(|t| t.behind() > TOO_LATE);
        if !late {
            return;
        }
        p.shed_at = Some(now);
        let stopped = self.stop(participant, |_, s| s.forwarder.current().is_some());
        self.count_many("pictures_given_up", stopped.len() as u64);
        self.forget(participant, &stopped);
    }

    /// Stop those of a participant's pictures of which `which` is true.
    fn stop(
        &mut self,
        participant: u64,
        which: impl Fn(&Sfu, &Subscription) -> bool,
    ) -> Vec<(Side, Mid)> {
        let mut stopped = vec![];
        for (key, at) in self.videos(participant) {
            let chosen = |track: &Track| which(self, &track.subscriptions[at]);
            if !self.tracks.get(&key).is_some_and(chosen) {
                continue;
            }
            if let Some(track) = self.tracks.get_mut(&key) {
                let subscription = &mut track.subscriptions[at];
                subscription.forwarder.pause();
                stopped.push((subscription.side, subscription.mid));
            }
        }
        stopped
    }

    /// Its subscriptions to pictures, as `subscribed` has them.
    fn videos(&self, participant: u64) -> Vec<(TrackKey, usize)> {
        let mut all = self.subscribed(participant);
        all.retain(|(key, _)| {
            let track = self.tracks.get(key);
            track.is_some_and(|track| track.info.kind == Kind::Video)
        });
        all
    }

    fn forget(&mut self, participant: u64, stopped: &[(Side, Mid)]) {
        for (side, mid) in stopped {
            if let Some(transport) = self.transport((participant, *side)) {
                transport.forget_repairs(*mid);
            }
        }
    }

    /// Ask for the keyframes with which other layers begin, once there is room for them.
    pub(crate) fn begin_again(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        let Some(since) = p.shed_at else { return };
        let side = p.data_side();
        let drained = p.transport(side).is_none_or(|t| t.drained());
        if !drained && now < since + DRAINS {
            return;
        }
        p.shed_at = None;
        let mut needed: Vec<StreamId> = vec![];
        for (key, at) in self.videos(participant) {
            let Some(track) = self.tracks.get_mut(&key) else {
                continue;
            };
            let own = &mut track.subscriptions[at];
            let there = own.forwarder.current();
            if let Some((stream, _)) = own.target
                && (there != Some(stream) || own.forwarder.filter.waits_for_keyframe())
            {
                own.waiting_since = Some(now);
                needed.push(stream);
            }
        }
        for stream in needed {
            self.need_keyframe(now, stream, out);
        }
    }
}
