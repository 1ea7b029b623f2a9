"""Every room and participant of the network, as this edge knows them from the records."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError
from livekit.protocol.models import ParticipantInfo, Room

from fairlead.cells.change import CellLost, CellSynced, Change, RecordGone, RecordPut, gone
from fairlead.policy.regions import EVERYWHERE, RegionSet
from fairlead.rooms.state.records import RoomRecords
from fairlead.types import NodeRecord, ParticipantRecord, RoomRecord, TrackRecord

_UNCOUNTED = (ParticipantInfo.AGENT, ParticipantInfo.EGRESS)
"""Kinds that live on others' account."""
_NOBODY = 0
"""A node id that no node has: here no record is one's own."""


class Directory:
    """An index over the records; `apply` keeps it, everything else reads it."""

    def __init__(self) -> None:
        self.region_of: dict[int, str] = {}
        """Where each other node is."""
        self._rooms: dict[str, RoomRecords] = {}
        self._holders: dict[str, set[int]] = {}
        self._participants: dict[str, dict[tuple[int, str], ParticipantRecord]] = {}

    def apply(self, change: Change) -> None:
        """Take a change of a record."""
        match change:
            case RecordPut(record=RoomRecord() as room):
                self._rooms.setdefault(room.name, RoomRecords(room.name, _NOBODY)).put(room)
                self._holders.setdefault(room.name, set()).add(room.node)
            case RecordPut(record=ParticipantRecord(left=True) as one):
                self.apply(gone(one))
            case RecordPut(record=ParticipantRecord() as one):
                self._participants.setdefault(one.room, {})[(one.node, one.sid)] = one
            case RecordGone(kind="room", room=name, node=node):
                self._drop_room(name, node)
            case RecordGone(kind="participant", room=name, node=node, sid=sid):
                people = self._participants.get(name, {})
                people.pop((node, sid), None)
                if not people:
                    self._participants.pop(name, None)
            case RecordPut(record=NodeRecord() as node):
                self.region_of[node.node] = node.region
            case RecordGone(kind="node", node=number):
                self.region_of.pop(number, None)
            case RecordPut() | RecordGone() | CellLost() | CellSynced():
                pass  # links and routes are others' business

    def rooms(self, names: Iterable[str] = ()) -> list[Room]:
        """The rooms of these names, or all, with their counts, oldest first."""
        wanted = set(names)
        described = (self._describe(name) for name in self._rooms if not wanted or name in wanted)
        found = [room for room in described if room is not None]
        return sorted(found, key=lambda room: (room.creation_time_ms, room.sid))

    def regions(self, name: str) -> RegionSet:
        """Where a room may be."""
        room = self._rooms.get(name)
        return EVERYWHERE if room is None else room.regions

    def holders(self, name: str) -> list[int]:
        """The nodes that hold a room or serve someone in it, in order; empty if it isn't."""
        serving = {node for node, _ in self._participants.get(name, {})}
        return sorted(self._holders.get(name, set()) | serving)

    def participants(self, name: str) -> list[ParticipantInfo]:
        """Who is in a room, one session an identity, in order of joining."""
        newest: dict[str, ParticipantRecord] = {}
        for record in self._participants.get(name, {}).values():
            known = newest.get(record.identity)
            if known is None or record.session > known.session:
                newest[record.identity] = record
        records = sorted(newest.values(), key=lambda record: record.session)
        return [info for record in records if (info := _info(record)) is not None]

    def participant(self, name: str, identity: str) -> tuple[int, ParticipantInfo] | None:
        """The node that serves a participant, and its info; None if it isn't in the room."""
        mine = [
            record
            for record in self._participants.get(name, {}).values()
            if record.identity == identity
        ]
        if not mine:
            return None
        newest = max(mine, key=lambda record: record.session)
        info = _info(newest)
        return None if info is None else (newest.node, info)

    def published(self, node: int) -> list[tuple[str, TrackRecord]]:
        """(room, track) of every track that a node's participants publish, in order."""
        return sorted(
            (
                (record.room, track)
                for people in self._participants.values()
                for record in people.values()
                if record.node == node
                for track in record.tracks
            ),
            key=lambda one: (one[0], one[1].sid),
        )

    @property
    def room_count(self) -> int:
        return len(self._rooms)

    @property
    def participant_count(self) -> int:
        return sum(len(people) for people in self._participants.values())

    def _drop_room(self, name: str, node: int) -> None:
        holders = self._holders.get(name, set())
        holders.discard(node)
        if not holders:
            self._rooms.pop(name, None)
            self._holders.pop(name, None)
        else:
            self._rooms[name].drop(node)

    def _describe(self, name: str) -> Room | None:
        try:
            room = self._rooms[name].info
        except DecodeError:  # another edge's record
            return None
        people = self.participants(name)
        room.num_participants = sum(_counts(info) for info in people)
        room.num_publishers = sum(info.is_publisher for info in people)
        return room


def _counts(info: ParticipantInfo) -> bool:
    permission = info.permission
    return info.kind not in _UNCOUNTED and not (permission.agent or permission.recorder)


def _info(record: ParticipantRecord) -> ParticipantInfo | None:
    """A record's info; None if another edge wrote one that can't be read."""
    try:
        return ParticipantInfo.FromString(record.info)
    except DecodeError:
        return None
