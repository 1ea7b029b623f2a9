"""What of the machine and the configuration keeps a node from serving well."""

from __future__ import annotations

import ctypes
import importlib.metadata
import ipaddress
import resource
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec

from fairlead.server.config import Config, is_loopback
from fairlead.server.doctor.finding import Finding, failed, ok, skipped, warning
from fairlead.server.state import NodeState

UDP_BUFFER = 4 << 20
"""What the packet path asks of each UDP socket (crates/io/src/socket.rs)."""
FILES = 65_536
"""Descriptors: a TCP client takes one, a websocket one, and the front two more."""
DISK_BYTES = 1 << 30
TIME_ERROR = 5
"""What adjtimex(2) answers while the clock is not synchronised."""
STEP_S = 3.0


async def examine(config: Config) -> tuple[list[Finding], bool]:
    """Every look at this machine that needs no client, and whether the node runs on it."""
    running = await _is_running(config)
    findings = [versions(), *addresses(config), *certificate(config), udp_buffers(), files()]
    findings += [clock(), disk(config), *ports(config, running), *await nats(config)]
    if running:
        findings.append(await links(config))
    return findings, running


def versions() -> Finding:
    parts = ("fairlead", "livekit-protocol", "uvicorn", "websockets", "nats-py")
    said = []
    for part in parts:
        try:
            said.append(f"{part} {importlib.metadata.version(part)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ok("versions", f"{', '.join(said)}.")


def addresses(config: Config) -> Iterator[Finding]:
    """Whether clients can be expected to reach what they are told."""
    if is_loopback(config.node.bind):
        yield warning(
            "addresses",
            f"The node listens on {config.node.bind}, for this machine alone.",
            "Set node.bind to 0.0.0.0 and node.addresses to the public address, with [keys].",
        )
        return
    for text in config.addresses:
        address = ipaddress.ip_address(text)
        if address in ipaddress.ip_network("172.16.0.0/12"):
            yield warning(
                "addresses",
                f"{text} looks like a container's, which clients elsewhere can't reach.",
                "Run with the host's network, or set node.addresses to the host's address.",
            )
        elif address.is_private:
            yield warning(
                "addresses",
                f"{text} is private: only clients in the same network reach it.",
                "Set node.addresses to the public address, if there are others.",
            )
        else:
            yield ok("addresses", f"Clients are told {text}.")


def certificate(config: Config) -> Iterator[Finding]:
    """Whether the files of the front go together."""
    front = config.front
    if not front.certificate:
        says = "There is no certificate: browsers allow microphones only over HTTPS."
        yield skipped("certificate", says)
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(front.certificate, front.key)
    except (OSError, ssl.SSLError) as error:
        fix = f"Give the chain and its key in PEM: {front.certificate} and {front.key}."
        yield failed("certificate", f"It can't be used ({error}).", fix)
        return
    yield ok("certificate", f"{front.certificate} and its key go together.")


def udp_buffers() -> Finding:
    """Whether the system grants the buffers that a burst needs."""
    short = []
    for name in ("rmem_max", "wmem_max"):
        try:
            granted = int(Path(f"/proc/sys/net/core/{name}").read_text())
        except (OSError, ValueError):
            return skipped("udp buffers", "This system does not tell its limits.")
        if granted < UDP_BUFFER:
            short.append(f"net.core.{name}={UDP_BUFFER}")
    if short:
        return warning(
            "udp buffers",
            "The system grants UDP sockets less than 4 MiB: bursts are dropped.",
            f"sysctl -w {' '.join(short)}, and the same in /etc/sysctl.d.",
        )
    return ok("udp buffers", "UDP sockets get 4 MiB.")


def files() -> Finding:
    """How many descriptors a process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        return warning(
            "descriptors",
            f"A process may open {soft} files: so many clients over TCP, at most a third.",
            f"ulimit -n {FILES}, or LimitNOFILE={FILES} in the systemd unit.",
        )
    return ok("descriptors", f"A process may open {soft} files.")


def clock() -> Finding:
    """Whether something keeps this machine's time."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (AttributeError, OSError):
        return skipped("time", "This system does not tell whether its clock is synchronised.")
    if state == TIME_ERROR:
        fix = "Run chrony or systemd-timesyncd: tokens and TURN credentials end by the clock."
        return warning("time", "Nothing is known to set this machine's clock.", fix)
    return ok("time", "The clock is synchronised.")


def disk(config: Config) -> Finding:
    """Whether there is room for the cell's store."""
    place = config.cell_directory or Path(tempfile.gettempdir())
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < DISK_BYTES:
        return warning("disk", f"{place} has {free >> 20} MiB left.", "Make room: 1 GiB or more.")
    return ok("disk", f"{place} has {free >> 30} GiB left.")


def ports(config: Config, running: bool) -> Iterator[Finding]:
    """Whether each port is the running node's, or free for one."""
    wanted = [
        ("port", socket.SOCK_STREAM, config.node.port),
        ("tcp_port", socket.SOCK_STREAM, config.tcp_port),
        ("udp_port", socket.SOCK_DGRAM, config.udp_port),
        ("mesh_port", socket.SOCK_DGRAM, config.mesh_port),
        ("turn.port", socket.SOCK_STREAM, config.turn_port),
        ("turn.port", socket.SOCK_DGRAM, config.turn_port),
        ("front.port", socket.SOCK_STREAM, config.front_port),
    ]
    for name, kind, port in wanted:
        if not port:
            continue
        protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        refusal = _bind(config.node.bind, kind, port)
        label = f"{name} {protocol.lower()}"
        if running and refusal is not None:
            yield ok(label, f"{protocol} port {port} is in use, as it should be.")
        elif running:
            fix = "Start the node with this configuration, or give the one that it runs with."
            yield failed(label, f"A node runs, and {protocol} port {port} is free.", fix)
        elif refusal is None:
            yield ok(label, f"{protocol} port {port} is free.")
        else:
            fix = f"Stop what uses it, give another {name}, or allow low ports to the user."
            yield failed(label, f"{protocol} port {port} can't be had ({refusal}).", fix)


def _bind(address: str, kind: int, port: int) -> str | None:
    """Why a port can't be had; None if it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


async def nats(config: Config) -> list[Finding]:
    """Whether the cells that the configuration names answer."""
    places = dict(config.cells)
    if config.cell.nats:
        places[config.node.region] = config.cell.nats
    if not places:
        return [ok("nats", "The node runs a cell of its own and knows no others.")]
    return [await _nats(region, url) for region, url in sorted(places.items())]


async def _nats(region: str, url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 4222
    try:
        with anyio.fail_after(STEP_S):
            async with await anyio.connect_tcp(host, port) as stream:
                greeting = await stream.receive()
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        fix = f"Start it, or let TCP to port {port} of {host} through."
        return failed("nats", f"The cell of {region} at {host}:{port} does not answer.", fix)
    if not greeting.startswith(b"INFO "):
        fix = f"Correct the address of {region} in the configuration."
        return failed("nats", f"What answers at {host}:{port} is no NATS server.", fix)
    return ok("nats", f"The cell of {region} answers at {host}:{port}.")


async def _is_running(config: Config) -> bool:
    try:
        async with httpx.AsyncClient(timeout=STEP_S) as client:
            answer = await client.get(_own(config))
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.text == "OK"


async def links(config: Config) -> Finding:
    """How the running node's links are, by its own word."""
    if not config.admin.token:
        return skipped("links", "The node tells its state only with an [admin] token.")
    headers = {"authorization": f"Bearer {config.admin.token}"}
    try:
        async with httpx.AsyncClient(timeout=STEP_S) as client:
            answer = await client.get(f"{_own(config)}/admin/state", headers=headers)
        state = msgspec.json.decode(answer.content, type=NodeState)
    except (httpx.HTTPError, msgspec.DecodeError):
        fix = "Give the configuration that the node runs with, and look from its own machine."
        return failed("links", "The node does not tell its state.", fix)
    down = [link.node for link in state.links if link.state != "up"]
    if down:
        names = ", ".join(map(str, down))
        fix = "Let UDP to the mesh ports in at both ends, and see that the other node runs."
        return failed("links", f"Links to nodes {names} are not up.", fix)
    return ok("links", f"{len(state.links)} links are up.")


def _own(config: Config) -> str:
    bind = config.node.bind
    if ipaddress.ip_address(bind).is_unspecified:
        bind = "::1" if ":" in bind else "127.0.0.1"
    host = f"[{bind}]" if ":" in bind else bind
    return f"http://{host}:{config.node.port}"
