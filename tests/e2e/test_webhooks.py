"""Webhooks from a node's configuration to a server that checks them as LiveKit's users do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol.webhook import WebhookEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.e2e.people import joined, until
from tests.e2e.worlds import named_world, started_node
from tests.media import chirp

pytestmark = pytest.mark.anyio

EXPECTED = [
    "room_started",
    "participant_joined",
    "track_published",
    "track_unpublished",
    "participant_left",
    "room_finished",
]


@asynccontextmanager
async def receiving(events: list[WebhookEvent]) -> AsyncIterator[str]:
    """A server that keeps every event that LiveKit's own receiver takes; its URL. It is busy at
    the first request."""
    own = WebhookReceiver(TokenVerifier("devkey", "secret"))
    requests = 0

    async def take(request: Request) -> Response:
        nonlocal requests
        requests += 1
        body = (await request.body()).decode()
        if requests == 1:
            return Response(status_code=503)
        events.append(own.receive(body, request.headers["authorization"]))
        return Response()

    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the receiver listens")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
    finally:
        server.should_exit = True
        await serving


async def test_a_call_is_told_in_order(room: str, tmp_path: Path) -> None:
    if named_world():
        pytest.skip("the servers named by the environment have webhooks of their own")
    events: list[WebhookEvent] = []
    config = tmp_path / "fairlead.toml"
    async with receiving(events) as url:
        config.write_text(
            f"[node]\nport = 0\n[room]\ndeparture_timeout_s = 1\n"
            f'[webhook]\napi_key = "devkey"\nurls = ["{url}"]\n'
        )
        with started_node(config) as edge:
            async with joined(edge, room, "ayu") as ayu:
                await ayu.say(chirp.JAKARTA)
                await ayu.until(lambda: len(events) >= 3, "the track is told of")
            await until(lambda: len(events) >= len(EXPECTED), "the room is finished")
    assert [event.event for event in events] == EXPECTED
    assert {event.room.name for event in events} == {room}
    assert {event.participant.identity for event in events[1:5]} == {"ayu"}
