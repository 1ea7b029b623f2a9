"""Shortest paths of at most two relays between all pairs of nodes, in a few numpy passes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fairlead.routing.links import Matrix

RELAY_COST_MS = 2.0
"""What a relay adds to a path's RTT, 1 ms each way: keeps equal paths short and loops out."""

Indices = npt.NDArray[np.intp]


class Path(NamedTuple):
    """Relays in order, as matrix indices, and what the path costs (ms of RTT)."""

    via: tuple[int, ...]
    cost: float


class Paths:
    """The best path of every pair of a cost matrix.

    Ties go to fewer relays, then to the relay that stands first in the matrix, so the same
    matrix gives the same paths on every node.
    """

    def __init__(self, costs: Matrix) -> None:
        """``costs``: square, inf where there is no link; the diagonal is ignored."""
        direct = costs.copy()
        np.fill_diagonal(direct, np.inf)
        one, one_relay = _through(direct, direct)
        best_short = np.minimum(direct, one)
        two, first = _through(direct, one)
        self._costs = np.minimum(best_short, two)
        self._relays = np.where(two < best_short, 2, np.where(one < direct, 1, 0))
        self._one_relay = one_relay
        self._first = first

    def best(self, source: int, destination: int) -> Path | None:
        """The best path between two indices, None if there is none."""
        cost = float(self._costs[source, destination])
        if not np.isfinite(cost):
            return None
        relays = int(self._relays[source, destination])
        if relays == 0:
            return Path((), cost)
        if relays == 1:
            return Path((int(self._one_relay[source, destination]),), cost)
        first = int(self._first[source, destination])
        return Path((first, int(self._one_relay[first, destination])), cost)


def path_cost(costs: Matrix, source: int, via: tuple[int, ...], destination: int) -> float:
    """What a given path costs now (ms of RTT), inf if one of its links doesn't work."""
    hops = (source, *via, destination)
    total = sum(float(costs[a, b]) for a, b in pairwise(hops))
    return total + RELAY_COST_MS * len(via)


def _through(first_hop: Matrix, rest: Matrix) -> tuple[Matrix, Indices]:
    """min over k of first_hop[i, k] + rest[k, j], and that k; memory stays n²."""
    size = first_hop.shape[0]
    total = np.full_like(first_hop, np.inf)
    relay = np.zeros(first_hop.shape, dtype=np.intp)
    for k in range(size):
        candidate = first_hop[:, k, None] + rest[None, k, :] + RELAY_COST_MS
        better = candidate < total
        total[better] = candidate[better]
        relay[better] = k
    np.fill_diagonal(total, np.inf)
    return total, relay
