"""A room that may only be in Jakarta and Singapore: who is let in, and where it never goes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from livekit import api, rtc

from tests.e2e.people import Person, joined
from tests.e2e.test_relay import counter, fresh, nodes, risen
from tests.e2e.test_server_api import eventually
from tests.e2e.test_world import ask
from tests.e2e.worlds import Edge, World, started_world
from tests.media import chirp

pytestmark = pytest.mark.anyio

HOME = ["jakarta", "singapore"]
ENOUGH = 100
"""Packets: two seconds of a voice."""
HEALED_S = 40.0


@pytest.fixture(scope="module")
def three() -> Iterator[World]:
    """Three regions of our own, each linked with each, to be broken."""
    with started_world("--regions", "jakarta,singapore,frankfurt") as world:
        yield world


@pytest.fixture
async def cable(three: World) -> Any:
    """Changes the cable between Jakarta and Singapore."""
    async with httpx.AsyncClient(base_url=str(three.admin), timeout=10) as http:

        async def change(**wish: Any) -> None:
            body = {"a": "jakarta", "b": "singapore", **wish}
            (await http.post("/link", json=body)).raise_for_status()

        yield change
        await change(heal=True)


async def limit(edge: Edge, room: str, *regions: str) -> None:
    """Create the room, as an app does."""
    metadata = json.dumps({"fairlead": {"regions": list(regions)}})
    async with edge.api() as livekit:
        await livekit.room.create_room(api.CreateRoomRequest(name=room, metadata=metadata))


async def refusal(edge: Edge, room: str) -> tuple[int, str]:
    """What the door answers to a join."""
    token = edge.token("zoe", room)
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{edge.http}/rtc/validate", params={"access_token": token})
    return answer.status_code, answer.text


async def talk(ayu: Person, ben: Person) -> rtc.RemoteTrack:
    """Both speak and hear each other; the track that Ben hears."""
    await ayu.say(chirp.JAKARTA)
    await ben.say(chirp.FRANKFURT)
    track = await ben.track_of("ayu")
    await ben.hear(track, chirp.JAKARTA)
    await ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT)
    return track


async def test_who_is_outside_is_refused_and_put_out(three: World, room: str) -> None:
    # Frankfurt's own API makes the room where it may be.
    await limit(three["frankfurt"], room, *HOME, "frankfurt")
    async with (
        joined(three["jakarta"], room, "ayu") as ayu,
        joined(three["singapore"], room, "ben") as ben,
        joined(three["frankfurt"], room, "zoe") as zoe,
        three["jakarta"].api() as livekit,
    ):
        await talk(ayu, ben)
        since = len(ben.log)
        metadata = json.dumps({"fairlead": {"regions": HOME}})
        await livekit.room.update_room_metadata(
            api.UpdateRoomMetadataRequest(room=room, metadata=metadata)
        )
        (reason,) = await zoe.expect("disconnected")
        assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
        await ben.expect("participant_disconnected", lambda who: who.identity == "zoe", since=since)
        status, text = await refusal(three["frankfurt"], room)
        assert (status, text) == (
            403,
            f"room {room!r} may only be in jakarta and singapore, and this edge is in frankfurt: "
            "use an edge there",
        )
        with pytest.raises(rtc.ConnectError):
            async with joined(three["frankfurt"], room, "zoe"):
                pass
        # Those who stay hear each other under the new set.
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)


async def test_no_media_takes_the_way_through_a_region_outside(
    three: World, room: str, cable: Callable[..., Awaitable[None]]
) -> None:
    await limit(three["jakarta"], room, *HOME)
    async with (
        joined(three["jakarta"], room, "ayu") as ayu,
        joined(three["singapore"], room, "ben") as ben,
        joined(three["jakarta"], f"{room}-open", "ani") as ani,
        joined(three["singapore"], f"{room}-open", "bob") as bob,
    ):
        # What Frankfurt carried of rooms that it may be in, before.
        tagged = await fresh(three, "frankfurt", "mesh_relayed_tagged")
        track = await talk(ayu, ben)
        await cable(cut=True)
        # A room without a set goes the long way round ...
        relayed = await counter(three, "frankfurt", "mesh_relayed")
        await ani.say(chirp.JAKARTA)
        await bob.hear(await bob.track_of("ani"), chirp.JAKARTA)
        await risen(three, "frankfurt", "mesh_relayed", relayed + ENOUGH)
        # ... and this one stops, though Ayu speaks on.
        heard = await counter(three, "jakarta", "io_udp_received")
        await ben.hears_silence(track)
        await risen(three, "jakarta", "io_udp_received", heard + ENOUGH)
        assert await fresh(three, "frankfurt", "mesh_relayed_tagged") == tagged

        async def explained() -> bool:
            streams = ask(three, "routes")["streams"]
            return any(
                stream["room"] == room
                and stream["from"] == "jakarta"
                and not stream["reachable"]
                and stream["regions"] == HOME
                and stream["reason"].startswith("No lawful path to singapore")
                for stream in streams
            )

        await eventually(explained, "fairlead routes says why")
        await cable(heal=True)
        await ben.hear(track, chirp.JAKARTA, within=HEALED_S)
        assert await fresh(three, "frankfurt", "mesh_relayed_tagged") == tagged


async def test_each_node_says_which_sets_it_has(three: World, room: str) -> None:
    await limit(three["jakarta"], room, *HOME)
    async with joined(three["jakarta"], room, "ayu") as ayu:
        await ayu.say(chirp.JAKARTA)

        async def listed() -> bool:
            streams = (await nodes(three))["jakarta"]["streams"]
            return any(x["room"] == room and x["regions"] == HOME for x in streams)

        await eventually(listed, "the stream is listed with its set")
