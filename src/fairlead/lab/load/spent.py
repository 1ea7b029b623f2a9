"""What a server spent on a run: readings of its process at each phase, and what follows of them."""

from __future__ import annotations

import msgspec

from fairlead.lab.load.lines import Figures
from fairlead.lab.load.process import Cpu


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a process had spent when a phase began."""

    at: float
    """Seconds on the event loop's clock."""
    cpu: Cpu
    memory_kib: int


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one server's process spent on a run."""

    cpu_s: float
    """While it was measured, all of its threads."""
    packet_threads_s: float
    """Of that; 0 where the server is not ours."""
    cores: float
    us_per_packet: float
    """For each packet that subscribers received."""
    packets_per_core_second: float
    quiet_cores: float | None
    """With everyone in and nobody speaking; None where no quiet time was asked for."""
    memory_mib: float
    """At the end of the measurement."""
    mib_per_participant: float
    """What it grew by since before the first join, for each client that is in."""
    kib_per_subscription: float
    """The same for each subscription."""


Readings = dict[str, Reading]
"""By the phase that began."""


def spent(readings: Readings, figures: Figures) -> Spent | None:
    """What a process spent, by its readings. None: it was not measured to the end."""
    begin, first = readings.get("begin"), readings.get("measuring")
    last = readings.get("measured") or readings.get("done")
    received = figures.received
    if begin is None or first is None or last is None or not received:
        return None
    used = last.cpu - first.cpu
    cpu_s = used.total / 1e9
    grown_kib = last.memory_kib - begin.memory_kib
    subscriptions = sum(medium.subscriptions for medium in figures.media.values())
    return Spent(
        cpu_s=cpu_s,
        packet_threads_s=used.packet_threads / 1e9,
        cores=cpu_s / max(last.at - first.at, 1e-3),
        us_per_packet=cpu_s * 1e6 / received,
        packets_per_core_second=received / max(cpu_s, 1e-9),
        quiet_cores=_quiet(readings),
        memory_mib=last.memory_kib / 1024,
        mib_per_participant=grown_kib / 1024 / max(figures.joined, 1),
        kib_per_subscription=grown_kib / max(subscriptions, 1),
    )


def _quiet(readings: Readings) -> float | None:
    quiet, speaking = readings.get("quiet"), readings.get("speaking")
    if quiet is None or speaking is None or speaking.at - quiet.at < 1.0:
        return None
    return (speaking.cpu - quiet.cpu).total / 1e9 / (speaking.at - quiet.at)
