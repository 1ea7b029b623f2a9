//! Silence where a microphone is muted: what a decoder makes up for missing packets is noise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{Format, MediaPacket};

use crate::forwarder::Step;
use crate::layering::{LayerId, View};
use crate::sfu::Sfu;
use crate::track::TrackKey;
use crate::values::Kind;

/// A frame of nothing, as SDKs and servers send it (CELT, 20 ms, stereo).
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// So many, for one may be lost; together they are as long as a decoder needs to fade.
const FRAMES: u64 = 3;
/// Samples of a frame at Opus' clock, and how long they last.
const SAMPLES: u32 = 960;
const FRAME: Duration = Duration::from_millis(20);

impl Sfu {
    /// Give those who hear a track of Opus the end of it. What comes later goes on behind it.
    pub(crate) fn silence(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(&key) else {
            return;
        };
        if track.info.kind != Kind::Audio {
            return;
        }
        let mut subscriptions = std::mem::take(&mut track.subscriptions);
        for subscription in &mut subscriptions {
            let Some(stream) = subscription
                .forwarder
                .current()
                .filter(|_| subscription.live)
            else {
                continue;
            };
            let to = (subscription.participant, subscription.side);
            for n in 0..FRAMES {
                let packet = silent(n);
                let at = now + FRAME * n as u32;
                if n == 0 {
                    subscription
                        .forwarder
                        .start(at, stream, LayerId::ALL, &packet);
                }
                let step = subscription.forwarder.pass(at, &packet, View::default());
                if let Step::Send(rewritten) = step
                    && let Some(transport) = self.transport(to)
                {
                    let placed = rewritten.placed;
                    transport.write(now, subscription.mid, &packet, placed, None, None);
                }
            }
            subscription.forwarder.pause();
            self.wake(now, to);
        }
        if let Some(track) = self.tracks.get_mut(&key) {
            track.subscriptions = subscriptions;
        }
        self.count("silenced");
    }
}

fn silent(number: u64) -> MediaPacket {
    MediaPacket {
        format: Format::Opus,
        sequence: number,
        timestamp: number as u32 * SAMPLES,
        marker: false,
        keyframe: false,
        audio_level: Some(127),
        voice_activity: Some(false),
        orientation: None,
        absolute_capture_time: None,
        dependency_descriptor: None,
        payload: Arc::from(SILENCE.as_slice()),
    }
}
