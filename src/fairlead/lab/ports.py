"""Free ports for the processes of a world."""

from __future__ import annotations

import random
import socket

BLOCK = 9
"""A node's ports stand together: HTTP, ICE-TCP, media UDP, four of the mesh, cell, TURN."""
CELL = 7
"""The cell's place among them."""
STEP = 10
FIRST, LAST = 20_000, 32_000
"""Below the range from which the system takes ports for outgoing connections."""
TRIES = 200


class NoPorts(Exception):
    """No ports could be had; its text is one plain sentence."""


def blocks(count: int, base: int | None = None) -> list[int]:
    """The first port of ``count`` free blocks: from ``base`` on, or anywhere. Raises `NoPorts`."""
    if base is not None:
        firsts = [base + STEP * index for index in range(count)]
        for first in firsts:
            taken = next((port for port in range(first, first + BLOCK) if not _free(port)), None)
            if taken is not None:
                raise NoPorts(
                    f"port {taken} is in use: stop what uses it, or give another --port than {base}"
                )
        return firsts
    chosen: list[int] = []
    for _ in range(TRIES):
        first = random.randrange(FIRST, LAST, STEP)
        if first not in chosen and all(_free(port) for port in range(first, first + BLOCK)):
            chosen.append(first)
        if len(chosen) == count:
            return chosen
    raise NoPorts(f"fewer than {count * BLOCK} ports are free between {FIRST} and {LAST}")


def one(preferred: int | None = None) -> int:
    """``preferred`` if it is free, else any free port. Raises `NoPorts`."""
    if preferred is not None and _free(preferred):
        return preferred
    return blocks(1)[0]


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
