"""Child processes that end with us: started, heard, and stopped by their process id.

A child prints one line on standard output when it is ready. What it writes on standard error is
passed on, line by line, and its last lines are kept for the sentence that says why it died.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from fairlead.cells.lifeline import ends_with_parent

LAST_LINES = 40
"""Lines kept of each child's log; the oldest goes first."""
LINE_BYTES = 64 * 1024
"""Longest line read from a child."""
STOP_S = 10.0
"""From SIGTERM to SIGKILL."""


class ChildDied(Exception):
    """A child ended before it was ready; its text is one plain sentence with its last lines."""


class Child:
    """One process. ``name`` is how sentences call it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.drained = anyio.Event()
        """Set when its log has been read to the end."""
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def first_line(self) -> str:
        """The line that says it is ready. Raises `ChildDied` if it ends first."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line:
            return line.decode(errors="replace").rstrip()
        status = await self._process.wait()
        with anyio.move_on_after(1):
            await self.drained.wait()
        raise ChildDied(
            f"{self.name} ended with status {status} before it was ready; "
            f"its last words: {' | '.join(self.last_words()) or 'none'}"
        )

    def last_words(self, count: int = 3) -> list[str]:
        """The last lines of its log that say something."""
        return [line for line in self.last_lines if line.strip()][-count:]

    async def listen(self, say: Callable[[str, str], None]) -> None:
        """Pass on each line of its log as ``say(name, line)`` until it ends.

        Cancellation waits for that end: a child whose log nobody reads could not say goodbye.
        """
        with anyio.CancelScope(shield=True):
            while (line := await self._next_line()) is not None:
                self.last_lines.append(line)
                say(self.name, line)
        self.drained.set()

    async def _next_line(self) -> str | None:
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:
                continue  # longer than LINE_BYTES: the reader has dropped it
            return line.decode(errors="replace").rstrip() if line else None

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing if it has ended."""
        if self.running:
            self._process.send_signal(number)

    async def stop(self, within: float = STOP_S) -> None:
        """Ask it to end, and end it if it does not."""
        with anyio.CancelScope(shield=True):
            self.signal(signal.SIGTERM)
            with anyio.move_on_after(within):
                await self.wait()
                return
            self.signal(signal.SIGKILL)
            await self.wait()


async def start_child(
    name: str, command: Sequence[str], given: bytes = b"", temporary: Path | None = None
) -> Child:
    """Start a process that reads ``given`` on standard input and ends when we do, however we end.

    Its temporary files go below ``temporary``, where whoever gave it can remove them.
    Call it from the main thread.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        env={**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})},
        start_new_session=True,
        preexec_fn=ends_with_parent(signal.SIGTERM),
    )
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    return Child(name, process)
