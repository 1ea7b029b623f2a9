//! One session on this worker: its transports and what it may do.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::forwarder::Forwarder;
use crate::headroom::{Budget, Headroom};
use crate::redundancy::Losses;
use crate::scene::Scene;
use crate::track::TrackKey;
use crate::transport::{Mid, Transport};
use crate::values::{ParticipantInfo, Side};

/// Bits a second of the headers around a voice.
const VOICE_HEADERS: u64 = 20_000;

#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) info: ParticipantInfo,
    pub(crate) added: Instant,
    /// Number of the last reliable message taken from it.
    pub(crate) last_sequence: u32,
    /// Its connection was another node's: the channels for its first offer here.
    pub(crate) adopted: Option<[u16; 3]>,
    pub(crate) adopted_at: Option<Instant>,
    /// Another node has it now.
    pub(crate) handed_over: bool,
    pub(crate) publisher: Option<Transport>,
    pub(crate) subscriber: Option<Transport>,
    /// Estimate toward the client, bits per second.
    pub(crate) estimate: Option<u64>,
    /// Only candidates over TCP are offered to it.
    pub(crate) tcp_only: bool,
    pub(crate) calls: Calls,
    pub(crate) headroom: Headroom,
    /// Of what is sent to the client.
    pub(crate) losses: Losses,
    /// Bits per second of the estimate that are kept for speech.
    pub(crate) speech_reserve: u64,
    /// How long its pictures should wait at the client.
    pub(crate) playout: Option<(Duration, Duration)>,
    pub(crate) subscribed: BTreeSet<TrackKey>,
    /// Keyframes that it asked for of pictures that came as before, since the last report.
    pub(crate) keyframes_asked: u32,
    /// When layers toward it were stopped for want of room, until others begin.
    pub(crate) shed_at: Option<Instant>,
    /// Numbering of m-lines that carry no track now: the next track goes on where it stopped.
    pub(crate) idle: HashMap<(Side, Mid), Forwarder>,
}

impl Participant {
    pub(crate) fn new(info: ParticipantInfo, now: Instant) -> Self {
        Self {
            info,
            added: now,
            last_sequence: 0,
            adopted: None,
            adopted_at: None,
            handed_over: false,
            publisher: None,
            subscriber: None,
            estimate: None,
            tcp_only: false,
            calls: Calls::default(),
            headroom: Headroom::default(),
            losses: Losses::default(),
            speech_reserve: 0,
            playout: None,
            subscribed: BTreeSet::new(),
            keyframes_asked: 0,
            shed_at: None,
            idle: HashMap::new(),
        }
    }

    /// What is left for pictures beside a voice or several (bits a second) and what is repeated of
    /// them, where the least of all pictures takes `least`. On a clean line that is too narrow for
    /// both, pictures go before repetitions.
    pub(crate) fn budget(&mut self, now: Instant, speech: u64, least: u64) -> Budget {
        let reserve = self.speech_reserve;
        let budget = |p: &mut Self| {
            // Sound is not sent again, and the estimate is less what is lost.
            let frames = p.losses.repetition().frames() as f32 * (1.0 - p.losses.share());
            let headers = if speech > 0 { VOICE_HEADERS } else { 0 };
            let speech = (speech as f32 * frames) as u64 + headers;
            p.headroom.budget(now, speech + reserve)
        };
        self.losses.spare(false);
        let with = budget(self);
        if least <= with.grow {
            return with;
        }
        self.losses.spare(true);
        budget(self)
    }

    pub(crate) fn transport(&mut self, side: Side) -> Option<&mut Transport> {
        match side {
            Side::Publisher => self.publisher.as_mut(),
            Side::Subscriber => self.subscriber.as_mut(),
        }
    }

    /// Whether media can be sent on that side. What is sent before waits, and is late for good.
    pub(crate) fn is_up(&self, side: Side) -> bool {
        self.on(side).is_some_and(Transport::is_established)
    }

    pub(crate) fn on(&self, side: Side) -> Option<&Transport> {
        match side {
            Side::Publisher => self.publisher.as_ref(),
            Side::Subscriber => self.subscriber.as_ref(),
        }
    }

    /// Its room has this scene.
    pub(crate) fn play(&mut self, scene: &Scene) {
        self.losses.repeat_at_least(scene.repeats);
        self.speech_reserve = scene.speech_reserve;
        self.playout = scene.playout;
    }

    /// The transport whose data channels reach the client.
    pub(crate) fn data_side(&self) -> Side {
        if self.info.single {
            Side::Publisher
        } else {
            Side::Subscriber
        }
    }
}

/// The local ICE user fragment of a transport: names participant and side, so that any worker can
/// tell whose a stranger's first packet is. `salt` is random.
pub(crate) fn ufrag(participant: u64, side: Side, salt: &str) -> String {
    let side = match side {
        Side::Publisher => 'P',
        Side::Subscriber => 'S',
    };
    format!("F{participant:x}{side}{salt}")
}

/// The participant that a local ICE user fragment names.
pub fn participant_of_ufrag(ufrag: &str) -> Option<u64> {
    let rest = ufrag.strip_prefix('F')?;
    let end = rest.find(['P', 'S'])?;
    u64::from_str_radix(&rest[..end], 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_participant() {
        for p in [0, 7, u64::MAX] {
            assert_eq!(
                participant_of_ufrag(&ufrag(p, Side::Subscriber, "xyPS")),
                Some(p)
            );
        }
        assert_eq!(participant_of_ufrag("Fzz"), None);
        assert_eq!(participant_of_ufrag("abcd"), None);
    }
}
