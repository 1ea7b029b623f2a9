"""An edge's rooms: who is where, who hears whom, and what everyone is told.

It decides and does nothing: no socket, clock or randomness. Each input is an event that happened;
each output is something to perform.
"""

from __future__ import annotations

from typing import assert_never

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest, SignalRequest

from fairlead.policy.grants import Grants
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.protocol.operation import PerformRpc
from fairlead.rooms import calling, operating, requests
from fairlead.rooms.context import Context
from fairlead.rooms.presence import (
    adopting,
    arriving,
    boundary,
    draining,
    forwarding,
    leaving,
    negotiating,
    others,
    resuming,
    simulating,
)
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.drain import Drain
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
from fairlead.rooms.state.outputs import Outbox, Output, Replied
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.settings import Ids, Settings, Signer
from fairlead.rooms.state.timers import Key
from fairlead.rooms.tracks import (
    backups,
    codecs,
    data_subscribing,
    dynacast,
    failing,
    publishing,
    quality,
    scene,
    subscribing,
    watching,
)
from fairlead.types import NodeRecord, ParticipantRecord, RoomRecord


class Rooms:
    """Every room that this edge knows of."""

    def __init__(self, settings: Settings, ids: Ids, sign: Signer) -> None:
        self._ctx = Context(settings, ids, sign)

    def handle(self, now: float, event: Input) -> list[Output]:
        """Take one event at ``now`` (Unix seconds that never go back)."""
        ctx = self._ctx
        ctx.now = max(now, ctx.now)
        ctx.out = Outbox()
        self._handle(event)
        self._finish()
        return ctx.out.outputs

    def deadline(self) -> float | None:
        """When `Ticked` is due; None if nothing waits."""
        return self._ctx.timers.deadline()

    def verdict(self, grants: Grants, join: Join) -> None:
        """Raises `fairlead.policy.grants.Denied` if this join would be refused now."""
        arriving.verdict(self._ctx, grants, join)

    @property
    def session_count(self) -> int:
        """Sessions of this edge."""
        return len(self._ctx.sessions)

    @property
    def drain(self) -> Drain:
        """How far it is emptied."""
        return self._ctx.drain

    @property
    def room_count(self) -> int:
        """Rooms known here, those that only other edges serve included."""
        return len(self._ctx.rooms)

    def _finish(self) -> None:
        ctx = self._ctx
        self._settle()
        while ctx.refits:
            # The node knows of every codec now.
            subscribing.refit(ctx)
            self._settle()
        ctx.tell_sets()
        unsettled, ctx.unsettled = ctx.unsettled, {}
        for session in unsettled.values():
            if session.number in ctx.sessions:
                subscribing.refill(ctx, session)
                negotiating.settle(ctx, session)
                data_subscribing.tell(ctx, session)

    def _settle(self) -> None:
        """Tell what is new in the rooms that were touched."""
        ctx = self._ctx
        forwarding.keep(ctx)
        backups.settle(ctx)
        forwarding.keep(ctx)
        for room in list(ctx.touched.values()):
            boundary.enforce(ctx, room)
            scene.settle(ctx, room)
        # Telling a room nothing new touches no other room, so one round is enough.
        for room in list(ctx.touched.values()):
            ctx.finish(room)
        ctx.touched.clear()

    def _handle(self, event: Input) -> None:
        ctx = self._ctx
        match event:
            case Joined() if event.join.reconnect:
                resuming.resume(ctx, event.session, event.grants, event.join)
            case Joined():
                arriving.join(ctx, event.session, event.grants, event.join)
                if event.session in ctx.sessions:
                    resuming.expect_ping(ctx, ctx.sessions[event.session])
            case Signalled():
                self._signalled(event.session, event.request)
            case SignalLost():
                resuming.signal_lost(ctx, event.session)
            case NodeSaid():
                self._node_said(event.event)
            case RecordCame(record=RoomRecord() as record):
                others.room_came(ctx, record)
            case RecordCame(record=ParticipantRecord() as record):
                others.participant_came(ctx, record)
            case RecordCame(record=NodeRecord() as record):
                boundary.node_came(ctx, record)
            case RecordCame():
                raise TypeError(f"no room keeps a record such as {event.record!r}")
            case NodeRecordWent():
                boundary.node_went(ctx, event.node)
            case RoomRecordWent():
                others.room_went(ctx, event.room, event.node)
            case ParticipantRecordWent():
                others.participant_went(ctx, event.room, event.node, event.sid)
            case Asked(operation=PerformRpc() as operation):
                calling.call(ctx, event.call, operation)
            case Asked():
                reply = operating.operate(ctx, event.operation)
                ctx.out.add(Replied(call=event.call, reply=reply))
            case Ticked():
                for key in ctx.timers.due(ctx.now):
                    self._due(key)
            case DrainAsked():
                draining.drain(ctx, event.rate, event.ending)
            case ShuttingDown():
                for session in list(ctx.sessions.values()):
                    leaving.leave(
                        ctx,
                        session,
                        DisconnectReason.SERVER_SHUTDOWN,
                        action=LeaveRequest.RECONNECT,
                    )
                forwarding.keep(ctx)
                for sid in list(ctx.parted):
                    leaving.erase(ctx, sid)
            case _:
                assert_never(event)

    def _signalled(self, number: int, request: SignalRequest) -> None:
        session = self._ctx.sessions.get(number)
        if session is None:
            if number in self._ctx.adoptions:
                adopting.take(self._ctx, number, request)
            return
        session.heard_at = self._ctx.now
        requests.take(self._ctx, session, request)

    def _node_said(self, event: node.Event) -> None:
        ctx = self._ctx
        match event:
            case node.TrackLive():
                publishing.go_live(ctx, event.track, event.mime)
            case node.StreamSource():
                session = ctx.sessions.get(event.participant)
                if session is not None:
                    publishing.source(ctx, session, event)
            case node.Levels():
                self._levels(event)
            case node.Quality():
                quality.report(ctx, event.participants)
            case node.Answered() | node.Offered() | node.NegotiationFailed():
                session = ctx.sessions.get(event.participant)
                if session is not None:
                    _negotiated(ctx, session, event)
            case node.Resumed():
                session = ctx.sessions.get(event.participant)
                if session is not None:
                    resuming.resumed(ctx, session, event)
                else:
                    adopting.greet(ctx, event.participant, event)
            case node.TransportState():
                session = ctx.sessions.get(event.participant)
                if session is not None:
                    self._transport(session, event)
            case node.CallAnswered():
                calling.answered(ctx, event)
            case node.StreamState():
                session = ctx.sessions.get(event.participant)
                if session is not None:
                    watching.stream_state(ctx, session, event)
            case node.TrackWanted():
                dynacast.needed(ctx, event.track, event.quality)
            case node.SubscriptionLive() | node.LinkReport() | node.Counters() | node.Fatal():
                pass  # links and measures are others' business
            case _:
                assert_never(event)

    def _transport(self, session: Session, event: node.TransportState) -> None:
        ctx = self._ctx
        match event.state:
            case "connected":
                if event.transport == session.primary and session.active:
                    resuming.speaks_again(ctx, session)
                elif event.transport == session.primary:
                    requests.activate(ctx, session)
            case "closed":
                # A client that leaves closes its connections before it says so.
                session.parting = DisconnectReason.MEDIA_FAILURE
                if session.connected:
                    ctx.timers.set(("departure", session.number), ctx.now + defaults.MEDIA_GRACE)
                else:
                    leaving.leave(ctx, session, session.parting)
            case "disconnected":
                if event.transport == session.primary:
                    resuming.fell_silent(ctx, session)

    def _levels(self, event: node.Levels) -> None:
        ctx = self._ctx
        changed: dict[str, dict[str, None]] = {}
        levels = {level.track: level for level in event.levels}
        for room in ctx.rooms.values():
            for sid in levels.keys() & room.tracks.keys():
                level, person = levels[sid], room.tracks[sid].publisher.sid
                room.speakers.hear(person, sid, level.level, level.active)
                changed.setdefault(room.name, {})[person] = None
        for name, people in changed.items():
            room = ctx.rooms[name]
            for person in people:
                watching.hear(ctx, room, person)
            for session in room.sessions.values():
                ctx.hush(session, list(people), room)

    def _due(self, key: Key) -> None:
        ctx = self._ctx
        what, subject = key
        if what == "parted":
            leaving.erase(ctx, str(subject))
            return
        if what == "drain":
            draining.step(ctx)
            return
        if what in ("rpc_ack", "rpc_response"):
            calling.expire(ctx, str(subject), what)
            return
        if what == "talk":
            watching.fall_silent(ctx, str(subject))
            return
        if what == "quality":
            dynacast.downgrade(ctx, str(subject))
            return
        if what == "return":
            backups.go_back(ctx, str(subject))
            return
        if what in ("room", "count", "wider"):
            room = ctx.rooms.get(str(subject))
            if what == "room":
                leaving.expire(ctx, str(subject))
            elif room is not None and what == "count":
                ctx.tell_room(room)
            elif room is not None:
                ctx.touch(room).mesh_regions = room.regions
            return
        if what == "adopt":
            adopting.give_up(ctx, int(subject))
            return
        session = ctx.sessions.get(int(subject))
        if session is None:
            return
        match what:
            case "join":
                leaving.leave(ctx, session, DisconnectReason.CONNECTION_TIMEOUT)
            case "departure":
                leaving.leave(ctx, session, session.parting, action=LeaveRequest.RECONNECT)
            case "speaker":
                simulating.fall_silent(ctx, session)
            case "missing":
                failing.give_up(ctx, ctx.room_of(session), session)
            case "unfit":
                codecs.give_up(ctx, ctx.room_of(session), session)
            case "refresh":
                arriving.refresh_token(ctx, session)
            case "qualities":
                dynacast.repeat(ctx, session)
            case "answer":
                negotiating.fail(ctx, session, "the client did not answer an offer in time")
            case "ping":
                resuming.check_ping(ctx, session)
            case "resume":
                resuming.give_up(ctx, session)


def _negotiated(
    ctx: Context, session: Session, event: node.Answered | node.Offered | node.NegotiationFailed
) -> None:
    match event:
        case node.Answered():
            negotiating.answered(ctx, session, event)
        case node.Offered():
            negotiating.offered(ctx, session, event)
        case node.NegotiationFailed():
            negotiating.failed(ctx, session, event)
