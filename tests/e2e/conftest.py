"""The worlds that the end-to-end tests run in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.worlds import Edge, World, named_world, started_world

RELAY_WORLD = Path(__file__).with_name("relay_world.toml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The development pair's secret is short on purpose: no warning about it here."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:The HMAC key is"))


class Ends(NamedTuple):
    """The two edges of a call."""

    near: Edge
    far: Edge


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
    return Ends(world["jakarta"], world["frankfurt"])


@pytest.fixture(params=["direct", "relayed"])
def both_ends(request: pytest.FixtureRequest) -> Ends:
    """A call over the direct link, then one through the relay."""
    name = "world" if request.param == "direct" else "relay_world"
    world: World = request.getfixturevalue(name)
    return Ends(world["jakarta"], world["frankfurt"])


@pytest.fixture
def room() -> str:
    """The name of a room that nobody used before."""
    return f"room-{uuid.uuid4().hex[:12]}"
