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
from tests.e2e.worlds import World, started_world
from tests.media import chirp

pytestmark = pytest.mark.anyio

SETTLED_S = 1.0
TOGETHER = {"participant_connected", "participant_disconnected", "track_unpublished"}
APART = TOGETHER | {"track_unsubscribed", "disconnected", "reconnecting"}


def names(person: Person, since: int) -> set[str]:
    """Events that a person saw since then."""
    return {name for name, _ in person.log[since:]}


def resumed(person: Person, since: int) -> bool:
    """Whether the SDK said that it came back since then, and nothing of a new beginning."""
    comings = [name for name, _ in person.log[since:] if name in ("reconnecting", "reconnected")]
    return comings == ["reconnecting", "reconnected"] and not names(person, since) & (
        APART - {"reconnecting"}
    )


async def exchange_the_last(one: Person, other: Person) -> None:
    """Both say a last thing, and hear the other's."""
    for person in (one, other):
        await person.me.publish_data(b"end", topic="ship")
    for person in (one, other):
        await person.until(lambda who=person: b"end" in packets(who, "ship"), "the last message")


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
        await exchange_the_last(ayu, ben)
        assert packets(ayu, "ship") == [*[b"while you were away"] * 2, b"end"]
        assert packets(ben, "ship") == [*[b"here"] * 2, b"end"]
        assert not names(ayu, mine) & (APART - {"reconnecting"})
        assert not names(ben, bens) & APART


async def test_a_session_goes_on_at_another_edge(ends: Ends, room: str) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        to_ayu, to_ben = await ayu.track_of("ben"), await ben.track_of("ayu")
        await ben.hear(to_ben, chirp.JAKARTA)
        sid, mine, bens = ayu.me.sid, len(ayu.log), len(ben.log)
        door.lead_to(ends.far)
        door.cut()
        await ayu.expect("reconnecting", since=mine)
        await ben.me.publish_data(b"while you were away", topic="ship")
        await ayu.me.publish_data(b"here", topic="ship")
        await ayu.expect("reconnected", since=mine)
        await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear(to_ayu, chirp.FRANKFURT))
        await exchange_the_last(ayu, ben)
        assert ayu.me.sid == sid
        assert packets(ayu, "ship") == [b"while you were away", b"end"]
        assert packets(ben, "ship") == [b"here", b"end"]
        assert resumed(ayu, mine)
        assert not names(ben, bens) & APART


async def test_a_session_outlives_its_edge(room: str) -> None:
    with started_world("--regions", "jakarta,frankfurt") as world:
        near, far = world["jakarta"], world["frankfurt"]
        async with (
            door_to(near) as (door, through),
            joined(through, room, "ayu") as ayu,
            joined(far, room, "ben") as ben,
        ):
            await ayu.say(chirp.JAKARTA)
            await ben.say(chirp.FRANKFURT)
            to_ayu, to_ben = await ayu.track_of("ben"), await ben.track_of("ayu")
            await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear(to_ayu, chirp.FRANKFURT))
            sid, mine, bens = ayu.me.sid, len(ayu.log), len(ben.log)
            door.lead_to(far)
            await change(world, "kill")
            await ayu.expect("reconnecting", since=mine)
            await ben.me.publish_data(b"while you were away", topic="ship")
            await ayu.expect("reconnected", since=mine)
            await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear(to_ayu, chirp.FRANKFURT))
            await exchange_the_last(ayu, ben)
            assert ayu.me.sid == sid
            assert packets(ayu, "ship") == [b"while you were away", b"end"]
            assert resumed(ayu, mine)
            assert not names(ben, bens) & APART


async def test_who_has_two_connections_joins_anew_at_another_edge(ends: Ends, room: str) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu", dual=True) as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        sid, mine, bens = ayu.me.sid, len(ayu.log), len(ben.log)
        door.lead_to(ends.far)
        door.cut()
        await ayu.expect("reconnected", since=mine)
        await ben.hear(await ben.track_of("ayu", since=bens), chirp.JAKARTA)
        await exchange_the_last(ayu, ben)
        assert ayu.me.sid != sid
        assert {"participant_disconnected", "participant_connected"} <= names(ben, bens)


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
        track = await ben.track_of("ayu")
        await ben.hear(track, chirp.JAKARTA)
        sid, mine, bens = ayu.me.sid, len(ayu.log), len(ben.log)
        door.lead_to(far)
        try:
            assert await drain(world) == {"draining": True, "moved": 1, "left": 0}
            assert await drain(world) == {"draining": True, "moved": 1, "left": 0}
            await ayu.expect("reconnected", since=mine)
            await ben.hear(track, chirp.JAKARTA)
            await exchange_the_last(ayu, ben)
            assert ayu.me.sid == sid
            assert resumed(ayu, mine)
            assert not names(ben, bens) & APART
        finally:
            undone = await drain(world, "--undo")
        assert not undone["draining"]
        async with joined(near, room, "cas"):
            await ben.sees("cas")


async def drain(world: World, *options: str) -> dict[str, object]:
    """What `fairlead node drain jakarta` says."""
    return await change(world, "drain", *options)


async def change(world: World, what: str, *options: str) -> dict[str, object]:
    """What `fairlead node` says when it changes Jakarta's."""
    command = [sys.executable, "-m", "fairlead.cli", "node", what, "jakarta", "--json"]
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
