"""The commands that run a world and change it, as a script uses them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.e2e.worlds import World, started_world

pytestmark = pytest.mark.anyio
WITHIN_S = 30.0


def run(*arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fairlead.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def ask(world: World, *arguments: str) -> Any:
    assert world.admin is not None
    return json.loads(run(*arguments, "--json", "--admin", world.admin))


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in map(int, children) for one in (child, *descendants(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pids: list[int]) -> None:
    with anyio.fail_after(WITHIN_S):
        while any(map(alive, pids)):
            await anyio.sleep(0.05)


def stores(pid: int | None) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"fairlead-world-{pid}-*"))


@pytest.fixture(scope="module")
def small() -> Iterator[World]:
    """Three regions of our own, to be broken."""
    with started_world("--regions", "jakarta,singapore,frankfurt") as world:
        yield world


async def path(world: World, origin: str, to: str, via: list[str]) -> dict[str, Any]:
    with anyio.fail_after(WITHIN_S):
        while True:
            for found in ask(world, "routes")["paths"]:
                if (found["from"], found["to"], found["via"]) == (origin, to, via):
                    return dict(found)
            await anyio.sleep(0.2)


async def test_every_link_is_up_and_as_long_as_the_world_says(small: World) -> None:
    links = ask(small, "link", "list")
    assert [(link["a"], link["b"], link["state"]) for link in links] == [
        ("jakarta", "singapore", "up"),
        ("jakarta", "frankfurt", "up"),
        ("singapore", "frankfurt", "up"),
    ]
    for link in links:
        assert link["rtt_ms"] >= 2 * link["emulated"]["delay_ms"] - 1


async def test_a_cut_moves_the_path_to_the_relay_and_healing_brings_it_back(small: World) -> None:
    await path(small, "jakarta", "frankfurt", [])
    assert ask(small, "link", "cut", "frankfurt", "jakarta")["emulated"]["cut"] is True
    moved = await path(small, "jakarta", "frankfurt", ["singapore"])
    assert "singapore" in moved["reason"]
    await path(small, "frankfurt", "jakarta", ["singapore"])
    healed = ask(small, "link", "heal", "jakarta", "frankfurt")["emulated"]
    assert healed["cut"] is False
    assert healed["delay_ms"] > 80


async def test_weather_is_set_and_undone_after_its_time(small: World) -> None:
    before = ask(small, "link", "list")[0]["emulated"]
    wish = ("--loss", "5%", "--jitter", "2ms", "--rate", "2mbps", "--for", "1s")
    set_ = ask(small, "link", "set", "jakarta", "singapore", *wish)["emulated"]
    assert (set_["loss"], set_["jitter_ms"], set_["rate_kbps"]) == (0.05, 2, 2000)
    assert set_["delay_ms"] == before["delay_ms"]
    with anyio.fail_after(WITHIN_S):
        while ask(small, "link", "list")[0]["emulated"] != before:
            await anyio.sleep(0.2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["link", "cut", "jakarta", "atlantis"], "there is no region 'atlantis' in this world"),
        (["link", "cut", "jakarta", "jakarta"], "name two regions"),
        (["link", "set", "jakarta", "frankfurt"], "nothing to change"),
        (["link", "set", "jakarta", "frankfurt", "--delay", "1h"], "not a figure"),
        (["link", "set", "jakarta", "frankfurt", "--delay", "99s"], "must be 0 to 10000"),
        (["node", "kill", "atlantis"], "there is no region 'atlantis'"),
    ],
)
def test_a_bad_wish_is_one_sentence(small: World, arguments: list[str], words: str) -> None:
    assert small.admin is not None
    sentence = run(*arguments, "--admin", small.admin, status=2)
    assert words in sentence
    assert len(sentence.splitlines()) == 1


def test_without_its_secret_the_admin_address_is_closed(small: World) -> None:
    assert small.admin is not None
    bare = small.admin.rsplit("/", 1)[0]
    assert httpx.get(f"{bare}/state").status_code == 404
    assert httpx.get(f"{small['jakarta'].http}/admin/state").status_code == 401


async def test_a_killed_node_leaves_the_others_at_work(small: World) -> None:
    ask(small, "node", "kill", "singapore")
    await path(small, "jakarta", "frankfurt", [])
    states = {(link["a"], link["b"]): link["state"] for link in ask(small, "link", "list")}
    assert states["jakarta", "singapore"] == "down"
    assert small.admin is not None
    again = run("node", "kill", "singapore", "--admin", small.admin, status=2)
    assert "has already ended" in again


async def test_a_killed_node_comes_back(small: World) -> None:
    assert ask(small, "node", "start", "singapore")["state"] == "up"
    with anyio.fail_after(WITHIN_S):
        while ask(small, "link", "list")[0]["state"] != "up":
            await anyio.sleep(0.2)
    # The nearest: a link that has come back earns longer ways' traffic only by and by.
    await path(small, "singapore", "jakarta", [])
    again = run("node", "start", "singapore", "--admin", str(small.admin), status=2)
    assert "runs already" in again


def test_one_direction_is_cut_alone(small: World) -> None:
    cut = ask(small, "link", "cut", "frankfurt", "jakarta", "--one-way")
    assert cut["emulated"]["cut"] is False, "from jakarta to frankfurt nothing changed"
    (back,) = cut["differing"]
    assert (back["from"], back["to"], back["emulated"]["cut"]) == ("frankfurt", "jakarta", True)
    assert ask(small, "link", "heal", "frankfurt", "jakarta")["differing"] == []


async def test_a_world_leaves_nothing_behind() -> None:
    with started_world("--regions", "jakarta,frankfurt") as world:
        assert world.pid is not None
        below = descendants(world.pid)
        assert len(below) >= 4, "a node and a cell's server for each of two regions"
        assert stores(world.pid)
    await gone(below)
    assert not stores(world.pid)


async def test_nothing_outlives_a_world_that_was_killed() -> None:
    with started_world("--regions", "jakarta,frankfurt") as world:
        assert world.pid is not None
        below = descendants(world.pid)
        os.kill(world.pid, signal.SIGKILL)
        await gone(below)
    with started_world("--regions", "jakarta"):
        assert not stores(world.pid), "the next world sweeps what a killed one left"


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1 can't be listened on" in run(
            "up", "--port", port, status=1
        )
        assert f"port {port} is in use" in run("world", "--port", port, status=1)
