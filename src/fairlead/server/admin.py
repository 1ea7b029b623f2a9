"""The node's admin endpoints: its state, the weather of its emulated links, and draining it.

They answer only to loopback, only with the token of the configuration; without one they are absent.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from fairlead.server.config import EmulationSection, check_emulation, is_loopback
from fairlead.server.state import DrainState, NodeState
from fairlead.server.toml import ConfigError

MAX_BODY_BYTES = 16 * 1024
MAX_DRAIN_RATE = 10_000.0

T = TypeVar("T")


class DrainWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Empty the node, or take new sessions again."""

    on: bool = True
    rate: float = 20.0
    """Sessions a second."""


Handler = Callable[[Request], Awaitable[Response]]


def admin_routes(
    token: str,
    state: Callable[[], NodeState],
    emulate: Callable[[EmulationSection], None],
    drain: Callable[[float | None], DrainState],
) -> list[BaseRoute]:
    """`GET /admin/state`, `POST /admin/link` and `POST /admin/drain`; nothing without a token."""
    if not token:
        return []

    async def show(request: Request) -> Response:
        return _answer(state())

    async def link(request: Request) -> Response:
        wish = await _read(request, EmulationSection)
        check_emulation(wish)
        emulate(wish)
        return _answer(wish)

    async def empty(request: Request) -> Response:
        wish = await _read(request, DrainWish)
        if not 0 < wish.rate <= MAX_DRAIN_RATE:
            raise ConfigError(
                f"rate is {wish.rate}: it must be over 0 and at most {MAX_DRAIN_RATE:.0f}"
            )
        return _answer(drain(wish.rate if wish.on else None))

    routes = [
        Route("/state", guarded(token, show)),
        Route("/link", guarded(token, _plainly(link)), methods=["POST"]),
        Route("/drain", guarded(token, _plainly(empty)), methods=["POST"]),
    ]
    return [Mount("/admin", routes=routes)]


def guarded(token: str, handler: Handler) -> Handler:
    """The handler for this machine alone, and with the token if there is one."""
    expected = f"Bearer {token}".encode()

    async def guard(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if request.client is None or not is_loopback(request.client.host):
            return _answer({"error": "this is answered to this machine alone"}, 403)
        if token and not hmac.compare_digest(given, expected):
            return _answer({"error": "the admin token is missing or wrong"}, 401)
        return await handler(request)

    return guard


class _TooLong(Exception):
    pass


async def _read(request: Request, shape: type[T]) -> T:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _TooLong
    return msgspec.json.decode(body, type=shape)


def _plainly(handler: Handler) -> Handler:
    """The handler with what is wrong with its body told in one sentence."""

    async def plain(request: Request) -> Response:
        try:
            return await handler(request)
        except _TooLong:
            return _answer({"error": f"the body is over {MAX_BODY_BYTES} bytes"}, 413)
        except (msgspec.DecodeError, ConfigError) as error:
            return _answer({"error": str(error)}, 400)

    return plain


def _answer(body: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body), status, {"cache-control": "no-store"}, "application/json"
    )
