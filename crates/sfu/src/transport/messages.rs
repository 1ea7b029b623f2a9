//! Messages for the client's data channels, and those that wait for room there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Sent, Transport};

/// Bytes of reliable messages that wait for a slow client; over that the new message is dropped
/// and counted.
const MAX_BACKLOG: usize = 4 * 1024 * 1024;
/// Reliable messages held for a client whose channels are not open yet (livekit.md 1.12).
const MAX_HELD: usize = 100 * 1024;
const MAX_HELD_AGE: Duration = Duration::from_secs(10);
/// Bytes of data tracks' packets that wait for a slow client; over that the new packet is dropped
/// and counted. Half of what str0m keeps for all channels together (128 KiB), so that messages find
/// room beside them.
const MAX_TRACKS_WAITING: usize = 64 * 1024;

impl Transport {
    /// Say that the connection is up only when its channels are open.
    pub(crate) fn await_channels(&mut self) {
        self.awaits_channels = !self.established;
    }

    /// Keep reliable messages back until then.
    pub(crate) fn hold(&mut self, until: Instant) {
        self.backlog.hold(until);
        self.deadline = self.deadline.min(until);
    }

    /// The reliable messages that wait; they are the caller's now.
    pub(crate) fn take_backlog(&mut self) -> VecDeque<Arc<[u8]>> {
        self.backlog.take()
    }

    /// Send a message on a data channel, or keep it for when there is room.
    pub(crate) fn send_message(&mut self, now: Instant, reliable: bool, bytes: &Arc<[u8]>) -> Sent {
        let open = self.channel_open(reliable);
        // Who comes from another node gets all that it missed at once, before its channels open.
        let limit = match open || self.awaits_channels {
            true => MAX_BACKLOG,
            false => MAX_HELD,
        };
        self.changed(now);
        let at_once = !reliable || !self.backlog.delays();
        if open && at_once && self.write_message(reliable, bytes) {
            return Sent::Taken;
        }
        let too_old = !open && now.saturating_duration_since(self.created) > MAX_HELD_AGE;
        match reliable && !too_old && self.backlog.push(bytes, limit) {
            true => Sent::Taken,
            false => Sent::Dropped,
        }
    }

    /// Send a packet of a data track, or drop it.
    pub(crate) fn send_track_packet(&mut self, now: Instant, bytes: &[u8]) -> Sent {
        self.changed(now);
        let channel = self.data_track.and_then(|id| self.rtc.channel(id));
        let taken = channel.is_some_and(|mut channel| {
            channel.buffered_amount() + bytes.len() <= MAX_TRACKS_WAITING
                && matches!(channel.write(true, bytes), Ok(true))
        });
        if taken { Sent::Taken } else { Sent::Dropped }
    }

    pub(super) fn channel_open(&mut self, reliable: bool) -> bool {
        let id = if reliable { self.reliable } else { self.lossy };
        id.is_some_and(|id| self.rtc.channel(id).is_some())
    }

    pub(super) fn write_message(&mut self, reliable: bool, bytes: &[u8]) -> bool {
        let id = if reliable { self.reliable } else { self.lossy };
        id.and_then(|id| self.rtc.channel(id))
            .is_some_and(|mut c| matches!(c.write(true, bytes), Ok(true)))
    }
}
