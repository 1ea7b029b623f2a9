"""A node's own cell and its view of the others: the only door to NATS."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import structlog
from nats.aio.client import Client

from fairlead.cells import key as keys
from fairlead.cells.change import AnyRecord, Change, Kind
from fairlead.cells.connection import Connection, open_bucket
from fairlead.cells.reader import Reader
from fairlead.cells.request import Asker, Handler, NoAnswer, answer
from fairlead.cells.view import Dropped, Input, Listed, Lost, Stalled, Unreachable, View
from fairlead.cells.watch import watch
from fairlead.cells.writer import Writer

EDGE_KINDS: frozenset[Kind] = frozenset({"node", "room", "participant"})
TOPOLOGY_KINDS: frozenset[Kind] = frozenset({"node", "links", "regions", "routes", "controller"})
LEAVE_TIMEOUT = 2.0
"""Seconds to take this node's records back when it stops."""
TICK = 1.0
"""Seconds between looks at leases when nothing is due sooner."""
STALL = 2.0
"""Seconds beyond which a look is so late that this process must have stood still."""

log = structlog.get_logger(__name__)


class NatsCells:
    """The state of a region, kept in its cell, and what the cells of other regions tell.

    `put` and `delete` never wait for the cell: a node that is cut off keeps serving.
    """

    def __init__(
        self, *, node: int, region: str, url: str, peers: Mapping[str, str] | None = None
    ) -> None:
        """``url`` is the own cell's, ``peers`` region to URL of the others; URLs hold secrets."""
        self._node = node
        self._region = region
        self._urls = {region: url}
        self._view = View(node)
        self._writer = Writer(node)
        self._asker = Asker()
        self._handler: Handler | None = None
        self._readers: list[Reader] = []
        self._connections: dict[str, Connection] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._synced = anyio.Event()
        self._told_at: float | None = None
        self._stalls = 0
        for peer, peer_url in (peers or {}).items():
            self.connect(peer, peer_url)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[NatsCells]:
        """Keep the connections for the length of the block; at its end take the records back."""
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._tick)
            for region, url in list(self._urls.items()):
                group.start_soon(self._follow, region, url)
            try:
                yield self
            finally:
                await self._leave()
                self._group = None
                group.cancel_scope.cancel()

    def connect(self, region: str, url: str) -> None:
        """Watch the cell of another region; at a new URL if it was watched before."""
        if region == self._region or self._urls.get(region) == url:
            return
        self._cancel(region)
        self._urls[region] = url
        if self._group is not None:
            self._group.start_soon(self._follow, region, url)

    def disconnect(self, region: str) -> None:
        """Forget another region at once."""
        if region != self._region and self._urls.pop(region, None) is not None:
            self._cancel(region)
            self._tell(Dropped(cell=region))

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node, or renew it. One that is too large is counted and left
        out: what a client can make large must not end the node."""
        self._writer.put(record)

    async def delete(self, record: AnyRecord) -> None:
        """Delete a record of this node; only its key (ids, room and sid) matters."""
        self._writer.delete(record)

    async def flushed(self) -> None:
        """Return when the own cell has every record put or deleted so far."""
        await self._writer.flushed()

    async def synced(self) -> None:
        """Return when the own cell was listed for the first time."""
        await self._synced.wait()

    def changes(self) -> AsyncGenerator[Change, None]:
        """Every node, room and participant of other nodes, then every change. One reader."""
        return self._read(EDGE_KINDS)

    def topology(self) -> AsyncGenerator[Change, None]:
        """Every other node, its links, region sets and what it says as a controller, then every
        change."""
        return self._read(TOPOLOGY_KINDS)

    def unreachable(self, nodes: frozenset[int]) -> None:
        """The nodes that no path reaches now. Such a node is gone after a lease if its cell is
        lost too, while one that the mesh reaches stands for the whole grace."""
        self._tell(Unreachable(nodes=nodes))

    def serve(self, handler: Handler) -> None:
        """Answer other nodes' questions with ``handler``; call before `running`."""
        self._handler = handler

    async def request(self, node: int, question: bytes, timeout: float = 5.0) -> bytes:
        """Ask a node, for at most ``timeout`` seconds; this node is asked without the cell. Raises
        `NoAnswer`."""
        if node == self._node:
            if self._handler is None:
                raise NoAnswer(f"node {node} answers no questions.")
            return await self._handler(question)
        cell = self._view.cell_of(node)
        if cell is None:
            raise NoAnswer(f"node {node} is not known, or gone.")
        connection = self._connections.get(cell)
        return await self._asker.ask(
            connection.client if connection else None, node, question, timeout
        )

    def counts(self) -> dict[str, int]:
        """What was counted since the start, by name."""
        connections = self._connections.values()
        return {
            **self._view.counts,
            **self._writer.counts,
            "stalls": self._stalls,
            "connections_ended": sum(connection.failures for connection in connections),
            "messages_missed": sum(connection.slow for connection in connections),
        }

    def connected(self) -> dict[str, bool]:
        """By region, whether there is a connection to its cell."""
        return {
            region: (link := self._connections.get(region)) is not None and link.client is not None
            for region in self._urls
        }

    async def _follow(self, region: str, url: str) -> None:
        connection = Connection(region, url, f"fairlead node {self._node}")
        self._connections[region] = connection
        session = self._own_session if region == self._region else self._peer_session
        with anyio.CancelScope() as scope:
            self._scopes[region] = scope

            async def run(client: Client) -> None:
                await session(region, client)

            def lost() -> None:
                if not scope.cancel_called:
                    self._tell(Lost(cell=region))

            await connection.run(run, lost)

    async def _peer_session(self, region: str, client: Client) -> None:
        _, bucket = await open_bucket(client)
        await watch(bucket, region, self._tell)

    async def _own_session(self, region: str, client: Client) -> None:
        """Watch the region's other nodes, answer questions, and write once the list is known."""
        stream, bucket = await open_bucket(client)
        own: dict[str, int] = {}
        listed = anyio.Event()

        def tell(event: Input) -> None:
            if isinstance(event, Listed):
                listed.set()
            self._tell(event)

        def revision(key: str, number: int) -> None:
            if not listed.is_set() and keys.writer_of(key) == self._node:
                own[key] = number

        async with anyio.create_task_group() as group:
            group.start_soon(watch, bucket, region, tell, revision)
            if self._handler is not None:
                group.start_soon(answer, client, self._node, self._handler)
            await listed.wait()
            self._synced.set()
            await self._writer.run(stream, bucket, own)

    def _tell(self, event: Input | None) -> None:
        now = anyio.current_time()
        idle, self._told_at = now - (self._told_at or now), now
        changes: list[Change] = []
        if idle > STALL:
            self._stalls += 1
            changes += self._view.handle(now, Stalled(seconds=idle))
        changes += self._view.handle(now, event)
        for change in changes:
            for reader in self._readers:
                reader.tell(change)

    async def _tick(self) -> None:
        while True:
            due = self._view.deadline()
            wait = TICK if due is None else due - anyio.current_time()
            await anyio.sleep(min(max(wait, 0.0), TICK))
            self._tell(None)

    def _read(self, kinds: frozenset[Kind]) -> AsyncGenerator[Change, None]:
        reader = Reader(kinds, self._view.snapshot())
        self._readers.append(reader)
        return self._drain(reader)

    async def _drain(self, reader: Reader) -> AsyncGenerator[Change, None]:
        try:
            while True:
                yield await reader.next()
        finally:
            self._readers.remove(reader)

    def _cancel(self, region: str) -> None:
        if (scope := self._scopes.pop(region, None)) is not None:
            scope.cancel()
        self._connections.pop(region, None)

    async def _leave(self) -> None:
        own = self._connections.get(self._region)
        if own is None or own.client is None:
            return
        self._writer.clear()
        with anyio.move_on_after(LEAVE_TIMEOUT, shield=True) as scope:
            await self._writer.flushed()
        if scope.cancelled_caught:
            log.debug("cell did not take this node's records back in time")
