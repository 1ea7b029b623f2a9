//! What a room's scene asks of the packets of its people: which voices go on, how often speech is
//! repeated, what is kept for it, how long a client should wait before it plays.
//!
//! What the scenes are is Python's to say; this is what remains of one here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::{MediaPacket, RoomKey, StreamId};

use crate::loudest::{Loudest, Passage};
use crate::sfu::Sfu;
use crate::track::TrackKey;
use crate::values::Kind;

/// Packets that are kept of a voice that is not heard: 60 ms, the longest consonant before a vowel.
const ONSET: usize = 3;

/// What a room asks for; the default asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Of the voices of the room only so many are heard, the loudest; 0 is all.
    pub audio_top: usize,
    /// Tracks that don't compete: the sound of a shared screen.
    pub unranked: BTreeSet<String>,
    /// Each packet of speech repeats at least so many before it.
    pub repeats: usize,
    /// Bits per second of the estimate toward a client that are no picture's.
    pub speech_reserve: u64,
    /// Least and most time that a picture waits at the client before it is shown.
    pub playout: Option<(Duration, Duration)>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            audio_top: 0,
            unranked: BTreeSet::new(),
            repeats: 1,
            speech_reserve: 0,
            playout: None,
        }
    }
}

/// A room's scene, and who of it is heard.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    loudest: Option<Loudest>,
    /// The latest packets of each voice that is not heard.
    onsets: BTreeMap<TrackKey, VecDeque<Arc<MediaPacket>>>,
}

impl Stage {
    fn new(scene: Scene) -> Self {
        let most = scene.audio_top;
        Self {
            scene,
            loudest: (most > 0).then(|| Loudest::new(most)),
            onsets: BTreeMap::new(),
        }
    }

    /// A track ended, or competes no longer.
    pub(crate) fn forget(&mut self, track: TrackKey) {
        self.onsets.remove(&track);
        if let Some(loudest) = &mut self.loudest {
            loudest.forget(track);
        }
    }

    fn change(&mut self, scene: Scene) {
        match (&mut self.loudest, scene.audio_top) {
            (_, 0) => {
                self.loudest = None;
                self.onsets.clear();
            }
            (Some(loudest), most) => loudest.limit(most),
            (None, most) => self.loudest = Some(Loudest::new(most)),
        }
        self.scene = scene;
    }
}

impl Sfu {
    /// A room has another scene from now on.
    pub(crate) fn set_scene(&mut self, room: RoomKey, scene: Scene) {
        for participant in self.rooms.get(&room).into_iter().flatten() {
            if let Some(p) = self.participants.get_mut(participant) {
                p.play(&scene);
            }
        }
        if scene == Scene::default() {
            self.stages.remove(&room);
            return;
        }
        let unranked = self.tracks.iter().filter(|(_, track)| {
            track.info.room == room && scene.unranked.contains(&track.info.sid)
        });
        let unranked: Vec<_> = unranked.map(|(key, _)| *key).collect();
        let stage = self.stages.entry(room);
        let stage = stage
            .and_modify(|stage| stage.change(scene.clone()))
            .or_insert_with(|| Stage::new(scene));
        for key in unranked {
            stage.forget(key);
        }
    }

    /// Whether a packet goes on to whoever is subscribed.
    pub(crate) fn passage(
        &mut self,
        now: Instant,
        id: StreamId,
        packet: &Arc<MediaPacket>,
    ) -> Passage {
        let competes = self.streams.get(&id).and_then(|stream| {
            let track = self.tracks.get(&stream.track)?;
            let stage = self.stages.get_mut(&track.info.room)?;
            let audio = track.info.kind == Kind::Audio;
            let ranked = audio && !stage.scene.unranked.contains(&track.info.sid);
            let loudest = stage.loudest.as_mut().filter(|_| ranked)?;
            let passage = loudest.take(now, stream.track, packet.sequence, packet.audio_level);
            Some((passage, stage.onsets.entry(stream.track)))
        });
        let Some((passage, onset)) = competes else {
            return Passage::Pass;
        };
        if passage == Passage::Hold {
            let onset = onset.or_default();
            if onset.len() == ONSET {
                onset.pop_front();
            }
            onset.push_back(Arc::clone(packet));
            self.count("audio_held");
        }
        passage
    }

    /// What goes on with a packet, in order: nothing; the packet; or with it those just before,
    /// for the first sound of a word is quieter than what opens the way for it.
    pub(crate) fn passing(
        &mut self,
        id: StreamId,
        passage: Passage,
        packet: &Arc<MediaPacket>,
    ) -> impl Iterator<Item = Arc<MediaPacket>> + use<> {
        let onset = match passage {
            Passage::Anew => self.start_anew(id),
            Passage::Pass | Passage::Hold => VecDeque::new(),
        };
        let own = (passage != Passage::Hold).then(|| Arc::clone(packet));
        onset.into_iter().chain(own)
    }

    /// A voice goes on after a while in which it did not: its numbering has no hole for that.
    fn start_anew(&mut self, id: StreamId) -> VecDeque<Arc<MediaPacket>> {
        let Some(key) = self.streams.get(&id).map(|stream| stream.track) else {
            return VecDeque::new();
        };
        let Some(track) = self.tracks.get_mut(&key) else {
            return VecDeque::new();
        };
        for subscription in &mut track.subscriptions {
            subscription.forwarder.pause();
        }
        let stage = self.stages.get_mut(&track.info.room);
        let onset = stage.and_then(|stage| stage.onsets.remove(&key));
        onset.unwrap_or_default()
    }
}
