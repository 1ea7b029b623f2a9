"""The node's admin endpoints: its state, and the weather of its emulated links.

They answer only to loopback, only with the token of the configuration; without one they are absent.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from fairlead.server.config import EmulationSection, check_emulation, is_loopback
from fairlead.server.state import NodeState
from fairlead.server.toml import ConfigError

MAX_BODY_BYTES = 16 * 1024


Handler = Callable[[Request], Awaitable[Response]]


def admin_routes(
    token: str,
    state: Callable[[], NodeState],
    emulate: Callable[[EmulationSection], None],
) -> list[BaseRoute]:
    """`GET /admin/state` and `POST /admin/link`; nothing without a token."""
    if not token:
        return []

    async def show(request: Request) -> Response:
        return _answer(state())

    async def link(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return _answer({"error": f"the body is over {MAX_BODY_BYTES} bytes"}, 413)
        try:
            wish = msgspec.json.decode(body, type=EmulationSection)
            check_emulation(wish)
        except (msgspec.DecodeError, ConfigError) as error:
            return _answer({"error": str(error)}, 400)
        emulate(wish)
        return _answer(wish)

    routes = [
        Route("/state", guarded(token, show)),
        Route("/link", guarded(token, link), methods=["POST"]),
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


def _answer(body: object, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body), status, {"cache-control": "no-store"}, "application/json"
    )
