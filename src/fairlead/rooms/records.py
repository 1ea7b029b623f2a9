"""A room as several edges hold it: one name, one changeable part, whoever wrote them."""

from __future__ import annotations

import msgspec
from livekit.protocol.models import Room

from fairlead.types import RoomRecord


class RoomRecords:
    """This edge's record of a room beside those of the others."""

    def __init__(self, name: str, node: int) -> None:
        self.name = name
        self._node = node
        self.own: RoomRecord | None = None
        self._others: dict[int, RoomRecord] = {}

    @property
    def exists(self) -> bool:
        return self.own is not None or bool(self._others)

    @property
    def shared(self) -> bool:
        """Another edge holds the room too."""
        return bool(self._others)

    @property
    def sid(self) -> str:
        """The sid that the room goes by: that of the earliest record."""
        return min((x.created_at, x.sid) for x in self._all())[1]

    @property
    def info(self) -> Room:
        """The room as it is described, without counts."""
        earliest = min(self._all(), key=lambda x: (x.created_at, x.sid))
        room = Room.FromString(self._newest().info)
        room.sid = earliest.sid
        room.name = self.name
        room.creation_time = earliest.created_at // 1000
        room.creation_time_ms = earliest.created_at
        return room

    def open(self, sid: str, now: float, info: Room) -> RoomRecord:
        """Hold the room here: under the name it goes by, if another edge has it."""
        self.own = RoomRecord(
            node=self._node,
            name=self.name,
            sid=sid,
            created_at=int(now * 1000),
            version=1,
            info=info.SerializeToString(),
        )
        if self._others:
            # What another edge made first is the room; this record only repeats it.
            self.own = msgspec.structs.replace(self.own, version=0)
            self.adopt()
        return self.own

    def change(self, info: Room) -> RoomRecord:
        """A new version of the changeable part, of which this edge must hold a record."""
        assert self.own is not None, f"room {self.name!r} is not held here"
        version = max(record.version for record in self._all()) + 1
        self.own = msgspec.structs.replace(self.own, version=version, info=info.SerializeToString())
        return self.own

    def adopt(self) -> RoomRecord | None:
        """Make this edge's record say what all together say; None if it does so already."""
        if self.own is None:
            return None
        earliest = min(self._all(), key=lambda x: (x.created_at, x.sid))
        newest = self._newest()
        merged = msgspec.structs.replace(
            self.own,
            sid=earliest.sid,
            created_at=earliest.created_at,
            version=newest.version,
            info=newest.info,
        )
        if merged == self.own:
            return None
        self.own = merged
        return merged

    def close(self) -> RoomRecord | None:
        """Hold the room no more: the record to delete."""
        own, self.own = self.own, None
        return own

    def put(self, record: RoomRecord) -> None:
        self._others[record.node] = record

    def drop(self, node: int) -> None:
        self._others.pop(node, None)

    def _all(self) -> list[RoomRecord]:
        return [*([self.own] if self.own else []), *self._others.values()]

    def _newest(self) -> RoomRecord:
        return max(self._all(), key=lambda x: (x.version, x.node))
