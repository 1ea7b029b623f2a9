"""Chromium with the npm client in it, driven from Python through `web/e2e/driver.mjs`."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.people import LIKE, POLL_S, SENTENCE_S, UNLIKE, WITHIN_S
from tests.e2e.worlds import Edge
from tests.media import chirp, picture
from tests.media.chirp import Chirp

DRIVER = Path(__file__).parents[2] / "web" / "e2e" / "driver.mjs"
START_S = 60.0
STOP_S = 15.0


class Browser:
    """One Chromium; every page of it holds one person."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._waiting: dict[int, Future[Any]] = {}
        self._ids = itertools.count(1)
        self._ready: Future[str] = Future()
        threading.Thread(target=self._read, daemon=True).start()
        self.version = self._ready.result(START_S)

    async def command(self, **fields: Any) -> Any:
        """Sends one command and waits for its answer."""
        assert self._process.stdin is not None
        number = next(self._ids)
        future = self._waiting[number] = Future()
        self._process.stdin.write(json.dumps({"id": number, **fields}) + "\n")
        self._process.stdin.flush()
        return await asyncio.wrap_future(future)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "ready" in answer:
                self._ready.set_result(answer["ready"])
                continue
            future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(AssertionError(f"in the browser: {answer['error']}"))
            else:
                future.set_result(answer.get("result"))
        ended = RuntimeError("the browser's driver ended")
        if not self._ready.done():
            self._ready.set_exception(ended)
        for future in self._waiting.values():
            future.set_exception(ended)


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A Chromium of our own, gone at the end."""
    process = subprocess.Popen(
        ["node", str(DRIVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Browser(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class PagePerson:
    """A participant in a page; what it can do mirrors `tests.e2e.people.Person`."""

    def __init__(self, browser: Browser, page: str) -> None:
        self._browser, self._page = browser, page

    async def call(self, method: str, *arguments: Any, within: float = WITHIN_S) -> Any:
        """Calls a method of the person in the page."""
        return await self._browser.command(
            page=self._page, call=method, arguments=arguments, within_s=within
        )

    async def say(self, what: Chirp) -> str:
        """Publishes a microphone that repeats the chirp; gives the track's sid."""
        sound = {
            "start_hz": what.start_hz,
            "end_hz": what.end_hz,
            "sweep_s": chirp.SWEEP_S,
            "gap_s": chirp.GAP_S,
            "amplitude": chirp.AMPLITUDE,
        }
        return str(await self.call("say", sound))

    async def show(
        self,
        sender: int,
        size: tuple[int, int] = (640, 360),
        *,
        simulcast: bool = False,
        codec: str = "vp8",
        backup: str | None = None,
        regress: bool = False,
    ) -> str:
        """Publishes a camera that draws numbered codes; gives the track's sid. ``backup``: a second
        codec for who does not take the first, or (``regress``) for everyone then."""
        options = {
            "sender": sender,
            "width": size[0],
            "height": size[1],
            "simulcast": simulcast,
            "codec": codec,
            "backup": backup,
            "regress": regress,
        }
        return str(await self.call("show", options))

    async def hear(self, identity: str, what: Chirp, within: float = WITHIN_S) -> None:
        """Listens until the chirp is recognised and checks that a stranger's chirp is not."""
        best = 0.0
        end = time.monotonic() + within
        while time.monotonic() < end:
            pcm = base64.b64decode(await self.call("listen", identity, SENTENCE_S, within=within))
            recording = np.frombuffer(pcm, dtype=np.int16) / 32_768
            best = max(best, chirp.likeness(recording, what))
            if best >= LIKE:
                stranger = chirp.likeness(recording, chirp.STRANGER)
                assert stranger <= UNLIKE, f"a chirp never sent was heard: {stranger:.2f}"
                return
        raise AssertionError(f"the page did not hear the chirp: the best likeness was {best:.2f}")

    async def watch(
        self, identity: str, sender: int, count: int = 30, within: float = WITHIN_S
    ) -> list[tuple[int, int]]:
        """The sizes of the next readable pictures, after the checks of `Person.watch`."""
        watched = await self.call("watch", identity, count, within=within)
        pictures = watched["pictures"]
        picture.check_order([one["number"] for one in pictures])
        assert {one["sender"] for one in pictures} == {sender}
        assert watched["unread"] <= count // 10, f"{watched['unread']} unreadable pictures"
        return [(one["width"], one["height"]) for one in pictures]

    async def pace(self, identity: str, count: int) -> float:
        """How many pictures were drawn for each one that comes, of so many."""
        watched = await self.call("watch", identity, count)
        numbers = [one["number"] for one in watched["pictures"]]
        return float((numbers[-1] - numbers[0]) / (len(numbers) - 1))

    async def comes_in(self, identity: str, mime: str, within: float = WITHIN_S) -> None:
        """Waits until another participant's camera comes in a codec."""
        end = time.monotonic() + within
        while (seen := await self.call("receiving", identity)) != mime:
            assert time.monotonic() < end, f"{identity}'s camera comes in {seen!r}, not {mime}"
            await asyncio.sleep(POLL_S)

    async def events(self, name: str) -> list[dict[str, str]]:
        """The events of a name so far, as `web/e2e/person.ts` notes them."""
        return [entry for entry in await self.call("events") if entry["name"] == name]

    async def expect(self, name: str, within: float = WITHIN_S, **fields: str) -> dict[str, str]:
        """The first event with these fields."""
        end = time.monotonic() + within
        while True:
            for entry in await self.events(name):
                if fields.items() <= entry.items():
                    return entry
            assert time.monotonic() < end, f"the page saw no {name} {fields} within {within:.0f} s"
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def joined_page(
    browser: Browser,
    edge: Edge,
    room: str,
    identity: str,
    *,
    dual: bool = False,
    relayed: bool = False,
    lacks: Sequence[str] = (),
    **grants: Any,
) -> AsyncIterator[PagePerson]:
    """A person in a page in the room, gone at the end; ``lacks``: codecs that it can't decode."""
    page = f"{room}/{identity}"
    await browser.command(open=page, single=not dual, lacks=list(lacks))
    try:
        person = PagePerson(browser, page)
        await person.call("join", edge.url, edge.token(identity, room, **grants), relayed)
        yield person
        await person.call("leave")
    finally:
        await browser.command(close=page)
