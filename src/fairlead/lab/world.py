"""Several regions on one machine: a node process each, joined by emulated long links."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import httpx
import msgspec

from fairlead.lab import ports
from fairlead.lab.leftovers import new_store
from fairlead.lab.regions import Region
from fairlead.lab.topology import joined, reachable
from fairlead.lab.ways import Way, Ways, ways
from fairlead.lab.worldfile import LOOPBACK, WorldSpec
from fairlead.server.admin import DrainWish
from fairlead.server.config import (
    DEVELOPMENT_KEYS,
    AdminSection,
    CellSection,
    Config,
    EmulationSection,
    FrontSection,
    LinkSection,
    LogSection,
    MeshSection,
    NodeSection,
    TurnSection,
    Weather,
)
from fairlead.server.state import DrainState, NodeState, Ready
from fairlead.server.supervisor import Child, ChildDied, start_child
from fairlead.server.toml import ConfigError

START_S = 60.0
"""From the first process to the last link and route."""
READY_POLL_S = 0.1
POLL_S = 1.0
QUICK_POLL_S, QUICK_FOR_S = 0.05, 8.0
"""After a change, until what follows from it has been seen."""
ASK_S = 2.0
"""Longest wait for a node's word on itself."""
CHANGE_S = 8.0
"""Longest wait until a node has done what it was told: the world may be busy."""


class WorldFailed(Exception):
    """The world could not be started; its text is one plain sentence."""


class Place:
    """A region of a running world: its node's process and what it last said of itself."""

    def __init__(self, region: Region, config: Config, child: Child) -> None:
        self.region = region
        self.config = config
        self.child = child
        self.state: NodeState | None = None

    @property
    def name(self) -> str:
        return self.region.name

    @property
    def node(self) -> int:
        return self.config.node.id

    @property
    def url(self) -> str:
        return self.config.url

    @property
    def up(self) -> bool:
        return self.child.running


class World:
    """A running world. Made by `running`; changed by `set_ways`, `kill` and `revive`."""

    def __init__(
        self,
        spec: WorldSpec,
        store: Path,
        *,
        tell: Callable[[str], None],
        hear: Callable[[World], None] = lambda world: None,
        listen: Callable[[Child], object] = lambda child: None,
    ) -> None:
        self.spec = spec
        self._store = store
        self._hear = hear
        self._listen = listen
        self.places: dict[str, Place] = {}
        self.weather = Ways(spec.links)
        self._changed_at: float | None = None
        """On the event loop's clock: the last change of a link or node."""
        self.key, self.secret = next(iter(DEVELOPMENT_KEYS.items()))
        if spec.bind != LOOPBACK:
            self.secret = secrets.token_urlsafe(32)  # others may reach it
        self._tell = tell
        self._token = secrets.token_urlsafe(24)
        # Nodes answer for their admin to loopback alone, wherever they listen.
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {self._token}"},
            timeout=ASK_S,
            trust_env=False,
            transport=httpx.AsyncHTTPTransport(local_address=LOOPBACK),
        )

    def place(self, name: str) -> Place:
        """A region of this world. Raises `ConfigError`."""
        if name not in self.places:
            raise ConfigError(
                f"there is no region {name!r} in this world; it has {', '.join(self.places)}"
            )
        return self.places[name]

    def place_of(self, node: int) -> Place | None:
        """The region of a node id."""
        return next((place for place in self.places.values() if place.node == node), None)

    async def set_ways(self, weather: Mapping[Way, Weather]) -> None:
        """Give ways other weather. Raises `httpx.HTTPError` if a node does not answer."""
        self._changed_at = anyio.current_time()
        for way, wished in weather.items():
            for told in self.weather.set(way, wished):
                await self._emulate(told, wished)

    async def set_ways_for(
        self, weather: Mapping[Way, Weather], seconds: float, tasks: anyio.abc.TaskGroup
    ) -> None:
        """The same for ways of one link, undone after ``seconds`` unless it was changed by then."""
        way = next(iter(weather))
        before = self.weather.snapshot(way.origin, way.to)
        await self.set_ways(weather)
        change = self.weather.change(way)

        async def undo() -> None:
            await anyio.sleep(seconds)
            if self.weather.change(way) == change:
                with contextlib.suppress(httpx.HTTPError):  # a node may have ended since
                    await self.set_ways(before)

        tasks.start_soon(undo)

    def healed(self, a: str, b: str) -> Weather:
        """A link's weather as the world began, and not cut."""
        return msgspec.structs.replace(self.spec.links[self.spec.pair(a, b)], cut=False)

    async def kill(self, name: str) -> None:
        """End a region's node at once, as a power cut would. Raises `ConfigError`."""
        place = self.place(name)
        if not place.up:
            raise ConfigError(f"the node of {name} has already ended")
        self._changed_at = anyio.current_time()
        await place.child.stop(within=0)
        place.state = None

    async def drain(self, name: str, wish: DrainWish) -> DrainState:
        """Empty a region's node, or take that back: how far it is. Raises `ConfigError`."""
        place = self.place(name)
        if not place.up:
            raise ConfigError(f"the node of {name} has ended: start it first")
        answer = await self._http.post(
            f"{_http_url(place)}/admin/drain",
            content=msgspec.json.encode(wish),
            timeout=CHANGE_S,
        )
        if answer.status_code == 400:
            raise ConfigError(str(answer.json()["error"]))
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=DrainState)

    async def revive(self, name: str) -> None:
        """Start a region's node again after it has ended. Raises `ConfigError`, `WorldFailed`."""
        place = self.place(name)
        if place.up:
            raise ConfigError(f"the node of {name} runs already")
        place.child = await self._child(place.region, place.config)
        self._listen(place.child)
        try:
            with anyio.fail_after(START_S):
                msgspec.json.decode(await place.child.first_line(), type=Ready)
        except ChildDied as error:
            raise WorldFailed(str(error)) from None
        except TimeoutError:
            await place.child.stop()
            raise WorldFailed(f"{name} was not ready within {START_S:.0f} s") from None
        self._changed_at = anyio.current_time()
        towards = [way for other in self.places if other != name for way in ways(name, other)]
        for way in towards:
            await self._emulate(way, self.weather[way])
            for single, weather in self.weather.own(*way[:2]).items():
                await self._emulate(single, weather)

    async def refresh(self) -> None:
        """Ask every node for its state; one that does not answer keeps its last."""
        async with anyio.create_task_group() as tasks:
            for place in self.places.values():
                if place.up:
                    tasks.start_soon(self._ask, place)
                else:
                    place.state = None

    async def watch(self) -> None:
        """Refresh for ever."""
        while True:
            await self.refresh()
            self._hear(self)
            await anyio.sleep(QUICK_POLL_S if self._is_changing() else POLL_S)

    def since_change_s(self) -> float | None:
        """Seconds since a link or node was last changed; None if none ever was."""
        changed = self._changed_at
        return None if changed is None else anyio.current_time() - changed

    def _is_changing(self) -> bool:
        since = self.since_change_s()
        return since is not None and since < QUICK_FOR_S

    async def start(self, base_port: int | None, log: LogSection) -> None:
        """Start every node. Raises `NoPorts`."""
        firsts = ports.blocks(len(self.spec.regions), base_port)
        cells = {
            region.name: f"nats://{self._token}@127.0.0.1:{first + ports.CELL}"
            for region, first in zip(self.spec.regions, firsts, strict=True)
        }
        for number, (region, first) in enumerate(
            zip(self.spec.regions, firsts, strict=True), start=1
        ):
            config = self._config(number, region, first, cells, log)
            child = await self._child(region, config)
            self.places[region.name] = Place(region, config, child)
            self._listen(child)
        self._tell(f"starting {len(self.places)} nodes: {', '.join(self.places)}")

    async def ready(self) -> None:
        """Wait until every node, link and route stands. Raises `WorldFailed`."""
        try:
            with anyio.fail_after(START_S):
                for place in self.places.values():
                    msgspec.json.decode(await place.child.first_line(), type=Ready)
                    self._tell(f"{place.name} is up at {place.url}")
                missing = self._missing()
                while missing:
                    dead = next((place for place in self.places.values() if not place.up), None)
                    if dead is not None:
                        await dead.child.first_line()  # raises with its last words
                        raise WorldFailed(f"{dead.name} ended while the links came up")
                    await self.refresh()
                    still = self._missing()
                    if len(still) < len(missing):
                        self._tell(f"{len(still)} links and routes to go")
                    missing = still
                    await anyio.sleep(READY_POLL_S)
        except ChildDied as error:
            raise WorldFailed(str(error)) from None
        except msgspec.DecodeError as error:
            raise WorldFailed(f"{place.name} printed no ready line: {error}") from None
        except TimeoutError:
            waiting = ", ".join(self._missing()[:4]) or "a node to be ready"
            raise WorldFailed(
                f"the world did not stand within {START_S:.0f} s: waiting for {waiting}"
            ) from None

    async def stop(self) -> None:
        """End every process."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for place in self.places.values():
                    tasks.start_soon(place.child.stop)
            await self._http.aclose()

    def _missing(self) -> list[str]:
        """Links and routes that should stand and do not yet."""
        missing = []
        open_links = [pair for pair in self.spec.links if self.weather.is_open(*pair)]
        for pair in open_links:
            for here, there in (pair, pair[::-1]):
                if not self._has_link(here, there):
                    missing.append(f"link {here}-{there}")
        for here, there in reachable(list(self.places), joined(open_links)):
            if not self._has_route(here, there):
                missing.append(f"route {here}-{there}")
        return missing

    def _has_link(self, here: str, there: str) -> bool:
        state, node = self.places[here].state, self.places[there].node
        return state is not None and any(
            link.node == node and link.state == "up" and link.rtt_ms is not None
            for link in state.links
        )

    def _has_route(self, here: str, there: str) -> bool:
        state, node = self.places[here].state, self.places[there].node
        return state is not None and any(
            route.destination == node and route.reachable and route.rtt_ms is not None
            for route in state.routes
        )

    async def _ask(self, place: Place) -> None:
        try:
            answer = await self._http.get(f"{_http_url(place)}/admin/state")
            answer.raise_for_status()
            place.state = msgspec.json.decode(answer.content, type=NodeState)
        except (httpx.HTTPError, msgspec.DecodeError):
            return

    async def _child(self, region: Region, config: Config) -> Child:
        return await start_child(
            region.name,
            [sys.executable, "-m", "fairlead.cli", "up", "--config", "-", "--json"],
            msgspec.json.encode(config),
            temporary=self._store,
        )

    async def _emulate(self, way: Way, weather: Weather) -> None:
        place = self.places[way.origin]
        if not place.up:
            return
        body = EmulationSection(
            node=self.places[way.to].node, pair=way.pair, **msgspec.structs.asdict(weather)
        )
        answer = await self._http.post(
            f"{_http_url(place)}/admin/link",
            content=msgspec.json.encode(body),
            timeout=CHANGE_S,
        )
        answer.raise_for_status()

    def _config(
        self,
        number: int,
        region: Region,
        first_port: int,
        cells: dict[str, str],
        log: LogSection,
    ) -> Config:
        names = [place.name for place in self.spec.regions]
        emulation = []
        for pair, weather in self.spec.links.items():
            if region.name in pair:
                other = pair[1] if pair[0] == region.name else pair[0]
                emulation.append(
                    EmulationSection(node=names.index(other) + 1, **msgspec.structs.asdict(weather))
                )
        return Config(
            node=NodeSection(
                id=number,
                region=region.name,
                country=region.country,
                provider=region.provider,
                operator=region.operator,
                location=_location(region),
                controller=region.controller,
                relay=region.relay,
                bind=self.spec.bind,
                port=first_port,
                seed=self.spec.seed + number,
            ),
            keys={self.key: self.secret},
            cell=CellSection(port=first_port + ports.CELL, token=self._token),
            cells={name: url for name, url in cells.items() if name != region.name},
            mesh=MeshSection(links=self._terms(region.name)),
            emulation=emulation,
            admin=AdminSection(token=self._token),
            turn=TurnSection(enabled=self.spec.front is not None),
            front=FrontSection(port=self.spec.front if number == 1 else None),
            log=log,
        )

    def _terms(self, name: str) -> list[LinkSection]:
        """What the node of a region is told of its links."""
        numbers = {region.name: number for number, region in enumerate(self.spec.regions, start=1)}
        return [
            LinkSection(to=numbers[b if name == a else a], **msgspec.structs.asdict(terms))
            for (a, b), terms in self.spec.terms.items()
            if name in (a, b)
        ]


def _location(region: Region) -> list[float]:
    if region.latitude is None or region.longitude is None:
        return []
    return [region.latitude, region.longitude]


@asynccontextmanager
async def running(
    spec: WorldSpec,
    store: Path,
    *,
    base_port: int | None,
    log: LogSection,
    tell: Callable[[str], None],
    say: Callable[[str, str], None],
    hear: Callable[[World], None] = lambda world: None,
) -> AsyncIterator[World]:
    """A world that stands, ended with the block.

    ``tell`` hears of progress, ``say(region, line)`` every log line, ``hear`` of every look at the
    nodes. Raises `WorldFailed`, `NoPorts`.
    """
    async with anyio.create_task_group() as tasks:
        world = World(
            spec,
            store,
            tell=tell,
            hear=hear,
            listen=lambda child: tasks.start_soon(child.listen, say),
        )
        try:
            await world.start(base_port, log)
            await world.ready()
            tasks.start_soon(world.watch)
            yield world
        finally:
            await world.stop()
            tasks.cancel_scope.cancel()


def _http_url(place: Place) -> str:
    return place.url.replace("ws", "http", 1)


@asynccontextmanager
async def passing(spec: WorldSpec, say: Callable[[str, str], None]) -> AsyncIterator[World]:
    """A world for one purpose, anywhere there are ports, of which nothing is left after the block.

    ``say(region, line)`` hears warnings of its nodes. Raises `WorldFailed`, `NoPorts`.
    """
    log = LogSection(level="warning")
    with new_store() as store:
        async with running(
            spec, store, base_port=None, log=log, tell=lambda text: None, say=say
        ) as world:
            yield world
