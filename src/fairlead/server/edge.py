"""The edge of a node: runs the rooms' decisions between clients, packet threads and cells.

It owns the sockets' side of every session, one timer, and the queue of records to write; what to
do is decided by `fairlead.rooms.rooms.Rooms`.
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Mapping
from typing import assert_never

import anyio
import structlog
from livekit.protocol.rtc import SignalRequest
from livekit.protocol.webhook import WebhookEvent
from starlette.websockets import WebSocket

from fairlead.cells.change import RecordGone, RecordPut
from fairlead.policy import tokens
from fairlead.policy.grants import Grants
from fairlead.protocol import join as joining
from fairlead.protocol import node as packets
from fairlead.protocol.join import Join
from fairlead.protocol.operation import AnyOperation, Reply
from fairlead.rooms.rooms import Rooms
from fairlead.rooms.state.inputs import (
    Asked,
    DrainAsked,
    Input,
    Joined,
    NodeRecordWent,
    NodeSaid,
    ParticipantRecordWent,
    RecordCame,
    RoomRecordWent,
    ShuttingDown,
    Signalled,
    SignalLost,
    Ticked,
)
from fairlead.rooms.state.outputs import (
    Announced,
    CloseSession,
    DeleteRecord,
    Happened,
    Output,
    PutRecord,
    Replied,
    SendSignal,
    TakeOver,
    Tell,
)
from fairlead.rooms.state.settings import Settings
from fairlead.server.edge_link import SignalLink
from fairlead.server.edge_records import RecordQueue
from fairlead.server.ports import Cells, PacketNode
from fairlead.server.state import DrainState
from fairlead.types import NodeRecord, ParticipantRecord, RegionSetsRecord, RoomRecord

SID_LENGTH = 12
DRAIN_RATE = 20.0
"""Sessions a second that a node sends away as it ends, or more for the bound below."""
DRAIN_TIMEOUT = 4.0
"""Seconds over which a node that ends sends its people away; who is left then goes at once."""
SHUTDOWN_TIMEOUT = 3.0
"""Seconds that records and goodbyes have to get out at the end."""
RETRY_DELAY = 1.0
"""Seconds before a record that could not be written is tried again."""

log = structlog.get_logger()


def steady_clock() -> Callable[[], float]:
    """Unix seconds that never jump: the time of day once, the monotonic clock from there on."""
    started, origin = time.time(), time.monotonic()
    return lambda: started + time.monotonic() - origin


class RandomIds:
    """Ids from the system's randomness."""

    _alphabet = string.ascii_letters + string.digits

    def sid(self, prefix: str) -> str:
        return prefix + "".join(secrets.choice(self._alphabet) for _ in range(SID_LENGTH))

    def token(self, size: int) -> bytes:
        return secrets.token_bytes(size)


class Edge:
    """One node's edge. ``listen`` hears every event of the node, after the rooms did, and
    ``limit`` the sets of regions that the rooms here have, at each change; ``announce`` hears what
    operators' servers shall hear."""

    def __init__(
        self,
        settings: Settings,
        *,
        node: PacketNode,
        cells: Cells,
        keys: Mapping[str, str],
        clock: Callable[[], float] | None = None,
        listen: Callable[[packets.Event], None] | None = None,
        limit: Callable[[RegionSetsRecord], None] | None = None,
        announce: Callable[[WebhookEvent], None] | None = None,
    ) -> None:
        self.settings = settings
        self._node = node
        self._cells = cells
        self._keys = keys
        self._clock = clock or steady_clock()
        self._listen = listen
        self._limit = limit
        self._announce = announce
        self._rooms = Rooms(settings, RandomIds(), self._sign)
        self._links: dict[int, SignalLink] = {}
        self._sessions = 0
        self._calls = 0
        self._replies: dict[int, Reply] = {}
        self._answered: dict[int, anyio.Event] = {}
        self._records = RecordQueue()
        self._armed: float | None = None
        self._rearm = anyio.Event()
        self._emptied = anyio.Event()
        self._nobody = anyio.Event()
        self._nobody.set()

    @property
    def session_count(self) -> int:
        """Sessions of clients here."""
        return self._rooms.session_count

    @property
    def room_count(self) -> int:
        """Rooms known here."""
        return self._rooms.room_count

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] | None = None) -> None:
        """Run until cancelled. Raises RuntimeError if a packet thread stopped."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear_node)
            tasks.start_soon(self._hear_cells)
            tasks.start_soon(self._write_records)
            tasks.start_soon(self._keep_time)
            if task_status is not None:
                task_status.started()

    async def stop(self) -> None:
        """Send everyone away to join again, and take this edge's records back. Call it while
        `run` runs."""
        self._emptied = anyio.Event()
        rate = max(DRAIN_RATE, self.session_count / DRAIN_TIMEOUT)
        self._handle(DrainAsked(rate=rate, ending=True))
        with anyio.move_on_after(DRAIN_TIMEOUT):
            if self.session_count:
                await self._emptied.wait()
        self._handle(ShuttingDown())
        with anyio.move_on_after(SHUTDOWN_TIMEOUT):
            await self._records.drained()
            await self._nobody.wait()

    def drain(self, rate: float | None) -> DrainState:
        """Send everyone elsewhere at ``rate`` sessions a second; None takes new sessions again."""
        before = self.drained.draining
        self._handle(DrainAsked(rate=rate))
        if self.drained.draining != before:
            log.info("draining" if rate is not None else "not draining", left=self.session_count)
        return self.drained

    @property
    def drained(self) -> DrainState:
        """How far this edge is emptied."""
        drain = self._rooms.drain
        return DrainState(draining=drain.on, moved=drain.moved, left=self.session_count)

    def verify(self, token: str) -> Grants:
        """What a token allows. Raises `fairlead.policy.grants.Denied`."""
        return tokens.verify(token, self._keys, self._clock())

    def admit(
        self, token: str, query: Mapping[str, str], needs_request: bool
    ) -> tuple[Grants, Join]:
        """Whether a join may come in. Raises `fairlead.policy.grants.Denied` or
        `fairlead.protocol.join.BadJoin`."""
        grants = self.verify(token)
        grants.require_join()
        request = joining.parse(query, needs_request)
        if not request.reconnect:
            self._rooms.verdict(grants, request)
        return grants, request

    async def serve(self, websocket: WebSocket, grants: Grants, request: Join) -> None:
        """Serve an accepted websocket to its end."""
        self._sessions += 1
        number = self._sessions
        link = self._links[number] = SignalLink(websocket, number)
        if self._nobody.is_set():
            self._nobody = anyio.Event()
        try:
            self._handle(Joined(session=number, grants=grants, join=request))
            await link.run(lambda said: self._hear(link, said))
        finally:
            current = self._links.get(link.session) is link
            if current:
                del self._links[link.session]
            if not self._links:
                self._nobody.set()
            if current:
                self._handle(SignalLost(session=link.session))

    def _hear(self, link: SignalLink, said: SignalRequest) -> None:
        if self._links.get(link.session) is link:
            self._handle(Signalled(session=link.session, request=said))

    async def operate(self, operation: AnyOperation) -> Reply:
        """Carry out what the API asks of this edge; it waits for participants' answers alone."""
        self._calls += 1
        call = self._calls
        self._answered[call] = anyio.Event()
        try:
            self._handle(Asked(call=call, operation=operation))
            await self._answered[call].wait()
            return self._replies.pop(call)
        finally:
            del self._answered[call]
            self._replies.pop(call, None)

    def tell(self, command: packets.Command) -> None:
        """Give the node a command that is not the rooms' (links, routes, emulation)."""
        self._node.handle(packets.encode(command))

    def _handle(self, event: Input) -> None:
        for output in self._rooms.handle(self._clock(), event):
            self._perform(output)
        if not self.session_count:
            self._emptied.set()
        deadline = self._rooms.deadline()
        if deadline is not None and (self._armed is None or deadline < self._armed):
            self._rearm.set()

    def _perform(self, output: Output) -> None:
        match output:
            case SendSignal():
                link = self._links.get(output.session)
                if link is not None:
                    link.push(output.response)
            case CloseSession():
                link = self._links.get(output.session)
                if link is not None:
                    link.close()
            case TakeOver():
                self._take_over(output.session, output.websocket)
            case Tell():
                self.tell(output.command)
            case PutRecord():
                self._records.put(output.record)
                if isinstance(output.record, RegionSetsRecord) and self._limit is not None:
                    self._limit(output.record)
            case DeleteRecord():
                self._records.delete(output.record)
            case Replied():
                waiting = self._answered.get(output.call)
                if waiting is not None:
                    self._replies[output.call] = output.reply
                    waiting.set()
            case Happened():
                _log(output)
            case Announced():
                if self._announce is not None:
                    self._announce(output.event)
            case _:
                assert_never(output)

    def _take_over(self, session: int, websocket: int) -> None:
        link = self._links.pop(websocket, None)
        if link is None:
            return  # lost by now; the rooms hear so
        old = self._links.get(session)
        link.session = session
        self._links[session] = link
        if old is not None:
            old.abandon()

    async def _hear_node(self) -> None:
        descriptor = self._node.fileno()
        while True:
            await anyio.wait_readable(descriptor)
            for data in self._node.drain():
                event = packets.decode(data)
                if isinstance(event, packets.Fatal):
                    raise RuntimeError(f"a packet thread stopped: {event.reason}")
                self._handle(NodeSaid(event=event))
                if self._listen is not None:
                    self._listen(event)

    async def _hear_cells(self) -> None:
        async for change in self._cells.changes():
            match change:
                case RecordPut(record=NodeRecord() | RoomRecord() | ParticipantRecord() as record):
                    self._handle(RecordCame(record=record))
                case RecordGone(kind="node"):
                    self._handle(NodeRecordWent(node=change.node))
                case RecordGone(kind="room"):
                    self._handle(RoomRecordWent(node=change.node, room=change.room))
                case RecordGone(kind="participant"):
                    self._handle(
                        ParticipantRecordWent(node=change.node, room=change.room, sid=change.sid)
                    )
                case _:
                    pass  # links are the controller's; a lost cell keeps its people

    async def _write_records(self) -> None:
        while True:
            await self._records.waiting()
            for write, record in self._records.take():
                while True:
                    try:
                        await (self._cells.put if write else self._cells.delete)(record)
                        break
                    except (OSError, TimeoutError) as error:
                        log.warning("a record could not be written", error=str(error))
                        await anyio.sleep(RETRY_DELAY)

    async def _keep_time(self) -> None:
        while True:
            self._rearm = anyio.Event()
            self._armed = deadline = self._rooms.deadline()
            if deadline is None:
                await self._rearm.wait()
                continue
            with anyio.move_on_after(deadline - self._clock()) as late:
                await self._rearm.wait()
            if late.cancelled_caught:
                self._handle(Ticked())

    def _sign(self, grants: Grants, now: float, ttl: int) -> str:
        return tokens.sign(grants, self._keys[grants.api_key], now, ttl)


def _log(event: Happened) -> None:
    details = {"participant": event.participant, "track": event.track, "reason": event.reason}
    # What a client did wrong may quote its candidates, so it stays below the info level.
    say = log.debug if event.what == "client_fault" else log.info
    say(event.what, room=event.room, **{k: v for k, v in details.items() if v})
