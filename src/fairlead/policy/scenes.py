"""Scenes: what a kind of conversation asks of its packets. A scene is data (`scenes.toml`).

A room names its scene in its metadata or in the tags of its configuration; where it names none, it
has the default. Sources: `reference/ops.md` section 6, for the values.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairlead.policy.metadata import KEY, BadMetadata, ours

DEFAULT = "default"
TAG = "fairlead.scene"
"""The tag of a room's configuration that names its scene."""
MAX_SCENES = 64
"""Of an operator's own."""

MAX_PLAYOUT_MS = 40_950
"""What the header extension can say."""

Voices = Annotated[int, Meta(ge=0, le=50)]
Repeats = Annotated[int, Meta(ge=1, le=4)]
Kbps = Annotated[int, Meta(ge=0, le=10_000)]
Height = Annotated[int, Meta(ge=0, le=4_320)]
PlayoutMs = Annotated[int, Meta(ge=0, le=MAX_PLAYOUT_MS)]
Copies = Literal["never", "base", "always"]


class BadScene(ValueError):
    """A scene that can't be had; its text is one plain sentence without an end."""


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of conversation."""

    about: str = ""
    """One sentence for people."""
    audio_top: Voices = 0
    """Voices heard at a time, the loudest; 0 is all."""
    speech_repeats: Repeats = 1
    """Frames of speech that each packet repeats at least (RFC 2198)."""
    speech_reserve_kbps: Kbps = 0
    """Of what the way to a client carries, kept from pictures."""
    video_height: Height = 0
    """The largest camera layer that is sent on, by its shorter side in pixels; 0 is any."""
    video_copies: Copies = "base"
    """What of a picture travels on two paths: nothing, what it can't do without, or all."""
    playout_ms: list[PlayoutMs] = []
    """Least and most that a picture waits at the client; empty leaves it to the client."""

    def __post_init__(self) -> None:
        _check_playout(self.playout_ms)


class SceneChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's scene: what differs from the scene of the same name, or from another."""

    like: str | None = None
    """The scene that it begins from, if no packaged one has its name; the default where absent."""
    about: str | None = None
    audio_top: Voices | None = None
    speech_repeats: Repeats | None = None
    speech_reserve_kbps: Kbps | None = None
    video_height: Height | None = None
    video_copies: Copies | None = None
    playout_ms: list[PlayoutMs] | None = None

    def __post_init__(self) -> None:
        _check_playout(self.playout_ms or [])


Scenes = Mapping[str, Scene]
"""By name; the default is among them."""


@functools.cache
def packaged() -> Scenes:
    """The scenes that come with Fairlead."""
    text = resources.files("fairlead.policy").joinpath("scenes.toml").read_text("utf-8")
    tables: dict[str, dict[str, Any]] = msgspec.toml.decode(text, type=dict[str, dict[str, Any]])
    default = tables[DEFAULT]
    return {name: msgspec.convert(default | table, Scene) for name, table in tables.items()}


def changed(changes: Mapping[str, SceneChange]) -> Scenes:
    """The packaged scenes with an operator's own. Raises `BadScene`."""
    if len(changes) > MAX_SCENES:
        raise BadScene(f"there are {len(changes)} scenes: {MAX_SCENES} are allowed")
    scenes = dict(packaged())
    for name, change in changes.items():
        like = name if name in packaged() and change.like is None else change.like or DEFAULT
        if like not in packaged():
            raise BadScene(
                f"scene {name!r} is like {like[:40]!r}, which no packaged scene is: "
                f"use one of {_names(packaged())}"
            )
        given = {
            field: value
            for field, value in msgspec.structs.asdict(change).items()
            if value is not None and field != "like"
        }
        scenes[name] = msgspec.structs.replace(packaged()[like], **given)
    return scenes


def asked(metadata: str, tags: Mapping[str, str], known: Scenes) -> str:
    """The scene that a room's metadata names, else its tags; empty if neither does. Raises
    `BadScene` for one that is not ``known``: a room must not run otherwise than it was meant."""
    try:
        said = ours(metadata)
    except BadMetadata as wrong:
        raise BadScene(str(wrong)) from None
    where, name = f"the room metadata's {KEY}.scene", said.get("scene")
    if name is None and "scene" not in said:
        if TAG not in tags:
            return ""
        where, name = f"the room's tag {TAG}", tags[TAG]
    if not isinstance(name, str):
        raise BadScene(f"{where} must be the name of a scene: {_names(known)}")
    if name not in known:
        raise BadScene(f"{where} is {name[:40]!r}, which is no scene: use one of {_names(known)}")
    return name


def _names(scenes: Scenes) -> str:
    return ", ".join(scenes)


def _check_playout(playout: list[int]) -> None:
    if len(playout) not in (0, 2) or playout != sorted(playout):
        raise ValueError(f"playout_ms is {playout}: give the least and the most, or []")
