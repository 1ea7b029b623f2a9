"""The paths of one node to the others as metrics, and who computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.routing.explain import Explanation
from fairlead.telemetry.exposition import Family, Sample, counter, gauge

REFUSED = "routes_refused_"


def families(routes: Sequence[Explanation]) -> list[Family]:
    """Labels: ``node`` at the other end, ``regions`` that the path must stay in (empty: any)."""
    there = [route for route in routes if route.reachable]
    seconds = [(route, route.second) for route in there if route.second is not None]
    return [
        gauge(
            "fairlead_route_reachable",
            "1 if there is a path to a node.",
            [Sample(float(route.reachable), _to(route)) for route in routes],
        ),
        gauge(
            "fairlead_route_relays",
            "Relays on the path to a node.",
            [Sample(len(route.via), _to(route, path="first")) for route in there]
            + [Sample(len(second), _to(route, path="second")) for route, second in seconds],
        ),
        gauge(
            "fairlead_route_rtt_seconds",
            "Round trip over the path to a node, as the links of it are measured.",
            [
                Sample(rtt_ms / 1000, _to(route, path=path))
                for route in there
                for path, rtt_ms in (("first", route.rtt_ms), ("second", route.second_rtt_ms))
                if rtt_ms is not None
            ],
        ),
        gauge(
            "fairlead_route_protected",
            "1 if a second path to a node stands by, disjoint from the first.",
            [Sample(float(route.second is not None), _to(route)) for route in there],
        ),
        gauge(
            "fairlead_route_leased",
            "1 if a controller computed the path, 0 if it is the node's own view.",
            [Sample(float(route.leased), _to(route)) for route in there],
        ),
    ]


def control(controller: int | None, epoch: int, counts: Mapping[str, int]) -> list[Family]:
    """Whose word is obeyed, and what was not."""
    return [
        gauge(
            "fairlead_controller",
            "1 for the node whose routes are in force here; none if they are its own view.",
            [] if controller is None else [Sample(1, {"node": str(controller)})],
        ),
        gauge(
            "fairlead_controller_epoch",
            "The highest epoch of a controller heard of; lower ones are refused.",
            [Sample(epoch)],
        ),
        counter(
            "fairlead_routes_refused_total",
            "Tables of routes that were refused since the start, by reason.",
            [
                Sample(count, {"reason": name.removeprefix(REFUSED)})
                for name, count in sorted(counts.items())
                if name.startswith(REFUSED)
            ],
        ),
        gauge(
            "fairlead_routing",
            "What else routing counts, by name: some only grow, some stand as they are now.",
            [
                Sample(count, {"name": name})
                for name, count in sorted(counts.items())
                if not name.startswith(REFUSED)
            ],
        ),
    ]


def _to(route: Explanation, **labels: str) -> dict[str, str]:
    return {"node": str(route.destination), "regions": ",".join(route.regions), **labels}
