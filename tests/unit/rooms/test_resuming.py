"""A client that lost its websocket comes back to its session, in both topologies."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import (
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackInfo,
)
from livekit.protocol.room import UpdateParticipantRequest
from livekit.protocol.rtc import (
    DataChannelReceiveState,
    LeaveRequest,
    SyncState,
    TrackPublishedResponse,
)

from fairlead.protocol import node
from fairlead.protocol.operation import RemoveParticipant, UpdateParticipant
from fairlead.rooms.state import absence
from fairlead.rooms.state import settings as defaults
from tests.unit.rooms.stage import Client, Stage, offer, track_request

LAYOUT = ("audio recvonly", "video recvonly", "application sendrecv")
DUAL: dict[str, Any] = {"single": False}


def there(stage: Stage, identity: str, **join: Any) -> Client:
    """A client whose connection is up."""
    lines = () if join.get("single") is False else LAYOUT
    client = stage.join(identity, *lines, **join)
    stage.connect(client, "publisher" if client.single else "subscriber")
    if not client.single:
        client.say(answer=offer(kind="answer", offer_id=client.last("offer").id))
    return client


def speaker(stage: Stage, identity: str = "ben") -> tuple[Client, str]:
    """Someone with a live microphone, and its track."""
    client = there(stage, identity)
    sid = stage.publish(client, "audio", f"mic-{identity}")
    client.offer(*LAYOUT, f"audio sendonly mic-{identity}", offer_id=2)
    stage.live(sid)
    return client, sid


def silence(stage: Stage, client: Client) -> None:
    transport: node.TransportName = "publisher" if client.single else "subscriber"
    stage.hear(
        node.TransportState(participant=client.number, transport=transport, state="disconnected")
    )


def has(*tracks: str, **more: Any) -> SyncState:
    """What a client says that it has."""
    published = [TrackPublishedResponse(track=TrackInfo(sid=sid)) for sid in tracks]
    return SyncState(publish_tracks=published, **more)


def test_a_client_comes_back_and_nobody_hears_of_it() -> None:
    stage = Stage()
    ben, mic = speaker(stage)
    ann = there(stage, "ann")
    stage.last_sequences[ann.number] = 7
    stage.lose(ann)
    ben.forget()
    stage.records.clear()
    again = stage.come_back(ann)
    assert again.kinds()[0] == "reconnect"
    assert again.last("reconnect").last_message_seq == 7
    assert again.last("reconnect").server_info.version
    assert [(who, tracks) for who, _, tracks in again.updates()] == [("ben", [mic]), ("ann", [])]
    assert again.kinds().index("update") < again.kinds().index("room_update")
    assert again.heard("refresh_token")
    assert ben.told == []
    assert stage.records == []
    again.offer(*LAYOUT, offer_id=9)
    assert dict(again.last("answer").mid_to_track_id) == {"0": mic}
    assert not stage.told(node.RemoveParticipant)
    stage.pass_time(250)
    assert stage.rooms.session_count == 2


def test_who_left_and_who_came_meanwhile_is_told() -> None:
    stage = Stage()
    ann, ben, cas = (there(stage, name) for name in ("ann", "ben", "cas"))
    stage.lose(ann)
    ben.say(leave={})
    cas.say(leave={})
    there(stage, "cas")
    there(stage, "dee")
    told = [(who, state) for who, state, _ in stage.come_back(ann).updates()]
    assert told == [
        ("ben", ParticipantInfo.DISCONNECTED),
        ("cas", ParticipantInfo.ACTIVE),
        ("dee", ParticipantInfo.ACTIVE),
        ("ann", ParticipantInfo.ACTIVE),
    ]


def test_too_many_left_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "MAX_DEPARTED", 3)
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    for number in range(4):
        stage.join(f"guest{number}").say(leave={})
    again = stage.come_back(ann)
    assert again.last("leave").action == LeaveRequest.RECONNECT
    assert again.closed


def test_a_client_that_was_half_open_takes_its_session_over() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    again = stage.come_back(ann)
    assert ann.closed
    assert again.kinds()[0] == "reconnect"
    stage.lose(ann)  # late, and of no account
    stage.pass_time(250)
    assert stage.rooms.session_count == 1
    again.say(ping=1)
    assert again.last("pong")


def test_a_silent_client_is_waited_for() -> None:
    stage = Stage()
    ann, ben = there(stage, "ann"), there(stage, "ben")
    ann.say(ping=1)
    stage.pass_time(defaults.PING_TIMEOUT)
    assert ann.closed
    assert not ann.heard("leave")
    silence(stage, ann)
    stage.pass_time(defaults.RESUME_SILENCE - 1)
    assert stage.rooms.session_count == 2
    stage.pass_time(2)
    assert stage.rooms.session_count == 1
    gone = ben.last("update").participants[0]
    assert gone.disconnect_reason == DisconnectReason.CONNECTION_TIMEOUT


def test_a_client_whose_media_lives_is_waited_for_longer() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    stage.pass_time(defaults.RESUME_LIMIT - 1)
    assert stage.rooms.session_count == 1
    silence(stage, ann)
    stage.connect(ann)  # it moved to another network
    stage.pass_time(defaults.RESUME_SILENCE + 1)
    assert stage.rooms.session_count == 1
    stage.pass_time(defaults.RESUME_LIMIT)
    assert stage.rooms.session_count == 0


def test_three_minutes_of_nothing_end_it_and_the_client_joins_anew() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    ann.say(ping=1)
    stage.pass_time(15)
    silence(stage, ann)
    stage.pass_time(180)
    assert stage.rooms.session_count == 0
    leave = stage.come_back(ann).last("leave")
    assert (leave.action, leave.reason) == (
        LeaveRequest.RECONNECT,
        DisconnectReason.STATE_MISMATCH,
    )


def test_media_that_does_not_follow_ends_in_a_join_anew() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    silence(stage, ann)
    again = stage.come_back(ann)
    stage.pass_time(defaults.RESUME_TIMEOUT + 1)
    assert again.last("leave").action == LeaveRequest.RECONNECT
    assert stage.rooms.session_count == 0


@pytest.mark.parametrize(
    ("identity", "room", "sid", "single"),
    [
        ("eve", "lobby", "", True),
        ("ann", "elsewhere", "", True),
        ("ann", "lobby", "PA_other", True),
        ("ann", "lobby", "", False),
    ],
    ids=["identity", "room", "sid", "topology"],
)
def test_nobody_takes_up_what_is_not_its_own(
    identity: str, room: str, sid: str, single: bool
) -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    stranger = stage.join(identity, room=room, reconnect=True, sid=sid or ann.sid, single=single)
    assert stranger.kinds() == ["leave"]
    assert stranger.last("leave").action == LeaveRequest.RECONNECT
    assert stranger.closed
    assert stage.come_back(ann).kinds()[0] == "reconnect"


def test_a_session_that_was_removed_or_replaced_does_not_come_back() -> None:
    stage = Stage()
    ann, ben = there(stage, "ann"), there(stage, "ben")
    stage.lose(ann)
    stage.lose(ben)
    there(stage, "ann")
    stage.ask(RemoveParticipant(room="lobby", identity="ben"))
    for client, reason in (
        (ann, DisconnectReason.DUPLICATE_IDENTITY),
        (ben, DisconnectReason.PARTICIPANT_REMOVED),
    ):
        leave = stage.come_back(client).last("leave")
        assert (leave.action, leave.reason) == (LeaveRequest.DISCONNECT, reason)
    stranger = stage.join("eve", reconnect=True, sid=ann.sid)
    assert stranger.last("leave").action == LeaveRequest.RECONNECT


def test_of_two_that_come_back_at_once_the_newer_has_the_session() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    stage.answers = False
    one, two = stage.come_back(ann), stage.come_back(ann)
    assert one.closed
    assert one.told == two.told == []
    stage.hear(node.Resumed(participant=ann.number, last_sequence=0))
    assert two.kinds()[0] == "reconnect"
    stage.hear(node.Resumed(participant=ann.number, last_sequence=0))
    assert len(two.heard("reconnect")) == 1
    assert one.told == []


def test_a_client_that_goes_while_it_comes_back() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    stage.answers = False
    back = stage.come_back(ann)
    stage.lose(back)
    stage.hear(node.Resumed(participant=ann.number, last_sequence=0))
    assert back.told == []
    stage.answers = True
    assert stage.come_back(ann).kinds()[0] == "reconnect"


def test_one_that_waits_hears_that_its_session_ended() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    stage.answers = False
    back = stage.come_back(ann)
    stage.ask(RemoveParticipant(room="lobby", identity="ann"))
    assert back.last("leave").reason == DisconnectReason.PARTICIPANT_REMOVED
    assert back.closed
    stage.hear(node.Resumed(participant=ann.number, last_sequence=0))
    assert back.kinds() == ["leave"]


def test_a_flood_of_returns_is_not_answered() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    for _ in range(absence.RETURNS):
        assert stage.come_back(ann).kinds()[0] == "reconnect"
    refused = stage.come_back(ann)
    assert refused.closed
    assert refused.told == []
    stage.pass_time(absence.RETURNS_WITHIN)
    assert stage.come_back(ann).kinds()[0] == "reconnect"


def test_what_it_has_is_held_against_what_is_here() -> None:
    stage = Stage()
    ben, mic = speaker(stage)
    stage.lose(ben)
    back = stage.come_back(ben)
    back.say(sync_state=has(mic))
    assert not back.closed
    stage.lose(back)
    back = stage.come_back(ben)
    back.say(sync_state=has(mic, "TR_unknown"))
    leave = back.last("leave")
    assert (leave.reason, leave.action) == (
        DisconnectReason.STATE_MISMATCH,
        LeaveRequest.RECONNECT,
    )


def test_a_track_that_the_server_ended_meanwhile_is_no_mismatch() -> None:
    stage = Stage()
    ben, mic = speaker(stage)
    stage.lose(ben)
    stage.ask(
        UpdateParticipant(
            room="lobby",
            identity="ben",
            request=UpdateParticipantRequest(
                permission=ParticipantPermission(can_publish=False)
            ).SerializeToString(),
        )
    )
    back = stage.come_back(ben)
    assert back.last("track_unpublished").track_sid == mic
    back.say(sync_state=has(mic))
    assert not back.closed


def test_subscriptions_and_receive_states_are_taken_from_it() -> None:
    stage = Stage()
    _, mic = speaker(stage)
    ann = there(stage, "ann")
    number = ann.number
    stage.lose(ann)
    back = stage.come_back(ann)
    states = [DataChannelReceiveState(publisher_sid="PA_x", last_seq=4)]
    back.say(
        sync_state=has(
            subscription={"track_sids": [mic], "subscribe": False},
            datachannel_receive_states=states,
        )
    )
    assert stage.told(node.Unsubscribe)[-1].track == mic
    assert stage.told(node.ReplayData) == [
        node.ReplayData(participant=number, had=[node.Had(publisher="PA_x", sequence=4)])
    ]
    # Said twice, it counts once: nobody asked.
    back.say(sync_state=has("TR_unknown", datachannel_receive_states=states))
    assert not back.closed
    assert len(stage.told(node.ReplayData)) == 1


def test_more_receive_states_than_there_can_be_are_let_go() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    back = stage.come_back(ann)
    many = defaults.MAX_RECEIVE_STATES + 1
    states = [DataChannelReceiveState(publisher_sid=f"PA_{n}") for n in range(many)]
    back.say(sync_state=has(datachannel_receive_states=states))
    assert stage.told(node.ReplayData) == []
    assert stage.happened[-1].what == "client_fault"
    assert not back.closed


def test_a_sync_state_out_of_the_blue_is_let_go() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    ann.say(sync_state=has("TR_unknown"))
    assert not ann.closed


def test_what_was_asked_for_in_vain_is_said_again() -> None:
    stage = Stage()
    ann = there(stage, "ann")
    stage.lose(ann)
    speaker(stage)
    # Its answer got lost with the websocket: the client waits for it.
    ann.say(add_track=track_request("audio", "mic"))
    back = stage.come_back(ann)
    assert back.last("track_published").cid == "mic"
    assert "media_sections_requirement" not in back.kinds()


def test_nothing_is_offered_while_nobody_listens() -> None:
    stage = Stage()
    ann = there(stage, "ann", **DUAL)
    stage.lose(ann)
    before = len(stage.told(node.CreateOffer))
    _, mic = speaker(stage)
    stage.pass_time(60)
    assert len(stage.told(node.CreateOffer)) == before
    assert stage.rooms.session_count == 2
    back = stage.come_back(ann, **DUAL)
    made = stage.told(node.CreateOffer)[-1]
    assert made.restart_ice
    assert [x.active for x in made.sections] == [True]
    assert list(back.last("offer").mid_to_track_id.values()) == [mic]
    back.say(answer=offer("audio recvonly", kind="answer", offer_id=back.last("offer").id))
    assert stage.told(node.Subscribe)[-1].track == mic
    _, second = speaker(stage, "cas")
    assert not stage.told(node.CreateOffer)[-1].restart_ice
    assert second in back.last("offer").mid_to_track_id.values()


@pytest.mark.parametrize("answered", [True, False])
def test_an_offer_that_was_out_is_found_or_made_anew(answered: bool) -> None:
    stage = Stage()
    ann = there(stage, "ann", **DUAL)
    _, mic = speaker(stage)
    lost = ann.last("offer")
    [mid] = lost.mid_to_track_id
    stage.lose(ann)
    back = stage.come_back(ann, **DUAL)
    assert not back.heard("offer")
    text = lost.sdp.replace("sendonly", "recvonly") if answered else "v=0\r\ns=-\r\n"
    back.say(sync_state=has(answer={"type": "answer", "sdp": text}))
    made = stage.told(node.CreateOffer)[-1]
    assert made.restart_ice
    assert made.sections == [node.Section(mid=mid if answered else None, kind="audio", active=True)]
    taken = [x.offer_id for x in stage.told(node.AcceptAnswer)]
    assert (lost.id in taken) == answered
    assert (mic in [x.track for x in stage.told(node.Subscribe)]) == answered


def test_a_dual_client_that_says_nothing_joins_anew() -> None:
    stage = Stage()
    ann = there(stage, "ann", **DUAL)
    speaker(stage)
    stage.lose(ann)
    back = stage.come_back(ann, **DUAL)
    stage.pass_time(defaults.RESUME_TIMEOUT + 1)
    assert back.last("leave").action == LeaveRequest.RECONNECT


def test_loudness_is_told_anew() -> None:
    stage = Stage()
    ben, mic = speaker(stage)
    ann = there(stage, "ann")
    loud = node.Levels(levels=[node.Level(track=mic, level=0.5, active=True)])
    quiet = node.Levels(levels=[node.Level(track=mic, level=0.0, active=False)])
    stage.hear(loud)
    stage.lose(ann)
    again = stage.come_back(ann)
    told = again.last("speakers_changed").speakers
    assert [(x.sid, x.active) for x in told] == [(ben.sid, True)]
    stage.lose(again)
    stage.hear(quiet)
    assert not stage.come_back(ann).heard("speakers_changed")
