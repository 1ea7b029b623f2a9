"""The cable between two people is cut while one of them counts aloud; then a relay dies as well.

What the other one hears is written down blindly and held against what was said: no number may be
missing, none may come twice, and the order is the order of counting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from fairlead.lab.field.counting import Account
from tests.e2e.counting import Ear, count_aloud, listening
from tests.e2e.people import joined, until
from tests.e2e.worlds import World, started_world

pytestmark = pytest.mark.anyio

BEFORE_S, CUT_S, BETWEEN_S, AFTER_S = 3.0, 10.0, 1.0, 5.0
"""The relay dies before the healed cable is trusted again: the call still goes over it."""
LONGEST_JUMP_S = 0.6
"""Three times what the longest detour of this world adds one way: above it, something waited."""

STALL_S, WATCH_S = 0.03, 0.002
"""A jitter buffer is some 40 ms deep: packets that wait longer for the machine come too late."""
REPEATS = 3
SETTLED_S = 12.0
"""From a node's return until its links, held for 5 s, carry again."""


@pytest.fixture(scope="module")
def cables() -> Iterator[World]:
    """Four regions: the cable that is cut, and two ways round it."""
    with started_world("--regions", "jakarta,singapore,mumbai,frankfurt") as world:
        yield world


@pytest.fixture
async def change(cables: World) -> Any:
    async with httpx.AsyncClient(base_url=str(cables.admin), timeout=10) as http:

        async def post(what: str, **wish: Any) -> None:
            (await http.post(f"/{what}", json=wish)).raise_for_status()

        yield post


async def recorded(ear: Ear, seconds: float) -> None:
    """Waits until the recording is so much longer: the call itself is the clock."""
    end = ear.seconds + seconds
    await until(lambda: ear.seconds >= end, f"{seconds:.0f} s more recorded", 3 * seconds + 10)


class Stalls:
    """How long this machine let a process wait that wanted to run: above `STALL_S` a run on it says
    nothing of the network, and is void."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + WATCH_S
            await asyncio.sleep(WATCH_S)
            self.worst = max(self.worst, clock() - due)


async def run(
    cables: World, room: str, change: Callable[..., Awaitable[None]]
) -> tuple[Account, dict[str, float]]:
    """One call through a cut and a kill: what was heard, and figures of it."""
    cable = {"a": "jakarta", "b": "singapore"}
    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    async with (
        joined(cables["jakarta"], room, "ayu") as ayu,
        joined(cables["singapore"], room, "ben") as ben,
    ):
        await count_aloud(ayu)
        async with listening(await ben.track_of("ayu")) as ear:
            await recorded(ear, BEFORE_S)
            stalls.worst = 0.0
            cut_at = ear.seconds
            await change("link", **cable, cut=True)
            await recorded(ear, CUT_S)
            await change("link", **cable, heal=True)
            await recorded(ear, BETWEEN_S)
            killed_at = ear.seconds
            await change("kill", region="mumbai")
            await recorded(ear, AFTER_S)
            concealed = await ear.concealed()
    watching.cancel()
    told = await asyncio.to_thread(ear.account)
    return told, {
        "numbers": told.last - told.first + 1,
        "words": told.words,
        "jump_at_cut_ms": round(1e3 * told.jump_between(cut_at - 0.5, cut_at + 3)),
        "jump_at_kill_ms": round(1e3 * told.jump_between(killed_at - 0.5, killed_at + 3)),
        "longest_jump_ms": round(1e3 * told.jump_between(cut_at - 0.5, ear.seconds)),
        "machine_stall_ms": round(1e3 * stalls.worst),
        **concealed._asdict(),
    }


async def test_nothing_is_missed_when_the_cable_is_cut_and_a_relay_dies(
    cables: World,
    room: str,
    change: Callable[..., Awaitable[None]],
    record_property: Callable[[str, object], None],
) -> None:
    for repeat in range(REPEATS):
        told, figures = await run(cables, f"{room}-{repeat}", change)
        print(figures)
        sound = not told.missing and figures["lost"] == 0
        if sound or figures["machine_stall_ms"] <= 1e3 * STALL_S or repeat == REPEATS - 1:
            break
        print("void: the machine stood still meanwhile; once more")
        await change("start", region="mumbai")
        await asyncio.sleep(SETTLED_S)
    for name, figure in figures.items():
        record_property(name, figure)
    assert figures["lost"] == 0, figures
    assert told.missing == [], f"swallowed: {told.missing}; {figures}"
    assert told.added == 0, f"{told.added} words came twice or out of order; {figures}"
    counted = (told.last - told.first) * 0.5
    assert counted >= BEFORE_S + CUT_S + BETWEEN_S + AFTER_S - 2, (
        f"the recording ends early; {figures}"
    )
    assert figures["longest_jump_ms"] <= 1e3 * LONGEST_JUMP_S, figures
