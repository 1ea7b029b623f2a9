"""What the world's two small web servers share: JSON answers, plain errors, a loopback socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

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
        except httpx.HTTPError:
            return refuse(503, "a node of this world did not answer: see its log, or `link list`")

    return handle


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Starlette, port: int) -> AsyncIterator[int]:
    """Serve ``app`` on loopback at ``port`` (0: any) while the block runs; yields the port.

    Raises OSError if the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                await server.serve([listener])

            tasks.start_soon(serve)
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
