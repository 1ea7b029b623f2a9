"""Decoders and encoders that do not keep up: relieved step by step, and given more again."""

from __future__ import annotations

from fairlead.policy.overload import BEST, STEPS, Decoding, Encoding, SlowDecoder, SlowEncoder, Step

EVERY = 5.0
DECODER = SlowDecoder()
ENCODER = SlowEncoder()


def decode(viewer: Decoding, start: float, reports: list[tuple[int, float]]) -> list[Step]:
    """The step after each report of (keyframes asked, share lost)."""
    steps = []
    for n, (keyframes, loss) in enumerate(reports):
        viewer.take(start + n * EVERY, DECODER, keyframes, loss)
        steps.append(viewer.step)
    return steps


def test_who_asks_for_keyframes_of_whole_pictures_gets_less_until_it_is_well() -> None:
    viewer = Decoding()
    assert decode(viewer, 0, [(3, 0.0)] * 8)[1::2] == [*STEPS[1:], STEPS[-1]]
    assert not viewer.take(41, DECODER, 3, 0.0)


def test_lost_packets_and_a_request_now_and_then_are_no_overload() -> None:
    viewer = Decoding()
    seen = decode(viewer, 0, [(9, 0.1)] * 5 + [(1, 0.0)] * 5 + [(2, 0.0), (0, 0.0)] * 5)
    assert set(seen) == {Step()}


def test_more_comes_back_later_each_time_that_it_was_too_much() -> None:
    viewer = Decoding()
    now, rests = 0.0, []
    for _ in range(6):
        decode(viewer, now, [(2, 0.0)] * 2)
        assert viewer.step == STEPS[1]
        fell = now = now + EVERY
        while viewer.step == STEPS[1]:
            now += EVERY
            viewer.take(now, DECODER, 0, 0.0)
        rests.append(now - fell)
    assert rests == [60, 120, 240, 480, 600, 600]


def encode(camera: Encoding, start: float, reports: list[tuple[int, float]]) -> list[int]:
    """The quality after each report of (layers, pictures a second)."""
    qualities = []
    for n, (layers, fps) in enumerate(reports):
        camera.take(start + n * EVERY, ENCODER, layers, fps, 0.0)
        qualities.append(camera.quality)
    return qualities


def test_an_upper_layer_is_let_go_where_that_brings_pictures_and_tried_again() -> None:
    camera = Encoding()
    assert encode(camera, 0, [(3, 20.0), (3, 8.0), (3, 7.0)]) == [BEST, BEST, 1]
    # It is judged 15 s later, and held for 120 s.
    held = encode(camera, 15, [(2, 18.0)] * 30)
    assert held.index(BEST) == 26
    assert set(held[:26]) == {1}


def test_what_does_not_help_is_taken_back_and_left_alone() -> None:
    camera = Encoding()
    dark = [(3, 20.0)] + [(3, 8.0)] * 120
    seen = encode(camera, 0, dark)
    assert seen[:8] == [BEST, BEST, 1, 1, 1, BEST, BEST, BEST]
    assert set(seen[5:120]) == {BEST}


def test_few_pictures_of_a_camera_that_never_gave_more_or_of_one_layer_or_beside_loss() -> None:
    for reports, loss in (([(3, 8.0)] * 9, 0.0), ([(1, 20.0)] + [(1, 8.0)] * 9, 0.0)):
        camera = Encoding()
        assert set(encode(camera, 0, reports)) == {BEST}, loss
    camera = Encoding()
    camera.take(0, ENCODER, 3, 20.0, 0.0)
    assert not any(camera.take(n * EVERY, ENCODER, 3, 8.0, 0.1) for n in range(1, 9))


def test_two_steps_at_most_and_each_is_judged() -> None:
    camera = Encoding()
    encode(camera, 0, [(3, 24.0), (3, 4.0), (3, 4.0)])
    # The second does not help.
    seen = encode(camera, 15, [(2, 6.0)] * 100)
    assert seen[2:8] == [1, 1, 0, 0, 0, 1]
    assert set(seen[7:]) == {1}
