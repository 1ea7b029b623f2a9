"""Planted lies among measured round trips: found, named, and attracting nothing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.routing.network import Network, Weighed
from fairlead.routing.paths import best_paths
from fairlead.routing.plausibility import contradicted, distances
from fairlead.types import LinksRecord
from tests.unit.routing.network import aws, node, records

Edit = Callable[[int, int, float], float]


def weighed(
    edit: Edit | None = None, silent: frozenset[int] = frozenset(), located: bool = True
) -> Weighed:
    """The measured world; ``edit(writer, peer, rtt)`` changes what a node says, ``silent`` nodes
    say nothing. Asked by node 99, which has no links."""
    rtts, places = aws()
    network = Network(node(99))
    for number, place in enumerate(places, start=1):
        network.node_heard(node(number, location=place if located else None))
    for record in records(rtts):
        if record.node not in silent:
            network.links_heard(_edited(record, edit) if edit else record)
    return network.weigh(0.0)


def _edited(record: LinksRecord, edit: Edit) -> LinksRecord:
    links = [
        msgspec.structs.replace(link, rtt_ms=edit(record.node, link.peer, link.rtt_ms or 0.0))
        for link in record.links
    ]
    return LinksRecord(node=record.node, links=links)


def relayed_by(state: Weighed, relay: int) -> int:
    """Pairs whose best path passes a node."""
    paths = best_paths(state.cost)
    place = state.index[relay]
    return int(((paths.first == place) | (paths.last == place)).sum())


@pytest.mark.parametrize("located", [True, False])
def test_the_world_as_measured_is_believed(located: bool) -> None:
    assert weighed(located=located).doubts == []
    rtts, _ = aws()
    assert not contradicted(np.maximum(rtts, rtts.T)).any()


def test_two_that_agree_on_a_lie_are_caught_by_light() -> None:
    def edit(writer: int, peer: int, rtt: float) -> float:
        return 0.1 if {writer, peer} == {1, 10} else rtt

    state = weighed(edit)
    [doubt] = state.doubts
    assert ({doubt.a, doubt.b}, doubt.reason) == ({1, 10}, "light")
    assert "0.1 ms are faster than light in glass" in doubt.sentence
    # It is the last resort, not the best way.
    assert state.cost[state.index[1], state.index[10]] >= 1000.0
    assert relayed_by(state, 1) == relayed_by(weighed(), 1)


@pytest.mark.parametrize("located", [True, False])
@pytest.mark.parametrize("liar", [1, 7, 13, 20])
def test_a_node_that_lies_about_its_delays_attracts_nothing(liar: int, located: bool) -> None:
    def edit(writer: int, peer: int, rtt: float) -> float:
        return 1.0 if writer == liar else rtt

    def others_word(writer: int, peer: int, rtt: float) -> float:
        return float(aws()[0][peer - 1, writer - 1]) if writer == liar else rtt

    honest, state = weighed(others_word, located=located), weighed(edit, located=located)
    assert relayed_by(state, liar) <= relayed_by(honest, liar)
    accused = [doubt for doubt in state.doubts if doubt.a == liar]
    assert len(accused) >= 15
    assert len(accused) == len(state.doubts)
    assert all(doubt.reason == "ends_differ" for doubt in accused)


@pytest.mark.parametrize("located", [True, False])
def test_a_lie_that_the_other_end_does_not_answer_is_caught_by_the_others(located: bool) -> None:
    liar, silent = 3, frozenset({9, 12, 17})

    def edit(writer: int, peer: int, rtt: float) -> float:
        return 1.0 if writer == liar and peer in silent else rtt

    state = weighed(edit, silent, located=located)
    for peer in silent:
        doubts = [d for d in state.doubts if {d.a, d.b} == {liar, peer}]
        assert len(doubts) == 1
    assert relayed_by(state, liar) <= relayed_by(weighed(silent=silent), liar)


def test_a_near_relay_of_a_node_with_bad_far_links_is_believed() -> None:
    # All of Jakarta's own ways abroad are bad, which is when Singapore is needed.
    def edit(writer: int, peer: int, rtt: float) -> float:
        return rtt + 150.0 if 7 in (writer, peer) and {writer, peer} != {7, 8} else rtt

    state = weighed(edit)
    assert state.doubts == []
    assert relayed_by(state, 8) > relayed_by(weighed(), 8)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(1, 21),
    st.integers(1, 21),
    st.floats(0.0, 0.9, exclude_max=True),
)
def test_one_end_alone_never_makes_a_link_look_shorter(a: int, b: int, share: float) -> None:
    def edit(writer: int, peer: int, rtt: float) -> float:
        return rtt * share if (writer, peer) == (a, b) else rtt

    rtts, _ = aws()
    seen = weighed(edit).figures.rtt[:21, :21]
    assert (seen >= np.minimum(rtts, rtts.T)).all()


def test_distances_are_great_circles() -> None:
    km = distances((1, 2, 3), {1: (1.35, 103.82), 2: (50.11, 8.68)})
    assert km[0, 1] == pytest.approx(10_260, rel=0.01)
    assert np.isnan(km[0, 2])
