"""Moments of a run, on the monotonic clock that all processes of the machine share."""

from __future__ import annotations

import time

import anyio


async def until(moment: float) -> None:
    """Wait for it; not at all if it is past."""
    await anyio.sleep(max(0.0, moment - time.monotonic()))
