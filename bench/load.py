"""Loads for `bench/`: calls by the load client of `fairlead bench`, and what `fairlead-load` adds.

Servers' CPU is read at each phase of a call.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec

from fairlead.lab.load import run
from fairlead.lab.load.lines import Figures
from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spec import Target, Timing, Traffic, encode, token
from fairlead.lab.load.spent import Readings

Media = Literal["audio", "video"]

_rooms = count(1)


class LoadFailed(Exception):
    """The load client could not do its work; its text is one plain sentence."""


@dataclass(frozen=True)
class Server:
    """A LiveKit-compatible server: where it is, how to sign for it, and its process if known."""

    name: str
    url: str
    key: str
    secret: str
    pid: int | None


def binary() -> Path:
    """The load client, built by `make bench`. Raises `LoadFailed`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or "target")
    path = Path(os.environ.get("FAIRLEAD_LOAD") or target / "release" / "fairlead-load")
    if not path.is_file():
        raise LoadFailed(f"{path} is not there: run `make bench`, which builds it")
    return path


def room() -> str:
    """A name that no other call of this run has."""
    return f"bench-{os.getpid()}-{next(_rooms)}"


def seat(server: Server, room: str, identity: str) -> dict[str, str]:
    """A place at a server."""
    target = Target(urls=[server.url], key=server.key, secret=server.secret)
    return {"url": server.url, "token": token(target, room, identity, time.time())}


def call(
    shape: Shape, publisher: Server, subscriber: Server, *, seconds: float, quiet: float
) -> tuple[Figures, dict[str, Readings]]:
    """A call between two servers (or at one). Returns the client's figures and the readings of each
    server whose process is known.

    Raises `LoadFailed`.
    """
    target = Target(
        urls=[publisher.url, subscriber.url], key=subscriber.key, secret=subscriber.secret
    )
    spec = encode(
        shape,
        target,
        Timing(quiet_s=quiet, measure_s=seconds),
        Traffic(),
        run=room(),
        now=time.time(),
    )
    watched = {one.name: one.pid for one in (publisher, subscriber) if one.pid is not None}

    async def played() -> tuple[Figures, list[Readings]]:
        return await run.run(spec, list(watched.values()))

    try:
        figures, readings = anyio.run(played)
    except run.LoadFailed as failure:
        raise LoadFailed(str(failure)) from None
    if figures.failed:
        raise LoadFailed(f"a client {next(iter(figures.failed))}")
    return figures, dict(zip(watched, readings, strict=True))


def joins(
    publisher: Server, subscriber: Server, *, number: int, staying: int
) -> list[dict[str, float]]:
    """One after another joins, hears the first packet of who speaks, and leaves.

    ``staying`` listeners are there all the time. Raises `LoadFailed`.
    """
    name = room()
    spec = {
        "publishers": [{"media": "audio", **seat(publisher, name, "publisher")}],
        "subscribers": [seat(subscriber, name, f"subscriber-{n}") for n in range(staying)],
        "joiners": [seat(subscriber, name, f"joiner-{n}") for n in range(number)],
    }
    return [line for line in _lines("join", spec) if line.pop("phase") == "heard"]


def bare(*, subscribers: int, size: int, seconds: float, segments: int, bursts: float) -> float:
    """CPU microseconds of a sendmmsg loop for each packet. Raises `LoadFailed`."""
    words = {
        "subscribers": subscribers,
        "size": size,
        "seconds": seconds,
        "segments": segments,
        "bursts": bursts,
    }
    arguments = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([binary(), "bare", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise LoadFailed(done.stderr.strip())
    return float(json.loads(done.stdout)["cpu_us_per_packet"])


def _lines(command: str, spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [binary(), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(msgspec.json.encode(spec).decode())
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
            complaint = process.stderr.read().strip()
        finally:
            process.terminate()
    if complaint:
        raise LoadFailed(complaint)
