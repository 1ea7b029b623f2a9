"""The node's record: CPU per forwarded packet, delay, memory, joins, on one edge and across two.

Each figure of CPU stands beside a bare sendmmsg loop of the same packets on the same machine, run
right after it, and beside another LiveKit server's in the same run where `--against` names one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench import load, rooms
from bench.load import LoadFailed, Server
from bench.row import Row, print_rows
from bench.world import RunningWorld, running
from fairlead import _core
from fairlead.lab.load.lines import Figures
from fairlead.lab.load.process import Cpu, listener
from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spent import Readings, spent

REGIONS = ["jakarta", "frankfurt"]
QUIET_S = 3.0
BARE_S = 3.0

# DESIGN section 11.
FIRST_AUDIO_MS = 300
"""First audio after join is at most this and three round trips."""
TIMES_OPEN_LIVEKIT = 4.0
TIMES_BARE = 2.0
DELAY_P99_MS = 2.0
MIB_A_PARTICIPANT, KIB_A_SUBSCRIPTION = 0.5, 30.0
JOINS_A_CORE_SECOND = 200

RHYTHM = {"audio": (50, 1), "video": (30, 5)}
"""Bursts a second of a publisher and packets in one, as the load client sends them."""


@dataclass(frozen=True)
class Call:
    """A call to be measured."""

    media: str
    shape: Shape
    across: bool = False

    @property
    def title(self) -> str:
        where = "two edges" if self.across else "one edge"
        return f"{self.media}, {self.shape.publishers} to {self.shape.subscribers}, {where}"


def calls(subscribers: int) -> list[Call]:
    """Those of the record."""
    audio = Shape(audio_publishers=1, subscribers=subscribers)
    video = Shape(video_publishers=1, subscribers=subscribers)
    layered = Shape(video_publishers=1, subscribers=subscribers, layers=3)
    room = Shape(audio_publishers=8, subscribers=subscribers)
    return [
        Call("audio", audio),
        Call("audio", audio, across=True),
        Call("audio", room),
        Call("video", video),
        Call("video", video, across=True),
        Call("video in 3 layers", layered),
    ]


@dataclass
class Forwarded:
    """What one server spent on a call."""

    figures: Figures
    packets: int
    """Received by its subscribers."""
    us_per_packet: float
    """CPU of the whole process, Python included; not a number where its process is unknown."""
    packet_threads_us: float
    above_quiet_us: float
    """The whole process, less what it uses when nobody speaks."""
    memory_mib: float
    bare_us: float = float("nan")
    """Of the bare loop at the same rhythm."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def p99_ms(self) -> float:
        return max(one.delay_ms.p99 for one in self.figures.media.values())

    @property
    def p50_ms(self) -> float:
        return max(one.delay_ms.p50 for one in self.figures.media.values())

    @property
    def lost(self) -> int:
        return sum(one.lost for one in self.figures.media.values())


def measure(call: Call, publisher: Server, subscriber: Server, seconds: float) -> Forwarded:
    """One call at one server or two. Raises `LoadFailed`."""
    print(f"{call.title}: {subscriber.name}", file=sys.stderr)
    figures, readings = load.call(call.shape, publisher, subscriber, seconds=seconds, quiet=QUIET_S)
    return forwarded(figures, readings.get(subscriber.name, {}))


def forwarded(figures: Figures, readings: Readings) -> Forwarded:
    """What a server's readings say of a call."""
    packets = max(figures.received, 1)
    found = spent(readings, figures)
    if found is None:
        nan = float("nan")
        return Forwarded(figures, packets, nan, nan, nan, nan)
    quiet_s = (found.quiet_cores or 0.0) * figures.seconds
    return Forwarded(
        figures,
        packets,
        us_per_packet=found.us_per_packet,
        packet_threads_us=found.packet_threads_s * 1e6 / packets,
        above_quiet_us=(found.cpu_s - quiet_s) * 1e6 / packets,
        memory_mib=found.memory_mib,
    )


def bare(call: Call, one: Forwarded) -> float:
    """CPU microseconds a packet of a loop that only sends, in the rhythm of the call."""
    rate, segments = RHYTHM["audio" if call.media == "audio" else "video"]
    return load.bare(
        subscribers=call.shape.subscribers,
        size=round(one.figures.datagram_bytes),
        seconds=BARE_S,
        segments=segments,
        bursts=rate * call.shape.publishers,
    )


def forwarding_rows(
    world: RunningWorld, against: Server | None, subscribers: int, seconds: float
) -> Iterator[Row]:
    """A row for each call, and one for each at the other server. Raises `LoadFailed`."""
    near, far = world.servers
    for call in calls(subscribers):
        ours = measure(call, near, far if call.across else near, seconds)
        ours.bare_us = bare(call, ours)
        peer = None
        if against is not None and not call.across:
            peer = measure(call, against, against, seconds)
        yield _cpu_row(call, ours, peer)
        yield _delay_row(call, ours, peer, world)


def _cpu_row(call: Call, ours: Forwarded, peer: Forwarded | None) -> Row:
    note = (
        f"packet threads {ours.packet_threads_us:.1f}, above quiet {ours.above_quiet_us:.1f}; bare "
        f"loop {ours.bare_us:.1f}, ratio {ours.us_per_packet / ours.bare_us:.1f}; {ours.lost} lost"
    )
    target, met = f"<= {TIMES_BARE:.0f} x bare", ours.us_per_packet <= TIMES_BARE * ours.bare_us
    figures: dict[str, Any] = {"ours": _plain(ours)}
    if peer is not None:
        times = peer.us_per_packet / ours.us_per_packet
        target, met = f">= {TIMES_OPEN_LIVEKIT:.0f} x the other", times >= TIMES_OPEN_LIVEKIT
        note = f"{times:.2f} x the other server ({peer.us_per_packet:.1f} us); {note}"
        figures |= {"peer": _plain(peer), "times_peer": times}
    return Row(
        what=f"{call.title}: CPU a packet",
        value=f"{ours.us_per_packet:.1f} us",
        target=target,
        met=met,
        note=note,
        figures=figures,
    )


def _delay_row(call: Call, ours: Forwarded, peer: Forwarded | None, world: RunningWorld) -> Row:
    link = world.rtt_ms() / 2 if call.across else 0.0
    note = f"link {link:.0f} ms" if call.across else ""
    if peer is not None:
        note = f"the other server: p50 {peer.p50_ms:.1f}, p99 {peer.p99_ms:.1f}"
    hops = 2 if call.across else 1
    return Row(
        what=f"{call.title}: delay",
        value=f"p50 {ours.p50_ms:.1f} ms, p99 {ours.p99_ms:.1f} ms",
        target=f"p99 <= {DELAY_P99_MS * hops:.0f} ms and the link",
        met=ours.p99_ms - link <= DELAY_P99_MS * hops,
        note=note,
    )


def _plain(one: Forwarded) -> dict[str, Any]:
    return {
        "figures": msgspec.to_builtins(one.figures),
        "us_per_packet": one.us_per_packet,
        "packet_threads_us": one.packet_threads_us,
        "above_quiet_us": one.above_quiet_us,
        "bare_us": one.bare_us,
        "memory_mib": one.memory_mib,
    }


def memory_row(subscribers: int) -> Row:
    """Memory of a participant and of a subscription: two rooms, each in a world of its own, so
    that neither uses what the other left. Raises `LoadFailed`."""
    grown: list[tuple[int, int, float]] = []
    idle = 0.0
    for publishers in (1, 8):
        shape = Shape(audio_publishers=publishers, subscribers=subscribers)
        with running(["jakarta"]) as world:
            server = world.servers[0]
            _, readings = load.call(shape, server, server, seconds=5.0, quiet=0.0)
        one = readings[server.name]
        first, last = one["begin"].memory_kib, one["measured"].memory_kib
        grown.append((shape.clients, shape.subscriptions, last - first))
        idle = first / 1024
    (p1, s1, g1), (p8, s8, g8) = grown
    by = p1 * s8 - p8 * s1
    participant_mib, subscription_kib = (g1 * s8 - g8 * s1) / by / 1024, (p1 * g8 - p8 * g1) / by
    met = participant_mib <= MIB_A_PARTICIPANT and subscription_kib <= KIB_A_SUBSCRIPTION
    return Row(
        what="memory",
        value=f"{participant_mib:.2f} MiB a participant, {subscription_kib:.0f} KiB a subscription",
        target=f"<= {MIB_A_PARTICIPANT} MiB; <= {KIB_A_SUBSCRIPTION:.0f} KiB",
        met=met,
        note=f"node idle {idle:.0f} MiB; from {p1} and {p8} people with {s1} and {s8} audio "
        "subscriptions",
        figures={"grown": grown, "idle_mib": idle},
    )


def joins_row(clients: int) -> Row:
    """How fast a node lets everyone in, media connected. Raises `LoadFailed`."""
    shape = Shape(audio_publishers=1, subscribers=clients)
    with running(["jakarta"]) as world:
        server = world.servers[0]
        figures, readings = load.call(shape, server, server, seconds=1.0, quiet=0.0)
    one = readings[server.name]
    cpu: Cpu = one["quiet"].cpu - one["begin"].cpu
    per_core = figures.joined / (cpu.total / 1e9)
    return Row(
        what=f"{clients} joins at once",
        value=f"{figures.joins_per_s:.0f} a second, {per_core:.0f} a core-second",
        target=f">= {JOINS_A_CORE_SECOND} a core-second",
        met=per_core >= JOINS_A_CORE_SECOND,
        note=f"media connected p50 {figures.join_ms.p50:.0f}, p99 {figures.join_ms.p99:.0f} ms; "
        "load client on the same cores",
        figures={"figures": msgspec.to_builtins(figures), "cpu_s": cpu.total / 1e9},
    )


def first_audio_row(world: RunningWorld, number: int, staying: int) -> Row:
    """Joins at the second region while someone at the first speaks. Raises `LoadFailed`."""
    publisher, subscriber = world.servers
    rtt = world.rtt_ms()
    steps = load.joins(publisher, subscriber, number=number, staying=staying)
    heard = sorted(step["heard_ms"] for step in steps)
    p50, p95 = statistics.median(heard), heard[min(len(heard) - 1, round(0.95 * len(heard)))]
    target = FIRST_AUDIO_MS + 3 * rtt
    return Row(
        what=f"join to first audio, two regions, {'some' if staying else 'nobody'} there before",
        value=f"p50 {p50:.0f} ms, p95 {p95:.0f} ms",
        target=f"<= {target:.0f} ms",
        met=p95 <= target,
        note=f"{len(steps)} joins, round trip {rtt:.0f} ms",
        figures={"steps": steps, "rtt_ms": rtt},
    )


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Measure. Raises `LoadFailed`."""
    load.binary()
    if not _core.OPTIMIZED:
        raise LoadFailed("fairlead._core is a debug build: run `make bench`, which builds another")
    with running(REGIONS) as world:
        yield from forwarding_rows(world, _against(options), options.subscribers, options.seconds)
        for staying in (0, 1) if options.joins else ():
            yield first_audio_row(world, options.joins, staying)
    yield memory_row(options.subscribers)
    yield joins_row(options.subscribers * 4)
    with running(["jakarta"]) as world:
        yield rooms.row(world.servers[0], _against(options))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What this record and the whole one share."""
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--subscribers", type=int, default=50)
    parser.add_argument("--joins", type=int, default=20, help="for the time to first audio")
    parser.add_argument(
        "--against", metavar="URL", help="a LiveKit server here: ws://127.0.0.1:7880"
    )
    parser.add_argument("--key", default="devkey", help="API key of --against")
    parser.add_argument("--secret", default="secret", help="API secret of --against")
    parser.add_argument("--pid", type=int, help="process of --against; else who listens there")


def _against(options: argparse.Namespace) -> Server | None:
    if not options.against:
        return None
    pid = options.pid or listener(urlsplit(options.against).port or 80)
    return Server("the other server", options.against, options.key, options.secret, pid)


def main() -> int:
    """Run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.node", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    found: list[Row] = []
    try:
        for row in rows(options):
            found.append(row)
    except LoadFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    finally:
        print_rows(found, as_json=options.json, title="the node")
    return 0


if __name__ == "__main__":
    sys.exit(main())
