"""What a node says of itself to its operator, and what it may be asked to change."""

from __future__ import annotations

import msgspec

from fairlead.protocol.node import Link
from fairlead.routing.explain import Explanation
from fairlead.server.config import EmulationSection


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The one line that a started node prints with ``--json``."""

    node: int
    region: str
    url: str


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A track published here, and the other nodes that serve its room."""

    room: str
    track: str
    """Its sid."""
    kind: str
    layers: int
    to: list[int]
    regions: list[str] = []
    """Where its room may be, sorted; empty is everywhere."""


class DrainState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a node is emptied."""

    draining: bool = False
    """It takes no new sessions."""
    moved: int = 0
    """Sessions sent away since it began."""
    left: int = 0
    """Sessions that it still has."""

    @property
    def drained(self) -> bool:
        return self.draining and not self.left


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """One node, now."""

    node: int
    region: str
    url: str
    uptime_s: float
    links: list[Link] = []
    """As measured; in the order of node ids."""
    routes: list[Explanation] = []
    controller: int | None = None
    """The node whose routes are in force here; None if they are its own view."""
    epoch: int = 0
    """The highest heard of."""
    streams: list[StreamState] = []
    rooms: int = 0
    participants: int = 0
    """Local sessions."""
    drain: DrainState = DrainState()
    tasks: int = 0
    """Tasks of the process: a leak shows here."""
    counters: dict[str, int] = {}
    """Of the packet path, since the start."""
    counted_s: float = 0.0
    """Uptime at which the packet path told them: it does about once a second."""
    routing: dict[str, int] = {}
    """What routing refused, rejected and doubts, by name."""
    emulation: list[EmulationSection] = []
    """The emulated ways to other nodes, as last set."""
