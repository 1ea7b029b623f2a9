"""Worlds to test against: one started for the session, or any servers named by the environment.

`FAIRLEAD_E2E_URLS="ws://a,ws://b"` (with `FAIRLEAD_E2E_KEY` and `FAIRLEAD_E2E_SECRET`, default the
development pair) points the tests at servers that already run; the first stands for Jakarta, the
second for Frankfurt.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from livekit import api

URLS = "FAIRLEAD_E2E_URLS"
READY_S = 60.0
STOP_S = 15.0


@dataclass(frozen=True)
class Edge:
    """One server that clients may join at."""

    region: str
    url: str
    key: str
    secret: str

    @property
    def http(self) -> str:
        """The address of the server's HTTP side."""
        return self.url.replace("ws", "http", 1)

    def token(self, identity: str, room: str, ttl_s: float = 600, **grants: Any) -> str:
        """A token to join `room`; `grants` are fields of VideoGrants beside the usual ones."""
        fields = {"room_join": True, "room": room, "can_update_own_metadata": True, **grants}
        return (
            api.AccessToken(self.key, self.secret)
            .with_identity(identity)
            .with_name(identity.title())
            .with_ttl(timedelta(seconds=ttl_s))
            .with_grants(api.VideoGrants(**fields))
            .to_jwt()
        )

    def admin_token(self, room: str = "", **grants: Any) -> str:
        """A token for the server API."""
        fields = {"room_create": True, "room_list": True, "room_admin": True, "room": room}
        return (
            api.AccessToken(self.key, self.secret)
            .with_grants(api.VideoGrants(**{**fields, **grants}))
            .to_jwt()
        )

    def api(self) -> api.LiveKitAPI:
        """A client of the server API; use it as an async context manager."""
        return api.LiveKitAPI(self.http, self.key, self.secret)


@dataclass(frozen=True)
class World:
    """The servers of one world. All but the edges is None where the tests did not start it."""

    edges: dict[str, Edge]
    admin: str | None = None
    pid: int | None = None
    log: Path | None = None

    def __getitem__(self, region: str) -> Edge:
        return self.edges[region]


def named_world() -> World | None:
    """The world that the environment names, if it names one."""
    urls = [url.strip().rstrip("/") for url in os.environ.get(URLS, "").split(",") if url.strip()]
    if not urls:
        return None
    key = os.environ.get("FAIRLEAD_E2E_KEY", "devkey")
    secret = os.environ.get("FAIRLEAD_E2E_SECRET", "secret")
    near, far = urls[0], urls[-1]
    return World(
        {
            "jakarta": Edge("jakarta", near, key, secret),
            "frankfurt": Edge("frankfurt", far, key, secret),
        }
    )


@contextmanager
def started_world(*arguments: str) -> Iterator[World]:
    """A `fairlead world` of our own, stopped at the end."""
    with _started("world", *arguments, "--json") as (process, log, ready):
        yield World(
            {
                node["region"]: Edge(
                    node["region"], node["url"].rstrip("/"), ready["api_key"], ready["api_secret"]
                )
                for node in ready["nodes"]
            },
            ready["admin"].rstrip("/"),
            process.pid,
            log,
        )


@contextmanager
def started_node(config: Path) -> Iterator[Edge]:
    """One `fairlead up` with the development pair, stopped at the end."""
    with _started("up", "--config", str(config), "--json") as (_, _, ready):
        yield Edge(ready["region"], ready["url"].rstrip("/"), "devkey", "secret")


@contextmanager
def _started(
    *arguments: str,
) -> Iterator[tuple[subprocess.Popen[str], Path, dict[str, Any]]]:
    """A command that says that it is ready in a line of JSON, its log, and that line."""
    log = Path(tempfile.mkstemp(prefix="fairlead-world-", suffix=".log")[1])
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*_fairlead(), *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        yield process, log, json.loads(_first_line(process, log))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    log.unlink()


def _fairlead() -> list[str]:
    script = shutil.which("fairlead", path=str(Path(sys.executable).parent))
    return [script] if script else [sys.executable, "-m", "fairlead.cli"]


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    end = time.monotonic() + READY_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if selector.select(max(0.0, end - time.monotonic())):
            line = process.stdout.readline()
            if line.strip():
                return line
    tail = "\n".join(log.read_text().splitlines()[-8:])
    raise RuntimeError(f"the world was not ready within {READY_S:.0f} s; its log ends:\n{tail}")
