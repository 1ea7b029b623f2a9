//! Offers and answers, as str0m makes them and as clients need them.

use std::time::Instant;

use str0m::Candidate;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind};

use super::setup::channel;
use super::{DATA_TRACK, LOSSY, Mid, RELIABLE, Transport};
use crate::values::{Kind, Section};

impl Transport {
    /// Answer an offer. Err: a sentence for the log.
    pub(crate) fn accept_offer(
        &mut self,
        now: Instant,
        sdp: &str,
        agreed_channels: Option<[u16; 3]>,
    ) -> Result<String, String> {
        let sdp = without_snap(sdp);
        let listens = |section: &[&str]| section.contains(&"a=recvonly");
        let offer = SdpOffer::from_sdp_string(&without_send_times(&sdp, listens));
        let offer = offer.map_err(|e| e.to_string())?;
        let before = self.rtc.direct_api().local_ice_credentials();
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|e| e.to_string())?;
        let answer = answer.to_sdp_string();
        let (answer, restarted) = self.names.answer(&mut self.rtc, &before, &answer);
        self.restarted(restarted);
        self.checks.described(&sdp);
        self.changed(now);
        self.negotiated();
        if let Some([reliable, lossy, tracks]) = agreed_channels
            && !self.channels_agreed
        {
            self.channels_agreed = true;
            let mut api = self.rtc.direct_api();
            self.reliable = Some(api.create_data_channel(channel(RELIABLE, Some(reliable))));
            self.lossy = Some(api.create_data_channel(channel(LOSSY, Some(lossy))));
            self.data_track = Some(api.create_data_channel(channel(DATA_TRACK, Some(tracks))));
        }
        Ok(ask_for_lost_sound(&with_send_times(&answer, &sdp)))
    }

    /// Make an offer with exactly these sections after the data section. Err: nothing to offer.
    pub(crate) fn create_offer(
        &mut self,
        now: Instant,
        id: u32,
        sections: &[Section],
        restart_ice: bool,
    ) -> Result<(String, Vec<String>), String> {
        let first = self.reliable.is_none();
        let mut api = self.rtc.sdp_api();
        if first {
            self.reliable = Some(api.add_channel_with_config(channel(RELIABLE, None)));
            self.lossy = Some(api.add_channel_with_config(channel(LOSSY, None)));
            self.data_track = Some(api.add_channel_with_config(channel(DATA_TRACK, None)));
        }
        let mut mids = Vec::with_capacity(sections.len());
        for section in sections {
            let direction = match section.active {
                true => Direction::SendOnly,
                false => Direction::Inactive,
            };
            let mid = match &section.mid {
                Some(mid) => {
                    let mid = Mid::from(mid.as_str());
                    api.set_direction(mid, direction);
                    mid
                }
                None => {
                    let kind = match section.kind {
                        Kind::Audio => MediaKind::Audio,
                        Kind::Video => MediaKind::Video,
                    };
                    api.add_media(kind, direction, None, None, None)
                }
            };
            mids.push(mid.to_string());
        }
        let restart = restart_ice.then(|| api.ice_restart(true));
        // An m-line that went from one track to another is as it was to str0m, which offers only
        // what changed; the client has to hear of the track.
        let kept = sections.iter().find(|section| section.mid.is_some());
        if let Some(section) = kept.filter(|_| !api.has_changes()) {
            let mid = Mid::from(section.mid.as_deref().unwrap_or_default());
            let (this, other) = match section.active {
                true => (Direction::SendOnly, Direction::Inactive),
                false => (Direction::Inactive, Direction::SendOnly),
            };
            api.set_direction(mid, other);
            api.set_direction(mid, this);
        }
        let Some((offer, pending)) = api.apply() else {
            return Err("the offer would change nothing".into());
        };
        self.changed(now);
        self.offer = Some((id, pending));
        self.named = true;
        let offer = without_send_times(&offer.to_sdp_string(), |_| true);
        Ok((self.names.offer(restart, offer), mids))
    }

    /// Take the answer to the offer `id` (0: whichever is open).
    pub(crate) fn accept_answer(&mut self, now: Instant, id: u32, sdp: &str) -> Result<(), String> {
        match &self.offer {
            Some((open, _)) if id == 0 || id == *open => {}
            Some((open, _)) => return Err(format!("answer {id} is not for offer {open}")),
            None => return Err(format!("answer {id} comes without an offer")),
        }
        let sdp = without_snap(sdp);
        let answer = SdpAnswer::from_sdp_string(&sdp).map_err(|e| e.to_string())?;
        let Some((_, pending)) = self.offer.take() else {
            return Err(format!("answer {id} comes without an offer"));
        };
        self.changed(now);
        let before = self.rtc.direct_api().local_ice_credentials();
        self.rtc
            .sdp_api()
            .accept_answer(pending, answer)
            .map_err(|e| e.to_string())?;
        let restarted = self.names.answered(&mut self.rtc, &before);
        self.restarted(restarted);
        self.checks.described(&sdp);
        self.negotiated();
        Ok(())
    }

    /// A restarted connection says so when it is back; its packets go the old way until then.
    fn restarted(&mut self, restarted: bool) {
        self.named |= restarted;
        self.lost |= restarted;
    }

    /// Learn what the last negotiation agreed on.
    fn negotiated(&mut self) {
        self.types.learn(self.rtc.codec_config());
        let repairs = self.rtc.codec_config().iter().filter_map(|p| p.resend());
        self.repair_types = repairs.map(|pt| *pt).collect();
        let all = self.rtc.codec_config().iter();
        let pictures = all.filter(|p| p.spec().codec.is_video());
        self.picture_types = pictures.map(|p| *p.pt()).collect();
        let all = self.rtc.codec_config().iter();
        let sounds = all.filter(|p| p.spec().codec.is_audio());
        self.sound_types = sounds
            .flat_map(|p| [Some(p.pt()), p.red()])
            .flatten()
            .map(|pt| *pt)
            .collect();
        self.senders.clear();
        self.sources.clear();
    }

    /// Take a trickled candidate; false if it can't be used (an mDNS name, say).
    pub(crate) fn add_candidate(&mut self, now: Instant, candidate: &str) -> bool {
        match Candidate::from_sdp_string(candidate) {
            Ok(candidate) => {
                self.rtc.add_remote_candidate(candidate);
                self.changed(now);
                true
            }
            Err(_) => false,
        }
    }
}

/// SDKs offer SNAP (`a=sctp-init`), which the protocol's servers leave unanswered.
fn without_snap(sdp: &str) -> String {
    sdp.lines()
        .filter(|l| !l.starts_with("a=sctp-init"))
        .flat_map(|l| [l, "\r\n"])
        .collect()
}

/// Only the client tells when it sent what (`uplink.rs`): in the sections that this is true of, str0m does
/// not learn that it could.
fn without_send_times(sdp: &str, here: impl Fn(&[&str]) -> bool) -> String {
    let lines: Vec<&str> = sdp.lines().collect();
    let sections = lines.chunk_by(|_, next| !next.starts_with("m="));
    let kept = sections.flat_map(|section| {
        let without = here(section);
        let keep = move |line: &&&str| !(without && is_send_time(line));
        section.iter().filter(keep)
    });
    kept.flat_map(|line| [*line, "\r\n"]).collect()
}

/// The answer that takes them nevertheless, as the offer has them: clients offer for what they publish
/// later only what was taken before of any section.
fn with_send_times(answer: &str, offer: &str) -> String {
    let time = offer.lines().find(|line| is_send_time(line));
    let lines: Vec<&str> = answer.lines().collect();
    let sections = lines.chunk_by(|_, next| !next.starts_with("m="));
    let all = sections.flat_map(|section| {
        let more = time.filter(|_| section.contains(&"a=sendonly"));
        section.iter().copied().chain(more)
    });
    all.flat_map(|line| [line, "\r\n"]).collect()
}

fn is_send_time(line: &str) -> bool {
    line.starts_with("a=extmap:") && line.ends_with("/abs-send-time")
}

/// An answer that has the client send lost Opus packets again (RFC 4585 section 4.2), on the
/// m-lines where it only sends. Its sound keeps transport-wide numbers: without them the estimate of
/// libwebrtc saw too little on a way with room for all, and stopped pictures for half a second to
/// two (measured).
fn ask_for_lost_sound(sdp: &str) -> String {
    let mut answer = String::with_capacity(sdp.len() + 64);
    let lines: Vec<&str> = sdp.lines().collect();
    for section in lines.chunk_by(|_, next| !next.starts_with("m=")) {
        let speaks = section[0].starts_with("m=audio") && section.contains(&"a=recvonly");
        for line in section {
            answer.extend([line, "\r\n"]);
            let opus = line.strip_prefix("a=rtpmap:").filter(|_| speaks);
            if let Some((pt, _)) = opus.and_then(|map| map.split_once(" opus/48000")) {
                answer.extend(["a=rtcp-fb:", pt, " nack\r\n"]);
            }
        }
    }
    answer
}
