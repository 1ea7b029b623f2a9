"""A client that speaks the signalling by hand: it joins with a captured offer, without media."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from livekit.protocol.models import ClientInfo, DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import (
    ConnectionSettings,
    JoinRequest,
    LeaveRequest,
    SessionDescription,
    SignalRequest,
    SignalResponse,
    WrappedJoinRequest,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.worlds import Edge

OFFER = (Path(__file__).parents[1] / "data" / "offers" / "offer_v1_18.sdp").read_text()
WITHIN_S = 20.0


def join_request(offer: str = OFFER) -> str:
    """The `join_request` parameter of `/rtc/v1`, as the Python SDK makes it."""
    request = JoinRequest(
        client_info=ClientInfo(sdk=ClientInfo.SDK.PYTHON, version="1.2.1", protocol=17),
        connection_settings=ConnectionSettings(auto_subscribe=True),
        publisher_offer=SessionDescription(type="offer", sdp=offer, id=1),
    )
    wrapped = WrappedJoinRequest(join_request=request.SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


def join_url(edge: Edge, request: str | None = None) -> str:
    """The address to join at with a single peer connection."""
    return f"{edge.url}/rtc/v1?join_request={quote(join_request() if request is None else request)}"


class RawClient:
    """An open signalling connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.me = ""
        self.others: set[str] = set()

    async def receive(self, kind: str, within: float = WITHIN_S) -> Any:
        """The next message of a kind; the others before it are dropped."""
        async with asyncio.timeout(within):
            while True:
                frame = await self.socket.recv()
                assert isinstance(frame, bytes), "a binary client got a text frame"
                message = SignalResponse.FromString(frame)
                self._notice(message)
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)

    async def sees(self, identities: set[str], within: float = WITHIN_S) -> None:
        """Waits until exactly these others are in the room."""
        while self.others != identities:
            await self.receive("update", within)

    async def leaves(self) -> None:
        """Says good-bye and waits for the server to hang up."""
        await self.send(leave=LeaveRequest(reason=DisconnectReason.CLIENT_INITIATED))
        await self.closed()

    def _notice(self, message: SignalResponse) -> None:
        if message.HasField("join"):
            self.me = message.join.participant.identity
            self.others = {one.identity for one in message.join.other_participants}
        for one in message.update.participants:
            if one.identity != self.me:
                gone = one.state == ParticipantInfo.State.DISCONNECTED
                (self.others.discard if gone else self.others.add)(one.identity)

    async def send(self, **fields: Any) -> None:
        """Sends one SignalRequest."""
        await self.socket.send(SignalRequest(**fields).SerializeToString())

    async def closed(self, within: float = WITHIN_S) -> None:
        """Waits for the server to close the connection."""
        async with asyncio.timeout(within):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                return


@asynccontextmanager
async def raw_join(
    edge: Edge, room: str, identity: str, offer: str = OFFER, **grants: Any
) -> AsyncIterator[RawClient]:
    """Joins and waits for the join response."""
    headers = {"Authorization": f"Bearer {edge.token(identity, room, **grants)}"}
    async with connect(
        join_url(edge, join_request(offer)),
        additional_headers=headers,
        max_size=1 << 22,
        open_timeout=WITHIN_S,
        close_timeout=2,
    ) as socket:
        client = RawClient(socket)
        await client.receive("join")
        yield client
