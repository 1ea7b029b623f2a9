"""First and second paths for each region set in use, held until another is clearly better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fairlead.routing.cost import DELAY_BUDGET_MS, RELAY_COST_MS
from fairlead.routing.damping import worth_moving
from fairlead.routing.links import Matrix
from fairlead.routing.network import Weighed
from fairlead.routing.paths import NONE, Choice, Indices, best_paths, costs_of
from fairlead.routing.second import Risks, charges_of, part_ways, second_paths
from fairlead.routing.trees import graft

Via = tuple[int, ...]
"""Relays of a path, as node ids."""


@dataclass(slots=True, eq=False)
class Table:
    """Paths among the nodes ``order`` from those in ``rows``; indices are places in ``order``."""

    order: tuple[int, ...]
    index: dict[int, int]
    rows: Indices
    cost: Matrix
    firsts: Choice
    seconds: Choice
    charges: Matrix
    """What each second path pays for sharing something with the first."""

    def changed_since(self, before: Table | None) -> frozenset[int]:
        """The sources of which a path is another than before."""
        sources = [self.order[row] for row in self.rows]
        if before is None or before.order != self.order or len(before.rows) != len(self.rows):
            return frozenset(sources)
        moved = np.zeros(self.firsts.cost.shape, dtype=bool)
        for new, old in ((self.firsts, before.firsts), (self.seconds, before.seconds)):
            moved |= (new.first != old.first) | (new.last != old.last)
            moved |= np.isfinite(new.cost) != np.isfinite(old.cost)
        return frozenset(sources[row] for row in np.flatnonzero(moved.any(axis=1)))

    def paths_from(self, source: int) -> Iterator[tuple[int, list[int], list[int] | None, float]]:
        """Each reachable destination with the relays of its first and second path, and what the
        second is charged."""
        row = self.row(source)
        if row is None:
            return
        ids = [*self.order, NONE]  # NONE is the last place
        columns = zip(
            self.order,
            np.isfinite(self.firsts.cost[row]).tolist(),
            self.firsts.first[row].tolist(),
            self.firsts.last[row].tolist(),
            np.isfinite(self.seconds.cost[row]).tolist(),
            self.seconds.first[row].tolist(),
            self.seconds.last[row].tolist(),
            self.charges[row].tolist(),
            strict=True,
        )
        for destination, there, first, last, other, first2, last2, charge in columns:
            if there:
                via = [ids[relay] for relay in (first, last) if relay != NONE]
                second = [ids[relay] for relay in (first2, last2) if relay != NONE]
                yield destination, via, second if other else None, charge

    def row(self, source: int) -> int | None:
        """The row of a source's paths, None if they aren't computed here."""
        place = self.index.get(source)
        if place is None:
            return None
        row = int(np.searchsorted(self.rows, place))
        return row if row < len(self.rows) and self.rows[row] == place else None

    def path(self, source: int, destination: int) -> tuple[Via, Via | None, float] | None:
        """Relays of the first and of the second path between two nodes, and what the second is
        charged; None if there is no path."""
        row, end = self.row(source), self.index.get(destination)
        if row is None or end is None:
            return None
        first = self.firsts.at(row, end)
        if first is None:
            return None
        second = self.seconds.at(row, end)
        return (
            tuple(self.order[relay] for relay in first.via),
            None if second is None else tuple(self.order[relay] for relay in second.via),
            float(self.charges[row, end]),
        )


class Tables:
    """The paths held for each tag; ``rows`` (node ids, None: all) are the sources computed for."""

    def __init__(self, rows: frozenset[int] | None = None) -> None:
        self._sources = rows
        self.held: dict[int, Table] = {}
        self.doubled = 0
        """Links that an origin's routes still cross twice, because one copy would cost too much."""

    def compute(self, weighed: Weighed, policies: Mapping[int, frozenset[int]]) -> dict[int, Table]:
        """New tables: tag 0 is everybody, the others are ``policies``."""
        self.doubled = 0
        everybody = frozenset(weighed.order)
        tables = {0: self._table(weighed, self.held.get(0), everybody)}
        for tag, nodes in policies.items():
            tables[tag] = self._table(weighed, self.held.get(tag), nodes & everybody)
        self.held = tables
        return tables

    def hold(self, tag: int, source: int, destination: int, via: Via) -> None:
        """Say that a path is in force, whoever chose it: it is left only for a better one."""
        table = self.held.get(tag)
        if table is None:
            return
        row, end = table.row(source), table.index.get(destination)
        relays = [table.index.get(relay) for relay in via]
        if row is None or end is None or len(via) > 2 or None in relays:
            return
        places = [relay for relay in relays if relay is not None] + [NONE, NONE]
        table.firsts.first[row, end], table.firsts.last[row, end] = places[:2]
        if not np.isfinite(table.firsts.cost[row, end]):
            table.firsts.cost[row, end] = 0.0  # there is one; what it costs is seen next time

    def _table(self, weighed: Weighed, held: Table | None, nodes: frozenset[int]) -> Table:
        order = tuple(node for node in weighed.order if node in nodes)
        index = {node: place for place, node in enumerate(order)}
        places = np.array([weighed.index[node] for node in order], dtype=np.intp)
        square = np.ix_(places, places)
        cost, spare = weighed.cost[square], weighed.spare[square]
        relays = weighed.relays[places]
        risks = Risks(
            weighed.risks.links[square],
            weighed.risks.provider[places],
            weighed.risks.country[places],
        )
        sources = order if self._sources is None else tuple(n for n in order if n in self._sources)
        rows = np.array([index[node] for node in sources], dtype=np.intp)
        if not len(rows):
            nothing = Choice.none(0, len(order))
            return Table(order, index, rows, cost, nothing, nothing, nothing.cost)
        firsts = best_paths(cost, relays, rows)
        self._within_budget(weighed, square, relays, rows, firsts)
        before = None if held is None else _moved(held, order, rows)
        if before is not None:
            kept = _now(cost, relays, before[0], rows)
            stay = np.isfinite(kept.cost) & ~worth_moving(kept.cost, firsts.cost)
            firsts.take(stay, kept)
        self.doubled += graft(cost, firsts, rows)
        seconds, charges = second_paths(spare, firsts, risks, relays, rows)
        part_ways(spare, weighed.parts.delay[square], firsts, risks, relays, rows, seconds, charges)
        if before is not None:
            kept = _now(spare, relays, before[1], rows)
            paid = charges_of(kept, firsts, risks, rows)  # inf where they share a relay or link
            stay = np.isfinite(kept.cost) & (paid <= charges)
            stay &= ~worth_moving(kept.cost, seconds.cost)
            seconds.take(stay, kept)
            np.copyto(charges, paid, where=stay)
        return Table(order, index, rows, cost, firsts, seconds, charges)

    def _within_budget(
        self,
        weighed: Weighed,
        square: tuple[Indices, ...],
        relays: np.ndarray[tuple[int], np.dtype[np.bool_]],
        rows: Indices,
        firsts: Choice,
    ) -> None:
        """Where the cheapest path is too long, take the shortest if that is not."""
        delay = weighed.parts.delay[square]
        late = np.isfinite(firsts.cost) & (costs_of(delay, firsts, rows) > DELAY_BUDGET_MS)
        if not late.any():
            return
        quick = best_paths(delay, relays, rows)
        fits = late & (quick.cost <= DELAY_BUDGET_MS)
        quick.cost = costs_of(weighed.cost[square], quick, rows)
        firsts.take(fits & np.isfinite(quick.cost), quick)


def _moved(held: Table, order: tuple[int, ...], rows: Indices) -> tuple[Choice, Choice]:
    """The paths held, for another set of nodes; cost inf where a node of theirs is gone."""
    if held.order == order and np.array_equal(held.rows, rows):
        return held.firsts, held.seconds
    index = {node: place for place, node in enumerate(order)}
    into = np.array([index.get(node, -2) for node in held.order] + [NONE], dtype=np.intp)
    old_row = {held.order[place]: row for row, place in enumerate(held.rows)}
    to = [(old, new) for old, node in enumerate(held.order) if (new := index.get(node)) is not None]
    pairs = [
        (old_row[order[place]], row) for row, place in enumerate(rows) if order[place] in old_row
    ]
    result = Choice.none(len(rows), len(order)), Choice.none(len(rows), len(order))
    if not to or not pairs:
        return result
    source = np.ix_([old for old, _ in pairs], [old for old, _ in to])
    target = np.ix_([new for _, new in pairs], [new for _, new in to])
    for before, after in zip((held.firsts, held.seconds), result, strict=True):
        first, last = into[before.first[source]], into[before.last[source]]
        there = np.isfinite(before.cost[source]) & (first != -2) & (last != -2)
        after.first[target] = np.where(there, first, NONE)
        after.last[target] = np.where(there, last, NONE)
        after.cost[target] = np.where(there, before.cost[source], np.inf)
    return result


def _now(
    cost: Matrix,
    relays: np.ndarray[tuple[int], np.dtype[np.bool_]],
    paths: Choice,
    rows: Indices,
) -> Choice:
    """The same paths at today's costs; inf where a relay may no longer be one."""
    now = costs_of(cost, paths, rows)
    may = np.append(relays, True)
    now[~(np.isfinite(paths.cost) & may[paths.first] & may[paths.last])] = np.inf
    return Choice(paths.first, paths.last, now)


__all__ = ["RELAY_COST_MS", "Table", "Tables", "Via"]
