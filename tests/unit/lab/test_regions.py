"""Regions and the round trips between them."""

from __future__ import annotations

import itertools

import pytest

from fairlead.lab import regions
from fairlead.lab.regions import KNOWN, Region, read_matrix


def rtt(a: str, b: str) -> float:
    found = regions.measured().rtt_ms(KNOWN[a], KNOWN[b])
    assert found is not None
    return found


def test_every_known_pair_has_one_round_trip_whichever_end_asks() -> None:
    for a, b in itertools.combinations(KNOWN, 2):
        assert rtt(a, b) == rtt(b, a) > 0


def test_the_two_ways_of_a_pair_are_averaged() -> None:
    matrix = read_matrix(",a,b\na,1,100\nb,120,1\n")
    assert matrix.rtt_ms(Region(name="a"), Region(name="b")) == 110


def test_jakarta_is_singapore_and_fifteen_milliseconds() -> None:
    assert rtt("jakarta", "frankfurt") == pytest.approx(rtt("singapore", "frankfurt") + 15)
    assert 15 < rtt("jakarta", "singapore") < 25


def test_a_region_has_a_short_name_and_a_slug() -> None:
    assert regions.known("eu-central-1") is regions.known("frankfurt")
    assert regions.known("atlantis") is None


def test_two_places_derived_from_one_are_apart() -> None:
    here = Region(name="bandung", like="singapore", extra_rtt_ms=20)
    trip = regions.measured().rtt_ms(here, KNOWN["jakarta"])
    assert trip is not None
    assert trip > 35


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (",a,b\na,1\n", "line 2 has 2 cells, the first has 3"),
        (",a,b\na,1,far\n", "line 2, b: 'far' is not a number"),
    ],
)
def test_a_bad_matrix_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_matrix(text)
