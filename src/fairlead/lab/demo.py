"""The demo's web server: pages, tokens, and the world to draw (docs/demo-api.md)."""

from __future__ import annotations

import time
from pathlib import Path

import anyio.abc
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from fairlead.lab import change
from fairlead.lab.change import LinkChange
from fairlead.lab.news import News
from fairlead.lab.view import view
from fairlead.lab.web import answer, plainly, read_body, refuse
from fairlead.lab.world import World
from fairlead.policy import tokens
from fairlead.policy.grants import VideoGrant
from fairlead.server.pages import DIST
from fairlead.server.toml import ConfigError

PORT = 7800
TOKEN_TTL_S = 3600
LONGEST_NAME = 128


class TokenWish(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to join which room, near which region; LiveKit's own names work as well."""

    room: str = ""
    identity: str = ""
    name: str = ""
    region: str = ""
    room_name: str = ""
    participant_identity: str = ""
    participant_name: str = ""


def demo_app(world: World, pages: Path, tasks: anyio.abc.TaskGroup, news: News) -> Starlette:
    """The endpoints and pages."""

    async def token(request: Request) -> Response:
        wish = await read_body(request, TokenWish)
        room = _named("room", wish.room or wish.room_name)
        identity = _named("identity", wish.identity or wish.participant_identity)
        name = wish.name or wish.participant_name or identity
        place = world.place(wish.region or next(iter(world.places)))
        if not place.up:
            return refuse(503, f"the node of {place.name} does not run: choose another region")
        return answer(
            {
                "server_url": place.url,
                "participant_token": tokens.mint(
                    world.key,
                    world.secret,
                    identity=identity,
                    name=_named("name", name),
                    now=time.time(),
                    ttl=TOKEN_TTL_S,
                    video=VideoGrant(
                        room_join=True,
                        room=room,
                        can_publish=True,
                        can_subscribe=True,
                        can_publish_data=True,
                        can_update_own_metadata=True,
                    ),
                ),
                "region": place.name,
                "room": room,
            }
        )

    async def state(request: Request) -> Response:
        return answer({**msgspec.to_builtins(view(world)), "news": news.latest()})

    async def link(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/json"):
            return refuse(415, "send JSON: content-type must be application/json")
        return answer(await change.apply(world, await read_body(request, LinkChange), tasks))

    async def page(request: Request) -> Response:
        wanted = request.path_params["path"] or "index.html"
        for name in (wanted, f"{wanted}.html"):
            file = (pages / name).resolve()
            if file.is_file() and file.is_relative_to(pages):
                return FileResponse(file, headers={"cache-control": "no-store"})
        return refuse(404, f"there is no page {wanted!r}")

    return Starlette(
        routes=[
            Route("/token", plainly(token), methods=["POST"]),
            Route("/world", plainly(state)),
            Route("/link", plainly(link), methods=["POST"]),
            Route("/{path:path}", page),
        ],
        # A foreign name that resolves to loopback must not reach the world (DNS rebinding).
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
    )


def find_pages() -> Path:
    """The built pages of this checkout. Raises `ConfigError` if they are not there."""
    if not (DIST / "index.html").is_file():
        raise ConfigError(f"the demo page is not built ({DIST}): run `make demo` in the checkout")
    return DIST.resolve()


def _named(field: str, value: str) -> str:
    if not value:
        raise ConfigError(f"{field} is missing: name one of 1 to {LONGEST_NAME} characters")
    if len(value) > LONGEST_NAME:
        raise ConfigError(f"{field} has {len(value)} characters, {LONGEST_NAME} are allowed")
    return value
