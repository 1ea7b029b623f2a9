"""A simulated network with the shipping routing in the loop: one thread, virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from fairlead.core import Simulator
from fairlead.lab.regions import COLUMNS, Region, measured
from fairlead.policy.regions import region_tag
from fairlead.protocol import node as protocol
from fairlead.routing.controller import Controller
from fairlead.routing.follower import Follower, Settings
from fairlead.routing.inputs import (
    ControllerInput,
    FollowerInput,
    Heard,
    LinksHeard,
    NodeHeard,
    Publish,
    RegionSetsHeard,
    Withdraw,
    heard,
)
from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    LinkState,
    NodeRecord,
    RegionSetsRecord,
    RoutesRecord,
    room_key,
)
from tests.world.cells import Cells

REGIONS = list(COLUMNS.values())
"""Of the AWS matrix; nodes take them in turn."""
CELL_S = 0.02
"""What cells add to the way between two nodes."""
TURN_S = 0.01
"""A node's Python takes what has come together, this long after the first of it."""
THINK_S = 0.05
"""From a controller's input to its tables: it computes beside its node."""
INSTANT_S = 1e-6
"""The simulator counts nanoseconds: a float's moment has come when it has nearly come."""
LEASE_S = 6.0
"""A dead node is gone for the others after this, as `cells/view.py` has it."""


@dataclass
class Figures:
    """One subscription's packets of a time; milliseconds."""

    published: int
    received: int
    delay_p50: float
    delay_p99: float
    delay_max: float
    gap: float
    """The longest time in which something was due and nothing came."""

    @property
    def lost(self) -> int:
        """Published and never received."""
        return self.published - self.received


@dataclass
class Place:
    """Where a node stands."""

    region: str
    country: str = ""
    provider: str = ""
    location: tuple[float, float] | None = None


@dataclass
class _Mind:
    """One node's Python, while it lives."""

    follower: Follower
    controller: Controller | None
    heard: list[FollowerInput] = field(default_factory=list)
    """What the follower takes in its next turn."""
    links: list[LinkState] = field(default_factory=list)
    turning: bool = False
    due: float | None = None
    """For when the follower's deadline is on the agenda."""
    waiting: list[ControllerInput] = field(default_factory=list)
    """What the controller hears when it is done thinking."""
    thinking: bool = False
    think_due: float | None = None


class Network:
    """Nodes 1 to n at ``places``, with paths by ``delay_ms`` (one way; None is no path)."""

    def __init__(
        self,
        seed: int,
        places: Sequence[Place],
        delay_ms: Callable[[int, int], float | None],
        *,
        controllers: Iterable[int] = (1,),
        jitter_ms: float = 0.0,
        loss: float = 0.0,
        wander_ms: float = 0.0,
        pairs: int = 4,
        settings: Settings | None = None,
    ) -> None:
        self.sim = Simulator(seed, len(places), pairs=pairs)
        self.nodes = list(range(1, len(places) + 1))
        self.places = dict(zip(self.nodes, places, strict=True))
        self.paths: list[tuple[int, int]] = []
        self._settings = settings
        self._controllers = frozenset(controllers)
        self._delay: dict[tuple[int, int], float] = {}
        for a in self.nodes:
            for b in self.nodes[a:]:
                delay = delay_ms(a, b)
                if delay is None:
                    continue
                self.paths.append((a, b))
                self._delay[a, b] = self._delay[b, a] = delay / 1e3
                self.sim.add_path(
                    a, b, delay_ms=delay, jitter_ms=jitter_ms, loss=loss, wander_ms=wander_ms
                )
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self.cells = Cells(self.nodes, self._send)
        self._sets: dict[int, list[list[str]]] = {}
        self._lives = dict.fromkeys(self.nodes, 0)
        self._minds: dict[int, _Mind] = {}
        for node in self.nodes:
            self._wake_up(node)

    # --- what happens in it -----------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.sim.now

    def restrict(self, room: str, regions: Sequence[str]) -> bytes:
        """A room that stays within regions; returns its key for `Simulator.publish`."""
        key, tag = room_key(room), region_tag(regions)
        inside = [node for node in self.nodes if self.places[node].region in regions]
        self.sim.restrict(key, tag, inside)
        for node in inside:
            sets = self._sets.setdefault(node, [])
            if sorted(regions) not in sets:
                sets.append(sorted(regions))
                self._tell_sets(node)
        return key

    def kill(self, node: int, at: float) -> None:
        """A node's process dies, Python and all."""
        self.sim.fault(at, "kill", node)
        self._at(at, lambda: self._die(node))

    def start(self, node: int, at: float) -> None:
        """And is started again, with nothing remembered."""
        self.sim.fault(at, "start", node)
        self._at(at, lambda: self._wake_up(node))

    def silence(self, start: float, end: float) -> None:
        """The control plane is gone for a while: no cell, no controller."""

        def stop() -> None:
            self.cells.stopped = True

        self._at(start, stop)
        self._at(end, self.cells.resume)

    def split(self, nodes: Iterable[int], start: float, end: float) -> None:
        """The cells of these nodes and of the others don't reach each other for a while."""
        apart = frozenset(nodes)
        self._at(start, lambda: self.cells.split(apart))
        self._at(end, lambda: self.cells.split(frozenset()))

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            due = min(self._agenda[0][0], until) if self._agenda else until
            for at, node, event in self.sim.advance(max(due, self.sim.now)):
                said = protocol.decode(event)
                if isinstance(said, protocol.LinkReport):
                    self._follow(node, said)
                else:
                    raise AssertionError(f"node {node} at {at} s: {said}")
            while self._agenda and self._agenda[0][0] <= self.sim.now + INSTANT_S:
                heapq.heappop(self._agenda)[2]()
            if self.sim.now + INSTANT_S >= until:
                return

    def settle(self, calm: float = 8.0) -> None:
        """Let everything recover, then see that everybody reaches everybody that has a way."""
        self.run(self.now + calm)
        for again in (False, True, True):
            self.sim.probe(again)
            self.run(self.now + 0.2)
        self.run(self.now + 2.0)
        self.sim.check_probes()

    def figures(self, node: int, publisher: int, begin: float, end: float) -> Figures:
        """See `Simulator.figures`."""
        return Figures(*self.sim.figures(node, publisher, begin, end))

    # --- its nodes' Python ------------------------------------------------------------------------

    def follower(self, node: int) -> Follower:
        """A living node's, to be looked at."""
        return self._minds[node].follower

    def links(self, node: int) -> list[LinkState]:
        """What a living node last said of its links."""
        return self._minds[node].links

    def controller(self, node: int) -> Controller | None:
        """A living node's, to be looked at."""
        return self._minds[node].controller

    def record(self, node: int) -> NodeRecord:
        """What a node says of itself."""
        place = self.places[node]
        return NodeRecord(
            node=node,
            region=place.region,
            country=place.country,
            provider=place.provider,
            location=place.location,
            url="ws://localhost:1",
            mesh_addresses=self.sim.addresses(node),
            mesh_key=self.sim.public_key(node),
            started_at=1 + self._lives[node],
            controller=node in self._controllers,
        )

    def _wake_up(self, node: int) -> None:
        self._lives[node] += 1
        own = self.record(node)
        controller = Controller(own) if own.controller else None
        self._minds[node] = _Mind(Follower(own, self._settings), controller)
        self.cells.put(own)
        self.cells.catch_up(node)
        self._tell_sets(node)
        if controller is not None:
            self._think(node)

    def _die(self, node: int) -> None:
        if self._minds.pop(node, None) is None:
            return
        life = self._lives[node]

        def expire() -> None:
            if self._lives[node] == life:
                self.cells.lose(node)

        self._at(self.now + LEASE_S, expire)

    def _tell_sets(self, node: int) -> None:
        if sets := self._sets.get(node):
            record = RegionSetsRecord(node=node, sets=sets)
            self.cells.put(record)
            self._hear(node, RegionSetsHeard(record=record))

    def _send(self, source: int, target: int, event: Heard) -> None:
        way = self._delay.get((source, target), 0.1)
        self._at(self.now + CELL_S + way, lambda: self._hear(target, event))

    def _hear(self, node: int, event: Heard) -> None:
        """A record came: to the follower, and to the controller when it is ready."""
        if isinstance(event, NodeHeard) and event.record.node == node:
            return
        if (mind := self._minds.get(node)) is None:
            return
        if mind.controller is not None:
            mind.waiting.append(event)
            self._think(node)
        self._follow(node, event)

    def _follow(self, node: int, event: FollowerInput | None) -> None:
        if (mind := self._minds.get(node)) is None:
            return
        if isinstance(event, protocol.LinkReport):
            # Only the newest is looked at: `server/controller.py` does the same.
            mind.heard = [said for said in mind.heard if not isinstance(said, protocol.LinkReport)]
        if event is not None:
            mind.heard.append(event)
        if not mind.turning:
            mind.turning = True
            self._at(self.now + TURN_S, lambda: self._turn(node, mind))

    def _turn(self, node: int, mind: _Mind) -> None:
        mind.turning = False
        if self._minds.get(node) is not mind:
            return
        events, mind.heard = mind.heard, []
        for output in mind.follower.handle_all(self.now, events):
            match output:
                case Publish(record=record):
                    if isinstance(record, LinksRecord):
                        mind.links = record.links
                        if mind.controller is not None:
                            mind.waiting.append(LinksHeard(record=record))
                            self._think(node)
                    self.cells.put(record)
                case (
                    protocol.AddPeer()
                    | protocol.RemovePeer()
                    | protocol.SetRoutes()
                    | protocol.SetPolicies()
                    | protocol.SetProtection()
                    | protocol.SetLink()
                ):
                    self.sim.handle(node, protocol.encode(output))
                case _:
                    assert_never(output)
        due = mind.follower.deadline()
        if due is not None and due != mind.due:
            mind.due = due
            self._at(max(due, self.now), lambda: self._due(node, mind, due))

    def _due(self, node: int, mind: _Mind, due: float) -> None:
        """A deadline came, unless it has moved or the node has died."""
        if self._minds.get(node) is mind and mind.due == due:
            mind.due = None
            self._follow(node, None)

    def _think(self, node: int) -> None:
        mind = self._minds[node]
        if not mind.thinking:
            mind.thinking = True
            self._at(self.now + THINK_S, lambda: self._thought(node, mind))

    def _thought(self, node: int, mind: _Mind) -> None:
        mind.thinking = False
        if self._minds.get(node) is not mind or mind.controller is None:
            return
        events, mind.waiting = mind.waiting, []
        for output in mind.controller.handle_all(self.now, events):
            match output:
                case Publish(record=record):
                    self.cells.put(record)
                    if isinstance(record, RoutesRecord | ControllerRecord):
                        self._follow(node, heard(record))
                case Withdraw(record=gone):
                    self.cells.take_back(gone)
                case _:
                    assert_never(output)
        wish = mind.controller.deadline()
        if wish is None:
            return
        due = max(wish, self.now + THINK_S)
        mind.think_due = due
        self._at(due, lambda: self._think_if(node, mind, due))

    def _think_if(self, node: int, mind: _Mind, due: float) -> None:
        """A deadline came, unless it has moved or the node has died."""
        if self._minds.get(node) is mind and mind.think_due == due:
            self._think(node)

    def _at(self, at: float, do: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (at, self._serial, do))


def aws(seed: int, *, controllers: Iterable[int] = (10, 18), **weather: float) -> Network:
    """One node in each region of the AWS matrix; controllers in Frankfurt and Virginia."""
    return Network(
        seed,
        [_place(region) for region in REGIONS],
        lambda a, b: rtt_ms(a, b) / 2,
        controllers=controllers,
        **weather,  # type: ignore[arg-type]
    )


def crowd(
    seed: int, nodes: int, *, degree: int = 8, jitter_ms: float = 0.0, loss: float = 0.0
) -> Network:
    """So many nodes over the regions of the AWS matrix, each in a region of its own name and with a
    path to its nearest and some far neighbours, ``degree`` and more in all."""
    rng = random.Random(seed)
    paths = set()
    for a in range(1, nodes + 1):
        others = sorted((b for b in range(1, nodes + 1) if b != a), key=lambda b: rtt_ms(a, b))
        near, rest = others[: degree // 2], others[degree // 2 :]
        paths |= {(min(a, b), max(a, b)) for b in near + rng.sample(rest, degree - degree // 2)}
    places = [_place(_region(node)) for node in range(1, nodes + 1)]
    for i, place in enumerate(places):
        place.region = f"{place.region}-{i // len(REGIONS)}"
    return Network(
        seed,
        places,
        lambda a, b: rtt_ms(a, b) / 2 if (a, b) in paths else None,
        controllers=(10, 18),
        pairs=1,
        jitter_ms=jitter_ms,
        loss=loss,
    )


def rtt_ms(a: int, b: int) -> float:
    """Between two nodes of `aws` or `crowd`; 1 within a region."""
    one, other = _region(a), _region(b)
    if one is other:
        return 1.0
    rtt = measured().rtt_ms(one, other)
    assert rtt is not None
    return rtt


def _region(node: int) -> Region:
    return REGIONS[(node - 1) % len(REGIONS)]


def _place(region: Region) -> Place:
    located = region.latitude is not None and region.longitude is not None
    return Place(
        region=region.name,
        country=region.country,
        location=(region.latitude or 0.0, region.longitude or 0.0) if located else None,
    )


def line(*delays_ms: float) -> Callable[[int, int], float | None]:
    """Paths between neighbours only."""
    return lambda a, b: delays_ms[a - 1] if b == a + 1 else None


def number(region: str) -> int:
    """The node of a region in `aws`."""
    names = [known.name for known in REGIONS]
    return names.index(region) + 1
