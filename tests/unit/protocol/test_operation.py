"""Operations and replies survive the trip between edges."""

from __future__ import annotations

import msgspec
import pytest

from fairlead.protocol.operation import (
    AnyOperation,
    CreateRoom,
    DeleteRoom,
    Done,
    Failed,
    MuteTrack,
    RemoveParticipant,
    Reply,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
    decode_operation,
    decode_reply,
    encode,
)


@pytest.mark.parametrize(
    "operation",
    [
        CreateRoom(room="r", request=b"\x01"),
        DeleteRoom(room="r"),
        RemoveParticipant(room="r", identity="i"),
        MuteTrack(room="r", identity="i", track_sid="TR_x", muted=True),
        UpdateParticipant(room="r", identity="i", request=b""),
        UpdateSubscriptions(room="r", identity="i", request=b""),
        SendData(room="r", request=b""),
        UpdateRoomMetadata(room="r", metadata="m"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_operations(operation: AnyOperation) -> None:
    assert decode_operation(encode(operation)) == operation


@pytest.mark.parametrize("reply", [Done(payload=b"x"), Failed(code="not_found", message="m")])
def test_replies(reply: Reply) -> None:
    assert decode_reply(encode(reply)) == reply


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(Done(payload=b""))])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_operation(data)
