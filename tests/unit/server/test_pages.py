"""The pages of a node."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from fairlead.server import pages

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_doctors_page_and_what_it_needs_are_served(tmp_path: Path) -> None:
    for name in pages.FILES.values():
        (tmp_path / name).write_text(name)
    app = Starlette(routes=pages.routes(tmp_path))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        for path, name in pages.FILES.items():
            answer = await client.get(path)
            assert answer.text == name
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (await client.get("/doctor.html")).status_code == 404


def test_where_they_are_not_built_there_are_none(tmp_path: Path) -> None:
    assert pages.routes(tmp_path) == []
