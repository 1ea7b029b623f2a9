"""Who is there: joins, updates, hidden people, metadata, departures, timers."""

from __future__ import annotations

import pytest
from livekit.protocol.models import ClientInfo, DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import RequestResponse

from fairlead.policy import tokens
from fairlead.policy.grants import Denied
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.rooms.state.outputs import DeleteRecord, PutRecord
from fairlead.types import ParticipantRecord, RoomRecord
from tests.unit.rooms.stage import SECRET, Stage, allow
from tests.unit.rooms.test_single_connection import LAYOUT, speaking


def test_everyone_hears_of_everyone() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ben = stage.join("ben", *LAYOUT)
    assert [info.identity for info in ben.joined.other_participants] == ["ann"]
    assert ann.updates() == [("ben", ParticipantInfo.JOINED, [])]
    assert ben.updates() == []
    stage.connect(ben)
    assert ann.updates()[-1] == ("ben", ParticipantInfo.ACTIVE, [])
    assert ben.updates()[-1] == ("ben", ParticipantInfo.ACTIVE, [])
    ben.say(leave={})
    assert ann.updates()[-1] == ("ben", ParticipantInfo.DISCONNECTED, [])
    assert ann.last("update").participants[0].disconnect_reason == (
        DisconnectReason.CLIENT_INITIATED
    )
    assert ben.closed
    assert not ben.heard("leave")


def test_versions_only_grow() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    stage.connect(ben)
    for name in ("x", "y"):
        ben.say(update_metadata={"name": name})
    ben.say(leave={})
    versions = [info.version for update in ann.heard("update") for info in update.participants]
    assert versions == sorted(set(versions))


def test_the_client_is_mirrored() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    client = ClientInfo(protocol=17, client_protocol=2, capabilities=["CAP_PACKET_TRAILER"])
    stage.join("ben", *LAYOUT, client=client, grants={"kind": "agent", "agent": True})
    info = ann.last("update").participants[0]
    assert info.client_protocol == 2
    assert list(info.capabilities) == [ClientInfo.CAP_PACKET_TRAILER]
    assert info.kind == ParticipantInfo.AGENT
    assert info.permission.agent
    told = {one.identity: one.packet_trailers for one in stage.told(node.AddParticipant)}
    assert told == {"ann": False, "ben": True}


@pytest.mark.parametrize(
    ("protocol", "single", "negotiated"), [(18, True, True), (17, True, False), (18, False, False)]
)
def test_data_channel_ids_are_agreed_from_protocol_18(
    protocol: int, single: bool, negotiated: bool
) -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT, client=ClientInfo(protocol=protocol), single=single)
    assert stage.told(node.AddParticipant)[0].negotiated_channels is negotiated


def test_the_hidden_are_told_only_to_themselves() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ghost = stage.join("ghost", *LAYOUT, grants={"hidden": True})
    stage.connect(ghost)
    ben = stage.join("ben", *LAYOUT)
    ghost.say(leave={})
    assert [info.identity for info in ben.joined.other_participants] == ["ann"]
    assert "ghost" not in [identity for identity, _, _ in ann.updates() + ben.updates()]
    assert ("ghost", ParticipantInfo.ACTIVE, []) in ghost.updates()
    assert ann.joined.room.num_participants == 1


def test_own_metadata() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants={"can_update_own_metadata": True})
    ben = stage.join("ben", *LAYOUT)
    ann.say(
        update_metadata={
            "metadata": "m",
            "name": "Ann",
            "attributes": {"a": "1", "b": "2"},
            "request_id": 5,
        }
    )
    reply = ann.last("request_response")
    assert (reply.request_id, reply.reason) == (5, RequestResponse.OK)
    assert ann.kinds().index("update") < ann.kinds().index("request_response")
    info = ben.last("update").participants[0]
    assert (info.metadata, info.name, dict(info.attributes)) == ("m", "Ann", {"a": "1", "b": "2"})
    ann.say(update_metadata={"attributes": {"a": "", "c": "3"}})
    info = ben.last("update").participants[0]
    assert (info.metadata, dict(info.attributes)) == ("m", {"b": "2", "c": "3"})
    ann.say(update_metadata={"metadata": "x" * 600_000, "request_id": 6})
    assert ann.last("request_response").reason == RequestResponse.LIMIT_EXCEEDED
    ann.say(update_metadata={"attributes": {"k": "x" * 70_000}, "request_id": 7})
    assert ann.last("request_response").reason == RequestResponse.LIMIT_EXCEEDED
    ben.say(update_metadata={"metadata": "x", "request_id": 8})
    assert ben.last("request_response").reason == RequestResponse.NOT_ALLOWED


def test_an_update_with_a_value_just_replaced_does_not_undo_the_last() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants={"can_update_own_metadata": True})
    ben = stage.join("ben", *LAYOUT)

    def say(name: str, metadata: str, **attributes: str) -> tuple[str, str]:
        ann.say(update_metadata={"name": name, "metadata": metadata, "attributes": attributes})
        info = ben.last("update").participants[0]
        return info.name, info.metadata

    assert say("Ann", "m0") == ("Ann", "m0")
    stage.pass_time(10)
    assert say("Bea", "m0") == ("Bea", "m0")
    # The client did not take in that it is Bea, and changes its metadata; then an attribute.
    assert say("Ann", "m1") == ("Bea", "m1")
    assert say("Ann", "m0", key="1") == ("Bea", "m1")
    # Alone, or later, a former value is a wish like any other.
    assert say("Ann", "m1") == ("Ann", "m1")
    stage.pass_time(10)
    assert say("Bea", "m2") == ("Bea", "m2")
    # Both are stale and nothing else changes: one of them must be meant.
    assert say("Ann", "m1") == ("Ann", "m1")


def test_pings() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ann.say(ping=1)
    ann.say(ping_req={"timestamp": 7})
    assert ann.last("pong") == int(stage.now * 1000)
    assert ann.last("pong_resp").last_ping_timestamp == 7
    stage.pass_time(14)
    ann.say(ping=1)
    stage.pass_time(14)
    assert not ann.closed
    stage.pass_time(2)
    assert ann.closed
    assert ann.last("leave").reason == DisconnectReason.CONNECTION_TIMEOUT


def test_who_never_pings_is_not_expected_to() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.connect(ann)
    stage.pass_time(120)
    assert not ann.closed


def test_a_join_must_lead_to_a_connection() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.pass_time(59)
    assert not ann.closed
    stage.pass_time(2)
    assert ann.last("leave").reason == DisconnectReason.CONNECTION_TIMEOUT


def test_tokens_are_refreshed() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.connect(ann)
    assert ann.kinds()[:2] == ["join", "refresh_token"]
    stage.pass_time(301)
    assert len(ann.heard("refresh_token")) == 2
    grants = tokens.verify(ann.last("refresh_token"), {"key": SECRET}, stage.now)
    assert grants.require_join() == "lobby"
    assert grants.expires_at - stage.now >= 600


def test_without_websocket_and_connection_it_is_gone_at_once() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.connect(ann)
    stage.lose(ann)
    stage.hear(node.TransportState(participant=ann.number, transport="publisher", state="closed"))
    assert stage.rooms.session_count == 0


def test_a_leave_after_its_connections_is_still_a_leave() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    stage.connect(ann)
    stage.hear(node.TransportState(participant=ann.number, transport="publisher", state="closed"))
    ann.say(leave={})
    assert ben.last("update").participants[0].disconnect_reason == (
        DisconnectReason.CLIENT_INITIATED
    )


def test_a_connection_that_fails_sends_its_client_to_join_anew() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.connect(ann)
    stage.hear(node.TransportState(participant=ann.number, transport="publisher", state="closed"))
    stage.pass_time(3)
    leave = ann.last("leave")
    assert leave.action == leave.RECONNECT
    assert leave.can_reconnect


def test_a_resume_is_sent_to_join_anew() -> None:
    stage = Stage()
    ann = stage.join("ann", reconnect=True, sid="PA_old")
    assert ann.kinds() == ["leave"]
    leave = ann.last("leave")
    assert (leave.reason, leave.action) == (DisconnectReason.STATE_MISMATCH, leave.RECONNECT)
    assert ann.closed
    assert stage.rooms.session_count == 0


def test_the_newer_session_of_an_identity_stays() -> None:
    stage = Stage()
    watcher = stage.join("watcher", *LAYOUT)
    old = stage.join("ann", *LAYOUT)
    watcher.forget()
    new = stage.join("ann", *LAYOUT)
    assert old.closed
    assert old.last("leave").reason == DisconnectReason.DUPLICATE_IDENTITY
    told = [(i.sid, i.state) for u in watcher.heard("update") for i in u.participants]
    assert told == [
        (old.sid, ParticipantInfo.DISCONNECTED),
        (new.sid, ParticipantInfo.JOINED),
    ]
    assert new.updates() == []


def test_a_room_opens_and_closes() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    opened = stage.records[0].record
    assert isinstance(opened, RoomRecord)
    ann.say(leave={})
    assert stage.rooms.room_count == 1
    stage.pass_time(21)
    assert stage.rooms.room_count == 0
    assert stage.records[-1] == DeleteRecord(record=opened)
    assert stage.rooms.deadline() is None


def test_agents_do_not_keep_a_room_open() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    agent = stage.join("agent", *LAYOUT, grants={"kind": "agent", "agent": True})
    stage.connect(agent)
    ann.say(leave={})
    stage.pass_time(21)
    assert agent.last("leave").reason == DisconnectReason.ROOM_CLOSED
    assert stage.rooms.room_count == 0


def test_a_departure_writes_its_reason_before_it_deletes() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ann.say(leave={})
    assert isinstance(stage.records[-1], PutRecord)
    stage.pass_time(2)
    put, gone = stage.records[-2:]
    assert isinstance(put, PutRecord)
    assert isinstance(gone, DeleteRecord)
    assert isinstance(put.record, ParticipantRecord)
    assert gone.record == put.record
    assert put.record.left
    info = ParticipantInfo.FromString(put.record.info)
    assert info.state == ParticipantInfo.DISCONNECTED


def test_counts_are_told_together() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    for number in range(5):
        stage.join(f"p{number}", *LAYOUT)
    assert not ann.heard("room_update")
    stage.pass_time(1)
    assert [told.room.num_participants for told in ann.heard("room_update")] == [6]


def test_a_full_room() -> None:
    config = '{"maxParticipants": 1, "metadata": "small", "departureTimeout": 3}'
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants={"room_config": config})
    assert ann.joined.room.metadata == "small"
    assert ann.joined.room.departure_timeout == 3
    ben = stage.join("ben", *LAYOUT)
    assert ben.kinds() == ["leave"]
    with pytest.raises(Denied) as refusal:
        stage.rooms.verdict(allow("ben"), Join(single=True, client=ClientInfo()))
    assert refusal.value.status == 503
    again = stage.join("ann", *LAYOUT)
    assert again.kinds()[0] == "join"
    agent = stage.join("agent", *LAYOUT, grants={"kind": "agent"})
    assert agent.kinds()[0] == "join"


def test_a_room_that_must_be_created_first() -> None:
    stage = Stage(auto_create=False)
    with pytest.raises(Denied, match="requested room does not exist") as refusal:
        stage.rooms.verdict(allow("ann"), Join(single=True, client=ClientInfo()))
    assert refusal.value.status == 404


def test_own_metadata_at_the_join_needs_the_grant() -> None:
    stage = Stage()
    join = Join(single=True, client=ClientInfo(), metadata="m")
    with pytest.raises(Denied) as refusal:
        stage.rooms.verdict(allow("ann"), join)
    assert refusal.value.status == 401
    ann = stage.join(
        "ann",
        *LAYOUT,
        metadata="m",
        attributes={"a": "1", "b": ""},
        grants={"can_update_own_metadata": True},
    )
    info = ann.joined.participant
    assert (info.metadata, dict(info.attributes)) == ("m", {"a": "1"})


def test_publishers_choose_their_audience() -> None:
    stage = Stage()
    sid = speaking(stage)
    speaker = stage.clients[1]
    ben = stage.join("ben", *LAYOUT)
    speaker.say(subscription_permission={"all_participants": False})
    assert stage.told(node.Unsubscribe)[-1].participant == ben.number
    told = ben.last("subscription_permission_update")
    assert (told.participant_sid, told.track_sid, told.allowed) == (speaker.sid, sid, False)
    speaker.say(
        subscription_permission={
            "track_permissions": [{"participant_identity": "ben", "track_sids": [sid]}]
        }
    )
    assert ben.last("subscription_permission_update").allowed
    ben.offer(*LAYOUT, offer_id=2)
    assert dict(ben.last("answer").mid_to_track_id) == {"0": sid}


def test_speakers_are_told_to_their_listeners_in_deltas() -> None:
    stage = Stage()
    sid = speaking(stage)
    speaker = stage.clients[1]
    ben = stage.join("ben", *LAYOUT)
    deaf = stage.join("deaf", *LAYOUT, auto_subscribe=False)

    def level(value: float, active: bool) -> None:
        stage.hear(node.Levels(levels=[node.Level(track=sid, level=value, active=active)]))

    level(0.5, True)
    level(0.5, True)
    level(0.2, False)
    level(0.1, False)
    told = [
        [(s.sid, round(s.level, 2), s.active) for s in update.speakers]
        for update in ben.heard("speakers_changed")
    ]
    assert told == [[(speaker.sid, 0.5, True)], [(speaker.sid, 0.0, False)]]
    assert len(speaker.heard("speakers_changed")) == 2
    assert not deaf.heard("speakers_changed")
    level(0.5, True)
    ben.say(subscription={"track_sids": [sid], "subscribe": False})
    assert not ben.last("speakers_changed").speakers[0].active


def test_unknown_messages_are_let_go() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ann.forget()
    ann.say()
    ann.say(sync_state={})
    ann.say(simulate={"node_failure": True})
    ann.say(subscription={"track_sids": ["TR_none"], "subscribe": True})
    assert ann.told == []


def test_video_quality() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    layers = [
        {"quality": "LOW", "width": 320, "height": 180},
        {"quality": "MEDIUM", "width": 640, "height": 360},
        {"quality": "HIGH", "width": 1280, "height": 720},
    ]
    sid = stage.publish(ann, "video", "cam", layers=layers)
    ann.offer(*LAYOUT, "video sendonly cam q,h,f", offer_id=2)
    stage.live(sid, "video/VP8")
    ben.offer(*LAYOUT, offer_id=2)
    for setting in (
        {"quality": "MEDIUM"},
        {"width": 300, "height": 150},
        {"width": 640, "height": 360},
        {"width": 4000, "height": 3000},
        {"disabled": True},
    ):
        ben.say(track_setting={"track_sids": [sid, "TR_none"], **setting})
    assert [told.quality for told in stage.told(node.SetQuality)] == [1, 0, 1, 2, None]
