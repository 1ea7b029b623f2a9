"""What a node serves to browsers: the doctor's page, which tries each way from there, and a
watchdog for web apps."""

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
    "/watchdog.js": "watchdog.js",
    "/style.css": "style.css",
    "/mark.svg": "mark.svg",
}
HEADERS = {
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # What stands in the page's address is a token: nothing of others runs beside it or around it.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src *; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def routes(dist: Path = DIST) -> list[BaseRoute]:
    """`/doctor` and what it needs, and `/watchdog.js`; nothing where the pages are not built."""
    if not (dist / FILES["/doctor"]).is_file():
        return []
    return [Route(path, _file(dist / name), methods=["GET"]) for path, name in FILES.items()]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return FileResponse(path, headers=HEADERS)

    return serve
