"""What was swallowed, when and how late: from recordings that were made here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fairlead.lab.field import counting, scenario, sound, verdict
from fairlead.lab.field.measure import Listened, listened
from fairlead.lab.field.people import Heard, Sample, Told
from fairlead.lab.field.sound import SAMPLE_RATE

BEGAN, LATE_S, SECONDS = 1_000.0, 0.12, 20.0
FIRST = 1_002.0
"""From here on it is listened."""


def heard(
    folder: Path, cut: tuple[float, float] | None = None, later: float = 0.0, speed: float = 1.0
) -> Told:
    """A recording that begins a second into the count; ``cut`` was lost, and what came after it
    was heard so much later."""
    said = np.concatenate([counting.spoken(number) for number in range(int(2 * SECONDS))])
    pieces = [said[SAMPLE_RATE:]]
    if cut is not None:
        start, end = (int((at - 1.0) * SAMPLE_RATE) for at in cut)
        silence = np.zeros(end - start + int(later * SAMPLE_RATE))
        pieces = [said[SAMPLE_RATE : SAMPLE_RATE + start], silence, said[SAMPLE_RATE + end :]]
    samples = np.concatenate(pieces)
    path = folder / "ear.0"
    path.write_bytes(sound.to_pcm(samples).tobytes())
    marks = [
        (count, BEGAN + 1.0 + LATE_S + count / SAMPLE_RATE / speed)
        for count in range(4_800, len(samples), 4_800)
    ]
    statistics = [
        Sample(
            at=BEGAN + second,
            packets=50 * second,
            lost=second,
            discarded=0,
            samples=SAMPLE_RATE * second,
            concealed=480 * second,
        )
        for second in range(1, int(SECONDS))
    ]
    track = Heard(recording=str(path), marks=marks, samples=statistics)
    return Told(began=BEGAN, ended=BEGAN + SECONDS, heard=[track])


def of(listener: Told) -> Listened:
    return listened(Told(began=BEGAN), listener, FIRST, BEGAN + 18.0)


def test_everything_was_heard(tmp_path: Path) -> None:
    found = of(heard(tmp_path))
    # 14.5 s of three words each half second: the last 1.5 s do not count.
    assert (found.words, found.swallowed, found.longest_s) == (87, [], 0.0)
    delay = found.delay_ms(0, 20)
    assert delay == pytest.approx(1e3 * LATE_S, abs=2)
    assert found.concealed == pytest.approx(0.01)
    assert (found.packets, found.lost) == (800, 16)
    assert found.clock == pytest.approx(1.0)


def test_a_hole_swallows_words_and_what_follows_is_late(tmp_path: Path) -> None:
    found = of(heard(tmp_path, cut=(8.0, 9.0), later=0.2))
    assert len(found.swallowed) == 6
    assert found.swallowed[0] == pytest.approx(8.0 - 2.0, abs=0.01)
    assert found.longest_s == pytest.approx(0.5 + 2 * counting.WORD_STEP_S + counting.WORD_S)
    before, after = found.delay_ms(0, 5), found.delay_ms(8, 20)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(200, abs=5)


def test_what_was_said_before_is_told_and_not_judged(tmp_path: Path) -> None:
    listener = heard(tmp_path, cut=(8.0, 9.0))
    found = listened(Told(began=BEGAN), listener, FIRST, BEGAN + 18.0, 10.0)
    assert (found.words, len(found.swallowed), found.share, found.longest_s) == (27, 6, 0.0, 0.0)
    assert found.concealed == pytest.approx(0.01)
    half = listened(Told(began=BEGAN), listener, FIRST, BEGAN + 18.0, 6.5)
    assert half.share == pytest.approx(3 / 48)


def test_nothing_was_heard(tmp_path: Path) -> None:
    listener = heard(tmp_path)
    listener.heard[0].marks.clear()
    Path(listener.heard[0].recording).write_bytes(bytes(2 * SAMPLE_RATE))
    found = of(listener)
    assert found.share == 1.0
    assert found.delay_ms(0, 20) is None
    assert of(Told()).share == 1.0


def test_limits_and_health(tmp_path: Path) -> None:
    text = """
    summary = "."
    seconds = 16
    access.wifi = {}
    event = [{ at = 6, access = "wifi", cut = true }]
    limits.down = { swallowed = "5%", longest_s = 0.5, concealed = 0.5, delay_ms = 150 }
    """
    one = scenario.parse(text, "hole")
    good = of(heard(tmp_path))
    bad = of(heard(tmp_path, cut=(8.0, 9.0), later=0.2))
    bounds = one.limits.down
    assert verdict.misses(one, bounds, good) == []
    said = verdict.misses(one, bounds, bad)
    assert len(said) == 3
    assert said[0] == "6.9% of the words swallowed: at most 5.0%"
    assert "mouth to ear grew by 200 ms: at most 150 ms" in said[2]
    well = verdict.health(one, [good, bad], 1.0, 0.0)
    assert well.complaints() == []
    early = scenario.parse(text.replace("at = 6", "at = 9"), "hole")
    sick = verdict.health(early, [good, bad], 5.0, 0.1)
    assert len(sick.complaints()) == 4
    starved = of(heard(tmp_path, speed=0.94))
    for access in (scenario.Access(udp=False), scenario.Access(trace="lte.down")):
        other = msgspec.structs.replace(early, access={"wifi": access})
        assert verdict.health(other, [good, bad], 0.0, 0.0).complaints() == [], "judged, not void"
    slow = {"wifi": scenario.Access(rate_kbps=2_000)}
    assert verdict.health(early, [good], 0, 0).spread_limit_ms == 20
    narrow = msgspec.structs.replace(early, access=slow, pictures="down")
    assert verdict.health(narrow, [good], 0, 0).spread_limit_ms == 60, "a keyframe takes 40 ms"
    assert "0.940 seconds in a second" in verdict.health(one, [starved], 0, 0).complaints()[0]
