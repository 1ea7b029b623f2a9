"""A client of one cell: connected again for ever, one session after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue

BUCKET = "fairlead"
CONNECT_TIMEOUT = 3
"""Seconds until a connection must stand."""
REQUEST_TIMEOUT = 3.0
"""Seconds until the cell must have acknowledged a write or a question of ours."""
CLOSE_TIMEOUT = 1.0
PING_INTERVAL = 2
"""Seconds; the second ping without an answer ends the connection."""
BACK_OFF, BACK_OFF_MAX = 0.1, 1.0
"""Seconds between attempts, doubling: a cell that is back is found within about a second."""
MARKER_TTL = 60
"""Seconds that the cell keeps the mark of a deleted or expired key."""

FAULTS = (nats.errors.Error, OSError, TimeoutError, EOFError, ValueError)
"""What a cell that is away, restarting or not ours may raise through the client."""

log = structlog.get_logger(__name__)


class Connection:
    """Keeps one connection to a cell. ``client`` is None while there is none."""

    def __init__(self, cell: str, url: str, name: str) -> None:
        """``cell`` is the region, ``name`` what the server's operator sees of us."""
        self.cell = cell
        self.client: Client | None = None
        self.slow = 0
        """Messages that the client dropped because we read too slowly."""
        self.failures = 0
        self._url = url
        self._name = name

    async def run(
        self, session: Callable[[Client], Coroutine[Any, Any, None]], lost: Callable[[], None]
    ) -> None:
        """Connect, run a session until it or the connection ends, call ``lost``; again and
        again."""
        delay = BACK_OFF
        while True:
            started = anyio.current_time()
            try:
                async with self._open() as (client, closed), anyio.create_task_group() as group:
                    self.client = client
                    group.start_soon(session, client)
                    await closed.wait()
                    group.cancel_scope.cancel()
            except* FAULTS as faults:
                self.failures += 1
                # Only the kind: the text may hold an address.
                kinds = ", ".join(sorted({type(fault).__name__ for fault in _leaves(faults)}))
                log.debug("cell session ended", cell=self.cell, fault=kinds)
            except* Exception:
                # Whoever's fault it is, a cell must not end the node: the next session may do.
                self.failures += 1
                log.exception("a cell session failed", cell=self.cell)
            finally:
                self.client = None
                lost()
            if anyio.current_time() - started > BACK_OFF_MAX:
                delay = BACK_OFF
            await anyio.sleep(delay)
            delay = min(delay * 2, BACK_OFF_MAX)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[Client, anyio.Event]]:
        client = Client()
        closed = anyio.Event()

        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            if isinstance(error, nats.errors.SlowConsumerError):
                self.slow += 1

        # No reconnection of the library's: a new session lists everything anew. Its own waits
        # between first attempts go too, since `run` has the back-off.
        try:
            await client.connect(
                servers=[self._url],
                name=self._name,
                allow_reconnect=False,
                reconnect_time_wait=0,
                max_reconnect_attempts=1,
                connect_timeout=CONNECT_TIMEOUT,
                ping_interval=PING_INTERVAL,
                max_outstanding_pings=2,
                closed_cb=on_closed,
                error_cb=on_error,
            )
            yield client, closed
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True), suppress(*FAULTS):
                await client.close()


async def open_bucket(client: Client) -> tuple[JetStreamContext, KeyValue]:
    """The cell's bucket, made if it isn't there.

    In memory: the truth is at the edges, which write it again into an empty cell.
    """
    stream = client.jetstream(timeout=REQUEST_TIMEOUT)
    try:
        bucket = await stream.create_key_value(
            api.KeyValueConfig(
                bucket=BUCKET,
                description="Fairlead: who is where in this region",
                history=1,
                storage=api.StorageType.MEMORY,
                direct=True,
                limit_marker_ttl=MARKER_TTL,
            )
        )
    except BadRequestError:
        # It stands with settings of the operator's own (replicas, storage).
        bucket = await stream.key_value(BUCKET)
    return stream, bucket


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    out: list[BaseException] = []
    for fault in group.exceptions:
        out += _leaves(fault) if isinstance(fault, BaseExceptionGroup) else [fault]
    return out
