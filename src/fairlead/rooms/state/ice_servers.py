"""Where a client finds this edge's TURN server, with credentials of its own that expire.

The REST API convention (draft-uberti-behave-turn-rest-00): the name is ``EXPIRY:NAME``, EXPIRY in
Unix seconds; the password is the base64 of the HMAC-SHA1 of the name. `crates/turn` checks it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
from livekit.protocol.rtc import ICEServer

DEFAULT_TTL = 43_200
"""Seconds: half a day, longer than calls are. One that is open then goes on all the same."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A TURN server as clients are told of it."""

    urls: tuple[str, ...]
    """``turn:HOST:PORT?transport=udp`` and so on, the best first."""
    secret: bytes
    ttl: int = DEFAULT_TTL
    """Seconds in which credentials open an allocation."""


def ice_servers(turn: Turn | None, who: str, now: float) -> list[ICEServer]:
    """What the client ``who`` (a sid) is told; empty where there is no TURN server."""
    if turn is None:
        return []
    name, password = credentials(turn.secret, who, int(now) + turn.ttl)
    return [ICEServer(urls=list(turn.urls), username=name, credential=password)]


def credentials(secret: bytes, who: str, expiry: int) -> tuple[str, str]:
    """Name and password that open allocations until ``expiry``, in Unix seconds."""
    name = f"{expiry}:{who}"
    signed = hmac.new(secret, name.encode(), hashlib.sha1).digest()
    return name, base64.b64encode(signed).decode()
