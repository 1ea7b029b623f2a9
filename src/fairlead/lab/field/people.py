"""What the lab and a person of a field test tell each other, one line of JSON each."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """To a person."""

    url: str
    token: str
    recording: str
    """Path that recordings get, each with a number behind it."""
    shows: bool = False
    """Whether it publishes pictures beside its voice."""
    watches: bool = False
    """Whether the other does, and it has to see them before it all begins."""
    voice: str
    """Path of what it says, 16-bit samples."""
    slowdown: float = 1.0
    """So many times slower than this machine a browser's page runs."""
    watchdog: bool = False
    """Whether a browser's page uses the watchdog for web apps."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """To a person who is in the call."""

    stop: bool = False
    shows: bool | None = None
    """Whether it shows its pictures from now on; the track stays."""


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
    all_concealed: int = 0
    """Made up, the silence after a long gap included."""
    bytes: int = 0
    """Of payload."""


class PictureSample(msgspec.Struct, frozen=True, kw_only=True):
    """The same of a track of pictures."""

    at: float
    packets: int
    lost: int
    bytes: int
    decoded: int
    freezes: int
    """As the client counts them (W3C's freezeCount)."""
    frozen_s: float
    keyframe_requests: int


class Seen(NamedTuple):
    """A picture that the client gave out."""

    at: float
    number: int
    """`pictures.UNREADABLE` if it could not be read."""
    width: int
    height: int


class Viewed(msgspec.Struct, kw_only=True):
    """One track of pictures as it was seen."""

    seen: list[Seen]
    samples: list[PictureSample]


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
    shown: list[float] = []
    """When it showed each of its pictures, by number."""
    viewed: list[Viewed] = []
    log: list[tuple[float, str]] = []
    """What the SDK said, and when."""
