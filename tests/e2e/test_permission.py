"""What a token or the server API allows holds on every edge."""

from __future__ import annotations

import asyncio

import pytest
from livekit import api
from livekit.rtc.participant import PublishTrackError

from tests.e2e.conftest import Ends
from tests.e2e.people import Person, joined
from tests.media import chirp

pytestmark = pytest.mark.anyio

REFUSED_S = 3


async def refuses_to_publish(person: Person) -> None:
    """Checks that publishing a microphone fails."""
    with pytest.raises((PublishTrackError, TimeoutError)):
        await asyncio.wait_for(person.say(chirp.JAKARTA), REFUSED_S)


async def test_a_token_that_forbids_publishing(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu", can_publish=False) as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        await ben.say(chirp.FRANKFURT)
        await ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT)
        await refuses_to_publish(ayu)
        assert "track_published" not in [name for name, _ in ben.log]


async def test_a_token_for_the_camera_alone(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu", can_publish_sources=["camera"]) as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        await refuses_to_publish(ayu)
        await ayu.show(7)
        await ben.watch(await ben.track_of("ayu", "video"), 7, count=5)


async def test_a_token_that_forbids_subscribing(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        joined(ends.far, room, "deaf", can_subscribe=False) as deaf,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        assert "track_subscribed" not in [name for name, _ in deaf.log]


async def test_losing_the_right_to_publish_from_another_region(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
        both_ends.far.api() as server,
    ):
        published = await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)

        await _set_permission(server, room, can_publish=False)
        await ben.expect("track_unpublished", lambda track, _: track.sid == published.sid)
        await ayu.until(lambda: not ayu.me.permissions.can_publish, "the permission")
        await ayu.stop_sending()
        await refuses_to_publish(ayu)

        mark = len(ben.log)
        await _set_permission(server, room, can_publish=True)
        await ayu.until(lambda: ayu.me.permissions.can_publish, "the permission back")
        await ayu.say(chirp.FRANKFURT)
        await ben.hear(await ben.track_of("ayu", since=mark), chirp.FRANKFURT)


async def _set_permission(server: api.LiveKitAPI, room: str, *, can_publish: bool) -> None:
    permission = api.ParticipantPermission(
        can_publish=can_publish, can_subscribe=True, can_publish_data=True
    )
    await server.room.update_participant(
        api.UpdateParticipantRequest(room=room, identity="ayu", permission=permission)
    )
