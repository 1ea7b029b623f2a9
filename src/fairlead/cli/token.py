"""`fairlead token`: a LiveKit-compatible access token."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fairlead.cli import quantity
from fairlead.cli.console import print_json
from fairlead.cli.failure import Failure, failing
from fairlead.cli.remote import Json
from fairlead.policy import limits, tokens
from fairlead.policy.grants import VideoGrant
from fairlead.policy.scenes import TAG, BadScene
from fairlead.server import config
from fairlead.server.toml import ConfigError

RESIDENCE = "fairlead.residence"
"""The attribute that says whose law a participant brings into the room (ISO 3166)."""
LONGEST_TTL_S = 365 * 86_400


def token(
    room: Annotated[str, typer.Option(help="The room to join.")],
    identity: Annotated[str, typer.Option(help="Who joins; one session per identity and room.")],
    name: Annotated[str, typer.Option(help="The name that others see.")] = "",
    residence: Annotated[
        str | None, typer.Option(help="Country whose law applies to the person: DE.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option(help="What kind of conversation the room is: chat_room.")
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long the token lasts: 6h.")] = "6h",
    admin_of_room: Annotated[
        bool, typer.Option("--room-admin", help="May manage the room as well.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--config", help="Configuration whose first key signs.")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="LIVEKIT_API_KEY", help="API key.")] = "",
    api_secret: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_SECRET", help="Its secret.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Print a token for one participant; signed with the development key unless told otherwise."""
    key, secret = _key(file, api_key, api_secret)
    for option, value, most in (
        ("--room", room, limits.ROOM_NAME_LENGTH),
        ("--identity", identity, limits.IDENTITY_LENGTH),
    ):
        if not 1 <= len(value) <= most:
            raise Failure(f"{option} has {len(value)} characters: give 1 to {most}")
    lasting = quantity.seconds("--ttl", ttl) or 0
    if not 1 <= lasting <= LONGEST_TTL_S:
        raise Failure(f"--ttl {ttl!r} is not possible: give 1s to 365d")
    made = tokens.mint(
        key,
        secret,
        identity=identity,
        name=name,
        now=time.time(),
        ttl=int(lasting),
        attributes=_attributes(residence),
        room_config=_room_config(scene, file),
        video=VideoGrant(
            room_join=True,
            room=room,
            room_admin=admin_of_room,
            can_publish=True,
            can_subscribe=True,
            can_publish_data=True,
        ),
    )
    if json:
        print_json({"token": made, "room": room, "identity": identity})
    else:
        typer.echo(made)


def _key(file: Path | None, api_key: str, api_secret: str) -> tuple[str, str]:
    if bool(api_key) != bool(api_secret):
        raise Failure("an API key needs its secret: give both --api-key and --api-secret")
    if api_key:
        return api_key, api_secret
    keys = config.DEVELOPMENT_KEYS
    if file is not None:
        with failing(ConfigError):
            keys = config.read(file).effective_keys
    return next(iter(keys.items()))


def _room_config(scene: str | None, file: Path | None) -> str:
    """The scene as a tag: it leaves the room's metadata to the app."""
    if scene is None:
        return ""
    with failing(ConfigError, BadScene):
        known = (config.read(file) if file is not None else config.Config()).known_scenes
    if scene not in known:
        raise Failure(f"--scene {scene!r} is no scene: use one of {', '.join(known)}")
    return msgspec.json.encode({"tags": {TAG: scene}}).decode()


def _attributes(residence: str | None) -> dict[str, str]:
    if residence is None:
        return {}
    if not re.fullmatch(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?", residence):
        raise Failure(f"--residence {residence!r} is no country code such as DE or US-CA")
    return {RESIDENCE: residence.upper()}
