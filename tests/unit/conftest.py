"""What every unit test shares: async tests run on asyncio."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Fairlead runs on asyncio alone."""
    return "asyncio"
