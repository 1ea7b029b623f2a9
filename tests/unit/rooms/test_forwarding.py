"""A participant's tracks in another room too: shown, followed, and gone with it."""

from __future__ import annotations

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from fairlead.protocol import node
from fairlead.protocol.operation import (
    DeleteRoom,
    Done,
    Failed,
    ForwardParticipant,
    RemoveParticipant,
    Reply,
)
from fairlead.rooms.state.inputs import ShuttingDown
from fairlead.rooms.state.outputs import DeleteRecord
from fairlead.types import ParticipantRecord
from tests.unit.rooms.stage import Client, Stage, connect
from tests.unit.rooms.test_moving import HEARS, speaker


def forward(stage: Stage, identity: str = "ann", to: str = "hall") -> Reply:
    return stage.ask(ForwardParticipant(room="lobby", identity=identity, destination=to))


def subscribed(stage: Stage) -> set[tuple[int, str]]:
    """Who is sent what, all commands considered."""
    heard: set[tuple[int, str]] = set()
    for command in stage.commands:
        match command:
            case node.Subscribe():
                heard.add((command.participant, command.track))
            case node.Unsubscribe():
                heard.discard((command.participant, command.track))
            case node.RemoveTrack():
                heard = {one for one in heard if one[1] != command.track}
            case _:
                pass
    return heard


def shown(client: Client) -> tuple[int, list[str]]:
    """State and tracks of ann, as a client was told last."""
    return [(state, tracks) for who, state, tracks in client.updates() if who == "ann"][-1]


def test_seen_and_heard_in_both_rooms() -> None:
    stage = Stage()
    ann, hers = speaker(stage, "ann")
    ben = stage.join("ben", *HEARS)
    cai = stage.join("cai", *HEARS, room="hall")
    ann.forget()
    assert isinstance(forward(stage), Done)
    cai.offer(*HEARS, offer_id=2)
    assert {(ben.number, hers), (cai.number, hers)} <= subscribed(stage)
    assert shown(cai) == (ParticipantInfo.ACTIVE, [hers])
    info = cai.heard("update")[-1].participants[-1]
    assert info.sid != stage.happened[1].participant
    assert ParticipantInfo.FORWARDED in info.kind_details
    assert ann.told == [], "nothing changes for itself"


def test_it_follows_what_the_participant_does() -> None:
    stage = Stage()
    ann, hers = speaker(stage, "ann")
    cai = stage.join("cai", *HEARS, room="hall")
    forward(stage)
    ann.say(mute={"sid": hers, "muted": True})
    assert cai.heard("update")[-1].participants[0].tracks[0].muted
    versions = [
        one.version
        for update in cai.heard("update")
        for one in update.participants
        if one.identity == "ann"
    ]
    assert versions == sorted(set(versions)), "clients drop what is older"
    ann.offer("audio inactive", *HEARS, offer_id=2)
    assert shown(cai) == (ParticipantInfo.ACTIVE, [])
    assert subscribed(stage) == set()


def test_it_is_gone_with_the_participant() -> None:
    stage = Stage()
    ann, _ = speaker(stage, "ann")
    cai = stage.join("cai", *HEARS, room="hall")
    forward(stage)
    ann.say(leave={})
    assert shown(cai)[0] == ParticipantInfo.DISCONNECTED
    assert subscribed(stage) == set()
    cai.say(leave={})
    stage.pass_time(100)
    assert stage.rooms.room_count == 0


def test_removed_from_the_other_room_alone() -> None:
    stage = Stage()
    _, hers = speaker(stage, "ann")
    ben = stage.join("ben", *HEARS)
    cai = stage.join("cai", *HEARS, room="hall")
    forward(stage)
    assert isinstance(stage.ask(RemoveParticipant(room="hall", identity="ann")), Done)
    info = cai.heard("update")[-1].participants[-1]
    assert info.disconnect_reason == DisconnectReason.PARTICIPANT_REMOVED
    assert subscribed(stage) == {(ben.number, hers)}
    assert stage.rooms.session_count == 3
    assert isinstance(forward(stage), Done), "and again"


def test_the_other_room_is_deleted() -> None:
    stage = Stage()
    _, hers = speaker(stage, "ann")
    ben = stage.join("ben", *HEARS)
    stage.join("cai", *HEARS, room="hall")
    forward(stage)
    assert isinstance(stage.ask(DeleteRoom(room="hall")), Done)
    stage.pass_time(10)
    assert subscribed(stage) == {(ben.number, hers)}
    assert stage.rooms.room_count == 1


def test_across_edges_with_both_rooms_at_one() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    ann, hers = speaker(near, "ann")
    ben = far.join("ben", *HEARS)
    cai = far.join("cai", *HEARS, room="hall")
    assert isinstance(forward(near), Done)
    cai.offer(*HEARS, offer_id=2)
    assert subscribed(far) == {(ben.number, hers), (cai.number, hers)}
    assert len(far.told(node.AddTrack)) == 1, "one track, in two rooms"
    near.ask(RemoveParticipant(room="hall", identity="ann"))
    assert subscribed(far) == {(ben.number, hers)}
    assert far.told(node.RemoveTrack) == []
    ann.say(leave={})
    assert len(far.told(node.RemoveTrack)) == 1
    near.pass_time(100)
    assert near.rooms.room_count == 2, "the far edge has both"
    far.pass_time(1)
    assert subscribed(far) == set()


def test_an_edge_that_ends_takes_its_records_back() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    speaker(near, "ann")
    cai = far.join("cai", *HEARS, room="hall")
    forward(near)
    near.handle(ShuttingDown())
    assert shown(cai)[0] == ParticipantInfo.DISCONNECTED
    deleted = [
        change.record.room
        for change in near.records
        if isinstance(change, DeleteRecord) and isinstance(change.record, ParticipantRecord)
    ]
    assert sorted(deleted) == ["hall", "lobby"]


def test_whoever_comes_with_its_name_takes_its_place() -> None:
    stage = Stage()
    speaker(stage, "ann")
    cai = stage.join("cai", *HEARS, room="hall")
    forward(stage)
    stage.pass_time(1)
    stage.join("ann", *HEARS, room="hall")
    people = {info.identity: info for u in cai.heard("update") for info in u.participants}
    assert ParticipantInfo.FORWARDED not in people["ann"].kind_details
    assert people["ann"].state == ParticipantInfo.JOINED
    assert stage.rooms.session_count == 3


@pytest.mark.parametrize(
    ("identity", "to", "code"),
    [
        ("ann", "lobby", "failed_precondition"),
        ("ann", "", "invalid_argument"),
        ("nobody", "hall", "not_found"),
    ],
)
def test_what_can_not_be(identity: str, to: str, code: str) -> None:
    stage = Stage()
    speaker(stage, "ann")
    failed = forward(stage, identity, to)
    assert isinstance(failed, Failed)
    assert failed.code == code


def test_a_name_that_is_taken_there_and_a_second_time() -> None:
    stage = Stage()
    speaker(stage, "ann")
    stage.join("ann", *HEARS, room="hall")
    assert isinstance(forward(stage), Failed)
    assert isinstance(forward(stage, to="yard"), Done)
    assert isinstance(forward(stage, to="yard"), Failed)


def test_rooms_of_other_regions_are_refused() -> None:
    stage = Stage(region="jakarta")
    speaker(stage, "ann")
    config = '{"metadata": "{\\"fairlead\\": {\\"regions\\": [\\"jakarta\\"]}}"}'
    stage.join("cai", *HEARS, room="hall", grants={"room_config": config})
    failed = forward(stage)
    assert isinstance(failed, Failed)
    assert "regions" in failed.message
