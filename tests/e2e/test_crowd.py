"""Two hundred participants come and go in twenty rooms of two regions, and nothing stays behind."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from livekit import api

from tests.e2e.people import joined
from tests.e2e.processes import Held, held_by
from tests.e2e.rawclient import RawClient, raw_join
from tests.e2e.test_relay import nodes
from tests.e2e.test_server_api import eventually
from tests.e2e.worlds import World
from tests.media import chirp

pytestmark = pytest.mark.anyio

ROOMS = 20
A_ROOM = 10
AT_ONCE = 10
FILES_SLACK = 8
THREADS_SLACK = 4
MEMORY_SLACK = 64 << 20
TASKS_SLACK = 4
ENDING = ("participants", "transports", "tracks", "streams", "subscriptions", "client_addresses")
"""What the packet path counts of clients; nothing of it stays when they are gone."""
SETTLE_S = 60


class Before(NamedTuple):
    """What the world held before the crowd came."""

    held: Held
    tasks: dict[str, int]


async def test_a_crowd_leaves_nothing_behind(world: World) -> None:
    await _crowd(world, rooms=4)
    await _settled(world, None)
    before = await _held(world)
    await _crowd(world, rooms=ROOMS)
    await _settled(world, before)


async def _crowd(world: World, rooms: int) -> None:
    prefix = f"crowd-{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{index}" for index in range(rooms)]
    gate = asyncio.Semaphore(AT_ONCE)
    await _create(world, names)
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(_room(world, name, gate))


async def _create(world: World, names: list[str]) -> None:
    """Rooms that close soon after the last participant left."""
    async with world["jakarta"].api() as server:
        for name in names:
            await server.room.create_room(
                api.CreateRoomRequest(name=name, departure_timeout=1, empty_timeout=5)
            )


async def _room(world: World, name: str, gate: asyncio.Semaphore) -> None:
    """Fills a room from both regions, lets all see all, and empties it in two ways."""
    identities = [f"person-{index}" for index in range(A_ROOM)]
    async with AsyncExitStack() as stack:
        people: list[RawClient] = []
        for index, identity in enumerate(identities):
            edge = world["jakarta" if index % 2 else "frankfurt"]
            async with gate:
                people.append(await stack.enter_async_context(raw_join(edge, name, identity)))
        for person, identity in zip(people, identities, strict=True):
            await person.sees(set(identities) - {identity}, SETTLE_S)
        for person in people[2:]:
            await person.leaves()
        for person in people[:2]:
            await person.sees(set(identities[:2]) - {person.me}, SETTLE_S)
        for person in people[:2]:
            await person.leaves()


async def test_media_participants_leave_nothing_behind(world: World) -> None:
    await _conversations(world)
    await _settled(world, None)
    before = await _held(world)
    for _ in range(2):
        await _conversations(world)
    await _settled(world, before)


async def _conversations(world: World) -> None:
    """Three calls of two at once, between the regions, with sound and data."""
    names = [f"talk-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    await _create(world, names)
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(_conversation(world, name))


async def _conversation(world: World, name: str) -> None:
    async with (
        joined(world["jakarta"], name, "ayu") as ayu,
        joined(world["frankfurt"], name, "ben") as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        await ben.me.publish_data(b"heard", topic="note")
        await ayu.expect("data_received")


async def _held(world: World) -> Before | None:
    if world.pid is None:
        return None
    tasks = {region: node["tasks"] for region, node in (await nodes(world)).items()}
    return Before(held_by(world.pid), tasks)


async def _settled(world: World, before: Before | None) -> None:
    """Waits until no room of ours is left and the nodes hold no more than before."""
    async with world["frankfurt"].api() as server:

        async def empty() -> bool:
            rooms = (await server.room.list_rooms(api.ListRoomsRequest())).rooms
            return not [room for room in rooms if room.name.startswith(("crowd-", "talk-"))]

        await eventually(empty, "the rooms are gone", SETTLE_S)
    if before is None or world.pid is None:
        return
    pid, held, tasks = world.pid, before.held, before.tasks

    async def given_back() -> bool:
        now = held_by(pid)
        return (
            now.files <= held.files + FILES_SLACK
            and now.threads <= held.threads + THREADS_SLACK
            and now.memory <= held.memory + MEMORY_SLACK
        )

    async def nobody() -> bool:
        left = {
            region: (node["rooms"], len(node["streams"]), *map(node["counters"].get, ENDING))
            for region, node in (await nodes(world)).items()
        }
        return not any(any(one) for one in left.values())

    async def idle() -> bool:
        said = await nodes(world)
        return all(said[region]["tasks"] <= most + TASKS_SLACK for region, most in tasks.items())

    await eventually(nobody, "nothing of a client is left on a node", SETTLE_S)
    await eventually(idle, f"tasks are back to {tasks}", SETTLE_S)
    try:
        await eventually(given_back, "files, threads and memory given back", SETTLE_S)
    except AssertionError as late:
        raise AssertionError(f"before {held}, now {held_by(pid)}") from late
