"""Field tests repeated until enough runs count, of one server or of several beside each other."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import msgspec

from fairlead.lab.field.run import Result, run
from fairlead.lab.field.scenario import WAYS, Scenario
from fairlead.lab.field.servers import RunFailed, Servers, own_servers
from fairlead.lab.field.transcripts import Transcriber
from fairlead.lab.world import WorldFailed
from fairlead.server.toml import ConfigError, read_text

TRIES = 3
"""Runs that do not count, of each scenario and server: after so many no other is tried."""
SERVE_S = 30.0
OURS = "Fairlead"

Results = dict[str, list[Result]]
"""By scenario, of all servers."""


@dataclass(frozen=True)
class Contender:
    """A server under test."""

    name: str
    url: str = ""
    """Empty: a world of our own for each scenario."""
    serve: str = ""
    """The command that starts it in the lab's network."""
    key: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Campaign:
    """What is to be done."""

    scenarios: Mapping[str, Scenario]
    contenders: Sequence[Contender]
    repeats: int = 1
    """Runs of each that count."""
    seed: int = 1
    """Of the first run of each; the next ones follow."""
    tries: int = TRIES
    transcriber: Transcriber | None = None
    """Says what a machine understands of speech."""

    async def go_on(
        self, results: Results, tell: Callable[[str], None], keep: Callable[[], None]
    ) -> None:
        """Do what ``results`` lacks and add it there; ``keep`` is called after each run.

        A scenario that fails is told of and keeps no other from running.
        """
        with tempfile.TemporaryDirectory(prefix="fairlead-lab-") as folder:
            for name, scenario in self.scenarios.items():
                runs = results.setdefault(name, [])
                for contender in self.contenders:
                    try:
                        while self._lacks(runs, contender):
                            await self._once(scenario, contender, Path(folder), tell, runs)
                            keep()
                    except* (RunFailed, WorldFailed) as failed:
                        tell(f"{name}, {contender.name}: {_first(failed)}")

    def _lacks(self, runs: Sequence[Result], contender: Contender) -> bool:
        own = runs_of(runs, contender.name)
        void = sum(bool(run.complaints) for run in own)
        return len(own) - void < self.repeats and void < self.tries

    async def _once(
        self,
        scenario: Scenario,
        contender: Contender,
        folder: Path,
        tell: Callable[[str], None],
        runs: list[Result],
    ) -> None:
        """A run more, with servers that were just started: to who was in the last call one goes on
        sending for a while, over the networks of this one."""
        seed = self.seed + len(runs_of(runs, contender.name))
        async with _servers(contender, scenario, tell) as servers:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                result = await run(scenario, servers, seed, Path(own), self.transcriber)
        listened = any(one.sound for one in runs_of(runs, contender.name) if not one.complaints)
        runs.append(
            msgspec.structs.replace(
                result, server=contender.name, sound={} if listened else result.sound
            )
        )
        tell(f"{scenario.name}, {contender.name}, seed {seed}: {_said(result)}")


def runs_of(runs: Sequence[Result], server: str) -> list[Result]:
    """Those of one server."""
    return [run for run in runs if run.server == server]


def kept(path: Path) -> Results:
    """What an earlier campaign wrote; nothing if there is no such file. Raises `ConfigError`."""
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(read_text(path), type=Results)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path} holds no results to go on from ({error}): name another file, or leave "
            "--resume out"
        ) from None


def keep(path: Path, results: Results) -> None:
    """Write what there is, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(msgspec.json.encode(results))
    partial.replace(path)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _said(result: Result) -> str:
    if result.complaints:
        return f"void: {result.complaints[0]}"
    found = [f"{way}: {miss}" for way in WAYS for miss in result.misses[way]]
    return "; ".join(found) or "within its limits"


@asynccontextmanager
async def _servers(
    contender: Contender, scenario: Scenario, tell: Callable[[str], None]
) -> AsyncIterator[Servers]:
    if not contender.url:
        async with own_servers(scenario, tell) as servers:
            yield servers
        return
    async with _served(contender.serve, contender.url):
        yield Servers((contender.url, contender.url), contender.key, contender.secret)


@asynccontextmanager
async def _served(command: str, url: str) -> AsyncIterator[None]:
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
            await _answers(process, address.hostname or "", address.port or 80, url)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with anyio.move_on_after(5.0, shield=True) as scope:
                await process.wait()
            if scope.cancelled_caught:
                process.kill()


async def _answers(process: anyio.abc.Process, host: str, port: int, url: str) -> None:
    with anyio.move_on_after(SERVE_S):
        while True:
            if process.returncode is not None:
                raise RunFailed(f"the server for {url} ended with status {process.returncode}")
            with contextlib.suppress(OSError):
                async with await anyio.connect_tcp(host, port):
                    return
            await anyio.sleep(0.2)
    raise RunFailed(f"nothing answers at {url} within {SERVE_S:.0f} s: see what the server prints")
