"""The scrape, as a client sees it."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from fairlead.server.api.metrics import metrics_route
from fairlead.telemetry.node import Measures

pytestmark = pytest.mark.anyio


async def test_the_measures_of_the_moment_are_told_as_text() -> None:
    moments = iter([Measures(rooms=3), Measures(rooms=4)])
    app = Starlette(routes=[metrics_route(lambda: next(moments))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        first, second = await client.get("/metrics"), await client.get("/metrics")
    assert first.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nfairlead_rooms 3\n" in first.text
    assert "\nfairlead_rooms 4\n" in second.text
