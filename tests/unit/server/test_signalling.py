"""Signalling through a real uvicorn: paths, statuses, frames, limits and what is logged."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import msgspec
import pytest
import structlog
import uvicorn
import websockets
from livekit.protocol.models import ClientInfo, DisconnectReason
from livekit.protocol.rtc import (
    JoinRequest,
    SignalRequest,
    SignalResponse,
    WrappedJoinRequest,
)
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from fairlead.policy.grants import VideoGrant
from fairlead.policy.regions import RoomRule
from fairlead.policy.tokens import mint
from fairlead.protocol import node
from fairlead.protocol.operation import DeleteRoom, Done, RemoveParticipant
from fairlead.protocol.signal import MAX_FRAME_BYTES
from fairlead.rooms.state.settings import Settings
from fairlead.server import edge_link
from fairlead.server.edge import Edge
from fairlead.server.ports import NullCells
from fairlead.server.signalling import middleware, routes, server_config
from tests.unit.rooms.stage import answer_to, offer

pytestmark = pytest.mark.anyio

SECRET = "a secret of at least thirty-two bytes"


class PlayingNode:
    """A node that answers every offer."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._events: list[bytes] = []
        self.commands: list[Any] = []

    def handle(self, command: bytes) -> None:
        said = msgspec.msgpack.decode(command, type=node.Command)
        self.commands.append(said)
        if isinstance(said, node.AcceptOffer):
            self.say(
                node.Answered(
                    participant=said.participant,
                    transport=said.transport,
                    offer_id=said.offer_id,
                    sdp=answer_to(said.sdp),
                )
            )

    def say(self, event: node.Event) -> None:
        self._events.append(msgspec.msgpack.encode(event))
        self._write.send(b"x")

    def drain(self) -> list[bytes]:
        self._read.recv(65536)
        events, self._events = self._events, []
        return events

    def fileno(self) -> int:
        return self._read.fileno()

    def close(self) -> None:
        self._read.close()
        self._write.close()


class Serving:
    """An edge behind uvicorn on a loopback port."""

    def __init__(self, edge: Edge, node: PlayingNode, port: int) -> None:
        self.edge = edge
        self.node = node
        self.host = f"127.0.0.1:{port}"

    async def get(self, path: str, **more: Any) -> httpx.Response:
        method = more.pop("method", "GET")
        async with httpx.AsyncClient() as client:
            return await client.request(method, f"http://{self.host}{path}", **more)

    def join(self, query: str, **more: Any) -> connect:
        return connect(f"ws://{self.host}{query}", max_size=None, **more)


@asynccontextmanager
async def serving(**chosen: Any) -> AsyncIterator[Serving]:
    packets = PlayingNode()
    edge = Edge(
        Settings(node=1, region="here", **chosen),
        node=packets,
        cells=NullCells(),
        keys={"key": SECRET},
    )
    app = Starlette(routes=routes(edge), middleware=middleware())
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(server_config(app))
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: edge.run(task_status=task_status))
        stopped = anyio.Event()

        async def serve() -> None:
            await server.serve(sockets=[listener])
            stopped.set()

        tasks.start_soon(serve)
        try:
            while not server.started:
                await anyio.sleep(0.005)
            yield Serving(edge, packets, listener.getsockname()[1])
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                await edge.stop()
                server.should_exit = True
                await stopped.wait()
            tasks.cancel_scope.cancel()
    listener.close()
    packets.close()


def token(identity: str = "ann", room: str = "lobby", **video: Any) -> str:
    grant = VideoGrant(**({"room_join": True, "room": room} | video))
    return mint("key", SECRET, identity=identity, now=time.time(), video=grant)


def request(padding: int = 0, **fields: Any) -> str:
    """A join_request, with ``padding`` bytes of offer that gzip could not shrink."""
    inner = JoinRequest(
        client_info=ClientInfo(protocol=17),
        connection_settings={"auto_subscribe": True},
        publisher_offer=offer("audio recvonly"),
        **fields,
    )
    if padding:
        inner.publisher_offer.sdp += f"a=x:{'y' * padding}\r\n"
    wrapped = WrappedJoinRequest(join_request=inner.SerializeToString())
    return base64.urlsafe_b64encode(wrapped.SerializeToString()).decode()


async def hear(websocket: ClientConnection, kind: str) -> SignalResponse:
    """Read up to the first message of a kind."""
    with anyio.fail_after(10):
        while True:
            message = SignalResponse.FromString(await websocket.recv())
            if message.WhichOneof("message") == kind:
                return message


async def test_the_front_door() -> None:
    async with serving() as edge:
        for method in ("GET", "HEAD"):
            reply = await edge.get("/", method=method, headers={"origin": "http://shop.example"})
            assert reply.status_code == 200
            assert reply.headers["access-control-allow-origin"] == "*"
        assert (await edge.get("/")).text == "OK"
        assert (await edge.get("/rtc")).status_code == 404
        assert (await edge.get("/rtc/v1")).status_code == 404
        preflight = await edge.get(
            "/rtc/validate",
            method="OPTIONS",
            headers={
                "origin": "http://shop.example",
                "access-control-request-method": "GET",
                "access-control-request-headers": "authorization",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("/rtc", 401),
        ("/rtc?access_token=nonsense", 401),
        (f"/rtc?access_token={token(room_join=False)}", 401),
        (f"/rtc?access_token={token(identity='')}", 400),
        (f"/rtc?access_token={token(room='')}", 400),
        (f"/rtc/v1?access_token={token()}", 400),
        (f"/rtc/v1?access_token={token()}&join_request=nonsense", 400),
        (f"/rtc/v1?access_token={token()}&join_request={request(metadata='m')}", 401),
        (f"/rtc?access_token={token()}", 404),
    ],
)
async def test_validate_says_what_the_websocket_says(query: str, status: int) -> None:
    path, _, rest = query.partition("?")
    async with serving(auto_create=status != 404) as edge:
        validated = await edge.get(f"{path}/validate?{rest}")
        with pytest.raises(websockets.InvalidStatus) as refusal:
            await edge.join(query)
        assert validated.status_code == refusal.value.response.status_code == status
        assert validated.text == (refusal.value.response.body or b"").decode()
        assert validated.text
        if status == 404:
            assert "requested room does not exist" in validated.text
        assert edge.edge.session_count == 0


async def test_a_valid_join_validates() -> None:
    async with serving() as edge:
        for path in ("/rtc/validate?", f"/rtc/v1/validate?join_request={request()}&"):
            reply = await edge.get(f"{path}access_token={token()}")
            assert (reply.status_code, reply.text) == (200, "success")


async def test_a_refused_client_is_no_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as edge:
        with pytest.raises(websockets.InvalidStatus):
            await edge.join("/rtc?access_token=no")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_an_unknown_websocket_is_404() -> None:
    async with serving() as edge:
        with pytest.raises(websockets.InvalidStatus) as refusal:
            await edge.join("/rtc/v2")
        assert refusal.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/rtc/v1", "//rtc/v1"])
async def test_join_ping_leave(path: str) -> None:
    async with serving() as edge:
        headers = {"Authorization": f"Bearer {token()}"}
        url = f"{path}?join_request={request()}"
        async with edge.join(url, additional_headers=headers) as websocket:
            first = SignalResponse.FromString(await websocket.recv())
            assert first.join.room.name == "lobby"
            answer = (await hear(websocket, "answer")).answer
            assert answer.id == 1
            await websocket.send(SignalRequest(ping_req={"timestamp": 5}).SerializeToString())
            assert (await hear(websocket, "pong_resp")).pong_resp.last_ping_timestamp == 5
            await websocket.send(SignalRequest(leave={}).SerializeToString())
            with anyio.fail_after(10), pytest.raises(websockets.ConnectionClosedOK):
                while True:
                    await websocket.recv()
        assert edge.edge.session_count == 0


async def test_json_frames() -> None:
    async with (
        serving() as edge,
        edge.join(f"/rtc?access_token={token()}&protocol=9") as websocket,
    ):
        assert isinstance(await websocket.recv(), bytes)
        await websocket.send('{"pingReq": {"timestamp": "5"}}')
        with anyio.fail_after(10):
            while not isinstance(frame := await websocket.recv(), str):
                pass
        assert json.loads(frame)["pongResp"]["lastPingTimestamp"] == "5"


async def test_a_long_request_line_is_admitted() -> None:
    async with serving() as edge:
        url = f"/rtc/v1?access_token={token()}&join_request={request(padding=48_000)}"
        assert len(url) > 64_000
        async with edge.join(url) as websocket:
            await hear(websocket, "answer")
        assert (await edge.get(url.replace("v1?", "v1/validate?"))).status_code == 200


async def test_bad_frames_are_let_go_until_they_are_too_many() -> None:
    async with serving() as edge, edge.join(f"/rtc?access_token={token()}") as websocket:
        await websocket.send(b"\xff\xff\xff")
        await websocket.send(SignalRequest(ping=1).SerializeToString())
        await hear(websocket, "pong")
        for _ in range(edge_link.MAX_BAD_FRAMES):
            await websocket.send(b"\xff\xff\xff")
        with anyio.fail_after(10), pytest.raises(websockets.ConnectionClosed):
            while True:
                await websocket.recv()


async def test_a_frame_over_the_limit_closes_the_connection() -> None:
    async with serving() as edge, edge.join(f"/rtc?access_token={token()}") as websocket:
        await websocket.send(b"\x00" * (MAX_FRAME_BYTES + 1))
        with anyio.fail_after(10), pytest.raises(websockets.ConnectionClosedError):
            while True:
                await websocket.recv()


async def test_a_client_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_link, "MAX_QUEUED_BYTES", 1_000_000)
    async with serving() as edge:
        deaf = socket.create_connection(edge.host.split(":"))  # type: ignore[arg-type]
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        query = f"/rtc?access_token={token('deaf')}"
        deaf.sendall(
            f"GET {query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        rights = token("loud", can_update_own_metadata=True)
        async with edge.join(f"/rtc?access_token={rights}") as loud:
            await hear(loud, "join")
            with anyio.fail_after(20):
                while edge.edge.session_count < 2:
                    await anyio.sleep(0.01)
                count = 0
                while edge.edge.session_count == 2:
                    count += 1
                    change = {"metadata": f"{count}" + "x" * 100_000}
                    await loud.send(SignalRequest(update_metadata=change).SerializeToString())
                    await hear(loud, "update")
            # The other one was served all the while, and goes on being served.
            await loud.send(SignalRequest(ping=1).SerializeToString())
            await hear(loud, "pong")
        deaf.close()


async def test_operations_reach_the_rooms() -> None:
    async with serving() as edge, edge.join(f"/rtc?access_token={token()}") as websocket:
        await hear(websocket, "join")
        reply = await edge.edge.operate(RemoveParticipant(room="lobby", identity="ann"))
        assert isinstance(reply, Done)
        leave = (await hear(websocket, "leave")).leave
        assert leave.reason == DisconnectReason.PARTICIPANT_REMOVED
        assert isinstance(await edge.edge.operate(DeleteRoom(room="lobby")), Done)
        assert edge.edge.room_count == 0


async def test_the_end_sends_everyone_to_another_edge() -> None:
    async with serving() as edge, edge.join(f"/rtc?access_token={token()}") as websocket:
        await hear(websocket, "join")
        await edge.edge.stop()
        leave = (await hear(websocket, "leave")).leave
        assert (leave.reason, leave.action) == (DisconnectReason.SERVER_SHUTDOWN, leave.RECONNECT)


async def test_a_packet_thread_that_stops_ends_the_edge() -> None:
    packets = PlayingNode()
    edge = Edge(
        Settings(node=1, region="here"), node=packets, cells=NullCells(), keys={"key": SECRET}
    )
    packets.say(node.Fatal(reason="worker 0 panicked"))
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as failure:
        await edge.run()
    assert "worker 0 panicked" in str(failure.value.exceptions[0])
    packets.close()


async def test_no_log_line_shows_a_token_or_an_address(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = token("private-person")
    with caplog.at_level(logging.INFO), structlog.testing.capture_logs() as entries:
        async with serving() as edge:
            await edge.get(f"/rtc/validate?access_token={secret}")
            async with edge.join(f"/rtc/v1?access_token={secret}&join_request={request()}") as ws:
                await hear(ws, "answer")
            with pytest.raises(websockets.InvalidStatus):
                await edge.join(f"/rtc?access_token={secret}x")
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "websockets.client"))]
    server = [record.getMessage() for record in ours]
    printed = capsys.readouterr()
    said = "\n".join([*server, *map(str, entries), printed.out, printed.err])
    assert "participant_joined" in said
    for hidden in (secret, "127.0.0.1", "access_token", "private-person"):
        assert hidden not in said


async def test_a_room_that_may_not_be_here_is_refused_with_the_reason() -> None:
    rule = RoomRule(match="lob*", regions=frozenset({"jakarta", "singapore"}))
    async with serving(rules=(rule,)) as edge:
        query = f"access_token={token()}"
        validated = await edge.get(f"/rtc/validate?{query}")
        with pytest.raises(websockets.InvalidStatus) as refusal:
            await edge.join(f"/rtc?{query}")
        assert validated.status_code == refusal.value.response.status_code == 403
        assert validated.text == (refusal.value.response.body or b"").decode()
        assert validated.text.startswith(
            "room 'lobby' may only be in jakarta and singapore, where no edge is known"
        )
