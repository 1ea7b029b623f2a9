"""A world whose nodes are played: what it asks of them is kept, nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from fairlead.lab import worldfile
from fairlead.lab.world import Place, World
from fairlead.protocol.node import Link
from fairlead.routing.explain import Explanation
from fairlead.server.config import Config, NodeSection
from fairlead.server.state import NodeState, StreamState
from fairlead.server.supervisor import Child

REGIONS = ["jakarta", "singapore", "frankfurt"]


class PlayedChild:
    """A process that only runs or does not."""

    def __init__(self) -> None:
        self.running = True

    async def stop(self, within: float = 0) -> None:
        self.running = False


class PlayedWorld(World):
    """Answers for its nodes; ``asked`` is (port, body) of every change asked of one."""

    def __init__(self) -> None:
        super().__init__(worldfile.from_names(REGIONS), Path("unused"), tell=lambda text: None)
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self._http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        for number, region in enumerate(self.spec.regions, start=1):
            config = Config(node=NodeSection(id=number, region=region.name, port=7000 + number))
            place = Place(region, config, cast(Child, PlayedChild()))
            place.state = state(number, region.name)
            self.places[region.name] = place

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert request.url.port is not None
            self.asked.append((request.url.port, msgspec.json.decode(request.content)))
            return httpx.Response(200, content=request.content)
        place = next(p for p in self.places.values() if p.config.node.port == request.url.port)
        return httpx.Response(200, content=msgspec.json.encode(place.state))


def state(node: int, region: str) -> NodeState:
    """A node with links up to the others; Jakarta reaches Frankfurt through Singapore."""
    others = [number for number in (1, 2, 3) if number != node]
    return NodeState(
        node=node,
        region=region,
        url=f"ws://127.0.0.1:{7000 + node}",
        uptime_s=1,
        links=[
            Link(
                node=other,
                state="up",
                rtt_ms=10.0 * (node + other),
                jitter_ms=0.5,
                loss=0.01 * node,
                residual_loss=0.0,
                sent_packets=1,
                received_packets=1,
            )
            for other in others
        ],
        routes=[
            Explanation(
                destination=other,
                via=[2] if {node, other} == {1, 3} else [],
                reachable=True,
                rtt_ms=50.0,
                direct_rtt_ms=60.0,
                sentence="It is nearer.",
            )
            for other in others
        ],
        streams=[StreamState(room="shop", track="TR_1", kind="audio", layers=1, to=[3])]
        if node == 1
        else [],
    )


@pytest.fixture
def played() -> PlayedWorld:
    return PlayedWorld()
