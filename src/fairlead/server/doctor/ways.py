"""Each way that media may come, tried with ICE's own check: straight, and through TURN."""

from __future__ import annotations

import secrets
import ssl
from urllib.parse import parse_qs

import msgspec

from fairlead.protocol import stun
from fairlead.server.doctor import probe
from fairlead.server.doctor.finding import Finding, failed, ok
from fairlead.server.doctor.probe import NoWay, Way


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer to an offer says of the node's media."""

    ufrags: str
    """Theirs, a colon, ours."""
    password: str
    candidates: list[tuple[str, str, int]]
    """``udp`` or ``tcp``, address, port."""


class TurnServer(msgspec.Struct, frozen=True, kw_only=True):
    """One URL of a TURN server, with the credentials that come with it."""

    host: str
    port: int
    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    username: str
    password: str

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


def turn_server(url: str, username: str, password: str) -> TurnServer | None:
    """From a URI of RFC 7065; None for another."""
    scheme, colon, rest = url.partition(":")
    if not colon or scheme not in ("turn", "turns"):
        return None
    place, _, query = rest.partition("?")
    host, has_port, port = place.rpartition(":")
    if not has_port or not port.isdigit():
        host, port = place, "5349" if scheme == "turns" else "3478"
    transport = parse_qs(query).get("transport", ["udp"])[0]
    return TurnServer(
        host=host.strip("[]"),
        port=int(port),
        transport="tls" if scheme == "turns" else transport,
        username=username,
        password=password,
    )


async def straight(media: Media) -> list[Finding]:
    """ICE with each candidate."""
    return [
        await _straight(media, protocol, host, port) for protocol, host, port in media.candidates
    ]


async def _straight(media: Media, protocol: str, host: str, port: int) -> Finding:
    name, place = f"ice {protocol}", f"{host}:{port}"
    way = probe.udp(host, port) if protocol == "udp" else probe.tcp(host, port, framed=True)
    try:
        async with way as opened:
            answer = await opened.ask(stun.ice_check(_transaction(), media.ufrags, media.password))
            if answer.error is not None:
                raise NoWay(f"it was refused with {answer.error}")
    except NoWay as why:
        fix = (
            f"Let {protocol.upper()} to port {port} of {host} in, and see that node.addresses has "
            "the address that clients reach"
        )
        return failed(name, f"{place}: {why}.", f"{fix}.")
    return ok(name, f"{place} answers ICE.")


async def through(server: TurnServer, media: Media | None, context: ssl.SSLContext) -> Finding:
    """An allocation, and ICE's check through it where there is media to check."""
    name = f"turn {server.transport}"
    way = {
        "udp": lambda: probe.udp(server.host, server.port),
        "tcp": lambda: probe.tcp(server.host, server.port, framed=False),
        "tls": lambda: probe.tcp(server.host, server.port, framed=False, context=context),
    }.get(server.transport)
    if way is None:
        return failed(name, f"{server.place}: no client knows it.", "Correct the TURN URL.")
    try:
        async with way() as opened:
            signer, seen = await _allocate(opened, server)
            peer = next((c for c in media.candidates if c[0] == "udp"), None) if media else None
            if media is None or peer is None:
                return ok(name, f"{server.place} gives relayed addresses; you come from {seen}.")
            await _check_through(opened, signer, media, peer)
    except NoWay as why:
        protocol = "UDP" if server.transport == "udp" else "TCP"
        return failed(
            name,
            f"{server.place}: {why}.",
            why.fix or f"Let {protocol} to port {server.port} of {server.host} in.",
        )
    return ok(name, f"{server.place} relays to the node's media; you come from {seen}.")


class _Signer:
    """Signs requests with what the server's challenge told."""

    def __init__(self, server: TurnServer, challenge: stun.Message) -> None:
        realm = challenge.attributes.get(stun.REALM, b"")
        self._attributes = [
            (stun.USERNAME, server.username.encode()),
            (stun.REALM, realm),
            (stun.NONCE, challenge.attributes.get(stun.NONCE, b"")),
        ]
        self._key = stun.long_term_key(
            server.username, realm.decode(errors="replace"), server.password
        )

    def write(self, kind: int, transaction: bytes, attributes: list[tuple[int, bytes]]) -> bytes:
        return stun.write(kind, transaction, [*attributes, *self._attributes], self._key)


async def _allocate(way: Way, server: TurnServer) -> tuple[_Signer, str]:
    """And where the server sees us. Raises `NoWay`."""
    transport = (stun.REQUESTED_TRANSPORT, stun.UDP)
    first = await way.ask(stun.write(stun.ALLOCATE, _transaction(), [transport]))
    if first.error != 401:
        raise NoWay(f"it does not ask for credentials but says {first.error or 'yes to anyone'}")
    signer = _Signer(server, first)
    granted = await way.ask(signer.write(stun.ALLOCATE, _transaction(), [transport]))
    if granted.error is not None:
        raise NoWay(f"it refuses an allocation with {granted.error}")
    try:
        host, port = stun.read_address(
            granted.attributes.get(stun.MAPPED, b""), granted.transaction
        )
    except stun.BadStun:
        raise NoWay("its answer to an allocation can't be read") from None
    return signer, f"{host}:{port}"


async def _check_through(
    way: Way, signer: _Signer, media: Media, peer: tuple[str, str, int]
) -> None:
    """Raises `NoWay`."""
    transaction = _transaction()
    where = (stun.PEER, stun.address(peer[1], peer[2], transaction))
    permitted = await way.ask(signer.write(stun.CREATE_PERMISSION, transaction, [where]))
    if permitted.error is not None:
        raise NoWay(f"it does not relay to the node's media but says {permitted.error}")
    check = stun.ice_check(_transaction(), media.ufrags, media.password)
    transaction = _transaction()
    where = (stun.PEER, stun.address(peer[1], peer[2], transaction))
    sent = stun.write(stun.SEND | stun.INDICATION, transaction, [where, (stun.DATA, check)])
    passed = await way.ask(sent)
    try:
        answer = stun.read(passed.attributes.get(stun.DATA, b""))
    except stun.BadStun:
        raise NoWay("what it relays is no answer to ICE") from None
    if answer.error is not None:
        raise NoWay(f"ICE through it was refused with {answer.error}")


def _transaction() -> bytes:
    return secrets.token_bytes(stun.TRANSACTION_BYTES)
