"""What the processes of a world hold, read from /proc."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PAGE = 4096


class Held(NamedTuple):
    """Open file descriptors, threads and resident bytes of a process and all below it."""

    files: int
    threads: int
    memory: int


def held_by(pid: int) -> Held:
    """The sum over the process and its descendants; one that ends meanwhile counts nothing."""
    files = threads = memory = 0
    for process in _tree(pid):
        folder = Path(f"/proc/{process}")
        try:
            files += sum(1 for _ in (folder / "fd").iterdir())
            threads += sum(1 for _ in (folder / "task").iterdir())
            memory += int((folder / "statm").read_text().split()[1]) * PAGE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Held(files, threads, memory)


def _tree(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found
