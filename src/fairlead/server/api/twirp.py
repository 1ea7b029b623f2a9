"""Twirp's words: errors with their HTTP statuses, messages as protobuf or JSON (protojson).

Twirp v7 (https://twitchtv.github.io/twirp/docs/spec_v7.html).
"""

from __future__ import annotations

import json
from typing import Literal, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from starlette.requests import Request
from starlette.responses import Response

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a request."""

STATUS = {
    "canceled": 408,
    "unknown": 500,
    "invalid_argument": 400,
    "malformed": 400,
    "deadline_exceeded": 408,
    "not_found": 404,
    "bad_route": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "failed_precondition": 412,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "dataloss": 500,
}

Format = Literal["application/protobuf", "application/json"]
M = TypeVar("M", bound=Message)


class TwirpError(Exception):
    """A request that is answered with an error: a code of `STATUS` and one plain sentence."""

    def __init__(self, code: str, message: str, **meta: str) -> None:
        super().__init__(message)
        self.code = code
        self.meta = meta

    def response(self) -> Response:
        """The error as Twirp writes it, always JSON."""
        body: dict[str, object] = {"code": self.code, "msg": str(self)}
        if self.meta:
            body["meta"] = self.meta
        return Response(
            json.dumps(body), status_code=STATUS[self.code], media_type="application/json"
        )


def format_of(request: Request) -> Format:
    """How the request is written, and its answer. Raises `TwirpError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    match kind:
        case "application/protobuf" | "application/json":
            return kind
    raise bad_route(
        request, f"the Content-Type is {kind!r}: use application/protobuf or application/json"
    )


def bad_route(request: Request, message: str) -> TwirpError:
    """The error for a request that no method answers."""
    return TwirpError(
        "bad_route", message, twirp_invalid_route=f"{request.method} {request.url.path}"
    )


async def read_body(request: Request) -> bytes:
    """The body, read no further than `MAX_BODY`. Raises `TwirpError`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise TwirpError("invalid_argument", f"the body is over {MAX_BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse(kind: type[M], body: bytes, written: Format) -> M:
    """A request message. Unknown fields are left out. Raises `TwirpError`."""
    message = kind()
    try:
        if written == "application/protobuf":
            message.ParseFromString(body)
        else:
            fields = json.loads(body or b"{}")
            if not isinstance(fields, dict):
                raise ValueError("not an object")
            json_format.ParseDict(fields, message, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as wrong:
        name = kind.DESCRIPTOR.full_name
        raise TwirpError("malformed", f"the body is no {name} in {written}") from wrong
    return message


def answer(message: Message, written: Format) -> Response:
    """A response message."""
    if written == "application/protobuf":
        return Response(message.SerializeToString(), media_type=written)
    # As LiveKit's own server writes it: proto names, defaults included.
    text = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=None,
    )
    return Response(text, media_type=written)
