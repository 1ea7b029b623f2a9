"""Webhooks over HTTP: signed as LiveKit's own receiver wants it, tried again, and let go."""

from __future__ import annotations

import time

import anyio
import httpx
import pytest
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.webhook import WebhookEvent

from fairlead.server.webhooks import Webhooks

pytestmark = pytest.mark.anyio

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Receiver:
    """A server that takes what it is told to, and remembers what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.requests: list[httpx.Request] = []
        self.done = anyio.Event()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status = self._statuses.pop(0)
        if not self._statuses:
            self.done.set()
        if status == 0:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(status)


async def deliver(receiver: Receiver, *events: WebhookEvent) -> Webhooks:
    client = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
    hooks = Webhooks(["http://hooks.example/a?key=1"], "key", SECRET, time.time, client)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hooks.run)
        for event in events:
            hooks.announce(event)
        with anyio.fail_after(20):
            await receiver.done.wait()
            await hooks.stop()
        tasks.cancel_scope.cancel()
    return hooks


def event(what: str) -> WebhookEvent:
    return WebhookEvent(
        event=what,
        id="EV_1",
        created_at=int(time.time()),
        room=Room(sid="RM_1", name="lobby"),
        participant=ParticipantInfo(identity="zoë"),
    )


async def test_livekits_own_receiver_takes_it() -> None:
    receiver = Receiver(200)
    hooks = await deliver(receiver, event("participant_joined"))
    (request,) = receiver.requests
    assert request.headers["content-type"] == "application/webhook+json"
    token = request.headers["authorization"]
    own = WebhookReceiver(TokenVerifier("key", SECRET))
    said = own.receive(request.content.decode(), token)
    assert said == event("participant_joined") or said.participant.identity == "zoë"
    with pytest.raises(Exception, match="hash mismatch"):
        own.receive(request.content.decode() + " ", token)
    assert hooks.deliveries.delivered == 1


async def test_a_failure_is_tried_again_in_order_and_a_refusal_is_not() -> None:
    receiver = Receiver(503, 0, 200, 400, 204)
    hooks = await deliver(receiver, *(event(what) for what in ("room_started", "x", "y")))
    bodies = [request.content for request in receiver.requests]
    assert bodies[0] == bodies[1] == bodies[2]
    assert [b'"x"' in body for body in bodies] == [False, False, False, True, False]
    assert (hooks.deliveries.delivered, hooks.deliveries.given_up) == (2, 1)
