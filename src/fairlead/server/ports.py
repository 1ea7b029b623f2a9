"""What an edge needs of the state of its region, as one small protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from fairlead.types import NodeRecord, ParticipantRecord, RoomRecord

Kind = Literal["node", "room", "participant"]
AnyRecord = NodeRecord | RoomRecord | ParticipantRecord


class RecordPut(msgspec.Struct, frozen=True, kw_only=True):
    """A record was written, by this node or another."""

    record: AnyRecord


class RecordGone(msgspec.Struct, frozen=True, kw_only=True):
    """A record was deleted or its lease ran out."""

    kind: Kind
    node: int
    room: str = ""
    """The room's name; empty for a node."""
    sid: str = ""
    """The room's or participant's sid; empty for a node."""


class CellLost(msgspec.Struct, frozen=True, kw_only=True):
    """The cell of another region can't be reached: its records stand until told otherwise."""

    region: str


class CellSynced(msgspec.Struct, frozen=True, kw_only=True):
    """Every record of a region's cell was told; what has not come since `CellLost` is gone
    (a `RecordGone` was sent for it)."""

    region: str


Change = RecordPut | RecordGone | CellLost | CellSynced


class Cells(Protocol):
    """The state of a region and its view of the others."""

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node, or renew it."""

    async def delete(self, record: AnyRecord) -> None:
        """Delete a record of this node."""

    def changes(self) -> AsyncIterator[Change]:
        """Every record there is, then every change. One reader."""


class NullCells:
    """The cells of a node that is alone: nothing is kept, nothing comes."""

    async def put(self, record: AnyRecord) -> None: ...

    async def delete(self, record: AnyRecord) -> None: ...

    async def changes(self) -> AsyncIterator[Change]:
        return
        yield  # makes this an (empty) async generator
