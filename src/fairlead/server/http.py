"""A web server that is one task of its process: it leaves signals and the end to its owner."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import uvicorn

BACKLOG = 1024
"""Connections that may wait to be accepted."""


class Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(address: str, port: int) -> socket.socket:
    """A listening TCP socket; ``port`` 0 takes any. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving(config: uvicorn.Config, *listeners: socket.socket) -> AsyncIterator[None]:
    """Serve on ``listeners`` while the block runs; returns when the last connection has ended or
    the configured grace is over."""
    server = Server(config)
    async with anyio.create_task_group() as tasks:

        async def serve() -> None:
            await server.serve(list(listeners))

        tasks.start_soon(serve)
        try:
            yield
        finally:
            server.should_exit = True
