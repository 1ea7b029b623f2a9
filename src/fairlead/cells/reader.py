"""A queue of changes in which a later change of the same record takes the place of an earlier."""

from __future__ import annotations

import anyio

from fairlead.cells.change import (
    CellLost,
    CellSynced,
    Change,
    Kind,
    RecordGone,
    RecordPut,
    gone,
)

Key = tuple[str, int, str, str, int]


class Reader:
    """One reader's pending changes: never more than there are records, however slow it is."""

    def __init__(self, kinds: frozenset[Kind], snapshot: list[Change]) -> None:
        self._kinds = kinds
        self._pending: dict[Key, Change] = {}
        self._wake = anyio.Event()
        for change in snapshot:
            self.tell(change)

    def tell(self, change: Change) -> None:
        """Queue a change if its kind is read here."""
        key = _key(change)
        if key[0] != "cell" and key[0] not in self._kinds:
            return
        self._pending.pop(key, None)
        self._pending[key] = change
        self._wake.set()

    async def next(self) -> Change:
        """The oldest change, waiting for one."""
        while not self._pending:
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._pending.pop(next(iter(self._pending)))


def _key(change: Change) -> Key:
    match change:
        case RecordPut(record=record):
            return _key(gone(record))
        case RecordGone(kind=kind, node=node, room=room, sid=sid, target=target):
            return (kind, node, room, sid, target)
        case CellLost(region=region) | CellSynced(region=region):
            return ("cell", 0, region, "", 0)
