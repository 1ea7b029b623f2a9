"""Asks one STUN server something over UDP, TCP or TLS, and waits for its answer."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
import anyio.abc

from fairlead.protocol import stun

ANSWER_S = 3.0
RESEND_S = 0.5
"""UDP loses packets: a question is asked again until it is answered."""
MAX_STREAM = 4096


class NoWay(Exception):
    """The way does not work; a sentence without its full stop, and what to do where that is not
    to let something through."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix


class Way(Protocol):
    """Carries messages to a server."""

    async def ask(self, request: bytes) -> stun.Message:
        """The answer to a request, by its transaction. Raises `NoWay`."""


class _Datagrams:
    def __init__(self, socket: anyio.abc.ConnectedUDPSocket) -> None:
        self._socket = socket

    async def ask(self, request: bytes) -> stun.Message:
        with anyio.move_on_after(ANSWER_S):
            while True:
                await self._socket.send(request)
                with anyio.move_on_after(RESEND_S):
                    while True:
                        answer = _read(await self._socket.receive())
                        if answer is not None and _answers(answer, request):
                            return answer
        raise NoWay(f"nothing came back within {ANSWER_S:.0f} s")


class _Stream:
    """``framed``: each message has a length before it (RFC 4571), as ICE has over TCP."""

    def __init__(self, stream: anyio.abc.ByteStream, framed: bool) -> None:
        self._stream = stream
        self._framed = framed
        self._held = b""

    async def ask(self, request: bytes) -> stun.Message:
        try:
            with anyio.fail_after(ANSWER_S):
                prefix = len(request).to_bytes(2, "big") if self._framed else b""
                await self._stream.send(prefix + request)
                while True:
                    answer = _read(await self._next())
                    if answer is not None and _answers(answer, request):
                        return answer
        except TimeoutError:
            raise NoWay(f"it is connected, and nothing came back in {ANSWER_S:.0f} s") from None
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            raise NoWay("the server closed the connection: something else listens there") from None

    async def _next(self) -> bytes:
        skip = 2 if self._framed else 0
        while True:
            if self._framed:
                size = int.from_bytes(self._held[:2], "big") if len(self._held) >= 2 else None
            else:
                size = stun.whole(self._held)
            if size is not None and len(self._held) >= skip + size:
                message, self._held = self._held[skip : skip + size], self._held[skip + size :]
                return message
            if len(self._held) > MAX_STREAM:
                raise NoWay("what came back is no STUN: something else listens there")
            self._held += await self._stream.receive()


@asynccontextmanager
async def udp(host: str, port: int) -> AsyncIterator[Way]:
    """Raises `NoWay`."""
    try:
        async with await anyio.create_connected_udp_socket(host, port) as socket:
            yield _Datagrams(socket)
    except OSError as error:
        raise NoWay(f"it can't be sent to ({error.strerror or error})") from None


@asynccontextmanager
async def tcp(
    host: str, port: int, *, framed: bool, context: ssl.SSLContext | None = None
) -> AsyncIterator[Way]:
    """Inside TLS with a ``context``. Raises `NoWay`."""
    try:
        with anyio.fail_after(ANSWER_S):
            if context is None:
                stream: anyio.abc.ByteStream = await anyio.connect_tcp(host, port)
            else:
                stream = await anyio.connect_tcp(
                    host, port, ssl_context=context, tls_standard_compatible=False
                )
    except TimeoutError:
        raise NoWay(f"no connection came about within {ANSWER_S:.0f} s") from None
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or str(error)
        fix = f"Get a certificate that clients trust for {host}, with its whole chain."
        raise NoWay(f"TLS failed ({why})", fix) from None
    except OSError as error:
        raise NoWay(f"no connection came about ({error.strerror or error})") from None
    async with stream:
        yield _Stream(stream, framed)


def _read(data: bytes) -> stun.Message | None:
    try:
        return stun.read(data)
    except stun.BadStun:
        return None


def _answers(answer: stun.Message, request: bytes) -> bool:
    """By its transaction; what a relay passes on has one of its own."""
    own = answer.transaction == request[8 : stun.HEADER] and answer.kind & stun.SUCCESS
    return bool(own) or (
        answer.kind == stun.DATA_INDICATION
        and int.from_bytes(request[:2], "big") == stun.SEND | stun.INDICATION
    )
