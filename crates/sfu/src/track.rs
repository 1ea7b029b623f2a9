//! A track, its layers and who is subscribed to it on this worker.

use std::time::Instant;

use wire::StreamId;

use crate::forwarder::Forwarder;
use crate::levels::Meter;
use crate::transport::Mid;
use crate::values::{Side, TrackInfo};

/// Position of a track in the worker's table.
pub(crate) type TrackKey = u32;

#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) info: TrackInfo,
    /// The publisher's m-line, once bound.
    pub(crate) mid: Option<String>,
    pub(crate) muted: bool,
    /// A packet has arrived.
    pub(crate) live: bool,
    pub(crate) meter: Meter,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// One subscriber of a track.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) participant: u64,
    pub(crate) side: Side,
    pub(crate) mid: Mid,
    pub(crate) forwarder: Forwarder,
    /// The layer that should be forwarded, once it has a keyframe.
    pub(crate) target: Option<StreamId>,
    /// Best layer that the subscriber asks for; None is paused.
    pub(crate) max_quality: Option<u8>,
    /// A packet has been sent.
    pub(crate) live: bool,
    /// Last time a keyframe was asked for to reach the target.
    pub(crate) waiting_since: Option<Instant>,
}

impl Subscription {
    /// The layer that the subscriber sees, or will see first.
    pub(crate) fn shown(&self) -> Option<StreamId> {
        self.forwarder.current().or(self.target)
    }
}

impl Track {
    pub(crate) fn new(info: TrackInfo) -> Self {
        Self {
            info,
            mid: None,
            muted: false,
            live: false,
            meter: Meter::default(),
            subscriptions: Vec::new(),
        }
    }
}
