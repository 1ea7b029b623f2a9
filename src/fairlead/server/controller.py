"""Runs a node's routing: hears the network, tells the packet path its peers and routes, and leads
the others where the operator wants it to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, assert_never

import anyio
import anyio.to_thread
import structlog

from fairlead.cells.change import AnyRecord, CellLost, CellSynced, Change, RecordGone, RecordPut
from fairlead.protocol.node import (
    AddPeer,
    Event,
    Link,
    LinkReport,
    RemovePeer,
    SetLink,
    SetPolicies,
    SetProtection,
    SetRoutes,
)
from fairlead.routing.controller import Controller
from fairlead.routing.explain import Explanation
from fairlead.routing.follower import Follower, Settings
from fairlead.routing.inputs import (
    ControllerLost,
    ControllerOutput,
    FollowerInput,
    Heard,
    LinksLost,
    NodeLost,
    Publish,
    RegionSetsLost,
    RoutingRecord,
    Withdraw,
    heard,
)
from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    NodeRecord,
    RegionSetsRecord,
    RoutesRecord,
)

Order = AddPeer | RemovePeer | SetRoutes | SetPolicies | SetProtection | SetLink

IDLE = 3600.0
"""Seconds to sleep when nothing is due."""
MAX_WAITING = 100_000
"""Events that wait for the controller; beyond, it is stuck and the oldest go."""

log = structlog.get_logger(__name__)


class Topology(Protocol):
    """What routing needs of the cells."""

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node."""

    async def delete(self, record: AnyRecord) -> None:
        """Take a record of this node back."""

    def unreachable(self, nodes: frozenset[int]) -> None:
        """The nodes that no path reaches now."""

    def topology(self) -> AsyncIterator[Change]:
        """All of other nodes that routing needs, then every change."""


class RouteKeeper:
    """One node's follower and, if its record says so, a controller; at work."""

    def __init__(
        self,
        own: NodeRecord,
        cells: Topology,
        order: Callable[[Order], None],
        settings: Settings | None = None,
    ) -> None:
        """``order`` hands a command to the packet path."""
        self._follower = Follower(own, settings)
        self._controller = Controller(own) if own.controller else None
        self._cells = cells
        self._order = order
        self._report: LinkReport | None = None
        """The newest that was not looked at yet; an older one is worth nothing."""
        self._sets: RegionSetsRecord | None = None
        """Likewise, this node's own."""
        self._links: list[Link] = []
        self._unreachable: frozenset[int] = frozenset()
        self._wake = anyio.Event()
        self._waiting: list[Heard] = []
        """What the controller has not looked at yet."""
        self._wake_controller = anyio.Event()

    def node_said(self, event: Event) -> None:
        """Take an event of the packet path; all but link reports are others' business."""
        if isinstance(event, LinkReport):
            self._report = event
            self._links = event.links
            self._wake.set()

    def limit(self, record: RegionSetsRecord) -> None:
        """The region sets of this node's rooms, at each change."""
        self._sets = record
        self._wake.set()

    @property
    def links(self) -> list[Link]:
        """As the packet path last reported them."""
        return self._links

    @property
    def obeyed(self) -> tuple[int | None, int]:
        """The node whose lease is in force, if any, and the highest epoch heard of."""
        return self._follower.controller, self._follower.epoch

    @property
    def counts(self) -> dict[str, int]:
        """What routing counted since the start, by name."""
        leading = {} if self._controller is None else self._controller.counts
        return {
            **self._follower.counts,
            **{f"controller_{name}": count for name, count in leading.items()},
        }

    def explain(self) -> list[Explanation]:
        """The route to every other node, for each region set in use, and why."""
        return self._follower.explain()

    async def run(self) -> None:
        """Keep peers and routes until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_reports)
            if self._controller is not None:
                group.start_soon(self._lead, self._controller)
            async for change in self._cells.topology():
                if (event := _input(change)) is not None:
                    self._pass_on(event)
                    await self._handle(event)
                    self._wake.set()  # the deadline may have moved

    async def _follow_reports(self) -> None:
        while True:
            due = self._follower.deadline()
            wait = IDLE if due is None else max(due - anyio.current_time(), 0.0)
            with anyio.move_on_after(wait):
                await self._wake.wait()
            self._wake = anyio.Event()
            sets, self._sets = self._sets, None
            if sets is not None:
                event = heard(sets)
                self._pass_on(event)
                await self._handle(event)
            report, self._report = self._report, None
            await self._handle(report)

    async def _handle(self, event: FollowerInput | None) -> None:
        publish: list[AnyRecord] = []
        for output in self._follower.handle(anyio.current_time(), event):
            match output:
                case Publish(record=said):
                    if isinstance(said, LinksRecord):
                        self._pass_on(heard(said))
                    publish.append(said)
                case SetRoutes(routes=routes):
                    log.debug("routes set", routes={(r.tag, r.destination): r.via for r in routes})
                    self._order(output)
                case AddPeer() | RemovePeer():
                    log.debug("peer changed", order=type(output).__name__, peer=output.node)
                    self._order(output)
                case SetPolicies() | SetProtection() | SetLink():
                    self._order(output)
                case _:
                    assert_never(output)
        if (unreachable := self._follower.unreachable()) != self._unreachable:
            self._unreachable = unreachable
            self._cells.unreachable(unreachable)
        for record in publish:  # after the orders, which must not be overtaken by later ones
            await self._cells.put(record)

    def _pass_on(self, event: Heard) -> None:
        if self._controller is not None:
            if len(self._waiting) >= MAX_WAITING:
                del self._waiting[0]
            self._waiting.append(event)
            self._wake_controller.set()

    async def _lead(self, controller: Controller) -> None:
        """Let the controller work beside us: it may compute longer than we may stand still."""
        while True:
            due = controller.deadline()
            wait = IDLE if due is None else max(due - anyio.current_time(), 0.0)
            with anyio.move_on_after(wait):
                await self._wake_controller.wait()
            self._wake_controller = anyio.Event()
            events, self._waiting = self._waiting, []
            now = anyio.current_time()

            def work(now: float = now, events: list[Heard] = events) -> list[ControllerOutput]:
                return controller.handle_all(now, events)

            for output in await anyio.to_thread.run_sync(work):
                await self._led(output)

    async def _led(self, output: ControllerOutput) -> None:
        """Do what the controller wants; this node obeys it as the others do."""
        match output:
            case Publish(record=record):
                await self._cells.put(record)
                if isinstance(record, RoutesRecord | ControllerRecord):
                    await self._handle(heard(record))
                self._wake.set()
            case Withdraw(record=record):
                await self._cells.delete(record)
            case _:
                assert_never(output)


def _input(change: Change) -> Heard | None:
    match change:
        case RecordPut(record=record) if isinstance(record, RoutingRecord):
            return heard(record)
        case RecordGone(kind="node"):
            return NodeLost(node=change.node)
        case RecordGone(kind="links"):
            return LinksLost(node=change.node)
        case RecordGone(kind="regions"):
            return RegionSetsLost(node=change.node)
        case RecordGone(kind="controller"):
            return ControllerLost(node=change.node)
        case RecordPut() | RecordGone() | CellLost() | CellSynced():
            return None
