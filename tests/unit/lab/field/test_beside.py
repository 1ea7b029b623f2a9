"""Further calls behind the same networks: when they share, how fairly, and what each got."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from fairlead.lab.field import beside, scenario
from fairlead.lab.field.beside import Couple
from fairlead.lab.field.people import PictureSample, Seen, Told, Viewed
from fairlead.lab.field.process import Person
from fairlead.lab.field.scenario import Beside, Bounds
from fairlead.lab.field.verdict import misses
from tests.unit.lab.field.test_report import HEARD

TEXT = """
summary = "Two."
seconds = 40
pictures = "down"
[access.line]
[[beside]]
at = 5
"""


@pytest.mark.parametrize(
    ("rates", "index"),
    [([500, 500, 500], 1.0), ([900, 0, 0], 1 / 3), ([300, 600], 0.9), ([0, 0], None)],
)
def test_jains_index(rates: list[float], index: float | None) -> None:
    assert beside.fairness(rates) == (None if index is None else pytest.approx(index))


def test_all_share_once_all_are_there_and_nobody_pauses() -> None:
    two = scenario.parse(TEXT, "two")
    assert beside.shared_from(two) == 19.0
    paused = msgspec.structs.replace(two, beside=[Beside(at=5), Beside(paused=[8.0, 20.0])])
    assert beside.shared_from(paused) == 30.0
    late = msgspec.structs.replace(two, beside=[Beside(paused=[8.0, 30.0])])
    assert beside.shared_from(late) is None
    assert beside.shared_from(msgspec.structs.replace(two, beside=[])) is None


def test_an_unfair_share_is_beyond_the_limit() -> None:
    two = scenario.parse(TEXT + "[limits.down]\nfairness = 0.8", "two")
    bounds = two.limits.down
    assert misses(two, bounds, HEARD, None, 0.5) == ["fairness 0.50: at least 0.8"]
    assert misses(two, bounds, HEARD, None, 0.9) == []
    assert misses(two, Bounds(), HEARD, None, 0.5) == []
    assert misses(two, bounds, HEARD, None, None) == []


def test_a_call_is_judged_from_when_it_had_time_to_begin() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    start = 100.0
    shown = [start + 5 + 0.05 * n for n in range(600)]
    seen = [Seen(at + 0.1, number, 640, 360) for number, at in enumerate(shown)]
    samples = [
        PictureSample(
            at=start + 5 + second,
            packets=0,
            lost=0,
            bytes=62_500 * second,
            decoded=0,
            freezes=0,
            frozen_s=0.0,
            keyframe_requests=0,
        )
        for second in range(36)
    ]
    told = {
        "ayu2": Told(began=start + 5.5, ended=140.0, viewed=[Viewed(seen=seen, samples=samples)]),
        "ben2": Told(began=start + 5.5, ended=140.0, shown=shown),
    }
    people = cast("tuple[Person, Person]", (Named("ayu2"), Named("ben2")))
    call = Couple(Beside(at=5), people).call(scenario.parse(TEXT, "two"), told, start, 140.0)
    assert (call.name, call.at, list(call.seen)) == ("ayu2", 5, ["down"])
    assert call.seen["down"].since == 9.0
    assert call.seen["down"].kbps == pytest.approx(500, rel=0.05)
    # Nobody was heard, of all that was said since.
    assert call.ways["up"].share == 1.0
    assert 60 < call.ways["up"].words < 200
