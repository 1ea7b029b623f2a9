"""Draining: an edge that is to end takes no new sessions and sends those that it has elsewhere, a
batch at a time, so that the others are not stormed.

A client is told to join anew, and where: SDKs come back to the address that they know, so one name
should stand before all edges (`docs/weak-networks.md`).
"""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest, RegionInfo, RegionSettings

from fairlead.policy import regions as policy
from fairlead.policy.grants import Denied
from fairlead.rooms import leaving
from fairlead.rooms.context import Context
from fairlead.rooms.room import Room

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
    people = sorted(ctx.sessions.values(), key=lambda s: (s.room, s.order))[:batch]
    for session in people:
        leaving.leave(
            ctx,
            session,
            drain.reason,
            action=LeaveRequest.RECONNECT,
            regions=elsewhere(ctx, ctx.room_of(session)),
        )
    drain.moved += len(people)
    if ctx.sessions:
        ctx.timers.set(("drain", ""), ctx.now + BATCH_S)


def check(ctx: Context) -> None:
    """Raises `Denied` (503) while this edge drains."""
    if ctx.drain.on:
        raise Denied("this node takes no new sessions: it is being drained", 503)


def elsewhere(ctx: Context, room: Room) -> RegionSettings:
    """The other nodes where a room may be, as clients read it."""
    places = [
        RegionInfo(region=ctx.region_of[node], url=url)
        for node, url in sorted(ctx.urls.items())
        if node in ctx.region_of and policy.allows(room.regions, ctx.region_of[node])
    ]
    return RegionSettings(regions=places)
