"""Paths against exhaustive search on random networks."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fairlead.routing.links import Matrix
from fairlead.routing.paths import RELAY_COST_MS, Paths, path_cost

INF = float("inf")


@st.composite
def networks(draw: st.DrawFn) -> Matrix:
    size = draw(st.integers(2, 6))
    rtts = st.one_of(st.just(INF), st.integers(0, 300).map(float))
    costs = np.array([[draw(rtts) for _ in range(size)] for _ in range(size)])
    np.fill_diagonal(costs, INF)
    return costs


def exhaustive(costs: Matrix, source: int, destination: int) -> float:
    """The least cost over every simple path of at most two relays."""
    others = [node for node in range(len(costs)) if node not in (source, destination)]
    ways = [via for count in range(3) for via in permutations(others, count)]
    return min(path_cost(costs, source, via, destination) for via in ways)


@given(networks())
def test_every_path_is_the_exhaustive_optimum(costs: Matrix) -> None:
    paths = Paths(costs)
    for source in range(len(costs)):
        for destination in range(len(costs)):
            if source == destination:
                assert paths.best(source, destination) is None
                continue
            best = paths.best(source, destination)
            optimum = exhaustive(costs, source, destination)
            if best is None:
                assert optimum == INF
                continue
            assert best.cost == optimum
            assert path_cost(costs, source, best.via, destination) == best.cost
            assert len({source, *best.via, destination}) == len(best.via) + 2


def test_a_tie_goes_to_the_direct_link() -> None:
    costs = np.array(
        [
            [INF, 10.0, 10.0 + 10.0 + RELAY_COST_MS],
            [10.0, INF, 10.0],
            [10.0, 10.0, INF],
        ]
    )
    best = Paths(costs).best(0, 2)
    assert best is not None
    assert best.via == ()


def test_a_tie_between_relays_goes_to_the_first() -> None:
    costs = np.full((4, 4), INF)
    costs[0, 1] = costs[1, 3] = costs[0, 2] = costs[2, 3] = 10.0
    best = Paths(costs).best(0, 3)
    assert best is not None
    assert best.via == (1,)


def test_three_relays_are_too_many() -> None:
    costs = np.full((5, 5), INF)
    for node in range(4):
        costs[node, node + 1] = 1.0
    paths = Paths(costs)
    two = paths.best(0, 3)
    assert two is not None
    assert two.via == (1, 2)
    assert paths.best(0, 4) is None
