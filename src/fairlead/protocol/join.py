"""What a client asks for as it joins: the query of ``/rtc`` and the join request of ``/rtc/v1``."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping

import msgspec
from google.protobuf.message import DecodeError
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import (
    AddTrackRequest,
    ConnectionSettings,
    JoinRequest,
    SessionDescription,
    WrappedJoinRequest,
)

MAX_JOIN_REQUEST_BYTES = 1024 * 1024
"""Of the join request after inflation."""

SDKS = {"ios": "SWIFT"} | {
    name.lower().replace("_", ""): name for name, _ in ClientInfo.SDK.items()
}


class BadJoin(Exception):
    """A join that can't be read; the message is one sentence for the client (HTTP 400)."""


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """One join, however it was asked for."""

    single: bool
    """One peer connection for both ways."""
    client: ClientInfo
    auto_subscribe: bool = True
    auto_subscribe_data: bool = False
    """The same of data tracks: SDKs ask for each that they want."""
    adaptive_stream: bool = False
    allow_pause: bool = False
    """It takes stream states: pictures may pause for lack of room."""
    metadata: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    add_tracks: list[AddTrackRequest] = msgspec.field(default_factory=list)
    offer: SessionDescription | None = None
    reconnect: bool = False
    sid: str = ""
    """The session that a reconnect resumes."""
    publish: str = ""


def parse(query: Mapping[str, str], needs_request: bool) -> Join:
    """Read the query of a join. ``needs_request`` is true for ``/rtc/v1``. Raises `BadJoin`."""
    wrapped = query.get("join_request", "")
    if wrapped:
        return _from_request(_unwrap(wrapped))
    if needs_request:
        raise BadJoin("join_request is required: send a base64url WrappedJoinRequest")
    return _from_query(query)


def _from_request(request: JoinRequest) -> Join:
    settings: ConnectionSettings = request.connection_settings
    return Join(
        single=True,
        client=request.client_info,
        auto_subscribe=settings.auto_subscribe,
        auto_subscribe_data=settings.auto_subscribe_data_track,
        adaptive_stream=settings.adaptive_stream,
        allow_pause=settings.subscriber_allow_pause,
        metadata=request.metadata,
        attributes=dict(request.participant_attributes),
        add_tracks=list(request.add_track_requests),
        offer=request.publisher_offer if request.HasField("publisher_offer") else None,
        reconnect=request.reconnect,
        sid=request.participant_sid,
    )


def _from_query(query: Mapping[str, str]) -> Join:
    client = ClientInfo(
        sdk=SDKS.get(query.get("sdk", ""), "UNKNOWN"),
        version=query.get("version", ""),
        protocol=_int(query.get("protocol", "")),
        client_protocol=_int(query.get("client_protocol", "")),
        os=query.get("os", ""),
        os_version=query.get("os_version", ""),
        device_model=query.get("device_model", ""),
        browser=query.get("browser", ""),
        browser_version=query.get("browser_version", ""),
        network=query.get("network", ""),
        other_sdks=query.get("other_sdks", ""),
        capabilities=[
            name
            for name in map(str.strip, query.get("capabilities", "").split(","))
            if name in ClientInfo.Capability.keys()  # noqa: SIM118 (an enum wrapper, no dict)
        ],
    )
    return Join(
        single=False,
        client=client,
        auto_subscribe=_flag(query.get("auto_subscribe") or "1"),
        auto_subscribe_data=_flag(query.get("auto_subscribe_data_track", "")),
        adaptive_stream=_flag(query.get("adaptive_stream", "")),
        allow_pause=_flag(query.get("subscriber_allow_pause", "")),
        attributes=_attributes(query.get("attributes", "")),
        reconnect=_flag(query.get("reconnect", "")),
        sid=query.get("sid", ""),
        publish=query.get("publish", ""),
    )


def _unwrap(text: str) -> JoinRequest:
    try:
        wrapped = WrappedJoinRequest.FromString(_base64url(text))
    except (DecodeError, binascii.Error, ValueError):
        raise BadJoin("join_request can't be read: send a base64url WrappedJoinRequest") from None
    match wrapped.compression:
        case WrappedJoinRequest.NONE:
            data = wrapped.join_request
        case WrappedJoinRequest.GZIP:
            data = _inflate(wrapped.join_request)
        case other:
            raise BadJoin(f"join_request has the unknown compression {other}: use NONE or GZIP")
    if len(data) > MAX_JOIN_REQUEST_BYTES:
        raise BadJoin(f"join_request is over {MAX_JOIN_REQUEST_BYTES} bytes")
    try:
        return JoinRequest.FromString(data)
    except DecodeError:
        raise BadJoin("join_request holds no JoinRequest") from None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(data, MAX_JOIN_REQUEST_BYTES + 1)
    except zlib.error:
        raise BadJoin("join_request is not gzip, though it says so") from None
    if len(plain) > MAX_JOIN_REQUEST_BYTES:
        raise BadJoin(f"join_request is over {MAX_JOIN_REQUEST_BYTES} bytes once inflated")
    if not inflater.eof:
        raise BadJoin("join_request is cut off: its gzip has no end")
    return plain


def _attributes(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(_base64url(text), type=dict[str, str])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise BadJoin("attributes can't be read: send a base64url JSON map of strings") from None


def _base64url(text: str) -> bytes:
    # SDKs differ in padding and alphabet; both are taken.
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _flag(text: str) -> bool:
    return text in ("1", "true")


def _int(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        return 0
    return number if 0 <= number < 2**31 else 0
