"""What a client is told of codecs, by its device."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import AddTrackRequest, SimulcastCodec

from fairlead.protocol import sdp
from tests.unit.rooms.stage import Stage
from tests.unit.rooms.test_single_connection import LAYOUT

PHONE = {"sdk": "ANDROID", "os": "android", "os_version": "12", "device_model": "Redmi 9A"}
SAFARI = {"sdk": "JS", "browser": "Safari", "browser_version": "18.4", "os": "Mac OS X"}


def join(stage: Stage, report: dict[str, Any]) -> Any:
    return stage.join("ann", *LAYOUT, client=ClientInfo(**report))


def test_hardware_h264_comes_first_on_a_cheap_phone() -> None:
    joined = join(Stage(), PHONE).joined
    assert [codec.mime for codec in joined.enabled_publish_codecs][:2] == [
        "video/H264",
        "video/VP8",
    ]
    assert not joined.HasField("client_configuration")


def test_what_safari_must_not_publish_is_neither_enabled_nor_left_unsaid() -> None:
    joined = join(Stage(), SAFARI).joined
    enabled = [codec.mime for codec in joined.enabled_publish_codecs]
    assert enabled == ["video/VP8", "video/H264", "audio/opus", "audio/red"]
    barred = joined.client_configuration.disabled_codecs.publish
    assert [codec.mime for codec in barred] == ["video/VP9", "video/AV1"]


def test_any_other_client_is_told_what_it_always_was() -> None:
    joined = join(Stage(), {}).joined
    assert [codec.mime for codec in joined.enabled_publish_codecs][:2] == [
        "video/VP8",
        "video/H264",
    ]
    assert not joined.HasField("client_configuration")


@pytest.mark.parametrize(
    ("report", "asked", "first"),
    [
        (PHONE, [], "h264"),
        (PHONE, ["vp8"], "h264"),
        (PHONE, ["vp9"], "vp9"),
        ({}, [], "vp8"),
        ({}, ["vp8"], "vp8"),
    ],
)
def test_the_answer_to_a_camera_prefers_what_the_device_is_best_at(
    report: dict[str, Any], asked: list[str], first: str
) -> None:
    stage = Stage()
    ann = join(stage, report)
    ann.say(
        add_track=AddTrackRequest(
            cid="cam",
            type="VIDEO",
            source="CAMERA",
            simulcast_codecs=[SimulcastCodec(codec=codec, cid="cam") for codec in asked],
        )
    )
    lines = [
        "v=0",
        "s=-",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 98 125",
        "a=mid:0",
        "a=sendonly",
        "a=msid:- cam",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:98 VP9/90000",
        "a=rtpmap:125 H264/90000",
    ]
    ann.say(offer={"type": "offer", "sdp": "\r\n".join(lines) + "\r\n", "id": 2})
    assert sdp.read(ann.last("answer").sdp)[0].codecs[0] == first
