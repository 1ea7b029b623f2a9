"""The process of a person of a field test: started, given orders, listened to, ended.

What it is, SDK or browser, is its command's; both speak the lines of `people`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from fairlead.lab.field.networks import unshare
from fairlead.lab.field.servers import RunFailed

T = TypeVar("T")

LONGEST_LINE = 64 << 20
LAST_WORDS_S = 2.0
MOST_TOLD = 60
"""Bytes of an answer that is none."""


class Person:
    """A client process."""

    def __init__(self, name: str, process: anyio.abc.Process, complaints: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.name = name
        self.pid = process.pid
        self._process = process
        self._complaints = complaints
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)

    async def say(self, value: object) -> None:
        try:
            await self._stdin.send(msgspec.json.encode(value) + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise await self._ended() from None

    async def hear(self, shape: type[T], within_s: float, what: str) -> T:
        try:
            with anyio.fail_after(within_s):
                line = await self._lines.receive_until(b"\n", LONGEST_LINE)
        except TimeoutError:
            raise RunFailed(
                f"{self.name} did not say within {within_s:.0f} s that {what}"
            ) from None
        except (anyio.EndOfStream, anyio.IncompleteRead):
            raise await self._ended() from None
        try:
            return msgspec.json.decode(line, type=shape)
        except msgspec.DecodeError:
            said = line[:MOST_TOLD].decode(errors="replace")
            raise RunFailed(f"{self.name} said {said!r}, which is no answer") from None

    async def _ended(self) -> RunFailed:
        with anyio.move_on_after(LAST_WORDS_S):
            await self._process.wait()
        words = self._complaints.read_text(errors="replace").strip().splitlines()
        last = words[-1] if words else "it said nothing"
        return RunFailed(f"{self.name} ended in the middle of the run: {last}")


@asynccontextmanager
async def started(
    name: str, command: list[str], folder: Path, *, apart: bool
) -> AsyncIterator[Person]:
    """A client, in a network namespace of its own if ``apart``; ended with the block."""
    if apart:
        command = [*unshare(), "--", *command]
    environment = {**os.environ, "TMPDIR": str(folder)}
    complaints = folder / f"{name}.log"
    with complaints.open("wb") as log:  # a pipe that nobody reads would stop who fills it
        async with await anyio.open_process(command, env=environment, stderr=log) as process:
            try:
                yield Person(name, process, complaints)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()


async def await_namespace(pid: int) -> None:
    """Until `unshare` has done its work."""
    own = Path("/proc/self/ns/net").stat().st_ino
    theirs = Path(f"/proc/{pid}/ns/net")
    with anyio.fail_after(10.0):
        while theirs.stat().st_ino == own:  # noqa: ASYNC110 - the kernel tells nobody
            await anyio.sleep(0.01)
