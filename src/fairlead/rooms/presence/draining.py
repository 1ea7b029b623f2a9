"""Draining: an edge that is to end takes no new sessions and sends those that it has elsewhere, a
batch at a time, so that the others are not stormed.

A client with one connection loses its websocket and resumes at another edge (decision 8); the
others are told to join anew, and where. SDKs come back to the address that they know, so one name
should stand before all edges (`docs/weak-networks.md`).
"""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest

from fairlead.policy.grants import Denied
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving, resuming

BATCH_S = 0.5
"""Seconds from one batch to the next."""


def drain(ctx: Context, rate: float | None, ending: bool) -> None:
    """Drain at ``rate`` sessions a second, because the node ends or for another reason; again it
    only changes these. None takes new sessions again: who was sent away stays away."""
    if rate is None:
        ctx.drain.on = False
        ctx.timers.drop(("drain", ""))
        return
    drain = ctx.drain
    drain.reason = DisconnectReason.SERVER_SHUTDOWN if ending else DisconnectReason.MIGRATION
    if not drain.on:
        drain.on, drain.moved = True, 0
    drain.rate = rate
    if not ctx.timers.waits(("drain", "")):
        step(ctx)


def step(ctx: Context) -> None:
    """Send the next batch away, rooms in a row so that each moves as one."""
    drain = ctx.drain
    if not drain.on:
        return
    batch = max(1, round(drain.rate * BATCH_S))
    here = [session for session in ctx.sessions.values() if not session.absence.sent_off]
    people = sorted(here, key=lambda s: (s.room, s.order))[:batch]
    for session in people:
        regions = ctx.elsewhere(ctx.room_of(session))
        if regions.regions and session.single and session.active and session.connected:
            resuming.send_off(ctx, session, drain.reason)
        else:
            action = LeaveRequest.RECONNECT
            leaving.leave(ctx, session, drain.reason, action=action, regions=regions)
    drain.moved += len(people)
    if ctx.sessions:
        ctx.timers.set(("drain", ""), ctx.now + BATCH_S)


def check(ctx: Context) -> None:
    """Raises `Denied` (503) while this edge drains."""
    if ctx.drain.on:
        raise Denied("this node takes no new sessions: it is being drained", 503)
