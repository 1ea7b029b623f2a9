"""What an edge's rooms want done."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from livekit.protocol.rtc import SignalResponse
from livekit.protocol.webhook import WebhookEvent

from fairlead.protocol import node
from fairlead.protocol.operation import Reply
from fairlead.types import ParticipantRecord, RegionSetsRecord, RoomRecord


class SendSignal(msgspec.Struct, frozen=True, kw_only=True):
    """Say something to a client."""

    session: int
    response: SignalResponse


class CloseSession(msgspec.Struct, frozen=True, kw_only=True):
    """Close a client's websocket once all that was said before is sent."""

    session: int


class TakeOver(msgspec.Struct, frozen=True, kw_only=True):
    """A client opened another websocket for its session: ``websocket``, the number of that join,
    is the session's from now on. The one that it had is closed, and lost without a word."""

    session: int
    websocket: int


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """Give the node a command."""

    command: node.Command


class PutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Write a record of this node into its cell."""

    record: RoomRecord | ParticipantRecord | RegionSetsRecord


class DeleteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Delete a record of this node from its cell."""

    record: RoomRecord | ParticipantRecord


class Replied(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to `Asked`."""

    call: int
    reply: Reply


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """Something that operators may want to know. Sids only: no name, no identity."""

    what: Literal[
        "room_started",
        "room_finished",
        "participant_joined",
        "participant_active",
        "participant_resumed",
        "participant_adopted",
        "participant_moved",
        "participant_left",
        "room_withdrawn",
        "scene_unknown",
        "track_published",
        "track_unpublished",
        "data_track_published",
        "data_track_unpublished",
        "client_fault",
    ]
    room: str
    """The room's sid."""
    participant: str = ""
    track: str = ""
    reason: str = ""


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the operator's own servers shall hear of, in LiveKit's words."""

    event: WebhookEvent


Output = (
    SendSignal
    | CloseSession
    | TakeOver
    | Tell
    | PutRecord
    | DeleteRecord
    | Replied
    | Happened
    | Announced
)


class Outbox:
    """The outputs of one step, in order."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    def signal(self, session: int, **message: Any) -> None:
        """One SignalResponse; ``message`` names its one field."""
        self.outputs.append(SendSignal(session=session, response=SignalResponse(**message)))

    def tell(self, command: node.Command) -> None:
        self.outputs.append(Tell(command=command))

    def add(self, output: Output) -> None:
        self.outputs.append(output)
