//! What a room's scene does to packets: who of many is heard, and how often speech is repeated.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::World;
use sfu::{Input, Kind, Layer, Scene, Side, TrackInfo};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use str0m::rtp::{ExtensionValues, RtpWrite};
use wire::{Format, MediaPacket, RoomKey, StreamId, red_blocks};

const ROOM: RoomKey = RoomKey([1; 16]);
const SPEAK: (MediaKind, Direction) = (MediaKind::Audio, Direction::SendOnly);
const HEAR: (MediaKind, Direction) = (MediaKind::Audio, Direction::RecvOnly);
const QUIET: i8 = -80;

/// A room of `speakers` and one who hears them all; with `red` it takes redundant sound.
struct Hall {
    world: World,
    speakers: usize,
    hearer: usize,
    /// Packets that each speaker sent.
    sent: Vec<u64>,
}

fn sid(speaker: usize) -> String {
    format!("TR_{speaker}")
}

fn voice(speaker: usize, publisher: Option<u64>) -> TrackInfo {
    TrackInfo {
        sid: sid(speaker),
        room: ROOM,
        kind: Kind::Audio,
        layers: vec![Layer {
            stream: StreamId(speaker as u64),
            rid: None,
            quality: 0,
        }],
        publisher,
        red: true,
    }
}

impl Hall {
    /// The last `elsewhere` of the speakers are on another node.
    fn new(speakers: usize, elsewhere: usize, red: bool) -> Hall {
        let mut world = World::new();
        for speaker in 0..speakers {
            let here = speaker + elsewhere < speakers;
            let id = here.then(|| {
                let at = world.join(1, &[SPEAK]);
                world.clients[at].id
            });
            world.input(Input::AddTrack(voice(speaker, id)));
            if let Some(participant) = id {
                let mid = world.clients[speaker].mids[0].to_string();
                world.input(Input::Publish {
                    participant,
                    mid: &mid,
                    track: &sid(speaker),
                });
                world.input(Input::Wanted {
                    stream: StreamId(speaker as u64),
                    wanted: true,
                });
            }
        }
        let hearer = world.join_as(1, &vec![HEAR; speakers], &[], red);
        for speaker in 0..speakers {
            let mid = world.clients[hearer].mids[speaker].to_string();
            world.input(Input::Subscribe {
                participant: world.clients[hearer].id,
                side: Side::Publisher,
                mid: &mid,
                track: &sid(speaker),
            });
        }
        Hall {
            world,
            speakers,
            hearer,
            sent: vec![0; speakers],
        }
    }

    fn scene(&mut self, scene: Scene) {
        self.world.input(Input::SetScene { room: ROOM, scene });
    }

    fn top(&mut self, audio_top: usize) {
        self.scene(Scene {
            audio_top,
            ..Scene::default()
        });
    }

    /// So many packets of each speaker, 20 ms each, at these levels (dBov); each says its number.
    /// What the hearer gets of each, and what went elsewhere of each, are noted anew.
    fn speak(&mut self, packets: u64, levels: &[i8]) {
        self.world.clients[self.hearer].packets.clear();
        self.world.exported.clear();
        for _ in 0..packets {
            for (speaker, level) in levels.iter().enumerate() {
                self.send(speaker, *level);
            }
            self.world.run(Duration::from_millis(20));
        }
    }

    fn send(&mut self, speaker: usize, level: i8) {
        let sequence = 1_000 * (speaker as u64 + 1) + self.sent[speaker];
        self.sent[speaker] += 1;
        let payload = sequence.to_be_bytes();
        let time = (sequence * 960) as u32;
        if self.world.clients.len() <= self.hearer || speaker >= self.hearer {
            let packet = MediaPacket {
                format: Format::Opus,
                sequence,
                timestamp: time,
                marker: false,
                keyframe: false,
                audio_level: Some(level.unsigned_abs()),
                voice_activity: None,
                orientation: None,
                absolute_capture_time: None,
                dependency_descriptor: None,
                payload: payload.as_slice().into(),
            };
            self.world.input(Input::Media {
                stream: StreamId(speaker as u64),
                packet: &Arc::new(packet),
            });
            return;
        }
        let pt = self.world.pt(speaker, Codec::Opus);
        let now = self.world.now;
        let client = &mut self.world.clients[speaker];
        let mid = client.mids[0];
        let values = ExtensionValues {
            mid: Some(mid),
            audio_level: Some(level),
            voice_activity: Some(true),
            ..Default::default()
        };
        let mut api = client.rtc.direct_api();
        let rtp = RtpWrite::new(pt, sequence.into(), time, now, payload.as_slice());
        let line = api.stream_tx_by_mid(mid, None).unwrap();
        line.write_rtp(rtp.ext_vals(values));
    }

    /// The numbers that the hearer got of each speaker, and how often a sequence number was left
    /// out on the way.
    fn got(&self) -> Vec<(Vec<u64>, u64)> {
        let mut got: BTreeMap<usize, (Vec<u64>, u64, Option<u64>)> = BTreeMap::new();
        let config = self.world.clients[self.hearer].rtc.codec_config();
        let red = config.find(|p| p.red().is_some()).and_then(|p| p.red());
        for packet in &self.world.clients[self.hearer].packets {
            let bytes = match Some(packet.header.payload_type) == red {
                true => red_blocks(&packet.payload).unwrap().last().unwrap().bytes,
                false => &packet.payload,
            };
            let number = u64::from_be_bytes(bytes.try_into().unwrap());
            let (numbers, holes, last) = got.entry((number / 1_000 - 1) as usize).or_default();
            numbers.push(number % 1_000);
            let sequence = *packet.seq_no;
            *holes += last.map_or(0, |last| sequence - last - 1);
            *last = Some(sequence);
        }
        let of = |speaker| got.remove(&speaker).unwrap_or_default();
        let all = (0..self.speakers).map(of);
        all.map(|(numbers, holes, _)| (numbers, holes)).collect()
    }

    fn counts(&self) -> Vec<usize> {
        self.got()
            .iter()
            .map(|(numbers, _)| numbers.len())
            .collect()
    }

    fn exported(&self) -> Vec<usize> {
        let of = |speaker| {
            let all = self.world.exported.iter();
            all.filter(|(stream, _)| *stream == StreamId(speaker as u64))
                .count()
        };
        (0..self.speakers).map(of).collect()
    }
}

#[test]
fn only_the_loudest_are_heard_here_and_carried_elsewhere() {
    let mut hall = Hall::new(5, 0, true);
    hall.top(2);
    let levels = [-30, -14, QUIET, -31, -12];
    hall.speak(50, &levels);
    hall.speak(50, &levels);
    assert_eq!(hall.counts(), [0, 50, 0, 0, 50]);
    assert_eq!(hall.exported(), [0, 50, 0, 0, 50]);
    assert!(hall.world.count("audio_held") >= 150);
}

#[test]
fn a_newcomer_is_heard_from_before_its_first_loud_packet_without_a_hole_in_its_numbering() {
    for red in [true, false] {
        let mut hall = Hall::new(3, 0, red);
        hall.top(2);
        hall.speak(100, &[-20, -20, QUIET]);
        // The first stops; a second later the third begins.
        hall.speak(60, &[QUIET, -20, QUIET]);
        assert_eq!(hall.counts(), [60, 60, 0]);
        hall.speak(30, &[QUIET, -20, -25]);
        let got = hall.got();
        assert_eq!(got[2].0, (157..190).collect::<Vec<u64>>(), "red: {red}");
        assert_eq!(
            hall.exported(),
            [1, 30, 33],
            "the first comes before it in that round"
        );
        // And back again: what was sent of the first goes on where it stopped.
        hall.speak(70, &[QUIET, -20, QUIET]);
        hall.speak(10, &[-15, -20, QUIET]);
        let got = hall.got();
        assert_eq!(got[0], ((257..270).collect(), 0), "red: {red}");
        assert_eq!(hall.world.clients[hall.hearer].nacks, 0);
    }
}

#[test]
fn voices_from_elsewhere_compete_with_those_here() {
    let mut hall = Hall::new(3, 2, true);
    hall.top(2);
    let levels = [-30, -15, -18];
    hall.speak(50, &levels);
    hall.speak(50, &levels);
    assert_eq!(hall.counts(), [0, 50, 50]);
    assert_eq!(hall.exported(), [0, 0, 0], "nobody elsewhere would hear it");
    // Their node stops carrying the last; when it comes again there is no hole for what was left out.
    hall.speak(40, &[-30, -15]);
    hall.sent[2] += 300;
    hall.speak(20, &[-30, -15, -18]);
    assert_eq!(hall.got()[2], ((400..420).collect(), 0));
}

#[test]
fn the_sound_of_a_shared_screen_competes_with_nobody() {
    let mut hall = Hall::new(3, 0, true);
    hall.scene(Scene {
        audio_top: 1,
        unranked: [sid(1)].into(),
        ..Scene::default()
    });
    hall.speak(50, &[-20, -5, QUIET]);
    assert_eq!(hall.counts(), [50, 50, 0]);
}

#[test]
fn a_scene_changes_while_people_speak_and_ends() {
    let mut hall = Hall::new(3, 0, true);
    hall.speak(10, &[-20, -14, QUIET]);
    assert_eq!(hall.counts(), [10, 10, 10]);
    hall.top(1);
    hall.speak(50, &[-20, -14, QUIET]);
    hall.speak(50, &[-20, -14, QUIET]);
    assert_eq!(hall.counts(), [0, 50, 0]);
    hall.top(2);
    hall.speak(50, &[-20, -14, QUIET]);
    assert_eq!(hall.counts()[..2], [50 + 3, 50]);
    hall.scene(Scene::default());
    hall.speak(50, &[-20, -14, QUIET]);
    assert_eq!(hall.counts(), [50, 50, 50]);
}

#[test]
fn who_leaves_gives_its_place_to_another() {
    let mut hall = Hall::new(2, 0, true);
    hall.top(1);
    hall.speak(50, &[-10, -20]);
    assert_eq!(hall.counts(), [50, 0]);
    hall.world.input(Input::RemoveTrack(&sid(0)));
    hall.speak(5, &[-10, -20]);
    assert_eq!(hall.counts(), [0, 5 + 3]);
}

#[test]
fn speech_is_repeated_as_often_as_the_scene_asks_though_nothing_is_lost() {
    let mut hall = Hall::new(1, 0, true);
    let blocks = |hall: &Hall| {
        let packets = &hall.world.clients[hall.hearer].packets;
        red_blocks(&packets.last().unwrap().payload).unwrap().len()
    };
    hall.speak(20, &[-20]);
    assert_eq!(blocks(&hall), 2);
    hall.scene(Scene {
        repeats: 2,
        ..Scene::default()
    });
    hall.speak(20, &[-20]);
    assert_eq!(blocks(&hall), 3);
    // Who comes later is treated alike.
    let late = hall.world.join(1, &[HEAR]);
    let mid = hall.world.clients[late].mids[0].to_string();
    hall.world.input(Input::Subscribe {
        participant: hall.world.clients[late].id,
        side: Side::Publisher,
        mid: &mid,
        track: &sid(0),
    });
    hall.hearer = late;
    hall.speak(20, &[-20]);
    assert_eq!(blocks(&hall), 3);
    hall.scene(Scene::default());
    hall.speak(20, &[-20]);
    assert_eq!(blocks(&hall), 2);
}

#[test]
fn pictures_are_asked_to_wait_as_long_as_the_scene_says_and_sound_is_not() {
    let mut w = World::new();
    let kinds = [MediaKind::Video, MediaKind::Audio];
    let ann = w.join(1, &kinds.map(|kind| (kind, Direction::SendOnly)));
    let bob = w.join(1, &kinds.map(|kind| (kind, Direction::RecvOnly)));
    for (line, kind) in [Kind::Video, Kind::Audio].into_iter().enumerate() {
        let info = voice(line, Some(1));
        w.input(Input::AddTrack(TrackInfo { kind, ..info }));
        let mid = w.clients[ann].mids[line].to_string();
        w.input(Input::Publish {
            participant: 1,
            mid: &mid,
            track: &sid(line),
        });
        let mid = w.clients[bob].mids[line].to_string();
        w.input(Input::Subscribe {
            participant: 2,
            side: Side::Publisher,
            mid: &mid,
            track: &sid(line),
        });
    }
    let asked = |w: &mut World, from: u64| {
        w.clients[bob].packets.clear();
        for n in from..from + 10 {
            let (vp8, opus) = (w.pt(ann, Codec::Vp8), w.pt(ann, Codec::Opus));
            w.send(ann, 0, vp8, n, &[0x10, 0, 0, 0, 0]);
            w.send(ann, 1, opus, n, &[1]);
            w.run(Duration::from_millis(20));
        }
        let packets = &w.clients[bob].packets;
        assert_eq!(packets.len(), 20);
        let (pictures, sound): (Vec<_>, Vec<_>) = packets
            .iter()
            .partition(|p| p.payload.len() == 5 && p.payload[0] == 0x10);
        assert_eq!(pictures.len(), 10);
        let values = |p: &str0m::rtp::RtpPacket| {
            let ms = |t: str0m::media::MediaTime| t.as_seconds() * 1_000.0;
            let values = &p.header.ext_vals;
            values
                .play_delay_min
                .map(ms)
                .zip(values.play_delay_max.map(ms))
        };
        assert!(sound.iter().all(|p| values(p).is_none()));
        let first = values(pictures[0]);
        assert!(pictures.iter().all(|p| values(p) == first));
        first
    };
    assert_eq!(asked(&mut w, 100), None);
    let playout = [400, 1_000].map(Duration::from_millis).into();
    w.input(Input::SetScene {
        room: ROOM,
        scene: Scene {
            playout: Some(playout),
            ..Scene::default()
        },
    });
    assert_eq!(asked(&mut w, 110), Some((400.0, 1_000.0)));
    w.input(Input::SetScene {
        room: ROOM,
        scene: Scene::default(),
    });
    assert_eq!(asked(&mut w, 120), None);
}
