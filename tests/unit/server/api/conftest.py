"""The API on a real HTTP server, over a network of edges that only remember what was asked."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette

from fairlead.cells.change import RecordPut
from fairlead.protocol.operation import AnyOperation, Done, Reply
from fairlead.server.api.app import Api
from fairlead.server.api.directory import Directory
from fairlead.server.api.room_service import RoomService
from tests.unit.server.api import network

KEYS = {"key": "a secret that is long enough for HS256"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeEdges:
    """Answers operations with what a test put into ``replies``, and remembers them."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, AnyOperation]] = []
        self.replies: dict[int, Reply] = {}

    async def operate(self, node: int, operation: AnyOperation) -> Reply:
        self.asked.append((node, operation))
        return self.replies.get(node, Done(payload=b""))


class Served:
    """The API's address and what stands behind it."""

    def __init__(self) -> None:
        self.edges = FakeEdges()
        self.directory = Directory()
        for record in network.RECORDS:
            self.directory.apply(RecordPut(record=record))
        service = RoomService(
            network.HERE, self.directory, self.edges, network.REGIONS[network.HERE], network.RULES
        )
        self.api = Api(KEYS, service, time.time)
        self.url = ""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    out = Served()
    config = uvicorn.Config(
        Starlette(routes=out.api.routes()), port=0, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve)
        while not server.started:
            await anyio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        out.url = f"http://127.0.0.1:{port}"
        yield out
        server.should_exit = True
