"""The servers of a run: a world of our own, or somebody else's; what the network says of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.abc
import httpx
import msgspec

from fairlead.lab import change, worldfile
from fairlead.lab.change import LinkChange
from fairlead.lab.field.networks import HOST, PUBLIC
from fairlead.lab.field.scenario import Event, Scenario
from fairlead.lab.world import World, passing
from fairlead.server.toml import ConfigError

SEEN_COUNTERS = 24
"""Of a node's counters that moved: so many are told, the most moved first."""


class RunFailed(Exception):
    """A run that came to no end; a sentence."""


@dataclass(frozen=True)
class Servers:
    """Where the two people join: the one under test first."""

    urls: tuple[str, str]
    key: str
    secret: str
    world: World | None = None
    """None: somebody else's, of which nothing is known."""

    async def change_link(self, event: Event) -> None:
        """Let an event happen to a link of the world. Raises `RunFailed`."""
        if self.world is None:
            raise RunFailed("only a world of ours has links between regions: leave this server out")
        a, b = event.link
        wish = LinkChange(
            a=a,
            b=b,
            cut=event.cut,
            delay_ms=event.delay_ms,
            jitter_ms=event.jitter_ms,
            loss=event.loss if not isinstance(event.loss, str) else worldfile.share(event.loss),
            rate_kbps=event.rate_kbps,
        )
        try:
            async with anyio.create_task_group() as tasks:
                await change.apply(self.world, wish, tasks)
        except* (ConfigError, httpx.HTTPError) as failed:
            raise RunFailed(f"link {a}-{b} can't be changed: {failed.exceptions[0]}") from None

    def path(self) -> str:
        """The way from the one edge to the other, in the words of the node; empty if unknown."""
        if self.world is None or len(self.world.places) < 2:
            return ""
        first, *_, last = self.world.places.values()
        if first.state is None:
            return ""
        routes = (route for route in first.state.routes if route.destination == last.node)
        return next((f"{first.name}: {route.sentence}" for route in routes), "")

    async def counters(self) -> dict[str, dict[str, int]]:
        """Of the packet paths, by region."""
        if self.world is None:
            return {}
        await self.world.refresh()
        return {
            name: dict(place.state.counters)
            for name, place in self.world.places.items()
            if place.state is not None
        }


def moved(
    before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> dict[str, dict[str, int]]:
    """By how much counters moved, the most first; those that did not are left out."""
    found: dict[str, dict[str, int]] = {}
    for region, counts in after.items():
        grown = {name: n - before.get(region, {}).get(name, 0) for name, n in counts.items()}
        ranked = sorted(((n, name) for name, n in grown.items() if n > 0), reverse=True)
        found[region] = {name: n for n, name in ranked[:SEEN_COUNTERS]}
    return found


@asynccontextmanager
async def own_servers(scenario: Scenario, say: Callable[[str], None]) -> AsyncIterator[Servers]:
    """A world for the scenario's regions, in the lab's namespace. Raises `WorldFailed`."""
    front = scenario.only_port
    host = HOST if front is None else PUBLIC
    spec = msgspec.structs.replace(worldfile.from_names(scenario.regions), bind=host, front=front)
    async with passing(spec, lambda region, line: say(f"{region}: {line}")) as world:
        ends = (spec.regions[0].name, spec.regions[-1].name)
        first, last = (world.place(name).url for name in ends)
        if front is not None:
            first = f"ws://{host}:{front}"
        yield Servers((first, last), world.key, world.secret, world)
