//! A track, its layers and who is subscribed to it on this worker.

use std::time::Instant;

use wire::{RoomKey, StreamId};

use crate::forwarder::Forwarder;
use crate::levels::Meter;
use crate::transport::Side;

/// Position of a track in the worker's table.
pub(crate) type TrackKey = u32;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
}

/// One encoding of a track. `quality`: 0 low, 1 medium, 2 high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub stream: StreamId,
    pub rid: Option<String>,
    pub quality: u8,
}

/// What a node is told of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    pub sid: String,
    pub room: RoomKey,
    pub kind: Kind,
    /// Lowest quality first.
    pub layers: Vec<Layer>,
    /// The participant of this worker that publishes it.
    pub publisher: Option<u64>,
}

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
    pub(crate) mid: String,
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
