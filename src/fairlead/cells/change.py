"""What a reader of the cells hears: records that came, records that went, cells lost and back."""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.types import LinksRecord, NodeRecord, ParticipantRecord, RoomRecord

Kind = Literal["node", "room", "participant", "links"]
AnyRecord = NodeRecord | RoomRecord | ParticipantRecord | LinksRecord


class RecordPut(msgspec.Struct, frozen=True, kw_only=True):
    """Another node wrote a record, or a record of its changed."""

    record: AnyRecord


class RecordGone(msgspec.Struct, frozen=True, kw_only=True):
    """A record was deleted or its lease ran out."""

    kind: Kind
    node: int
    room: str = ""
    """The room's name; empty for a node and its links."""
    sid: str = ""
    """The room's or participant's sid; empty for a node and its links."""


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


def gone(record: AnyRecord) -> RecordGone:
    """The news that a record is no more."""
    match record:
        case RoomRecord(name=room, sid=sid):
            return RecordGone(kind="room", node=record.node, room=room, sid=sid)
        case ParticipantRecord(room=room, sid=sid):
            return RecordGone(kind="participant", node=record.node, room=room, sid=sid)
        case NodeRecord() | LinksRecord():
            return RecordGone(kind=kind_of(record), node=record.node)
