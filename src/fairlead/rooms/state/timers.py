"""Many deadlines behind one: the earliest first, each replaced or dropped by its key."""

from __future__ import annotations

import heapq
from typing import Literal, get_args

SessionWhat = Literal[
    "join",
    "ping",
    "refresh",
    "departure",
    "answer",
    "resume",
    "speaker",
    "missing",
    "unfit",
    "qualities",
]
"""Of one session, by its number: over when it ends."""
SESSION_TIMERS: tuple[SessionWhat, ...] = get_args(SessionWhat)
What = (
    SessionWhat
    | Literal[
        "room",
        "count",
        "wider",
        "parted",
        "drain",
        "adopt",
        "rpc_ack",
        "rpc_response",
        "talk",
        "quality",
        "return",
    ]
)
Key = tuple[What, int | str]


class Timers:
    """A heap in which a replaced or dropped deadline is skipped when it comes up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Key, when: float) -> None:
        """Wake for ``key`` at ``when`` and not at any time set before."""
        if self._due.get(key) != when:
            self._due[key] = when
            heapq.heappush(self._heap, (when, key))

    def waits(self, key: Key) -> bool:
        """Whether a time is set for ``key``."""
        return key in self._due

    def drop(self, key: Key) -> None:
        """Do not wake for ``key``."""
        self._due.pop(key, None)

    def deadline(self) -> float | None:
        """When the next one is due."""
        self._skip()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Key]:
        """Take everything that is due, earliest first."""
        keys = []
        while (when := self.deadline()) is not None and when <= now:
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            keys.append(key)
        return keys

    def _skip(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
