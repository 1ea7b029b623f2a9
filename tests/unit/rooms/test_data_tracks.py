"""Data tracks: who publishes which, who hears them under which handle, what the node is told."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import DataTrackInfo, Encryption, ParticipantInfo
from livekit.protocol.room import UpdateParticipantRequest
from livekit.protocol.rtc import (
    DataTrackSubscriberHandles,
    LeaveRequest,
    PublishDataTrackRequest,
    PublishDataTrackResponse,
    RequestResponse,
    SyncState,
)

from fairlead.policy import limits
from fairlead.policy.regions import region_tag
from fairlead.protocol import node
from fairlead.protocol.operation import Done, ForwardParticipant, MoveParticipant, UpdateParticipant
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.inputs import ParticipantRecordWent
from fairlead.types import ParticipantRecord
from tests.unit.rooms.stage import Client, Stage, connect
from tests.unit.rooms.test_adopting import SPEAKING, Call, there
from tests.unit.rooms.test_regions import HOME, TAG, create, describe, limited, three

Reason = RequestResponse.Reason


def publish(client: Client, name: str = "pose", handle: int = 1, **more: Any) -> str:
    """Announce a data track; its sid."""
    client.say(publish_data_track_request={"pub_handle": handle, "name": name, **more})
    return str(client.last("publish_data_track_response").info.sid)


def unpublish(client: Client, handle: int = 1) -> None:
    client.say(unpublish_data_track_request={"pub_handle": handle})


def subscribe(client: Client, *sids: str, subscribe: bool = True) -> None:
    updates = [{"track_sid": sid, "subscribe": subscribe} for sid in sids]
    client.say(update_data_subscription={"updates": updates})


def handles(told: DataTrackSubscriberHandles) -> dict[str, int]:
    """Track to handle."""
    return {one.track_sid: handle for handle, one in told.sub_handles.items()}


def heard(client: Client) -> dict[str, int]:
    """The handles that a client was last told."""
    return handles(client.last("data_track_subscriber_handles"))


def shown(client: Client, identity: str) -> list[str]:
    """The data tracks of a participant, as a client was last told of it."""
    infos = [x for update in client.heard("update") for x in update.participants]
    return [track.sid for track in [x for x in infos if x.identity == identity][-1].data_tracks]


def sent(stage: Stage) -> dict[tuple[int, str], int]:
    """Who the node sends which data track, under which handle, all commands considered."""
    known: set[str] = set()
    to: dict[tuple[int, str], int] = {}
    for command in stage.commands:
        match command:
            case node.AddDataTrack():
                known.add(command.track)
            case node.SubscribeData():
                if command.track in known:
                    to[command.participant, command.track] = command.handle
            case node.Unsubscribe():
                to.pop((command.participant, command.track), None)
            case node.RemoveTrack():
                known.discard(command.track)
                to = {key: handle for key, handle in to.items() if key[1] != command.track}
            case node.RemoveParticipant():
                to = {key: handle for key, handle in to.items() if key[0] != command.participant}
            case _:
                pass
    return to


def permit(stage: Stage, identity: str, **permission: bool) -> None:
    """The API gives a participant these permissions and no others."""
    request = UpdateParticipantRequest(permission=permission).SerializeToString()
    told = stage.ask(UpdateParticipant(room="lobby", identity=identity, request=request))
    assert isinstance(told, Done)


def pair(**more: Any) -> tuple[Stage, Client, Client]:
    stage = Stage()
    return stage, there(stage, "ann"), stage.join("ben", **more)


def record(stage: Stage, identity: str) -> ParticipantRecord:
    """What a stage last wrote of a participant."""
    written = [x.record for x in stage.records if isinstance(x.record, ParticipantRecord)]
    return [one for one in written if one.identity == identity][-1]


def test_a_track_is_answered_told_and_carried() -> None:
    stage, ann, ben = pair()
    ben.forget()
    encoding = {"custom": "mine"}
    sid = publish(ann, "pose", 7, encryption=Encryption.GCM, frame_encoding=encoding)
    assert sid.startswith("DTR_")
    info = ann.last("publish_data_track_response").info
    assert (info.pub_handle, info.name, info.encryption) == (7, "pose", Encryption.GCM)
    assert info.frame_encoding.custom == "mine"
    assert not info.HasField("schema")
    told = ben.last("update").participants[-1]
    assert list(told.data_tracks) == [info]
    assert told.is_publisher
    assert list(stage.join("late").joined.other_participants[0].data_tracks) == [info]
    [command] = stage.told(node.AddDataTrack)
    assert (command.track, command.publisher, command.handle) == (sid, ann.number, 7)
    assert command.stream >> 48 == 1
    assert not ben.heard("data_track_subscriber_handles")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"pub_handle": 0, "name": "x"}, Reason.INVALID_HANDLE),
        ({"pub_handle": 2**16, "name": "x"}, Reason.INVALID_HANDLE),
        ({"pub_handle": 2}, Reason.INVALID_NAME),
        ({"pub_handle": 2, "name": "x" * 257}, Reason.INVALID_NAME),
        ({"pub_handle": 2, "name": "é" * 129}, Reason.INVALID_NAME),
        ({"pub_handle": 1, "name": "x"}, Reason.DUPLICATE_HANDLE),
        ({"pub_handle": 2, "name": "pose"}, Reason.DUPLICATE_NAME),
        ({"pub_handle": 2, "name": "x", "frame_encoding": {"custom": ""}}, Reason.INVALID_REQUEST),
        (
            {"pub_handle": 2, "name": "x", "schema": {"encoding": {"custom": "x" * 33}}},
            Reason.INVALID_REQUEST,
        ),
        ({"pub_handle": 2, "name": "x", "schema": {"name": "x" * 257}}, Reason.INVALID_REQUEST),
    ],
)
def test_what_can_not_be_published(request_: dict[str, Any], reason: int) -> None:
    stage, ann, ben = pair()
    publish(ann)
    ben.forget()
    ann.say(publish_data_track_request=request_)
    said = ann.last("request_response")
    assert said.reason == reason
    assert said.message
    assert said.publish_data_track == PublishDataTrackRequest(**request_)
    assert len(stage.told(node.AddDataTrack)) == 1
    assert not ben.told
    publish(ann, "x" * limits.DATA_TRACK_NAME_BYTES, 2**16 - 1)


def test_who_may_not_publish_data_publishes_none_and_tracks_are_limited() -> None:
    stage = Stage()
    mute = stage.join("mute", grants={"can_publish_data": False})
    mute.say(publish_data_track_request={"pub_handle": 1, "name": "pose"})
    assert mute.last("request_response").reason == Reason.NOT_ALLOWED
    ann = stage.join("ann")
    for handle in range(1, defaults.MAX_DATA_TRACKS + 1):
        publish(ann, f"track {handle}", handle)
    ann.say(publish_data_track_request={"pub_handle": 60_000, "name": "one more"})
    assert ann.last("request_response").reason == Reason.LIMIT_EXCEEDED
    unpublish(ann, 1)
    publish(ann, "one more", 60_000)


def test_handles_are_a_subscribers_own() -> None:
    stage, ann, ben = pair()
    cai = stage.join("cai")
    pose, door = publish(ann, "pose", 5), publish(ann, "door", 6)
    subscribe(cai, door)
    subscribe(ben, pose)
    subscribe(ben, door)
    assert heard(ben) == {pose: 1, door: 2}
    assert heard(cai) == {door: 1}
    told = ben.last("data_track_subscriber_handles").sub_handles[1]
    assert (told.publisher_identity, told.publisher_sid) == ("ann", ann.sid)
    assert sent(stage) == {(ben.number, pose): 1, (ben.number, door): 2, (cai.number, door): 1}

    # Asked again it says again: the client waits for it.
    ben.forget()
    subscribe(ben, pose)
    assert heard(ben) == {pose: 1, door: 2}
    subscribe(ben, pose, subscribe=False)
    assert heard(ben) == {door: 2}
    # A packet under way must not be taken for one of another track: no handle comes back soon.
    subscribe(ben, pose)
    assert heard(ben) == {door: 2, pose: 3}
    assert sent(stage)[ben.number, pose] == 3


def test_handles_wrap_and_pass_over_those_in_use() -> None:
    stage, ann, ben = pair()
    pose, door = publish(ann, "pose", 1), publish(ann, "door", 2)
    subscribe(ben, pose)
    session = next(s for s in stage.rooms._ctx.sessions.values() if s.identity == "ben")
    session.data._last_handle = 2**16 - 1
    subscribe(ben, door)
    assert heard(ben) == {pose: 1, door: 2}


def test_an_unpublished_track_is_over_for_everyone() -> None:
    stage, ann, ben = pair()
    sid = publish(ann)
    subscribe(ben, sid)
    ben.forget()
    unpublish(ann)
    assert ann.last("unpublish_data_track_response").info.sid == sid
    assert shown(ben, "ann") == []
    assert heard(ben) == {}
    assert sent(stage) == {}
    unpublish(ann)
    said = ann.last("request_response")
    assert said.reason == Reason.NOT_FOUND
    assert said.unpublish_data_track.pub_handle == 1
    # The name and the handle are free again, and the track is another one.
    assert publish(ann) != sid


def test_who_leaves_takes_its_tracks_along() -> None:
    stage, ann, ben = pair()
    sid = publish(ann)
    subscribe(ben, sid)
    ann.say(leave={})
    gone = [x for x in ben.last("update").participants if x.identity == "ann"][-1]
    assert gone.state == ParticipantInfo.DISCONNECTED
    assert not gone.data_tracks
    assert heard(ben) == {}
    assert sent(stage) == {}
    assert node.RemoveTrack(track=sid) in stage.commands


def test_a_wish_for_a_track_to_come_is_kept_within_bounds() -> None:
    stage, ann, ben = pair()
    coming = "DTR_1x4"  # the next id that is given out here
    subscribe(ben, coming)
    assert not ben.heard("data_track_subscriber_handles")
    assert publish(ann) == coming
    assert heard(ben) == {coming: 1}
    subscribe(ben, *(f"DTR_{n}" for n in range(defaults.MAX_DATA_WISHES + 10)))
    session = next(s for s in stage.rooms._ctx.sessions.values() if s.identity == "ben")
    assert len(session.data.wishes) == defaults.MAX_DATA_WISHES
    assert session.data.wishes[coming]


def test_tracks_over_the_limit_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "MAX_DATA_HEARD", 2)
    _, ann, ben = pair()
    one, two, three = (publish(ann, f"track {n}", n) for n in (1, 2, 3))
    subscribe(ben, one, two, three)
    assert heard(ben) == {one: 1, two: 2}
    subscribe(ben, one, subscribe=False)
    assert heard(ben) == {two: 2, three: 3}


def test_auto_subscription_is_asked_for() -> None:
    stage = Stage()
    ann, eve = stage.join("ann"), stage.join("eve", auto_subscribe_data=True)
    eve.forget()
    sid = publish(ann)
    assert eve.kinds() == ["update", "data_track_subscriber_handles"]
    assert heard(eve) == {sid: 1}
    late = stage.join("late", auto_subscribe_data=True)
    assert heard(late) == {sid: 1}
    subscribe(eve, sid, subscribe=False)
    assert heard(eve) == {}
    assert sent(stage) == {(late.number, sid): 1}


def test_nobody_hears_itself_the_hidden_or_without_the_right() -> None:
    stage = Stage()
    ann = stage.join("ann")
    deaf = stage.join("deaf", grants={"can_subscribe": False})
    ghost = stage.join("ghost", grants={"hidden": True})
    sid, hidden = publish(ann), publish(ghost)
    subscribe(ann, sid, hidden)
    subscribe(deaf, sid)
    subscribe(ghost, sid)
    assert not ann.heard("data_track_subscriber_handles")
    assert not deaf.heard("data_track_subscriber_handles")
    assert sent(stage) == {(ghost.number, sid): 1}


def test_a_publisher_chooses_who_hears_it() -> None:
    stage, ann, ben = pair()
    sid = publish(ann)
    subscribe(ben, sid)
    ann.say(subscription_permission={"all_participants": False})
    said = ben.last("subscription_permission_update")
    assert (said.participant_sid, said.track_sid, said.allowed) == (ann.sid, sid, False)
    assert (heard(ben), sent(stage)) == ({}, {})
    only_ben = {"participant_identity": "ben", "track_sids": [sid]}
    ann.say(subscription_permission={"track_permissions": [only_ben]})
    assert ben.last("subscription_permission_update").allowed
    assert heard(ben) == {sid: 2}


def test_rights_that_are_taken_end_tracks_and_subscriptions() -> None:
    stage, ann, ben = pair()
    sid = publish(ann)
    mine = publish(ben)
    subscribe(ben, sid)
    subscribe(ann, mine)

    permit(stage, "ben", can_subscribe=True, can_publish=True)
    assert ben.last("unpublish_data_track_response").info.sid == mine
    assert shown(ann, "ben") == []
    assert heard(ann) == {}
    assert heard(ben) == {sid: 1}
    permit(stage, "ben", can_publish_data=True)
    assert heard(ben) == {}
    assert sent(stage) == {}
    permit(stage, "ben", can_subscribe=True, can_publish_data=True)
    assert heard(ben) == {sid: 2}


def test_a_client_that_comes_back_goes_on() -> None:
    stage = Stage()
    ann, ben = there(stage, "ann"), there(stage, "ben")
    kept, lost = publish(ann, "kept", 1), publish(ann, "lost", 2)
    subscribe(ben, kept)
    commands = len(stage.commands)
    for client in (ann, ben):
        stage.lose(client)
    again, back = stage.come_back(ann), stage.come_back(ben)
    # The client did not hear of one of its tracks; the other subscribes to it meanwhile.
    entries = [PublishDataTrackResponse(info=DataTrackInfo(sid=kept))]
    again.say(sync_state=SyncState(publish_data_tracks=entries))
    assert [x.info.sid for x in again.heard("publish_data_track_response")] == [lost]
    assert heard(back) == {kept: 1}
    wish = {"updates": [{"track_sid": lost, "subscribe": True}]}
    back.say(sync_state=SyncState(data_subscription=wish))
    assert heard(back) == {kept: 1, lost: 2}
    since = stage.commands[commands:]
    assert not [x for x in since if isinstance(x, node.RemoveTrack | node.AddDataTrack)]
    assert not again.heard("leave")


@pytest.mark.parametrize("info", [DataTrackInfo(sid="DTR_never"), None])
def test_who_has_a_track_that_is_not_here_joins_anew(info: DataTrackInfo | None) -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    again = stage.come_back(ann)
    again.say(sync_state=SyncState(publish_data_tracks=[PublishDataTrackResponse(info=info)]))
    assert again.last("leave").action == LeaveRequest.RECONNECT


def test_a_track_that_ended_while_its_client_was_away_is_told_as_ended() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    sid = publish(ann)
    stage.lose(ann)
    permit(stage, "ann", can_subscribe=True)
    again = stage.come_back(ann)
    entries = [PublishDataTrackResponse(info=DataTrackInfo(sid=sid))]
    again.say(sync_state=SyncState(publish_data_tracks=entries))
    assert again.last("unpublish_data_track_response").info.sid == sid
    assert not again.heard("leave")


def edges() -> tuple[Stage, Stage, Client, Client]:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    return near, far, there(near, "ann"), there(far, "ben")


def test_a_track_crosses_to_another_edge() -> None:
    near, far, ann, ben = edges()
    sid = publish(ann)
    assert shown(ben, "ann") == [sid]
    # Known there while somebody could hear it, and sent to whoever asks.
    [known] = far.told(node.AddDataTrack)
    [own] = near.told(node.AddDataTrack)
    assert (known.track, known.stream, known.publisher) == (sid, own.stream, None)
    subscribe(ben, sid)
    assert heard(ben) == {sid: 1}
    assert sent(far) == {(ben.number, sid): 1}
    eve = far.join("eve", auto_subscribe_data=True)
    assert sent(far)[eve.number, sid] == 1
    unpublish(ann)
    assert shown(ben, "ann") == []
    assert (heard(ben), heard(eve), sent(far)) == ({}, {}, {})
    assert node.RemoveTrack(track=sid) in far.commands


def test_a_track_crosses_under_the_tag_of_its_room() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME))
    ann, ben = there(jakarta, "ann"), there(singapore, "ben")
    sid = publish(ann)
    subscribe(ben, sid)
    for stage in (jakarta, singapore):
        assert [x.tag for x in stage.told(node.AddDataTrack)] == [TAG]
    describe(jakarta, limited("jakarta"))
    [first, last] = jakarta.told(node.AddDataTrack)
    assert last.tag == region_tag(["jakarta"])
    assert last.stream == first.stream
    assert ben.closed, "its edge may not serve the room any more"
    assert sent(singapore) == {}


def test_who_is_there_first_hears_a_track_of_another_edge_from_the_beginning() -> None:
    _, far, ann, _ = edges()
    eve = far.join("eve", auto_subscribe_data=True)
    sid = publish(ann)
    kinds = [type(x) for x in far.commands if getattr(x, "track", "") == sid]
    assert kinds == [node.AddDataTrack, node.SubscribeData]
    assert sent(far) == {(eve.number, sid): 1}


def test_an_edge_that_goes_takes_its_tracks_along() -> None:
    _, far, ann, ben = edges()
    sid = publish(ann)
    subscribe(ben, sid)
    far.handle(ParticipantRecordWent(node=1, room="lobby", sid=ann.sid))
    assert heard(ben) == {}
    assert sent(far) == {}


def test_moved_to_another_room_its_tracks_come_along() -> None:
    stage = Stage()
    ann, ben, cai = (there(stage, one) for one in ("ann", "ben", "cai"))
    dee = stage.join("dee", room="hall", auto_subscribe_data=True)
    hers, bens = publish(ann), publish(ben)
    subscribe(ann, bens)
    subscribe(cai, hers)
    [first] = [x for x in stage.told(node.AddDataTrack) if x.track == hers]
    told = stage.ask(MoveParticipant(room="lobby", identity="ann", destination="hall"))
    assert isinstance(told, Done)
    assert [x.sid for x in ann.last("room_moved").participant.data_tracks] == [hers]
    assert (heard(ann), heard(cai)) == ({}, {})
    assert shown(cai, "ann") == []
    assert heard(dee) == {hers: 1}
    last = [x for x in stage.told(node.AddDataTrack) if x.track == hers][-1]
    assert last.stream != first.stream, "who has the old stream hears nothing of the new room"
    assert sent(stage) == {(dee.number, hers): 1}
    # What it asked for in the old room is no wish in the new one.
    session = next(s for s in stage.rooms._ctx.sessions.values() if s.identity == "ann")
    assert not session.data.wishes


def test_forwarded_its_tracks_are_heard_in_both_rooms() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    ann, ben = there(near, "ann"), there(near, "ben")
    cai = near.join("cai", room="hall", auto_subscribe_data=True)
    dee = far.join("dee", room="hall", auto_subscribe_data=True)
    sid = publish(ann)
    subscribe(ben, sid)
    forward = ForwardParticipant(room="lobby", identity="ann", destination="hall")
    assert isinstance(near.ask(forward), Done)
    assert shown(cai, "ann") == shown(dee, "ann") == [sid]
    assert sent(near) == {(ben.number, sid): 1, (cai.number, sid): 1}
    assert sent(far) == {(dee.number, sid): 1}
    told = cai.last("data_track_subscriber_handles").sub_handles[1]
    assert told.publisher_sid != ann.sid, "in the other room it is another participant"
    later = publish(ann, "later", 2)
    assert heard(cai) == {sid: 1, later: 2}
    unpublish(ann, 1)
    assert (heard(cai), heard(dee)) == ({later: 2}, {later: 2})
    ann.say(leave={})
    assert (heard(cai), heard(dee), sent(near), sent(far)) == ({}, {}, {}, {})


def test_a_session_goes_on_at_another_edge_with_its_tracks() -> None:
    call = Call()
    hers, bens = publish(call.ann, "hers"), publish(call.ben, "bens")
    subscribe(call.ann, bens)
    for client in call.others:
        subscribe(client, hers)
    [before] = {x.stream for x in call.near.told(node.AddDataTrack) if x.track == hers}
    handles_before = {client.identity: heard(client) for client in call.others}
    # One of its tracks its client ended just before it got here.
    gone = publish(call.ann, "gone", 2)
    again = call.far.come_back(call.ann)
    entries = [PublishDataTrackResponse(info=DataTrackInfo(sid=hers))]
    again.say(sync_state=call.state(publish_data_tracks=entries))
    assert not again.heard("leave")
    again.offer(*SPEAKING, offer_id=9)

    assert heard(again) == {bens: 1}, "what it heard it hears on, though it did not say so"
    assert sent(call.far)[again.number, bens] == 1
    streams = {x.stream for x in call.far.told(node.AddDataTrack) if x.track == hers}
    (now,) = {stream for stream in streams if stream >> 48 == 2}
    assert now != before
    assert record(call.far, "ann").data_tracks[0].stream == now
    for stage, client in ((call.far, call.ben), (call.third, call.cas), (call.near, call.dee)):
        handle = handles_before[client.identity][hers]
        assert heard(client)[hers] == handle
        assert sent(stage)[client.number, hers] == handle
        assert shown(client, "ann") == [hers]
        last = [x for x in stage.told(node.AddDataTrack) if x.track == hers][-1]
        assert last.stream == now
        assert gone not in heard(client)


def test_who_has_a_track_that_the_other_edge_had_not_joins_anew() -> None:
    call = Call()
    again = call.far.come_back(call.ann)
    entries = [PublishDataTrackResponse(info=DataTrackInfo(sid="DTR_never"))]
    again.say(sync_state=call.state(publish_data_tracks=entries))
    assert again.last("leave").action == LeaveRequest.RECONNECT
