"""Signal frames, binary and JSON."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.rtc import SignalRequest, SignalResponse

from fairlead.protocol.signal import MAX_FRAME_BYTES, BadFrame, FrameCodec


def test_binary_by_default() -> None:
    codec = FrameCodec()
    request = SignalRequest(ping=5)
    assert codec.read(request.SerializeToString()) == request
    response = SignalResponse(pong=7)
    written = codec.write(response)
    assert isinstance(written, bytes)
    assert SignalResponse.FromString(written) == response


def test_text_switches_to_json_both_ways() -> None:
    codec = FrameCodec()
    request = codec.read('{"addTrack": {"cid": "mic", "type": "AUDIO"}, "fromTheFuture": 1}')
    assert request.add_track.cid == "mic"
    response = SignalResponse(track_published={"cid": "mic", "track": {"sid": "TR_x"}})
    written = codec.write(response)
    assert isinstance(written, str)
    assert json.loads(written) == {"trackPublished": {"cid": "mic", "track": {"sid": "TR_x"}}}


def test_an_unknown_message_is_empty() -> None:
    # Field 2000, of a later protocol.
    request = FrameCodec().read(b"\x82\x7d\x02hi")
    assert request.WhichOneof("message") is None
    assert FrameCodec().read('{"later": {}}').WhichOneof("message") is None


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff",
        "nonsense",
        '["ping"]',
        '{"ping": {}}',
        b"\x00" * (MAX_FRAME_BYTES + 1),
        " " * (MAX_FRAME_BYTES + 1),
        '{"a":' * 100_000,
    ],
    ids=["binary", "text", "list", "type", "long", "long text", "deep"],
)
def test_what_cannot_be_read_says_so(frame: bytes | str) -> None:
    with pytest.raises(BadFrame):
        FrameCodec().read(frame)


@given(st.one_of(st.binary(), st.text()))
def test_anything_is_read_or_refused(frame: bytes | str) -> None:
    with suppress(BadFrame):
        FrameCodec().read(frame)
