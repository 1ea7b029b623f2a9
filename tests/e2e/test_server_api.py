"""The server API answers for the whole network from any edge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from livekit import api, rtc

from tests.e2e.conftest import Ends
from tests.e2e.people import POLL_S, WITHIN_S, joined
from tests.media import chirp

pytestmark = pytest.mark.anyio


async def eventually(
    ask: Callable[[], Awaitable[bool]], what: str, within: float = WITHIN_S
) -> None:
    """Asks until the answer is yes."""
    end = time.monotonic() + within
    while not await ask():
        assert time.monotonic() < end, f"not so within {within:.0f} s: {what}"
        await asyncio.sleep(POLL_S)


async def test_rooms_are_created_listed_and_deleted_from_any_edge(ends: Ends, room: str) -> None:
    async with ends.near.api() as near, ends.far.api() as far:

        async def names() -> list[str]:
            answer = await far.room.list_rooms(api.ListRoomsRequest(names=[room]))
            return [one.name for one in answer.rooms]

        created = await near.room.create_room(
            api.CreateRoomRequest(name=room, metadata="sale", empty_timeout=60)
        )
        assert created.name == room
        assert created.sid.startswith("RM_")

        async def listed() -> bool:
            return await names() == [room]

        await eventually(listed, "the room is listed on the far edge")
        await far.room.delete_room(api.DeleteRoomRequest(room=room))

        async def gone() -> bool:
            return await names() == []

        await eventually(gone, "the room is no longer listed")


async def test_participants_are_listed_and_got_from_any_edge(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben"),
        both_ends.near.api() as near,
        both_ends.far.api() as far,
    ):
        published = await ayu.say(chirp.JAKARTA)
        for server in (near, far):

            async def both(server: api.LiveKitAPI = server) -> bool:
                answer = await server.room.list_participants(api.ListParticipantsRequest(room=room))
                people = {one.identity: one for one in answer.participants}
                return set(people) == {"ayu", "ben"} and [
                    track.sid for track in people["ayu"].tracks
                ] == [published.sid]

            await eventually(both, "both participants and the track are listed")
            one = await server.room.get_participant(
                api.RoomParticipantIdentity(room=room, identity="ayu")
            )
            assert one.sid == ayu.me.sid
            assert one.state == api.ParticipantInfo.State.ACTIVE

        async def counted() -> bool:
            answer = await far.room.list_rooms(api.ListRoomsRequest(names=[room]))
            return [one.num_participants for one in answer.rooms] == [2]

        await eventually(counted, "the room counts two participants")


async def test_remove_from_the_other_region(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
        both_ends.far.api() as far,
    ):
        await ben.sees("ayu")
        await far.room.remove_participant(api.RoomParticipantIdentity(room=room, identity="ayu"))
        [reason] = await ayu.expect("disconnected")
        assert reason == rtc.DisconnectReason.PARTICIPANT_REMOVED
        await ben.expect("participant_disconnected", lambda who: who.identity == "ayu")


async def test_mute_from_the_other_region(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        ends.far.api() as far,
    ):
        published = await ayu.say(chirp.JAKARTA)
        track = await ben.track_of("ayu")
        await ben.hear(track, chirp.JAKARTA)
        answer = await far.room.mute_published_track(
            api.MuteRoomTrackRequest(room=room, identity="ayu", track_sid=published.sid, muted=True)
        )
        assert answer.track.muted
        await ayu.expect("track_muted", lambda who, _: who.identity == "ayu")
        await ben.expect("track_muted", lambda who, _: who.identity == "ayu")
        await ben.hears_silence(track)


async def test_data_from_the_server(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
        both_ends.far.api() as far,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        for names, text in ((["ayu"], b"for ayu"), ([], b"for all")):
            await far.room.send_data(
                api.SendDataRequest(
                    room=room,
                    data=text,
                    kind=api.DataPacket.Kind.RELIABLE,
                    destination_identities=names,
                    topic="server",
                )
            )
        for person in (ayu, ben):
            [packet] = await person.expect("data_received", lambda p: p.data == b"for all")
            assert packet.topic == "server"
            assert packet.participant is None
        data = {
            person.identity: [bytes(a[0].data) for n, a in person.log if n == "data_received"]
            for person in (ayu, ben)
        }
        assert data == {"ayu": [b"for ayu", b"for all"], "ben": [b"for all"]}


async def test_metadata_of_room_and_participant(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        ends.near.api() as near,
        ends.far.api() as far,
    ):
        await far.room.update_room_metadata(
            api.UpdateRoomMetadataRequest(room=room, metadata="open until nine")
        )
        for person in (ayu, ben):
            await person.until(
                lambda p=person: p.room.metadata == "open until nine", "the room's metadata"
            )
        await far.room.update_participant(
            api.UpdateParticipantRequest(
                room=room, identity="ayu", name="Ayu L.", metadata="vip", attributes={"tier": "1"}
            )
        )
        remote = await ben.sees("ayu")
        await ben.until(
            lambda: (
                (remote.name, remote.metadata, remote.attributes)
                == ("Ayu L.", "vip", {"tier": "1"})
            ),
            "what the server wrote about ayu",
        )
        got = await near.room.get_participant(
            api.RoomParticipantIdentity(room=room, identity="ayu")
        )
        assert (got.name, got.metadata) == ("Ayu L.", "vip")


async def test_deleting_a_room_ends_it_everywhere(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
        both_ends.near.api() as near,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        await near.room.delete_room(api.DeleteRoomRequest(room=room))
        for person in (ayu, ben):
            [reason] = await person.expect("disconnected")
            assert reason == rtc.DisconnectReason.ROOM_DELETED


async def test_unknown_people_and_weak_tokens_are_refused(ends: Ends, room: str) -> None:
    async with ends.far.api() as far, joined(ends.near, room, "ayu"):
        with pytest.raises(api.TwirpError) as missing:
            await far.room.get_participant(
                api.RoomParticipantIdentity(room=room, identity="nobody")
            )
        assert missing.value.code == "not_found"
    weak = ends.far.admin_token(room, room_create=False, room_list=False, room_admin=False)
    async with api.LiveKitAPI.with_token(weak, ends.far.http) as stranger:
        with pytest.raises(api.TwirpError) as refused:
            await stranger.room.list_rooms(api.ListRoomsRequest())
        assert refused.value.code in ("permission_denied", "unauthenticated")
        with pytest.raises(api.TwirpError) as denied:
            await stranger.room.delete_room(api.DeleteRoomRequest(room=room))
        assert denied.value.code in ("permission_denied", "unauthenticated")
