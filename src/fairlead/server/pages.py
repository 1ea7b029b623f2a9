"""The pages that a node serves to browsers: the doctor's, which tries each way from there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

DIST = Path(__file__).parents[3] / "web" / "dist"
FILES = {
    "/doctor": "doctor.html",
    "/doctor.js": "doctor.js",
    "/style.css": "style.css",
    "/mark.svg": "mark.svg",
}
HEADERS = {"cache-control": "no-cache", "referrer-policy": "no-referrer"}
"""The address of the page has a token in it, which is nobody else's business."""


def routes(dist: Path = DIST) -> list[BaseRoute]:
    """`/doctor` and what it needs; nothing where the pages are not built."""
    if not (dist / FILES["/doctor"]).is_file():
        return []
    return [Route(path, _file(dist / name), methods=["GET"]) for path, name in FILES.items()]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return FileResponse(path, headers=HEADERS)

    return serve
