"""A visit to a server as a client makes it: name, port, TLS, token, websocket, media."""

from __future__ import annotations

import base64
import secrets
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, quote, urlsplit

import anyio
import httpx
from anyio.streams.tls import TLSAttribute
from google.protobuf.message import DecodeError
from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import (
    ConnectionSettings,
    JoinRequest,
    JoinResponse,
    LeaveRequest,
    SessionDescription,
    SignalRequest,
    SignalResponse,
    WrappedJoinRequest,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from fairlead.server.doctor import ways
from fairlead.server.doctor.finding import Finding, failed, ok, skipped, warning
from fairlead.server.doctor.ways import Media

STEP_S = 5.0
"""Longest wait for any one step."""
SKEW_S = 30.0
"""More between the clocks lets tokens and credentials fail."""
CERTIFICATE_DAYS = 14
"""Fewer until the certificate ends are worth a word."""
OWN_UFRAG = "fairlead"

OFFER = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:{ufrag}
a=ice-pwd:{password}
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""


async def visit(url: str, token: str, context: ssl.SSLContext) -> list[Finding]:
    """Every step in order; one that fails ends it, since what follows needs it."""
    parts = urlsplit(url)
    findings: list[Finding] = []
    for step in (_name(parts), _port(parts), *([_tls(parts, context)] if _is_tls(parts) else [])):
        findings.append(await step)
        if findings[-1].verdict == "failed":
            return findings
    findings += await _http(parts, token, context)
    if any(one.verdict == "failed" for one in findings):
        return findings
    return findings + await _join(parts, token, context)


def _is_tls(parts: SplitResult) -> bool:
    return parts.scheme in ("wss", "https")


def _place(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if _is_tls(parts) else 80)


async def _name(parts: SplitResult) -> Finding:
    host, port = _place(parts)
    try:
        with anyio.fail_after(STEP_S):
            found = await anyio.getaddrinfo(host, port)
    except (OSError, TimeoutError):
        return failed(
            "dns", f"{host} has no address.", f"Make a DNS record for {host}, or correct the URL."
        )
    addresses = sorted({str(one[4][0]) for one in found})
    return ok("dns", f"{host} is {', '.join(addresses)}.")


async def _port(parts: SplitResult) -> Finding:
    host, port = _place(parts)
    try:
        with anyio.fail_after(STEP_S):
            stream = await anyio.connect_tcp(host, port)
        await stream.aclose()
    except (OSError, TimeoutError):
        fix = f"Start the server, or let TCP to port {port} of {host} in."
        return failed("tcp", f"Port {port} of {host} takes no connection.", fix)
    return ok("tcp", f"Port {port} of {host} takes connections.")


async def _tls(parts: SplitResult, context: ssl.SSLContext) -> Finding:
    host, port = _place(parts)
    try:
        with anyio.fail_after(STEP_S):
            stream = await anyio.connect_tcp(
                host, port, ssl_context=context, tls_standard_compatible=False
            )
        certificate = stream.extra(TLSAttribute.peer_certificate)
        await stream.aclose()
    except ssl.SSLCertVerificationError as error:
        fix = f"Get a certificate that browsers trust for {host}, with its whole chain."
        return failed("tls", f"The certificate does not hold: {error.verify_message}.", fix)
    except (OSError, TimeoutError) as error:
        fix = "Give the front a certificate and its key, or use a ws:// URL."
        return failed("tls", f"TLS failed ({error}).", fix)
    ends = ssl.cert_time_to_seconds(str((certificate or {}).get("notAfter")))
    days = int((ends - time.time()) / 86_400)
    if days < CERTIFICATE_DAYS:
        return warning("tls", f"The certificate ends in {days} days.", "Renew it.")
    return ok("tls", f"The certificate holds for {host}, another {days} days.")


async def _http(parts: SplitResult, token: str, context: ssl.SSLContext) -> list[Finding]:
    base = f"{'https' if _is_tls(parts) else 'http'}://{parts.netloc}"
    try:
        async with httpx.AsyncClient(verify=context, timeout=STEP_S) as client:
            answer = await client.get(
                f"{base}/rtc/validate", headers={"authorization": f"Bearer {token}"}
            )
    except httpx.HTTPError as error:
        fix = "See that this port is the server's, and no proxy before it refuses."
        return [failed("http", f"{base} does not answer HTTP ({error}).", fix)]
    findings = [_clock(answer.headers.get("date", ""))]
    if answer.status_code != 200:
        fix = "Give the API key and secret of this server, and a token that may join."
        said = answer.text.strip()[:200]
        findings.append(failed("token", f"It is refused: {answer.status_code}, {said}.", fix))
    else:
        findings.append(ok("token", "The server takes the token."))
    return findings


def _clock(date: str) -> Finding:
    try:
        skew = parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return skipped("clock", "The server does not tell its time.")
    if abs(skew) > SKEW_S:
        fix = "Set the clocks by NTP: tokens and TURN credentials end by them."
        return failed("clock", f"The server's clock is {skew:+.0f} s from this one.", fix)
    return ok("clock", "The server's clock and this one agree.")


async def _join(parts: SplitResult, token: str, context: ssl.SSLContext) -> list[Finding]:
    url = f"{'wss' if _is_tls(parts) else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}/rtc/v1"
    try:
        async with connect(
            f"{url}?join_request={quote(_join_request())}",
            additional_headers={"authorization": f"Bearer {token}"},
            ssl=context if _is_tls(parts) else None,
            open_timeout=STEP_S,
        ) as socket:
            with anyio.fail_after(STEP_S):
                welcome, answer = await _welcomed(socket)
            findings = [ok("websocket", f"Joined through {parts.netloc}.")]
            findings += await _media(welcome, answer, context)
            leave = SignalRequest(leave=LeaveRequest())
            await socket.send(leave.SerializeToString())
    except (OSError, TimeoutError, DecodeError, InvalidHandshake, WebSocketException) as error:
        fix = "See that every proxy before the server passes websockets on."
        return [failed("websocket", f"{url} can't be joined ({error}).", fix)]
    return findings


def _join_request() -> str:
    password, digest = secrets.token_hex(12), secrets.token_bytes(32)
    offer = OFFER.format(
        ufrag=OWN_UFRAG,
        password=password,
        fingerprint=":".join(f"{byte:02X}" for byte in digest),
    ).replace("\n", "\r\n")
    request = JoinRequest(
        client_info=ClientInfo(sdk=ClientInfo.SDK.PYTHON, version="1.2.1", protocol=17),
        connection_settings=ConnectionSettings(auto_subscribe=False),
        publisher_offer=SessionDescription(type="offer", sdp=offer, id=1),
    )
    wrapped = WrappedJoinRequest(join_request=request.SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


async def _welcomed(socket: ClientConnection) -> tuple[JoinResponse, str]:
    """The welcome and the answer to our offer."""
    welcome, answer = None, None
    while welcome is None or answer is None:
        frame = await socket.recv()
        message = SignalResponse.FromString(frame if isinstance(frame, bytes) else b"")
        match message.WhichOneof("message"):
            case "join":
                welcome = message.join
            case "answer":
                answer = message.answer.sdp
            case "leave":
                raise DecodeError("the server sends this client away")
    return welcome, answer


async def _media(welcome: JoinResponse, answer: str, context: ssl.SSLContext) -> list[Finding]:
    media = _read_media(answer)
    findings = await ways.straight(media)
    servers = [
        server
        for entry in welcome.ice_servers
        for url in entry.urls
        if (server := ways.turn_server(url, entry.username, entry.credential)) is not None
    ]
    if not servers:
        says = "The server names no TURN server; on loopback it has none unless told to."
        return [*findings, skipped("turn", says)]
    return findings + [await ways.through(server, media, context) for server in servers]


def _read_media(answer: str) -> Media:
    lines = [line.strip() for line in answer.splitlines()]

    def value(name: str) -> str:
        return next((x.removeprefix(f"a={name}:") for x in lines if x.startswith(f"a={name}:")), "")

    candidates = []
    for line in dict.fromkeys(x for x in lines if x.startswith("a=candidate:")):
        words = line.split()
        protocol, host, port = words[2].lower(), words[4], words[5]
        if protocol in ("udp", "tcp") and port.isdigit():
            candidates.append((protocol, host, int(port)))
    return Media(
        ufrags=f"{value('ice-ufrag')}:{OWN_UFRAG}",
        password=value("ice-pwd"),
        candidates=list(dict.fromkeys(candidates)),
    )
