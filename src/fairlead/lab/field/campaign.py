"""Field tests repeated until enough runs count, against our own servers or somebody else's."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from fairlead.lab.field.run import Result, RunFailed, Servers, run
from fairlead.lab.field.scenario import WAYS, Scenario

VOID_AT_MOST = 3
"""A run that does not count is repeated so often at most."""
SERVE_S = 30.0


async def repeat(
    scenario: Scenario,
    servers: Servers,
    repeats: int,
    seed: int,
    folder: Path,
    tell: Callable[[str], None],
    results: list[Result],
) -> None:
    """Append all runs of a scenario to ``results``, void ones included. Raises `RunFailed`,
    `NoNetworks`; what came before counts."""
    void = 0
    while len(results) - void < repeats and void < VOID_AT_MOST:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            result = await run(scenario, servers, seed + len(results), Path(own))
        results.append(result)
        void += bool(result.complaints)
        tell(f"{scenario.name}, seed {result.seed}: {_said(result)}")


def _said(result: Result) -> str:
    if result.complaints:
        return f"void: {result.complaints[0]}"
    found = [f"{way}: {miss}" for way in WAYS for miss in result.misses[way]]
    return "; ".join(found) or "within its limits"


@asynccontextmanager
async def served(command: str, url: str) -> AsyncIterator[None]:
    """Somebody else's server, in the lab's network while the block runs. Raises `RunFailed`."""
    address = urlsplit(url)
    try:
        process = await anyio.open_process(
            shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise RunFailed(f"{command!r} can't be started: {error.strerror}") from None
    async with process:
        try:
            await _answers(address.hostname or "", address.port or 80, url)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with anyio.move_on_after(5.0, shield=True) as scope:
                await process.wait()
            if scope.cancelled_caught:
                process.kill()


async def _answers(host: str, port: int, url: str) -> None:
    with anyio.move_on_after(SERVE_S):
        while True:
            with contextlib.suppress(OSError):
                async with await anyio.connect_tcp(host, port):
                    return
            await anyio.sleep(0.2)
    raise RunFailed(f"nothing answers at {url} within {SERVE_S:.0f} s: see what the server prints")
