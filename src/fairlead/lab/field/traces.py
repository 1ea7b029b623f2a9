"""Recorded rates of an access network, replayed: mahimahi's traces, or a table of seconds and kb/s.

A mahimahi trace names in each line the millisecond at which a packet of 1,500 bytes may pass; it
begins anew at its end. Here it becomes a rate for each `BIN_S`: what happens within one is evened
out. The queue keeps its size in bytes, that of the mean rate, as the buffer of a base station does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from fairlead.lab.field.scenario import Weather
from fairlead.server.toml import ConfigError, read_text

BIN_S = 0.2
PACKET_BITS = 1_500 * 8
HEADER = "seconds,kbps"
LONGEST = 1_000_000
"""Lines of a file."""
LEAST_KBPS = 10
"""Of a bin in which nothing passes: what waits leaves with the next."""
QUEUE_MS = 300.0
MOST_QUEUE_MS = 3_000_000.0
"""Under the emulator's hour."""


class Step(NamedTuple):
    """From a second on, a rate."""

    at: float
    kbps: int


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Rates over a time, after which it begins anew."""

    steps: list[Step]
    seconds: float

    @property
    def mean_kbps(self) -> float:
        ends = [*(step.at for step in self.steps[1:]), self.seconds]
        spans = zip(self.steps, ends, strict=True)
        return sum(step.kbps * (end - step.at) for step, end in spans) / self.seconds

    def replayed(self) -> Iterator[Step]:
        """Without end."""
        for lap in itertools.count():
            yield from (Step(lap * self.seconds + step.at, step.kbps) for step in self.steps)

    def weather(self, now: Weather, kbps: int) -> Weather:
        """An access with this rate; its queue keeps its bytes, or gets `QUEUE_MS` of the mean."""
        rate = max(kbps, LEAST_KBPS)
        waits = QUEUE_MS * self.mean_kbps
        if now.queue_ms is not None:
            waits = now.queue_ms * (now.rate_kbps or self.mean_kbps)
        queue_ms = min(waits / rate, MOST_QUEUE_MS)
        return msgspec.structs.replace(now, rate_kbps=rate, queue_ms=queue_ms)


def read(path: Path) -> Trace:
    """A trace from its file. Raises `ConfigError`."""
    lines = read_text(path).split("\n")
    if len(lines) > LONGEST:
        raise ConfigError(f"{path} has {len(lines)} lines: give up to {LONGEST}")
    numbered = [(n, line.strip()) for n, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise ConfigError(f"{path} is empty: give a trace with at least one line")
    if numbered[0][1].replace(" ", "") == HEADER:
        return _table(path, numbered[1:])
    return _mahimahi(path, numbered)


def _mahimahi(path: Path, numbered: list[tuple[int, str]]) -> Trace:
    times: list[int] = []
    for number, line in numbered:
        if not line.isdecimal() or (times and int(line) < times[-1]):
            raise ConfigError(
                f"{path}, line {number}: {line[:20]!r} is no millisecond after the one before: "
                f"give rising whole numbers, or begin with {HEADER!r}"
            )
        times.append(int(line))
    seconds = max(times[-1] / 1e3, BIN_S)
    counts = [0] * max(1, round(seconds / BIN_S))
    for ms in times:
        counts[min(int(ms / 1e3 / BIN_S), len(counts) - 1)] += 1
    steps = [
        Step(n * BIN_S, round(count * PACKET_BITS / BIN_S / 1e3)) for n, count in enumerate(counts)
    ]
    return Trace(steps=steps, seconds=len(counts) * BIN_S)


def _table(path: Path, numbered: list[tuple[int, str]]) -> Trace:
    steps: list[Step] = []
    for number, line in numbered:
        try:
            at, kbps = (float(field) for field in line.split(","))
            if not (0 <= kbps < 1e8 and (at > steps[-1].at if steps else at == 0)):
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"{path}, line {number}: {line[:40]!r} is no moment with its rate: give rising "
                "seconds, the first 0, and kb/s"
            ) from None
        steps.append(Step(at, round(kbps)))
    if len(steps) < 2:
        raise ConfigError(f"{path} has {len(steps)} moments: give two or more, the last is its end")
    return Trace(steps=steps[:-1], seconds=steps[-1].at)
