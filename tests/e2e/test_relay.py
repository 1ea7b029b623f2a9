"""Where a call's packets go: over the relay where there is no other way, once per edge."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Ends
from tests.e2e.people import joined
from tests.e2e.test_server_api import eventually
from tests.e2e.worlds import World
from tests.media import chirp

pytestmark = pytest.mark.anyio

LISTENERS = 4
ENOUGH = 200


async def nodes(world: World) -> dict[str, Any]:
    """What each node of the world says of itself, by region."""
    if world.admin is None:
        pytest.skip("the servers named by the environment tell nothing of themselves")
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{world.admin}/nodes")
    return dict(answer.json())


async def counter(world: World, region: str, name: str) -> int:
    """One counter of one node."""
    return int((await nodes(world))[region]["counters"][name])


async def fresh(world: World, region: str, name: str) -> int:
    """One counter as told after now: a node tells its counters only about once a second."""
    asked = float((await nodes(world))[region]["uptime_s"])
    node: dict[str, Any] = {}

    async def told() -> bool:
        nonlocal node
        node = (await nodes(world))[region]
        return float(node["counted_s"]) > asked

    await eventually(told, f"{region} tells its counters")
    return int(node["counters"][name])


async def risen(world: World, region: str, name: str, wanted: int) -> int:
    """The counter once it is that high."""
    now = 0

    async def there() -> bool:
        nonlocal now
        now = await counter(world, region, name)
        return now >= wanted

    await eventually(there, f"{name} of {region} is {wanted}")
    return now


async def test_the_relay_carries_the_call(relay_world: World, room: str) -> None:
    ends = Ends(relay_world["jakarta"], relay_world["frankfurt"], relay_world)
    before = await counter(relay_world, "singapore", "mesh_relayed")
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        await risen(relay_world, "singapore", "mesh_relayed", before + ENOUGH)


async def test_one_copy_crosses_however_many_listen(world: World, ends: Ends, room: str) -> None:
    async with AsyncExitStack() as stack:
        ayu = await stack.enter_async_context(joined(ends.near, room, "ayu"))
        listeners = [
            await stack.enter_async_context(joined(ends.far, room, f"ear-{index}"))
            for index in range(LISTENERS)
        ]
        await ayu.say(chirp.JAKARTA)
        tracks = [await ear.track_of("ayu") for ear in listeners]
        await asyncio.gather(
            *(ear.hear(track, chirp.JAKARTA) for ear, track in zip(listeners, tracks, strict=True))
        )
        crossed = await counter(world, "jakarta", "mesh_media_sent")
        sent = await counter(world, "frankfurt", "io_udp_sent")
        crossed = await risen(world, "jakarta", "mesh_media_sent", crossed + ENOUGH) - crossed
        sent = await counter(world, "frankfurt", "io_udp_sent") - sent
        # The two nodes count at slightly different times: half of the copies is proof enough.
        assert sent >= LISTENERS / 2 * crossed, f"{crossed} crossed, {sent} went to listeners"
