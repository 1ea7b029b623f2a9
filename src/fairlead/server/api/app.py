"""The API's HTTP door: token, route, body, method, answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
from google.protobuf.descriptor import FileDescriptor
from livekit.protocol import agent_dispatch, egress, ingress, room, sip
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fairlead.policy.grants import Denied, Grants
from fairlead.policy.tokens import verify
from fairlead.server.api import twirp
from fairlead.server.api.room_service import RoomService
from fairlead.server.api.twirp import TwirpError

_FILES: tuple[FileDescriptor, ...] = (
    room.DESCRIPTOR,
    agent_dispatch.DESCRIPTOR,
    egress.DESCRIPTOR,
    ingress.DESCRIPTOR,
    sip.DESCRIPTOR,
)
_KNOWN = {
    (service.full_name, method.name)
    for file in _FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
"""Every method of LiveKit's services, those that are not answered here included."""

log = structlog.get_logger(__name__)


class Api:
    """Twirp over HTTP."""

    def __init__(
        self, keys: Mapping[str, str], rooms: RoomService, clock: Callable[[], float]
    ) -> None:
        """``keys``: API key to secret; ``clock``: Unix seconds."""
        self._keys = keys
        self._methods = {
            ("livekit.RoomService", name): method for name, method in rooms.methods.items()
        }
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        """What to mount at the root of an application."""
        return [
            Route(
                "/twirp/{service}/{method}",
                self.answer,
                methods=["POST", "GET", "PUT", "DELETE", "PATCH"],  # errors are Twirp's too
            )
        ]

    async def answer(self, request: Request) -> Response:
        """Answer one call."""
        try:
            return await self._answer(request)
        except TwirpError as error:
            return error.response()
        except Denied as error:
            code = "permission_denied" if error.status == 403 else "unauthenticated"
            return TwirpError(code, str(error)).response()
        except Exception:
            log.exception("an API call failed", method=request.path_params["method"])
            return TwirpError("internal", "the call failed here: the log says why.").response()

    async def _answer(self, request: Request) -> Response:
        name = (request.path_params["service"], request.path_params["method"])
        if request.method != "POST":
            raise twirp.bad_route(request, f"{request.method} is not answered: use POST.")
        if name not in _KNOWN:
            raise twirp.bad_route(request, f"there is no method {name[1]!r} of {name[0]!r}.")
        written = twirp.format_of(request)
        grants = self._verify(request)  # before the body, so that strangers can't make us read
        known = self._methods.get(name)
        if known is None:
            raise TwirpError("unimplemented", f"{name[0]}/{name[1]} is not offered here.")
        kind, method = known
        message = twirp.parse(kind, await twirp.read_body(request), written)
        return twirp.answer(await method(grants, message), written)

    def _verify(self, request: Request) -> Grants:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query_params.get("access_token", "")
        return verify(token.strip(), self._keys, self._clock())
