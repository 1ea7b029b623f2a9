"""A node, and a command behind an access network that lets little out.

`python -m tests.e2e.behind ORDER` (JSON, `Order`) prints what the command prints and ends as it
does. It makes a network namespace for itself and the node, and another one for the command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from fairlead.lab.field import networks
from fairlead.lab.field.networks import Networks
from fairlead.lab.field.process import await_namespace
from fairlead.lab.field.scenario import SHORTEST_S, Access, Scenario

SEED = 1
GO = 'read line && exec "$@"'
"""Held until its network is there."""


def _possible() -> bool:
    try:
        made = subprocess.run([*networks.unshare(), "true"], capture_output=True, check=False)
    except OSError:
        return False
    return made.returncode == 0 and Path("/dev/net/tun").exists()


POSSIBLE = pytest.mark.skipif(
    not _possible(), reason="no network namespaces or no /dev/net/tun here"
)


class Order(msgspec.Struct, kw_only=True):
    """What is wanted."""

    node: str
    """Configuration of the node, TOML."""
    access: Access
    command: list[str]


def run(node: str, access: dict[str, Any], command: list[str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which the namespaces end with."""
    order = json.dumps({"node": node, "access": access, "command": command})
    return subprocess.run(
        [sys.executable, "-m", "tests.e2e.behind", order],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


async def _behind(order: Order) -> int:
    scenario = Scenario(summary="", seconds=SHORTEST_S, access={"wifi": order.access})
    node = [sys.executable, "-m", "fairlead.cli", "up", "--config", "-", "--json"]
    server = subprocess.Popen(node, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    networked = Networks(scenario, SEED)
    try:
        server.stdin.write(order.node.encode())
        server.stdin.close()
        if not server.stdout.readline():
            return 1
        held = [*networks.unshare(), "--", "sh", "-c", GO, "sh", *order.command]
        client = subprocess.Popen(held, stdin=subprocess.PIPE)
        assert client.stdin is not None
        await await_namespace(client.pid)
        await networked.give_to(client.pid)
        client.stdin.write(b"\n")
        client.stdin.close()
        return client.wait()
    finally:
        networked.close()
        server.terminate()
        server.wait(20)


def main() -> int:
    """Do as ordered."""
    networks.enter(sys.argv[1:], "tests.e2e.behind")
    return anyio.run(_behind, msgspec.json.decode(sys.argv[1], type=Order))


if __name__ == "__main__":
    sys.exit(main())
