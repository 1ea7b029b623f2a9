"""What one participant says is what another one, two regions away, hears."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from tests.e2e.conftest import Ends
from tests.e2e.people import joined
from tests.media import chirp

pytestmark = pytest.mark.anyio

VOICE_BYTES = 120.0
"""20 ms at the 48 kb/s that the SDK asks of Opus."""


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_both_hear_each_other(both_ends: Ends, room: str, dual: bool) -> None:
    async with (
        joined(both_ends.near, room, "ayu", dual=dual) as ayu,
        joined(both_ends.far, room, "ben", dual=dual) as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        await asyncio.gather(
            ben.hear(await ben.track_of("ayu"), chirp.JAKARTA),
            ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT),
        )


@pytest.mark.parametrize("red", [False, True], ids=["opus", "red"])
async def test_with_and_without_redundancy(ends: Ends, room: str, red: bool) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ayu.say(chirp.JAKARTA, red=red, dtx=False)
        track = await ben.track_of("ayu")
        await ben.hear(track, chirp.JAKARTA)
        size = await _packet_bytes(track)
        assert size > 1.5 * VOICE_BYTES if red else size < 1.5 * VOICE_BYTES


async def _packet_bytes(track: rtc.RemoteTrack) -> float:
    """Mean payload of what came."""
    reports = await track.get_stats()
    inbound = next(x.inbound_rtp for x in reports if x.HasField("inbound_rtp"))
    return float(inbound.inbound.bytes_received / inbound.received.packets_received)


async def test_single_hears_dual_and_back(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu", dual=False) as ayu,
        joined(ends.far, room, "ben", dual=True) as ben,
    ):
        await ayu.say(chirp.JAKARTA)
        await ben.say(chirp.FRANKFURT)
        await asyncio.gather(
            ben.hear(await ben.track_of("ayu"), chirp.JAKARTA),
            ayu.hear(await ayu.track_of("ben"), chirp.FRANKFURT),
        )


async def test_joining_late_hears_what_is_already_published(both_ends: Ends, room: str) -> None:
    async with joined(both_ends.near, room, "ayu") as ayu:
        await ayu.say(chirp.JAKARTA)
        await ayu.expect("local_track_published")
        async with joined(both_ends.far, room, "ben") as ben:
            await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)


async def test_mute_is_silence_and_unmute_is_sound(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        publication = await ayu.say(chirp.JAKARTA)
        track = await ben.track_of("ayu")
        await ben.hear(track, chirp.JAKARTA)

        publication.track.mute()
        _, muted = await ben.expect("track_muted", lambda who, _: who.identity == "ayu")
        assert muted.sid == publication.sid
        assert muted.muted
        await ben.hears_silence(track)

        publication.track.unmute()
        await ben.expect("track_unmuted", lambda who, _: who.identity == "ayu")
        await ben.hear(track, chirp.JAKARTA)


async def test_a_speaker_is_seen_two_regions_away(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        await ben.say(chirp.FRANKFURT)
        await ayu.expect(
            "active_speakers_changed", lambda who: "ben" in [one.identity for one in who]
        )
        mark = len(ayu.log)
        await ben.stop_sending()
        await ayu.expect(
            "active_speakers_changed",
            lambda who: "ben" not in [one.identity for one in who],
            since=mark,
        )


async def test_unpublish_takes_the_track_away(ends: Ends, room: str) -> None:
    async with joined(ends.near, room, "ayu") as ayu, joined(ends.far, room, "ben") as ben:
        first = await ayu.say(chirp.JAKARTA)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)

        await ayu.me.unpublish_track(first.sid)
        await ben.expect("track_unpublished", lambda publication, _: publication.sid == first.sid)

        mark = len(ben.log)
        await ayu.stop_sending()
        await ayu.say(chirp.FRANKFURT)
        await ben.hear(await ben.track_of("ayu", since=mark), chirp.FRANKFURT)
