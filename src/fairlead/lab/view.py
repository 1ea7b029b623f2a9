"""A world as people and pages see it: regions, links, paths and streams, by region name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from fairlead.lab.ways import Way
from fairlead.lab.world import Place, World
from fairlead.lab.worldfile import Pair
from fairlead.protocol.node import Link, LinkStateName
from fairlead.protocol.node import Pair as PortPair
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


class PairView(msgspec.Struct, frozen=True, kw_only=True):
    """One port pair of a link; the worse word of its two ends counts."""

    pair: int
    state: Literal["connecting", "up", "suspect", "down"]
    rtt_ms: float | None
    loss: float
    in_use: bool


class WayView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """Emulated weather that is not the link's: of one direction, or of one port pair of it."""

    origin: str
    to: str
    pair: int | None
    emulated: Weather


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """The link between two regions: measured (null unless it works), and emulated."""

    a: str
    b: str
    state: LinkStateName
    fault: Literal["there", "back", "both"] | None
    """Which way fails while it is suspect or down: *there* is from ``a`` to ``b``."""
    rtt_ms: float | None
    rtt_p95_ms: float | None
    jitter_ms: float | None
    loss: float | None
    """Before repair, of the worse direction."""
    residual_loss: float | None
    """After repair."""
    queue_ms: float | None
    mtu: int | None
    pairs: list[PairView]
    emulated: Weather
    """From ``a`` to ``b``."""
    differing: list[WayView]
    """The way back and single port pairs, where their weather is another."""


class PathView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """The way from one region to another and why it is taken."""

    origin: str
    to: str
    via: list[str]
    second: list[str] | None
    """Relays of the path that stands by; None if there is none, empty for the direct link."""
    rtt_ms: float | None
    second_rtt_ms: float | None
    regions: list[str]
    """For rooms that must stay in these; empty for all others."""
    leased: bool
    """Whether a controller computed it."""
    reason: str


class StreamView(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """The way of one track to one region that serves its room."""

    room: str
    track: str
    kind: str
    origin: str
    to: str
    regions: list[str]
    """Where its room may be; empty is everywhere."""
    reachable: bool
    """Whether a path leads there within those."""
    via: list[str]
    second: list[str] | None
    reason: str


class ControlView(msgspec.Struct, frozen=True, kw_only=True):
    """Whose routes a region's node obeys."""

    region: str
    controller: str | None
    """The controller's region; None if the node goes by its own view."""
    epoch: int


class WorldView(msgspec.Struct, frozen=True, kw_only=True):
    """The world, now."""

    regions: list[RegionView]
    links: list[LinkView]
    paths: list[PathView]
    streams: list[StreamView]
    control: list[ControlView]


def view(world: World) -> WorldView:
    """The world as its nodes last told it."""
    places = world.places
    paths = [path for place in places.values() for path in _paths(world, place)]
    return WorldView(
        regions=[_region(place) for place in places.values()],
        links=[link(world, pair) for pair in world.spec.links],
        paths=paths,
        streams=[stream for place in places.values() for stream in _streams(world, place)],
        control=[_control(world, place) for place in places.values() if place.up and place.state],
    )


def link(world: World, pair: Pair) -> LinkView:
    """One link; the worse word of its two ends counts."""
    here, there = (world.places[name] for name in pair)
    near, far = _end(here, there.node), _end(there, here.node)
    ends = [end for end in (near, far) if end is not None]
    state = _state(here, there, ends)
    measured = [end for end in ends if end.rtt_ms is not None and state != "down"]
    emulated = world.weather[Way(*pair)]
    differing = {Way(*pair[::-1]): world.weather[Way(*pair[::-1])], **world.weather.own(*pair)}
    return LinkView(
        a=pair[0],
        b=pair[1],
        state=state,
        fault=_fault(near, far) if state in ("suspect", "down") else None,
        rtt_ms=measured[0].rtt_ms if measured else None,
        rtt_p95_ms=_worst(end.rtt_p95_ms for end in measured),
        jitter_ms=_worst(end.jitter_ms for end in measured),
        loss=_worst(end.loss for end in measured),
        residual_loss=_worst(end.residual_loss for end in measured),
        queue_ms=_worst(end.queue_ms for end in measured),
        mtu=min((end.mtu for end in measured if end.mtu), default=None),
        pairs=_pairs(ends),
        emulated=emulated,
        differing=[
            WayView(origin=way.origin, to=way.to, pair=way.pair, emulated=weather)
            for way, weather in differing.items()
            if weather != emulated
        ],
    )


def _state(here: Place, there: Place, ends: list[Link]) -> LinkStateName:
    states = {end.state for end in ends}
    if not here.up or not there.up or "down" in states:
        return "down"
    if "suspect" in states:
        return "suspect"
    return "up" if len(ends) == 2 and states == {"up"} else "connecting"


def _fault(near: Link | None, far: Link | None) -> Literal["there", "back", "both"] | None:
    there = (near is not None and near.fault in ("out", "both")) or (
        far is not None and far.fault in ("in", "both")
    )
    back = (near is not None and near.fault in ("in", "both")) or (
        far is not None and far.fault in ("out", "both")
    )
    if there and back:
        return "both"
    return "there" if there else "back" if back else None


def _pairs(ends: list[Link]) -> list[PairView]:
    order = ("up", "connecting", "suspect", "down")
    seen: dict[int, list[PortPair]] = {}
    for end in ends:
        for pair in end.pairs:
            seen.setdefault(pair.pair, []).append(pair)
    return [
        PairView(
            pair=number,
            state=max((one.state for one in both), key=order.index),
            rtt_ms=_worst(one.rtt_ms for one in both),
            loss=max(one.loss for one in both),
            in_use=any(end.pair == number for end in ends),
        )
        for number, both in sorted(seen.items())
    ]


def _worst(figures: Iterable[float | None]) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)


def _end(place: Place, towards: int) -> Link | None:
    links = place.state.links if place.up and place.state else []
    return next((link for link in links if link.node == towards), None)


def _control(world: World, place: Place) -> ControlView:
    assert place.state is not None
    obeyed = place.state.controller
    controller = None if obeyed is None else world.place_of(obeyed)
    return ControlView(
        region=place.name,
        controller=controller.name if controller else None,
        epoch=place.state.epoch,
    )


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
        paths.append(
            PathView(
                origin=place.name,
                to=to.name,
                via=_names(world, route.via),
                second=None if route.second is None else _names(world, route.second),
                rtt_ms=route.rtt_ms,
                second_rtt_ms=route.second_rtt_ms,
                regions=route.regions,
                leased=route.leased,
                reason=route.sentence,
            )
        )
    return paths


def _names(world: World, nodes: list[int]) -> list[str]:
    places = (world.place_of(node) for node in nodes)
    return [place.name for place in places if place is not None]


def _streams(world: World, place: Place) -> list[StreamView]:
    routes = place.state.routes if place.up and place.state else []
    ways = {(route.destination, tuple(route.regions)): route for route in routes}
    streams = []
    for stream in place.state.streams if place.up and place.state else []:
        for node in stream.to:
            to = world.place_of(node)
            if to is None:
                continue
            way = ways.get((node, tuple(stream.regions)))
            reachable = to.up and way is not None and way.reachable
            streams.append(
                StreamView(
                    room=stream.room,
                    track=stream.track,
                    kind=stream.kind,
                    origin=place.name,
                    to=to.name,
                    regions=stream.regions,
                    reachable=reachable,
                    via=_names(world, way.via) if way else [],
                    second=None if way is None or way.second is None else _names(world, way.second),
                    reason=way.sentence if way and to.up else f"There is no path to {to.name}.",
                )
            )
    return streams
