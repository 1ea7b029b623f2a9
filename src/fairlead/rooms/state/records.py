"""A room as several edges hold it: one name, one changeable part, whoever wrote them.

Where its media may be is the one thing that no edge decides over the others: what every record
allows holds, so two edges that disagree leave less, not more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from livekit.protocol.models import Room

from fairlead.policy.regions import EVERYWHERE, RegionSet, intersect
from fairlead.types import RoomRecord

MAX_REVOKED = 1024
"""Identities of one room whose tokens are revoked."""


class RoomRecords:
    """This edge's record of a room beside those of the others."""

    def __init__(self, name: str, node: int, ruled: RegionSet = EVERYWHERE) -> None:
        """``ruled``: what this edge's operator allows the room."""
        self.name = name
        self.regions = ruled
        """Where its media may be: what all records and the operator here allow."""
        self._ruled = ruled
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

    @property
    def scene(self) -> str:
        """What kind of conversation it is; empty is the default."""
        return self._newest().scene

    @property
    def playout_ms(self) -> list[int]:
        """Least and most that pictures wait at a client, if its creator said so."""
        return self._newest().playout_ms

    def held_by(self, node: int) -> bool:
        """Whether another edge's record is known, and with it what that edge allows."""
        return node in self._others

    def open(
        self,
        sid: str,
        now: float,
        info: Room,
        regions: RegionSet,
        scene: str = "",
        playout_ms: Sequence[int] = (),
    ) -> RoomRecord:
        """Hold the room here: under the name it goes by, if another edge has it. ``regions``,
        ``scene`` and ``playout_ms``: what its creator asks for."""
        self.own = RoomRecord(
            node=self._node,
            name=self.name,
            sid=sid,
            created_at=int(now * 1000),
            version=1,
            info=info.SerializeToString(),
            regions=sorted(intersect(regions, self._ruled)),
            scene=scene,
            playout_ms=list(playout_ms),
        )
        if self._others:
            # What another edge made first is the room; this record only repeats it.
            self.own = msgspec.structs.replace(self.own, version=0)
            self.adopt()
        self._review()
        return self.own

    def change(self, info: Room, regions: RegionSet = EVERYWHERE, scene: str = "") -> RoomRecord:
        """A new version of the changeable part, of which this edge must hold a record. Without
        ``regions`` the set stays as it is, and so does the scene without one."""
        assert self.own is not None, f"room {self.name!r} is not held here"
        version = max(record.version for record in self._all()) + 1
        newest = self._newest()
        self.own = msgspec.structs.replace(
            self.own,
            version=version,
            info=info.SerializeToString(),
            regions=sorted(intersect(regions or self.regions, self._ruled)),
            scene=scene or newest.scene,
            playout_ms=newest.playout_ms,
        )
        self._review()
        return self.own

    @property
    def revoked(self) -> dict[str, int]:
        """Identities whose tokens from before a time (Unix seconds) no longer open the room, as
        any edge was told; of too many those of the earliest times are forgotten."""
        latest: dict[str, int] = {}
        for record in self._all():
            for identity, before in record.revoked.items():
                latest[identity] = max(before, latest.get(identity, 0))
        kept = sorted(latest.items(), key=lambda one: (one[1], one[0]))[-MAX_REVOKED:]
        return dict(sorted(kept))

    def revoke(self, identity: str, before: int) -> RoomRecord:
        """Refuse an identity's tokens from before a time; this edge must hold the room."""
        assert self.own is not None, f"room {self.name!r} is not held here"
        said = {**self.own.revoked, identity: max(before, self.own.revoked.get(identity, 0))}
        self.own = msgspec.structs.replace(self.own, revoked=said)
        self.own = msgspec.structs.replace(self.own, revoked=self.revoked)
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
            regions=sorted(self._agreed(newest.version)),
            revoked=self.revoked,
            scene=newest.scene,
            playout_ms=newest.playout_ms,
        )
        if merged == self.own:
            return None
        self.own = merged
        self._review()
        return merged

    def close(self) -> RoomRecord | None:
        """Hold the room no more: the record to delete."""
        own, self.own = self.own, None
        self._review()
        return own

    def put(self, record: RoomRecord) -> None:
        self._others[record.node] = record
        self._review()

    def drop(self, node: int) -> None:
        self._others.pop(node, None)
        self._review()

    def _agreed(self, version: int) -> RegionSet:
        """The set of a version: what every record of it allows. Records differ within a version
        if two edges wrote it without knowing of each other, or have rules of their own. No change
        lifts a set, so where a version has none, a set of an earlier one was never part of it."""
        said = [(x.version, frozenset(x.regions)) for x in self._all()]
        of_version = intersect(*(regions for at, regions in said if at == version))
        return intersect(of_version or intersect(*(r for _, r in said)), self._ruled)

    def _review(self) -> None:
        self.regions = intersect(self._ruled, *(frozenset(x.regions) for x in self._all()))

    def _all(self) -> list[RoomRecord]:
        return [*([self.own] if self.own else []), *self._others.values()]

    def _newest(self) -> RoomRecord:
        return max(self._all(), key=lambda x: (x.version, x.node))
