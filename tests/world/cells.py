"""The cells of a simulated network: records reach the other nodes after a while, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.routing.inputs import (
    ControllerLost,
    Heard,
    LinksLost,
    NodeLost,
    RegionSetsLost,
    RoutingRecord,
    heard,
)
from fairlead.types import (
    RoutesRecord,
)

Key = tuple[str, int, int]
"""Kind, writer, and the target of routes."""
Send = Callable[[int, int, Heard], None]
"""From which node to which, what it hears."""


class Cells:
    """What every node wrote, and who can hear whom: as NATS and `cells/` have it, without them."""

    def __init__(self, nodes: list[int], send: Send) -> None:
        self._nodes = nodes
        self._send = send
        self._records: dict[Key, RoutingRecord] = {}
        self._apart: frozenset[int] = frozenset()
        self.stopped = False
        """Nothing reaches anybody else."""

    def put(self, record: RoutingRecord) -> None:
        """A node writes; everybody that can hears it."""
        self._records[_key(record)] = record
        self._tell(record.node, heard(record))

    def take_back(self, record: RoutesRecord) -> None:
        """A node deletes one of its records."""
        self._records.pop(_key(record), None)

    def lose(self, node: int) -> None:
        """A node's leases run out."""
        self._records = {key: r for key, r in self._records.items() if r.node != node}
        for gone in (
            LinksLost(node=node),
            RegionSetsLost(node=node),
            ControllerLost(node=node),
            NodeLost(node=node),
        ):
            self._tell(node, gone)

    def catch_up(self, node: int) -> None:
        """A node that starts, or was cut off, reads all that it can."""
        for record in list(self._records.values()):
            if record.node != node and self._hears(record.node, node):
                self._send(record.node, node, heard(record))

    def split(self, nodes: frozenset[int]) -> None:
        """These nodes and the others don't hear each other; none ends it."""
        before, self._apart = self._apart, nodes
        for node in self._nodes:
            if (node in before) != (node in nodes) or before != nodes:
                self.catch_up(node)

    def resume(self) -> None:
        """After a stop: everybody reads everything."""
        self.stopped = False
        for node in self._nodes:
            self.catch_up(node)

    def _tell(self, source: int, event: Heard) -> None:
        for node in self._nodes:
            if node != source and self._hears(source, node):
                self._send(source, node, event)

    def _hears(self, source: int, node: int) -> bool:
        return not self.stopped and (source in self._apart) == (node in self._apart)


def _key(record: RoutingRecord) -> Key:
    target = record.target if isinstance(record, RoutesRecord) else 0
    return type(record).__name__, record.node, target
