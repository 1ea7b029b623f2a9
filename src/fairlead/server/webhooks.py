"""Tells the operator's web servers what happens in rooms, as LiveKit's webhooks do.

The body is a livekit.WebhookEvent in JSON; the Authorization header is a token of the API key over
the body's hash, with no ``Bearer`` before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
import httpx
import structlog
from google.protobuf import json_format
from livekit.protocol.webhook import WebhookEvent

from fairlead.policy import tokens
from fairlead.telemetry.deliveries import Deliveries, Message, Post, Posted

ANSWER_TIMEOUT = 5.0
"""Seconds that a server may take to answer."""
CONTENT_TYPE = "application/webhook+json"
FAREWELL_TIMEOUT = 2.0
"""Seconds that the last messages have to get out as the node ends."""

log = structlog.get_logger(__name__)


class Webhooks:
    """Posts every event to each URL."""

    def __init__(
        self,
        urls: list[str],
        api_key: str,
        secret: str,
        clock: Callable[[], float],
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._urls = urls
        self._api_key = api_key
        self._secret = secret
        self._clock = clock
        self._client = client or httpx.AsyncClient(timeout=ANSWER_TIMEOUT)
        self.deliveries = Deliveries()
        self._posts: list[Post] = []
        self._under_way = 0
        self._wake = anyio.Event()
        self._quiet = anyio.Event()
        self._quiet.set()

    def announce(self, event: WebhookEvent) -> None:
        """Queue an event for every URL."""
        body = json_format.MessageToJson(event, indent=None).encode()
        about = event.room.sid or event.room.name
        for url in self._urls:
            self._handle(Message(url=url, about=about, body=body))

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with self._client, anyio.create_task_group() as tasks:
            while True:
                self._wake = anyio.Event()
                posts, self._posts = self._posts, []
                for post in posts:
                    tasks.start_soon(self._post, post)
                due = self.deliveries.deadline()
                if not self._under_way and due is None:
                    self._quiet.set()
                with anyio.move_on_after(math.inf if due is None else due - self._clock()) as late:
                    await self._wake.wait()
                if late.cancelled_caught:
                    self._handle(None)

    async def stop(self) -> None:
        """Give what waits a moment to get out. Call it while `run` runs."""
        with anyio.move_on_after(FAREWELL_TIMEOUT):
            await self._quiet.wait()

    def _handle(self, event: Message | Posted | None) -> None:
        posts = self.deliveries.handle(self._clock(), event)
        self._posts += posts
        self._under_way += len(posts)
        if isinstance(event, Message) and self._quiet.is_set():
            self._quiet = anyio.Event()
        self._wake.set()

    async def _post(self, post: Post) -> None:
        taken, again, why = False, True, ""
        headers = {
            "Authorization": tokens.sign_body(
                self._api_key, self._secret, post.body, self._clock()
            ),
            "Content-Type": CONTENT_TYPE,
        }
        try:
            answer = await self._client.post(post.url, content=post.body, headers=headers)
            taken = answer.is_success
            again = answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
            why = str(answer.status_code)
        except httpx.HTTPError as error:
            why = type(error).__name__
        if not taken:
            # The URL may hold a secret: its host alone is said.
            log.warning("a webhook was not taken", host=urlsplit(post.url).hostname, reason=why)
        self._under_way -= 1
        self._handle(Posted(post=post, taken=taken, again=again))
