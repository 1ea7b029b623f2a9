"""The lab and all that it starts come before whatever else the machine does.

As far as the user may, that is. What else runs here would look like a bad network. Where the
kernel shares time between sessions (sched(7), autogroup), a nice value counts within one session
only, so that each needs its own.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections import defaultdict
from pathlib import Path

NICE = -10
PROC = Path("/proc")


def come_first() -> None:
    """This process, and its session until it ends."""
    group = PROC / "self/autogroup"
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        # A session without a group (init's, before setsid) has an empty file, and no nice value.
        if told := group.read_text().split():
            group.write_text(str(NICE))
            atexit.register(_put_back, group, told[-1])


def children_first() -> None:
    """The sessions that our descendants made for themselves since; they end with them."""
    for pid in _descendants():
        with contextlib.suppress(OSError):
            if os.getsid(pid) != os.getsid(0):
                (PROC / f"{pid}/autogroup").write_text(str(NICE))


def _put_back(group: Path, before: str) -> None:
    with contextlib.suppress(OSError):
        group.write_text(before)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                # After the name, which may hold anything, come the state and the parent (proc(5)).
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children[int(fields[1])].append(int(entry.name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
