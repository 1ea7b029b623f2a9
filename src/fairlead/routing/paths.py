"""Best paths of at most two relays between all pairs of nodes, in a few numpy passes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fairlead.routing.cost import RELAY_COST_MS
from fairlead.routing.links import Flags, Matrix

NONE = -1
"""In place of a relay's index where there is no such relay."""

Indices = npt.NDArray[np.intp]


class Path(NamedTuple):
    """Relays in order, as matrix indices, and what the path costs (ms)."""

    via: tuple[int, ...]
    cost: float


@dataclass(slots=True, eq=False)
class Choice:
    """One path for each pair: row from, column to. ``cost`` is inf where there is none."""

    first: Indices
    """The first relay; `NONE` for a direct link."""
    last: Indices
    """The second relay; `NONE` for one relay or none."""
    cost: Matrix

    @classmethod
    def none(cls, rows: int, columns: int) -> Choice:
        """No path anywhere."""
        nothing = np.full((rows, columns), NONE, dtype=np.intp)
        return cls(nothing, nothing.copy(), np.full((rows, columns), np.inf))

    def at(self, row: int, destination: int) -> Path | None:
        """The path of one pair."""
        cost = float(self.cost[row, destination])
        if not np.isfinite(cost):
            return None
        via = (int(self.first[row, destination]), int(self.last[row, destination]))
        return Path(tuple(relay for relay in via if relay != NONE), cost)

    def take(self, where: Flags, other: Choice) -> None:
        """The other's paths where told."""
        np.copyto(self.first, other.first, where=where)
        np.copyto(self.last, other.last, where=where)
        np.copyto(self.cost, other.cost, where=where)


def best_paths(costs: Matrix, relays: Flags | None = None, rows: Indices | None = None) -> Choice:
    """The cheapest path from each of ``rows`` (all if None) to every node.

    ``costs``: square, above 0, inf where there is no link; the diagonal is ignored. ``relays``:
    which nodes others' frames may pass through. Ties go to fewer relays, then to the relay that
    stands first in the matrix, so the same matrix gives the same paths on every node.
    """
    direct = costs.copy()
    np.fill_diagonal(direct, np.inf)
    inner = np.arange(len(costs)) if relays is None else np.flatnonzero(relays)
    one, one_relay = _through(direct, direct, inner)
    if rows is None:
        rows = np.arange(len(costs))
    start = direct[rows]
    two, first = _through(start, one, inner)
    two[np.arange(len(rows)), rows] = np.inf
    choice = Choice(
        np.full(start.shape, NONE, dtype=np.intp), np.full(start.shape, NONE, dtype=np.intp), start
    )
    through_one = Choice(one_relay[rows], choice.last, one[rows])
    choice.take(through_one.cost < choice.cost, through_one)
    columns = np.broadcast_to(np.arange(len(costs)), two.shape)
    through_two = Choice(first, one_relay[first, columns], two)
    choice.take(two < choice.cost, through_two)
    return choice


def over_one(direct: Matrix, relays: Indices) -> Matrix:
    """The least cost of each pair over exactly one of ``relays``."""
    return _through(direct, direct, relays)[0]


def costs_of(costs: Matrix, paths: Choice, rows: Indices | None = None) -> Matrix:
    """What given paths cost now; inf where a link of theirs doesn't work."""
    if rows is None:
        rows = np.arange(len(costs))
    source = rows[:, None]
    to = np.arange(len(costs))[None, :]
    one, two = paths.first != NONE, paths.last != NONE
    entry = np.where(one, paths.first, to)
    result = costs[source, entry]
    middle = np.where(two, paths.last, to)
    result = result + np.where(one, costs[entry, middle] + RELAY_COST_MS, 0.0)
    result = result + np.where(two, costs[middle, to] + RELAY_COST_MS, 0.0)
    result[np.arange(len(rows)), rows] = np.inf
    return result


def path_cost(costs: Matrix, source: int, via: tuple[int, ...], destination: int) -> float:
    """What one path costs now (ms), inf if one of its links doesn't work."""
    hops = (source, *via, destination)
    total = sum(float(costs[a, b]) for a, b in pairwise(hops))
    return total + RELAY_COST_MS * len(via)


def _through(first_hop: Matrix, rest: Matrix, relays: Indices) -> tuple[Matrix, Indices]:
    """min over k of first_hop[i, k] + rest[k, j], and that k; memory stays n²."""
    total = np.full((len(first_hop), rest.shape[1]), np.inf)
    relay = np.zeros(total.shape, dtype=np.intp)
    candidate, better = np.empty_like(total), np.empty(total.shape, dtype=bool)
    for k in relays:
        np.add(first_hop[:, k, None], rest[None, k, :] + RELAY_COST_MS, out=candidate)
        np.less(candidate, total, out=better)
        np.minimum(candidate, total, out=total)
        np.copyto(relay, k, where=better)
    if len(first_hop) == rest.shape[1]:
        np.fill_diagonal(total, np.inf)
    return total, relay
