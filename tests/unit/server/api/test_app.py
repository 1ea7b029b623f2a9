"""The HTTP door: grants, formats, limits and errors, by plain requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from livekit.protocol.room import ListRoomsRequest, ListRoomsResponse

from fairlead.policy.grants import VideoGrant
from fairlead.policy.tokens import mint
from fairlead.server.api.twirp import MAX_BODY
from tests.unit.server.api.conftest import KEYS, Served
from tests.unit.server.api.network import NOW

pytestmark = pytest.mark.anyio

ALL = VideoGrant(room_create=True, room_list=True, room_admin=True, room="shop")


def bearer(grant: VideoGrant = ALL, at: float = NOW) -> dict[str, str]:
    [(key, secret)] = KEYS.items()
    return {"authorization": f"Bearer {mint(key, secret, identity='', now=at, video=grant)}"}


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"{served.url}/twirp/", headers=bearer(), trust_env=False
    ) as client:
        yield client


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_json_is_answered_in_proto_names_with_defaults(http: httpx.AsyncClient) -> None:
    response = await http.post("livekit.RoomService/ListRooms", json={"names": ["shop"]})
    assert response.headers["content-type"] == "application/json"
    [room] = response.json()["rooms"]
    assert (room["num_participants"], room["creation_time"]) == (3, "1")
    assert room["active_recording"] is False


@pytest.mark.parametrize("name", ["emptyTimeout", "empty_timeout"])
async def test_json_is_read_in_both_spellings(
    http: httpx.AsyncClient, served: Served, name: str
) -> None:
    await http.post("livekit.RoomService/CreateRoom", json={"name": "new", name: 7, "later": 1})
    [(_, operation)] = served.edges.asked
    assert operation.room == "new"


async def test_protobuf_is_answered_in_protobuf(http: httpx.AsyncClient) -> None:
    response = await http.post(
        "livekit.RoomService/ListRooms",
        content=ListRoomsRequest(names=["class"]).SerializeToString(),
        headers={"content-type": "application/protobuf"},
    )
    assert response.headers["content-type"] == "application/protobuf"
    [room] = ListRoomsResponse.FromString(response.content).rooms
    assert room.name == "class"


async def test_a_token_may_come_in_the_query(http: httpx.AsyncClient) -> None:
    token = bearer()["authorization"].removeprefix("Bearer ")
    del http.headers["authorization"]
    response = await http.post(
        "livekit.RoomService/ListRooms", params={"access_token": token}, json={}
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    "header",
    [{}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic x"}, bearer(at=1.0)],
    ids=["none", "malformed", "scheme", "expired"],
)
async def test_no_valid_token_is_unauthenticated(
    http: httpx.AsyncClient, header: dict[str, str]
) -> None:
    del http.headers["authorization"]
    response = await http.post("livekit.RoomService/ListRooms", json={}, headers=header)
    assert code(response) == (401, "unauthenticated")
    assert "nonsense" not in response.text


@pytest.mark.parametrize(
    ("method", "body", "grant"),
    [
        ("CreateRoom", {"name": "new"}, VideoGrant(room_list=True, room_admin=True, room="new")),
        ("DeleteRoom", {"room": "shop"}, VideoGrant(room_admin=True, room="shop")),
        ("ListRooms", {}, VideoGrant(room_create=True)),
        ("ListParticipants", {"room": "shop"}, VideoGrant(room_admin=True, room="class")),
        ("GetParticipant", {"room": "shop", "identity": "guide"}, VideoGrant(room="shop")),
        ("RemoveParticipant", {"room": "shop", "identity": "guide"}, VideoGrant(room_join=True)),
        ("MutePublishedTrack", {"room": "shop", "identity": "guide"}, VideoGrant()),
        ("UpdateParticipant", {"room": "shop", "identity": "guide"}, VideoGrant()),
        ("UpdateSubscriptions", {"room": "shop", "identity": "guide"}, VideoGrant()),
        ("SendData", {"room": "shop"}, VideoGrant(room_admin=True)),
        ("UpdateRoomMetadata", {"room": "shop"}, VideoGrant(room_create=True)),
    ],
)
async def test_each_method_needs_its_grant(
    http: httpx.AsyncClient,
    served: Served,
    method: str,
    body: dict[str, str],
    grant: VideoGrant,
) -> None:
    response = await http.post(f"livekit.RoomService/{method}", json=body, headers=bearer(grant))
    assert code(response) == (403, "permission_denied")
    assert served.edges.asked == []


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("livekit.RoomService/Nothing", "POST"),
        ("livekit.Nothing/ListRooms", "POST"),
        ("other.RoomService/ListRooms", "POST"),
        ("livekit.RoomService/ListRooms", "GET"),
    ],
)
async def test_what_nothing_answers_is_a_bad_route(
    http: httpx.AsyncClient, path: str, method: str
) -> None:
    response = await http.request(method, path, headers={"content-type": "application/json"})
    assert code(response) == (404, "bad_route")
    assert response.json()["meta"]["twirp_invalid_route"] == f"{method} /twirp/{path}"


async def test_other_content_is_a_bad_route(http: httpx.AsyncClient) -> None:
    response = await http.post("livekit.RoomService/ListRooms", content="names=shop")
    assert code(response) == (404, "bad_route")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'{"names": 7}'),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"names":' + b"[" * 100_000),
        ("application/protobuf", b"\xff\xff\xff"),
        ("application/protobuf", b"\x0a\x7fshort"),
    ],
)
async def test_a_body_that_cannot_be_read_is_malformed(
    http: httpx.AsyncClient, kind: str, body: bytes
) -> None:
    response = await http.post(
        "livekit.RoomService/ListRooms", content=body, headers={"content-type": kind}
    )
    assert code(response) == (400, "malformed")


async def test_a_body_over_the_limit_is_refused(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 65_536 + 1):
            yield bytes(65_536)

    response = await http.post(
        "livekit.RoomService/ListRooms",
        content=chunks(),
        headers={"content-type": "application/protobuf"},
    )
    assert code(response) == (400, "invalid_argument")


@pytest.mark.parametrize("method", ["CreateRoom", "DeleteRoom", "RemoveParticipant"])
async def test_an_empty_name_is_an_invalid_argument(http: httpx.AsyncClient, method: str) -> None:
    response = await http.post(
        f"livekit.RoomService/{method}",
        json={},
        headers=bearer(VideoGrant(room_create=True, room_admin=True)),
    )
    assert code(response) == (400, "invalid_argument")


async def test_a_failure_of_ours_is_internal_and_says_nothing(
    http: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_names: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.directory, "rooms", fail)
    response = await http.post("livekit.RoomService/ListRooms", json={})
    assert code(response) == (500, "internal")
    assert "secret" not in response.text
