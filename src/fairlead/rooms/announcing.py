"""What the operator's servers hear of a room: LiveKit's webhook events."""

from __future__ import annotations

from typing import Any, Literal

from livekit.protocol.models import ParticipantInfo
from livekit.protocol.webhook import WebhookEvent

from fairlead.rooms.context import Context
from fairlead.rooms.state.outputs import Announced
from fairlead.rooms.state.publication import Publication
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session

RoomEvent = Literal["room_started", "room_finished"]
ParticipantEvent = Literal[
    "participant_joined", "participant_left", "participant_connection_aborted"
]
TrackEvent = Literal["track_published", "track_unpublished"]


def room(ctx: Context, of: Room, what: RoomEvent) -> None:
    """A room opened or closed, everywhere."""
    _announce(ctx, of, what)


def participant(ctx: Context, of: Room, what: ParticipantEvent, info: ParticipantInfo) -> None:
    """Someone is connected, left, or left without ever having been connected."""
    _announce(ctx, of, what, participant=info)


def track(ctx: Context, of: Room, what: TrackEvent, session: Session, track: Publication) -> None:
    """The first packet of a track came, or it ended."""
    who = ParticipantInfo(sid=session.sid, identity=session.identity, name=session.info.name)
    _announce(ctx, of, what, participant=who, track=track.info)


def _announce(ctx: Context, of: Room, what: str, **details: Any) -> None:
    if not ctx.settings.webhooks:
        return
    event = WebhookEvent(
        event=what,
        id=ctx.ids.sid("EV_"),
        created_at=int(ctx.now),
        room=of.info() if of.records.exists else None,
        **details,
    )
    ctx.out.add(Announced(event=event))
