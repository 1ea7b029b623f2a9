"""A chat room: of six who speak, the three loudest are heard, wherever they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from livekit import api, rtc

from fairlead.lab.field.sound import Samples
from tests.e2e.conftest import Ends
from tests.e2e.people import WITHIN_S, Person
from tests.e2e.worlds import Edge
from tests.media.chirp import Chirp

pytestmark = pytest.mark.anyio

CHAT_ROOM = json.dumps({"fairlead": {"scene": "chat_room"}})
SOFTLY = 0.06
"""Of the loud ones' amplitude: 24 dB less."""


@dataclass(frozen=True)
class Voice(Chirp):
    """A chirp as loud as given."""

    share: float

    def sweep(self) -> Samples:
        return Chirp.sweep(self) * self.share


VOICES = {
    "ann": Voice(400, 3_000, 1.0),
    "ben": Voice(2_600, 600, SOFTLY),
    "cem": Voice(3_400, 2_000, 1.0),
    "dia": Voice(500, 900, SOFTLY),
    "eve": Voice(1_000, 2_400, 1.0),
    "fay": Voice(900, 300, SOFTLY),
}
LOUD = [name for name, voice in VOICES.items() if voice.share == 1]
SOFT = [name for name in VOICES if name not in LOUD]


def token(edge: Edge, room: str, identity: str, config: api.RoomConfiguration | None) -> str:
    """A token to join, with the configuration of the room that the join opens."""
    grants = api.VideoGrants(room_join=True, room=room)
    made = api.AccessToken(edge.key, edge.secret).with_identity(identity).with_grants(grants)
    return (made.with_room_config(config) if config else made).to_jwt()


@asynccontextmanager
async def present(
    edge: Edge, room: str, identity: str, config: api.RoomConfiguration | None, *, hears: bool
) -> AsyncIterator[Person]:
    """A person in the room, gone at the end."""
    person = Person(identity)
    options = rtc.RoomOptions(auto_subscribe=hears, connect_timeout=15)
    joining = person.room.connect(edge.url, token(edge, room, identity, config), options)
    await asyncio.wait_for(joining, WITHIN_S)
    try:
        yield person
    finally:
        await asyncio.wait_for(person.leave(), WITHIN_S)


@asynccontextmanager
async def crowd(
    ends: Ends, room: str, config: api.RoomConfiguration | None = None
) -> AsyncIterator[tuple[Person, dict[str, rtc.RemoteTrack]]]:
    """Six who speak, half of them far away, and one who hears them: their tracks by name."""
    async with AsyncExitStack() as stack:

        async def enter(edge: Edge, name: str, hears: bool = False) -> Person:
            joining = present(edge, room, name, config, hears=hears)
            return await stack.enter_async_context(joining)

        zoe = await enter(ends.far, "zoe", hears=True)
        for number, (name, voice) in enumerate(VOICES.items()):
            edge = ends.near if number % 2 else ends.far
            await (await enter(edge, name)).say(voice)
        yield zoe, {name: await zoe.track_of(name) for name in VOICES}


async def test_of_six_who_speak_the_three_loudest_are_heard(ends: Ends, room: str) -> None:
    config = api.RoomConfiguration(tags={"fairlead.scene": "chat_room"})
    async with crowd(ends, room, config) as (zoe, tracks):
        await asyncio.gather(*(zoe.hear(tracks[name], VOICES[name]) for name in LOUD))
        await asyncio.gather(*(zoe.hears_silence(tracks[name]) for name in SOFT))
        # And still.
        await asyncio.gather(*(zoe.hear(tracks[name], VOICES[name]) for name in LOUD))


async def test_a_change_of_metadata_makes_a_room_a_chat_room_and_back(
    ends: Ends, room: str
) -> None:
    async with crowd(ends, room) as (zoe, tracks), ends.near.api() as livekit:

        async def describe(metadata: str) -> None:
            request = api.UpdateRoomMetadataRequest(room=room, metadata=metadata)
            await livekit.room.update_room_metadata(request)

        await asyncio.gather(*(zoe.hear(tracks[name], VOICES[name]) for name in VOICES))
        await describe(CHAT_ROOM)
        await asyncio.gather(*(zoe.hears_silence(tracks[name]) for name in SOFT))
        await asyncio.gather(*(zoe.hear(tracks[name], VOICES[name]) for name in LOUD))
        await describe(json.dumps({"fairlead": {"scene": "default"}}))
        await asyncio.gather(*(zoe.hear(tracks[name], VOICES[name]) for name in SOFT))
