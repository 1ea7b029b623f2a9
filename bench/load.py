"""Driving `fairlead-load`: a spec goes in, phases come out, servers' CPU is read at each."""

from __future__ import annotations

import json
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import jwt

from bench.cpu import Cpu, cpu

Media = Literal["audio", "video"]

TOKEN_S = 3600
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


@dataclass(frozen=True)
class Spent:
    """CPU of one server during a call."""

    quiet: Cpu
    quiet_s: float
    measured: Cpu


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


def seats(server: Server, room: str, role: str, number: int) -> list[dict[str, str]]:
    """Places at a server for `number` participants."""
    return [
        {"url": server.url, "token": _token(server, room, f"{role}-{index}")}
        for index in range(number)
    ]


def _token(server: Server, room: str, identity: str) -> str:
    now = int(time.time())
    claims = {
        "iss": server.key,
        "sub": identity,
        "nbf": now - 10,
        "exp": now + TOKEN_S,
        "video": {"roomJoin": True, "room": room, "canPublish": True, "canSubscribe": True},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # development secrets are short
        return jwt.encode(claims, server.secret, "HS256")


def call(
    media: Media,
    publisher: Server,
    subscriber: Server,
    *,
    publishers: int,
    subscribers: int,
    seconds: float,
    quiet: float,
) -> tuple[dict[str, Any], dict[str, Spent]]:
    """A call between two servers (or at one). Returns the client's figures and what each spent.

    Raises `LoadFailed`.
    """
    name = room()
    spec = {
        "media": media,
        "publishers": seats(publisher, name, "publisher", publishers),
        "subscribers": seats(subscriber, name, "subscriber", subscribers),
        "quiet_s": quiet,
        "measure_s": seconds,
    }
    watched = {one.name: one.pid for one in (publisher, subscriber) if one.pid is not None}
    samples: dict[str, tuple[float, dict[str, Cpu]]] = {}
    figures: dict[str, Any] = {}
    for line in _lines("call", spec):
        moment = time.monotonic(), {name: cpu(pid) for name, pid in watched.items()}
        samples[line["phase"]] = moment
        if line["phase"] == "quiet":
            figures["join_ms"] = line["join_ms"]
        if line["phase"] == "done":
            figures |= {name: value for name, value in line.items() if name != "phase"}
    spent = {
        name: Spent(
            quiet=samples["speaking"][1][name] - samples["quiet"][1][name],
            quiet_s=samples["speaking"][0] - samples["quiet"][0],
            measured=samples["measured"][1][name] - samples["measuring"][1][name],
        )
        for name in watched
    }
    return figures, spent


def joins(
    publisher: Server, subscriber: Server, *, number: int, staying: int
) -> list[dict[str, float]]:
    """One after another joins, hears the first packet of who speaks, and leaves.

    ``staying`` listeners are there all the time. Raises `LoadFailed`.
    """
    name = room()
    spec = {
        "media": "audio",
        "publishers": seats(publisher, name, "publisher", 1),
        "subscribers": seats(subscriber, name, "subscriber", staying),
        "joiners": seats(subscriber, name, "joiner", number),
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
            process.stdin.write(json.dumps(spec))
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
            complaint = process.stderr.read().strip()
        finally:
            process.terminate()
    if complaint:
        raise LoadFailed(complaint)
