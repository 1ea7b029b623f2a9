"""Moves to another room: what everyone is told, what the node does, and when it can't be."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import ClientInfo, DisconnectReason, ParticipantInfo

from fairlead.policy import tokens
from fairlead.protocol import node
from fairlead.protocol.operation import Done, Failed, MoveParticipant, Reply
from fairlead.types import room_key
from tests.unit.rooms.stage import SECRET, Client, Stage, connect

SPEAKS = ("audio sendonly mic", "audio recvonly", "audio recvonly")
HEARS = ("audio recvonly", "audio recvonly")


def speaker(stage: Stage, identity: str, room: str = "lobby", **join: Any) -> tuple[Client, str]:
    client = stage.join(identity, *SPEAKS, room=room, **join)
    sid = stage.publish(client, "audio", "mic")
    stage.connect(client)
    stage.live(sid)
    return client, sid


def move(stage: Stage, identity: str = "ann", room: str = "lobby", to: str = "hall") -> Reply:
    return stage.ask(MoveParticipant(room=room, identity=identity, destination=to))


def test_over_the_same_connection_with_its_tracks() -> None:
    stage = Stage()
    ann, hers = speaker(stage, "ann")
    ben, bens = speaker(stage, "ben")
    cai, cais = speaker(stage, "cai", room="hall")
    before = ann.sid
    ann.offer(*SPEAKS, offer_id=2)
    for client in (ann, ben, cai):
        client.forget()
    heard_as = stage.told(node.AddTrack)[0].layers
    stage.commands.clear()
    assert isinstance(move(stage), Done)

    moved = ann.last("room_moved")
    assert ann.kinds()[0] == "room_moved"
    assert not ann.closed
    assert moved.room.name == "hall"
    assert moved.participant.sid != before
    assert [track.sid for track in moved.participant.tracks] == [hers]
    assert [other.identity for other in moved.other_participants] == ["cai"]
    grants = tokens.verify(moved.token, {"key": SECRET}, stage.now)
    assert grants.require_join() == "hall"

    assert [one[:2] for one in ben.updates()] == [("ann", ParticipantInfo.DISCONNECTED)]
    reason = ben.heard("update")[0].participants[0].disconnect_reason
    assert reason == DisconnectReason.MIGRATION
    assert cai.updates() == [("ann", ParticipantInfo.ACTIVE, [hers])]

    (told,) = stage.told(node.MoveParticipant)
    assert told == node.MoveParticipant(
        participant=ann.number, room=room_key("hall"), sid=moved.participant.sid
    )
    gone = [one.track for one in stage.told(node.RemoveTrack)]
    assert gone == [hers], "nobody who heard it before hears what it says there"
    (again,) = stage.told(node.AddTrack)
    assert again.track == hers
    assert again.layers != heard_as
    assert [(one.mid, one.track) for one in stage.told(node.Publish)] == [("0", hers)]
    ended = {(one.participant, one.track) for one in stage.told(node.Unsubscribe)}
    assert ended == {(ann.number, bens)}
    assert stage.told(node.RemoveParticipant) == []
    for client in (ann, cai):
        assert client.last("media_sections_requirement") is not None
        client.offer(*SPEAKS, offer_id=3)
    begun = {(one.participant, one.track) for one in stage.told(node.Subscribe)}
    assert begun == {(cai.number, hers), (ann.number, cais)}


def test_what_comes_after_is_of_the_new_room() -> None:
    stage = Stage()
    ann, hers = speaker(stage, "ann")
    ben = stage.join("ben", *HEARS)
    cai = stage.join("cai", *HEARS, room="hall")
    move(stage)
    for client in (ben, cai):
        client.forget()
    ann.say(mute={"sid": hers, "muted": True})
    assert ben.updates() == []
    assert cai.updates() == [("ann", ParticipantInfo.ACTIVE, [hers])]
    assert isinstance(move(stage, room="hall", to="lobby"), Done), "and back"
    assert ben.updates()[-1][0] == "ann"
    ann.say(leave={})
    assert stage.rooms.session_count == 2


def test_across_edges() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    _, hers = speaker(near, "ann")
    ben = far.join("ben", *HEARS)
    cai = far.join("cai", *HEARS, room="hall")
    assert (ben.number, hers) in {(x.participant, x.track) for x in far.told(node.Subscribe)}
    for client in (ben, cai):
        client.forget()
    far.commands.clear()
    assert isinstance(move(near), Done)
    assert ben.updates()[-1][:2] == ("ann", ParticipantInfo.DISCONNECTED)
    assert cai.updates()[-1] == ("ann", ParticipantInfo.ACTIVE, [hers])
    cai.offer(*HEARS, offer_id=2)
    assert [x.participant for x in far.told(node.Subscribe)] == [cai.number]
    cai.forget()
    near.pass_time(5)
    assert cai.updates() == [], "the old record's end concerns nobody"
    assert near.rooms.room_count == 2


def test_an_edge_that_hears_of_the_new_room_first() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    _, _hers = speaker(near, "ann")
    far.join("ben", *HEARS)
    far.join("cai", *HEARS, room="hall")
    near.neighbours = []
    written = len(near.records)
    assert isinstance(move(near), Done)
    far.commands.clear()
    for change in reversed(near.records[written:]):
        far.learn(change)
    told = [type(one) for one in far.commands if isinstance(one, node.AddTrack | node.RemoveTrack)]
    assert told == [node.RemoveTrack, node.AddTrack]
    known = far.told(node.AddTrack)[0].layers
    assert [x.stream for x in known] == [x.stream for x in near.told(node.AddTrack)[-1].layers]


def test_it_makes_whoever_has_its_name_there_leave() -> None:
    stage = Stage()
    speaker(stage, "ann")
    other = stage.join("ann", *HEARS, room="hall")
    assert isinstance(move(stage), Done)
    assert other.last("leave").reason == DisconnectReason.DUPLICATE_IDENTITY


def test_two_connections() -> None:
    stage = Stage()
    ann = stage.join("ann", single=False)
    stage.connect(ann, "subscriber")
    _, cais = speaker(stage, "cai", room="hall")
    offers = len(ann.heard("offer"))
    ann.say(answer={"type": "answer", "sdp": ann.last("offer").sdp, "id": 1})
    assert isinstance(move(stage), Done)
    assert len(ann.heard("offer")) == offers + 1
    assert cais in ann.last("offer").mid_to_track_id.values()


def test_an_old_client_is_not_moved() -> None:
    stage = Stage()
    ann, _ = speaker(stage, "ann", client=ClientInfo(protocol=15))
    ann.forget()
    failed = move(stage)
    assert isinstance(failed, Failed)
    assert failed.code == "failed_precondition"
    assert "protocol 15" in failed.message
    assert ann.told == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"to": "lobby"}, "failed_precondition"),
        ({"to": ""}, "invalid_argument"),
        ({"to": "x" * 300}, "invalid_argument"),
        ({"identity": "nobody"}, "not_found"),
        ({"room": "nowhere"}, "not_found"),
    ],
)
def test_a_move_that_can_not_be(asked: dict[str, str], code: str) -> None:
    stage = Stage()
    speaker(stage, "ann")
    failed = move(stage, **asked)
    assert isinstance(failed, Failed)
    assert failed.code == code


def test_a_full_room() -> None:
    stage = Stage(max_participants=1)
    stage.join("cai", *HEARS, room="hall")
    speaker(stage, "ann")
    assert isinstance(move(stage), Failed)


def test_who_is_not_connected_yet() -> None:
    stage = Stage()
    stage.join("ann", *HEARS)
    failed = move(stage)
    assert isinstance(failed, Failed)
    assert "not connected" in failed.message
