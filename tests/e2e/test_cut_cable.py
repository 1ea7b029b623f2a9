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

from tests.e2e.counting import Ear, count_aloud, listening
from tests.e2e.people import joined, until
from tests.e2e.worlds import World, started_world

pytestmark = pytest.mark.anyio

BEFORE_S, CUT_S, BETWEEN_S, AFTER_S = 3.0, 10.0, 1.0, 5.0
"""The relay dies before the healed cable is trusted again: the call still goes over it."""
LONGEST_JUMP_S = 0.6
"""Three times what the longest detour of this world adds one way: above it, something waited."""


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


async def test_nothing_is_missed_when_the_cable_is_cut_and_a_relay_dies(
    cables: World,
    room: str,
    change: Callable[..., Awaitable[None]],
    record_property: Callable[[str, object], None],
) -> None:
    cable = {"a": "jakarta", "b": "singapore"}
    async with (
        joined(cables["jakarta"], room, "ayu") as ayu,
        joined(cables["singapore"], room, "ben") as ben,
    ):
        await count_aloud(ayu)
        async with listening(await ben.track_of("ayu")) as ear:
            await recorded(ear, BEFORE_S)
            cut_at = ear.seconds
            await change("link", **cable, cut=True)
            await recorded(ear, CUT_S)
            await change("link", **cable, heal=True)
            await recorded(ear, BETWEEN_S)
            killed_at = ear.seconds
            await change("kill", region="mumbai")
            await recorded(ear, AFTER_S)
            concealed = await ear.concealed()
    told = await asyncio.to_thread(ear.account)
    figures = {
        "numbers": told.last - told.first + 1,
        "words": told.words,
        "jump_at_cut_ms": round(1e3 * told.jump_between(cut_at - 0.5, cut_at + 3)),
        "jump_at_kill_ms": round(1e3 * told.jump_between(killed_at - 0.5, killed_at + 3)),
        **concealed._asdict(),
    }
    print(figures)
    for name, figure in figures.items():
        record_property(name, figure)
    assert told.missing == [], f"swallowed: {told.missing}; {figures}"
    assert told.added == 0, f"{told.added} words came twice or out of order; {figures}"
    counted = (told.last - told.first) * 0.5
    assert counted >= BEFORE_S + CUT_S + BETWEEN_S + AFTER_S - 2, (
        f"the recording ends early; {figures}"
    )
    assert told.jump_between(cut_at - 0.5, ear.seconds) <= LONGEST_JUMP_S, figures
