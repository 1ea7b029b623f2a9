"""Joins as clients ask for them."""

from __future__ import annotations

import base64
import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import JoinRequest, WrappedJoinRequest

from fairlead.protocol.join import MAX_JOIN_REQUEST_BYTES, BadJoin, parse


def wrap(data: bytes, compression: str = "NONE", pad: bool = True) -> str:
    wrapped = WrappedJoinRequest(compression=compression, join_request=data)
    text = base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()
    return text if pad else text.rstrip("=")


REQUEST = JoinRequest(
    client_info={"protocol": 18, "sdk": "PYTHON"},
    connection_settings={"auto_subscribe": True, "adaptive_stream": True},
    metadata="m",
    participant_attributes={"a": "1"},
    add_track_requests=[{"cid": "mic"}],
    publisher_offer={"type": "offer", "sdp": "v=0", "id": 3},
)


@pytest.mark.parametrize("compression", ["NONE", "GZIP"])
@pytest.mark.parametrize("pad", [True, False])
def test_a_join_request(compression: str, pad: bool) -> None:
    data = REQUEST.SerializeToString()
    data = gzip.compress(data) if compression == "GZIP" else data
    join = parse({"join_request": wrap(data, compression, pad)}, True)
    assert join.single
    assert join.client == REQUEST.client_info
    assert (join.auto_subscribe, join.adaptive_stream, join.metadata) == (True, True, "m")
    assert join.attributes == {"a": "1"}
    assert [track.cid for track in join.add_tracks] == ["mic"]
    assert join.offer == REQUEST.publisher_offer


@pytest.mark.parametrize("allowed", [True, False])
def test_pauses_are_taken_by_who_says_so(allowed: bool) -> None:
    settings = {"subscriber_allow_pause": allowed}
    request = JoinRequest(connection_settings=settings).SerializeToString()
    assert parse({"join_request": wrap(request)}, True).allow_pause == allowed
    assert parse({"subscriber_allow_pause": str(int(allowed))}, False).allow_pause == allowed
    assert not parse({}, False).allow_pause


@pytest.mark.parametrize("asked", [True, False])
def test_data_tracks_are_subscribed_to_by_who_says_so(asked: bool) -> None:
    settings = {"auto_subscribe": True, "auto_subscribe_data_track": asked}
    request = JoinRequest(connection_settings=settings).SerializeToString()
    assert parse({"join_request": wrap(request)}, True).auto_subscribe_data == asked
    query = {"auto_subscribe_data_track": str(int(asked))}
    assert parse(query, False).auto_subscribe_data == asked
    assert not parse({}, False).auto_subscribe_data


def test_a_join_request_makes_the_old_path_a_single_connection_too() -> None:
    request = JoinRequest(metadata="m").SerializeToString()
    join = parse({"join_request": wrap(request)}, False)
    assert join.single
    assert join.offer is None
    assert not join.auto_subscribe


def test_the_query_of_the_old_path() -> None:
    attributes = base64.urlsafe_b64encode(b'{"k":"v"}').decode()
    join = parse(
        {
            "sdk": "reactnative",
            "protocol": "16",
            "client_protocol": "1",
            "capabilities": "CAP_PACKET_TRAILER, CAP_FROM_THE_FUTURE",
            "attributes": attributes,
            "auto_subscribe": "0",
            "reconnect": "1",
            "sid": "PA_x",
            "version": "2.0",
        },
        False,
    )
    assert not join.single
    assert join.client == ClientInfo(
        sdk="REACT_NATIVE",
        protocol=16,
        client_protocol=1,
        capabilities=["CAP_PACKET_TRAILER"],
        version="2.0",
    )
    assert join.attributes == {"k": "v"}
    assert (join.auto_subscribe, join.reconnect, join.sid) == (False, True, "PA_x")


def test_an_empty_query_is_a_join() -> None:
    join = parse({}, False)
    assert join.auto_subscribe
    assert join.client == ClientInfo()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"join_request": "%%%"},
        {"join_request": "AAAA"},
        {"join_request": wrap(b"\xff\xff\xff")},
        {"join_request": wrap(b"no gzip", "GZIP")},
        {"join_request": wrap(gzip.compress(b"x" * 1000)[:-10], "GZIP")},
        {"join_request": wrap(bytes(MAX_JOIN_REQUEST_BYTES + 1))},
        {"join_request": wrap(gzip.compress(bytes(MAX_JOIN_REQUEST_BYTES + 1)), "GZIP")},
    ],
)
def test_what_cannot_be_read_says_so(query: dict[str, str]) -> None:
    with pytest.raises(BadJoin) as refusal:
        parse(query, True)
    assert 10 < len(str(refusal.value)) < 200


def test_an_unknown_compression() -> None:
    raw = WrappedJoinRequest.FromString(b"\x08\x07").SerializeToString()
    with pytest.raises(BadJoin, match="compression 7"):
        parse({"join_request": base64.urlsafe_b64encode(raw).decode()}, True)


@pytest.mark.parametrize("text", ["%%", "e30", "WzFd", "eyJhIjoxfQ"])
def test_attributes(text: str) -> None:
    if text == "e30":
        assert parse({"attributes": text}, False).attributes == {}
        return
    with pytest.raises(BadJoin, match="attributes"):
        parse({"attributes": text}, False)


@given(st.dictionaries(st.sampled_from(["join_request", "attributes", "protocol"]), st.text()))
def test_anything_is_read_or_refused(query: dict[str, str]) -> None:
    for needs_request in (True, False):
        with suppress(BadJoin):
            parse(query, needs_request)


@given(st.binary(max_size=400), st.sampled_from(["NONE", "GZIP"]))
def test_any_bytes_in_the_wrapper(data: bytes, compression: str) -> None:
    with suppress(BadJoin):
        assert parse({"join_request": wrap(data, compression)}, True).single
