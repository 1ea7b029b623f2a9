"""``/metrics``: the node's measures for a Prometheus scraper on this machine."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fairlead.server.config import is_loopback
from fairlead.telemetry.exposition import CONTENT_TYPE, expose
from fairlead.telemetry.node import Measures, families


def metrics_route(measure: Callable[[], Measures]) -> Route:
    """The route; ``measure`` is called for each scrape. Others than this machine get 403: an
    operator's own agent or proxy carries the figures further."""

    async def metrics(request: Request) -> Response:
        if request.client is None or not is_loopback(request.client.host):
            return PlainTextResponse("the metrics answer to this machine alone", 403)
        return Response(expose(families(measure())), headers={"content-type": CONTENT_TYPE})

    return Route("/metrics", metrics)
