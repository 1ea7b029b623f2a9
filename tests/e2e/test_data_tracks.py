"""Data tracks: frames of one participant's to whoever subscribes, near and far."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from livekit import api
from livekit.rtc import DataTrackFrame, LocalDataTrack, RemoteDataTrack
from livekit.rtc.data_track import PushFrameError
from livekit.rtc.participant import PublishDataTrackError

from tests.e2e.conftest import Ends
from tests.e2e.door import door_to
from tests.e2e.people import Person, joined
from tests.e2e.test_resume import names, resumed

pytestmark = pytest.mark.anyio

ENOUGH = 30
"""Frames that tell that a track is heard."""
EVERY_S = 0.01
LARGE = 40_000
"""Bytes of every tenth frame: more than one packet takes."""
ENDS = {"data_track_unpublished", "data_track_published", "disconnected"}


def frame(number: int) -> bytes:
    """A frame that says its own number, with noise that follows from it."""
    size = LARGE if number % 10 == 3 else number * 37 % 1_000
    return number.to_bytes(4, "big") + random.Random(number).randbytes(size)


class Feed:
    """What comes of a data track that somebody subscribed to."""

    def __init__(self, person: Person, track: RemoteDataTrack) -> None:
        self.numbers: list[int] = []
        self.ended = False
        self._person = person
        self._stream = track.subscribe(buffer_size=64)

    async def read(self) -> None:
        """Take frames until the track ends; each must be as it was sent."""
        async for one in self._stream:
            number = int.from_bytes(one.payload[:4], "big")
            assert one.payload == frame(number)
            assert one.user_timestamp == number
            self.numbers.append(number)
        self.ended = True

    async def grows(self, within: float = 20) -> None:
        """Wait for `ENOUGH` frames from now on."""
        enough = len(self.numbers) + ENOUGH
        await self._person.until(lambda: len(self.numbers) >= enough, "frames", within)

    async def ends(self) -> None:
        await self._person.until(lambda: self.ended, "the end of the track")

    def close(self) -> None:
        self._stream.close()


@asynccontextmanager
async def fed(person: Person, name: str, since: int = 0) -> AsyncIterator[Feed]:
    """What a person gets of the track of this name, once it is published."""
    (track,) = await person.expect(
        "data_track_published", lambda one: one.info.name == name, since=since
    )
    feed = Feed(person, track)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(feed.read())
        try:
            yield feed
        finally:
            reading.cancel()


@asynccontextmanager
async def pushing(track: LocalDataTrack) -> AsyncIterator[None]:
    """Frames on a track, meanwhile."""

    async def push() -> None:
        for number in itertools.count():
            # The SDK may take no more just now, and does not once the track ended.
            with contextlib.suppress(PushFrameError):
                track.try_push(DataTrackFrame(payload=frame(number), user_timestamp=number))
            await asyncio.sleep(EVERY_S)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(push())
        try:
            yield
        finally:
            task.cancel()


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_frames_reach_who_subscribes_until_the_end(
    both_ends: Ends, room: str, dual: bool
) -> None:
    async with (
        joined(both_ends.near, room, "ayu", dual=dual) as ayu,
        joined(both_ends.near, room, "adi", dual=dual) as adi,
        joined(both_ends.far, room, "ben", dual=dual) as ben,
    ):
        pose = await ayu.me.publish_data_track(name="pose")
        door = await ayu.me.publish_data_track(name="door")
        assert pose.info.sid.startswith("DTR_")
        async with (
            pushing(pose),
            fed(adi, "pose") as near,
            fed(ben, "pose") as far,
            fed(ben, "door") as other,
        ):
            await asyncio.gather(near.grows(), far.grows())
            for feed in (near, far):
                assert len(set(feed.numbers)) == len(feed.numbers), "no frame twice"
                assert any(number % 10 == 3 for number in feed.numbers), "a large one"
            assert other.numbers == [], "each track by itself"
            await pose.unpublish()
            await asyncio.gather(near.ends(), far.ends())
            await ben.expect("data_track_unpublished", lambda sid: sid == pose.info.sid)
            async with pushing(door):
                await other.grows()
        assert "data_track_published" not in names(ayu, 0), "a publisher hears no echo"


async def test_who_comes_late_hears_and_who_leaves_ends_it(ends: Ends, room: str) -> None:
    async with joined(ends.far, room, "ben") as ben:
        async with joined(ends.near, room, "ayu") as ayu:
            pose = await ayu.me.publish_data_track(name="pose")
            async with pushing(pose), fed(ben, "pose") as early:
                await early.grows()
                async with joined(ends.far, room, "cas") as cas, fed(cas, "pose") as late:
                    await late.grows()
                    # Who hears no more ends nothing for the others.
                    late.close()
                await early.grows()
                await ayu.leave()
                await early.ends()
        await ben.expect("data_track_unpublished", lambda sid: sid == pose.info.sid)


async def test_what_can_not_be_published(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "mute", can_publish_data=False) as mute,
    ):
        track = await ayu.me.publish_data_track(name="pose")
        with pytest.raises(PublishDataTrackError):
            await ayu.me.publish_data_track(name="pose")
        with pytest.raises(PublishDataTrackError):
            await ayu.me.publish_data_track(name="x" * 257)
        with pytest.raises(PublishDataTrackError):
            await mute.me.publish_data_track(name="pose")
        assert track.is_published()
        await track.unpublish()
        # The SDK only passes that on: its next request may get ahead of it.
        await mute.expect("data_track_unpublished", lambda sid: sid == track.info.sid)
        again = await ayu.me.publish_data_track(name="pose")
        assert again.info.sid != track.info.sid


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_a_lost_websocket_leaves_tracks_as_they_are(
    ends: Ends, room: str, dual: bool
) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu", dual=dual) as ayu,
        joined(ends.far, room, "ben", dual=dual) as ben,
    ):
        hers = await ayu.me.publish_data_track(name="hers")
        bens = await ben.me.publish_data_track(name="bens")
        async with (
            pushing(hers),
            pushing(bens),
            fed(ayu, "bens") as to_ayu,
            fed(ben, "hers") as to_ben,
        ):
            await asyncio.gather(to_ayu.grows(), to_ben.grows())
            mine, theirs = len(ayu.log), len(ben.log)
            door.cut()
            await ayu.expect("reconnected", since=mine)
            await asyncio.gather(to_ayu.grows(), to_ben.grows())
            assert resumed(ayu, mine)
            assert not (names(ayu, mine) | names(ben, theirs)) & ENDS
            assert hers.is_published()
            await hers.unpublish()
            await to_ben.ends()


async def test_tracks_go_on_at_another_edge(ends: Ends, room: str) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu") as ayu,
        joined(ends.near, room, "adi") as adi,
        joined(ends.far, room, "ben") as ben,
    ):
        hers = await ayu.me.publish_data_track(name="hers")
        bens = await ben.me.publish_data_track(name="bens")
        async with (
            pushing(hers),
            pushing(bens),
            fed(ayu, "bens") as to_ayu,
            fed(adi, "hers") as to_adi,
            fed(ben, "hers") as to_ben,
        ):
            feeds = (to_ayu, to_adi, to_ben)
            await asyncio.gather(*(feed.grows() for feed in feeds))
            mine, theirs = len(ayu.log), len(ben.log)
            door.lead_to(ends.far)
            door.cut()
            await ayu.expect("reconnected", since=mine)
            await asyncio.gather(*(feed.grows() for feed in feeds))
            assert resumed(ayu, mine)
            assert not (names(ayu, mine) | names(ben, theirs)) & ENDS
            await hers.unpublish()
            await asyncio.gather(to_adi.ends(), to_ben.ends())


async def test_who_joins_anew_publishes_and_hears_again(ends: Ends, room: str) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined(near, room, "ayu", dual=True) as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        hers = await ayu.me.publish_data_track(name="hers")
        sid, track_sid = ayu.me.sid, hers.info.sid
        async with pushing(hers):
            async with fed(ben, "hers") as before:
                await before.grows()
            mine, theirs = len(ayu.log), len(ben.log)
            # Two connections can't go on at another edge: the client joins anew there.
            door.lead_to(ends.far)
            door.cut()
            await ayu.expect("reconnected", since=mine)
            async with fed(ben, "hers", since=theirs) as after:
                await after.grows()
        assert ayu.me.sid != sid
        (track,) = await ben.expect("data_track_published", since=theirs)
        assert track.info.sid != track_sid


async def test_moved_and_forwarded_participants_bring_their_tracks(ends: Ends, room: str) -> None:
    other, third = f"{room}-other", f"{room}-third"
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "ben") as ben,
        joined(ends.far, other, "cai") as cai,
        joined(ends.far, third, "dee") as dee,
        ends.far.api() as server,
    ):
        pose = await ayu.me.publish_data_track(name="pose")
        async with pushing(pose), fed(ben, "pose") as before:
            await before.grows()
            await server.room.forward_participant(
                api.ForwardParticipantRequest(room=room, identity="ayu", destination_room=third)
            )
            async with fed(dee, "pose") as forwarded:
                await forwarded.grows()
                await server.room.move_participant(
                    api.MoveParticipantRequest(room=room, identity="ayu", destination_room=other)
                )
                async with fed(cai, "pose") as after:
                    await after.grows()
                await before.ends()
                await forwarded.ends()


async def test_encrypted_frames_pass_through(ends: Ends, room: str) -> None:
    secret = b"a secret that no server knows"
    async with (
        joined(ends.near, room, "ayu", secret=secret) as ayu,
        joined(ends.far, room, "ben", secret=secret) as ben,
    ):
        pose = await ayu.me.publish_data_track(name="pose")
        assert pose.info.uses_e2ee
        async with pushing(pose), fed(ben, "pose") as feed:
            await feed.grows()
        (track,) = await ben.expect("data_track_published")
        assert track.info.uses_e2ee
