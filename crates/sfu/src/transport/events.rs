//! What str0m tells of a connection.

use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::media::MediaKind;
use str0m::rtp::{RtpPacket, Ssrc};
use str0m::{Event, IceConnectionState};
use wire::{Format, StreamId};

use super::{DATA_TRACK, Happened, Knock, LOSSY, Mid, RELIABLE, Rid, Transport};
use crate::packet::media_packet;
use crate::redundancy::Lost;
use crate::repair::APART;
use crate::values::TransportState;

/// A lost packet of sound is asked for again up to this round trip. Beyond, it comes too late for
/// listeners' jitter buffers, and hides from the speaker's Opus encoder that frames need protection:
/// of 10 % lost at 40 ms, 1 % stays lost with requests and 0.1 % without.
const MAX_AUDIO_ROUND_TRIP: Duration = Duration::from_millis(30);
/// Where so much of what the client sends is lost, its encoder's protection (a frame in the next
/// packet) leaves too much lost, and sound is asked for again from farther away too, until so little
/// is.
const MUCH_LOST: f32 = 0.2;
const LITTLE_LOST: f32 = 0.15;
/// Others wait so long for it, at most. str0m asks as often as this, Twofold repeats that.
const MAX_SOUND_WAIT: Duration = Duration::from_millis(150);
const ASKED_EVERY: Duration = Duration::from_millis(33);
/// Receiver reports tell of losses only where for so long nothing else did.
const LOSS_KNOWN: Duration = Duration::from_secs(3);
/// SSRCs by which a client may be known, beside those of retransmissions.
const MAX_SENDERS: usize = 64;
/// RTP clocks, Hz (RFC 3551, RFC 7587).
const VIDEO_CLOCK: u32 = 90_000;
const SOUND_CLOCK: u32 = 48_000;

impl Transport {
    pub(super) fn event(&mut self, event: Event, happened: &mut Vec<Happened>) {
        match event {
            Event::Connected => {
                (self.established, self.lost) = (true, false);
                happened.push(Happened::Established);
                if !self.awaits_channels {
                    happened.push(Happened::State(TransportState::Connected));
                }
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.lost = true;
                happened.push(Happened::State(TransportState::Disconnected));
            }
            Event::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) if self.established && std::mem::take(&mut self.lost) && !self.awaits_channels => {
                happened.push(Happened::State(TransportState::Connected));
            }
            Event::RtpPacket(packet) => {
                let header = &packet.header;
                let knock = Knock::Packet(*header.ssrc, header.sequence_number);
                self.proved(packet.timestamp, knock);
                self.packet(packet, happened);
            }
            Event::KeyframeRequest(request) => {
                happened.push(Happened::KeyframeRequest(request.mid));
            }
            Event::ChannelOpen(id, label) => {
                match label.as_str() {
                    RELIABLE => self.reliable = Some(id),
                    LOSSY => self.lossy = Some(id),
                    DATA_TRACK => self.data_track = Some(id),
                    _ => return,
                }
                happened.push(Happened::ChannelsOpen);
                if Some(id) == self.reliable && std::mem::take(&mut self.awaits_channels) {
                    happened.push(Happened::State(TransportState::Connected));
                }
            }
            Event::ChannelData(data) => {
                let reliable = Some(data.id) == self.reliable;
                if reliable || Some(data.id) == self.lossy {
                    happened.push(Happened::Message {
                        reliable,
                        bytes: data.data,
                    });
                } else if Some(data.id) == self.data_track {
                    happened.push(Happened::TrackPacket(data.data));
                }
            }
            Event::ChannelClose(id) => {
                // A client that re-opens its channels (protocol 17 against agreed ids) gets new ids.
                if Some(id) == self.reliable {
                    self.reliable = None;
                }
                if Some(id) == self.lossy {
                    self.lossy = None;
                }
                if Some(id) == self.data_track {
                    self.data_track = None;
                }
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair;
                if let Some(time) = pair
                    .and_then(|pair| pair.current_round_trip_time)
                    .or(stats.rtt)
                {
                    self.on_round_trip(time);
                }
            }
            // What the client's receiver reports say (RFC 3550), where nothing else tells it.
            Event::MediaEgressStats(stats) => {
                self.gauge
                    .sent((stats.mid, stats.rid), stats.packets, stats.loss);
                if let Some(time) = stats.rtt {
                    self.gauge.on_round_trip(time);
                }
                let known = |at: Instant| stats.timestamp < at + LOSS_KNOWN;
                if !self.reported.is_some_and(known) {
                    let lost = |share| Lost {
                        share,
                        in_bursts: true,
                    };
                    happened.extend(stats.loss.map(lost).map(Happened::Lost));
                }
            }
            // The way can be measured; until it was, it is taken to be as at first.
            Event::EgressBitrateEstimate(BweKind::Twcc {
                can_probe: true, ..
            }) if self.reported.is_none() => {
                happened.push(Happened::Estimate(self.estimator.usable()));
            }
            Event::MediaIngressStats(stats) => {
                let video = self.rtc.media(stats.mid).map(|m| m.kind()) == Some(MediaKind::Video);
                let clock = if video { VIDEO_CLOCK } else { SOUND_CLOCK };
                let jitter = Duration::from_secs_f64(f64::from(stats.jitter) / f64::from(clock));
                self.repair_round_trip = stats.rtt.or(self.repair_round_trip);
                let key = (stats.mid, stats.rid);
                self.tell_source(key.0, key.1, happened);
                self.gauge.received(key, stats.packets, stats.loss, jitter);
            }
            _ => {}
        }
    }

    /// A round trip to the client was measured.
    fn on_round_trip(&mut self, round_trip: Duration) {
        self.gauge.on_round_trip(round_trip);
        self.round_trip = Some(round_trip);
        self.consider_sound();
    }

    /// Whether lost sound is worth asking for may have changed, and waiting for.
    fn consider_sound(&mut self) {
        let round_trip = self.round_trip.or(self.repair_round_trip);
        let far = round_trip.filter(|time| *time > MAX_AUDIO_ROUND_TRIP);
        let lossy = self.requests.share()
            >= if self.asks_for_sound {
                LITTLE_LOST
            } else {
                MUCH_LOST
            };
        let wait = far.filter(|_| lossy).and_then(wait_for_sound);
        self.sound_waits = wait.unwrap_or_default();
        let asks = far.is_none() || wait.is_some();
        if asks != self.asks_for_sound {
            self.asks_for_sound = asks;
            // Each is looked at anew with its next packet.
            self.sources.clear();
        }
    }

    /// Ask for what is lost of a source if it is sound, or not where it would come too late. Left to
    /// itself, str0m asks only where retransmissions have a payload type of their own, which sound
    /// has not.
    fn ask_again(&mut self, ssrc: Ssrc) {
        let mid = self.rtc.direct_api().stream_rx(&ssrc).map(|rx| rx.mid());
        let media = mid.and_then(|mid| self.rtc.media(mid));
        if media.is_some_and(|media| media.kind() == MediaKind::Audio)
            && let Some(rx) = self.rtc.direct_api().stream_rx(&ssrc)
        {
            rx.suppress_nack(!self.asks_for_sound);
        }
    }

    fn packet(&mut self, rtp: RtpPacket, happened: &mut Vec<Happened>) {
        let Some((stream, format)) = self.read(&rtp, happened) else {
            happened.push(Happened::Unbound);
            return;
        };
        self.requests.came(stream, *rtp.seq_no);
        self.lacking.came(self.clock, stream, *rtp.seq_no);
        self.consider_sound();
        let packet = media_packet(format, rtp);
        if packet.format.is_audio() {
            let now = self.clock;
            self.sounds.entry(stream).or_default().put(now, packet);
            self.pass_sound(now, happened);
        } else {
            happened.push(Happened::Packet(stream, packet));
        }
    }

    /// The stream that a packet is of, and its format.
    fn read(
        &mut self,
        rtp: &RtpPacket,
        happened: &mut Vec<Happened>,
    ) -> Option<(StreamId, Format)> {
        let ssrc = rtp.header.ssrc;
        let stream = match self.sources.get(&ssrc) {
            Some(stream) => *stream,
            None => {
                let mut api = self.rtc.direct_api();
                let rx = api.stream_rx(&ssrc)?;
                let (mid, rid) = (rx.mid(), rx.rid());
                self.ask_again(ssrc);
                let exact = self.bindings.iter().find(|b| (b.0, b.1) == (mid, rid));
                let whole = || self.bindings.iter().find(|b| (b.0, b.1) == (mid, None));
                let stream = exact.or_else(whole).map(|(_, _, s)| *s);
                self.sources.insert(ssrc, stream);
                if self.sources.len() <= MAX_SENDERS {
                    happened.push(Happened::Sender(*ssrc));
                }
                self.tell_source(mid, rid, happened);
                stream
            }
        };
        Some((stream?, self.types.format(rtp.header.payload_type)?))
    }

    /// Tell what a layer comes under, if that is news: of its retransmissions it is known later.
    fn tell_source(&mut self, mid: Mid, rid: Option<Rid>, happened: &mut Vec<Happened>) {
        let bound = self.bindings.iter().find(|b| (b.0, b.1) == (mid, rid));
        let Some((.., stream)) = bound.filter(|_| rid.is_some()) else {
            return;
        };
        let stream = *stream;
        let mut api = self.rtc.direct_api();
        let Some(rx) = api.stream_rx_by_mid(mid, rid) else {
            return;
        };
        let source = (rx.ssrc(), rx.rtx());
        if self.told_sources.insert(stream, source) != Some(source) {
            let (ssrc, rtx) = (*source.0, source.1.map(|rtx| *rtx));
            happened.push(Happened::Source { stream, ssrc, rtx });
        }
    }

    /// Pass on the sound that waits for nothing any more.
    pub(super) fn pass_sound(&mut self, now: Instant, happened: &mut Vec<Happened>) {
        let patience = self.sound_waits;
        for (stream, sound) in &mut self.sounds {
            while let Some(packet) = sound.take(now, patience) {
                happened.push(Happened::Packet(*stream, packet));
            }
        }
    }
}

/// How long sound waits for what is missing before it: until a second try has come, or as long as
/// listeners may wait at all. None if that is not enough for one.
fn wait_for_sound(round_trip: Duration) -> Option<Duration> {
    let once = ASKED_EVERY + 2 * APART + round_trip;
    (once <= MAX_SOUND_WAIT).then(|| (once + round_trip).min(MAX_SOUND_WAIT))
}
