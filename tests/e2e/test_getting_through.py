"""Clients that can't come straight: through TURN alone, and through the one TCP port."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from fairlead.lab import ports
from tests.e2e.browser import Browser, joined_page, started_browser
from tests.e2e.people import joined
from tests.e2e.worlds import Edge
from tests.media import chirp

pytestmark = pytest.mark.anyio

ADMIN = "of-the-test"
CONFIG = f"""
[node]
port = {{port}}
[turn]
enabled = true
[front]
port = {{front}}
[admin]
token = "{ADMIN}"
"""


@contextmanager
def _started() -> Iterator[tuple[Edge, int]]:
    """A node with TURN, and the port of its front."""
    port = ports.one()
    front = port + ports.STEP - 1
    process = subprocess.Popen(
        [sys.executable, "-m", "fairlead.cli", "up", "--config", "-", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(CONFIG.format(port=port, front=front))
        process.stdin.close()
        ready = json.loads(process.stdout.readline())
        yield Edge(ready["region"], ready["url"], "devkey", "secret"), front
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[Edge, int]]:
    with _started() as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.mark.browser
async def test_the_sdk_and_chromium_hear_each_other_through_turn_alone(
    node: tuple[Edge, int], browser: Browser, room: str
) -> None:
    edge, _ = node
    async with (
        joined(edge, room, "ayu", relayed=True) as ayu,
        joined_page(browser, edge, room, "ben", relayed=True) as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        await asyncio.gather(
            ben.hear("ayu", chirp.JAKARTA),
            ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT),
        )
    counters = await _counters(edge)
    assert counters["turn_to_peers"] > 100
    assert counters["turn_to_clients"] > 100
    assert counters["turn_peers_refused"] == 0


async def test_a_call_is_joined_through_the_one_port(node: tuple[Edge, int], room: str) -> None:
    edge, front = node
    through = Edge(edge.region, f"ws://127.0.0.1:{front}", edge.key, edge.secret)
    before = (await _counters(edge))["gate_web_streams"]
    async with joined(through, room, "ayu") as ayu, joined(edge, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
    assert (await _counters(edge))["gate_web_streams"] > before


async def test_what_comes_through_the_one_port_is_no_operator(node: tuple[Edge, int]) -> None:
    edge, front = node
    headers = {"authorization": f"Bearer {ADMIN}"}
    async with httpx.AsyncClient(headers=headers) as client:
        own = await client.get(f"{edge.http}/admin/state")
        outside = await client.get(f"http://127.0.0.1:{front}/admin/state")
    assert own.status_code == 200
    assert outside.status_code != 200


def test_the_doctor_finds_every_way(node: tuple[Edge, int]) -> None:
    edge, _ = node
    command = [sys.executable, "-m", "fairlead.cli", "doctor", "--url", edge.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(one["name"], one["verdict"]) for one in json.loads(done.stdout)["findings"]]
    for way in ("ice udp", "ice tcp", "turn udp", "turn tcp"):
        assert (way, "ok") in found
    assert found.count(("ice tcp", "ok")) == 2, "the one port has a candidate of its own"


def test_the_doctor_says_what_to_fix_and_refuses_what_is_no_server() -> None:
    nobody = f"ws://127.0.0.1:{ports.one()}"
    command = [sys.executable, "-m", "fairlead.cli", "doctor", "--url"]
    done = subprocess.run([*command, nobody], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Start the server" in done.stdout
    done = subprocess.run([*command, "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


async def _counters(edge: Edge) -> dict[str, int]:
    """The node's, once it has counted what is over: it tells them about once a second."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {ADMIN}"}) as client:
        since = (await client.get(f"{edge.http}/admin/state")).json()["uptime_s"]
        while True:
            state = (await client.get(f"{edge.http}/admin/state")).json()
            if state["counted_s"] > since + 1:
                return dict(state["counters"])
            await asyncio.sleep(0.1)
