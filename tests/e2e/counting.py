"""Someone counts aloud, someone else writes down what they hear and what their client concealed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
from livekit import rtc
from livekit.rtc._proto.room_pb2 import AudioEncoding

from fairlead.lab.field import counting
from fairlead.lab.field.counting import Account
from fairlead.lab.field.sound import FRAME, SAMPLE_RATE, Samples
from tests.e2e.people import Person

QUEUE_MS = 200


async def count_aloud(person: Person, **options: Any) -> rtc.LocalTrackPublication:
    """Publishes a microphone that counts 000, 001, ... 999, 000, ... until the person leaves.

    Without redundancy and without silence suppression, so that every frame that the mesh loses is
    lost to the ear.
    """
    source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=QUEUE_MS)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    publication = await person.me.publish_track(
        track,
        rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_MICROPHONE,
            **{
                "red": False,
                "dtx": False,
                "audio_encoding": AudioEncoding(max_bitrate=64_000),
                **options,
            },
        ),
    )
    person.keep(_count(source))
    return publication


async def _count(source: rtc.AudioSource) -> None:
    for piece in counting.aloud():
        await source.capture_frame(rtc.AudioFrame(piece.tobytes(), SAMPLE_RATE, 1, FRAME))


class Concealed(NamedTuple):
    """What the listener's client counted since it subscribed."""

    packets: int
    lost: int
    """Packets that never came: audio frames of 20 ms."""
    discarded: int
    """Packets that came too late to be played."""
    concealed_ms: float
    """Sound that had to be made up: for what was lost, and to bridge what came late."""


class Ear:
    """A recording in the making."""

    def __init__(self, track: rtc.RemoteTrack) -> None:
        self._track = track
        self._pieces: list[Samples] = []
        self._count = 0

    @property
    def seconds(self) -> float:
        """Recorded so far."""
        return self._count / SAMPLE_RATE

    def samples(self) -> Samples:
        """Everything recorded so far."""
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0)

    def cut_off(self, keep: float = 0.0) -> Samples:
        """Takes away what was recorded, but for the last ``keep`` seconds."""
        whole = self.samples()
        kept = whole[len(whole) - int(keep * SAMPLE_RATE) :] if keep else whole[:0]
        self._pieces = [kept]
        return whole

    def account(self) -> Account:
        """What became of the numbers, from the first that was heard on."""
        return counting.account(counting.transcribe(self.samples()), range(1_000))

    async def concealed(self) -> Concealed:
        """The client's own statistics of the track; nothing before its first packet."""
        for report in await self._track.get_stats():
            if report.HasField("inbound_rtp"):
                received, inbound = report.inbound_rtp.received, report.inbound_rtp.inbound
                return Concealed(
                    packets=received.packets_received,
                    lost=received.packets_lost,
                    discarded=inbound.packets_discarded,
                    concealed_ms=(inbound.concealed_samples - inbound.silent_concealed_samples)
                    / SAMPLE_RATE
                    * 1e3,
                )
        return Concealed(0, 0, 0, 0.0)

    async def listen(self) -> None:
        """Record until cancelled."""
        stream = rtc.AudioStream(self._track, sample_rate=SAMPLE_RATE, num_channels=1)
        try:
            async for event in stream:
                piece = np.frombuffer(event.frame.data, dtype=np.int16) / 32_768
                self._pieces.append(piece)
                self._count += len(piece)
        finally:
            await stream.aclose()


@asynccontextmanager
async def listening(track: rtc.RemoteTrack) -> AsyncIterator[Ear]:
    """Record a track while the block runs."""
    ear = Ear(track)
    task = asyncio.create_task(ear.listen())
    try:
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
