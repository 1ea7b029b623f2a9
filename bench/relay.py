"""A relay's packets per second of a core, beside a loop that only receives and sends.

`fairlead-load relay` has a sender, the shipping node as a relay, and a receiver on loopback; what
counts is the CPU of the node's packet thread. The added delay is that through the relay less that
without one, percentile by percentile, in the same run at half of the relay's load.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from bench import load
from bench.load import LoadFailed
from bench.row import Row, print_rows

RELAY_PER_S, ADDED_P99_MS = 400_000, 2.0
"""DESIGN section 11."""
RUN_S = 120.0


@dataclass(frozen=True)
class Medium:
    """What crosses, and how much of it a second."""

    name: str
    options: tuple[str, ...]
    full: int
    """Packets a second, about what two shared cores carry with both ends on them."""


MEDIA = (
    Medium("audio, 80 bytes", (), 120_000),
    Medium("video, 1,150 bytes", ("--video",), 40_000),
)


def rows(seconds: float) -> list[Row]:
    """Measure. Raises `LoadFailed`."""
    return [row for medium in MEDIA for row in _rows(medium, seconds)]


def _rows(medium: Medium, seconds: float) -> list[Row]:
    relay = _relay(medium, medium.full, seconds)
    bare = _relay(medium, medium.full, seconds, "--bare")
    # Half of what a core would carry, or half of what this machine can send and take.
    half = round(min(relay["packets_per_core_second"], medium.full) / 2)
    through, direct = (_relay(medium, half, seconds, *more) for more in ((), ("--direct",)))
    per_core, bare_per_core = relay["packets_per_core_second"], bare["packets_per_core_second"]
    added = {
        share: through[f"delay_{share}_ms"] - direct[f"delay_{share}_ms"]
        for share in ("p50", "p99")
    }
    return [
        Row(
            what=f"relay, {medium.name}, sealed",
            value=f"{per_core:,.0f} packets/s of a core",
            target=f">= {RELAY_PER_S:,}",
            met=per_core >= RELAY_PER_S,
            note=f"{relay['sent'] / max(relay['datagrams'], 1):.1f} packets a datagram; bare loop "
            f"{bare_per_core:,.0f}, ratio {per_core / bare_per_core:.2f}; "
            f"{relay['sent'] - relay['received']} of {relay['sent']} lost",
            figures={"relay": relay, "bare": bare},
        ),
        Row(
            what=f"delay that a relay adds, {medium.name}, {half:,} packets/s",
            value=f"p50 {added['p50']:.2f} ms, p99 {added['p99']:.2f} ms",
            target=f"p99 <= {ADDED_P99_MS:.0f} ms",
            met=added["p99"] <= ADDED_P99_MS,
            note=f"packet thread {through['load']:.0%} of a core",
            figures={"through": through, "direct": direct},
        ),
    ]


def _relay(medium: Medium, rate: float, seconds: float, *more: str) -> dict[str, Any]:
    words = ["relay", "--rate", str(rate), "--seconds", str(seconds), *medium.options, *more]
    try:
        done = subprocess.run(
            [load.binary(), *words], capture_output=True, text=True, timeout=RUN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"fairlead-load {' '.join(words)} took over {RUN_S:.0f} s") from None
    if done.returncode:
        raise LoadFailed(done.stderr.strip() or f"fairlead-load ended with {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> int:
    """Run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    try:
        print_rows(rows(options.seconds), as_json=options.json)
    except LoadFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
