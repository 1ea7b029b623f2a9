"""What the lab and a person of a field test tell each other, one line of JSON each."""

from __future__ import annotations

import msgspec


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """To a person."""

    url: str
    token: str
    recording: str
    """Path that recordings get, each with a number behind it."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The client's own statistics of a track, counted since it began."""

    at: float
    packets: int
    lost: int
    discarded: int
    """Came too late to be played."""
    samples: int
    """Played, made-up ones included."""
    concealed: int
    """Made up while somebody spoke."""


class Heard(msgspec.Struct, kw_only=True):
    """One track as it was recorded."""

    recording: str
    """16-bit samples."""
    marks: list[tuple[int, float]]
    """Now and then: samples so far, and when the last of them came (monotonic, s)."""
    samples: list[Sample]


class Told(msgspec.Struct, kw_only=True):
    """From a person, at the end."""

    began: float = 0.0
    """When it said its first word."""
    ended: float = 0.0
    heard: list[Heard] = []
    """A new connection makes a new track."""
    log: list[tuple[float, str]] = []
    """What the SDK said, and when."""
