"""What an edge needs of its packet threads and of the state of its region, as two protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from fairlead.cells.change import AnyRecord, Change


class PacketNode(Protocol):
    """The part of `fairlead._core.Node` that an edge uses."""

    def handle(self, command: bytes) -> None:
        """Queue a msgpack command."""

    def drain(self) -> list[bytes]:
        """Every msgpack event since the last call."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""


class Cells(Protocol):
    """The state of a region and its view of the others."""

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node."""

    async def delete(self, record: AnyRecord) -> None:
        """Delete a record of this node."""

    def changes(self) -> AsyncIterator[Change]:
        """Every record of another node, then every change. One reader."""


class NullCells:
    """The cells of a node that is alone: nothing is kept, nothing comes."""

    async def put(self, record: AnyRecord) -> None: ...

    async def delete(self, record: AnyRecord) -> None: ...

    async def changes(self) -> AsyncIterator[Change]:
        return
        yield  # makes this an (empty) async generator
