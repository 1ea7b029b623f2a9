"""What happened in a world, told from one look at it to the next: for the demo page's ticker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec

from fairlead.lab.view import LinkView, PathView, WorldView, view
from fairlead.lab.world import QUICK_FOR_S, World

KEPT = 100
"""The oldest go first."""

Kind = Literal[
    "cut", "healed", "suspect", "down", "up", "moved", "lost", "found", "killed", "started"
]


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. Of a link (``a`` and ``b``), a path (from ``a`` to ``b``) or a node (``a``)."""

    number: int
    """Grows by one."""
    at_ms: int
    """Unix milliseconds."""
    kind: Kind
    a: str
    b: str = ""
    via: list[str] = []
    """Relays of the new path."""
    was: list[str] = []
    """Relays of the one before."""
    after_ms: int | None = None
    """Since a link was last cut or healed or a node killed, if that was just before."""


class News:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self._before: WorldView | None = None
        self._number = 0
        self._kept: deque[Happening] = deque(maxlen=KEPT)

    def hear(self, world: World) -> None:
        """Look at a world, now."""
        since = world.since_change_s()
        self.look(time.time(), None if since is None or since > QUICK_FOR_S else since, view(world))

    def latest(self) -> list[Happening]:
        """The last `KEPT` happenings, oldest first."""
        return list(self._kept)

    def look(self, now: float, since: float | None, seen: WorldView) -> list[Happening]:
        """What is new at ``now`` (Unix seconds), ``since`` seconds after the last change made."""
        before, self._before = self._before, seen
        if before is None:
            return []
        after_ms = None if since is None else round(1e3 * since)
        new = [*_nodes(before, seen), *_links(before, seen), *_paths(before, seen)]
        told = []
        for one in new:
            self._number += 1
            done = one.kind in ("cut", "healed", "killed", "started")
            told.append(
                msgspec.structs.replace(
                    one,
                    number=self._number,
                    at_ms=round(1e3 * now),
                    after_ms=None if done else after_ms,
                )
            )
        self._kept.extend(told)
        return told


def _new(
    kind: Kind, a: str, b: str = "", via: Sequence[str] = (), was: Sequence[str] = ()
) -> Happening:
    return Happening(number=0, at_ms=0, kind=kind, a=a, b=b, via=list(via), was=list(was))


def _nodes(before: WorldView, seen: WorldView) -> list[Happening]:
    was = {region.region: region.state for region in before.regions}
    return [
        _new("started" if region.state == "up" else "killed", region.region)
        for region in seen.regions
        if was.get(region.region) not in (None, region.state)
    ]


def _links(before: WorldView, seen: WorldView) -> list[Happening]:
    was = {(link.a, link.b): link for link in before.links}
    found = []
    for link in seen.links:
        old = was.get((link.a, link.b))
        if old is None:
            continue
        if _is_cut(old) != _is_cut(link):
            found.append(_new("cut" if _is_cut(link) else "healed", link.a, link.b))
        if old.state != link.state and link.state != "connecting":
            found.append(_new(link.state, link.a, link.b))
    return found


def _is_cut(link: LinkView) -> bool:
    return link.emulated.cut or any(way.emulated.cut for way in link.differing if way.pair is None)


def _paths(before: WorldView, seen: WorldView) -> list[Happening]:
    was, now = _by_ends(before), _by_ends(seen)
    found = []
    for ends in sorted(was.keys() | now.keys()):
        old, new = was.get(ends), now.get(ends)
        if new is None:
            found.append(_new("lost", *ends, was=old.via if old else []))
        elif old is None:
            found.append(_new("found", *ends, via=new.via))
        elif old.via != new.via:
            found.append(_new("moved", *ends, via=new.via, was=old.via))
    return found


def _by_ends(world: WorldView) -> dict[tuple[str, str], PathView]:
    return {(path.origin, path.to): path for path in world.paths if not path.regions}
