//! Pictures and sound toward weak access networks: what is lost by chance costs no picture, what is
//! narrow is found, and comes back. The whole table is `cargo run -p fairlead-sfu --example estimate`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod common;
mod weak;

use std::time::Duration;

use weak::call::{Call, Figures, line, ms};
use weak::film::BUSY;

const SECOND: Duration = Duration::from_secs(1);

/// A call whose viewer's line is good for a while and then as told; figures of some seconds then.
fn over(rate: u64, round_trip: Duration, down: f32, up: f32, settle: u32, measure: u32) -> Figures {
    let mut call = Call::new(1);
    let client = call.viewers[0].client;
    let good = line(20_000_000, round_trip, 0.0, ms(150));
    let at = call.lines.borrow_mut().open(&[client], good, good, 11);
    call.run(SECOND * 3);
    let then = [down, up].map(|loss| line(rate, round_trip, loss, ms(300)));
    call.lines
        .borrow_mut()
        .change(call.world.now, at, then[0], then[1]);
    call.run(SECOND * settle);
    call.lines.borrow_mut().clear();
    let from = call.world.now;
    call.run(SECOND * measure);
    call.figures(0, at, from, round_trip / 2)
}

// On the way to the viewer alone: a str0m client asks for a packet five times at most, a browser ten,
// so with its requests lost too it gives up where a browser does not.
#[test]
fn a_third_lost_by_chance_costs_neither_layer_nor_frames() {
    let f = over(20_000_000, ms(40), 0.3, 0.0, 2, 8);
    assert_eq!(f.stalled, 0.0, "{f:?}");
    assert!(f.fps >= 15.0, "{f:?}");
    assert!(f.layers[2] > 0.9, "the full picture: {f:?}");
    assert!(f.unheard <= 0.03, "{f:?}");
}

#[test]
fn half_lost_leaves_a_moving_picture() {
    let f = over(20_000_000, ms(40), 0.5, 0.0, 2, 8);
    assert!(f.fps >= 10.0, "{f:?}");
    assert_eq!(f.stalled, 0.0, "{f:?}");
}

#[test]
fn a_narrow_line_is_not_overfilled() {
    let f = over(300_000, ms(40), 0.0, 0.0, 4, 8);
    let [median, _] = f.queue;
    assert!(median < ms(60), "{f:?}");
    assert!(f.unheard <= 0.05, "{f:?}");
    assert!(f.fps >= 15.0 && f.stalled == 0.0, "{f:?}");
}

/// What libwebrtc makes of lively pictures: the base layer alone takes most of such a line, and its
/// keyframe is as long as the queue.
#[test]
fn lively_pictures_move_on_a_line_that_narrowed_and_speech_is_in_time() {
    let mut call = Call::of(BUSY, 1);
    let client = call.viewers[0].client;
    let [wide, narrow] = [2_000_000, 300_000].map(|rate| line(rate, ms(40), 0.0, ms(300)));
    let at = call.lines.borrow_mut().open(&[client], wide, wide, 11);
    call.run(SECOND * 10);
    call.lines.borrow_mut().clear();
    let fell = call.world.now;
    call.lines.borrow_mut().change(fell, at, narrow, wide);
    call.run(SECOND * 12);
    let all = call.figures(0, at, fell, ms(20));
    assert!(
        all.fps >= 8.0,
        "of the ten that the base layer has: {all:?}"
    );
    assert!(all.longest <= 1.5 && all.stalled <= 3.0, "{all:?}");
    assert!(all.unheard <= 0.08, "{all:?}");
    let settled = call.figures(0, at, fell + SECOND * 4, ms(20));
    assert!(
        settled.unheard <= 0.01 && settled.stalled <= 0.6,
        "{settled:?}"
    );
}

#[test]
fn a_download_that_fills_the_queue_does_not_end_the_picture() {
    let mut call = Call::new(1);
    let client = call.viewers[0].client;
    let shared = line(2_000_000, ms(40), 0.0, ms(300));
    let at = call.lines.borrow_mut().open(&[client], shared, shared, 11);
    call.run(SECOND * 4);
    call.lines.borrow_mut().start_download(at);
    call.run(SECOND * 6);
    call.lines.borrow_mut().clear();
    let from = call.world.now;
    call.run(SECOND * 10);
    let f = call.figures(0, at, from, ms(20));
    assert!(f.fps >= 15.0 && f.stalled <= 1.0, "{f:?}");
    let [.., download] = f.kilobits;
    assert!(download > 1_000.0, "nor is it pushed aside: {f:?}");
}

#[test]
fn frames_go_on_when_a_line_narrows_and_the_picture_comes_back() {
    let mut call = Call::new(1);
    let client = call.viewers[0].client;
    let [wide, narrow] = [3_000_000, 300_000].map(|rate| line(rate, ms(40), 0.0, ms(300)));
    let at = call.lines.borrow_mut().open(&[client], wide, wide, 11);
    call.run(SECOND * 4);
    let fell = call.world.now;
    call.lines.borrow_mut().change(fell, at, narrow, wide);
    call.run(SECOND * 6);
    let after = |since: Duration| {
        let shown = call.viewers[0].shown.iter();
        shown.filter(move |s| s.at >= fell + since)
    };
    assert!(
        after(SECOND)
            .take_while(|s| s.at < fell + SECOND * 2)
            .count()
            >= 5
    );
    let rose = call.world.now;
    call.lines.borrow_mut().change(rose, at, wide, wide);
    call.run(SECOND * 6);
    let full = call.viewers[0].shown.iter();
    let full = full.filter(|s| s.at >= rose + SECOND * 5 && s.layer == 2);
    assert!(
        full.count() >= 15,
        "the full picture is back after five seconds"
    );
}

#[test]
fn after_three_seconds_of_nothing_the_picture_is_back_at_once() {
    let good = line(20_000_000, ms(40), 0.0, ms(150));
    let dead = line(20_000_000, ms(40), 1.0, ms(150));
    let mut call = Call::new(1);
    let viewer = call.viewers[0].client;
    let way = call.lines.borrow_mut().open(&[viewer], good, good, 7);
    call.run(SECOND * 8);
    let now = call.world.now;
    call.lines.borrow_mut().change(now, way, dead, dead);
    call.run(SECOND * 3);
    let back = call.world.now;
    call.lines.borrow_mut().change(back, way, good, good);
    call.run(SECOND * 6);
    let found = call.figures(0, way, back, ms(500));
    assert!(found.longest <= 0.5 && found.layers[2] > 0.9, "{found:?}");
    assert_eq!(call.world.count("clients_returned"), 1);
}
