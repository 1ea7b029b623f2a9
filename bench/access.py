"""How true the emulated access networks are: what is set, beside what probes through them see.

``python -m bench.access``, as root, takes a minute. Probes cross one link between two network
namespaces that end with it; delays are from the sender's clock to the kernel's timestamp at the
receiver. A median is the emulator's; far percentiles are mostly the machine's, hence its load and
the emulator's own lateness beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.row import Row, print_rows
from fairlead.core import AccessNetwork
from fairlead.lab.load.process import machine

SPEECH_BYTES, FULL_BYTES, SHORT_BYTES = 172, 1_200, 300
PROBES_PER_S = 500
SECONDS = 3.0
QUEUE_MS = 100.0
SETTLE_S = 0.2
"""From when the last packet is due until all is counted."""
DELAYS_MS = (20.0, 100.0, 400.0)
RATES_KBPS = (250, 1_000, 5_000, 20_000)
CROSS_BYTES = 1_200
"""Of IP, in each packet of others (crates/netem/src/cross.rs)."""
OFFERED = 1.3
"""Of the rate, where it is what is measured."""
LOSSES = (0.01, 0.1, 0.3, 0.8)


@dataclass(frozen=True)
class Probe:
    """One that arrived."""

    number: int
    delay_ms: float
    at_s: float
    bytes: int


class End:
    """A child process in a network of its own, which one device of the link is given to."""

    def __init__(self, device: str, address: str, peer: str) -> None:
        command = ["unshare", "--net", sys.executable, "-m", "bench.access_end"]
        self._process = subprocess.Popen(
            [*command, device, address, peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._device = device

    def move_in(self) -> None:
        self._answer()
        pid = str(self._process.pid)
        subprocess.run(["ip", "link", "set", self._device, "netns", pid], check=True)
        self.ask(None)

    def ask(self, what: dict[str, float] | None) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError(f"the end of {self._device} has stopped: see its message above")
        return json.loads(line)


class Bench:
    """One link, probed upwards."""

    def __init__(self, network: AccessNetwork, link: int, inside: End, outside: End) -> None:
        self.network = network
        self._link = link
        self._inside, self._outside = inside, outside

    def set(self, **weather: Any) -> None:
        self.network.set(self._link, "up", **weather)

    def send(self, seconds: float, per_s: float, length: int) -> int:
        count = max(1, round(seconds * per_s))
        return int(self._inside.ask({"count": count, "per_s": per_s, "length": length}))

    def tally(self) -> dict[str, int]:
        return self.network.tally(self._link, "up")

    def collect(self) -> list[Probe]:
        """All that is under way, once it has arrived."""
        while self.tally()["under_way"]:
            time.sleep(SETTLE_S / 10)
        time.sleep(SETTLE_S)
        came = self._outside.ask(None)
        return [Probe(n, (at - sent) / 1e6, at / 1e9, length) for n, sent, at, length in came]

    def late(self) -> str:
        p50, p99, most = self.network.lateness()
        return f"left late by p50 {p50:.2f}, p99 {p99:.2f}, most {most:.1f} ms"


@contextlib.contextmanager
def bench(seed: int) -> Iterator[Bench]:
    """Raises OSError where this user or machine can't."""
    with contextlib.ExitStack() as stack:
        network = AccessNetwork(seed)
        stack.callback(network.close)
        names = [f"fl{side}{os.getpid()}" for side in "io"]
        link = network.add_link(*names)
        addresses = ("10.9.0.1", "10.9.0.2")
        ends = []
        for name, mine, peer in zip(names, addresses, reversed(addresses), strict=True):
            end = End(name, mine, peer)
            stack.callback(end.close)
            end.move_in()
            ends.append(end)
        yield Bench(network, link, *ends)


def delay(b: Bench, set_ms: float) -> Row:
    b.set(delay_ms=set_ms)
    b.send(SECONDS, PROBES_PER_S, SPEECH_BYTES)
    p50, p99 = _percentiles([probe.delay_ms for probe in b.collect()], 0.5, 0.99)
    value = f"p50 {p50:.2f}, p99 {p99:.2f} ms"
    return _row(b, "delay", f"{set_ms:.0f} ms", value, p50_ms=p50, p99_ms=p99)


def jitter(b: Bench) -> Row:
    b.set(delay_ms=50.0, jitter_ms=30.0)
    # One at a time: closer together, keeping the order makes them later.
    b.send(SECONDS, 20, SPEECH_BYTES)
    p01, p50, p99 = _percentiles([probe.delay_ms for probe in b.collect()], 0.01, 0.5, 0.99)
    value = f"p1 {p01:.1f}, p50 {p50:.1f}, p99 {p99:.1f} ms"
    return _row(b, "jitter", "50 ms, 30 more or less", value, p01_ms=p01, p50_ms=p50, p99_ms=p99)


def rate(b: Bench, kbps: int) -> Row:
    b.set(rate_kbps=kbps, queue_ms=QUEUE_MS)
    length = FULL_BYTES if kbps >= 1_000 else SHORT_BYTES
    b.send(SECONDS, OFFERED * kbps * 1e3 / 8 / length, length)
    came = b.collect()
    # From one arrival to the last there are the bytes of all but the first.
    took = came[-1].at_s - came[0].at_s
    measured = sum(probe.bytes for probe in came[1:]) * 8 / took / 1e3
    tail = [probe.delay_ms for probe in came[len(came) // 2 :]]
    (p50,) = _percentiles(tail, 0.5)
    value = f"{measured / 1e3:.3f} Mb/s, queue p50 {p50:.1f} ms"
    asked = f"{kbps / 1e3:g} Mb/s, queue {QUEUE_MS:.0f} ms"
    return _row(b, "rate", asked, value, kbps=measured, queue_p50_ms=p50)


def loss(b: Bench, share: float) -> Row:
    b.set(loss=share)
    sent = b.send(SECONDS / 2, 4 * PROBES_PER_S, SPEECH_BYTES)
    lost = 1 - len(b.collect()) / sent
    return _row(b, "loss", f"{share:.0%}", f"{lost:.2%}", share=lost)


def bursts(b: Bench) -> Row:
    b.set(loss=0.05, burst=5.0)
    sent = b.send(SECONDS, 4 * PROBES_PER_S, SPEECH_BYTES)
    return _gaps(b, "loss in bursts", "5%, 5 packets", sent)


def outages(b: Bench) -> Row:
    b.set(outage_every_ms=200.0, outage_ms=20.0)
    sent = b.send(2 * SECONDS, 2 * PROBES_PER_S, SPEECH_BYTES)
    return _gaps(b, "outages", "20 ms each 220: 9.1%, 20 packets", sent)


def hold(b: Bench) -> Row:
    b.set(delay_ms=20.0, hold=True)
    sent = b.send(SECONDS / 6, PROBES_PER_S, SPEECH_BYTES)
    b.set(delay_ms=20.0)
    came = b.collect()
    ordered = [probe.number for probe in came] == list(range(sent))
    flooded = sum(probe.at_s - came[0].at_s < 0.01 for probe in came)
    value = f"{len(came)} of {sent}, {flooded} within 10 ms, {'in' if ordered else 'out of'} order"
    return _row(b, "hold", f"{SECONDS / 6:.1f} s, then all", value, came=len(came), sent=sent)


def shared(b: Bench, codel: bool) -> Row:
    """A download of others through the same queue; the probes are few."""
    kbps = 2_000
    before = b.tally()["cross"]
    b.set(rate_kbps=kbps, queue_ms=2 * QUEUE_MS, cross_downloads=1, codel=codel)
    began = time.monotonic()
    sent = b.send(4 * SECONDS, 20, SPEECH_BYTES)
    took = time.monotonic() - began
    got = (b.tally()["cross"] - before) * CROSS_BYTES * 8 / took / 1e6
    b.set()
    delays = [probe.delay_ms for probe in b.collect()]
    p50, p99 = _percentiles(delays, 0.5, 0.99)
    value = f"it {got:.2f} Mb/s; probes p50 {p50:.0f}, p99 {p99:.0f} ms, {sent - len(delays)} lost"
    asked = f"2 Mb/s, {'CoDel' if codel else f'queue {2 * QUEUE_MS:.0f} ms'}"
    return _row(b, "a download beside", asked, value, mbps=got, p50_ms=p50, p99_ms=p99)


def _gaps(b: Bench, what: str, asked: str, sent: int) -> Row:
    numbers = [probe.number for probe in b.collect()]
    gaps = [
        after - before - 1
        for before, after in zip([-1, *numbers], [*numbers, sent], strict=True)
        if after > before + 1
    ]
    mean = sum(gaps) / max(1, len(gaps))
    share = sum(gaps) / sent
    value = f"{share:.2%}, {mean:.1f} packets ({len(gaps)} times)"
    return _row(b, what, asked, value, share=share, mean=mean)


def _row(b: Bench, what: str, asked: str, value: str, **figures: float) -> Row:
    return Row(what=what, value=value, target=asked, note=b.late(), figures=figures)


def _percentiles(values: list[float], *shares: float) -> list[float]:
    ranked = sorted(values)
    return [ranked[min(len(ranked) - 1, int(len(ranked) * share))] for share in shares]


def rows(b: Bench) -> Iterator[Row]:
    measures: list[Callable[[], Row]] = [
        *(lambda ms=ms: delay(b, ms) for ms in DELAYS_MS),
        lambda: jitter(b),
        *(lambda kbps=kbps: rate(b, kbps) for kbps in RATES_KBPS),
        *(lambda share=share: loss(b, share) for share in LOSSES),
        lambda: bursts(b),
        lambda: outages(b),
        lambda: hold(b),
        lambda: shared(b, codel=False),
        lambda: shared(b, codel=True),
    ]
    for measure in measures:
        b.network.lateness()  # of what was before
        yield measure()


def main() -> int:
    """Run and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.access", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the weather")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    options = parser.parse_args()
    try:
        with bench(options.seed) as link:
            measured = list(rows(link))
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    title = "access networks; target is what was set; " + ", ".join(
        f"{name} {value}" for name, value in machine().items()
    )
    print_rows(measured, as_json=options.json, title=title)
    return 0


if __name__ == "__main__":
    sys.exit(main())
