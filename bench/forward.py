"""`make bench`: node CPU per forwarded packet, on one edge and across two; time to first audio.

Each figure stands beside a bare sendmmsg loop of the same packets on the same machine, run right
after it. The table is printed and written to bench/results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bench import load
from bench.cpu import listener, machine, memory_kib
from bench.load import LoadFailed, Media, Server, Spent
from bench.world import RunningWorld, running
from fairlead import _core

RESULTS = Path(__file__).parent / "results"
REGIONS = ["jakarta", "frankfurt"]
OTHER = "the other server"
SUBSCRIBERS = 50
QUIET_S = 3.0
BARE_S = 3.0
FIRST_AUDIO_MS = 300
"""DESIGN section 11: first audio after join is at most this and three round trips."""

FRAMES = {"audio": (50, 1), "video": (30, 5)}
"""Frames a second of each medium and packets in one, as `fairlead-load` sends them."""


@dataclass(frozen=True)
class Forwarding:
    """What one node spent on a call."""

    call: str
    node: str
    role: str
    packets: int
    """Sent on by this node during the measurement."""
    us_per_packet: float
    """CPU of the whole process, Python included."""
    packet_threads_us: float
    above_quiet_us: float
    """The whole process, less what it uses when nobody speaks."""
    quiet_cpu: float
    """Cores used with everyone connected and nobody speaking."""
    bare_us: float
    """Of the bare loop at the same rhythm."""
    bare_flat_out_us: float
    lost: int
    delay_ms: dict[str, float]
    """From the publisher's socket to the subscriber's, the emulated link included."""
    memory_mib: float

    @property
    def ratio(self) -> float:
        return self.us_per_packet / self.bare_us


class Bench:
    """The calls of a run and their results."""

    def __init__(self, seconds: float, subscribers: int, out: Console) -> None:
        self.seconds = seconds
        self.subscribers = subscribers
        self.results: list[Forwarding] = []
        self._out = out

    def call(
        self, media: Media, publisher: Server, subscriber: Server, publishers: int = 1
    ) -> None:
        """Measure one call. Raises `LoadFailed`."""
        across = publisher is not subscriber
        title = f"{media}, {publishers} to {self.subscribers}"
        title += f", {publisher.name} to {subscriber.name}" if across else f", {publisher.name}"
        self._out.print(f"[dim]{title}[/dim]")
        figures, spent = load.call(
            media,
            publisher,
            subscriber,
            publishers=publishers,
            subscribers=self.subscribers,
            seconds=self.seconds,
            quiet=QUIET_S,
        )
        if across:
            self._add(title, "sends to the edge", publisher, spent, figures, figures["sent"], media)
        role = "delivers" if across else "both"
        self._add(title, role, subscriber, spent, figures, figures["received"], media)

    def _add(
        self,
        title: str,
        role: str,
        server: Server,
        spent: dict[str, Spent],
        figures: dict[str, Any],
        packets: int,
        media: Media,
    ) -> None:
        size = round(figures["datagram_bytes"])
        rate, segments = FRAMES[media]
        own = spent.get(server.name)
        measured = own.measured if own else None
        quiet = own.quiet.total / 1e9 / own.quiet_s if own else 0.0
        total = measured.total / 1e3 / packets if measured else float("nan")
        to = 1 if role == "sends to the edge" else self.subscribers
        self.results.append(
            Forwarding(
                call=title,
                node=server.name,
                role=role,
                packets=packets,
                us_per_packet=total,
                packet_threads_us=measured.packet_threads / 1e3 / packets if measured else 0.0,
                above_quiet_us=total - quiet * figures["seconds"] * 1e6 / packets,
                quiet_cpu=quiet,
                bare_us=_bare(to, size, segments, rate),
                bare_flat_out_us=_bare(to, size, segments, 0),
                lost=figures["lost"],
                delay_ms=figures["delay_ms"],
                memory_mib=memory_kib(server.pid) / 1024 if server.pid else 0.0,
            )
        )


def _bare(subscribers: int, size: int, segments: int, bursts: float) -> float:
    return load.bare(
        subscribers=subscribers, size=size, seconds=BARE_S, segments=segments, bursts=bursts
    )


def first_audio(world: RunningWorld, number: int, staying: int) -> dict[str, Any]:
    """Joins at the second region while someone at the first speaks. Raises `LoadFailed`."""
    publisher, subscriber = world.servers
    rtt = world.rtt_ms()
    steps = load.joins(publisher, subscriber, number=number, staying=staying)
    by_step = {name: sorted(step[name] for step in steps) for name in steps[0]}
    return {
        "joins": len(steps),
        "listeners_before": staying,
        "rtt_ms": rtt,
        "target_ms": FIRST_AUDIO_MS + 3 * rtt,
        "p50": {name: statistics.median(values) for name, values in by_step.items()},
        "p95": {name: _p95(values) for name, values in by_step.items()},
    }


def _p95(values: list[float]) -> float:
    return values[min(len(values) - 1, round(0.95 * len(values)))]


def forwarding_table(results: list[Forwarding]) -> Table:
    """CPU per packet, a row for each node of each call."""
    table = Table(title="Node CPU, microseconds per forwarded packet")
    table.add_column("call")
    table.add_column("node")
    for name in ("packets", "node", "packet threads", "above quiet", "bare", "node / bare"):
        table.add_column(name, justify="right")
    for name in ("bare, flat out", "cores when quiet", "lost", "delay p50", "p99 ms"):
        table.add_column(name, justify="right")
    for one in results:
        table.add_row(
            one.call,
            f"{one.node}, {one.role}" if one.role != "both" else one.node,
            f"{one.packets:,}",
            f"{one.us_per_packet:.1f}",
            f"{one.packet_threads_us:.1f}",
            f"{one.above_quiet_us:.1f}",
            f"{one.bare_us:.1f}",
            f"{one.ratio:.1f}",
            f"{one.bare_flat_out_us:.1f}",
            f"{one.quiet_cpu:.3f}",
            f"{one.lost:,}",
            f"{one.delay_ms['p50']:.1f}",
            f"{one.delay_ms['p99']:.1f}",
        )
    return table


def comparisons(results: list[Forwarding]) -> list[str]:
    """Our first call beside the same call on the other server, a line for each medium."""
    lines = []
    for other in results:
        if other.node != OTHER:
            continue
        ours = next(one for one in results if one.call == other.call.replace(OTHER, one.node))
        lines.append(
            f"{ours.call}: {ours.us_per_packet:.1f} us a packet, "
            f"{other.us_per_packet / ours.us_per_packet:.2f} times as many packets for the same "
            f"CPU as {OTHER} ({other.us_per_packet:.1f} us)"
        )
    return lines


def joins_table(joins: list[dict[str, Any]]) -> Table:
    """Steps from the joiner's first packet to its first audio."""
    table = Table(title="Join to first audio across two regions, milliseconds")
    for name in ("joins", "others there", "", "signal", "joined", "answer", "connected"):
        table.add_column(name, justify="right")
    table.add_column("first audio", justify="right", style="bold")
    table.add_column("round trip", justify="right")
    table.add_column("target", justify="right")
    for one in joins:
        for share in ("p50", "p95"):
            steps = ("opened", "joined", "answered", "connected", "heard")
            table.add_row(
                str(one["joins"]),
                str(one["listeners_before"]),
                share,
                *(f"{one[share][f'{step}_ms']:.0f}" for step in steps),
                f"{one['rtt_ms']:.0f}",
                f"{one['target_ms']:.0f}",
            )
    return table


def main() -> int:
    """Run, print and write. Returns the exit status."""
    options = _options()
    out = Console(width=190) if not sys.stdout.isatty() else Console()
    bench = Bench(options.seconds, options.subscribers, out)
    joins = []
    try:
        _check_build()
        with running(REGIONS) as world:
            near, far = world.servers
            for media in options.media:
                bench.call(media, near, near)
                if options.against:
                    bench.call(media, *(_against(options),) * 2)
                bench.call(media, near, far)
            if "audio" in options.media:
                bench.call("audio", near, near, publishers=8)
            for staying in (0, 1) if options.joins else ():
                out.print(f"[dim]{options.joins} joins, one after another[/dim]")
                joins.append(first_audio(world, options.joins, staying))
    except LoadFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    out.print(forwarding_table(bench.results))
    for line in comparisons(bench.results):
        out.print(line, highlight=False)
    if joins:
        out.print(joins_table(joins))
    out.print(f"written to {_write(bench.results, joins)}", highlight=False)
    return 0


def _check_build() -> None:
    load.binary()
    if not _core.OPTIMIZED:
        raise LoadFailed("fairlead._core is a debug build: run `make bench`, which builds another")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.forward", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--subscribers", type=int, default=SUBSCRIBERS)
    parser.add_argument("--joins", type=int, default=20, help="for the time to first audio")
    parser.add_argument("--media", nargs="+", choices=list(FRAMES), default=list(FRAMES))
    parser.add_argument(
        "--against", metavar="URL", help="a LiveKit server here: ws://127.0.0.1:7880"
    )
    parser.add_argument("--key", default="devkey", help="API key of --against")
    parser.add_argument("--secret", default="secret", help="API secret of --against")
    parser.add_argument("--pid", type=int, help="process of --against; else who listens there")
    return parser.parse_args()


def _against(options: argparse.Namespace) -> Server:
    pid = options.pid or listener(urlsplit(options.against).port or 80)
    return Server(OTHER, options.against, options.key, options.secret, pid)


def _write(results: list[Forwarding], joins: list[dict[str, Any]]) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-forward.json"
    record = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "forwarding": [asdict(one) | {"ratio": one.ratio} for one in results],
        "first_audio": joins,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
