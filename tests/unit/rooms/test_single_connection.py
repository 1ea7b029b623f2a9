"""A session with one connection: the client offers, the edge fills and asks for more."""

from __future__ import annotations

from livekit.protocol.models import ParticipantInfo
from livekit.protocol.rtc import SessionDescription

from fairlead.protocol import node
from tests.unit.rooms.stage import Stage, offer, section, track_request

LAYOUT = ("audio recvonly", "video recvonly", "application sendrecv")


def speaking(stage: Stage, identity: str = "speaker") -> str:
    """Someone in the room with one live microphone; its track."""
    client = stage.join(identity, *LAYOUT)
    sid = stage.publish(client, "audio", f"mic-{identity}")
    client.offer(*LAYOUT, f"audio sendonly mic-{identity}", offer_id=2)
    stage.live(sid)
    return sid


def test_what_a_joiner_hears_first() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT, add_tracks=[track_request("audio", "mic")])
    kinds = client.kinds()
    assert kinds[0] == "join"
    assert kinds.index("refresh_token") < kinds.index("answer")
    assert kinds.index("track_published") < kinds.index("answer")
    join = client.joined
    assert join.participant.state == ParticipantInfo.JOINED
    assert not join.subscriber_primary
    assert (join.ping_interval, join.ping_timeout) == (5, 15)
    assert join.room.name == "lobby"
    assert join.server_info.version.count(".") == 2
    assert [codec.mime for codec in join.enabled_publish_codecs][-2:] == [
        "audio/opus",
        "audio/red",
    ]


def test_the_offer_of_the_join_is_answered_unprompted_with_its_id() -> None:
    stage = Stage()
    client = stage.join("ann", single=True, offer=offer(*LAYOUT, offer_id=42))
    answer = client.last("answer")
    assert (answer.type, answer.id, dict(answer.mid_to_track_id)) == ("answer", 42, {})
    assert section(answer, "0").direction == "inactive"


def test_tracks_that_are_there_are_bound_in_the_first_answer() -> None:
    stage = Stage()
    sid = speaking(stage)
    client = stage.join("ann", *LAYOUT)
    answer = client.last("answer")
    assert dict(answer.mid_to_track_id) == {"0": sid}
    bound = section(answer, "0")
    speaker = client.joined.other_participants[0]
    assert (bound.stream, bound.track) == (f"{speaker.sid}|{sid}", sid)
    assert bound.direction == "sendonly"
    assert stage.told(node.Subscribe)[-1] == node.Subscribe(
        participant=client.number, transport="publisher", mid="0", track=sid
    )
    assert "media_sections_requirement" not in client.kinds()


def test_a_later_track_needs_an_offer_but_no_new_line_if_one_is_free() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT)
    sid = speaking(stage)
    needed = client.last("media_sections_requirement")
    assert (needed.num_audios, needed.num_videos) == (0, 0)
    client.offer(*LAYOUT, offer_id=2)
    assert dict(client.last("answer").mid_to_track_id) == {"0": sid}


def test_more_tracks_than_lines_ask_for_the_difference() -> None:
    stage = Stage()
    tracks = [speaking(stage, name) for name in ("one", "two", "three")]
    client = stage.join("ann", *LAYOUT)
    needed = client.last("media_sections_requirement")
    assert (needed.num_audios, needed.num_videos) == (2, 0)
    assert dict(client.last("answer").mid_to_track_id) == {"0": tracks[0]}
    client.offer(*LAYOUT, "audio recvonly", "audio recvonly", offer_id=2)
    answer = client.last("answer")
    assert dict(answer.mid_to_track_id) == {"0": tracks[0], "3": tracks[1], "4": tracks[2]}


def test_one_requirement_at_a_time() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT)
    for name in ("one", "two", "three"):
        speaking(stage, name)
    assert len(client.heard("media_sections_requirement")) == 1
    client.offer(*LAYOUT, offer_id=2)
    needed = client.last("media_sections_requirement")
    assert (needed.num_audios, needed.num_videos) == (2, 0)


def test_a_track_that_ends_frees_its_line_for_another() -> None:
    stage = Stage()
    speaker = stage.join("speaker", *LAYOUT)
    first = stage.publish(speaker, "audio", "mic")
    speaker.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(first)
    client = stage.join("ann", *LAYOUT)
    speaker.offer(*LAYOUT, "audio inactive", offer_id=3)
    assert client.last("media_sections_requirement").num_audios == 0
    client.offer(*LAYOUT, offer_id=2)
    answer = client.last("answer")
    assert dict(answer.mid_to_track_id) == {}
    assert section(answer, "0").direction == "inactive"
    assert section(answer, "0").track == ""
    second = speaking(stage, "other")
    client.offer(*LAYOUT, offer_id=3)
    assert dict(client.last("answer").mid_to_track_id) == {"0": second}


def test_unsubscribe_and_subscribe_again() -> None:
    stage = Stage()
    sid = speaking(stage)
    client = stage.join("ann", *LAYOUT)
    client.say(subscription={"track_sids": [sid], "subscribe": False})
    assert stage.told(node.Unsubscribe) == [node.Unsubscribe(participant=client.number, track=sid)]
    client.offer(*LAYOUT, offer_id=2)
    assert dict(client.last("answer").mid_to_track_id) == {}
    client.say(subscription={"track_sids": [sid], "subscribe": True})
    client.offer(*LAYOUT, offer_id=3)
    assert dict(client.last("answer").mid_to_track_id) == {"0": sid}


def test_without_auto_subscribe_nothing_is_sent_until_asked_for() -> None:
    stage = Stage()
    sid = speaking(stage)
    client = stage.join("ann", *LAYOUT, auto_subscribe=False)
    assert dict(client.last("answer").mid_to_track_id) == {}
    speaker = client.joined.other_participants[0]
    client.say(
        subscription={
            "participant_tracks": [{"participant_sid": speaker.sid, "track_sids": [sid]}],
            "subscribe": True,
        }
    )
    client.offer(*LAYOUT, offer_id=2)
    assert dict(client.last("answer").mid_to_track_id) == {"0": sid}


def test_a_line_the_client_closes_is_given_up_and_another_asked_for() -> None:
    stage = Stage()
    sid = speaking(stage)
    client = stage.join("ann", *LAYOUT)
    client.offer("audio inactive", *LAYOUT[1:], offer_id=2)
    assert dict(client.last("answer").mid_to_track_id) == {}
    assert stage.told(node.Unsubscribe)[-1].track == sid
    assert client.last("media_sections_requirement").num_audios == 1
    client.offer("audio inactive", *LAYOUT[1:], "audio recvonly", offer_id=3)
    assert dict(client.last("answer").mid_to_track_id) == {"3": sid}


def test_an_offer_that_comes_while_one_is_with_the_node_waits() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT)
    stage.answers = False
    for number in (2, 3, 4):
        client.offer(*LAYOUT, offer_id=number)
    offers = stage.told(node.AcceptOffer)
    assert [accepted.offer_id for accepted in offers] == [1, 2]
    stage.answers = True
    stage.hear(
        node.Answered(
            participant=client.number, transport="publisher", offer_id=2, sdp=offers[-1].sdp
        )
    )
    assert [answer.id for answer in client.heard("answer")] == [1, 2, 4]


def test_a_first_offer_that_cannot_be_used_turns_the_client_away() -> None:
    stage = Stage()
    client = stage.join("ann", offer=SessionDescription(type="offer", sdp="nonsense", id=1))
    assert client.closed
    leave = client.last("leave")
    assert leave.action == leave.DISCONNECT
    assert stage.told(node.RemoveParticipant) == [node.RemoveParticipant(participant=client.number)]


def test_a_later_offer_that_cannot_be_used_sends_it_to_join_anew() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT)
    stage.connect(client)
    client.say(offer={"type": "offer", "sdp": "v=0\r\nm=audio\r\n", "id": 2})
    leave = client.last("leave")
    assert leave.action == leave.RECONNECT
    assert client.closed


def test_candidates_go_to_the_one_connection() -> None:
    stage = Stage()
    client = stage.join("ann", *LAYOUT)
    client.say(trickle={"candidateInit": '{"candidate":"candidate:1 1 udp 1 x 1 typ host"}'})
    client.say(trickle={"candidateInit": '{"candidate":""}'})
    client.say(trickle={"candidateInit": "nonsense"})
    client.say(trickle={"candidateInit": "[" * 1000})
    client.say(trickle={"candidateInit": "[1]"})
    added = stage.told(node.AddCandidate)
    assert [(x.transport, x.candidate) for x in added] == [
        ("publisher", "candidate:1 1 udp 1 x 1 typ host")
    ]
    assert not client.closed
