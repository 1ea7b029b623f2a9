"""Whose word on a link counts, and what is no measurement."""

from __future__ import annotations

import pytest

from fairlead.routing.links import Links
from fairlead.types import LinksRecord, LinkState


def record(node: int, **links: float | None) -> LinksRecord:
    """``record(1, n2=10.0, n3=None)``: node 1 measures 10 ms to 2, and its link to 3 is down."""
    return LinksRecord(
        node=node,
        links=[
            LinkState(peer=int(name[1:]), up=rtt is not None, rtt_ms=rtt)
            for name, rtt in links.items()
        ],
    )


def test_the_source_is_believed_and_the_other_end_fills_in() -> None:
    links = Links(own=9)
    links.report(record(1, n2=10.0))
    links.report(record(2, n1=20.0))
    assert links.rtt_ms(1, 2) == 10.0
    assert links.rtt_ms(2, 1) == 20.0
    links.forget(1)
    assert links.rtt_ms(1, 2) == 20.0


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
    matrix = links.matrix(nodes)
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
