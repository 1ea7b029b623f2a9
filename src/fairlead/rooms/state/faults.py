"""What a client asked to have go wrong when it comes back, for a short while."""

from __future__ import annotations

from typing import Literal, TypeVar

V = TypeVar("V")

Resume = Literal["unanswered", "cut"]
"""``unanswered``: the websocket closes before anything is said on it; ``cut``: right after the
first message."""

RESUME_WITHIN = 10.0
"""Seconds in which the resume must come that shall fail."""
TCP_FOR = 300.0
"""Seconds for which the candidates' protocol is remembered."""
MAX_FAULTS = 1024
"""Of each kind; of more the oldest is forgotten."""

Person = tuple[str, str]
"""Room and identity."""


class Faults:
    """By room and identity; each is forgotten after its time."""

    def __init__(self) -> None:
        self._resumes: dict[Person, tuple[float, Resume]] = {}
        self._tcp: dict[Person, float] = {}

    def fail_resume(self, room: str, identity: str, now: float, how: Resume) -> None:
        """The next resume of this person fails."""
        _keep(self._resumes, (room, identity), (now + RESUME_WITHIN, how))

    def resume(self, room: str, identity: str, now: float) -> Resume | None:
        """How the resume that comes now shall fail, once."""
        until, how = self._resumes.pop((room, identity), (0.0, None))
        return how if now <= until else None

    def use_tcp(self, room: str, identity: str, now: float, only: bool) -> None:
        """The next connections of this person use TCP alone, or anything again."""
        self._tcp.pop((room, identity), None)
        if only:
            _keep(self._tcp, (room, identity), now + TCP_FOR)

    def tcp_only(self, room: str, identity: str, now: float) -> bool:
        """Whether a connection that is made now uses TCP alone."""
        return now <= self._tcp.get((room, identity), 0.0)


def _keep(kept: dict[Person, V], person: Person, value: V) -> None:
    kept.pop(person, None)
    while len(kept) >= MAX_FAULTS:
        del kept[next(iter(kept))]
    kept[person] = value
