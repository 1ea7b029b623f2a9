"""Messages between participants: packets, remote calls, text and byte streams."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from typing import Any

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishDataError

from tests.e2e.conftest import Ends
from tests.e2e.people import Person, joined, until

pytestmark = pytest.mark.anyio

RELIABLE_COUNT = 200
LARGEST = 60_000


def packets(person: Person, topic: str) -> list[bytes]:
    """What came in on a topic, in the order of arrival."""
    events = [arguments[0] for name, arguments in person.log if name == "data_received"]
    return [bytes(packet.data) for packet in events if packet.topic == topic]


def numbered(index: int) -> bytes:
    """A message that says its own number and carries up to LARGEST bytes of noise."""
    size = 4 + (LARGEST - 4 if index % 50 == 7 else index * 37 % 1_200)
    return index.to_bytes(4, "big") + random.Random(index).randbytes(size - 4)


@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
async def test_reliable_is_ordered_and_exactly_once(both_ends: Ends, room: str, dual: bool) -> None:
    sent = [numbered(i) for i in range(RELIABLE_COUNT)]
    async with (
        joined(both_ends.near, room, "ayu", dual=dual) as ayu,
        joined(both_ends.far, room, "ben", dual=dual) as ben,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        for message in sent:
            await ayu.me.publish_data(message, topic="ship")
        await ayu.me.publish_data(b"end", topic="ship")
        await ben.until(lambda: b"end" in packets(ben, "ship"), "the last message", 40)
        got = packets(ben, "ship")
        assert [len(one) for one in got] == [len(one) for one in [*sent, b"end"]]
        assert got == [*sent, b"end"]
        assert packets(ayu, "ship") == [], "a sender hears no echo"
        [packet] = [a[0] for n, a in ben.log if n == "data_received" and a[0].data == b"end"]
        assert packet.participant.identity == "ayu"
        assert packet.kind == rtc.DataPacketKind.KIND_RELIABLE


async def test_lossy_arrives_and_says_that_it_is_lossy(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        for index in range(100):
            await ayu.me.publish_data(numbered(index)[:800], reliable=False, topic="lossy")
            await asyncio.sleep(0.005)
        await ben.until(lambda: len(packets(ben, "lossy")) >= 90, "nine of ten lossy messages")
        got = packets(ben, "lossy")
        assert len(set(got)) == len(got), "no message twice"
        assert set(got) <= {numbered(index)[:800] for index in range(100)}
        [packet] = await ben.expect("data_received")
        assert packet.kind == rtc.DataPacketKind.KIND_LOSSY


async def test_a_message_reaches_only_those_it_names(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "adi") as adi,
        joined(ends.far, room, "ben") as ben,
        joined(ends.far, room, "bea") as bea,
    ):
        for name in ("adi", "ben", "bea"):
            await ayu.expect("participant_active", lambda who, name=name: who.identity == name)
        await ayu.me.publish_data(b"to ben", destination_identities=["ben"], topic="note")
        await ayu.me.publish_data(b"to all", topic="note")
        for person in (adi, ben, bea):
            await person.until(lambda p=person: b"to all" in packets(p, "note"), "the second note")
        assert packets(ben, "note") == [b"to ben", b"to all"]
        assert packets(adi, "note") == [b"to all"]
        assert packets(bea, "note") == [b"to all"]


async def test_a_participant_without_the_right_sends_nothing(ends: Ends, room: str) -> None:
    async with (
        joined(ends.near, room, "ayu") as ayu,
        joined(ends.near, room, "mute", can_publish_data=False) as silent,
        joined(ends.far, room, "ben") as ben,
    ):
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        with contextlib.suppress(TimeoutError, PublishDataError):
            await asyncio.wait_for(silent.me.publish_data(b"forbidden", topic="note"), 5)
        await ayu.me.publish_data(b"allowed", topic="note")
        await ben.until(lambda: bool(packets(ben, "note")), "a note")
        await ayu.me.publish_data(b"and again", topic="note")
        await ben.until(lambda: b"and again" in packets(ben, "note"), "the second note")
        assert packets(ben, "note") == [b"allowed", b"and again"]


async def test_remote_calls(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
    ):
        long = "x" * 14_000

        @ben.me.register_rpc_method("greet")
        async def greet(call: rtc.RpcInvocationData) -> str:
            return f"hello {call.caller_identity}: {call.payload}"

        @ben.me.register_rpc_method("fail")
        async def fail(_: rtc.RpcInvocationData) -> str:
            raise rtc.RpcError(1234, "no", "data")

        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        assert await _call(ayu, "greet", "hi") == "hello ayu: hi"
        assert await _call(ayu, "greet", long) == f"hello ayu: {long}"
        with pytest.raises(rtc.RpcError) as failed:
            await _call(ayu, "fail", "")
        assert (failed.value.code, failed.value.data) == (1234, "data")
        with pytest.raises(rtc.RpcError) as missing:
            await _call(ayu, "nothing", "")
        assert missing.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
        with pytest.raises(rtc.RpcError):
            await _call(ayu, "greet", "hi", to="nobody")


async def _call(person: Person, method: str, payload: str, to: str = "ben") -> str:
    return await person.me.perform_rpc(
        destination_identity=to,
        method=method,
        payload=payload,
        response_timeout=10,
        max_round_trip_latency=3,
    )


async def test_text_streams(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
    ):
        got: list[tuple[str, str, dict[str, str] | None]] = []
        _collect_text(ben, got)
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        long = "".join(chr(0x1F300 + i % 200) for i in range(40_000))
        await ayu.me.send_text("Selamat pagi", topic="chat", attributes={"lang": "id"})
        await ayu.me.send_text(long, topic="chat", destination_identities=["ben"])
        writer = await ayu.me.stream_text(topic="chat")
        for word in ("one ", "two ", "three"):
            await writer.write(word)
        await writer.aclose()
        await ben.until(lambda: len(got) == 3, "three texts")
        texts = {text for _, text, _ in got}
        assert texts == {"Selamat pagi", long, "one two three"}
        assert {who for who, _, _ in got} == {"ayu"}
        assert ("ayu", "Selamat pagi", {"lang": "id"}) in got


async def test_byte_streams(both_ends: Ends, room: str) -> None:
    async with (
        joined(both_ends.near, room, "ayu") as ayu,
        joined(both_ends.far, room, "ben") as ben,
    ):
        got: list[tuple[str, bytes]] = []
        _collect_bytes(ben, got)
        await ayu.expect("participant_active", lambda who: who.identity == "ben")
        photo = random.Random(3).randbytes(700_000)
        writer = await ayu.me.stream_bytes(
            "photo.jpg", mime_type="image/jpeg", topic="files", total_size=len(photo)
        )
        await writer.write(photo)
        await writer.aclose()
        await until(lambda: bool(got), "the photo")
        assert got[0][0] == "photo.jpg"
        assert hashlib.sha256(got[0][1]).digest() == hashlib.sha256(photo).digest()


def _collect_text(person: Person, into: list[tuple[str, str, dict[str, str] | None]]) -> None:
    async def read(reader: rtc.TextStreamReader, identity: str) -> None:
        text = await reader.read_all()
        into.append((identity, text, reader.info.attributes))

    person.room.register_text_stream_handler("chat", _background(read))


def _collect_bytes(person: Person, into: list[tuple[str, bytes]]) -> None:
    async def read(reader: rtc.ByteStreamReader, _: str) -> None:
        chunks = [chunk async for chunk in reader]
        into.append((reader.info.name, b"".join(chunks)))

    person.room.register_byte_stream_handler("files", _background(read))


def _background(work: Any) -> Any:
    tasks: set[asyncio.Task[None]] = set()

    def start(reader: Any, identity: str) -> None:
        task = asyncio.create_task(work(reader, identity))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return start
