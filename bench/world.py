"""A world of two regions for a measurement, in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench.load import LoadFailed, Server
from fairlead.lab.load.process import listener


@dataclass(frozen=True)
class RunningWorld:
    """The regions of a world that stands."""

    servers: list[Server]
    admin: str
    pid: int
    """Of the world; its nodes and their cells are below it."""

    def server(self, region: str) -> Server:
        """The node of a region."""
        return next(server for server in self.servers if server.name == region)

    def rtt_ms(self) -> float:
        """The measured round trip between the first two regions."""
        links = httpx.get(f"{self.admin}/state", trust_env=False).json()["links"]
        return float(links[0]["rtt_ms"])


@contextmanager
def running(
    regions: Sequence[str] = (), *, file: Path | None = None, log_level: str = "warning"
) -> Iterator[RunningWorld]:
    """A world of these regions, or of a world file, ended with the block. Raises `LoadFailed`."""
    command = [sys.executable, "-m", "fairlead.cli", "world", "--json", "--log-level", log_level]
    command += ["--file", str(file)] if file else ["--regions", ",".join(regions)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                process.wait()
                log.seek(0)
                words = log.read().strip().splitlines() or ["it said nothing"]
                raise LoadFailed(f"the world did not start: {words[-1]}")
            said = json.loads(line)
            servers = [
                Server(
                    name=node["region"],
                    url=node["url"],
                    key=said["api_key"],
                    secret=said["api_secret"],
                    pid=listener(urlsplit(node["url"]).port or 80),
                )
                for node in said["nodes"]
            ]
            yield RunningWorld(servers, said["admin"], process.pid)
        finally:
            process.terminate()
            process.wait()
