"""What the world's two small web servers share: JSON answers, plain errors, a loopback port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from fairlead.lab.world import WorldFailed
from fairlead.server import http
from fairlead.server.toml import ConfigError

T = TypeVar("T")
MAX_BODY_BYTES = 64 * 1024
Handler = Callable[[Request], Awaitable[Response]]


def answer(body: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(
        msgspec.json.encode(body),
        status,
        {"cache-control": "no-store"},
        "application/json",
    )


def refuse(status: int, sentence: str) -> Response:
    """An error."""
    return answer({"error": sentence}, status)


async def read_body(request: Request, shape: type[T]) -> T:
    """The JSON body as a struct. Raises `ConfigError`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ConfigError(f"the body is over {MAX_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the body can't be read: {error}") from None


def plainly(handler: Handler) -> Handler:
    """The handler, with bad wishes told as 400 and a node that does not answer as 503."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except ConfigError as error:
            return refuse(400, str(error))
        except WorldFailed as error:
            return refuse(503, str(error))
        except httpx.HTTPError:
            return refuse(503, "a node of this world did not answer: see its log, or `link list`")

    return handle


@asynccontextmanager
async def serving(app: Starlette, port: int) -> AsyncIterator[int]:
    """Serve ``app`` on loopback at ``port`` while the block runs; yields the port.

    Raises OSError if the port is taken.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    with http.listen("127.0.0.1", port) as listener:
        async with http.serving(config, listener):
            yield listener.getsockname()[1]
