"""Headless Chromium with the npm client: the same calls, with one and two peer connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser, joined_page, started_browser
from tests.e2e.conftest import Ends
from tests.e2e.door import door_to
from tests.e2e.people import WITHIN_S, joined
from tests.media import chirp

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

AYU, BEN = 0x2A, 0xB7


ON_PATHS = pytest.mark.parametrize(
    ("both_ends", "dual"),
    [("direct", False), ("direct", True), ("relayed", False)],
    ids=["direct-single", "direct-dual", "relayed-single"],
    indirect=["both_ends"],
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@ON_PATHS
async def test_two_pages_hear_and_see_each_other(
    both_ends: Ends, room: str, browser: Browser, dual: bool
) -> None:
    async with (
        joined_page(browser, both_ends.near, room, "ayu", dual=dual) as ayu,
        joined_page(browser, both_ends.far, room, "ben", dual=dual) as ben,
    ):
        assert await ayu.call("peerConnections") == (2 if dual else 1)
        await asyncio.gather(ayu.say(chirp.JAKARTA), ben.say(chirp.FRANKFURT))
        await asyncio.gather(ayu.show(AYU), ben.show(BEN))
        await asyncio.gather(
            ben.hear("ayu", chirp.JAKARTA),
            ayu.hear("ben", chirp.FRANKFURT),
            ben.watch("ayu", AYU),
            ayu.watch("ben", BEN),
        )


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_messages(ends: Ends, room: str, browser: Browser, dual: bool) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu", dual=dual) as ayu,
        joined_page(browser, ends.far, room, "ben", dual=dual) as ben,
    ):
        await ayu.expect("participant_connected", identity="ben")
        for index in range(50):
            await ayu.call("sendData", f"message {index}", True, "note")
        await ben.expect("data_received", text="message 49", identity="ayu", topic="note")
        texts = [entry["text"] for entry in await ben.events("data_received")]
        assert texts == [f"message {index}" for index in range(50)]
        assert await ayu.events("data_received") == []
        await ayu.call("sendData", "quick", False, "note")
        await ben.expect("data_received", text="quick")
        await ben.call("sendText", "Guten Tag " * 5_000, "chat")
        await ayu.expect("text", identity="ben", text="Guten Tag " * 5_000)
        assert await ayu.call("call", "ben", "greet", "hi") == "hello ayu: hi"


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_data_tracks(ends: Ends, room: str, browser: Browser, dual: bool) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu", dual=dual) as ayu,
        joined_page(browser, ends.far, room, "ben", dual=dual) as ben,
    ):
        sid = await ayu.call("push", "pose")
        assert sid.startswith("DTR_")
        end = time.monotonic() + WITHIN_S
        seen: set[str] = set()
        # Every tenth is of more than one packet.
        while not any(text.endswith("/40000") for text in seen) or len(seen) < 20:
            assert time.monotonic() < end, f"only {seen}"
            entries = await ben.events("frame")
            seen = {one["text"] for one in entries}
            assert len(seen) == len(entries), "no frame twice"
            assert {(one["identity"], one["topic"]) for one in entries} <= {("ayu", "pose")}
        lengths = {text.partition("/")[2] for text in seen}
        assert lengths <= {"2", "3", "4", "5", "40000"}
        await ayu.call("stopPushing")
        await ben.expect("frames_ended", topic="pose")
        assert await ayu.events("frame") == []


async def test_simulcast_brings_the_top_layer(ends: Ends, room: str, browser: Browser) -> None:
    size = (1280, 720)
    async with (
        joined_page(browser, ends.near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU, size, simulcast=True)
        end = time.monotonic() + 3 * WITHIN_S
        seen = (0, 0)
        while seen != size:
            assert time.monotonic() < end, f"{seen}, of {await ayu.call('sending')}"
            *_, seen = await ben.watch("ayu", AYU, count=20, within=2 * WITHIN_S)


async def test_fewer_pictures_come_where_fewer_are_asked_for(
    ends: Ends, room: str, browser: Browser
) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU, simulcast=True)
        await ben.watch("ayu", AYU, count=15)
        for fps, step in [(4, range(3, 6)), (0, range(1, 2))]:
            await ben.call("slow", "ayu", fps)
            end = time.monotonic() + WITHIN_S
            seen = -1.0
            while round(seen) not in step:
                assert time.monotonic() < end, f"each {seen:.1f}th picture of those drawn"
                seen = await ben.pace("ayu", count=10)


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
async def test_codec(ends: Ends, room: str, browser: Browser, codec: str) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU, codec=codec)
        await ben.watch("ayu", AYU, count=15)


@ON_PATHS
async def test_a_page_and_the_python_sdk(
    both_ends: Ends, room: str, browser: Browser, dual: bool
) -> None:
    async with (
        joined_page(browser, both_ends.near, room, "ayu", dual=dual) as ayu,
        joined(both_ends.far, room, "ben", dual=dual) as ben,
    ):
        await asyncio.gather(ayu.say(chirp.JAKARTA), ben.say(chirp.FRANKFURT))
        await asyncio.gather(ayu.show(AYU), ben.show(BEN))
        await asyncio.gather(
            ben.hear(await ben.track_of("ayu"), chirp.JAKARTA),
            ayu.hear("ben", chirp.FRANKFURT),
            ben.watch(await ben.track_of("ayu", "video"), AYU),
            ayu.watch("ben", BEN),
        )
        await ayu.call("sendData", "from the page", True, "note")
        await ben.expect("data_received", lambda packet: packet.data == b"from the page")
        await ben.me.publish_data(b"from Python", topic="note")
        await ayu.expect("data_received", text="from Python", identity="ben")


async def test_a_picture_of_several_layers_goes_on_at_another_edge(
    ends: Ends, room: str, browser: Browser
) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined_page(browser, near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU, simulcast=True)
        await ben.watch("ayu", AYU, count=30)
        door.lead_to(ends.far)
        door.cut()
        await ayu.expect("signal_reconnecting")
        await ayu.expect("reconnected")
        await ben.watch("ayu", AYU, count=30, within=2 * WITHIN_S)
        assert not await ben.events("track_unsubscribed")
        assert not await ayu.events("reconnecting")


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_a_page_comes_back_at_another_edge(
    ends: Ends, room: str, browser: Browser, dual: bool
) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined_page(browser, near, room, "ayu", dual=dual) as ayu,
        joined(ends.far, room, "ben") as ben,
    ):
        await asyncio.gather(ayu.say(chirp.JAKARTA), ben.say(chirp.FRANKFURT))
        to_ben = await ben.track_of("ayu")
        await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear("ben", chirp.FRANKFURT))
        bens = len(ben.log)
        door.lead_to(ends.far)
        door.cut()
        await ayu.expect("reconnecting" if dual else "signal_reconnecting")
        await ben.me.publish_data(b"while you were away", topic="note")
        await ayu.expect("reconnected")
        # With two connections it joins anew, with new tracks.
        to_ben = await ben.track_of("ayu", since=bens if dual else 0)
        await asyncio.gather(ben.hear(to_ben, chirp.JAKARTA), ayu.hear("ben", chirp.FRANKFURT))
        await ayu.call("sendData", "end", True, "note")
        await ben.expect("data_received", lambda packet: packet.data == b"end")
        await ben.me.publish_data(b"end", topic="note")
        await ayu.expect("data_received", text="end")
        anew = {name for name, _ in ben.log[bens:]} & {
            "participant_connected",
            "participant_disconnected",
            "track_unsubscribed",
        }
        if not dual:
            texts = [entry["text"] for entry in await ayu.events("data_received")]
            assert texts == ["while you were away", "end"]
            assert not await ayu.events("reconnecting")
        assert bool(anew) == dual


async def test_mute_late_join_and_leave(ends: Ends, room: str, browser: Browser) -> None:
    async with joined_page(browser, ends.near, room, "ayu") as ayu:
        await ayu.say(chirp.JAKARTA)
        await ayu.show(AYU)
        async with joined_page(browser, ends.far, room, "ben") as ben:
            await ben.hear("ayu", chirp.JAKARTA)
            await ben.watch("ayu", AYU, count=10)
            await ayu.call("mute", True)
            await ben.expect("track_muted", identity="ayu")
            await ayu.call("mute", False)
            await ben.expect("track_unmuted", identity="ayu")
            await ben.hear("ayu", chirp.JAKARTA)
        await ayu.expect("participant_disconnected", identity="ben")


async def test_the_newest_page_of_an_identity_wins(ends: Ends, room: str, browser: Browser) -> None:
    async with joined_page(browser, ends.near, room, "ayu") as old:
        async with joined(ends.far, room, "ayu") as new:
            gone = await old.expect("disconnected")
            assert gone["text"] == "2"
            assert new.room.isconnected()
        assert await old.events("reconnecting") == []
