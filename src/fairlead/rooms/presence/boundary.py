"""Where a room may be: whom its set of regions keeps out, and what the network is told of it.

What a set means is `fairlead.policy.regions`' to say; how edges agree on one is in `records`.
"""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason

from fairlead.policy import regions as policy
from fairlead.policy.grants import Denied
from fairlead.policy.regions import BadRegions, RegionSet
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.room import Room
from fairlead.types import NodeRecord


class Outside(Exception):
    """A room may not be at this edge; its text is one plain sentence without an end."""


def asked(metadata: str) -> RegionSet:
    """What a room's metadata asks for. Raises `Denied` (400) if that can't be understood."""
    try:
        return policy.from_metadata(metadata)
    except BadRegions as wrong:
        raise Denied(f"the token's roomConfig can't be used: {wrong}", 400) from None


def of_new(ctx: Context, name: str, wanted: RegionSet) -> RegionSet:
    """The set of a room that would open now, of which its creator asks ``wanted``."""
    return policy.intersect(wanted, policy.ruled(ctx.settings.rules, name))


def check(ctx: Context, name: str, regions: RegionSet) -> None:
    """Raises `Outside` unless this edge may serve a room of that set."""
    if not regions:
        return
    here = ctx.settings.region
    if here not in regions:
        raise Outside(policy.outside(name, regions, here, ctx.region_of.values()))
    sets = ctx.region_sets
    if regions not in sets and len(sets) >= defaults.MAX_REGION_SETS:
        raise Outside(
            f"room {name!r} has a set of regions that is new to this edge, "
            f"which has {len(sets)} already: use one of those"
        )


def enforce(ctx: Context, room: Room) -> None:
    """Put everyone out if the room may no longer be here."""
    if not room.sessions or policy.allows(room.regions, ctx.settings.region):
        return
    try:
        check(ctx, room.name, room.regions)
    except Outside as why:
        # The name of a room is its creator's text, so the sentence goes without it.
        reason = str(why).replace(f"room {room.name!r}", "the room", 1)
        ctx.happened("room_withdrawn", room, reason=reason)
    for session in list(room.sessions.values()):
        leaving.leave(ctx, session, DisconnectReason.PARTICIPANT_REMOVED)


def node_came(ctx: Context, record: NodeRecord) -> None:
    """Another node says where it is."""
    if record.node != ctx.settings.node:
        ctx.urls[record.node] = record.url
    if record.node != ctx.settings.node and ctx.region_of.get(record.node) != record.region:
        ctx.region_of[record.node] = record.region
        _review(ctx)


def node_went(ctx: Context, node: int) -> None:
    """Nobody says any more where a node is."""
    ctx.urls.pop(node, None)
    if node != ctx.settings.node and ctx.region_of.pop(node, None) is not None:
        _review(ctx)


def _review(ctx: Context) -> None:
    for room in ctx.rooms.values():
        if room.regions:
            ctx.touch(room)
