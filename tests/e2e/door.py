"""A door before an edge: a TCP proxy whose connections can be cut, or left hanging as they are
when a client's network dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from tests.e2e.worlds import Edge

PIECE = 1 << 16


class Door:
    """What goes through one edge's door."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._open: set[asyncio.StreamWriter] = set()
        self._deaf: set[asyncio.StreamWriter] = set()

    def lead_to(self, edge: Edge) -> None:
        """Whoever comes from now on reaches another edge."""
        self._edge = edge

    def cut(self) -> None:
        """End every connection, both ends hear of it."""
        for writer in self._open:
            writer.transport.abort()

    def hang(self) -> None:
        """Carry nothing more on the connections that are open; neither end hears of it."""
        self._deaf |= self._open

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                if other not in self._deaf:
                    other.write(piece)
                    await other.drain()
        if other not in self._deaf:
            other.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self._edge.url)
        try:
            there, back = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back}
        self._open |= pair
        try:
            await asyncio.gather(self.carry(reader, writer, back), self.carry(there, back, writer))
        finally:
            self._open -= pair
            self._deaf -= pair
            for one in pair:
                one.transport.abort()


@asynccontextmanager
async def door_to(edge: Edge) -> AsyncIterator[tuple[Door, Edge]]:
    """A door to an edge, and the edge as it is reached through it."""
    door = Door(edge)
    server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield door, replace(edge, url=f"ws://127.0.0.1:{port}")
    finally:
        server.close()
        door.cut()
