"""Tracks: announced, bound to m-lines, live, muted, ended."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import Encryption, ParticipantPermission
from livekit.protocol.room import UpdateParticipantRequest
from livekit.protocol.rtc import RequestResponse

from fairlead.protocol import node
from fairlead.protocol.operation import UpdateParticipant
from fairlead.rooms.state.publications import Publications
from fairlead.types import stream_id
from tests.unit.rooms.stage import Client, Stage, section, track_request
from tests.unit.rooms.test_single_connection import LAYOUT


def test_a_track_becomes_visible_with_its_first_packet() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic")
    assert sid.startswith("TR_AM")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    assert stage.told(node.AddTrack) == [
        node.AddTrack(
            track=sid,
            room=stage.told(node.AddParticipant)[0].room,
            kind="audio",
            layers=[node.Layer(stream=stream_id(1, 1), rid=None, quality=0)],
            publisher=ann.number,
        )
    ]
    assert stage.told(node.Publish) == [node.Publish(participant=ann.number, mid="3", track=sid)]
    assert not any(tracks for _, _, tracks in ben.updates())
    stage.live(sid, "audio/opus")
    assert ben.updates()[-1] == ("ann", 1, [sid])
    info = ben.last("update").participants[0]
    assert info.is_publisher
    assert info.tracks[0].mime_type == "audio/opus"
    assert info.tracks[0].mid == "3"
    assert ann.updates()[-1] == ("ann", 1, [sid])
    assert stage.records[-1].record.tracks[0].sid == sid


@pytest.mark.parametrize(
    ("wish", "red"),
    [({}, True), ({"disable_red": True}, False), ({"encryption": Encryption.GCM}, False)],
)
def test_sound_is_sent_redundantly_unless_encrypted_or_asked_not_to(
    wish: dict[str, Any], red: bool
) -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic", **wish)
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    assert [told.red for told in stage.told(node.AddTrack)] == [red]
    stage.live(sid)
    assert [track.red for track in stage.records[-1].record.tracks] == [red]


def test_the_publisher_learns_of_its_first_subscriber_once() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(sid)
    assert not ann.heard("track_subscribed")
    ben.offer(*LAYOUT, offer_id=2)
    stage.join("carl", *LAYOUT)
    assert [told.track_sid for told in ann.heard("track_subscribed")] == [sid]


def test_simulcast_layers_each_have_a_stream() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    sid = stage.publish(ann, "video", "cam")
    assert sid.startswith("TR_VC")
    ann.offer(*LAYOUT, "video sendonly cam q,h,f", offer_id=2)
    assert stage.told(node.AddTrack)[0].layers == [
        node.Layer(stream=stream_id(1, 1), rid="q", quality=0),
        node.Layer(stream=stream_id(1, 2), rid="h", quality=1),
        node.Layer(stream=stream_id(1, 3), rid="f", quality=2),
    ]


@pytest.mark.parametrize(
    ("rids", "layers"),
    [
        ("h,q", [("q", 0), ("h", 1)]),
        ("f,h,q", [("q", 0), ("h", 1), ("f", 2)]),
        ("a,b,c", [("a", 0), ("b", 1), ("c", 2)]),
        ("hi,lo", [("hi", 0), ("lo", 1)]),
    ],
)
def test_layers_by_name_else_by_order_lowest_first(
    rids: str, layers: list[tuple[str, int]]
) -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.publish(ann, "video", "cam")
    ann.offer(*LAYOUT, f"video sendonly cam {rids}", offer_id=2)
    told = stage.told(node.AddTrack)[0].layers
    assert [(layer.rid, layer.quality) for layer in told] == layers


def test_an_m_line_whose_track_the_server_ended_is_no_other_tracks() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    for allowed in (False, True):
        request = UpdateParticipantRequest(room="lobby", identity="ann")
        request.permission.CopyFrom(ParticipantPermission(can_subscribe=True, can_publish=allowed))
        stage.ask(
            UpdateParticipant(room="lobby", identity="ann", request=request.SerializeToString())
        )
    again = stage.publish(ann, "audio", "again")
    assert len(stage.told(node.Publish)) == 1
    ann.offer(*LAYOUT, "audio sendonly mic", "audio sendonly again", offer_id=3)
    assert stage.told(node.Publish)[-1] == node.Publish(
        participant=ann.number, mid="4", track=again
    )


def test_a_track_is_found_by_its_codecs_cid() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    other = stage.publish(ann, "video", "screen")
    sid = stage.publish(
        ann, "video", "cam", simulcast_codecs=[{"codec": "vp8", "cid": "codec-cid"}]
    )
    ann.offer(*LAYOUT, "video sendonly codec-cid", "video sendonly screen", offer_id=2)
    published = {told.mid: told.track for told in stage.told(node.Publish)}
    assert published == {"3": sid, "4": other}


def test_a_track_whose_id_changed_is_found_by_order() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    camera, mic = stage.publish(ann, "video", "cam"), stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly other1", "video sendonly other2", offer_id=2)
    published = {told.mid: told.track for told in stage.told(node.Publish)}
    assert published == {"3": mic, "4": camera}


def test_a_track_announced_after_its_offer_is_bound_at_once() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    sid = stage.publish(ann, "audio", "mic")
    assert [told.track for told in stage.told(node.Publish)] == [sid]


def test_announcing_twice_is_one_track() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    assert stage.publish(ann, "audio", "mic") == stage.publish(ann, "audio", "mic")


def test_a_track_published_again_under_its_old_id_is_a_new_one() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    first = stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(first)
    second = stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio inactive", "audio sendonly mic", offer_id=3)
    assert second != first
    assert [told.track for told in stage.told(node.RemoveTrack)] == [first]
    assert stage.told(node.Publish)[-1].track == second


def test_another_track_on_the_same_line_replaces_the_first() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    first = stage.publish(ann, "audio", "one")
    ann.offer(*LAYOUT, "audio sendonly one", offer_id=2)
    second = stage.publish(ann, "audio", "two")
    ann.offer(*LAYOUT, "audio sendonly two", offer_id=3)
    assert [told.track for told in stage.told(node.RemoveTrack)] == [first]
    assert stage.told(node.Publish)[-1] == node.Publish(
        participant=ann.number, mid="3", track=second
    )


def test_a_track_whose_sender_was_replaced_stays() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.publish(ann, "audio", "one")
    ann.offer(*LAYOUT, "audio sendonly one", offer_id=2)
    ann.offer(*LAYOUT, "audio sendonly unknown", offer_id=3)
    assert not stage.told(node.RemoveTrack)


def test_the_end_of_a_track_is_told_and_recorded() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(sid)
    ann.offer(*LAYOUT, "audio recvonly", offer_id=3)
    assert ben.updates()[-1] == ("ann", 1, [])
    assert stage.records[-1].record.tracks == []
    assert not ann.heard("track_unpublished")


def test_opus_is_tuned_in_the_answer() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    stage.publish(ann, "audio", "plain")
    stage.publish(ann, "audio", "music", audio_features=["TF_STEREO", "TF_NO_DTX"])
    ann.offer(*LAYOUT, "audio sendonly plain", "audio sendonly music", offer_id=2)
    text = ann.last("answer").sdp
    assert "a=fmtp:111 usedtx=1\r\n" in text
    assert "a=fmtp:111 stereo=1;maxaveragebitrate=510000\r\n" in text
    assert section(ann.last("answer"), "3").direction == "recvonly"


def test_mute_is_told_to_all_and_not_echoed() -> None:
    stage = Stage()
    ann, ben = stage.join("ann", *LAYOUT), stage.join("ben", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic")
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(sid)
    ann.say(mute={"sid": sid, "muted": True})
    assert stage.told(node.SetMuted) == [node.SetMuted(track=sid, muted=True)]
    assert ben.last("update").participants[0].tracks[0].muted
    assert not ann.heard("mute")
    before = len(ben.heard("update"))
    ann.say(mute={"sid": sid, "muted": True})
    ben.say(mute={"sid": sid, "muted": False})
    assert len(ben.heard("update")) == before


def test_a_track_muted_as_it_is_announced_is_not_forwarded() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    sid = stage.publish(ann, "audio", "mic", muted=True)
    ann.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    assert stage.told(node.SetMuted) == [node.SetMuted(track=sid, muted=True)]


def refused(client: Client) -> int:
    reply = client.last("request_response")
    assert reply.WhichOneof("request") == "add_track"
    assert reply.message
    return int(reply.reason)


def test_refusals() -> None:
    stage = Stage()
    mute = stage.join("mute", *LAYOUT, grants={"can_publish": False})
    mute.say(add_track=track_request("audio", "mic"))
    assert refused(mute) == RequestResponse.NOT_ALLOWED
    camera_only = stage.join("cam", *LAYOUT, grants={"can_publish_sources": ["camera"]})
    camera_only.say(add_track=track_request("audio", "mic"))
    assert refused(camera_only) == RequestResponse.NOT_ALLOWED
    stage.publish(camera_only, "video", "cam")
    ann = stage.join("ann", *LAYOUT)
    ann.say(add_track={"cid": "x", "type": "DATA"})
    assert refused(ann) == RequestResponse.UNSUPPORTED_TYPE
    ann.say(add_track=track_request("audio", ""))
    assert refused(ann) == RequestResponse.INVALID_REQUEST


def test_twenty_tracks_may_wait() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    for number in range(20):
        stage.publish(ann, "audio", f"mic{number}")
    ann.say(add_track=track_request("audio", "one too many"))
    assert refused(ann) == RequestResponse.LIMIT_EXCEEDED


def test_match_leaves_what_it_does_not_know() -> None:
    assert Publications().match([]) == ([], [])
