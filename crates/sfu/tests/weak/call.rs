//! A call between one who publishes and some who watch, and its figures.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use netem::{Loss, Weather};
use sfu::{Input, Kind, Layer, Side, TrackInfo};
use str0m::media::{Direction, MediaKind};
use wire::{RoomKey, StreamId};

use super::access::Lines;
use super::film::{Camera, Film, ORDINARY, RIDS};
use super::viewer::{STALL, Viewer};
use crate::common::World;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A line of this rate and round trip that loses this share by chance; its queue holds `queue`.
pub fn line(rate: u64, round_trip: Duration, loss: f32, queue: Duration) -> Weather {
    Weather {
        rate: Some(rate),
        queue_bytes: Weather::queue_of(queue, rate),
        loss: if loss > 0.0 {
            Loss::Random(loss)
        } else {
            Loss::None
        },
        ..Weather::delayed(round_trip / 2)
    }
}

pub struct Call {
    pub world: World,
    pub lines: Rc<RefCell<Lines>>,
    pub film: Film,
    pub viewers: Vec<Viewer>,
    /// The estimate toward each viewer, ten times a second.
    pub estimates: Vec<Vec<(Instant, Option<u64>)>>,
    sampled: Instant,
}

/// What a viewer got over a while.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub seconds: f64,
    /// Frames a second that could be shown, of 20.
    pub fps: f64,
    /// Seconds in gaps of more than half a second, and the longest.
    pub stalled: f64,
    pub longest: f64,
    /// Share of the frames shown by layer.
    pub layers: [f64; 3],
    /// From the camera to when it could be shown: median and 95th percentile.
    pub took: [Duration; 2],
    /// Share of sound that came more than 200 ms after the least that the line takes, or never.
    pub unheard: f64,
    /// Mean estimate, kb/s.
    pub estimate: f64,
    /// Median and 95th percentile of what datagrams waited for the line.
    pub queue: [Duration; 2],
    pub overflowed: u64,
    pub kilobits: [f64; 4],
}

impl Call {
    /// One publishes, `viewers` watch; all lines are perfect yet.
    pub fn new(viewers: usize) -> Call {
        Call::of(ORDINARY, viewers)
    }

    /// The same of what this camera sees.
    pub fn of(camera: Camera, viewers: usize) -> Call {
        let mut world = World::new();
        world.tick = ms(1);
        let lines = Rc::new(RefCell::new(Lines::default()));
        let kinds = [MediaKind::Video, MediaKind::Audio];
        let send = kinds.map(|kind| (kind, Direction::SendOnly));
        let receive = kinds.map(|kind| (kind, Direction::RecvOnly));
        let ann = world.join_with(1, &send, &RIDS);
        publish(&mut world, ann);
        let film = Film::new(&world, ann, 7, camera);
        let viewers: Vec<Viewer> = (0..viewers)
            .map(|_| {
                let at = world.join(1, &receive);
                watch(&mut world, at);
                Viewer::new(at, camera.upper.is_some())
            })
            .collect();
        {
            let mut lines = lines.borrow_mut();
            let config = world.clients[ann].rtc.codec_config();
            let repairs = config.iter().filter_map(|p| p.resend()).map(|pt| *pt);
            lines.repairs = repairs.collect();
            let opus = *world.pt(ann, str0m::format::Codec::Opus);
            lines.sounds = vec![opus, *world.red(ann)];
        }
        world.network = Some(lines.clone());
        let estimates = vec![vec![]; viewers.len()];
        let sampled = world.now;
        Call {
            world,
            lines,
            film,
            viewers,
            estimates,
            sampled,
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.film.run(&mut self.world);
            self.world.step();
            for viewer in &mut self.viewers {
                viewer.run(&mut self.world, &self.film);
            }
            if self.world.now >= self.sampled + ms(100) {
                self.sampled = self.world.now;
                for (viewer, estimates) in self.viewers.iter().zip(&mut self.estimates) {
                    let id = self.world.clients[viewer.client].id;
                    estimates.push((self.world.now, self.world.sfu.estimate(id)));
                }
            }
        }
    }

    /// Figures of a viewer since `from`, over a line that takes at least `least`.
    pub fn figures(&self, viewer: usize, line: usize, from: Instant, least: Duration) -> Figures {
        let now = self.world.now;
        let seconds = (now - from).as_secs_f64();
        let watched = &self.viewers[viewer];
        let shown: Vec<_> = watched.shown.iter().filter(|s| s.at >= from).collect();
        let mut gaps = vec![];
        let mut last = from;
        for at in shown.iter().map(|s| s.at).chain([now]) {
            gaps.push(at - last);
            last = at;
        }
        let stalls = gaps.iter().filter(|gap| **gap > STALL);
        let of_layer = |layer: u8| {
            let many = shown.iter().filter(|s| s.layer == layer).count();
            many as f64 / shown.len().max(1) as f64
        };
        let first = ((from - self.film.sound_at(0)).as_millis() / 20) as u64;
        let sounds = first..self.film.sounds().saturating_sub(50).max(first + 1);
        let heard = |n: &u64| watched.heard.get(n).is_some_and(|t| *t <= least + ms(200));
        let many = sounds.end - sounds.start;
        let unheard = 1.0 - sounds.filter(heard).count() as f64 / many as f64;
        let estimates: Vec<f64> = self.estimates[viewer]
            .iter()
            .filter(|(at, _)| *at >= from)
            .filter_map(|(_, estimate)| estimate.map(|e| e as f64 / 1e3))
            .collect();
        let carried = &self.lines.borrow().carried[line];
        let delays = carried.delays.iter().filter(|(at, _)| *at >= from);
        let rate = |bytes: u64| bytes as f64 * 8.0 / 1e3 / seconds;
        Figures {
            seconds,
            fps: shown.len() as f64 / seconds,
            stalled: stalls.map(Duration::as_secs_f64).sum(),
            longest: gaps.iter().max().map_or(0.0, Duration::as_secs_f64),
            layers: [0, 1, 2].map(of_layer),
            took: quantiles(shown.iter().map(|s| s.took).collect()),
            unheard,
            estimate: estimates.iter().sum::<f64>() / estimates.len().max(1) as f64,
            queue: quantiles(delays.map(|(_, waited)| *waited).collect()),
            overflowed: carried.overflowed,
            kilobits: [
                rate(carried.video),
                rate(carried.audio),
                rate(carried.repair),
                rate(carried.download),
            ],
        }
    }
}

fn quantiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place).copied().unwrap_or_default()
    };
    [at(0.5), at(0.95)]
}

fn publish(world: &mut World, client: usize) {
    let layers = RIDS.iter().enumerate().map(|(i, rid)| Layer {
        stream: StreamId(10 + i as u64),
        rid: Some((*rid).into()),
        quality: i as u8,
    });
    let sound = Layer {
        stream: StreamId(20),
        rid: None,
        quality: 0,
    };
    let tracks = [
        ("TR_v", Kind::Video, layers.collect(), 0),
        ("TR_a", Kind::Audio, vec![sound], 1),
    ];
    for (sid, kind, layers, line) in tracks {
        world.input(Input::AddTrack(TrackInfo {
            sid: sid.into(),
            room: RoomKey([1; 16]),
            kind,
            layers,
            publisher: Some(world.clients[client].id),
            red: true,
        }));
        let mid = world.clients[client].mids[line].to_string();
        world.input(Input::Publish {
            participant: world.clients[client].id,
            mid: &mid,
            track: sid,
        });
    }
}

fn watch(world: &mut World, client: usize) {
    for (line, sid) in ["TR_v", "TR_a"].into_iter().enumerate() {
        let mid = world.clients[client].mids[line].to_string();
        world.input(Input::Subscribe {
            participant: world.clients[client].id,
            side: Side::Publisher,
            mid: &mid,
            track: sid,
        });
    }
}
