"""The demo's web server: pages, tokens, the world, and changes to its links."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from fairlead.lab.demo import demo_app
from fairlead.lab.news import News
from fairlead.lab.ways import Way
from fairlead.policy import tokens
from tests.unit.lab.conftest import PlayedWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(played: PlayedWorld, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("the landing")
    (tmp_path / "pages" / "call.html").write_text("the call")
    (tmp_path / "secret").write_text("not a page")
    async with anyio.create_task_group() as tasks:
        app = demo_app(played, tmp_path / "pages", tasks, News())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("path", "text"), [("/", "the landing"), ("/call", "the call"), ("/call.html", "the call")]
)
async def test_pages(client: httpx.AsyncClient, path: str, text: str) -> None:
    assert (await client.get(path)).text == text


@pytest.mark.parametrize("path", ["/absent", "/../secret", "/%2e%2e/secret", "//etc/passwd"])
async def test_nothing_but_pages(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_a_token_for_a_region(client: httpx.AsyncClient, played: PlayedWorld) -> None:
    wish = {"room": "shop", "identity": "ayu", "region": "frankfurt"}
    made = (await client.post("/token", json=wish)).json()
    assert made["server_url"] == played.places["frankfurt"].url
    grants = tokens.verify(made["participant_token"], {played.key: played.secret}, time.time())
    assert (grants.require_join(), grants.identity, grants.name) == ("shop", "ayu", "ayu")
    assert grants.can_update_own_metadata


async def test_livekits_own_names_and_the_first_region(client: httpx.AsyncClient) -> None:
    wish = {"room_name": "shop", "participant_identity": "ayu", "participant_name": "Ayu"}
    assert (await client.post("/token", json=wish)).json()["region"] == "jakarta"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"identity": "ayu"}, "room is missing"),
        ({"room": "shop"}, "identity is missing"),
        ({"room": "x" * 129, "identity": "ayu"}, "room has 129 characters"),
        ({"room": "shop", "identity": "ayu", "region": "mars"}, "no region 'mars'"),
        ({"room": 1, "identity": "ayu"}, "can't be read"),
        ([], "can't be read"),
    ],
)
async def test_a_bad_wish_is_told(client: httpx.AsyncClient, wish: object, words: str) -> None:
    answer = await client.post("/token", json=wish)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


async def test_no_token_for_a_node_that_ended(
    client: httpx.AsyncClient, played: PlayedWorld
) -> None:
    await played.kill("frankfurt")
    wish = {"room": "shop", "identity": "ayu", "region": "frankfurt"}
    assert (await client.post("/token", json=wish)).status_code == 503


async def test_the_world(client: httpx.AsyncClient) -> None:
    world = (await client.get("/world")).json()
    assert [region["label"] for region in world["regions"]] == ["Jakarta", "Singapore", "Frankfurt"]
    link = world["links"][0]
    assert (link["a"], link["b"], link["state"], link["rtt_ms"]) == (
        "jakarta",
        "singapore",
        "up",
        30,
    )
    assert link["loss"] == 0.02, "the worse word of the two ends"
    far = next(p for p in world["paths"] if (p["from"], p["to"]) == ("jakarta", "frankfurt"))
    assert far["via"] == ["singapore"]
    assert world["streams"] == [
        {
            "room": "shop",
            "track": "TR_1",
            "kind": "audio",
            "from": "jakarta",
            "to": "frankfurt",
            "regions": [],
            "reachable": True,
            "via": ["singapore"],
            "second": None,
            "reason": "It is nearer.",
        }
    ]


async def test_a_link_is_changed_both_ways(client: httpx.AsyncClient, played: PlayedWorld) -> None:
    answer = await client.post("/link", json={"a": "frankfurt", "b": "jakarta", "cut": True})
    assert answer.json()["emulated"]["cut"] is True
    assert [(port, body["node"], body["cut"]) for port, body in played.asked] == [
        (7003, 1, True),
        (7001, 3, True),
    ]


async def test_a_change_ends_by_itself_unless_another_came(
    client: httpx.AsyncClient, played: PlayedWorld
) -> None:
    pair = {"a": "jakarta", "b": "frankfurt"}
    await client.post("/link", json={**pair, "cut": True, "for_s": 0.05})
    await client.post("/link", json={**pair, "loss": 0.5})
    await anyio.sleep(0.1)
    assert played.weather[Way("jakarta", "frankfurt")].loss == 0.5
    await client.post("/link", json={**pair, "heal": True})
    await client.post("/link", json={**pair, "cut": True, "for_s": 0.05})
    with anyio.fail_after(10):
        while played.weather[Way("jakarta", "frankfurt")].cut:
            await anyio.sleep(0.01)


async def test_only_json_changes_a_link(client: httpx.AsyncClient, played: PlayedWorld) -> None:
    body = b'{"a": "jakarta", "b": "frankfurt", "cut": true}'
    answer = await client.post("/link", content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert played.asked == []


async def test_a_foreign_host_name_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/world", headers={"host": "evil.example"})
    assert answer.status_code == 400
