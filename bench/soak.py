"""Twenty rooms in a world of five regions, for an hour of random weather, cuts and kills.

Rooms of the load client come and go; some people of the Python SDK stay and count aloud all the
time. At the end: did anything leak, did a stream stand still, and does each gap belong to a fault
in the log?
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
import warnings
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from rich.console import Console

from bench import load
from bench.counted import counted_call
from bench.faults import Fault, Wrecker
from bench.load import LoadFailed
from bench.world import RunningWorld, running
from fairlead.lab.load import run
from fairlead.lab.load.lines import Figures
from fairlead.lab.load.process import listener, machine, memory_kib
from fairlead.lab.load.report import complaints
from tests.e2e.counting import Ear

WORLD = Path(__file__).parents[1] / "scenarios" / "detour.toml"
RESULTS = Path(__file__).parent / "results"
EDGES = ("jakarta", "singapore", "frankfurt", "sydney")
RELAY = "mumbai"
"""Serves nobody, so that it may be killed."""
STAYING = (("jakarta", "frankfurt"), ("frankfurt", "sydney"), ("singapore", "frankfurt"))
ROUND_S = (20.0, 60.0)
"""A room of the load client lasts so long, then another begins."""
LISTENERS = 2
SAMPLE_S = 5.0
EAR_S = 1.0
REST_S = (6.0, 15.0)
"""Between two faults."""
GRACE_S = 15.0
"""A fault may be felt for so long after it was undone: a link may still be on hold."""
STILL_S = 5.0
"""A stream that brings nothing for so long, with no fault near, is stuck."""
WARM_SHARE = 0.25
"""Of the run: memory grows at first, caches fill."""
LEAK_MIB_PER_HOUR = 24.0
GONE_S = 120.0
"""From the last leave until nothing of the rooms may be left: a client that was ended says no
goodbye, and a room outlives its last one by 20 s."""


@dataclass(frozen=True)
class Sample:
    """One node at one moment."""

    at: float
    region: str
    pid: int
    memory_mib: float
    files: int
    threads: int
    tasks: int
    rooms: int
    participants: int


@dataclass(frozen=True)
class Gap:
    """Audio that a listener missed between two looks."""

    at: float
    who: str
    lost: int
    fault: str | None
    """What it is put down to; None if nothing was wrong."""
    why: str = ""
    """What the load client complains of, where it is a room's."""


@dataclass
class Report:
    """Of a run; partial if it was interrupted."""

    seed: int
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    rooms: int = 0
    """Of the load client, ended."""
    packets: int = 0
    lost: int = 0
    left: dict[str, Any] = field(default_factory=dict)
    """What nodes still held of rooms when everyone had left."""

    def cause(self, start: float, end: float) -> str | None:
        """The fault that was at work in a stretch of time, or had been just before."""
        for fault in self.faults:
            if fault.at <= end and (fault.until is None or fault.until + GRACE_S >= start):
                return fault.words
        return None

    def slopes(self) -> dict[str, float]:
        """MiB an hour of each node's memory once it was warm, of its longest life."""
        found = {}
        for region in {sample.region for sample in self.samples}:
            lives: dict[int, list[Sample]] = {}
            for sample in self.samples:
                if sample.region == region:
                    lives.setdefault(sample.pid, []).append(sample)
            life = max(lives.values(), key=len)
            warm = life[int(WARM_SHARE * len(life)) :]
            if len(warm) >= 4:
                hours = [sample.at / 3600 for sample in warm]
                slope = np.polyfit(hours, [sample.memory_mib for sample in warm], 1)[0]
                found[region] = round(float(slope), 1)
        return found

    def complaints(self, minutes: float) -> list[str]:
        """What is wrong, a sentence each. Memory is judged from ten minutes on."""
        words = [f"stuck: {one}" for one in self.stuck]
        words += [
            f"{gap.who} lost {gap.lost} frames at {gap.at:.0f} s and no fault was near"
            for gap in self.gaps
            if gap.fault is None
        ]
        if minutes >= 10:
            words += [
                f"the node of {region} grows by {slope} MiB an hour"
                for region, slope in self.slopes().items()
                if slope > LEAK_MIB_PER_HOUR
            ]
        words += [f"the node of {region} still has {what}" for region, what in self.left.items()]
        return words


class Soak:
    """One run in a world that stands."""

    def __init__(self, world: RunningWorld, report: Report, rooms: int, out: Console) -> None:
        self._world = world
        self._report = report
        self._rooms = rooms
        self._out = out
        self._dice = random.Random(report.seed)
        self._wrecker = Wrecker(world.admin)
        report.faults = self._wrecker.log

    @property
    def _now(self) -> float:
        return time.monotonic() - self._report.started

    async def run(self, seconds: float) -> None:
        """Everything at once for so long; then everyone leaves and what is left is looked at."""
        before = await self._tasks()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._wrecker.aclose)
            async with AsyncExitStack() as calls:
                ears = [
                    (
                        f"{a}-{b}",
                        await calls.enter_async_context(counted_call(self._world, "soak", a, b)),
                    )
                    for a, b in STAYING
                ]
                jobs = [
                    self._sample(),
                    self._break(),
                    *(self._listen(who, ear) for who, ear in ears),
                    *(self._load(number) for number in range(self._rooms - len(ears))),
                ]
                tasks = [asyncio.create_task(job) for job in jobs]
                try:
                    done, _ = await asyncio.wait(
                        tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
                    )
                    for task in done:
                        task.result()
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    self._report.seconds = self._now
            await self._mend()
            await self._nothing_left(before)

    async def _break(self) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(*REST_S))
            fault = self._next()
            self._out.print(f"[dim]{self._now:.0f} s: {fault.words} {fault.what or ''}[/dim]")
            await self._wrecker.begin(fault)
            await asyncio.sleep(self._dice.uniform(4.0, 12.0))
            await self._wrecker.end(fault)

    def _next(self) -> Fault:
        dice = self._dice
        links = [(a, b) for a in (*EDGES, RELAY) for b in (*EDGES, RELAY) if a < b]
        bare = [("frankfurt", "jakarta"), ("frankfurt", "sydney")]
        where = list(dice.choice([link for link in links if link not in bare]))
        match dice.choices(["weather", "cut", "cut one way", "kill"], [5, 3, 1, 1])[0]:
            case "kill":
                return Fault("kill", [RELAY], 0.0)
            case "cut":
                return Fault("cut", where, 0.0)
            case "cut one way":
                return Fault("cut one way", where, 0.0)
        weather = {
            "loss": round(dice.uniform(0.005, 0.08), 4),
            "jitter_ms": round(dice.uniform(0, 8), 1),
        }
        return Fault("weather", where, 0.0, what=weather)

    async def _mend(self) -> None:
        for fault in self._report.faults:
            if fault.until is None:
                with contextlib.suppress(Exception):  # a report is due whatever else fails
                    await self._wrecker.end(fault)

    async def _listen(self, who: str, ear: Ear) -> None:
        before, since = await ear.concealed(), time.monotonic()
        heard = since
        while True:
            await asyncio.sleep(EAR_S)
            now, at = await ear.concealed(), time.monotonic()
            ear.cut_off()
            lost = now.lost + now.discarded - before.lost - before.discarded
            self._report.packets += now.packets - before.packets
            if lost > 0:
                cause = self._report.cause(since, at)
                self._report.gaps.append(Gap(round(self._now, 1), who, lost, cause))
                self._report.lost += lost
            if now.packets > before.packets:
                heard = at
            elif at - heard > STILL_S and self._report.cause(heard, at) is None:
                self._report.stuck.append(f"{who} at {self._now:.0f} s")
                heard = at
            before, since = now, at

    async def _load(self, number: int) -> None:
        dice = random.Random(f"{self._report.seed}-{number}")
        await asyncio.sleep(dice.uniform(0, 10))
        while True:
            name, seconds = load.room(), dice.uniform(*ROUND_S)
            speaker = self._world.server(dice.choice(EDGES))
            edges = [self._world.server(dice.choice(EDGES)) for _ in range(LISTENERS)]
            spec = {
                "publishers": [{"media": "audio", **load.seat(speaker, name, "publisher")}],
                "subscribers": [
                    load.seat(edge, name, f"subscriber-{index}") for index, edge in enumerate(edges)
                ],
                "measure_s": seconds,
            }
            start = time.monotonic()
            figures, complaint = await _loaded(spec)
            end = time.monotonic()
            cause = self._report.cause(start, end)
            self._report.rooms += 1
            if complaint and cause is None:
                self._report.stuck.append(f"room {name} at {self._now:.0f} s: {complaint}")
            media = figures.media.values() if figures else ()
            if lost := sum(one.lost for one in media):
                gap = Gap(round(self._now, 1), f"room {name}", lost, cause, complaint)
                self._report.gaps.append(gap)
            self._report.packets += sum(one.received for one in media)
            self._report.lost += lost

    async def _sample(self) -> None:
        while True:
            nodes = await self._wrecker.nodes()
            for server in self._world.servers:
                state = nodes.get(server.name)
                pid = listener(urlsplit(server.url).port or 80)
                if state is None or pid is None:
                    continue
                with contextlib.suppress(OSError):  # it ended just now
                    folder = Path(f"/proc/{pid}")
                    sample = Sample(
                        at=round(self._now, 1),
                        region=server.name,
                        pid=pid,
                        memory_mib=round(memory_kib(pid) / 1024, 1),
                        files=len(list((folder / "fd").iterdir())),
                        threads=len(list((folder / "task").iterdir())),
                        tasks=state["tasks"],
                        rooms=state["rooms"],
                        participants=state["participants"],
                    )
                    self._report.samples.append(sample)
            await asyncio.sleep(SAMPLE_S)

    async def _tasks(self) -> dict[str, int]:
        nodes = await self._wrecker.nodes()
        return {region: state["tasks"] for region, state in nodes.items() if state}

    async def _nothing_left(self, before: dict[str, int]) -> None:
        """Waits until no node has anything of a room; what remains goes into the report."""
        end = time.monotonic() + GONE_S
        while True:
            nodes = await self._wrecker.nodes()
            left = {}
            for region, state in nodes.items():
                more = state["tasks"] - before.get(region, 0) if state else 0
                held = {name: state[name] for name in ("rooms", "participants") if state[name]}
                if held or more > 4:
                    left[region] = {**held, "tasks more than before": more}
            if not left or time.monotonic() > end:
                self._report.left = left
                return
            await asyncio.sleep(1.0)


async def _loaded(spec: dict[str, Any]) -> tuple[Figures | None, str]:
    """One call of the load client: its figures, and what is wrong with it."""
    try:
        figures, _ = await run.run(msgspec.json.encode(spec))
    except run.LoadFailed as failure:
        return None, str(failure)
    return figures, "; ".join(complaints(figures, most_loss=1.0))


def main() -> int:
    """Run, print and write. Returns 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="The HMAC key is")  # development secrets are short
    out = Console()
    report = Report(options.seed)
    try:
        with running(file=WORLD) as world, contextlib.suppress(KeyboardInterrupt):
            report.started = time.monotonic()
            soak = Soak(world, report, options.rooms, out)
            asyncio.run(soak.run(60 * options.minutes))
    except LoadFailed as failure:
        print(f"soak: {failure}", file=sys.stderr)
        return 1
    finally:
        if report.samples:
            out.print(f"written to {_write(report)}", highlight=False)
    complaints = report.complaints(report.seconds / 60)
    faults, gaps = len(report.faults), len(report.gaps)
    out.print(
        f"{report.seconds / 60:.1f} minutes, {faults} faults, {report.rooms} rooms came and went, "
        f"{report.packets:,} packets heard, {report.lost:,} lost in {gaps} gaps, "
        f"{sum(gap.fault is None for gap in report.gaps)} of them without a fault near",
        highlight=False,
    )
    out.print(f"memory, MiB an hour: {report.slopes()}", highlight=False)
    for complaint in complaints:
        out.print(complaint, highlight=False)
    return 1 if complaints else 0


def _write(report: Report) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}-soak.json"
    faults = [
        {**asdict(fault), "at": fault.at - report.started, "words": fault.words}
        for fault in report.faults
    ]
    record = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "slopes_mib_per_hour": report.slopes(),
        "complaints": report.complaints(report.seconds / 60),
        **asdict(report),
        "faults": faults,
    }
    path.write_text(json.dumps(record) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
