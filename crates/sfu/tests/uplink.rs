//! What a publisher takes the way up for, by str0m's own estimate (libwebrtc's GCC with its estimate by loss): room
//! where it loses by chance, and no more than there is where it is narrow.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;
mod weak;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{Part, World, publish, vp8};
use netem::Weather;
use sfu::Kind;
use str0m::bwe::Bitrate;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind};
use weak::access::Lines;
use weak::call::{line, ms};

/// What the camera would send, bits a second.
const CAMERA: u64 = 2_000_000;
const FRAME: Duration = Duration::from_millis(50);
const PACKET: usize = 1_000;

/// A camera behind a line; sends what its client's estimate lets it.
struct Publisher {
    world: World,
    lines: Rc<RefCell<Lines>>,
    sequence: u64,
    frame: u32,
    /// Bits of this second, and what was sent in each before.
    bits: u64,
    seconds: Vec<u64>,
}

impl Publisher {
    fn new(up: Weather) -> Self {
        let mut world = World::new();
        world.tick = ms(1);
        world.configure = |config| {
            let config = config.enable_bwe(Some(Bitrate::kbps(500)));
            config.enable_raw_packets(true)
        };
        let at = world.join(1, &[(MediaKind::Video, Direction::SendOnly)]);
        world.configure = |config| config;
        publish(&mut world, at, 0, "TR_v", Kind::Video, 5);
        let mut bwe = world.clients[at].rtc.bwe();
        bwe.set_bitrate(Bitrate::kbps(500), Bitrate::from(CAMERA));
        let lines = Rc::new(RefCell::new(Lines::default()));
        let down = line(20_000_000, ms(40), 0.0, ms(300));
        lines.borrow_mut().open(&[at], down, up, 5);
        world.network = Some(Rc::clone(&lines) as Rc<RefCell<dyn common::Network>>);
        Self {
            world,
            lines,
            sequence: 0,
            frame: 0,
            bits: 0,
            seconds: vec![],
        }
    }

    fn estimate(&self) -> u64 {
        self.world.clients[0].estimate.unwrap_or(500_000)
    }

    fn change(&mut self, up: Weather) {
        let down = line(20_000_000, ms(40), 0.0, ms(300));
        self.lines.borrow_mut().change(self.world.now, 0, down, up);
    }

    fn run(&mut self, seconds: usize) {
        let pt = self.world.pt(0, Codec::Vp8);
        for _ in 0..seconds {
            for _ in 0..20 {
                self.picture(pt);
            }
            self.seconds.push(std::mem::take(&mut self.bits));
        }
    }

    fn picture(&mut self, pt: str0m::media::Pt) {
        let rate = self.estimate().min(CAMERA);
        let bytes = (rate as f64 / 8.0 * FRAME.as_secs_f64()) as usize;
        let packets = bytes.div_ceil(PACKET).max(1);
        self.frame += 1;
        self.world.clients[0]
            .rtc
            .bwe()
            .set_bitrate(Bitrate::from(rate), Bitrate::from(CAMERA));
        let start = self.world.now;
        let requests = &mut self.world.clients[0].keyframe_requests;
        let keyframe = self.frame == 1 || !std::mem::take(requests).is_empty();
        for n in 0..packets {
            self.sequence += 1;
            let payload = vp8(bytes / packets, n == 0, keyframe);
            let part = Part {
                sequence: self.sequence,
                timestamp: self.frame * 4_500,
                marker: n + 1 == packets,
                payload: &payload,
            };
            self.world.send_picture(0, None, pt, &part);
            self.bits += payload.len() as u64 * 8;
            self.world.run(ms(2));
        }
        let rest = (start + FRAME).saturating_duration_since(self.world.now);
        self.world.run(rest);
    }
}

#[test]
fn what_a_radio_loses_by_chance_leaves_the_picture_its_rate() {
    for loss in [0.1, 0.3, 0.5] {
        let mut publisher = Publisher::new(line(20_000_000, ms(40), 0.0, ms(300)));
        publisher.run(5);
        publisher.change(line(20_000_000, ms(40), loss, ms(300)));
        publisher.run(20);
        let last: u64 = publisher.seconds[15..].iter().sum();
        let rate = last / 10;
        assert!(
            rate > CAMERA * 3 / 4,
            "{loss}: {rate} of {:?}",
            publisher.seconds
        );
    }
}

#[test]
fn a_narrow_line_is_found_though_it_loses_by_chance_too() {
    for loss in [0.0, 0.1, 0.3] {
        let mut publisher = Publisher::new(line(20_000_000, ms(40), loss, ms(300)));
        publisher.run(8);
        publisher.change(line(600_000, ms(40), loss, ms(300)));
        publisher.run(20);
        let rates = &publisher.seconds[15..];
        let rate: u64 = rates.iter().sum::<u64>() / rates.len() as u64;
        assert!((150_000..660_000).contains(&rate), "{loss}: {rates:?}");
    }
}

#[test]
fn a_queue_that_is_kept_short_by_dropping_is_not_overfilled() {
    for loss in [0.0, 0.1] {
        let up = Weather {
            codel: true,
            ..line(800_000, ms(40), loss, ms(300))
        };
        let mut publisher = Publisher::new(up);
        publisher.run(40);
        let rate = publisher.seconds[10..].iter().sum::<u64>() / 30;
        assert!(
            (300_000..850_000).contains(&rate),
            "{loss}: {:?}",
            publisher.seconds
        );
    }
}

#[test]
fn a_line_that_drops_without_a_queue_is_not_overfilled_for_long() {
    for queue in [15, 35] {
        let mut publisher = Publisher::new(line(600_000, ms(40), 0.0, ms(queue)));
        publisher.run(40);
        let over = publisher.seconds.iter().filter(|bits| **bits > 800_000);
        let over = over.count();
        assert!(over <= 10, "{queue} ms: {over} of {:?}", publisher.seconds);
    }
}
