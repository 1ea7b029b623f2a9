"""What the API may ask of an edge, and what comes of it."""

from __future__ import annotations

from livekit.protocol.models import DataPacket, DisconnectReason, ParticipantInfo, Room
from livekit.protocol.room import (
    CreateRoomRequest,
    MuteRoomTrackResponse,
    SendDataRequest,
    UpdateParticipantRequest,
    UpdateSubscriptionsRequest,
)

from fairlead.protocol import node
from fairlead.protocol.operation import (
    AnyOperation,
    CreateRoom,
    DeleteRoom,
    Done,
    Failed,
    MuteTrack,
    RemoveParticipant,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
)
from fairlead.types import room_key
from tests.unit.rooms.stage import Client, Stage
from tests.unit.rooms.test_single_connection import LAYOUT, speaking


def done(stage: Stage, operation: AnyOperation) -> bytes:
    reply = stage.ask(operation)
    assert isinstance(reply, Done), reply
    return reply.payload


def code(stage: Stage, operation: AnyOperation) -> str:
    reply = stage.ask(operation)
    assert isinstance(reply, Failed), reply
    assert reply.message
    return reply.code


def update(client: Client, **fields: object) -> UpdateParticipant:
    request = UpdateParticipantRequest(room="lobby", identity=client.identity, **fields)  # type: ignore[arg-type]
    return UpdateParticipant(
        room="lobby", identity=client.identity, request=request.SerializeToString()
    )


def test_create_is_idempotent() -> None:
    stage = Stage()
    request = CreateRoomRequest(name="lobby", metadata="m", empty_timeout=5)
    operation = CreateRoom(room="lobby", request=request.SerializeToString())
    first = Room.FromString(done(stage, operation))
    assert (first.name, first.metadata, first.empty_timeout) == ("lobby", "m", 5)
    assert first.departure_timeout == 20
    again = CreateRoom(room="lobby", request=CreateRoomRequest(metadata="x").SerializeToString())
    assert Room.FromString(done(stage, again)) == first
    ann = stage.join("ann", *LAYOUT)
    assert ann.joined.room.sid == first.sid
    assert ann.joined.room.metadata == "m"


def test_an_empty_room_closes_by_itself() -> None:
    stage = Stage()
    done(stage, CreateRoom(room="lobby", request=b""))
    stage.pass_time(299)
    assert stage.rooms.room_count == 1
    stage.pass_time(2)
    assert stage.rooms.room_count == 0


def test_delete_puts_everyone_out() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    done(stage, DeleteRoom(room="lobby"))
    assert ann.last("leave").reason == DisconnectReason.ROOM_DELETED
    assert ann.closed
    assert stage.rooms.room_count == 0
    assert code(stage, DeleteRoom(room="lobby")) == "not_found"


def test_remove() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    done(stage, RemoveParticipant(room="lobby", identity="ann"))
    assert ann.last("leave").reason == DisconnectReason.PARTICIPANT_REMOVED
    assert ben.updates()[-1][1] == ParticipantInfo.DISCONNECTED
    assert code(stage, RemoveParticipant(room="lobby", identity="ann")) == "not_found"
    assert code(stage, RemoveParticipant(room="none", identity="ann")) == "not_found"


def test_mute_and_no_unmute() -> None:
    stage = Stage()
    sid = speaking(stage)
    speaker = stage.clients[1]
    payload = done(stage, MuteTrack(room="lobby", identity="speaker", track_sid=sid, muted=True))
    assert MuteRoomTrackResponse.FromString(payload).track.muted
    assert (speaker.last("mute").sid, speaker.last("mute").muted) == (sid, True)
    assert stage.told(node.SetMuted) == [node.SetMuted(track=sid, muted=True)]
    unmute = MuteTrack(room="lobby", identity="speaker", track_sid=sid, muted=False)
    assert code(stage, unmute) == "failed_precondition"
    other = MuteTrack(room="lobby", identity="speaker", track_sid="TR_none", muted=True)
    assert code(stage, other) == "not_found"


def test_unmute_where_it_is_allowed() -> None:
    stage = Stage(remote_unmute=True)
    sid = speaking(stage)
    for muted in (True, False):
        done(stage, MuteTrack(room="lobby", identity="speaker", track_sid=sid, muted=muted))
    assert not stage.clients[1].last("mute").muted


def test_update_of_a_participant() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    info = ParticipantInfo.FromString(
        done(stage, update(ann, name="Ann", metadata="m", attributes={"k": "v"}))
    )
    assert (info.name, info.metadata, dict(info.attributes)) == ("Ann", "m", {"k": "v"})
    assert ben.last("update").participants[0] == info
    assert len(ann.heard("refresh_token")) == 2
    assert code(stage, update(ann, name="x" * 300)) == "invalid_argument"
    broken = UpdateParticipant(room="lobby", identity="ann", request=b"\xff\xff")
    assert code(stage, broken) == "invalid_argument"


def test_permission_to_publish_taken() -> None:
    stage = Stage()
    sid = speaking(stage)
    speaker, ben = stage.clients[1], stage.join("ben", *LAYOUT)
    permission = {"can_subscribe": True, "can_publish": False, "can_publish_data": False}
    done(stage, update(speaker, permission=permission))
    assert speaker.last("track_unpublished").track_sid == sid
    assert ben.updates()[-1] == ("speaker", ParticipantInfo.JOINED, [])
    assert not ben.last("update").participants[0].permission.can_publish
    assert stage.told(node.UpdateParticipant) == [
        node.UpdateParticipant(
            participant=speaker.number, can_publish_data=False, can_subscribe=True
        )
    ]


def test_permission_to_subscribe_taken_and_given() -> None:
    stage = Stage()
    sid = speaking(stage)
    ben = stage.join("ben", *LAYOUT)
    permission = {"can_subscribe": False, "can_publish": True, "can_publish_data": True}
    done(stage, update(ben, permission=permission))
    assert stage.told(node.Unsubscribe)[-1].participant == ben.number
    ben.offer(*LAYOUT, offer_id=2)
    assert dict(ben.last("answer").mid_to_track_id) == {}
    done(stage, update(ben, permission=permission | {"can_subscribe": True}))
    ben.offer(*LAYOUT, offer_id=3)
    assert dict(ben.last("answer").mid_to_track_id) == {"0": sid}


def test_subscriptions_by_the_api() -> None:
    stage = Stage()
    sid = speaking(stage)
    ben = stage.join("ben", *LAYOUT)
    request = UpdateSubscriptionsRequest(track_sids=[sid], subscribe=False)
    done(
        stage,
        UpdateSubscriptions(room="lobby", identity="ben", request=request.SerializeToString()),
    )
    assert stage.told(node.Unsubscribe) == [node.Unsubscribe(participant=ben.number, track=sid)]


def test_data_as_the_server() -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT)
    request = SendDataRequest(
        data=b"hello", kind="LOSSY", destination_identities=["ann"], topic="t"
    )
    done(stage, SendData(room="lobby", request=request.SerializeToString()))
    (sent,) = stage.told(node.SendData)
    packet = DataPacket.FromString(sent.packet)
    assert sent.room == room_key("lobby")
    assert not sent.reliable
    assert (packet.user.payload, packet.user.topic) == (b"hello", "t")
    assert list(packet.destination_identities) == ["ann"]


def test_metadata_of_a_room() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    info = Room.FromString(done(stage, UpdateRoomMetadata(room="lobby", metadata="new")))
    assert info.metadata == "new"
    assert ann.last("room_update").room.metadata == "new"
    assert code(stage, UpdateRoomMetadata(room="none", metadata="x")) == "not_found"
    long = UpdateRoomMetadata(room="lobby", metadata="x" * 600_000)
    assert code(stage, long) == "invalid_argument"
