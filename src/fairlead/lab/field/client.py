"""A person of a field test: a process with the LiveKit SDK that speaks and records the other,
and if it is so ordered shows numbered pictures and writes down those that it sees.

`python -m fairlead.lab.field.client` reads one line of JSON (`Orders`), then others (`Order`), and
when one of these tells it to stop, prints what it has (`Told`). It runs in a network namespace of
its own, so that all that the SDK does goes through the access networks there. What is said and
heard is dated on the monotonic clock, which all processes of the machine share.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from fairlead.lab.field.people import Heard, Order, Orders, Sample, Told, Viewed
from fairlead.lab.field.sight import Camera, Eye
from fairlead.lab.field.sound import FRAME, SAMPLE_RATE
from fairlead.lab.field.statistics import statistics

QUEUE_MS = 40
"""Sound that waits in the SDK: part of what is measured as mouth to ear."""


class Mouth:
    """Says what a file of 16-bit samples has, over and over."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=QUEUE_MS)
        self.began: float | None = None
        """When the first word was said."""

    def _pieces(self) -> Iterator[NDArray[np.int16]]:
        pcm = np.fromfile(self._path, dtype=np.int16)
        while True:
            for start in range(0, len(pcm) - FRAME + 1, FRAME):
                yield pcm[start : start + FRAME]

    async def speak(self) -> None:
        """Until cancelled."""
        for piece in self._pieces():
            if self.began is None:
                self.began = time.monotonic()
            frame = rtc.AudioFrame(piece.tobytes(), SAMPLE_RATE, 1, FRAME)
            await self.source.capture_frame(frame)


class Ear:
    """Records a track and, beside it, what the client says of it."""

    def __init__(self, track: rtc.RemoteTrack) -> None:
        self._track = track
        self._pieces: list[bytes] = []
        self._count = 0
        self.marks: list[tuple[int, float]] = []
        """Now and then: samples so far, and when the last of them came."""
        self.samples: list[Sample] = []

    async def listen(self) -> None:
        """Record until cancelled."""
        stream = rtc.AudioStream(self._track, sample_rate=SAMPLE_RATE, num_channels=1)
        try:
            async for event in stream:
                piece = bytes(event.frame.data)
                self._pieces.append(piece)
                self._count += len(piece) // 2
                if len(self._pieces) % 10 == 1:
                    self.marks.append((self._count, time.monotonic()))
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()

    async def sample(self) -> None:
        """Ask the client for its statistics until cancelled."""
        async for received, inbound in statistics(self._track):
            self.samples.append(
                Sample(
                    at=time.monotonic(),
                    packets=received.packets_received,
                    lost=received.packets_lost,
                    discarded=inbound.packets_discarded,
                    samples=inbound.total_samples_received,
                    concealed=inbound.concealed_samples - inbound.silent_concealed_samples,
                    all_concealed=inbound.concealed_samples,
                    bytes=inbound.bytes_received,
                )
            )

    def keep(self, path: Path) -> None:
        """Write the recording: 16-bit samples, nothing else."""
        path.write_bytes(b"".join(self._pieces))


async def _run(orders: Orders) -> Told:
    room = rtc.Room()
    told = Told()
    ears: list[Ear] = []
    eyes: list[Eye] = []
    heard, seen = anyio.Event(), anyio.Event()
    mouth = Mouth(orders.voice)
    camera = Camera() if orders.shows else None

    def note(text: str) -> None:
        told.log.append((time.monotonic(), text))

    async with anyio.create_task_group() as tasks:

        def subscribed(track: rtc.RemoteTrack, *_: object) -> None:
            if track.kind == rtc.TrackKind.KIND_AUDIO:
                note("hears a track")
                ears.append(ear := Ear(track))
                tasks.start_soon(ear.listen)
                tasks.start_soon(ear.sample)
                heard.set()
            elif orders.watches:
                note("sees a track")
                eyes.append(eye := Eye(track))
                tasks.start_soon(eye.watch)
                tasks.start_soon(eye.sample)
                seen.set()

        room.on("track_subscribed", subscribed)
        room.on("reconnecting", lambda: note("reconnects"))
        room.on("reconnected", lambda: note("is back"))
        room.on("disconnected", lambda reason: note(f"is disconnected, reason {reason}"))
        await room.connect(orders.url, orders.token, rtc.RoomOptions(connect_timeout=15))
        lens = await _publish(room, mouth, camera)
        tasks.start_soon(mouth.speak)
        if camera is not None:
            tasks.start_soon(camera.show)
        await heard.wait()
        if orders.watches:
            await seen.wait()
        _say({"hears": time.monotonic()})
        while not (order := await anyio.to_thread.run_sync(_read_order)).stop:
            if lens is not None and order.shows is not None:
                (lens.unmute if order.shows else lens.mute)()
        tasks.cancel_scope.cancel()
    told.began, told.ended = mouth.began or 0.0, time.monotonic()
    told.shown = camera.shown if camera is not None else []
    told.viewed = [Viewed(seen=eye.seen, samples=eye.samples) for eye in eyes]
    for number, ear in enumerate(ears):
        path = Path(f"{orders.recording}.{number}")
        ear.keep(path)
        told.heard.append(Heard(recording=str(path), marks=ear.marks, samples=ear.samples))
    return told


async def _publish(
    room: rtc.Room, mouth: Mouth, camera: Camera | None
) -> rtc.LocalVideoTrack | None:
    """As the SDK does by itself: Opus with RED, VP8 in simulcast."""
    microphone = rtc.LocalAudioTrack.create_audio_track("microphone", mouth.source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(microphone, options)
    if camera is None:
        return None
    lens = rtc.LocalVideoTrack.create_video_track("camera", camera.source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True)
    await room.local_participant.publish_track(lens, options)
    return lens


def _read_order() -> Order:
    """The end of the lab is the order to stop."""
    line = sys.stdin.readline()
    return msgspec.json.decode(line, type=Order) if line else Order(stop=True)


def _say(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do as ordered."""
    orders = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    _say(anyio.run(_run, orders))
    # The room is left as a phone leaves it whose owner walks away; nothing waits for goodbyes.
    os._exit(0)


if __name__ == "__main__":
    main()
