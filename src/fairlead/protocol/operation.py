"""What an API call asks of the edge that serves a room or a participant, and its reply.

The API of any edge sends an operation to the edge that holds the target (itself included); the
edge answers with one reply. Both travel as msgpack maps whose ``type`` names the message.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """Base of every operation. ``room`` is the room's name."""

    room: str


class CreateRoom(Operation, frozen=True):
    """Open a room, or give the one that is open. Replies with livekit.Room.

    Any edge may run it; the room then lives there until its empty timeout.
    """

    request: bytes
    """livekit.CreateRoomRequest, protobuf."""


class DeleteRoom(Operation, frozen=True):
    """Put everyone out (`ROOM_DELETED`) and close the room on this edge: ask every edge that
    holds it. Replies with livekit.DeleteRoomResponse."""


class RemoveParticipant(Operation, frozen=True):
    """Put one participant out. Replies with livekit.RemoveParticipantResponse."""

    identity: str


class RevokeTokens(Operation, frozen=True):
    """An identity's tokens from before a time no longer open the room: ask every edge that holds
    it, so that it is known as long as the room is open. Replies with
    livekit.RemoveParticipantResponse."""

    identity: str
    before: int
    """Unix seconds."""


class MuteTrack(Operation, frozen=True):
    """Mute a published track, or unmute it. Replies with livekit.MuteRoomTrackResponse."""

    identity: str
    track_sid: str
    muted: bool


class UpdateParticipant(Operation, frozen=True):
    """Change metadata, name, attributes or permission. Replies with livekit.ParticipantInfo."""

    identity: str
    request: bytes
    """livekit.UpdateParticipantRequest, protobuf."""


class UpdateSubscriptions(Operation, frozen=True):
    """Subscribe a participant to tracks, or end that. Replies with
    livekit.UpdateSubscriptionsResponse."""

    identity: str
    request: bytes
    """livekit.UpdateSubscriptionsRequest, protobuf."""


class SendData(Operation, frozen=True):
    """Send a data packet as the server to a room, on every node. Any one edge that serves the
    room runs it. Replies with livekit.SendDataResponse."""

    request: bytes
    """livekit.SendDataRequest, protobuf."""


class UpdateRoomMetadata(Operation, frozen=True):
    """Change a room's metadata everywhere. Any one edge that holds the room runs it. Replies
    with livekit.Room."""

    metadata: str


class MoveParticipant(Operation, frozen=True):
    """Take a participant to another room. Replies with livekit.MoveParticipantResponse."""

    identity: str
    destination: str


class ForwardParticipant(Operation, frozen=True):
    """Show a participant's tracks in another room too. Replies with
    livekit.ForwardParticipantResponse."""

    identity: str
    destination: str


class PerformRpc(Operation, frozen=True):
    """Call a method that a participant registered, as the server. Replies, when the participant
    has answered or its time is over, with livekit.PerformRpcResponse."""

    identity: str
    request: bytes
    """livekit.PerformRpcRequest, protobuf."""
    patience_s: float
    """How long the reply may take."""


AnyOperation = (
    CreateRoom
    | DeleteRoom
    | RemoveParticipant
    | RevokeTokens
    | MuteTrack
    | UpdateParticipant
    | UpdateSubscriptions
    | SendData
    | UpdateRoomMetadata
    | PerformRpc
    | MoveParticipant
    | ForwardParticipant
)

ErrorCode = Literal[
    "not_found",
    "invalid_argument",
    "permission_denied",
    "failed_precondition",
    "already_exists",
    "resource_exhausted",
    "unimplemented",
    "unavailable",
    "internal",
    "deadline_exceeded",
    "unknown",
]
"""Twirp's words for what went wrong."""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """The operation was carried out."""

    payload: bytes
    """The response message, protobuf."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """The operation was refused; ``message`` is one plain sentence."""

    code: ErrorCode
    message: str


Reply = Done | Failed

_encoder = msgspec.msgpack.Encoder()
_operations: msgspec.msgpack.Decoder[AnyOperation] = msgspec.msgpack.Decoder(AnyOperation)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: AnyOperation | Reply) -> bytes:
    """Operation or reply to msgpack."""
    return _encoder.encode(message)


def decode_operation(data: bytes) -> AnyOperation:
    """msgpack to operation. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _operations.decode(data)


def decode_reply(data: bytes) -> Reply:
    """msgpack to reply. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _replies.decode(data)
