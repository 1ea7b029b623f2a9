"""What a client is told of subscriptions that come to nothing."""

from __future__ import annotations

from livekit.protocol.models import SubscriptionError

from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.timers import Key


def expect(ctx: Context, session: Session, sid: str) -> None:
    """A client asked for a track that is not there: it may be about to come."""
    session.missing[sid] = ctx.now + defaults.TRACK_TIMEOUT
    key: Key = ("missing", session.number)
    if not ctx.timers.waits(key):
        ctx.timers.set(key, session.missing[sid])


def give_up(ctx: Context, room: Room, session: Session) -> None:
    """The time of some tracks is over; those that are still asked for and not there are told."""
    for sid in [sid for sid, until in session.missing.items() if until <= ctx.now]:
        del session.missing[sid]
        if session.wishes.get(sid) and sid not in room.tracks:
            tell(ctx, session, sid, SubscriptionError.SE_TRACK_NOTFOUND)
    if session.missing:
        ctx.timers.set(("missing", session.number), min(session.missing.values()))


def tell(ctx: Context, session: Session, sid: str, error: SubscriptionError) -> None:
    """Tell a client why a track that it should hear does not come."""
    ctx.out.signal(session.number, subscription_response={"track_sid": sid, "err": error})
