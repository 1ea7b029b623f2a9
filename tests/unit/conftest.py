"""What every unit test shares: async tests run on asyncio, none fails for a busy machine's time."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("fairlead", deadline=None)
settings.load_profile("fairlead")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Fairlead runs on asyncio alone."""
    return "asyncio"
