//! What a client is told over its signal connection, and its offers after the first.

use std::time::Instant;

use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use str0m::Candidate;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use super::{Peer, broken, refused};
use crate::failure::Failure;
use crate::signal;

impl Peer {
    /// Takes what the server has signalled.
    pub(crate) fn listen(&mut self, now: Instant, epoch: Instant) -> Result<(), Failure> {
        let Some(signal) = &mut self.signal else {
            return Ok(());
        };
        let messages = signal.read();
        for message in messages.map_err(|reason| refused(&self.name, &reason))? {
            self.take(message, now)?;
        }
        // What an answer or a candidate set off leaves at once.
        self.deadline = now;
        self.tick(now, epoch)
    }

    fn take(&mut self, message: Response, now: Instant) -> Result<(), Failure> {
        match message {
            Response::Join(join) => {
                self.times.joined = Some(now);
                if let Some(signal) = &mut self.signal {
                    signal.pings_every(join.ping_interval);
                }
            }
            Response::Answer(answer) => {
                self.times.answered.get_or_insert(now);
                let Some(pending) = self.pending.take() else {
                    return Ok(());
                };
                let sdp = SdpAnswer::from_sdp_string(&answer.sdp)
                    .map_err(|error| broken(&self.name, &error))?;
                self.rtc
                    .sdp_api()
                    .accept_answer(pending, sdp)
                    .map_err(|error| broken(&self.name, &error))?;
                self.offer_again()?;
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
            }
            Response::MediaSectionsRequirement(more) => {
                let audios = (0..more.num_audios).map(|_| MediaKind::Audio);
                let videos = (0..more.num_videos).map(|_| MediaKind::Video);
                let wanted = self.wanted.get_or_insert_default();
                wanted.extend(audios.chain(videos));
                self.offer_again()?;
            }
            Response::Leave(leave) => {
                let why = format!("was sent away: {:?}", leave.reason());
                return Err(refused(&self.name, &why));
            }
            _ => {}
        }
        Ok(())
    }

    /// Offers the m-lines that the server asked for, unless an offer is under way.
    fn offer_again(&mut self) -> Result<(), Failure> {
        if self.pending.is_some() {
            return Ok(());
        }
        let Some(wanted) = self.wanted.take() else {
            return Ok(());
        };
        let mut api = self.rtc.sdp_api();
        if wanted.is_empty() {
            // The SDKs offer again even if nothing new is asked for: what changed is how the
            // server uses an m-line. str0m makes an offer only of changes.
            api.set_direction(self.first_mid, Direction::Inactive);
            api.set_direction(self.first_mid, Direction::RecvOnly);
        }
        for kind in wanted {
            api.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let Some((offer, pending)) = api.apply() else {
            return Ok(());
        };
        self.pending = Some(pending);
        self.offer_id += 1;
        self.traffic.reoffers += 1;
        let offer = signal::description(&offer.to_sdp_string(), self.offer_id);
        match &mut self.signal {
            Some(signal) => signal
                .send(Request::Offer(offer))
                .map_err(|reason| refused(&self.name, &reason)),
            None => Ok(()),
        }
    }
}
