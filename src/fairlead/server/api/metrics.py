"""``/metrics``: the node's measures for a Prometheus scraper. Not here: who may ask."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fairlead.telemetry.exposition import CONTENT_TYPE, expose
from fairlead.telemetry.node import Measures, families


def metrics_route(measure: Callable[[], Measures]) -> Route:
    """The route; ``measure`` is called for each scrape."""

    async def metrics(_request: Request) -> Response:
        return Response(expose(families(measure())), headers={"content-type": CONTENT_TYPE})

    return Route("/metrics", metrics)
