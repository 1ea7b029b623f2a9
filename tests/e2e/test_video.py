"""The picture that one participant draws is the one that another, two regions away, sees."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from tests.e2e.conftest import Ends
from tests.e2e.people import joined

pytestmark = pytest.mark.anyio

AYU, BEN = 0x2A, 0xB7


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_both_see_each_other(both_ends: Ends, room: str, dual: bool) -> None:
    async with (
        joined(both_ends.near, room, "ayu", dual=dual) as ayu,
        joined(both_ends.far, room, "ben", dual=dual) as ben,
    ):
        await ayu.show(AYU)
        await ben.show(BEN)
        await asyncio.gather(
            ben.watch(await ben.track_of("ayu", "video"), AYU),
            ayu.watch(await ayu.track_of("ben", "video"), BEN),
        )


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_codec(ends: Ends, room: str, codec: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        published = await ayu.show(AYU, video_codec=rtc.VideoCodec.Value(codec))
        await ben.watch(await ben.track_of("ayu", "video"), AYU)
        [remote] = ben.room.remote_participants["ayu"].track_publications.values()
        assert remote.mime_type.lower() == f"video/{codec.lower()}"
        assert remote.sid == published.sid


async def test_joining_late_sees_what_is_already_published(both_ends: Ends, room: str) -> None:
    async with joined(both_ends.near, room, "ayu") as ayu:
        await ayu.show(AYU)
        async with joined(both_ends.far, room, "ben") as ben:
            await ben.watch(await ben.track_of("ayu", "video"), AYU)
            async with joined(both_ends.far, room, "cai") as cai:
                await cai.watch(await cai.track_of("ayu", "video"), AYU)


async def test_simulcast_brings_the_top_layer(ends: Ends, room: str) -> None:
    size = (960, 540)
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.show(AYU, size, simulcast=True)
        track = await ben.track_of("ayu", "video")
        for _ in range(8):
            seen = await ben.watch(track, AYU, count=20)
            if seen[-1][1] == size:
                break
        assert seen[-1][1] == size, f"the last picture was {seen[-1][1]}"
        publication = next(iter(ben.room.remote_participants["ayu"].track_publications.values()))
        assert publication.simulcasted


async def test_two_viewers_and_two_cameras(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "adi") as adi,
        joined(ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU)
        await ben.show(BEN)
        await asyncio.gather(
            ben.watch(await ben.track_of("ayu", "video"), AYU),
            adi.watch(await adi.track_of("ayu", "video"), AYU),
            adi.watch(await adi.track_of("ben", "video"), BEN),
        )


async def test_mute_is_announced_and_unmute_brings_the_picture_back(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        publication = await ayu.show(AYU)
        track = await ben.track_of("ayu", "video")
        await ben.watch(track, AYU, count=10)
        publication.track.mute()
        await ben.expect("track_muted", lambda who, _: who.identity == "ayu")
        publication.track.unmute()
        await ben.expect("track_unmuted", lambda who, _: who.identity == "ayu")
        await ben.watch(track, AYU, count=10)
