"""What one node tells of itself: packets, links, routes, rooms, cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from fairlead.protocol.node import Link
from fairlead.routing.controller import Explanation
from fairlead.telemetry.exposition import Family, Sample


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """One node at one moment."""

    counters: Mapping[str, int] = {}
    """Of the packet path, since the start."""
    links: list[Link] = []
    routes: list[Explanation] = []
    rooms: int = 0
    """Rooms of the whole network, as this node knows them."""
    participants: int = 0
    """The same for participants."""
    sessions: int = 0
    """Participants that this node serves."""
    cells: Mapping[str, bool] = {}
    """By region, whether its cell is connected."""
    cell_counts: Mapping[str, int] = {}


def families(measures: Measures) -> list[Family]:
    """The measures as metrics; a figure that isn't known has no sample."""
    links = measures.links
    return [
        _gauge("fairlead_rooms", "Rooms known here, on every edge.", [Sample(measures.rooms)]),
        _gauge(
            "fairlead_participants",
            "Participants known here, on every edge.",
            [Sample(measures.participants)],
        ),
        _gauge(
            "fairlead_sessions", "Participants served by this node.", [Sample(measures.sessions)]
        ),
        Family(
            name="fairlead_packet_path_total",
            kind="counter",
            help="What the packet path counted since the start, by name.",
            samples=_counts(measures.counters),
        ),
        _gauge(
            "fairlead_link_up",
            "1 if the link to a node is up.",
            _per_link(links, lambda link: float(link.state == "up")),
        ),
        _gauge(
            "fairlead_link_rtt_seconds",
            "Round trip to a node over its direct link.",
            _per_link(links, lambda link: None if link.rtt_ms is None else link.rtt_ms / 1000),
        ),
        _gauge(
            "fairlead_link_jitter_seconds",
            "Jitter of packets from a node.",
            _per_link(links, lambda link: link.jitter_ms / 1000),
        ),
        _gauge(
            "fairlead_link_loss_ratio",
            "Share of a node's packets lost before repair.",
            _per_link(links, lambda link: link.loss),
        ),
        _gauge(
            "fairlead_link_residual_loss_ratio",
            "Share of a node's packets lost after repair.",
            _per_link(links, lambda link: link.residual_loss),
        ),
        _gauge(
            "fairlead_route_relays",
            "Relays on the route to a node.",
            [
                Sample(len(route.via), {"node": str(route.destination)})
                for route in measures.routes
                if route.reachable
            ],
        ),
        _gauge(
            "fairlead_route_reachable",
            "1 if there is a route to a node.",
            [
                Sample(float(route.reachable), {"node": str(route.destination)})
                for route in measures.routes
            ],
        ),
        _gauge(
            "fairlead_cell_connected",
            "1 if the cell of a region is connected.",
            [
                Sample(float(connected), {"region": region})
                for region, connected in sorted(measures.cells.items())
            ],
        ),
        Family(
            name="fairlead_cell_events_total",
            kind="counter",
            help="What happened on the cells since the start, by name.",
            samples=_counts(measures.cell_counts),
        ),
    ]


def _gauge(name: str, help: str, samples: list[Sample]) -> Family:
    return Family(name=name, kind="gauge", help=help, samples=samples)


def _counts(counts: Mapping[str, int]) -> list[Sample]:
    return [Sample(value, {"name": name}) for name, value in sorted(counts.items())]


def _per_link(links: Iterable[Link], figure: Callable[[Link], float | None]) -> list[Sample]:
    values = ((link.node, figure(link)) for link in links)
    return [Sample(value, {"node": str(node)}) for node, value in values if value is not None]
