"""Participants that the server takes, or shows, to another room: across regions, with real SDKs."""

from __future__ import annotations

import httpx
import pytest
from livekit import api

from tests.e2e.conftest import Ends
from tests.e2e.people import joined
from tests.media import chirp

pytestmark = pytest.mark.anyio


async def test_moved_to_a_room_of_another_region(ends: Ends, room: str) -> None:
    other = f"{room}-other"
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "ben") as ben,
        joined(ends.far, other, "cai") as cai,
        ends.far.api() as server,
    ):
        await ayu.say(chirp.JAKARTA)
        await cai.say(chirp.FRANKFURT)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        mark = len(ayu.log)
        await server.room.move_participant(
            api.MoveParticipantRequest(room=room, identity="ayu", destination_room=other)
        )
        await ayu.expect("moved", since=mark)
        await ben.expect("participant_disconnected", lambda who: who.identity == "ayu")
        await cai.hear(await cai.track_of("ayu"), chirp.JAKARTA)
        await ayu.hear(await ayu.track_of("cai", since=mark), chirp.FRANKFURT)
        assert ayu.room.name == other
        assert not {"disconnected", "reconnecting"} & {name for name, _ in ayu.log[mark:]}

        await ayu.me.publish_data(b"here I am", reliable=True)
        await cai.expect("data_received", lambda packet: packet.data == b"here I am")
        assert "data_received" not in [name for name, _ in ben.log]


async def test_forwarded_to_a_room_of_another_region(ends: Ends, room: str) -> None:
    other = f"{room}-other"
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        joined(ends.far, other, "cai") as cai,
        ends.far.api() as server,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        await server.room.forward_participant(
            api.ForwardParticipantRequest(room=room, identity="ayu", destination_room=other)
        )
        await cai.hear(await cai.track_of("ayu"), chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        await server.room.remove_participant(
            api.RoomParticipantIdentity(room=other, identity="ayu")
        )
        await cai.expect("participant_disconnected", lambda who: who.identity == "ayu")
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)


async def test_a_token_without_the_destination_does_not_do(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, httpx.AsyncClient() as http:
        for method in ("MoveParticipant", "ForwardParticipant"):
            answer = await http.post(
                f"{ends.near.http}/twirp/livekit.RoomService/{method}",
                json={"room": room, "identity": "ayu", "destination_room": "elsewhere"},
                headers={"Authorization": f"Bearer {ends.near.admin_token(room)}"},
            )
            assert answer.status_code == 403
            assert "destinationRoom" in answer.json()["msg"]
        assert ayu.room.name == room
