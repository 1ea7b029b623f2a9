"""What people encrypt end to end passes through: who has the key hears and sees it, nobody else."""

from __future__ import annotations

import pytest
from livekit import rtc

from tests.e2e.conftest import Ends
from tests.e2e.people import joined
from tests.media import chirp

pytestmark = pytest.mark.anyio

SECRET = b"a secret that no server knows"


async def test_sound_and_picture_across_regions(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu", secret=SECRET) as ayu,
        joined(ends.far, room, "ben", secret=SECRET) as ben,
        joined(ends.far, room, "eve", secret=b"another secret") as eve,
    ):
        await ayu.say(chirp.JAKARTA)
        await ayu.show(7)
        await ben.hear(await ben.track_of("ayu"), chirp.JAKARTA)
        await ben.watch(await ben.track_of("ayu", "video"), 7, count=5)
        seen = ben.room.remote_participants["ayu"].track_publications.values()
        assert {one.encryption_type for one in seen} == {rtc.EncryptionType.GCM}
        await eve.hears_silence(await eve.track_of("ayu"))
