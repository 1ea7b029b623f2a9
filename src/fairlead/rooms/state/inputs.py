"""What an edge's rooms are told."""

from __future__ import annotations

import msgspec
from livekit.protocol.rtc import SignalRequest

from fairlead.policy.grants import Grants
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.protocol.operation import AnyOperation
from fairlead.types import NodeRecord, ParticipantRecord, RoomRecord


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A verified client opened a websocket. ``session`` is new, and the node's participant."""

    session: int
    grants: Grants
    join: Join


class Signalled(msgspec.Struct, frozen=True, kw_only=True):
    """A client said something."""

    session: int
    request: SignalRequest


class SignalLost(msgspec.Struct, frozen=True, kw_only=True):
    """A client's websocket closed, or was closed for what it did."""

    session: int


class NodeSaid(msgspec.Struct, frozen=True, kw_only=True):
    """An event of this edge's node."""

    event: node.Event


class RecordCame(msgspec.Struct, frozen=True, kw_only=True):
    """Another node wrote a record."""

    record: NodeRecord | RoomRecord | ParticipantRecord


class NodeRecordWent(msgspec.Struct, frozen=True, kw_only=True):
    """Another node is gone; what it wrote is told gone by itself."""

    node: int


class RoomRecordWent(msgspec.Struct, frozen=True, kw_only=True):
    """Another node's record of a room is no more."""

    node: int
    room: str


class ParticipantRecordWent(msgspec.Struct, frozen=True, kw_only=True):
    """Another node's record of a session is no more."""

    node: int
    room: str
    sid: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The API asks for something; `Replied` with the same ``call`` answers: at once, but for
    `PerformRpc`."""

    call: int
    operation: AnyOperation


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """The deadline was reached."""


class DrainAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The operator wants this edge emptied at ``rate`` sessions a second, or (None) no longer."""

    rate: float | None
    ending: bool = False
    """The node ends after it."""


class ShuttingDown(msgspec.Struct, frozen=True, kw_only=True):
    """The edge ends: everyone is sent away to join again elsewhere."""


Input = (
    Joined
    | Signalled
    | SignalLost
    | NodeSaid
    | RecordCame
    | NodeRecordWent
    | RoomRecordWent
    | ParticipantRecordWent
    | Asked
    | Ticked
    | DrainAsked
    | ShuttingDown
)
