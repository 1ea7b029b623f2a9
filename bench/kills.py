"""Links and relays of a real world are killed while people of the Python SDK count aloud.

Lost audio frames are holes in the RTP numbers at the listener's client, redundancy off: each is
20 ms of speech that never came. Swallowed words and the playout jump are taken from the sound
itself: the recording is written down blindly, and the jump is the greatest change of mouth-to-ear
delay from one word to the next.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.counted import counted_call
from bench.faults import Fault, Wrecker, choose, paths
from bench.load import LoadFailed
from bench.world import RunningWorld, running
from fairlead.lab.field import counting, sound
from fairlead.lab.load.process import machine
from tests.e2e.counting import Concealed

WORLD = Path(__file__).parents[1] / "scenarios" / "detour.toml"
CALLS = (("jakarta", "frankfurt"), ("frankfurt", "sydney"), ("sydney", "jakarta"))
"""Speaker and listener; Singapore and Mumbai only relay."""
SETTLE_S = 5.0
KILLS_IN_A_WORLD = 15
"""Links that fail again and again are held back for minutes: then there is nothing to hit."""
BEFORE_S = 2.0
"""Of a recording, before the fault."""
BROKEN_S = 4.0
AFTER_S = 1.5
REST_S = 1.0
PROTECTED_WITHIN_S = 90.0
"""Longest wait for a call with a second path: a link that failed often is on hold for long."""
RELAY_SHARE = 0.25
POLL_S = 0.25


@dataclass(frozen=True)
class Hit:
    """What one fault did to one call."""

    fault: str
    call: str
    on_path: bool
    """Whether the fault was on its first path, as last told before."""
    first: str
    second: str | None
    packets: int
    """Received during the window; 50 a second are sent."""
    lost: int
    """Audio frames that never came."""
    discarded: int
    """Audio frames that came too late."""
    concealed_ms: float
    words: int
    swallowed: int
    """Numbers with a word missing."""
    added: int
    jump_ms: float


@dataclass
class Result:
    """Of a run; partial if it was interrupted."""

    kills: int
    seed: int
    hits: list[Hit]
    machine: dict[str, str | int]

    def summary(self) -> dict[str, Any]:
        """Over the calls that a fault hit while a second path stood by; the others beside them.

        Calls that no fault hit say what this machine adds by itself.
        """
        hit = [one for one in self.hits if one.on_path and one.second is not None]
        alone = [one for one in self.hits if one.on_path and one.second is None]
        spared = [one for one in self.hits if not one.on_path]
        jumps = sorted(one.jump_ms for one in hit)
        return {
            "kills": self.kills,
            "calls_hit": len(hit),
            "audio_frames_lost": sum(one.lost for one in hit),
            "audio_frames_late": sum(one.discarded for one in hit),
            "calls_hit_with_loss": sum(one.lost > 0 for one in hit),
            "numbers_swallowed": sum(one.swallowed for one in hit),
            "jump_ms_p50": _median(jumps),
            "jump_ms_p99": jumps[min(len(jumps) - 1, int(0.99 * len(jumps)))] if jumps else None,
            "calls_hit_without_second_path": len(alone),
            "audio_frames_lost_without_second_path": sum(one.lost for one in alone),
            "audio_frames_lost_not_hit": sum(one.lost for one in spared),
            "numbers_swallowed_not_hit": sum(one.swallowed for one in spared),
            "jump_ms_p50_not_hit": _median([one.jump_ms for one in spared]),
        }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


@dataclass(frozen=True)
class Window:
    """A recording around a fault, still to be written down."""

    sound: NDArray[np.int16]
    hit: dict[str, Any]


async def measure(
    world: RunningWorld,
    kills: int,
    seed: int,
    out: Console,
    windows: list[Window],
    unprotected: bool,
) -> None:
    """Run the kills; ``windows`` grows with each. Raises `LoadFailed`."""
    dice = random.Random(seed)
    wrecker = Wrecker(world.admin)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(wrecker.aclose)
        ears = {
            call: await stack.enter_async_context(counted_call(world, "kills", *call))
            for call in CALLS
        }
        await asyncio.sleep(SETTLE_S)
        for number in range(1, kills + 1):
            fault, taken = await _next(wrecker, dice, unprotected)
            for ear in ears.values():
                ear.cut_off(BEFORE_S)
            before = {call: await ear.concealed() for call, ear in ears.items()}
            await wrecker.begin(fault)
            await asyncio.sleep(BROKEN_S)
            await wrecker.end(fault)
            await asyncio.sleep(AFTER_S)
            told = []
            for call, ear in ears.items():
                after = await ear.concealed()
                path = taken.get(call)
                hit = {
                    "fault": fault.words,
                    "call": "-".join(call),
                    "on_path": path is not None and path.is_hit(fault),
                    "first": "-".join(path.first) if path else "none",
                    "second": "-".join(path.second) if path and path.second else None,
                    **_spent(before[call], after),
                }
                windows.append(Window(sound.to_pcm(ear.cut_off(REST_S)), hit))
                if hit["on_path"]:
                    told.append(f"{hit['call']} lost {hit['lost']}")
            out.print(f"[dim]{number}/{kills} {fault.words}: {', '.join(told) or 'no call'}[/dim]")
            await asyncio.sleep(REST_S)


def _spent(before: Concealed, after: Concealed) -> dict[str, Any]:
    return {
        "packets": after.packets - before.packets,
        "lost": after.lost - before.lost,
        "discarded": after.discarded - before.discarded,
        "concealed_ms": round(after.concealed_ms - before.concealed_ms, 1),
    }


async def _next(
    wrecker: Wrecker, dice: random.Random, unprotected: bool
) -> tuple[Fault, dict[Any, Any]]:
    end = time.monotonic() + PROTECTED_WITHIN_S
    while True:
        taken = paths(await wrecker.state(), CALLS)
        fault = choose(dice, taken, RELAY_SHARE, unprotected) if len(taken) == len(CALLS) else None
        if fault is not None:
            return fault, taken
        if time.monotonic() > end:
            raise LoadFailed(
                f"no call had a second path for {PROTECTED_WITHIN_S:.0f} s: "
                "look at `fairlead routes`"
            )
        await asyncio.sleep(POLL_S)


def written_down(window: Window) -> Hit:
    """Listens to a recording."""
    try:
        told = counting.account(counting.transcribe(window.sound / 32_768), range(1_100))
    except AssertionError:  # silence
        return Hit(**window.hit, words=0, swallowed=len(window.sound) // 24_000, added=0, jump_ms=0)
    return Hit(
        **window.hit,
        words=told.words,
        swallowed=len(told.missing),
        added=told.added,
        jump_ms=round(1e3 * told.jump, 1),
    )


def run(kills: int, seed: int, out: Console, unprotected: bool = False) -> Result:
    """The benchmark, in worlds of its own; an interrupt keeps what was measured.

    ``unprotected``: calls without a second path may be hit too.

    Raises `LoadFailed`.
    """
    windows: list[Window] = []
    with contextlib.suppress(KeyboardInterrupt):
        for first in range(0, kills, KILLS_IN_A_WORLD):
            count = min(KILLS_IN_A_WORLD, kills - first)
            with running(file=WORLD) as world:
                asyncio.run(measure(world, count, seed + first, out, windows, unprotected))
    done = len(windows) // len(CALLS)
    out.print(f"[dim]listening to {len(windows)} recordings[/dim]")
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        hits = list(pool.map(written_down, windows))
    return Result(kills=done, seed=seed, hits=hits, machine=machine())


def table(result: Result) -> Table:
    """A row for each call that was hit, and the sum."""
    shown = Table(title=f"{result.kills} kills of a real world, seed {result.seed}")
    for name in ("fault", "call", "first path", "second path"):
        shown.add_column(name)
    for name in ("frames lost", "late", "concealed ms", "swallowed", "jump ms"):
        shown.add_column(name, justify="right")
    for one in result.hits:
        if one.on_path:
            shown.add_row(
                one.fault,
                one.call,
                one.first,
                one.second or "none",
                str(one.lost),
                str(one.discarded),
                f"{one.concealed_ms:.0f}",
                str(one.swallowed),
                f"{one.jump_ms:.0f}",
            )
    return shown


def main() -> int:
    """Run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--unprotected", action="store_true", help="hit calls without a second path too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="The HMAC key is")  # development secrets are short
    out = Console(stderr=options.json, width=150 if not sys.stdout.isatty() else None)
    try:
        result = run(options.kills, options.seed, out, options.unprotected)
    except LoadFailed as failure:
        print(f"kills: {failure}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"summary": result.summary(), **asdict(result)}))
        return 0
    out.print(table(result))
    for name, figure in result.summary().items():
        out.print(f"{name.replace('_', ' ')}: {figure}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
