"""Who is in the room, two regions away: joining, leaving, names, metadata, one identity twice."""

from __future__ import annotations

import pytest
from livekit import rtc

from tests.e2e.conftest import Ends
from tests.e2e.people import joined
from tests.media import chirp

pytestmark = pytest.mark.anyio


async def test_leaving_is_seen_and_takes_the_tracks_along(both_ends: Ends, room: str) -> None:
    async with joined(both_ends.far, room, "ben") as ben:
        async with joined(both_ends.near, room, "ayu") as ayu:
            await ben.expect("participant_connected", lambda who: who.identity == "ayu")
            await ayu.say(chirp.JAKARTA)
            await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        [gone] = await ben.expect("participant_disconnected", lambda who: who.identity == "ayu")
        assert gone.disconnect_reason == rtc.DisconnectReason.CLIENT_INITIATED
        await ben.expect("track_unpublished", lambda _, who: who.identity == "ayu")
        assert "ayu" not in ben.room.remote_participants


async def test_a_late_joiner_sees_everyone(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben"):
        await ayu.expect("participant_connected", lambda who: who.identity == "ben")
        async with joined(ends.far, room, "cai") as cai:
            await cai.until(
                lambda: set(cai.room.remote_participants) == {"ayu", "ben"}, "ayu and ben"
            )
            await ayu.expect("participant_connected", lambda who: who.identity == "cai")
        await ayu.expect("participant_disconnected", lambda who: who.identity == "cai")
        assert set(ayu.room.remote_participants) == {"ben"}


async def test_name_metadata_and_attributes_cross_regions(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
    ):
        remote = await ben.sees("ayu")
        assert remote.name == "Ayu"
        await ayu.me.set_name("Ayu Lestari")
        await ayu.me.set_metadata('{"basket": 3}')
        await ayu.me.set_attributes({"language": "id", "passing": "1"})
        await ben.until(lambda: remote.name == "Ayu Lestari", "the new name")
        await ben.until(lambda: remote.metadata == '{"basket": 3}', "the metadata")
        await ben.until(lambda: remote.attributes.get("language") == "id", "the attributes")
        await ayu.me.set_attributes({"passing": ""})
        await ben.until(lambda: "passing" not in remote.attributes, "the attribute removed")
        assert remote.attributes == {"language": "id"}


async def test_metadata_of_a_late_joiner_view(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu:
        await ayu.me.set_metadata("before")
        async with joined(ends.far, room, "ben") as ben:
            remote = await ben.sees("ayu")
            await ben.until(lambda: remote.metadata == "before", "the metadata")


async def test_the_newest_session_of_an_identity_wins(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.far, room, "ben") as ben,
        joined(both_ends.near, room, "cai") as cai,
        joined(both_ends.near, room, "ayu") as old,
    ):
        for watcher in (ben, cai):
            await watcher.expect("participant_connected", lambda who: who.identity == "ayu")
        async with joined(both_ends.far, room, "ayu") as new:
            [reason] = await old.expect("disconnected")
            assert reason == rtc.DisconnectReason.DUPLICATE_IDENTITY
            sid = new.me.sid
            for watcher in (ben, cai):
                there = watcher.room.remote_participants
                await watcher.until(
                    lambda there=there: "ayu" in there and there["ayu"].sid == sid,
                    "the newer session of ayu",
                )
            await new.say(chirp.JAKARTA)
            for watcher in (ben, cai):
                await watcher.hear(await watcher.track_of("ayu"), chirp.JAKARTA)
            assert new.room.isconnected()


async def test_rooms_do_not_hear_each_other(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.far, room, "ben") as ben,
        joined(ends.far, f"{room}-other", "stranger") as stranger,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        await ayu.say(chirp.JAKARTA)
        await ayu.me.publish_data(b"private", topic="note")
        await ben.expect("data_received")
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        assert not stranger.room.remote_participants
        names = {name for name, _ in stranger.log}
        assert not names & {"track_subscribed", "track_published", "data_received"}
