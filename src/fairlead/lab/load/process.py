"""What processes spend, read from /proc: CPU by thread, who listens on a port, the machine."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PACKET_THREAD = re.compile(r"fairlead-\d+")
_LISTENING = "0A"


@dataclass(frozen=True)
class Cpu:
    """CPU time of one process in nanoseconds, user and system."""

    packet_threads: int
    others: int

    @property
    def total(self) -> int:
        return self.packet_threads + self.others

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.packet_threads - other.packet_threads, self.others - other.others)


def cpu(pid: int) -> Cpu:
    """Of a process's living threads. Raises `ProcessLookupError`."""
    packets = others = 0
    tasks = PROC / str(pid) / "task"
    if not tasks.is_dir():
        raise ProcessLookupError(f"process {pid} has ended")
    for task in tasks.iterdir():
        try:
            spent = int((task / "schedstat").read_text().split()[0])
            name = (task / "comm").read_text().strip()
        except OSError:  # the thread has ended since
            continue
        if _PACKET_THREAD.fullmatch(name):
            packets += spent
        else:
            others += spent
    return Cpu(packets, others)


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    status = (PROC / str(pid) / "status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) if found else 0


def listener(port: int) -> int | None:
    """The process of ours that listens on a TCP port of this machine."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for process in PROC.glob("[0-9]*"):
        try:
            if any(os.readlink(fd) in sockets for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # not ours, or it has ended
            continue
    return None


def machine() -> dict[str, str | int]:
    """What the figures were taken on."""
    model = re.search(r"model name\s*: (.+)", (PROC / "cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": f"{os.getloadavg()[0]:.1f}",
    }
