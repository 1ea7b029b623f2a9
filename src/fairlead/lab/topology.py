"""Which regions some path of links joins."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

Pair = tuple[str, str]
MAX_HOPS = 3
"""Two relays: the longest path there is."""


def joined(links: Iterable[Pair]) -> dict[str, set[str]]:
    """The neighbours of each region, from links that stand."""
    neighbours: dict[str, set[str]] = {}
    for a, b in links:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    return neighbours


def reachable(regions: Sequence[str], neighbours: dict[str, set[str]]) -> list[Pair]:
    """Every ordered pair of regions with a path of at most `MAX_HOPS` links."""
    pairs = []
    for here in regions:
        seen = {here}
        for _ in range(MAX_HOPS):
            seen |= set(itertools.chain.from_iterable(neighbours.get(name, ()) for name in seen))
        pairs += [(here, there) for there in regions if there != here and there in seen]
    return pairs
