//! A track, its layers and who is subscribed to it on this worker.

use std::time::Instant;

use wire::StreamId;

use crate::forwarder::Forwarder;
use crate::layering::LayerId;
use crate::levels::Meter;
use crate::replay::Replay;
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
    /// The best quality that anybody needs, as it was last told.
    pub(crate) told_wanted: Option<Option<u8>>,
    pub(crate) subscriptions: Vec<Subscription>,
}

/// One subscriber of a track.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) participant: u64,
    pub(crate) side: Side,
    pub(crate) mid: Mid,
    pub(crate) forwarder: Forwarder,
    pub(crate) asked: Asked,
    /// The stream that should be forwarded, once it has a keyframe, and its layers.
    pub(crate) target: Option<(StreamId, LayerId)>,
    /// The stream that would be, if all were sent.
    pub(crate) wish: Option<StreamId>,
    /// Nothing is shown, for there is no room.
    pub(crate) paused: bool,
    /// What was kept of the stream, on its way out.
    pub(crate) replay: Option<Replay>,
    /// The keyframe that the last replay began with.
    pub(crate) replayed: Option<(StreamId, u64)>,
    /// A packet has been sent.
    pub(crate) live: bool,
    /// Last time a keyframe was asked for to reach the target.
    pub(crate) waiting_since: Option<Instant>,
}

/// What a subscriber asks for of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Best layer; None is nothing.
    pub(crate) quality: Option<u8>,
    /// Greater is served first.
    pub(crate) priority: u8,
    /// Pictures a second that are enough; 0 is all that come.
    pub(crate) fps: u8,
}

impl Subscription {
    pub(crate) fn new(participant: u64, side: Side, mid: Mid, forwarder: Forwarder) -> Self {
        Self {
            participant,
            side,
            mid,
            forwarder,
            asked: Asked {
                quality: Some(2),
                priority: 0,
                fps: 0,
            },
            target: None,
            wish: None,
            paused: false,
            replay: None,
            replayed: None,
            live: false,
            waiting_since: None,
        }
    }

    /// The stream that should be forwarded.
    pub(crate) fn aims_at(&self) -> Option<StreamId> {
        self.target.map(|(stream, _)| stream)
    }

    /// The stream that the subscriber sees, or will see first.
    pub(crate) fn shown(&self) -> Option<StreamId> {
        self.forwarder.current().or(self.aims_at())
    }

    /// What was kept has gone out, or is of no use any more.
    pub(crate) fn end_replay(&mut self) {
        self.replay = None;
        if let Some((stream, layer)) = self.target
            && self.forwarder.current() == Some(stream)
        {
            self.forwarder.filter.aim(layer);
        }
    }

    /// Whether a stream has to come for this subscriber.
    pub(crate) fn needs(&self, stream: StreamId) -> bool {
        [self.aims_at(), self.wish, self.forwarder.current()].contains(&Some(stream))
    }
}

impl Track {
    /// The quality of one of its streams.
    pub(crate) fn quality(&self, stream: StreamId) -> Option<u8> {
        let layer = self.info.layers.iter().find(|l| l.stream == stream);
        layer.map(|layer| layer.quality)
    }

    pub(crate) fn new(info: TrackInfo) -> Self {
        Self {
            info,
            mid: None,
            muted: false,
            live: false,
            meter: Meter::default(),
            told_wanted: None,
            subscriptions: Vec::new(),
        }
    }
}
