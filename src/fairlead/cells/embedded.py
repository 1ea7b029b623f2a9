"""One nats-server as a child of this process: started, watched, restarted, stopped with it."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, STDOUT

import anyio
import structlog

from fairlead.cells import binary
from fairlead.cells.binary import CellBroken
from fairlead.cells.lifeline import ends_with_parent

START_TIMEOUT = 10.0
"""Seconds until a started server must have told its port."""
STOP_TIMEOUT = 3.0
"""Seconds between SIGTERM and SIGKILL."""
RESTART_DELAY = 0.2
"""Seconds before a server that ended by itself is started again; doubles up to
`RESTART_DELAY_MAX`."""
RESTART_DELAY_MAX = 5.0
LOG_LIMIT = "8MB"
"""Of the server's log file; one older file is kept."""
LAST_WORDS = 500
"""Characters of the server's output that an error quotes."""
MEMORY_LIMIT = "256MB"
FILE_LIMIT = "1GB"
MAX_PAYLOAD = "2MB"
"""Bytes of one message: a participant with full metadata and attributes fits."""
_POLL = 0.01

log = structlog.get_logger(__name__)


class Embedded:
    """A running nats-server on loopback. ``url`` holds its secret: keep it out of logs."""

    def __init__(self, directory: Path, port: int, token: str = "") -> None:
        self._directory = directory
        self._binary = binary.find()
        self._token = token or secrets.token_urlsafe(24)
        self._process: asyncio.subprocess.Process | None = None
        self.port = port
        self.restarts = 0

    @property
    def url(self) -> str:
        return f"nats://{self._token}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server and wait for its port. Raises `CellBroken`."""
        ports = self._directory / "ports"
        ports.mkdir(parents=True, exist_ok=True)
        for stale in ports.iterdir():
            stale.unlink()
        config = self._directory / "nats.conf"
        config.touch(mode=0o600)
        config.chmod(0o600)  # it holds the secret, and an older file may be open to others
        config.write_text(self._config())
        with self._output.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                str(self._binary),
                "-c",
                str(config),
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                preexec_fn=ends_with_parent(signal.SIGKILL),
                start_new_session=True,  # Ctrl-C goes to us, and we stop it in order
            )
        try:
            with anyio.fail_after(START_TIMEOUT):
                self.port = await self._read_port(ports)
        except TimeoutError as late:
            await self.stop()
            raise CellBroken(
                f"nats-server told no port within {START_TIMEOUT:.0f} s; {self._last_words()}"
            ) from late
        log.debug("cell server started", pid=self._process.pid, port=self.port)

    async def watch(self) -> None:
        """Start the server again, on its port, whenever it ends by itself; runs for ever."""
        delay = RESTART_DELAY
        while True:
            assert self._process is not None
            started = anyio.current_time()
            status = await self._process.wait()
            self.restarts += 1
            if anyio.current_time() - started > RESTART_DELAY_MAX:
                delay = RESTART_DELAY
            log.warning("cell server ended, starting it again", status=status)
            while True:
                await anyio.sleep(delay)
                delay = min(delay * 2, RESTART_DELAY_MAX)
                try:
                    await self.start()
                    break
                except CellBroken as failure:
                    log.error("cell server did not start", reason=str(failure))

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when the server is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with anyio.move_on_after(STOP_TIMEOUT):
                await process.wait()
                return
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def _output(self) -> Path:
        """What the server says before it has a log, or as it crashes."""
        return self._directory / "nats.out"

    @property
    def _log(self) -> Path:
        return self._directory / "nats.log"

    def _last_words(self) -> str:
        lines: list[str] = []
        for path in (self._log, self._output):
            with suppress(OSError):
                lines += path.read_text(errors="replace").splitlines()
        return f"its last words: {lines[-1][-LAST_WORDS:]}" if lines else "it said nothing."

    def _config(self) -> str:
        # -1 lets the server choose; a restart must come back where the others look for it.
        return "\n".join(
            [
                "host: 127.0.0.1",
                f"port: {self.port or -1}",
                f"ports_file_dir: {json.dumps(str(self._directory / 'ports'))}",
                f"max_payload: {MAX_PAYLOAD}",
                f"log_file: {json.dumps(str(self._log))}",
                f"logfile_size_limit: {LOG_LIMIT}",
                "logfile_max_num: 2",
                f"authorization {{ token: {json.dumps(self._token)} }}",
                "jetstream {",
                f"  store_dir: {json.dumps(str(self._directory / 'store'))}",
                f"  max_memory_store: {MEMORY_LIMIT}",
                f"  max_file_store: {FILE_LIMIT}",
                "}",
                "",
            ]
        )

    async def _read_port(self, ports: Path) -> int:
        """The port from the file that the server writes once it listens."""
        assert self._process is not None
        while True:
            if (port := _listening(ports)) is not None:
                return port
            if self._process.returncode is not None:
                raise CellBroken(
                    f"nats-server ended with status {self._process.returncode} before it "
                    f"listened on port {self.port or 'any'}; {self._last_words()}"
                )
            await anyio.sleep(_POLL)


@asynccontextmanager
async def embedded(
    directory: Path | None = None, port: int = 0, token: str = ""
) -> AsyncIterator[Embedded]:
    """A nats-server for the length of the block, restarted if it ends by itself.

    ``directory`` keeps its store, configuration and log; without one they are temporary.
    ``port`` 0 takes any free port; an empty ``token`` makes a new secret. Raises `CellBroken`
    if it can't be started.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-cell-") as temporary:
        server = Embedded(directory or Path(temporary), port, token)
        await server.start()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(server.watch)
                try:
                    yield server
                finally:
                    group.cancel_scope.cancel()
        finally:
            await server.stop()


def _listening(ports: Path) -> int | None:
    """The port told in the server's ports file, None while it isn't there in full."""
    for file in ports.glob("*.ports"):
        with suppress(ValueError, LookupError, TypeError):
            return int(json.loads(file.read_text())["nats"][0].rpartition(":")[2])
    return None
