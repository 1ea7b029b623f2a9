"""What the load client is told: every client's server, room and token, and how long each phase is.

Tokens are made here: the key and its secret stay in Python.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fairlead.lab.load.shapes import Shape
from fairlead.policy import tokens
from fairlead.policy.grants import VideoGrant

Media = Literal["audio", "video", "data"]

TOKEN_S = 86_400
"""A run may take long to join everyone."""


class Seat(msgspec.Struct, frozen=True):
    """A subscriber's place at a server."""

    url: str
    token: str
    room: int = 0


class Publisher(msgspec.Struct, frozen=True, kw_only=True):
    media: Media
    url: str
    token: str
    room: int = 0


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each phase, and how people come in."""

    quiet_s: float = 0.0
    """Everyone is in and nobody speaks."""
    warm_s: float = 1.0
    measure_s: float = 10.0
    drain_s: float = 1.0
    """For what is under way when the measurement ends."""
    joins_per_s: float = 0.0
    """0: as fast as the server lets them in."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What publishers send."""

    payload_bytes: int = 100
    data_bytes: int = 200
    data_per_s: float = 10.0
    reliable: bool = False
    late_ms: float = 150.0
    """A packet that took longer is counted as late."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Servers of one network: publishers join the first, subscribers the last."""

    urls: list[str]
    key: str
    secret: str


def encode(
    shape: Shape,
    target: Target,
    timing: Timing,
    traffic: Traffic,
    *,
    run: str,
    now: float,
    threads: int = 1,
) -> bytes:
    """The spec of a run. ``run`` names its rooms, ``now`` is Unix seconds."""
    near, far = target.urls[0], target.urls[-1]
    kinds: list[Media] = ["audio"] * shape.audio_publishers
    kinds += ["video"] * shape.video_publishers
    kinds += ["data"] * shape.data_publishers
    publishers, subscribers = [], []
    for room in range(shape.rooms):
        name = f"{run}-{room}"
        for number, media in enumerate(kinds):
            signed = token(target, name, f"publisher-{number}", now)
            publishers.append(Publisher(media=media, url=near, token=signed, room=room))
        for number in range(shape.subscribers):
            signed = token(target, name, f"subscriber-{number}", now)
            subscribers.append(Seat(far, signed, room))
    spec: dict[str, Any] = {
        "publishers": publishers,
        "subscribers": subscribers,
        "layers": shape.layers,
        "watch": shape.watch,
        "threads": threads,
        **msgspec.structs.asdict(timing),
        **msgspec.structs.asdict(traffic),
    }
    return msgspec.json.encode(spec)


def token(target: Target, room: str, identity: str, now: float) -> str:
    """For a participant that publishes and subscribes."""
    grant = VideoGrant(
        room_join=True,
        room=room,
        can_publish=True,
        can_subscribe=True,
        can_publish_data=True,
    )
    return tokens.mint(
        target.key, target.secret, identity=identity, now=now, ttl=TOKEN_S, video=grant
    )
