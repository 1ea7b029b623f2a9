"""A person of the Python SDK counts aloud across a world while another writes it down."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.world import RunningWorld
from tests.e2e.counting import Ear, count_aloud, listening
from tests.e2e.people import joined
from tests.e2e.worlds import Edge


@asynccontextmanager
async def counted_call(
    world: RunningWorld, program: str, speaker: str, listener: str
) -> AsyncIterator[Ear]:
    """A call between two regions in a room of its own, named after the program that makes it."""
    room = f"{program}-{os.getpid()}-{speaker}-{listener}"
    ends = [
        Edge(server.name, server.url, server.key, server.secret)
        for server in (world.server(speaker), world.server(listener))
    ]
    async with joined(ends[0], room, "speaker") as one, joined(ends[1], room, "listener") as other:
        await count_aloud(one)
        async with listening(await other.track_of("speaker")) as ear:
            yield ear
