"""What one node tells of itself: packets, links, routes, rooms, cells."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.protocol.node import Link
from fairlead.routing.explain import Explanation
from fairlead.telemetry import links, paths, protection
from fairlead.telemetry.exposition import Family, Sample, counter, gauge


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """One node at one moment."""

    counters: Mapping[str, int] = {}
    """Of the packet path, since the start."""
    links: list[Link] = []
    routes: list[Explanation] = []
    controller: int | None = None
    """The node whose routes are in force here, if any's are."""
    epoch: int = 0
    routing: Mapping[str, int] = {}
    """What routing counts, by name."""
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
    return [
        gauge("fairlead_rooms", "Rooms known here, on every edge.", [Sample(measures.rooms)]),
        gauge(
            "fairlead_participants",
            "Participants known here, on every edge.",
            [Sample(measures.participants)],
        ),
        gauge(
            "fairlead_sessions", "Participants served by this node.", [Sample(measures.sessions)]
        ),
        counter(
            "fairlead_packet_path_total",
            "What the packet path counted since the start, by name.",
            _counts(measures.counters),
        ),
        *links.families(measures.links),
        *paths.families(measures.routes),
        *paths.control(measures.controller, measures.epoch, measures.routing),
        *protection.families(measures.counters),
        gauge(
            "fairlead_cell_connected",
            "1 if the cell of a region is connected.",
            [
                Sample(float(connected), {"region": region})
                for region, connected in sorted(measures.cells.items())
            ],
        ),
        counter(
            "fairlead_cell_events_total",
            "What happened on the cells since the start, by name.",
            _counts(measures.cell_counts),
        ),
    ]


def _counts(counts: Mapping[str, int]) -> list[Sample]:
    return [Sample(value, {"name": name}) for name, value in sorted(counts.items())]
