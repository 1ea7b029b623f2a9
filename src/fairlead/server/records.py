"""The records of the whole network at one node: its own as it writes them, the others' as told."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fairlead.cells.change import AnyRecord, Change, RecordPut, gone
from fairlead.server.api.directory import Directory
from fairlead.server.ports import Cells


class Records:
    """Cells that tell the directory what passes through them."""

    def __init__(self, cells: Cells, directory: Directory) -> None:
        self._cells = cells
        self._directory = directory

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node."""
        self._directory.apply(RecordPut(record=record))
        await self._cells.put(record)

    async def delete(self, record: AnyRecord) -> None:
        """Delete a record of this node."""
        self._directory.apply(gone(record))
        await self._cells.delete(record)

    async def changes(self) -> AsyncIterator[Change]:
        """Every record of another node, then every change. One reader."""
        async for change in self._cells.changes():
            self._directory.apply(change)
            yield change
