#![allow(clippy::disallowed_methods)]

use super::*;

const STREAM: StreamId = StreamId(7);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// When an edge sends, if it asks every 10 ms and a keyframe comes at `served`.
fn sends(served: Option<u64>) -> Vec<u64> {
    let start = Instant::now();
    let mut keyframes = Keyframes::default();
    let mut sends = Vec::new();
    for t in (0..10_000).step_by(10) {
        let now = start + ms(t);
        if Some(t) == served {
            keyframes.settle(STREAM);
        }
        if served.is_none_or(|served| t < served) {
            keyframes.ask(now, STREAM);
        }
        if !keyframes.due(now).0.is_empty() {
            sends.push(t);
        }
    }
    sends
}

#[test]
fn an_edge_repeats_more_and_more_slowly_until_the_keyframe_comes() {
    assert_eq!(sends(None), [0, 500, 1_500, 3_500, 7_500]);
    assert_eq!(sends(Some(600)), [0, 500]);
    assert_eq!(sends(Some(100)), [0]);
}

#[test]
fn a_new_need_after_a_keyframe_is_not_held_back_longer_than_the_interval() {
    let start = Instant::now();
    let mut keyframes = Keyframes::default();
    assert_eq!(keyframes.ask(start, STREAM), start);
    assert_eq!(keyframes.due(start).0, [STREAM]);
    keyframes.settle(STREAM);
    let again = keyframes.ask(start + ms(100), STREAM);
    assert_eq!(again, start + INTERVAL);
    assert_eq!(keyframes.due(start + ms(100)).2, Some(again));
    assert_eq!(keyframes.due(again).0, [STREAM]);
}

#[test]
fn the_publisher_is_asked_once_in_the_interval_and_not_for_what_it_has_sent() {
    let start = Instant::now();
    let mut keyframes = Keyframes::default();
    let mut asked = Vec::new();
    for t in (0..2_000).step_by(10) {
        let now = start + ms(t);
        keyframes.tell(now, STREAM);
        if !keyframes.due(now).1.is_empty() {
            asked.push(t);
        }
    }
    assert_eq!(asked, [0, 500, 1_000, 1_500]);
    keyframes.sent(STREAM);
    assert!(keyframes.due(start + ms(3_000)).1.is_empty());
    assert!(keyframes.told.is_empty());
}

#[test]
fn a_relay_passes_one_on_and_is_bounded() {
    let start = Instant::now();
    let mut keyframes = Keyframes::default();
    let passed = (0..1_000).filter(|t| keyframes.pass(start + ms(*t), STREAM));
    assert_eq!(passed.count(), 5);
    for i in 0..5_000 {
        assert!(keyframes.pass(start, StreamId(100 + i)));
    }
    assert!(keyframes.passed.len() <= MAX_PASSED);
}
