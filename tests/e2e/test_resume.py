"""A client whose websocket is lost comes back to its session: nobody else hears of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from tests.e2e.conftest import Ends
from tests.e2e.door import door_to
from tests.e2e.people import Person, joined
from tests.e2e.test_data import packets
from tests.e2e.worlds import World
from tests.media import chirp

pytestmark = pytest.mark.anyio

SETTLED_S = 1.0
TOGETHER = {"participant_connected", "participant_disconnected", "track_unpublished"}
APART = TOGETHER | {"track_unsubscribed", "disconnected", "reconnecting"}


def names(person: Person, since: int) -> set[str]:
    """Events that a person saw since then."""
    return {name for name, _ in person.log[since:]}


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_a_lost_websocket_is_nobodys_business(ends: Ends, room: str, dual: bool) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu", dual=dual) as ayu,
        joined(ends.far, room, "ben", dual=dual) as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        to_ayu, to_ben = await ayu.track_of("ben"), await ben.track_of("ayu")
        await ben.hear(to_ben, chirp.JAKARTA)
        await asyncio.sleep(SETTLED_S)
        sid, mine, bens = ayu.me.sid, len(ayu.log), len(ben.log)
        for _ in range(2):
            since = len(ayu.log)
            door.cut()
            await ayu.expect("reconnecting", since=since)
            await ben.me.publish_data(b"while you were away", topic="ship")
            await ayu.me.publish_data(b"here", topic="ship")
            await ayu.expect("reconnected", since=since)
        assert ayu.me.sid == sid
        await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear(to_ayu, chirp.FRANKFURT))
        await ben.me.publish_data(b"end", topic="ship")
        await ayu.me.publish_data(b"end", topic="ship")
        await ayu.until(lambda: b"end" in packets(ayu, "ship"), "the last message")
        await ben.until(lambda: b"end" in packets(ben, "ship"), "the last message")
        assert packets(ayu, "ship") == [*[b"while you were away"] * 2, b"end"]
        assert packets(ben, "ship") == [*[b"here"] * 2, b"end"]
        assert not names(ayu, mine) & (APART - {"reconnecting"})
        assert not names(ben, bens) & APART


async def test_a_drained_node_sends_its_people_to_another(world: World, room: str) -> None:
    near, far = world["jakarta"], world["frankfurt"]
    if world.admin is None:
        pytest.skip("the servers named by the environment can't be drained from here")
    async with (
        door_to(near) as (door, through),
        joined(through, room, "ayu") as ayu,
        joined(far, room, "ben") as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        since = len(ben.log)
        door.lead_to(far)
        try:
            assert await drain(world) == {"draining": True, "moved": 1, "left": 0}
            assert await drain(world) == {"draining": True, "moved": 1, "left": 0}
            await ben.expect(
                "participant_connected", lambda who: who.identity == "ayu", since=since
            )
            await ben.hear(await ben.track_of("ayu", since=since), chirp.JAKARTA)
        finally:
            undone = await drain(world, "--undo")
        assert not undone["draining"]
        async with joined(near, room, "cas"):
            await ben.sees("cas")


async def drain(world: World, *options: str) -> dict[str, object]:
    """What `fairlead node drain jakarta` says."""
    command = [sys.executable, "-m", "fairlead.cli", "node", "drain", "jakarta", "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, *options, "--admin", str(world.admin)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer
