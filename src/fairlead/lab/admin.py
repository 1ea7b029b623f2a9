"""The world's admin server: what `fairlead link`, `node` and `routes` speak to.

It listens on loopback and its address holds a secret, so that the address alone opens it.
"""

from __future__ import annotations

import secrets

import anyio.abc
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from fairlead.lab import change
from fairlead.lab.change import LinkChange
from fairlead.lab.view import view
from fairlead.lab.web import answer, plainly, read_body
from fairlead.lab.world import World
from fairlead.server.admin import DrainWish


class NodeDrain(DrainWish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which region's node to empty, and how fast."""

    region: str


class OfNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which region's node to end or to start again."""

    region: str


def new_secret() -> str:
    """The part of the address that nobody can guess."""
    return secrets.token_urlsafe(24)


def admin_app(world: World, secret: str, tasks: anyio.abc.TaskGroup) -> Starlette:
    """The endpoints, below ``/SECRET``."""

    async def state(request: Request) -> Response:
        await world.refresh()
        return answer(view(world))

    async def nodes(request: Request) -> Response:
        await world.refresh()
        return answer({place.name: place.state for place in world.places.values()})

    async def link(request: Request) -> Response:
        return answer(await change.apply(world, await read_body(request, LinkChange), tasks))

    async def kill(request: Request) -> Response:
        wish = await read_body(request, OfNode)
        await world.kill(wish.region)
        return answer({"region": wish.region, "state": "down"})

    async def drain(request: Request) -> Response:
        wish = await read_body(request, NodeDrain)
        return answer(await world.drain(wish.region, DrainWish(on=wish.on, rate=wish.rate)))

    async def start(request: Request) -> Response:
        wish = await read_body(request, OfNode)
        await world.revive(wish.region)
        return answer({"region": wish.region, "state": "up"})

    return Starlette(
        routes=[
            Mount(
                f"/{secret}",
                routes=[
                    Route("/state", plainly(state)),
                    Route("/nodes", plainly(nodes)),
                    Route("/link", plainly(link), methods=["POST"]),
                    Route("/kill", plainly(kill), methods=["POST"]),
                    Route("/drain", plainly(drain), methods=["POST"]),
                    Route("/start", plainly(start), methods=["POST"]),
                ],
            )
        ]
    )
