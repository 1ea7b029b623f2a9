"""The node's admin endpoints open to the right token, from this machine, and to nothing else."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from fairlead.server.admin import admin_routes
from fairlead.server.config import EmulationSection
from fairlead.server.state import DrainState, NodeState

pytestmark = pytest.mark.anyio
STATE = NodeState(node=3, region="jakarta", url="ws://127.0.0.1:7880", uptime_s=1.5)
RIGHT = {"authorization": "Bearer right"}


class Admin:
    def __init__(self, token: str = "right", host: str = "127.0.0.1") -> None:
        self.emulated: list[EmulationSection] = []
        self.drained: list[float | None] = []
        app = Starlette(routes=admin_routes(token, lambda: STATE, self.emulated.append, self.drain))
        transport = httpx.ASGITransport(app, client=(host, 50_000))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://node")

    def drain(self, rate: float | None) -> DrainState:
        self.drained.append(rate)
        return DrainState(draining=rate is not None, moved=1, left=2)


async def test_state_is_told_to_the_token() -> None:
    answer = await Admin().client.get("/admin/state", headers=RIGHT)
    assert msgspec.json.decode(answer.content, type=NodeState) == STATE


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "right"}]
)
async def test_no_other_token_opens(headers: dict[str, str]) -> None:
    admin = Admin()
    assert (await admin.client.get("/admin/state", headers=headers)).status_code == 401
    answer = await admin.client.post("/admin/link", headers=headers, json={"node": 2})
    assert answer.status_code == 401
    assert admin.emulated == []


async def test_no_other_machine_is_answered() -> None:
    answer = await Admin(host="192.0.2.7").client.get("/admin/state", headers=RIGHT)
    assert answer.status_code == 403


async def test_without_a_token_there_is_nothing() -> None:
    answer = await Admin(token="").client.get("/admin/state", headers={"authorization": "Bearer "})
    assert answer.status_code == 404


async def test_a_link_gets_its_weather() -> None:
    admin = Admin()
    body = {"node": 2, "delay_ms": 80, "loss": 0.05}
    answer = await admin.client.post("/admin/link", headers=RIGHT, json=body)
    assert answer.status_code == 200
    assert admin.emulated == [EmulationSection(node=2, delay_ms=80, loss=0.05)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"node": 2, "loss": 2}', 400),
        (b'{"node": 2, "lag": 2}', 400),
        (b" " * 20_000, 413),
    ],
)
async def test_a_bad_wish_changes_nothing(body: bytes, status: int) -> None:
    admin = Admin()
    answer = await admin.client.post("/admin/link", headers=RIGHT, content=body)
    assert answer.status_code == status
    assert admin.emulated == []


async def test_a_node_is_drained_and_that_is_undone() -> None:
    admin = Admin()
    answer = await admin.client.post("/admin/drain", headers=RIGHT, json={"rate": 5})
    assert answer.json() == {"draining": True, "moved": 1, "left": 2}
    await admin.client.post("/admin/drain", headers=RIGHT, json={"on": False})
    assert admin.drained == [5.0, None]


@pytest.mark.parametrize("body", [b"", b'{"rate": 0}', b'{"rate": 1e9}', b'{"speed": 1}'])
async def test_a_bad_wish_drains_nothing(body: bytes) -> None:
    admin = Admin()
    answer = await admin.client.post("/admin/drain", headers=RIGHT, content=body)
    assert answer.status_code == 400
    assert admin.drained == []
