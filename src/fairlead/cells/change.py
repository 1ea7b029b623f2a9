"""What a reader of the cells hears: records that came, records that went, cells lost and back."""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    NodeRecord,
    ParticipantRecord,
    RegionSetsRecord,
    RoomRecord,
    RoutesRecord,
)

Kind = Literal["node", "room", "participant", "links", "regions", "routes", "controller"]
AnyRecord = (
    NodeRecord
    | RoomRecord
    | ParticipantRecord
    | LinksRecord
    | RegionSetsRecord
    | RoutesRecord
    | ControllerRecord
)


class RecordPut(msgspec.Struct, frozen=True, kw_only=True):
    """Another node wrote a record, or a record of its changed."""

    record: AnyRecord


class RecordGone(msgspec.Struct, frozen=True, kw_only=True):
    """A record was deleted or its lease ran out."""

    kind: Kind
    node: int
    room: str = ""
    """The room's name; empty for what is no room's."""
    sid: str = ""
    """The room's or participant's sid; empty for the others."""
    target: int = 0
    """Whose routes they were; 0 for what is no route."""


class CellLost(msgspec.Struct, frozen=True, kw_only=True):
    """The cell of a region can't be reached: its records stand for now, and are told gone one
    by one (`RecordGone`) if it stays away."""

    region: str


class CellSynced(msgspec.Struct, frozen=True, kw_only=True):
    """Every record of a region's cell was told. What vanished since `CellLost` is told gone, at
    the latest when its node's lease runs out."""

    region: str


Change = RecordPut | RecordGone | CellLost | CellSynced


def kind_of(record: AnyRecord) -> Kind:
    """Which kind a record is."""
    match record:
        case NodeRecord():
            return "node"
        case RoomRecord():
            return "room"
        case ParticipantRecord():
            return "participant"
        case LinksRecord():
            return "links"
        case RegionSetsRecord():
            return "regions"
        case RoutesRecord():
            return "routes"
        case ControllerRecord():
            return "controller"


def gone(record: AnyRecord) -> RecordGone:
    """The news that a record is no more."""
    match record:
        case RoomRecord(name=room, sid=sid):
            return RecordGone(kind="room", node=record.node, room=room, sid=sid)
        case ParticipantRecord(room=room, sid=sid):
            return RecordGone(kind="participant", node=record.node, room=room, sid=sid)
        case RoutesRecord(target=target):
            return RecordGone(kind="routes", node=record.node, target=target)
        case NodeRecord() | LinksRecord() | RegionSetsRecord() | ControllerRecord():
            return RecordGone(kind=kind_of(record), node=record.node)
