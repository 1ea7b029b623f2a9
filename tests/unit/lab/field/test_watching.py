"""Stalls, freezes and the way back of a picture: from times that were made here."""

from __future__ import annotations

import pytest

from fairlead.lab.field import scenario, verdict
from fairlead.lab.field.people import PictureSample, Seen, Told, Viewed
from fairlead.lab.field.pictures import RATE, UNREADABLE
from fairlead.lab.field.watching import Watched, watched

START, SECONDS, DELAY_S = 1_000.0, 20.0, 0.1
STEP_S = 1 / RATE
SHOWN = [START - 2 + number * STEP_S for number in range(int((SECONDS + 4) * RATE))]


def seen(
    *gaps: tuple[float, float], small: tuple[float, float] = (0, 0), later: float = 0.0
) -> list[Seen]:
    """All that was shown, but for what would come within a gap; small for a while."""
    found = []
    for number, at in enumerate(SHOWN):
        here = at + DELAY_S + later - START
        if not any(a <= here < b for a, b in gaps):
            width = 320 if small[0] <= here < small[1] else 640
            found.append(Seen(START + here, number, width, width * 9 // 16))
    return found


def of(*tracks: list[Seen], since: float = 0.0, events: tuple[float, ...] = ()) -> Watched:
    viewer = Told(viewed=[Viewed(seen=track, samples=[]) for track in tracks])
    return watched(Told(shown=SHOWN), viewer, START, START + SECONDS, since, events)


def test_everything_was_seen() -> None:
    found = of(seen(), events=(10.0,))
    assert found.fps == pytest.approx(RATE, abs=0.1)
    assert found.shown == pytest.approx(SECONDS * RATE, abs=1)
    assert (found.stalls, found.w3c_freezes, found.unreadable) == ([], 0, [])
    assert found.longest_gap_s == pytest.approx(STEP_S, abs=0.01)
    assert found.delay_ms == pytest.approx(1e3 * DELAY_S)
    assert found.width == 640
    assert (found.recoveries[0].frames_s, found.recoveries[0].picture_s) == (0.0, 0.0)


def test_a_gap_is_a_stall_and_a_freeze_by_all_definitions() -> None:
    found = of(seen((10.2, 13.0)), events=(10.0, 12.0))
    long = pytest.approx(2.8, abs=2 * STEP_S)
    assert [length for _, length in found.stalls] == [long]
    assert (found.w3c_freezes, found.w3c_frozen_s, found.longest_gap_s) == (1, long, long)
    assert [one.frames_s for one in found.recoveries] == [
        pytest.approx(3.0, abs=STEP_S),
        pytest.approx(1.0, abs=STEP_S),
    ]


def test_a_short_gap_is_a_freeze_for_w3c_alone() -> None:
    found = of(seen((10.0, 10.3)))
    assert (found.stalls, found.w3c_freezes) == ([], 1)


def test_an_open_end_and_a_late_beginning_are_stalls_and_no_w3c_freeze() -> None:
    found = of(seen((-3, 1.0), (15.0, 99)), events=(15.0,))
    assert [(round(at), round(length)) for at, length in found.stalls] == [(0, 1), (15, 5)]
    assert found.w3c_freezes == 0
    assert found.recoveries[0].frames_s is None
    assert of([]).stall_s == SECONDS
    assert of().fps == 0


def test_what_was_before_is_not_judged() -> None:
    found = of(seen((2.0, 4.0)), since=5.0)
    assert (found.stalls, found.fps) == ([], pytest.approx(RATE, abs=0.2))


def test_the_full_picture_is_back_when_wide_and_quick() -> None:
    found = of(seen((10.0, 11.0), small=(11.0, 14.0)), events=(10.0, 12.0))
    assert [one.picture_s for one in found.recoveries] == [
        pytest.approx(4.0, abs=0.1),
        pytest.approx(2.0, abs=0.1),
    ]
    assert [one.frames_s for one in found.recoveries] == [pytest.approx(1.0, abs=STEP_S), 0.0]
    slow = [one for one in seen() if one.at < START + 10 or one.number % 2]
    assert of(slow, events=(10.0,)).recoveries[0].picture_s is None


def test_two_stalls_close_together_are_one_way_back() -> None:
    found = of(seen((10.0, 11.0), (11.5, 12.5), (16.0, 17.0)), events=(10.0,))
    assert found.recoveries[0].frames_s == pytest.approx(2.5, abs=STEP_S)


def test_old_and_unreadable_pictures_do_not_count() -> None:
    pictures = seen((10.0, 12.0))
    again = [Seen(START + 10.5, 3, 640, 360), Seen(START + 11, UNREADABLE, 640, 360)]
    found = of(sorted([*pictures, *again]))
    assert [round(length) for _, length in found.stalls] == [2]
    assert found.unreadable == [11.0]


def test_a_second_track_goes_on_where_the_first_ended() -> None:
    whole = seen()
    first = [one for one in whole if one.at < START + 10]
    second = [one for one in whole if one.at >= START + 10]
    assert of(first, second).stalls == []


def decoded_all() -> list[PictureSample]:
    """What a client says that decoded all that was shown."""
    return [
        PictureSample(
            at=START + second,
            packets=100 * second,
            lost=second,
            bytes=50_000 * second,
            decoded=RATE * second,
            freezes=second // 10,
            frozen_s=0.1 * second,
            keyframe_requests=0,
        )
        for second in range(1, int(SECONDS) + 1)
    ]


def test_what_the_client_counted() -> None:
    viewer = Told(viewed=[Viewed(seen=seen(), samples=decoded_all())])
    found = watched(Told(shown=SHOWN), viewer, START, START + SECONDS, 10.0)
    assert (found.packets, found.lost, found.client_decoded) == (1_000, 10, 200)
    assert found.kbps == pytest.approx(400)
    assert (found.client_freezes, found.client_frozen_s) == (1, pytest.approx(1.0))


def test_limits_of_pictures() -> None:
    text = """
    summary = "."
    seconds = 20
    access.wifi = {}
    event = [{ at = 10, access = "wifi", cut = true }]
    limits.down = { fps = 15, stall_s = 1, frames_back_s = 1, picture_back_s = 2 }
    """
    one = scenario.parse(text, "hole")
    bounds = one.limits.down
    assert verdict._unseen(bounds, of(seen(), events=(10.0,))) == []
    said = verdict._unseen(bounds, of(seen((10, 17)), events=(10.0,)))
    assert len(said) == 4
    assert said[0] == "13.1 pictures a second: at least 15"
    assert "the picture stood for 7.0 s" in said[1]
    assert "flowed again 7.0 s after 10 s: at most 1 s" in said[2]
    assert "the full picture came 7.0 s later: at most 2 s" in said[3]
    never = verdict._unseen(bounds, of(seen((10, 99)), events=(10.0,)))
    assert "no picture flowed again after 10 s" in never[2]
    assert "the full picture did not come" in never[3]


def test_a_run_with_a_slow_painter_is_void() -> None:
    one = scenario.parse('summary = "."\nseconds = 20\naccess.wifi = {}', "still")
    assert verdict.health(one, [], 0, 0, [of(seen((10, 17)))]).complaints() == []
    slow = watched(Told(shown=SHOWN[::2]), Told(), START, START + SECONDS)
    said = verdict.health(one, [], 0, 0, [slow]).complaints()
    assert said == ["a client showed 50% of the pictures that were due"]


def test_a_run_whose_client_hands_over_no_picture_is_void() -> None:
    one = scenario.parse('summary = "."\nseconds = 20\naccess.wifi = {}', "still")
    for gap, void in [((-2, 99), True), ((0.5, 99), False)]:
        viewer = Told(viewed=[Viewed(seen=seen(gap), samples=decoded_all())])
        found = watched(Told(shown=SHOWN), viewer, START, START + SECONDS)
        said = verdict.health(one, [], 0, 0, [found]).complaints()
        assert said == ["a client decoded 400 pictures and handed over none"] * void
