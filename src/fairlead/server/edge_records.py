"""What an edge has yet to write into its cell."""

from __future__ import annotations

import anyio

from fairlead.types import ParticipantRecord, RegionSetsRecord, RoomRecord

EdgeRecord = RoomRecord | ParticipantRecord | RegionSetsRecord


class RecordQueue:
    """Records to write, in order; of several writes of one record in a row the last is kept, so
    that it holds at most a few for each record there is."""

    def __init__(self) -> None:
        self._writes: dict[tuple[str, str], list[tuple[bool, EdgeRecord]]] = {}
        self._wake = anyio.Event()
        self._empty = anyio.Event()
        self._empty.set()

    def put(self, record: EdgeRecord) -> None:
        self._add(True, record)

    def delete(self, record: EdgeRecord) -> None:
        self._add(False, record)

    def take(self) -> list[tuple[bool, EdgeRecord]]:
        """Every write that waits: (put or delete, record)."""
        writes = [write for several in self._writes.values() for write in several]
        self._writes.clear()
        return writes

    async def waiting(self) -> None:
        """Return as soon as there is something to write."""
        if not self._writes:
            self._empty.set()
            self._wake = anyio.Event()
            await self._wake.wait()
        self._empty = anyio.Event()

    async def drained(self) -> None:
        """Return once everything was written."""
        while self._writes or not self._empty.is_set():
            await self._empty.wait()

    def _add(self, write: bool, record: EdgeRecord) -> None:
        key = _key(record)
        several = self._writes.setdefault(key, [])
        if several and several[-1][0] == write:
            several[-1] = (write, record)
        else:
            several.append((write, record))
        self._wake.set()


def _key(record: EdgeRecord) -> tuple[str, str]:
    match record:
        case RoomRecord():
            return ("room", record.name)
        case ParticipantRecord():
            return ("participant", record.sid)
        case RegionSetsRecord():
            return ("regions", "")
