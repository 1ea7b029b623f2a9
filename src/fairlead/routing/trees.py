"""One to many: an origin's routes are a tree if they share every link that two of them cross.

Best paths mostly are one by themselves. They fail to be where a node is reached over two relays, so
that what lies behind it needs a shorter way to it: then one of the two prefixes is taken for both,
if that costs no more than `WORTH`.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from fairlead.routing.links import Matrix
from fairlead.routing.paths import NONE, Choice, Indices, path_cost

WORTH = 1.02
"""A path may cost so much more for the sake of one copy on each link."""

Way = tuple[int, ...]


def graft(cost: Matrix, paths: Choice, rows: Indices) -> int:
    """Change paths in place so that links are shared; how many links are still crossed twice."""
    left = 0
    for row in np.flatnonzero((paths.last != NONE).any(axis=1)):
        left += _row(cost, paths, int(row), int(rows[row]))
    return left


def doubled_links(ways: dict[int, Way]) -> dict[tuple[int, int], dict[Way, list[int]]]:
    """Links that the ways (destination to relays) cross with different prefixes: for each prefix,
    the destinations behind it."""
    users: dict[tuple[int, int], dict[Way, list[int]]] = defaultdict(lambda: defaultdict(list))
    for destination, via in ways.items():
        hops = (*via, destination)
        for place in range(len(via)):
            users[hops[place], hops[place + 1]][hops[:place]].append(destination)
    return {link: dict(prefixes) for link, prefixes in users.items() if len(prefixes) > 1}


def _row(cost: Matrix, paths: Choice, row: int, source: int) -> int:
    there = np.isfinite(paths.cost[row]).tolist()
    relays = zip(paths.first[row].tolist(), paths.last[row].tolist(), strict=True)
    ways: dict[int, Way] = {
        destination: () if first == NONE else (first,) if last == NONE else (first, last)
        for destination, (first, last) in enumerate(relays)
        if there[destination]
    }
    doubled = doubled_links(ways)
    for _ in range(len(ways)):
        if not any(_share(cost, paths, row, source, ways, doubled[link]) for link in doubled):
            break
        doubled = doubled_links(ways)
    return len(doubled)


def _share(
    cost: Matrix,
    paths: Choice,
    row: int,
    source: int,
    ways: dict[int, Way],
    prefixes: dict[Way, list[int]],
) -> bool:
    """Bring all destinations behind a link under one of its prefixes; False if none will do."""
    for wanted in sorted(prefixes, key=lambda prefix: (len(prefix), prefix)):
        changes: dict[int, tuple[Way, float]] = {}
        for prefix, destinations in prefixes.items():
            if prefix == wanted:
                continue
            for destination in destinations:
                via = (*wanted, *ways[destination][len(prefix) :])
                new = path_cost(cost, source, via, destination)
                fits = len(via) <= 2 and len({source, *via, destination}) == len(via) + 2
                if not fits or new > WORTH * paths.cost[row, destination]:
                    break
                changes[destination] = (via, new)
            else:
                continue
            break
        else:
            for destination, (via, new) in changes.items():
                ways[destination] = via
                places = [*via, NONE, NONE]
                paths.first[row, destination], paths.last[row, destination] = places[:2]
                paths.cost[row, destination] = new
            return True
    return False
