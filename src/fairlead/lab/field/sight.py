"""A person's camera and eye, with the LiveKit SDK: numbered pictures out, and what is seen."""

from __future__ import annotations

import itertools
import time

import anyio
import numpy as np
from livekit import rtc

from fairlead.lab.field import pictures
from fairlead.lab.field.clock import until
from fairlead.lab.field.people import PictureSample, Seen
from fairlead.lab.field.statistics import statistics

WAITING = 8
"""Pictures that may wait to be read; the SDK drops the oldest."""


class Camera:
    """Shows numbered pictures at an even pace until cancelled."""

    def __init__(self) -> None:
        self._painter = pictures.Painter()
        self.source = rtc.VideoSource(*self._painter.size)
        self.shown: list[float] = []
        """When each picture was given to the SDK, by its number (monotonic)."""

    async def show(self) -> None:
        """Paint. A picture that is due is never left out: a starved client paints late."""
        began = time.monotonic()
        for number in itertools.count():
            await until(began + number / pictures.RATE)
            data = self._painter.paint(number)
            frame = rtc.VideoFrame(*self._painter.size, rtc.VideoBufferType.I420, data)
            self.shown.append(time.monotonic())
            self.source.capture_frame(frame)


class Eye:
    """Reads the pictures of a track and, beside it, what the client says of it."""

    def __init__(self, track: rtc.RemoteTrack) -> None:
        self._track = track
        self.seen: list[Seen] = []
        self.samples: list[PictureSample] = []

    async def watch(self) -> None:
        """Read until cancelled."""
        stream = rtc.VideoStream(self._track, capacity=WAITING, format=rtc.VideoBufferType.I420)
        try:
            async for event in stream:
                at, frame = time.monotonic(), event.frame
                plane = np.frombuffer(frame.get_plane(0) or b"", dtype=np.uint8)
                luma = plane.reshape(frame.height, -1)[:, : frame.width]
                self.seen.append(Seen(at, pictures.read(luma), frame.width, frame.height))
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()

    async def sample(self) -> None:
        """Ask the client for its statistics until cancelled."""
        async for received, inbound in statistics(self._track):
            self.samples.append(
                PictureSample(
                    at=time.monotonic(),
                    packets=received.packets_received,
                    lost=received.packets_lost,
                    bytes=inbound.bytes_received,
                    decoded=inbound.frames_decoded,
                    freezes=inbound.freeze_count,
                    frozen_s=inbound.total_freeze_duration,
                    keyframe_requests=inbound.pli_count + inbound.fir_count,
                )
            )
