"""Runs a node's routing: hears nodes and links, tells the packet path its peers and routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol, assert_never

import anyio
import structlog

from fairlead.cells.change import AnyRecord, CellLost, CellSynced, Change, RecordGone, RecordPut
from fairlead.protocol.node import AddPeer, Event, Link, LinkReport, RemovePeer, SetRoutes
from fairlead.routing.controller import (
    Controller,
    Explanation,
    Input,
    LinksHeard,
    LinksLost,
    NodeHeard,
    NodeLost,
    Publish,
)
from fairlead.types import LinksRecord, NodeRecord

Order = AddPeer | RemovePeer | SetRoutes

IDLE = 3600.0
"""Seconds to sleep when nothing is due."""

log = structlog.get_logger(__name__)


class Topology(Protocol):
    """What routing needs of the cells."""

    async def put(self, record: AnyRecord) -> None:
        """Write a record of this node."""

    def unreachable(self, nodes: frozenset[int]) -> None:
        """The nodes that no path reaches now."""

    def topology(self) -> AsyncIterator[Change]:
        """Every other node and its links, then every change."""


class RouteKeeper:
    """One node's controller, at work."""

    def __init__(self, node: int, cells: Topology, order: Callable[[Order], None]) -> None:
        """``order`` hands a command to the packet path."""
        self._controller = Controller(node)
        self._cells = cells
        self._order = order
        self._report: LinkReport | None = None
        """The newest that was not looked at yet; an older one is worth nothing."""
        self._links: list[Link] = []
        self._unreachable: frozenset[int] = frozenset()
        self._wake = anyio.Event()

    def node_said(self, event: Event) -> None:
        """Take an event of the packet path; all but link reports are others' business."""
        if isinstance(event, LinkReport):
            self._report = event
            self._links = event.links
            self._wake.set()

    @property
    def links(self) -> list[Link]:
        """As the packet path last reported them."""
        return self._links

    def explain(self) -> list[Explanation]:
        """The route to every other node, and why."""
        return self._controller.explain()

    async def run(self) -> None:
        """Keep peers and routes until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow_reports)
            async for change in self._cells.topology():
                if (event := _input(change)) is not None:
                    await self._handle(event)
                    self._wake.set()  # the deadline may have moved

    async def _follow_reports(self) -> None:
        while True:
            due = self._controller.deadline()
            wait = IDLE if due is None else max(due - anyio.current_time(), 0.0)
            with anyio.move_on_after(wait):
                await self._wake.wait()
            self._wake = anyio.Event()
            report, self._report = self._report, None
            await self._handle(report)

    async def _handle(self, event: Input | None) -> None:
        for output in self._controller.handle(anyio.current_time(), event):
            match output:
                case Publish(record=record):
                    await self._cells.put(record)
                case SetRoutes(routes=routes):
                    log.debug("routes set", routes={r.destination: r.via for r in routes})
                    self._order(output)
                case AddPeer() | RemovePeer():
                    log.debug("peer changed", order=type(output).__name__, peer=output.node)
                    self._order(output)
                case _:
                    assert_never(output)
        if (unreachable := self._controller.unreachable()) != self._unreachable:
            self._unreachable = unreachable
            self._cells.unreachable(unreachable)


def _input(change: Change) -> Input | None:
    match change:
        case RecordPut(record=NodeRecord() as record):
            return NodeHeard(record=record)
        case RecordPut(record=LinksRecord() as links):
            return LinksHeard(record=links)
        case RecordGone(kind="node", node=node):
            return NodeLost(node=node)
        case RecordGone(kind="links", node=node):
            return LinksLost(node=node)
        case RecordPut() | RecordGone() | CellLost() | CellSynced():
            return None
