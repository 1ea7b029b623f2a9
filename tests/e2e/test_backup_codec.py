"""A camera in a second codec, published by the npm client when a viewer needs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser, PagePerson, joined_page, started_browser
from tests.e2e.conftest import Ends
from tests.e2e.door import door_to
from tests.e2e.people import POLL_S, WITHIN_S

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

AYU = 0x2A


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


async def sends(publisher: PagePerson, within: float = WITHIN_S, **codecs: bool) -> None:
    """Waits until a camera sends these codecs and not the others."""
    end = time.monotonic() + within
    while (seen := await publisher.call("publishing")) != codecs:
        assert time.monotonic() < end, f"the camera sends {seen}, not {codecs}"
        await asyncio.sleep(POLL_S)


@pytest.mark.parametrize(
    ("codec", "dual"), [("vp9", False), ("vp9", True), ("av1", False)], ids=["vp9", "dual", "av1"]
)
async def test_who_lacks_the_first_codec_sees_the_second(
    ends: Ends, room: str, browser: Browser, codec: str, dual: bool
) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu", dual=dual) as ayu,
        joined_page(browser, ends.far, room, "ben", dual=dual) as ben,
        joined_page(browser, ends.near, room, "dee", dual=dual) as dee,
    ):
        await ayu.show(AYU, codec=codec, backup="vp8", simulcast=True)
        await asyncio.gather(ben.watch("ayu", AYU, count=10), dee.watch("ayu", AYU, count=10))
        assert await ayu.call("publishing") == {codec: True}
        async with joined_page(browser, ends.far, room, "cai", dual=dual, lacks=[codec]) as cai:
            await cai.watch("ayu", AYU, count=15, within=2 * WITHIN_S)
            await cai.comes_in("ayu", "video/VP8")
            await sends(ayu, **{codec: True, "vp8": True})
            for viewer in (ben, dee):
                await viewer.watch("ayu", AYU, count=10)
                await viewer.comes_in("ayu", f"video/{codec.upper()}")
        await sends(ayu, **{codec: True, "vp8": False})


async def test_under_regression_everyone_goes_over_to_the_second(
    ends: Ends, room: str, browser: Browser
) -> None:
    async with (
        joined_page(browser, ends.near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
    ):
        await ayu.show(AYU, codec="vp9", backup="vp8", regress=True, simulcast=True)
        await ben.watch("ayu", AYU, count=10)
        await ben.comes_in("ayu", "video/VP9")
        async with joined_page(browser, ends.near, room, "cai", lacks=["vp9"]) as cai:
            await cai.watch("ayu", AYU, count=15, within=2 * WITHIN_S)
            await ben.comes_in("ayu", "video/VP8")
            await sends(ayu, vp9=False, vp8=True)
            await asyncio.gather(ben.watch("ayu", AYU), cai.watch("ayu", AYU))


async def test_a_publisher_comes_back_at_another_edge_with_both(
    ends: Ends, room: str, browser: Browser
) -> None:
    async with (
        door_to(ends.near) as (door, near),
        joined_page(browser, near, room, "ayu") as ayu,
        joined_page(browser, ends.far, room, "ben") as ben,
        joined_page(browser, ends.near, room, "cai", lacks=["vp9"]) as cai,
    ):
        await ayu.show(AYU, codec="vp9", backup="vp8")
        await cai.watch("ayu", AYU, count=10, within=2 * WITHIN_S)
        door.lead_to(ends.far)
        door.cut()
        await ayu.expect("signal_reconnecting")
        await ayu.expect("reconnected")
        for viewer, mime in ((ben, "video/VP9"), (cai, "video/VP8")):
            await viewer.watch("ayu", AYU, within=2 * WITHIN_S)
            await viewer.comes_in("ayu", mime)
            assert not await viewer.events("track_unsubscribed")
        assert not await ayu.events("reconnecting")
