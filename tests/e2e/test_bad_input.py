"""What strangers and broken clients send is refused or dropped, and a call beside it goes on."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from livekit.protocol.models import TrackSource, TrackType
from livekit.protocol.rtc import AddTrackRequest, RequestResponse, SessionDescription
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.conftest import Ends
from tests.e2e.people import Person, joined
from tests.e2e.rawclient import OFFER, join_request, join_url, raw_join
from tests.e2e.worlds import Edge
from tests.media import chirp

pytestmark = pytest.mark.anyio

OVERSIZE = 3 << 20
HOSTILE = {
    "empty": b"",
    "noise": random.Random(1).randbytes(900),
    "truncated": b"\x0a\xff\xff\xff\x7f",
    "unknown field": b"\xfa\x3f\x03abc",
    "json array": "[1, 2, 3]",
    "json noise": "{" * 2_000,
    "unknown json": '{"nothing": {}}',
    "not utf-8 looking": "\u0000\ufffd",
}
BAD_SDP = {
    "empty": "",
    "words": "this is no session description",
    "truncated": OFFER[: len(OFFER) // 2],
    "no fingerprint": "\r\n".join(x for x in OFFER.splitlines() if "fingerprint" not in x),
    "many lines": OFFER + "a=mid:x\r\n" * 20_000,
}


class Call:
    """A call that goes on while something bad happens beside it."""

    def __init__(self, ayu: Person, ben: Person, room: str) -> None:
        self.ayu, self.ben, self.room = ayu, ben, room

    async def still_works(self) -> None:
        """Sound sent now is heard now, both ways, and nobody left."""
        await asyncio.gather(
            self.ben.hear(await self.ben.track_of("ayu"), chirp.JAKARTA),
            self.ayu.hear(await self.ayu.track_of("ben"), chirp.FRANKFURT),
        )
        for person in (self.ayu, self.ben):
            names = {name for name, _ in person.log}
            assert not names & {"disconnected", "reconnecting", "track_unpublished"}


@pytest.fixture
async def call(ends: Ends, room: str) -> AsyncIterator[Call]:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        yield Call(ayu, ben, room)


def signed(edge: Edge, *, sub: str, room: str, exp: int | None = 600) -> str:
    """A token that the SDK would not make; `exp` is in seconds from now."""
    claims: dict[str, Any] = {
        "iss": edge.key,
        "sub": sub,
        "video": {"roomJoin": True, "room": room},
    }
    if exp is not None:
        claims["exp"] = int(time.time()) + exp
    return jwt.encode(claims, edge.secret, algorithm="HS256")


def tokens(edge: Edge, room: str) -> dict[str, tuple[str | None, set[int]]]:
    """Tokens that must not open a room, with the statuses that may answer them."""
    good = edge.token("eve", room)
    head, body, signature = good.split(".")
    other = Edge(edge.region, edge.url, edge.key, "another-secret-than-the-right-one")
    stranger = Edge(edge.region, edge.url, "nobodys-key", edge.secret)
    return {
        "none": (None, {401}),
        "words": ("not-a-token", {401}),
        "wrong secret": (other.token("eve", room), {401}),
        "wrong key": (stranger.token("eve", room), {401}),
        "expired": (edge.token("eve", room, ttl_s=-600), {401}),
        "no join grant": (edge.token("eve", room, room_join=False), {401, 403}),
        "no room": (signed(edge, sub="eve", room=""), {400, 401, 403}),
        "no identity": (signed(edge, sub="", room=room), {400, 401}),
        "unsigned": (f"{head}.{body}.", {401}),
        "another body": (f"{head}.{body[:-6]}AAAAAA.{signature}", {401}),
        "long identity": (edge.token("e" * 5_000, room), {400, 401, 431}),
    }


async def join_status(url: str, headers: dict[str, str]) -> int:
    """The HTTP status that a try to join gets; 101 means that it was let in."""
    try:
        async with connect(url, additional_headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_bad_tokens_are_refused_the_same_way_everywhere(ends: Ends, call: Call) -> None:
    async with httpx.AsyncClient() as http:
        for name, (token, statuses) in tokens(ends.far, call.room).items():
            headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
            assert await join_status(join_url(ends.far), headers) in statuses, name
            for path in ("/rtc/v1/validate", "/rtc/validate"):
                params = {"join_request": join_request()} if "v1" in path else {}
                answer = await http.get(ends.far.http + path, params=params, headers=headers)
                assert answer.status_code in statuses, f"{name} at {path}"
    await call.still_works()


async def test_a_good_token_validates(ends: Ends, room: str) -> None:
    async with httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {ends.near.token('ayu', room)}"}
        for path in ("/rtc/v1/validate", "/rtc/validate"):
            params = {"join_request": join_request()} if "v1" in path else {}
            answer = await http.get(ends.near.http + path, params=params, headers=headers)
            assert (answer.status_code, answer.text) == (200, "success")
        assert (await http.get(ends.near.http + "/")).status_code == 200


@pytest.mark.parametrize("value", ["", "!!!!", "AAAA", "x" * 30_000], ids=lambda v: str(len(v)))
async def test_bad_join_requests_are_refused(ends: Ends, room: str, value: str) -> None:
    headers = {"Authorization": f"Bearer {ends.near.token('eve', room)}"}
    assert 400 <= await join_status(join_url(ends.near, value), headers) < 500


async def test_hostile_frames_hurt_only_their_sender(ends: Ends, call: Call) -> None:
    for name, frame in HOSTILE.items():
        async with raw_join(ends.far, call.room, "eve") as eve:
            try:
                for _ in range(20):
                    await eve.socket.send(frame)
            except ConnectionClosed:
                continue
            assert eve.socket.state is not None, name
    async with raw_join(ends.far, call.room, "eve") as eve:
        try:
            await eve.socket.send(bytes(OVERSIZE))
            await eve.closed()
        except ConnectionClosed:
            pass
    await call.still_works()


@pytest.mark.parametrize("name", BAD_SDP)
async def test_bad_session_descriptions_hurt_only_their_sender(
    ends: Ends, call: Call, name: str
) -> None:
    async with raw_join(ends.far, call.room, "eve") as eve:
        try:
            await eve.send(offer=SessionDescription(type="offer", sdp=BAD_SDP[name], id=2))
            await eve.send(offer=SessionDescription(type="answer", sdp=BAD_SDP[name], id=3))
        except ConnectionClosed:
            pass
    await call.still_works()


async def test_a_publisher_without_permission_is_told_so(ends: Ends, call: Call) -> None:
    async with raw_join(ends.far, call.room, "eve", can_publish=False) as eve:
        request = AddTrackRequest(
            cid="c1", name="mic", type=TrackType.AUDIO, source=TrackSource.MICROPHONE
        )
        await eve.send(add_track=request)
        answer = await eve.receive("request_response")
        assert answer.reason == RequestResponse.Reason.NOT_ALLOWED
        assert answer.add_track.cid == "c1"
    await call.still_works()


async def test_a_client_that_stops_reading_holds_nobody_up(ends: Ends, call: Call) -> None:
    async with raw_join(ends.far, call.room, "eve") as eve:
        eve.socket.transport.pause_reading()
        for index in range(100):
            await call.ayu.me.set_metadata(f"{index:03}" * 13_000)
        await call.still_works()
        remote = await call.ben.sees("ayu")
        await call.ben.until(lambda: remote.metadata == "099" * 13_000, "the last metadata")
        eve.socket.transport.abort()


async def test_noise_on_the_media_ports_is_dropped(ends: Ends, call: Call) -> None:
    async with raw_join(ends.far, call.room, "eve") as eve:
        answer = await eve.receive("answer")
        udp, tcp = await _media_ports(eve, answer.sdp)
    noise = random.Random(2)
    stun = bytes.fromhex("000100002112a442") + noise.randbytes(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for index in range(2_000):
            size = noise.randrange(0, 1_400)
            head = (b"\x80\x60", b"\x80\xc8", b"\x16\xfe\xfd", stun, b"", b"\xff")[index % 6]
            try:
                sender.sendto(head + noise.randbytes(size), udp)
            except BlockingIOError:
                await asyncio.sleep(0.001)
            if index % 100 == 0:
                await asyncio.sleep(0)
    if tcp is not None:
        await asyncio.gather(*(_shout(tcp, noise.randbytes(5_000)) for _ in range(20)))
    await call.still_works()


async def test_noise_on_the_http_port_is_refused(ends: Ends, call: Call) -> None:
    url = httpx.URL(ends.far.http)
    address = (url.host, url.port or 80)
    noise = random.Random(3)
    await asyncio.gather(*(_shout(address, noise.randbytes(4_000)) for _ in range(10)))
    await asyncio.gather(*(_shout(address, b"GET /rtc HTTP/1.1\r\nX: " + b"a" * 9) for _ in "ab"))
    headers = {"Authorization": f"Bearer {ends.far.admin_token(call.room)}"}
    async with httpx.AsyncClient(timeout=10) as http:
        for method in ("CreateRoom", "ListParticipants", "SendData", "MutePublishedTrack"):
            for kind, body in (
                ("application/protobuf", noise.randbytes(500)),
                ("application/json", b"{broken"),
                ("application/json", b"[" * 50_000),
                ("text/plain", b"hello"),
            ):
                answer = await http.post(
                    f"{ends.far.http}/twirp/livekit.RoomService/{method}",
                    content=body,
                    headers={**headers, "Content-Type": kind},
                )
                assert 400 <= answer.status_code < 500, f"{method} {kind} {answer.status_code}"
        unknown = await http.post(
            f"{ends.far.http}/twirp/livekit.RoomService/Nothing", json={}, headers=headers
        )
        assert unknown.status_code == 404
    await call.still_works()


async def _media_ports(eve: Any, sdp: str) -> tuple[tuple[str, int], tuple[str, int] | None]:
    """The UDP and TCP addresses in the answer or in the candidates that trickle after it."""
    lines = [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
    while not any(" udp " in line.lower() for line in lines):
        trickle = await eve.receive("trickle")
        lines.append(trickle.candidateInit)
    found: dict[str, tuple[str, int]] = {}
    for line in lines:
        fields = line[line.index("candidate:") :].split()
        found.setdefault(fields[2].lower(), (fields[4], int(fields[5])))
    return found["udp"], found.get("tcp")


async def _shout(address: tuple[str, int], what: bytes) -> None:
    """Opens a TCP connection, sends and hangs up; the other side may hang up first."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*address), 5)
        writer.write(what)
        await asyncio.wait_for(writer.drain(), 5)
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), 5)
    except (OSError, TimeoutError):
        pass
