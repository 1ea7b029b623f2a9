"""The scrape, as a client sees it."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from fairlead.server.api.metrics import metrics_route
from fairlead.telemetry.node import Measures

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("192.0.2.1", 403)])
async def test_measures_are_told_to_this_machine_alone(host: str, status: int) -> None:
    app = Starlette(routes=[metrics_route(lambda: Measures(rooms=3))])
    transport = httpx.ASGITransport(app, client=(host, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        response = await client.get("/metrics")
    assert response.status_code == status
    assert ("fairlead_rooms 3\n" in response.text) is (status == 200)
