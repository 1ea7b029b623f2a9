"""People in a call: a participant of the Python SDK whose events can be waited for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, get_args

import numpy as np
from livekit import rtc
from livekit.rtc.room import EventTypes

from fairlead.lab.field import sound
from tests.e2e.worlds import Edge
from tests.media import chirp, picture
from tests.media.chirp import Chirp
from tests.media.picture import Code

WITHIN_S = 20.0
POLL_S = 0.05
FRAME_RATE = 15
SENTENCE_S = 1.5
LIKE, UNLIKE = 0.7, 0.4

Match = Callable[..., bool]


class Person:
    """A participant; every event of its room is kept in `log` as (name, arguments)."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        self._grown = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        for name in get_args(EventTypes):
            self.room.on(name, self._keeper(name))

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(*arguments: Any) -> None:
            self.log.append((name, arguments))
            self._grown.set()

        return keep

    @property
    def me(self) -> rtc.LocalParticipant:
        """The local participant."""
        return self.room.local_participant

    async def expect(
        self,
        event: EventTypes,
        match: Match = lambda *_: True,
        *,
        since: int = 0,
        within: float = WITHIN_S,
    ) -> tuple[Any, ...]:
        """The arguments of the first such event at or after position `since` of the log."""
        end = time.monotonic() + within
        seen = since
        while True:
            for name, arguments in self.log[seen:]:
                if name == event and match(*arguments):
                    return arguments
            seen = len(self.log)
            self._grown.clear()
            try:
                await asyncio.wait_for(self._grown.wait(), max(0.001, end - time.monotonic()))
            except TimeoutError:
                heard = [name for name, _ in self.log[since:]]
                raise AssertionError(
                    f"{self.identity} saw no matching {event} within {within:.0f} s, only {heard}"
                ) from None

    async def until(
        self, condition: Callable[[], bool], what: str, within: float = WITHIN_S
    ) -> None:
        """Waits for a condition that no event announces."""
        await until(condition, f"{self.identity}: {what}", within)

    async def sees(self, identity: str) -> rtc.RemoteParticipant:
        """The other participant, once it is in the room, whoever came first."""
        there = self.room.remote_participants
        await self.until(lambda: identity in there, f"{identity} in the room")
        return there[identity]

    async def track_of(
        self, identity: str, kind: str = "audio", since: int = 0, within: float = WITHIN_S
    ) -> rtc.RemoteTrack:
        """The subscribed track of another participant, once it is there."""
        wanted = rtc.TrackKind.KIND_AUDIO if kind == "audio" else rtc.TrackKind.KIND_VIDEO
        arguments = await self.expect(
            "track_subscribed",
            lambda track, _, who: track.kind == wanted and who.identity == identity,
            since=since,
            within=within,
        )
        track: rtc.RemoteTrack = arguments[0]
        return track

    async def say(self, what: Chirp, **options: Any) -> rtc.LocalTrackPublication:
        """Publishes a microphone that repeats the chirp until the person leaves."""
        source = rtc.AudioSource(sound.SAMPLE_RATE, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        publication = await self.me.publish_track(
            track, _options(rtc.TrackSource.SOURCE_MICROPHONE, options)
        )
        self.keep(_speak(source, what))
        return publication

    async def show(
        self, sender: int, size: tuple[int, int] = (640, 360), **options: Any
    ) -> rtc.LocalTrackPublication:
        """Publishes a camera that draws numbered codes of `sender` until the person leaves."""
        source = rtc.VideoSource(*size)
        track = rtc.LocalVideoTrack.create_video_track("camera", source)
        publication = await self.me.publish_track(
            track, _options(rtc.TrackSource.SOURCE_CAMERA, {"simulcast": False, **options})
        )
        self.keep(_paint(source, size, sender))
        return publication

    async def hear(self, track: rtc.RemoteTrack, what: Chirp, within: float = WITHIN_S) -> None:
        """Listens until the chirp is recognised and checks that a stranger's chirp is not."""
        best = 0.0
        async with _recording(track) as frames:
            sentence = np.zeros(0)
            end = time.monotonic() + within
            while time.monotonic() < end:
                new = await _take(frames, SENTENCE_S / 3, end - time.monotonic())
                sentence = np.concatenate([sentence, new])[-int(SENTENCE_S * sound.SAMPLE_RATE) :]
                best = max(best, chirp.likeness(sentence, what))
                if best >= LIKE:
                    stranger = chirp.likeness(sentence, chirp.STRANGER)
                    assert stranger <= UNLIKE, f"a chirp never sent was heard: {stranger:.2f}"
                    return
        raise AssertionError(
            f"{self.identity} did not hear the chirp within {within:.0f} s: the best likeness was "
            f"{best:.2f}, {LIKE} is asked"
        )

    async def hears_silence(self, track: rtc.RemoteTrack, within: float = WITHIN_S) -> None:
        """Waits for half a second with no sound in it."""
        level = 1.0
        async with _recording(track) as frames:
            end = time.monotonic() + within
            while time.monotonic() < end:
                level = chirp.loudness(await _take(frames, 0.5, 0.7))
                if level < 0.003:
                    return
        raise AssertionError(f"{self.identity} heard no silence: the last level was {level:.4f}")

    async def watch(
        self, track: rtc.RemoteTrack, sender: int, count: int = 30, within: float = WITHIN_S
    ) -> list[tuple[Code, tuple[int, int]]]:
        """The codes of the next `count` frames that can be read, with the size of each picture.

        Fails when fewer than nine of ten frames can be read once the first was, when numbers fall
        or repeat, or when a picture is another sender's.
        """
        seen: list[tuple[Code, tuple[int, int]]] = []
        unread = 0
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.I420, capacity=4)
        try:
            async with asyncio.timeout(within):
                async for event in stream:
                    code = picture.read(_luma(event.frame))
                    if code is None:
                        unread += bool(seen)
                        continue
                    seen.append((code, (event.frame.width, event.frame.height)))
                    if len(seen) == count:
                        break
        except TimeoutError:
            raise AssertionError(
                f"{self.identity} read {len(seen)} of {count} pictures within {within:.0f} s "
                f"and could not read {unread}"
            ) from None
        finally:
            await stream.aclose()
        picture.check_order([code.number for code, _ in seen])
        assert {code.sender for code, _ in seen} == {sender}
        assert unread <= count // 10, f"{unread} unreadable pictures beside {count} good ones"
        return seen

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the person stops sending or leaves."""
        self._tasks.append(asyncio.create_task(work))

    async def stop_sending(self) -> None:
        """Stops the chirps and pictures; the tracks stay published."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def leave(self) -> None:
        """Leaves the room; leaving twice is harmless."""
        await self.stop_sending()
        await self.room.disconnect()


@asynccontextmanager
async def joined(
    edge: Edge,
    room: str,
    identity: str,
    *,
    dual: bool = False,
    secret: bytes = b"",
    **grants: Any,
) -> AsyncIterator[Person]:
    """A person in the room, gone at the end. `dual` asks for two peer connections; with a `secret`
    the person encrypts end to end."""
    person = Person(identity)
    options = rtc.RoomOptions(single_peer_connection=not dual, connect_timeout=15)
    if secret:
        options.encryption = rtc.E2EEOptions(
            key_provider_options=rtc.KeyProviderOptions(shared_key=secret)
        )
    await asyncio.wait_for(
        person.room.connect(edge.url, edge.token(identity, room, **grants), options), WITHIN_S
    )
    try:
        yield person
    finally:
        await asyncio.wait_for(person.leave(), WITHIN_S)


async def until(condition: Callable[[], bool], what: str, within: float = WITHIN_S) -> None:
    """Waits for a condition; looks every POLL_S seconds."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not so within {within:.0f} s: {what}")
        await asyncio.sleep(POLL_S)


def _options(source: rtc.TrackSource.ValueType, fields: dict[str, Any]) -> rtc.TrackPublishOptions:
    return rtc.TrackPublishOptions(source=source, **fields)


async def _speak(source: rtc.AudioSource, what: Chirp) -> None:
    pcm = sound.to_pcm(what.period())
    step = sound.SAMPLE_RATE // 50
    for start in itertools.cycle(range(0, len(pcm) - step + 1, step)):
        piece = pcm[start : start + step]
        await source.capture_frame(rtc.AudioFrame(piece.tobytes(), sound.SAMPLE_RATE, 1, step))


async def _paint(source: rtc.VideoSource, size: tuple[int, int], sender: int) -> None:
    start = time.monotonic()
    for number in itertools.count():
        data = picture.draw(*size, Code(number & 0xFFFF, sender))
        source.capture_frame(rtc.VideoFrame(*size, rtc.VideoBufferType.I420, data))
        await asyncio.sleep(max(0.0, start + (number + 1) / FRAME_RATE - time.monotonic()))


def _luma(frame: rtc.VideoFrame) -> picture.Plane:
    plane = np.frombuffer(frame.get_plane(0) or b"", dtype=np.uint8)
    return plane.reshape(frame.height, -1)[:, : frame.width]


@asynccontextmanager
async def _recording(track: rtc.RemoteTrack) -> AsyncIterator[AsyncIterator[rtc.AudioFrameEvent]]:
    stream = rtc.AudioStream(track, sample_rate=sound.SAMPLE_RATE, num_channels=1)
    try:
        yield stream
    finally:
        await stream.aclose()


async def _take(
    frames: AsyncIterator[rtc.AudioFrameEvent], seconds: float, within: float
) -> sound.Samples:
    """That many seconds of sound, or what came of it within the time."""
    pieces: list[sound.Samples] = []
    count = 0
    try:
        async with asyncio.timeout(max(0.001, within)):
            async for event in frames:
                piece = np.frombuffer(event.frame.data, dtype=np.int16) / 32_768
                pieces.append(piece)
                count += len(piece)
                if count >= seconds * sound.SAMPLE_RATE:
                    break
    except TimeoutError:
        pass
    return np.concatenate(pieces) if pieces else np.zeros(0)
