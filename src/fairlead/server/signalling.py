"""Signalling over HTTP: the paths at which LiveKit clients join, as starlette routes."""

from __future__ import annotations

from typing import Any

import uvicorn
import websockets.http11
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fairlead.policy.grants import Denied, Grants
from fairlead.protocol import useragent
from fairlead.protocol.join import BadJoin, Join
from fairlead.protocol.signal import MAX_FRAME_BYTES
from fairlead.server.edge import Edge

MAX_REQUEST_LINE = 128 * 1024
"""Bytes: a join request stands in the request line, with offers in it."""
PREFLIGHT_AGE = 86_400
"""Seconds a browser may remember that it is welcome."""

METHODS = ("OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE")


def routes(edge: Edge) -> list[BaseRoute]:
    """Every path of signalling; the last takes any other websocket and answers 404, so these
    come last in an application. What is no websocket at ``/rtc`` finds no route: 404 too."""

    async def hello(request: Request) -> Response:
        return PlainTextResponse("OK")

    async def validate(request: Request) -> Response:
        admitted = _admit(edge, request, request.url.path.endswith("/v1/validate"))
        return admitted if isinstance(admitted, Response) else PlainTextResponse("success")

    async def serve(websocket: WebSocket) -> None:
        admitted = _admit(edge, websocket, websocket.url.path.endswith("/v1"))
        if isinstance(admitted, Response):
            await websocket.send_denial_response(admitted)
            return
        await websocket.accept()
        await edge.serve(websocket, *admitted)

    async def nothing(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no such path", 404))

    return [
        Route("/", hello, methods=["GET", "HEAD"]),
        Route("/rtc/validate", validate, methods=["GET"]),
        Route("/rtc/v1/validate", validate, methods=["GET"]),
        WebSocketRoute("/rtc", serve),
        WebSocketRoute("/rtc/v1", serve),
        WebSocketRoute("/{path:path}", nothing),
    ]


def middleware() -> list[Middleware]:
    """What an application with these routes needs around it."""
    return [
        Middleware(SingleSlashes),
        Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=PREFLIGHT_AGE,
        ),
    ]


def bearer(connection: HTTPConnection) -> str:
    """The token of a request: in its Authorization header, or its query as browsers send it."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return connection.query_params.get("access_token", "")


def server_config(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """How uvicorn must run signalling: long request lines, bounded frames, and no log of
    addresses and queries (they hold tokens). ``options`` are uvicorn's."""
    websockets.http11.MAX_LINE_LENGTH = MAX_REQUEST_LINE
    settings: dict[str, Any] = {
        "http": "h11",
        "h11_max_incomplete_event_size": MAX_REQUEST_LINE,
        "ws": SignalProtocol,
        "ws_max_size": MAX_FRAME_BYTES,
        "access_log": False,
        "log_config": None,
        "log_level": "warning",
        "lifespan": "off",
        "server_header": False,
    }
    return uvicorn.Config(app, **(settings | options))


class SignalProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own, which also lets the application drop a connection at once: closing waits
    for what is unsent, and a client that does not read never takes it."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["fairlead.abort"] = self.transport.abort

    async def send(self, message: Any) -> None:
        await super().send(message)
        body = message["type"] == "websocket.http.response.body"
        if body and not message.get("more_body", False):
            # A refused client was answered; uvicorn would log it as a failure of ours.
            self.handshake_complete = True


class SingleSlashes:
    """Takes ``//rtc`` for ``/rtc``: clients join a URL that ends in a slash with a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope["path"].startswith("//"):
            scope = {**scope, "path": "/" + scope["path"].lstrip("/")}
        await self._app(scope, receive, send)


def _admit(
    edge: Edge, connection: HTTPConnection, needs_request: bool
) -> tuple[Grants, Join] | Response:
    """The same verdict for a websocket and for its ``/validate``."""
    try:
        grants, join = edge.admit(bearer(connection), connection.query_params, needs_request)
        useragent.complete(join.client, connection.headers.get("user-agent", ""))
        return grants, join
    except Denied as error:
        return PlainTextResponse(str(error), error.status)
    except BadJoin as error:
        return PlainTextResponse(str(error), 400)
