//! What a client is told over its signal connection, and its offers after the first.

use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use str0m::Candidate;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use super::{Floor, Peer, Watch, broken};
use crate::signal;

impl Peer {
    /// Takes what the server has signalled.
    pub(crate) fn listen(&mut self, now: Instant, floor: &mut Floor<'_>) -> Result<(), String> {
        let Some(signal) = &mut self.signal else {
            return Ok(());
        };
        for message in signal.read()? {
            self.take(message, now, floor)?;
        }
        // What an answer or a candidate set off leaves at once.
        self.deadline = now;
        self.tick(now, floor)
    }

    fn take(
        &mut self,
        message: Response,
        now: Instant,
        floor: &mut Floor<'_>,
    ) -> Result<(), String> {
        match message {
            Response::Join(join) => {
                self.times.joined = Some(now);
                if let Some(signal) = &mut self.signal {
                    signal.pings_every(join.ping_interval);
                }
                self.choose_quality(&join.other_participants)
            }
            Response::Update(update) => self.choose_quality(&update.participants),
            Response::Answer(answer) => {
                self.times.answered.get_or_insert(now);
                let Some(pending) = self.pending.take() else {
                    return Ok(());
                };
                let sdp =
                    SdpAnswer::from_sdp_string(&answer.sdp).map_err(|error| broken(&error))?;
                let api = self.rtc.sdp_api();
                api.accept_answer(pending, sdp)
                    .map_err(|error| broken(&error))?;
                self.offer_again(floor)
            }
            Response::Trickle(trickle) => {
                let init: serde_json::Value =
                    serde_json::from_str(&trickle.candidate_init).unwrap_or_default();
                let text = init.get("candidate").and_then(|text| text.as_str());
                let candidate = text.map(Candidate::from_sdp_string);
                // A kind that str0m does not know is passed over: others follow.
                if let Some(Ok(candidate)) = candidate {
                    self.rtc.add_remote_candidate(candidate);
                }
                Ok(())
            }
            Response::MediaSectionsRequirement(more) => {
                let audios = (0..more.num_audios).map(|_| MediaKind::Audio);
                let videos = (0..more.num_videos).map(|_| MediaKind::Video);
                let wanted = self.wanted.get_or_insert_default();
                wanted.extend(audios.chain(videos));
                self.offer_again(floor)
            }
            Response::Leave(leave) => Err(format!("was sent away: {:?}", leave.reason())),
            _ => Ok(()),
        }
    }

    /// Offers the m-lines that the server asked for, unless an offer is under way.
    fn offer_again(&mut self, floor: &mut Floor<'_>) -> Result<(), String> {
        if self.pending.is_some() {
            return Ok(());
        }
        let Some(wanted) = self.wanted.take() else {
            return Ok(());
        };
        let mut api = self.rtc.sdp_api();
        if let (true, Some(mid)) = (wanted.is_empty(), self.first_mid) {
            // The SDKs offer again even if nothing new is asked for: what changed is how the
            // server uses an m-line. str0m makes an offer only of changes.
            api.set_direction(mid, Direction::Inactive);
            api.set_direction(mid, Direction::RecvOnly);
        }
        for kind in wanted {
            api.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let Some((offer, pending)) = api.apply() else {
            return Ok(());
        };
        self.pending = Some(pending);
        self.offer_id += 1;
        floor.tally.reoffers += 1;
        let offer = signal::description(&offer.to_sdp_string(), self.offer_id);
        match &mut self.signal {
            Some(signal) => signal.send(Request::Offer(offer)),
            None => Ok(()),
        }
    }

    /// Asks for the quality that this listener watches, of each video that it hears of.
    fn choose_quality(&mut self, others: &[proto::ParticipantInfo]) -> Result<(), String> {
        let quality = match self.watch {
            Watch::High => return Ok(()),
            Watch::Medium => proto::VideoQuality::Medium,
            Watch::Low => proto::VideoQuality::Low,
        };
        let tracks = others.iter().flat_map(|other| &other.tracks);
        let videos = tracks.filter(|track| track.r#type() == proto::TrackType::Video);
        let track_sids: Vec<_> = videos.map(|track| track.sid.clone()).collect();
        let Some(signal) = self.signal.as_mut().filter(|_| !track_sids.is_empty()) else {
            return Ok(());
        };
        signal.send(Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids,
            quality: quality as i32,
            ..Default::default()
        }))
    }
}
