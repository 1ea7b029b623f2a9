"""The worlds that the end-to-end tests run in."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.worlds import Edge, World, named_world, started_world

RELAY_WORLD = Path(__file__).with_name("relay_world.toml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The development pair's secret is short on purpose: no warning about it here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:The HMAC key is"))


BEFORE = pytest.StashKey[dict[str, dict[str, int]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the nodes counted meanwhile is told of a call that fails."""
    report = yield
    arguments = item.funcargs.values() if isinstance(item, pytest.Function) else ()
    for ends in arguments:
        if not isinstance(ends, Ends):
            continue
        if report.when == "setup":
            item.stash[BEFORE] = _counted(ends.world)
        elif report.failed:
            for region, counts in _counted(ends.world).items():
                before = item.stash[BEFORE].get(region, {})
                grown = {name: n - before.get(name, 0) for name, n in counts.items()}
                told = "\n".join(f"{name} {n}" for name, n in grown.items() if n)
                report.sections.append((f"{region} counted", told))
    return report


def _counted(world: World) -> dict[str, dict[str, int]]:
    """What each node counted until a second ago, by region; nothing where servers tell nothing."""
    if world.admin is None:
        return {}
    try:
        nodes = httpx.get(f"{world.admin}/nodes").json()
    except httpx.HTTPError:
        return {}
    return {region: node["counters"] for region, node in nodes.items()}


class Ends(NamedTuple):
    """The two edges of a call."""

    near: Edge
    far: Edge
    world: World


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The SDK runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Three regions, each linked with each."""
    named = named_world()
    if named:
        yield named
        return
    with started_world(
        "--regions", "jakarta,singapore,frankfurt", "--log-level", "info"
    ) as started:
        yield started


@pytest.fixture(scope="session")
def relay_world() -> Iterator[World]:
    """Three regions with no link between Jakarta and Frankfurt: all goes through Singapore."""
    if named_world():
        pytest.skip("the servers named by the environment have no relay")
    with started_world("--file", str(RELAY_WORLD)) as started:
        yield started


@pytest.fixture
def ends(world: World) -> Ends:
    """A call over the direct link."""
    return Ends(world["jakarta"], world["frankfurt"], world)


@pytest.fixture(params=["direct", "relayed"])
def both_ends(request: pytest.FixtureRequest) -> Ends:
    """A call over the direct link, then one through the relay."""
    name = "world" if request.param == "direct" else "relay_world"
    world: World = request.getfixturevalue(name)
    return Ends(world["jakarta"], world["frankfurt"], world)


@pytest.fixture
def room() -> str:
    """The name of a room that nobody used before."""
    return f"room-{uuid.uuid4().hex[:12]}"
