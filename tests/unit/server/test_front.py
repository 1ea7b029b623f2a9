"""What comes through the front is not of this machine."""

from __future__ import annotations

import pytest

from fairlead.server import signalling

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_came_through_the_front_has_no_address() -> None:
    seen = []

    async def app(scope: dict, receive: object, send: object) -> None:
        seen.append(scope["client"])

    outside = signalling.FromOutside(app, port=4000)  # type: ignore[arg-type]
    for port in (4000, 7880):
        scope = {"type": "http", "server": ("127.0.0.1", port), "client": ("127.0.0.1", 5)}
        await outside(scope, None, None)  # type: ignore[arg-type]
    assert seen == [None, ("127.0.0.1", 5)]
