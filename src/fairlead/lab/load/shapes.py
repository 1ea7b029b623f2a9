"""The shapes of load: how many rooms, who publishes what in each, and how many listen."""

from __future__ import annotations

from typing import Literal

import msgspec

Watch = Literal["low", "medium", "high"]

MOST_CLIENTS = 20_000
MOST_LAYERS = 3


class ShapeError(ValueError):
    """A shape that can't be; its text is one plain sentence."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What one run plays. Publishers only publish and subscribers only listen."""

    summary: str = ""
    rooms: int = 1
    audio_publishers: int = 0
    """In each room, as all below."""
    video_publishers: int = 0
    data_publishers: int = 0
    subscribers: int = 0
    layers: int = 1
    """Simulcast layers of each video; LiveKit's SDKs send 3 of a 720p camera."""
    watch: Watch = "high"
    """The quality that subscribers ask for."""
    everyone: bool = False
    """Whether a scale changes the number of publishers too."""

    @property
    def publishers(self) -> int:
        """In each room."""
        return self.audio_publishers + self.video_publishers + self.data_publishers

    @property
    def clients(self) -> int:
        return self.rooms * (self.publishers + self.subscribers)

    @property
    def subscriptions(self) -> int:
        return self.rooms * self.publishers * self.subscribers


SHAPES = {
    "audio-room": Shape(summary="10 speak, 3,000 listen", audio_publishers=10, subscribers=3_000),
    "meeting": Shape(
        summary="150 cameras of 720p in 3 layers, 150 watch all of them",
        video_publishers=150,
        subscribers=150,
        layers=3,
        everyone=True,
    ),
    "livestream": Shape(
        summary="1 camera of 720p in 3 layers, 3,000 watch",
        video_publishers=1,
        subscribers=3_000,
        layers=3,
    ),
    "webinar": Shape(
        summary="5 with voice and camera, 500 watch",
        audio_publishers=5,
        video_publishers=5,
        subscribers=500,
        layers=3,
    ),
    "chat": Shape(
        summary="10 write 10 data messages a second, 500 read",
        data_publishers=10,
        subscribers=500,
    ),
}
"""The first three are the rooms of LiveKit's published benchmark, the fourth is its load tester's
own example."""


def scaled(shape: Shape, scale: float) -> Shape:
    """The same with that share of its subscribers, at least one; of its publishers too where
    everyone is one. Raises `ShapeError`."""
    if not 0 < scale <= 100:
        raise ShapeError(f"a scale of {scale:g} is not possible: choose from 0.001 to 100")

    def share(number: int) -> int:
        return max(1, round(number * scale)) if number else 0

    smaller = msgspec.structs.replace(shape, subscribers=share(shape.subscribers))
    if not shape.everyone:
        return smaller
    return msgspec.structs.replace(
        smaller,
        audio_publishers=share(shape.audio_publishers),
        video_publishers=share(shape.video_publishers),
        data_publishers=share(shape.data_publishers),
    )


def check(shape: Shape) -> None:
    """Raises `ShapeError` on numbers that can't be."""
    for name in (
        "audio_publishers",
        "video_publishers",
        "data_publishers",
        "subscribers",
    ):
        value = getattr(shape, name)
        if value < 0:
            raise ShapeError(f"{value} {name.replace('_', ' ')} are not possible: give 0 or more")
    if shape.rooms < 1:
        raise ShapeError(f"{shape.rooms} rooms are not possible: give 1 or more")
    if not 1 <= shape.layers <= MOST_LAYERS:
        raise ShapeError(f"{shape.layers} layers are not possible: give 1 to {MOST_LAYERS}")
    if not shape.publishers:
        raise ShapeError("nobody publishes: give audio, video or data publishers")
    if shape.clients > MOST_CLIENTS:
        raise ShapeError(
            f"{shape.clients} clients are too many for one process: {MOST_CLIENTS} at most"
        )
