"""Signal frames: one SignalRequest or SignalResponse in each websocket frame."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from livekit.protocol.rtc import SignalRequest, SignalResponse

MAX_FRAME_BYTES = 2 * 1024 * 1024
MAX_JSON_DEPTH = 32
"""No message nests deeper than a handful of levels."""


class BadFrame(Exception):
    """A frame that can't be read; the message is one sentence."""


class FrameCodec:
    """One connection's encoding: binary until the client sends text, JSON both ways after."""

    def __init__(self) -> None:
        self.json = False

    def read(self, frame: bytes | str) -> SignalRequest:
        """One request; an unknown message is an empty one. Raises `BadFrame`."""
        if isinstance(frame, str):
            return self._read_text(frame)
        if len(frame) > MAX_FRAME_BYTES:
            raise BadFrame(f"the frame is over {MAX_FRAME_BYTES} bytes")
        try:
            return SignalRequest.FromString(frame)
        except DecodeError:
            raise BadFrame("the frame holds no SignalRequest") from None

    def write(self, response: SignalResponse) -> bytes | str:
        """One frame in the encoding that the client chose."""
        if self.json:
            return json_format.MessageToJson(response, indent=None)
        return response.SerializeToString()

    def _read_text(self, frame: str) -> SignalRequest:
        self.json = True
        if len(frame) > MAX_FRAME_BYTES:
            raise BadFrame(f"the frame is over {MAX_FRAME_BYTES} bytes")
        try:
            return json_format.Parse(
                frame,
                SignalRequest(),
                ignore_unknown_fields=True,
                max_recursion_depth=MAX_JSON_DEPTH,
            )
        except (json_format.ParseError, RecursionError, ValueError):
            raise BadFrame("the frame holds no SignalRequest in JSON") from None
