"""A world as people and pages see it: regions, links, paths and streams, by region name."""

from __future__ import annotations

from typing import Literal

import msgspec

from fairlead.lab.world import Place, World
from fairlead.lab.worldfile import Pair
from fairlead.protocol.node import Link
from fairlead.server.config import Weather


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """A region and its node."""

    region: str
    label: str
    country: str
    latitude: float | None
    longitude: float | None
    node: int
    url: str
    state: Literal["up", "down"]


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """The link between two regions: measured (null unless it works), and emulated."""

    a: str
    b: str
    state: Literal["connecting", "up", "down"]
    rtt_ms: float | None
    jitter_ms: float | None
    loss: float | None
    residual_loss: float | None
    emulated: Weather


class PathView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """The way from one region to another and why it is taken."""

    origin: str
    to: str
    via: list[str]
    rtt_ms: float | None
    reason: str


class StreamView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """The way of one track to one region that serves its room."""

    room: str
    track: str
    kind: str
    origin: str
    to: str
    via: list[str]
    reason: str


class WorldView(msgspec.Struct, frozen=True, kw_only=True):
    """The world, now."""

    regions: list[RegionView]
    links: list[LinkView]
    paths: list[PathView]
    streams: list[StreamView]


def view(world: World) -> WorldView:
    """The world as its nodes last told it."""
    places = world.places
    paths = [path for place in places.values() for path in _paths(world, place)]
    return WorldView(
        regions=[_region(place) for place in places.values()],
        links=[link(world, pair) for pair in world.weather],
        paths=paths,
        streams=[stream for place in places.values() for stream in _streams(world, place, paths)],
    )


def link(world: World, pair: Pair) -> LinkView:
    """One link; the worse word of its two ends counts."""
    here, there = (world.places[name] for name in pair)
    ends = [end for end in (_end(here, there.node), _end(there, here.node)) if end is not None]
    state = _state(here, there, ends)
    measured = [end for end in ends if end.rtt_ms is not None and state != "down"]
    return LinkView(
        a=pair[0],
        b=pair[1],
        state=state,
        rtt_ms=measured[0].rtt_ms if measured else None,
        jitter_ms=max((end.jitter_ms for end in measured), default=None),
        loss=max((end.loss for end in measured), default=None),
        residual_loss=max((end.residual_loss for end in measured), default=None),
        emulated=world.weather[pair],
    )


def _state(here: Place, there: Place, ends: list[Link]) -> Literal["connecting", "up", "down"]:
    if not here.up or not there.up or any(end.state == "down" for end in ends):
        return "down"
    return "up" if len(ends) == 2 and all(end.state == "up" for end in ends) else "connecting"


def _end(place: Place, towards: int) -> Link | None:
    links = place.state.links if place.up and place.state else []
    return next((link for link in links if link.node == towards), None)


def _region(place: Place) -> RegionView:
    region = place.region
    return RegionView(
        region=region.name,
        label=region.label,
        country=region.country,
        latitude=region.latitude,
        longitude=region.longitude,
        node=place.node,
        url=place.url,
        state="up" if place.up else "down",
    )


def _paths(world: World, place: Place) -> list[PathView]:
    paths = []
    for route in place.state.routes if place.up and place.state else []:
        to = world.place_of(route.destination)
        if to is None or not to.up or not route.reachable:
            continue
        via = [world.place_of(node) for node in route.via]
        paths.append(
            PathView(
                origin=place.name,
                to=to.name,
                via=[relay.name for relay in via if relay is not None],
                rtt_ms=route.rtt_ms,
                reason=route.sentence,
            )
        )
    return paths


def _streams(world: World, place: Place, paths: list[PathView]) -> list[StreamView]:
    ways = {path.to: path for path in paths if path.origin == place.name}
    streams = []
    for stream in place.state.streams if place.up and place.state else []:
        for node in stream.to:
            to = world.place_of(node)
            if to is None:
                continue
            way = ways.get(to.name)
            streams.append(
                StreamView(
                    room=stream.room,
                    track=stream.track,
                    kind=stream.kind,
                    origin=place.name,
                    to=to.name,
                    via=way.via if way else [],
                    reason=way.reason if way else f"There is no path to {to.name}.",
                )
            )
    return streams
