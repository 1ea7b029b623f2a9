//! What no longer fits at all is not sent on until its substitute begins.

use std::time::{Duration, Instant};

use wire::StreamId;

use crate::interface::Output;
use crate::sfu::Sfu;
use crate::values::Kind;

/// A layer that needs so many times what is carried only fills the queue.
const FAR_TOO_MUCH: f64 = 1.5;
/// Until a full queue has drained. What was sent into it before, the keyframe too, may be lost.
const DRAINED: Duration = Duration::from_millis(300);

impl Sfu {
    /// The estimate toward a participant fell: choose anew at once, and stop every layer that fills
    /// the queue through which the keyframe of the lower one has to come.
    pub(crate) fn shed(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        self.select_for(now, participant, out);
        let Some(p) = self.participants.get(&participant) else {
            return;
        };
        let Some(most) = p.estimate.map(|e| (e as f64 * FAR_TOO_MUCH) as u64) else {
            return;
        };
        let mut stopped = vec![];
        for key in &p.subscribed {
            let Some(track) = self.tracks.get_mut(key) else {
                continue;
            };
            if track.info.kind != Kind::Video {
                continue;
            }
            let own = |s: &&mut crate::track::Subscription| s.participant == participant;
            for subscription in track.subscriptions.iter_mut().filter(own) {
                let current = subscription.forwarder.current();
                let leaves = current.filter(|c| subscription.target.map(|t| t.0) != Some(*c));
                let stream = leaves.and_then(|c| self.streams.get(&c));
                if stream
                    .and_then(|s| s.rates.layers().last().map(|(_, bits)| *bits))
                    .is_some_and(|b| b > most)
                {
                    subscription.forwarder.pause();
                    stopped.push((subscription.side, subscription.mid));
                }
            }
        }
        self.count_many("layers_shed", stopped.len() as u64);
        for (side, mid) in &stopped {
            if let Some(transport) = self.transport((participant, *side)) {
                transport.forget_repairs(*mid);
            }
        }
        if let Some(p) = self.participants.get_mut(&participant)
            && !stopped.is_empty()
        {
            p.shed_at = Some(now);
        }
    }

    /// Ask for the keyframes once more with which lower layers began, once there is room for them.
    pub(crate) fn begin_again(&mut self, now: Instant, participant: u64, out: &mut Vec<Output>) {
        let Some(p) = self.participants.get_mut(&participant) else {
            return;
        };
        if p.shed_at.is_none_or(|at| now < at + DRAINED) {
            return;
        }
        p.shed_at = None;
        let tracks = p.subscribed.iter().filter_map(|key| self.tracks.get(key));
        let videos = tracks.filter(|track| track.info.kind == Kind::Video);
        let own = videos.flat_map(|track| &track.subscriptions);
        let own = own.filter(|s| s.participant == participant);
        let streams: Vec<StreamId> = own.filter_map(|s| s.target.map(|t| t.0)).collect();
        for stream in streams {
            self.need_keyframe(now, stream, out);
        }
    }
}
