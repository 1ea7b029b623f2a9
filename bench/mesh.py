"""`python -m bench.mesh`: the simulated rows of `make bench-mesh`, each beside its target.

Worlds of the 21-region matrix in virtual time, from seeds: what random kills cost the listener,
what a healthy day alarms, what it all costs in bytes. The stub controller of `crates/sim` leases
shortest routes with the best other path beside them; with ``--shipping`` Python's controllers and
followers do, as in `tests/world`.

**Playout jump** is by how much a receiver with an adaptive buffer has to move its playout point:
how much later the latest frame around a fault came than 99 % of the frames before it.
**Video gap** is the longest time between arrivals less the time between frames: how long
something was due and nothing came.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import row as written
from fairlead.core import Simulator
from fairlead.lab.load.process import machine
from tests.world.network import REGIONS, aws, crowd, rtt_ms

RESULTS = Path(__file__).parent / "results"
KILLS_IN_A_WORLD = 20
WARM_UP_S = 12.0
SPACING_S = 9.0
"""From one kill to the next: what was killed is back after three, and its link held for five."""
DEAD_S = 3.0
BEFORE_S = 3.0
TAIL_S = 1.0
AUDIO, VIDEO, UPPER = 20, 4, 4
JITTER_MS = 1.0
HEALTHY_LOSS = 0.001


@dataclass(frozen=True)
class Stream:
    """Somebody publishes at one node and somebody at another listens."""

    publisher: int
    kind: str
    source: int
    target: int


@dataclass
class Found:
    """What the kills of some worlds cost."""

    kills: dict[str, int] = field(default_factory=lambda: {"link": 0, "node": 0})
    audio_frames: int = 0
    audio_lost: int = 0
    kills_with_loss: int = 0
    jumps_ms: list[float] = field(default_factory=list)
    """Of each audio stream whose first path was hit, at each kill."""
    jumps_alone_ms: list[float] = field(default_factory=list)
    """Of those among them that had no second path when it happened."""
    gaps_ms: dict[str, list[float]] = field(default_factory=dict)
    """Of each video stream whose first path was hit: the gap, by kind."""
    beyond_ms: dict[str, list[float]] = field(default_factory=dict)
    """The same, less the round trip of the path that stood behind."""
    video_lost: int = 0
    video_frames: int = 0
    violations: list[str] = field(default_factory=list)
    simulated_s: float = 0.0

    def add(self, other: Found) -> None:
        """Put another's findings to these."""
        for name, count in other.kills.items():
            self.kills[name] += count
        for name in ("audio_frames", "audio_lost", "kills_with_loss", "video_lost"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.video_frames += other.video_frames
        self.simulated_s += other.simulated_s
        self.jumps_ms += other.jumps_ms
        self.jumps_alone_ms += other.jumps_alone_ms
        for mine, theirs in ((self.gaps_ms, other.gaps_ms), (self.beyond_ms, other.beyond_ms)):
            for kind, values in theirs.items():
                mine.setdefault(kind, []).extend(values)
        self.violations += other.violations


class World:
    """The 21 regions, or more nodes over them, with streams between random pairs."""

    def __init__(self, seed: int, *, loss: float, shipping: bool, nodes: int) -> None:
        self.rng = random.Random(seed)
        self.nodes = nodes
        self.run: Callable[[float], None]
        if shipping:
            if nodes > len(REGIONS):
                network = crowd(seed, nodes, jitter_ms=JITTER_MS, loss=loss)
            else:
                network = aws(seed, jitter_ms=JITTER_MS, loss=loss)
            self.sim = network.sim
            self.links = len(network.paths)
            self.run = network.run
            self.kill, self.start = network.kill, network.start
        else:
            self.sim = Simulator(seed, len(REGIONS), stub=True)
            for a in range(1, len(REGIONS) + 1):
                for b in range(a + 1, len(REGIONS) + 1):
                    delay = rtt_ms(a, b) / 2
                    self.sim.add_path(a, b, delay_ms=delay, jitter_ms=JITTER_MS, loss=loss)
            self.links = len(REGIONS) * (len(REGIONS) - 1) // 2
            self.run = self._run
            self.kill = lambda node, at: self.sim.fault(at, "kill", node)
            self.start = lambda node, at: self.sim.fault(at, "start", node)
        self.streams: list[Stream] = []

    def _run(self, until: float) -> None:
        self.sim.advance(until)

    def talk(self, counts: dict[str, int]) -> None:
        """Add streams of each kind between random pairs of nodes."""
        nodes = range(1, self.nodes + 1)
        for kind, count in counts.items():
            for _ in range(count):
                source, target = self.rng.sample(nodes, 2)
                publisher = self.sim.publish(source, kind)
                self.sim.subscribe(target, publisher)
                self.streams.append(Stream(publisher, kind, source, target))

    def path(self, stream: Stream, second: bool = False) -> list[int] | None:
        """The nodes of a stream's first or second path now."""
        route = self.sim.route(stream.source, stream.target)
        via = route and route[1 if second else 0]
        return None if via is None else [stream.source, *via, stream.target]


def kill_some(job: tuple[int, int, bool, int]) -> Found:
    """So many random kills in one world, one after the other."""
    seed, count, shipping, nodes = job
    world = World(seed, loss=0.0, shipping=shipping, nodes=nodes)
    world.run(WARM_UP_S / 2)
    world.talk({"audio": AUDIO, "video": VIDEO, "upper": UPPER})
    world.run(WARM_UP_S)
    found = Found()
    for _ in range(count):
        _kill_one(world, found)
    found.violations += world.sim.violations
    found.simulated_s = world.sim.now
    return found


def _kill_one(world: World, found: Found) -> None:
    """Kill a link that some stream crosses, a relay of some stream, or any node, and see what each
    stream lost.

    Streams that end at the dead node are not looked at: their people join elsewhere.
    """
    sim, rng = world.sim, world.rng
    now, at = sim.now, sim.now + BEFORE_S + rng.random() * 0.1
    used = [stream for stream in world.streams if world.path(stream)]
    path = world.path(rng.choice(used)) or []
    dead = 0
    hit: set[tuple[int, int]] = set()
    if rng.random() < 0.5:
        a, b = rng.choice(list(itertools.pairwise(path)))
        sim.fault(at, "cut", a, b)
        sim.fault(at + DEAD_S, "mend", a, b)
        hit = {(a, b), (b, a)}
        found.kills["link"] += 1
    else:
        relays = [node for one in used for node in (world.path(one) or [])[1:-1]]
        anywhere = range(1, world.nodes + 1)
        dead = rng.choice(relays if relays and rng.random() < 0.5 else anywhere)
        world.kill(dead, at)
        world.start(dead, at + DEAD_S)
        found.kills["node"] += 1
    alone = {stream for stream in used if world.path(stream, second=True) is None}
    before = {stream: (world.path(stream), _behind(world, stream)) for stream in used}
    world.run(at + DEAD_S + SPACING_S - BEFORE_S - TAIL_S)
    end = sim.now
    world.run(end + TAIL_S)
    lost_any = False
    for stream, (nodes, backup) in before.items():
        if dead in (stream.source, stream.target) or nodes is None:
            continue
        usual = sim.figures(stream.target, stream.publisher, now, at - 0.5)
        around = sim.figures(stream.target, stream.publisher, at - 0.5, end)
        lost = around[0] - around[1]
        struck = dead in nodes or not hit.isdisjoint(itertools.pairwise(nodes))
        if stream.kind == "audio":
            found.audio_frames += around[0]
            found.audio_lost += lost
            lost_any |= lost > 0
            if struck:
                jump = max(0.0, around[4] - usual[3])
                found.jumps_ms.append(jump)
                if stream in alone:
                    found.jumps_alone_ms.append(jump)
            continue
        found.video_frames += around[0]
        found.video_lost += lost
        if struck:
            found.gaps_ms.setdefault(stream.kind, []).append(around[5])
            found.beyond_ms.setdefault(stream.kind, []).append(around[5] - backup)
    found.kills_with_loss += lost_any


def _behind(world: World, stream: Stream) -> float:
    """The round trip of the path behind a stream's first; the best over a relay without one."""
    nodes = world.path(stream, second=True)
    if nodes is not None:
        return sum(rtt_ms(a, b) for a, b in itertools.pairwise(nodes))
    relays = set(range(1, world.nodes + 1)) - {stream.source, stream.target}
    return min(rtt_ms(stream.source, k) + rtt_ms(k, stream.target) for k in relays)


@dataclass
class Healthy:
    """A world in which nothing is wrong but a little loss and jitter."""

    simulated_s: float
    links: int
    wall_s: float
    counts: dict[str, int]
    route_changes: int
    datagrams: int
    bytes_sent: int
    media_bytes: int
    """Of media packets, once for each link of their first paths."""
    idle_bytes: int
    """Sent before anybody spoke, for the same time."""
    audio_lost: int
    audio_frames: int


def healthy(seed: int, seconds: float, shipping: bool, nodes: int) -> Healthy:
    """Let a healthy world run."""
    world = World(seed, loss=HEALTHY_LOSS, shipping=shipping, nodes=nodes)
    sim = world.sim
    world.run(WARM_UP_S)
    quiet = sim.bytes_sent
    world.run(WARM_UP_S + 10.0)
    idle = (sim.bytes_sent - quiet) / 10.0 * seconds
    world.talk({"audio": AUDIO, "video": VIDEO, "upper": UPPER})
    world.run(WARM_UP_S + 20.0)
    began, wall = sim.now, time.monotonic()
    counts, changes = sim.counters(), sim.route_changes
    datagrams, sent = sim.datagrams, sim.bytes_sent
    world.run(began + seconds)
    wall = time.monotonic() - wall
    media = lost = frames = 0
    for stream in world.streams:
        figures = sim.figures(stream.target, stream.publisher, began, began + seconds - 2.0)
        hops = len(world.path(stream) or [0, 0]) - 1
        media += figures[0] * hops * (100 if stream.kind == "audio" else 1100)
        if stream.kind == "audio":
            lost += figures[0] - figures[1]
            frames += figures[0]
    after = sim.counters()
    return Healthy(
        simulated_s=seconds,
        links=world.links,
        wall_s=wall,
        counts={name: after[name] - counts.get(name, 0) for name in after},
        route_changes=sim.route_changes - changes,
        datagrams=sim.datagrams - datagrams,
        bytes_sent=sim.bytes_sent - sent,
        media_bytes=media,
        idle_bytes=int(idle),
        audio_lost=lost,
        audio_frames=frames,
    )


def share(values: Iterable[float], rank: float) -> float:
    """A quantile, nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * rank), len(ordered) - 1)] if ordered else 0.0


Row = tuple[str, str, str, str]


def rows(found: Found, well: Healthy) -> list[Row]:
    """What, figure, target, and whether it holds."""

    def verdict(holds: bool) -> str:
        return "holds" if holds else "MISSED"

    p50, p99 = share(found.jumps_ms, 0.5), share(found.jumps_ms, 0.99)
    kills = sum(found.kills.values())
    table: list[Row] = [
        (
            f"audio frames lost, {found.kills['link']} link and {found.kills['node']} node kills",
            f"{found.audio_lost} of {found.audio_frames} "
            f"({found.kills_with_loss} of {kills} kills)",
            "0",
            verdict(found.audio_lost == 0),
        ),
        (
            f"playout jump of streams hit, p50 ({len(found.jumps_ms)})",
            f"{p50:.1f} ms",
            "<= 20 ms",
            verdict(p50 <= 20),
        ),
        ("playout jump of streams hit, p99", f"{p99:.1f} ms", "<= 60 ms", verdict(p99 <= 60)),
        (
            f"playout jump, most, with no second path just then ({len(found.jumps_alone_ms)})",
            f"{max(found.jumps_alone_ms, default=0.0):.1f} ms",
            "-",
            "",
        ),
    ]
    for kind in sorted(found.gaps_ms):
        name = {"video": "video gap, only layer", "upper": "video gap, upper layer"}[kind]
        gaps, beyond = found.gaps_ms[kind], found.beyond_ms[kind]
        over = share(beyond, 0.95)
        table.append(
            (
                f"{name}, p95 ({len(gaps)} hit)",
                f"{share(gaps, 0.95):.0f} ms: backup RTT {over:+.0f} ms",
                "<= backup RTT + 80 ms",
                verdict(over <= 80),
            )
        )
    table.append(
        (
            "video packets lost over the same",
            f"{found.video_lost} of {found.video_frames}",
            "-",
            "",
        )
    )
    link_days = well.links * well.simulated_s / 86_400
    scale = 86_400 / well.simulated_s
    for what, count in (
        ("links suspect", well.counts.get("mesh_link_suspects")),
        ("links down", well.counts.get("mesh_link_downs")),
        ("first paths changed", well.route_changes),
    ):
        said = "not counted" if count is None else f"{count} ({count * scale:.0f} a day)"
        table.append(
            (
                f"false alarms, {what}, in {link_days:.1f} link-days at 0.1 % loss",
                said,
                "0",
                verdict(count == 0),
            )
        )
    extra = 100 * (well.bytes_sent / max(1, well.media_bytes) - 1)
    idle = 100 * well.idle_bytes / max(1, well.media_bytes)
    table += [
        (
            "bytes above media x links of first paths",
            f"{extra:.0f} % ({idle:.0f} % of it probes of quiet links)",
            "-",
            "",
        ),
        (
            "audio frames lost in health",
            f"{well.audio_lost} of {well.audio_frames}",
            "-",
            "",
        ),
        (
            "simulated seconds a second",
            f"{well.simulated_s / well.wall_s:.1f} "
            f"({well.datagrams / well.wall_s:.0f} datagrams/s)",
            "-",
            "",
        ),
    ]
    return table


def _written(row: Row) -> written.Row:
    what, value, target, verdict = row
    return written.Row(
        what=f"mesh, simulated: {what}",
        value=value,
        target="" if target == "-" else target,
        met={"holds": True, "MISSED": False}.get(verdict),
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--healthy", type=float, default=600.0, help="simulated seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--shipping", action="store_true", help="Python's routing in the loop")
    parser.add_argument(
        "--nodes", type=int, default=len(REGIONS), help="over the regions; more need --shipping"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON, and no file")
    options = parser.parse_args()
    if options.nodes > len(REGIONS) and not options.shipping:
        parser.error(f"{options.nodes} nodes are more than the regions: add --shipping")
    began = time.monotonic()
    whole, rest = divmod(options.kills, KILLS_IN_A_WORLD)
    counts = [KILLS_IN_A_WORLD] * whole + ([rest] if rest else [])
    how = (options.shipping, options.nodes)
    jobs = [(options.seed + i, count, *how) for i, count in enumerate(counts)]
    found = Found()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        waiting = pool.apply_async(healthy, (options.seed, options.healthy, *how))
        for one in pool.imap(kill_some, jobs):
            found.add(one)
            print(f"{sum(found.kills.values())} kills", file=sys.stderr)
        well = waiting.get()
    table = rows(found, well)
    if options.json:
        print(json.dumps([asdict(_written(row)) for row in table]))
        return
    shown = Table("what", "figure", "target", "", title="the mesh, simulated")
    for row in table:
        shown.add_row(*row)
    Console(width=140).print(shown)
    for violation in found.violations[:5]:
        print(f"violation: {violation}", file=sys.stderr)
    wall = time.monotonic() - began
    print(f"{found.simulated_s:.0f} s of kills simulated; {wall:.0f} s in all", file=sys.stderr)
    now = datetime.now(UTC)
    result: dict[str, Any] = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "options": vars(options),
        "wall_s": round(wall, 1),
        "rows": table,
        "kills": asdict(found),
        "healthy": asdict(well),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"mesh-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=1))
    print(path)
    if found.violations:
        sys.exit(1)


if __name__ == "__main__":
    main()
