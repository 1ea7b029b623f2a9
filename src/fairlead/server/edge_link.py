"""One client's websocket: frames in and out, with a bounded queue between the rooms and it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
import structlog
from livekit.protocol.rtc import SignalRequest, SignalResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from fairlead.protocol.signal import BadFrame, FrameCodec

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""What may wait for a client that does not read; past it the client is cut off."""
MAX_QUEUED_FRAMES = 4096
MAX_BAD_FRAMES = 10
"""Frames that can't be read, after which a client is cut off."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a client has to take what was said before its websocket closes."""
NORMAL_CLOSURE = 1000

log = structlog.get_logger()


class SignalLink:
    """Sends what it is given in order; never makes the giver wait."""

    def __init__(self, websocket: WebSocket, session: int) -> None:
        self.session = session
        """Whose it is; another takes it over when its client comes back."""
        self._websocket = websocket
        self._codec = FrameCodec()
        self._frames: deque[bytes | str] = deque()
        self._bytes = 0
        self._wake = anyio.Event()
        self._closing = False
        self._overflowed = False
        self._abandoned = False
        self._scope = anyio.CancelScope()
        self._bad_frames = 0

    def push(self, response: SignalResponse) -> None:
        """Queue a message. Over the limit the client is cut off and nothing more is kept."""
        if self._closing or self._overflowed:
            return
        frame = self._codec.write(response)
        full = len(self._frames) >= MAX_QUEUED_FRAMES
        if self._frames and (full or self._bytes + len(frame) > MAX_QUEUED_BYTES):
            self._overflowed = True
            self._frames.clear()
            self._scope.cancel()
        else:
            self._frames.append(frame)
            self._bytes += len(frame)
        self._wake.set()

    def close(self) -> None:
        """Close once everything queued is sent."""
        self._closing = True
        self._wake.set()

    def abandon(self) -> None:
        """Close at once: the client is elsewhere, and what waits here is for nobody."""
        self._abandoned = True
        self._frames.clear()
        self._scope.cancel()

    async def run(self, on_request: Callable[[SignalRequest], None]) -> None:
        """Carry messages both ways until either side is done."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._read, on_request)
                    await self._write()
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish()

    async def _read(self, on_request: Callable[[SignalRequest], None]) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._closing = True
                self._frames.clear()
                self._scope.cancel()
                return
            frame = message.get("bytes")
            try:
                request = self._codec.read(frame if frame is not None else message["text"])
            except BadFrame as error:
                self._bad_frames += 1
                log.debug("bad signal frame", reason=str(error))
                if self._bad_frames > MAX_BAD_FRAMES:
                    self._overflowed = True
                    self._scope.cancel()
                    return
                continue
            on_request(request)

    async def _write(self) -> None:
        while not self._overflowed:
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame)
                if not await self._send(frame):
                    return
            if self._closing:
                return
            self._wake = anyio.Event()
            await self._wake.wait()

    async def _send(self, frame: bytes | str) -> bool:
        try:
            if isinstance(frame, bytes):
                await self._websocket.send_bytes(frame)
            else:
                await self._websocket.send_text(frame)
        except (WebSocketDisconnect, RuntimeError):
            return False
        return True

    async def _finish(self) -> None:
        if self._abandoned:
            self._abort()
            return
        if self._overflowed:
            log.info("client cut off: it does not read, or sends what can't be read")
            self._abort()
            return
        with anyio.move_on_after(CLOSE_TIMEOUT) as late:
            try:
                await self._websocket.close(NORMAL_CLOSURE)
            except (WebSocketDisconnect, RuntimeError):
                return
        if late.cancelled_caught:
            self._abort()

    def _abort(self) -> None:
        """Drop the connection with what waits in it; a client that does not read would hold it
        open else."""
        abort = self._websocket.scope.get("extensions", {}).get("fairlead.abort")
        if abort is not None:
            abort()
