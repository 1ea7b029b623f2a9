"""Routing at work: what the cells and the packet path say becomes peers and routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from fairlead.cells.change import AnyRecord, CellSynced, Change, RecordGone, RecordPut
from fairlead.protocol.node import AddPeer, Counters, Link, LinkReport, RemovePeer, SetRoutes
from fairlead.server.controller import Order, RouteKeeper
from fairlead.types import LinksRecord, LinkState, NodeRecord

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeCells:
    """Tells what a test sends, and shows what was put."""

    def __init__(self) -> None:
        self.send, self._receive = anyio.create_memory_object_stream[Change](16)
        self.lost: list[frozenset[int]] = []
        self.put_in, self.put_out = anyio.create_memory_object_stream[AnyRecord](16)

    async def put(self, record: AnyRecord) -> None:
        await self.put_in.send(record)

    async def delete(self, record: AnyRecord) -> None:
        raise AssertionError(record)

    def unreachable(self, nodes: frozenset[int]) -> None:
        self.lost.append(nodes)

    async def topology(self) -> AsyncIterator[Change]:
        async for change in self._receive:
            yield change

    def close(self) -> None:
        for stream in (self.send, self._receive, self.put_in, self.put_out):
            stream.close()


def node(number: int) -> NodeRecord:
    return NodeRecord(
        node=number,
        region=f"region{number}",
        url="",
        mesh_addresses=[f"127.0.0.1:{number}"],
        mesh_key=bytes(32),
        started_at=1,
    )


def link(number: int, rtt_ms: float | None) -> Link:
    return Link(
        node=number,
        state="down" if rtt_ms is None else "up",
        rtt_ms=rtt_ms,
        jitter_ms=0.0,
        loss=0.0,
        residual_loss=0.0,
        sent_packets=0,
        received_packets=0,
    )


async def test_peers_and_routes_follow_the_network() -> None:
    cells = FakeCells()
    orders_in, orders = anyio.create_memory_object_stream[Order](64)
    keeper = RouteKeeper(node(1), cells, orders_in.send_nowait)

    async def routes() -> dict[int, list[int]]:
        while not isinstance(order := await orders.receive(), SetRoutes):
            pass
        return {route.destination: route.via for route in order.routes}

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(keeper.run)
            await cells.send.send(RecordPut(record=node(2)))
            assert await orders.receive() == AddPeer(
                node=2, public_key=bytes(32), addresses=["127.0.0.1:2"]
            )
            assert await routes() == {2: []}
            await cells.send.send(RecordPut(record=node(3)))
            assert await routes() == {2: [], 3: []}
            await cells.send.send(CellSynced(region="region3"))

            keeper.node_said(Counters(counts={}))
            keeper.node_said(LinkReport(links=[link(2, 10.0), link(3, 200.0)]))
            published = await cells.put_out.receive()
            assert isinstance(published, LinksRecord)
            assert [(state.peer, state.rtt_ms) for state in published.links] == [
                (2, 10.0),
                (3, 200.0),
            ]
            assert keeper.links == [link(2, 10.0), link(3, 200.0)]

            theirs = LinksRecord(node=2, links=[LinkState(peer=3, up=True, rtt_ms=100.0)])
            await cells.send.send(RecordPut(record=theirs))
            assert await routes() == {2: [], 3: [2]}
            assert [route.via for route in keeper.explain()] == [[], [2]]

            keeper.node_said(LinkReport(links=[link(2, None), link(3, None)]))
            assert await routes() == {}
            keeper.node_said(LinkReport(links=[link(2, 10.0), link(3, 200.0)]))
            assert await routes() == {2: [], 3: [2]}
            assert cells.lost[-2:] == [frozenset({2, 3}), frozenset()]

            await cells.send.send(RecordGone(kind="links", node=2))
            assert await routes() == {2: [], 3: []}
            await cells.send.send(RecordGone(kind="node", node=3))
            assert await orders.receive() == RemovePeer(node=3)
            assert await routes() == {2: []}
            group.cancel_scope.cancel()
    cells.close()
    orders_in.close()
    orders.close()
