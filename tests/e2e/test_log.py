"""What the nodes log says nothing that a stranger could use."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Ends
from tests.e2e.people import joined, until
from tests.e2e.rawclient import join_url
from tests.e2e.test_bad_input import join_status, tokens
from tests.e2e.worlds import World
from tests.media import chirp

pytestmark = pytest.mark.anyio

ADDRESS = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b|\[?::1\]?:\d")
TOKEN = re.compile(r"eyJ[\w-]{8,}")


async def test_no_token_and_no_address_at_info_level(world: World, ends: Ends, room: str) -> None:
    if world.log is None:
        pytest.skip("the log of servers named by the environment is not here")
    log = world.log
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.track_of("ayu")
        for token, _ in tokens(ends.far, room).values():
            await join_status(join_url(ends.far), {"Authorization": f"Bearer {token}"})
        sid = ayu.me.sid
    await until(lambda: sid in log.read_text(), "the log tells of the call")
    said = [line for line in log.read_text().splitlines() if line.startswith("[")]
    assert not [line for line in said if ADDRESS.search(line)]
    assert not [line for line in said if TOKEN.search(line)]
