"""Clients that can't come straight: through TURN alone, and through the one TCP port."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.lab import ports
from fairlead.lab.field.networks import HOST, PUBLIC
from tests.e2e import behind
from tests.e2e.behind import POSSIBLE
from tests.e2e.browser import DRIVER, Browser, joined_page, started_browser
from tests.e2e.people import joined
from tests.e2e.worlds import Edge
from tests.media import chirp

pytestmark = pytest.mark.anyio

ADMIN = "of-the-test"
CONFIG = f"""
[node]
port = {{port}}
[turn]
enabled = true
[front]
port = {{front}}
[admin]
token = "{ADMIN}"
"""
KEY, SECRET = "test", "a-secret-of-the-test-with-enough-characters"
BEHIND = f"""
[node]
bind = "{{host}}"
port = 7880
[keys]
{KEY} = "{SECRET}"
[log]
level = "warning"
[turn]
port = 3478
[front]
certificate = "{{folder}}/c.pem"
key = "{{folder}}/k.pem"
host = "{{host}}"
"""
ONLY_443 = {"udp": False, "tcp_ports": [443]}
PAGE = ["node", str(DRIVER.with_name("doctor.mjs"))]
CAPTURED: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "check": False}
WORKS, FAILS = "works", "fails"
BEST = "the best way; for this network nothing needs fixing."
OPEN_UDP = "and will stutter where packets are lost: let UDP to {host}:7882 through."
OVER_TCP = f"by ICE over TCP, but not over UDP, {OPEN_UDP}"
RELAYED = f"by TURN over TLS, only relayed, {OPEN_UDP}"


@contextmanager
def _started() -> Iterator[tuple[Edge, int]]:
    """A node with TURN, and the port of its front."""
    port = ports.one()
    front = port + ports.STEP - 1
    process = subprocess.Popen(
        [sys.executable, "-m", "fairlead.cli", "up", "--config", "-", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(CONFIG.format(port=port, front=front))
        process.stdin.close()
        ready = json.loads(process.stdout.readline())
        yield Edge(ready["region"], ready["url"], "devkey", "secret"), front
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[Edge, int]]:
    with _started() as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.mark.browser
async def test_the_sdk_and_chromium_hear_each_other_through_turn_alone(
    node: tuple[Edge, int], browser: Browser, room: str
) -> None:
    edge, _ = node
    async with (
        joined(edge, room, "ayu", relayed=True) as ayu,
        joined_page(browser, edge, room, "ben", relayed=True) as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        await asyncio.gather(
            ben.hear("ayu", chirp.JAKARTA),
            ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT),
        )
    counters = await _counters(edge)
    assert counters["turn_to_peers"] > 100
    assert counters["turn_to_clients"] > 100
    assert counters["turn_peers_refused"] == 0


async def test_a_call_is_joined_through_the_one_port(node: tuple[Edge, int], room: str) -> None:
    edge, front = node
    through = Edge(edge.region, f"ws://127.0.0.1:{front}", edge.key, edge.secret)
    before = (await _counters(edge))["gate_web_streams"]
    async with joined(through, room, "ayu") as ayu, joined(edge, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
    assert (await _counters(edge))["gate_web_streams"] > before


async def test_what_comes_through_the_one_port_is_no_operator(node: tuple[Edge, int]) -> None:
    edge, front = node
    headers = {"authorization": f"Bearer {ADMIN}"}
    async with httpx.AsyncClient(headers=headers) as client:
        own = await client.get(f"{edge.http}/admin/state")
        outside = await client.get(f"http://127.0.0.1:{front}/admin/state")
    assert own.status_code == 200
    assert outside.status_code != 200


def test_the_doctor_finds_every_way(node: tuple[Edge, int]) -> None:
    edge, _ = node
    command = [sys.executable, "-m", "fairlead.cli", "doctor", "--url", edge.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(one["name"], one["verdict"]) for one in json.loads(done.stdout)["findings"]]
    for way in ("ice udp", "ice tcp", "turn udp", "turn tcp"):
        assert (way, "ok") in found
    assert found.count(("ice tcp", "ok")) == 2, "the one port has a candidate of its own"


@pytest.mark.browser
def test_the_page_finds_every_way_from_a_browser(node: tuple[Edge, int]) -> None:
    edge, _ = node
    command = [sys.executable, "-m", "fairlead.cli", "doctor", "--url", edge.url, "--link"]
    link = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = _told(subprocess.run([*PAGE, link.stdout.strip()], **CAPTURED))
    assert _verdicts(told) == [WORKS, WORKS, WORKS, WORKS, "absent"], told
    assert told["summary"] == f"Calls get through by ICE over UDP, {BEST}"
    assert "Give the front a certificate" in told["ways"]["TURN over TLS"]["says"]


@pytest.mark.browser
def test_the_page_says_what_keeps_it_from_the_node(node: tuple[Edge, int], room: str) -> None:
    edge, _ = node
    token, nobody = edge.token("visitor", room), ports.one()
    silent = f"127.0.0.1 does not answer at TCP port {nobody}: start the node"
    for asked, said in (
        (f"token={token}&url=ws://127.0.0.1:{nobody}", silent),
        ("token=nonsense", "The node answers but refuses the token"),
        (f"token={token}&url=nonsense", "nonsense is no address of a server"),
        (f"token={token}&url={edge.url}/elsewhere", "not as a Fairlead node does"),
    ):
        told = _told(subprocess.run([*PAGE, f"{edge.http}/doctor#{asked}"], **CAPTURED))
        assert said in told["summary"]
        assert told["ways"] == {}, "nothing else is tried"


@POSSIBLE
@pytest.mark.browser
@pytest.mark.parametrize(
    ("access", "host", "verdicts", "said"),
    [
        ({}, PUBLIC, [WORKS] * 5, f"by ICE over UDP, {BEST}"),
        ({"udp": False}, PUBLIC, [FAILS, WORKS, FAILS, WORKS, WORKS], OVER_TCP),
        (ONLY_443, PUBLIC, [FAILS, WORKS, FAILS, FAILS, WORKS], OVER_TCP),
        # A browser takes no candidate at port 443 of a private address: TLS alone is left.
        (ONLY_443, HOST, [FAILS, FAILS, FAILS, FAILS, WORKS], RELAYED),
    ],
    ids=["open", "udp-blocked", "only-443", "only-tls"],
)
def test_the_page_behind_a_firewall_says_which_way_works_and_what_to_open(
    access: dict[str, Any],
    host: str,
    verdicts: list[str],
    said: str,
    room: str,
    tmp_path: Path,
) -> None:
    edge, config = _node_with_a_certificate(tmp_path, host)
    address = f"{edge.http}/doctor#token={edge.token('visitor', room)}"
    told = _told(behind.run(config, access, [*PAGE, address, "--any-certificate"]))
    assert _verdicts(told) == verdicts, told
    assert told["summary"] == f"Calls get through {said.format(host=host)}"


@POSSIBLE
@pytest.mark.browser
def test_the_page_tells_a_port_that_swallows_everything(room: str, tmp_path: Path) -> None:
    edge, config = _node_with_a_certificate(tmp_path, HOST)
    asked = f"token={edge.token('visitor', room)}&url=wss://{HOST}:7443"
    command = [*PAGE, f"{edge.http}/doctor#{asked}", "--any-certificate"]
    told = _told(behind.run(config, {"tcp_ports": [443]}, command))
    assert told["summary"].startswith(f"{HOST} does not answer at TCP port 7443: start the node")


def test_the_doctor_says_what_to_fix_and_refuses_what_is_no_server() -> None:
    nobody = f"ws://127.0.0.1:{ports.one()}"
    command = [sys.executable, "-m", "fairlead.cli", "doctor", "--url"]
    done = subprocess.run([*command, nobody], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Start the server" in done.stdout
    done = subprocess.run([*command, "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


async def _counters(edge: Edge) -> dict[str, int]:
    """The node's, once it has counted what is over: it tells them about once a second."""
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {ADMIN}"}) as client:
        since = (await client.get(f"{edge.http}/admin/state")).json()["uptime_s"]
        while True:
            state = (await client.get(f"{edge.http}/admin/state")).json()
            if state["counted_s"] > since + 1:
                return dict(state["counters"])
            await asyncio.sleep(0.1)


def _told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the doctor's page said."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return dict(json.loads(done.stdout))


def _verdicts(told: dict[str, Any]) -> list[str]:
    return [way["verdict"] for way in told["ways"].values()]


def _node_with_a_certificate(folder: Path, host: str) -> tuple[Edge, str]:
    """One with all ways, for `behind`: how it is reached, and its configuration."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")]
    named = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=IP:{host}"]
    subprocess.run(["openssl", *made, *files, *named], check=True, capture_output=True)
    return Edge("", f"wss://{host}", KEY, SECRET), BEHIND.format(folder=folder, host=host)
