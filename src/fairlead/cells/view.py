"""What one node knows of all cells: which records stand, by leases, lists and lost cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from fairlead.cells import key as keys
from fairlead.cells.change import (
    AnyRecord,
    CellLost,
    CellSynced,
    Change,
    RecordPut,
    gone,
)
from fairlead.types import NodeRecord

LEASE = 6.0
"""Seconds without a renewal after which a node, and all it wrote, is gone."""
GRACE = 30.0
"""Seconds that the records of a lost cell stand."""
MAX_RECORDS = 100_000
"""Records of one cell; what comes beyond is counted and left out."""
_NEVER = float("inf")


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A watch of a cell began: every entry will be told."""

    cell: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the cell tells it; ``value`` None is a deletion."""

    cell: str
    key: str
    value: bytes | None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Every entry was told since `Opened`; what comes now is new."""

    cell: str


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The connection to a cell ended, or can't be made."""

    cell: str


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A cell is no longer watched: forget it at once."""

    cell: str


class Stalled(msgspec.Struct, frozen=True, kw_only=True):
    """This process did not run for a while, so it could hear no renewal."""

    seconds: float


class Unreachable(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes that no path of the mesh reaches now."""

    nodes: frozenset[int]


Input = Opened | Entry | Listed | Lost | Dropped | Unreachable | Stalled


@dataclass(slots=True)
class _Node:
    """What one cell holds of one node."""

    records: dict[str, tuple[AnyRecord, int]] = field(default_factory=dict)
    """By key: the record and the number of the watch that told it last."""
    expires: float | None = None
    """None: suspended, while the cell is lost (and the node reachable) or being listed."""
    alive: bool = False
    """Its node record stands, so that its records are told."""


@dataclass(slots=True)
class _Cell:
    nodes: dict[int, _Node] = field(default_factory=dict)
    count: int = 0
    watch: int = 0
    open: bool = False
    listed: bool = False
    lost_until: float | None = None
    """When the grace ends (inf: it has); None unless the cell is lost."""


class View:
    """Turns what the watches tell into changes. Each node's records come from one cell."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._cells: dict[str, _Cell] = {}
        self._home: dict[int, str] = {}
        self._unreachable: frozenset[int] = frozenset()
        self.counts = {"malformed": 0, "over_limit": 0, "leases_expired": 0}

    def handle(self, now: float, event: Input | None) -> list[Change]:
        """Take an event (None: only the time passed); ``now`` in seconds, never going back."""
        out: list[Change] = []
        match event:
            case None:
                pass
            case Opened(cell=name):
                cell = self._cells.setdefault(name, _Cell())
                cell.watch += 1
                cell.open, cell.listed = True, False
                for node in cell.nodes.values():
                    node.expires = None
            case Entry(cell=name, key=key, value=value):
                self._entry(now, name, key, value, out)
            case Listed(cell=name):
                self._listed(now, name, out)
            case Lost(cell=name):
                self._lost(now, name, out)
            case Dropped(cell=name):
                self._drop(name, out)
            case Unreachable(nodes=nodes):
                self._unreachable = nodes
                for cell in self._cells.values():
                    self._doubt(now, cell)
            case Stalled(seconds=seconds):
                for cell in self._cells.values():
                    for node in cell.nodes.values():
                        if node.expires is not None:
                            node.expires += seconds
            case _:
                assert_never(event)
        self._expire(now, out)
        return out

    def deadline(self) -> float | None:
        """When a lease or a grace ends next."""
        ends = [cell.lost_until for cell in self._cells.values() if not cell.open]
        ends += [node.expires for cell in self._cells.values() for node in cell.nodes.values()]
        return min((end for end in ends if end is not None and end != _NEVER), default=None)

    def snapshot(self) -> list[Change]:
        """Every record that stands."""
        return [
            RecordPut(record=record)
            for name, cell in self._cells.items()
            for number, node in cell.nodes.items()
            if node.alive and self._home.get(number) == name
            for record, _ in node.records.values()
        ]

    def cell_of(self, node: int) -> str | None:
        """The cell through which a live node can be asked."""
        return self._home.get(node)

    def _entry(
        self, now: float, name: str, key: str, value: bytes | None, out: list[Change]
    ) -> None:
        cell = self._cells.setdefault(name, _Cell())
        try:
            number = keys.node_of(key)
            if number == self._own:
                return
            if value is None:
                self._deleted(cell, name, number, key, out)
                return
            record = keys.decode(key, value)
        except keys.Malformed:
            self.counts["malformed"] += 1
            return
        node = cell.nodes.get(number)
        known = node.records.get(key) if node else None
        if known is None and cell.count >= MAX_RECORDS:
            self.counts["over_limit"] += 1
            return
        if node is None:
            node = cell.nodes[number] = _Node(expires=now + LEASE if cell.listed else None)
        cell.count += known is None
        node.records[key] = (record, cell.watch)
        if isinstance(record, NodeRecord):
            self._renewed(now, cell, name, number, known and known[0], out)
        elif node.alive and (known is None or known[0] != record):
            out.append(RecordPut(record=record))

    def _renewed(
        self,
        now: float,
        cell: _Cell,
        name: str,
        number: int,
        known: AnyRecord | None,
        out: list[Change],
    ) -> None:
        """A node record came: the node lives, here, and all that it wrote before stands."""
        node = cell.nodes[number]
        node.expires = now + LEASE if cell.listed else None
        home = self._home.get(number)
        if home is not None and home != name:
            self._silence(self._cells[home], number, out)
        self._home[number] = name
        if cell.listed:
            # A node writes its own record last after an outage, so the rest is complete.
            self._prune(cell, number, out)
        if not node.alive:
            node.alive = True
            first = _node_first(node.records)
            out.extend(RecordPut(record=node.records[key][0]) for key in first)
        elif known != node.records[f"node.{number}"][0]:
            out.append(RecordPut(record=node.records[f"node.{number}"][0]))

    def _deleted(self, cell: _Cell, name: str, number: int, key: str, out: list[Change]) -> None:
        node = cell.nodes.get(number)
        if node is None or key not in node.records:
            return
        if key == f"node.{number}":
            self._end(cell, number, out)
            return
        record, _ = node.records.pop(key)
        cell.count -= 1
        if node.alive and self._home.get(number) == name:
            out.append(gone(record))

    def _listed(self, now: float, name: str, out: list[Change]) -> None:
        cell = self._cells[name]
        cell.listed, cell.lost_until = True, None
        for number, node in list(cell.nodes.items()):
            # Without its node record in the list the node may be about to write all anew.
            node.expires = now + LEASE
            entry = node.records.get(f"node.{number}")
            if entry is not None and entry[1] == cell.watch:
                self._prune(cell, number, out)
        out.append(CellSynced(region=name))

    def _lost(self, now: float, name: str, out: list[Change]) -> None:
        cell = self._cells.setdefault(name, _Cell())
        if not cell.open and cell.lost_until is not None:
            return  # another attempt to connect failed: the times that run go on
        cell.open = cell.listed = False
        for node in cell.nodes.values():
            node.expires = None
        self._doubt(now, cell)
        if cell.lost_until is None:
            out.append(CellLost(region=name))
        if cell.lost_until in (None, _NEVER):
            cell.lost_until = now + GRACE

    def _doubt(self, now: float, cell: _Cell) -> None:
        """Of a lost cell, the nodes that the mesh does not reach either have a lease left."""
        if cell.open:
            return
        for number, node in cell.nodes.items():
            if number not in self._unreachable:
                node.expires = None
            elif node.expires is None:
                node.expires = now + LEASE

    def _drop(self, name: str, out: list[Change]) -> None:
        cell = self._cells.get(name)
        if cell is not None:
            for number in list(cell.nodes):
                self._end(cell, number, out)
            del self._cells[name]

    def _expire(self, now: float, out: list[Change]) -> None:
        for cell in self._cells.values():
            if not cell.open and cell.lost_until is not None and now >= cell.lost_until:
                cell.lost_until = _NEVER
                for number in list(cell.nodes):
                    self._end(cell, number, out)
            for number, node in list(cell.nodes.items()):
                if node.expires is not None and now >= node.expires:
                    self.counts["leases_expired"] += node.alive
                    self._end(cell, number, out)

    def _prune(self, cell: _Cell, number: int, out: list[Change]) -> None:
        """Forget the records of a node that the present watch did not tell."""
        node = cell.nodes[number]
        for key, (record, watch) in list(node.records.items()):
            if watch != cell.watch:
                del node.records[key]
                cell.count -= 1
                if node.alive:
                    out.append(gone(record))

    def _end(self, cell: _Cell, number: int, out: list[Change]) -> None:
        """Forget a node of a cell, telling its records gone, its node record last."""
        self._silence(cell, number, out)
        node = cell.nodes.pop(number)
        cell.count -= len(node.records)

    def _silence(self, cell: _Cell, number: int, out: list[Change]) -> None:
        """Tell that all of a node's records in a cell are gone, and keep them for a return."""
        node = cell.nodes.get(number)
        if node is None or not node.alive:
            return
        node.alive = False
        del self._home[number]
        last = reversed(_node_first(node.records))
        out.extend(gone(node.records[key][0]) for key in last)


def _node_first(records: dict[str, tuple[AnyRecord, int]]) -> list[str]:
    """The keys of one node's records, the node's own first."""
    return sorted(records, key=lambda key: not key.startswith("node."))
