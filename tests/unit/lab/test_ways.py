"""What the emulated ways are set to."""

from __future__ import annotations

import pytest

from fairlead.lab.ways import Way, Ways, ways
from fairlead.server.config import Weather

CLEAR, CUT, WET = Weather(delay_ms=8), Weather(delay_ms=8, cut=True), Weather(loss=0.5)
THERE, BACK = Way("jakarta", "singapore"), Way("singapore", "jakarta")
OTHER = Way("jakarta", "frankfurt")


@pytest.fixture
def skies() -> Ways:
    return Ways({("jakarta", "singapore"): CLEAR, ("jakarta", "frankfurt"): CLEAR})


def test_one_direction_changes_alone(skies: Ways) -> None:
    assert skies.set(THERE, CUT) == [THERE]
    assert (skies[THERE], skies[BACK], skies[OTHER]) == (CUT, CLEAR, CLEAR)
    assert not skies.is_open("singapore", "jakarta")
    assert skies.is_open("jakarta", "frankfurt")


def test_a_port_pair_changes_alone_and_ends_with_its_direction(skies: Ways) -> None:
    pair = Way("jakarta", "singapore", 2)
    assert skies[pair] == CLEAR
    assert skies.set(pair, CUT) == [pair]
    assert (skies[pair], skies[THERE]) == (CUT, CLEAR)
    assert skies.own("singapore", "jakarta") == {pair: CUT}
    assert skies.is_open("jakarta", "singapore"), "its other pairs still carry"
    assert skies.set(THERE, WET) == [THERE, pair], "the node is told of both"
    assert skies[pair] == WET
    assert skies.own("jakarta", "singapore") == {}


def test_a_snapshot_brings_back_what_was(skies: Ways) -> None:
    skies.set(BACK, WET)
    skies.set(Way("jakarta", "singapore", 0), CUT)
    before = skies.snapshot("jakarta", "singapore")
    for way in ways("jakarta", "singapore"):
        skies.set(way, CUT)
    for way, weather in before.items():
        skies.set(way, weather)
    assert skies.snapshot("jakarta", "singapore") == before
    assert skies[BACK] == WET


def test_changes_are_counted_for_the_whole_link(skies: Ways) -> None:
    skies.set(BACK, CUT)
    skies.set(Way("jakarta", "singapore", 1), CUT)
    assert skies.change(THERE) == 2
    assert skies.change(OTHER) == 0


def test_both_ways_or_one() -> None:
    assert ways("a", "b", 1) == [Way("a", "b", 1), Way("b", "a", 1)]
    assert ways("a", "b", one_way=True) == [Way("a", "b")]
