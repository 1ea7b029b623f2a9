"""Whose word on a link counts, and what is no measurement."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.routing.links import Links
from fairlead.types import LinksRecord, LinkState
from tests.unit.routing.network import record


def test_of_two_round_trips_the_longer_counts_and_either_will_do() -> None:
    links = Links(own=9)
    links.report(record(1, n2=10.0))
    assert links.rtt_ms(2, 1) == 10.0
    links.report(record(2, n1=20.0))
    assert links.rtt_ms(1, 2) == links.rtt_ms(2, 1) == 20.0
    links.forget(2)
    assert links.rtt_ms(1, 2) == 10.0


def test_bad_news_from_either_end_counts() -> None:
    links = Links(own=9)
    links.report(record(1, n2=10.0))
    links.report(record(2, n1=None))
    assert links.rtt_ms(1, 2) is None
    assert links.is_down(1, 2)


def test_of_its_own_links_a_node_believes_itself() -> None:
    links = Links(own=1)
    links.report(record(1, n2=10.0))
    links.report(record(2, n1=None))
    assert links.rtt_ms(1, 2) == 10.0
    assert not links.is_down(2, 1)


def test_the_matrix_says_what_the_pairs_say() -> None:
    links = Links(own=1)
    links.report(record(1, n2=10.0, n3=None, n4=7.0))
    links.report(record(2, n1=99.0, n3=20.0, n4=None))
    links.report(record(3, n2=25.0, n4=30.0))
    links.report(record(5, n6=1.0))
    connecting = LinkState(peer=4, up=True, rtt_ms=None)
    links.report(LinksRecord(node=2, links=[connecting]))
    links.report(record(4, n2=3.0))
    assert links.rtt_ms(2, 4) is None
    assert links.rtt_ms(4, 2) == 3.0
    nodes = [1, 2, 3, 4]
    matrix = links.figures(nodes).rtt
    for row, source in enumerate(nodes):
        for column, destination in enumerate(nodes):
            rtt = None if source == destination else links.rtt_ms(source, destination)
            assert matrix[row, column] == (float("inf") if rtt is None else rtt)


@pytest.mark.parametrize("rtt", [-1.0, float("nan"), float("inf"), 10_001.0])
def test_an_impossible_rtt_is_counted_and_left_out(rtt: float) -> None:
    links = Links(own=9)
    links.report(record(1, n2=rtt, n3=5.0))
    assert links.rtt_ms(1, 2) is None
    assert links.rtt_ms(1, 3) == 5.0
    assert links.rejected == 1


def test_report_tells_state_changes_only() -> None:
    links = Links(own=9)
    assert links.report(record(1, n2=10.0))
    assert not links.report(record(1, n2=90.0))
    assert links.report(record(1, n2=None))


def test_figures_are_of_the_direction_that_the_record_says() -> None:
    links = Links(own=9)
    one = LinkState(
        peer=2,
        up=True,
        rtt_ms=10.0,
        jitter_ms=3.0,
        residual_loss=0.02,
        kbps=500.0,
        kbps_out=900.0,
        capacity_kbps=1000,
        price_per_gb=0.5,
        risks=["cable-a"],
    )
    two = LinkState(
        peer=1,
        up=True,
        rtt_ms=10.0,
        rtt_p95_ms=14.0,
        jitter_ms=1.0,
        kbps=800.0,
        kbps_out=510.0,
        risks=["cable-b"],
        suspect=True,
    )
    links.report(LinksRecord(node=1, links=[one]))
    links.report(LinksRecord(node=2, links=[two]))
    figures = links.figures([1, 2])
    assert figures.loss[1, 0] == 0.02  # 1 wrote what comes in from 2
    assert figures.loss[0, 1] == 0.0
    assert figures.tail[1, 0] == 3.0
    assert figures.tail[0, 1] == 2.0  # half of what the round trip's tail is above its median
    assert figures.use[0, 1] == 0.9
    assert figures.use[1, 0] == 0.0  # no capacity known
    assert figures.kbps[1, 0] == 510.0
    assert (figures.price[0, 1], figures.price[1, 0]) == (0.5, 0.0)
    assert figures.labels[0, 1] == figures.labels[1, 0] == 0b11
    assert figures.suspect.tolist() == [[False, True], [True, False]]


def test_one_end_alone_speaks_for_both_directions() -> None:
    links = Links(own=9)
    only = LinkState(peer=2, up=True, rtt_ms=10.0, jitter_ms=3.0, residual_loss=0.02)
    links.report(LinksRecord(node=1, links=[only]))
    figures = links.figures([1, 2])
    assert figures.rtt[0, 1] == figures.rtt[1, 0] == 10.0
    assert figures.loss[0, 1] == figures.loss[1, 0] == 0.02


@pytest.mark.parametrize(
    "wrong",
    [
        {"jitter_ms": float("nan")},
        {"jitter_ms": -1.0},
        {"residual_loss": 1.5},
        {"loss": float("nan")},
        {"kbps": float("inf")},
        {"price_per_gb": -0.1},
        {"capacity_kbps": 0},
        {"rtt_p95_ms": float("nan")},
        {"peer": 70_000},
    ],
)
def test_any_impossible_figure_is_counted(wrong: dict[str, Any]) -> None:
    links = Links(own=9)
    link = LinkState(**{"peer": 2, "up": True, "rtt_ms": 10.0, **wrong})
    links.report(LinksRecord(node=1, links=[link]))
    assert links.rejected == 1
    assert links.rtt_ms(1, 2) is None


def test_risk_labels_beyond_the_last_bit_count_as_shared() -> None:
    links = Links(own=9)
    for peer in range(2, 200):
        state = LinkState(peer=peer, up=True, rtt_ms=1.0, risks=[f"cable-{peer}"])
        links.report(LinksRecord(node=peer + 1000, links=[state]))
    pairs = [links.figures([peer, peer + 1000]).labels[0, 1] for peer in (2, 3, 100, 150)]
    assert pairs[0] & pairs[1] == 0
    assert pairs[2] & pairs[3] != 0
