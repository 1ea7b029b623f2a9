//! Media on its way to the client: payload types, header extensions, what is kept to be sent again.

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::Pt;
use str0m::rtp::{RtpWrite, SeqNo};
use wire::{Format, MediaPacket};

use super::{Mid, Transport};
use crate::codec;
use crate::forwarder::Placed;
use crate::packet::{extension_values, set_playout, without_trailer};
use crate::redundancy::{Repetition, Voice};
use crate::repair::sent_again;

/// Pictures wait for what is sent again from this share of loss on (livekit-server#1838), until
/// less than the other is lost.
const PLAYOUT_FROM: f32 = 0.02;
const PLAYOUT_STAY: f32 = 0.01;
/// How long, in round trips at least, until this share of what was lost is there, and at least and at most.
const PLAYOUT_TRIPS: f64 = 1.3;
const IN_TIME: f64 = 0.997;
const MAX_LOST: f64 = 0.9;
const MIN_PLAYOUT: Duration = Duration::from_millis(20);
const MAX_PLAYOUT: Duration = Duration::from_millis(700);
/// Longer by such a share of the time that passes, of so much at most: the picture stands for what is added.
const PLAYOUT_GROWS: f64 = 0.15;
const PLAYOUT_STEP: Duration = Duration::from_secs(1);
/// The most that a client may let them wait by itself, which is its own default.
const PLAYOUT_LIMIT: Duration = Duration::from_secs(10);
/// Packets kept to be sent again, for so long; retransmissions take this share of all bytes at most.
/// At half lost, with everything asked for sent twice more, they are six in ten.
const REPAIR_PACKETS: usize = 2_000;
const REPAIR_AGE: Duration = Duration::from_secs(3);
const REPAIR_SHARE: f32 = 0.7;

impl Transport {
    /// What was sent on an m-line is not worth sending again, nor what waits worth sending.
    pub(crate) fn forget_repairs(&mut self, mid: Mid) {
        let forgotten = self.repairs.clear().chain(self.pictures.clear());
        forgotten.for_each(|number| self.estimator.dropped(number));
        self.again.clear();
        // Set up anew with the next packet.
        self.repaired.remove(&mid);
    }

    /// Have the client keep pictures back until what is lost of them came again, if it loses this
    /// share: a round trip and more, told with each packet (the playout-delay extension).
    pub(crate) fn set_losses(&mut self, now: Instant, share: f32) {
        let before = self.losses_set.replace(now);
        let passed = before.map_or(PLAYOUT_STEP, |at| (now - at).min(PLAYOUT_STEP));
        let waits = self.repair_wait.is_some_and(|delay| !delay.is_zero());
        let from = if waits { PLAYOUT_STAY } else { PLAYOUT_FROM };
        let delay = self.round_trip.filter(|_| share >= from);
        let delay = delay.map(|trip| trip.mul_f64(tries(share.into()).max(PLAYOUT_TRIPS)));
        let next = self.repair_wait.unwrap_or_default() + passed.mul_f64(PLAYOUT_GROWS);
        let delay = delay.map(|delay| delay.min(next).clamp(MIN_PLAYOUT, MAX_PLAYOUT));
        // Who was told once goes on by that until it is told otherwise.
        if delay.is_some() || waits {
            self.repair_wait = Some(delay.unwrap_or_default());
        }
    }

    /// Have the client keep back what is written next so long, for it comes late from its publisher.
    pub(crate) fn come_late(&mut self, keep_back: Duration) {
        if !keep_back.is_zero() || self.come_late.is_some() {
            self.come_late = Some(keep_back);
        }
    }

    /// How long the client is to let pictures wait, at least and at most: what the scene says, and
    /// what repair takes.
    fn playout(&self) -> Option<(Duration, Duration)> {
        let waits = [self.repair_wait, self.come_late];
        if self.scene_playout.is_none() && waits == [None; 2] {
            return None;
        }
        let (least, most) = self
            .scene_playout
            .unwrap_or((Duration::ZERO, PLAYOUT_LIMIT));
        let repaired = self.repair_wait.unwrap_or_default();
        let late = self.come_late.unwrap_or_default();
        let least = least.max(repaired).max((repaired + late).min(most));
        Some((least, most.max(least)))
    }

    /// Queue a packet for the client; it leaves with the next `poll`. False: the m-line has no
    /// payload type for it.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        mid: Mid,
        packet: &MediaPacket,
        placed: Placed,
        voice: Option<(&mut Voice, Repetition)>,
        vp8: Option<str0m::rtp::Vp8Patch>,
    ) -> bool {
        if let Some((_, repetition)) = &voice {
            self.sound_times = repetition.times;
        }
        let Some((pt, payload)) = self.payload(mid, packet, voice) else {
            return false;
        };
        let playout = self.playout().filter(|_| !packet.format.is_audio());
        let mut api = self.rtc.direct_api();
        let Some(tx) = api.stream_tx_by_mid(mid, None) else {
            return false;
        };
        if self.repaired.insert(mid) {
            tx.set_rtx_cache(REPAIR_PACKETS, REPAIR_AGE, Some(REPAIR_SHARE));
        }
        let sequence = SeqNo::from(placed.sequence);
        let mut values = extension_values(packet);
        if let Some(playout) = playout {
            set_playout(&mut values, playout);
        }
        let mut rtp = RtpWrite::new(pt, sequence, placed.timestamp, placed.at, payload)
            .marker(packet.marker)
            .nackable(true)
            .ext_vals(values);
        if let Some(patch) = vp8 {
            rtp = rtp.vp8_patch(patch);
        }
        // It is paced here, by another estimate.
        tx.set_unpaced(true);
        tx.write_rtp(rtp);
        self.waiting += 1;
        self.changed(now);
        true
    }

    /// The payload type and payload with which this m-line takes a packet: sound from its `voice`,
    /// with the frames so many before it where the m-line takes them.
    fn payload(
        &mut self,
        mid: Mid,
        packet: &MediaPacket,
        voice: Option<(&mut Voice, Repetition)>,
    ) -> Option<(Pt, Arc<[u8]>)> {
        let types = self.sending(mid)?;
        let pt = |format| types.iter().find(|(f, _)| *f == format).map(|(_, pt)| *pt);
        if let Some((voice, Repetition { distances, .. })) = voice {
            let opus = pt(Format::Opus)?;
            let red = pt(Format::Red).filter(|_| !distances.is_empty());
            let redundant = red.and_then(|red| {
                let payload = voice.redundant(packet.sequence, *opus, distances)?;
                Some((red, payload))
            });
            return redundant.or_else(|| Some((opus, voice.plain(packet.sequence)?)));
        }
        if let Some(pt) = pt(packet.format) {
            let payload = match without_trailer(&packet.payload) {
                Some(shorter) if packet.marker && !self.packet_trailers => shorter.into(),
                _ => Arc::clone(&packet.payload),
            };
            return Some((pt, payload));
        }
        match packet.format {
            // A client without RED gets the primary block alone.
            Format::Red => {
                let blocks = wire::red_blocks(&packet.payload).ok()?;
                Some((pt(Format::Opus)?, blocks.last()?.bytes.into()))
            }
            _ => None,
        }
    }

    /// Whether an m-line takes redundant sound.
    pub(crate) fn takes_red(&mut self, mid: Mid) -> bool {
        let types = self.sending(mid).unwrap_or_default();
        types.iter().any(|(format, _)| *format == Format::Red)
    }

    /// The payload types under which an m-line takes each format.
    fn sending(&mut self, mid: Mid) -> Option<&[(Format, Pt)]> {
        Some(match self.senders.entry(mid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let media = self.rtc.media(mid)?;
                let types = codec::sending_types(self.rtc.codec_config(), media.remote_pts());
                place.insert(types)
            }
        })
    }
}

/// How often a packet has to be asked for where this share is lost, of requests too.
fn tries(lost: f64) -> f64 {
    let lost = lost.min(MAX_LOST);
    let again = (1.0 - lost) * (1.0 - lost.powi(sent_again(lost)));
    if again < IN_TIME {
        (1.0 - IN_TIME).ln() / (1.0 - again).ln()
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_lost_the_longer_pictures_wait() {
        let rounded = [0.0, 0.02, 0.1, 0.3, 0.5].map(|lost| (tries(lost) * 10.0).round());
        assert_eq!(rounded, [10.0, 15.0, 26.0, 57.0, 101.0]);
        assert!(tries(1.0) > 100.0);
    }
}
