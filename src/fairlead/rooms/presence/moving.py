"""Moves a participant to another room over the connections that it has (MoveParticipant)."""

from __future__ import annotations

import msgspec
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from fairlead.policy.grants import Denied, Grants, VideoGrant
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.rooms import announcing
from fairlead.rooms.context import Context
from fairlead.rooms.presence import arriving, leaving
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import (
    backups,
    data_publishing,
    data_subscribing,
    publishing,
    subscribing,
)

MOVED_PROTOCOL = 16
"""From here on clients know that they can be moved."""


class CanNotMove(Exception):
    """A session that can't go to a room; its text is one plain sentence without an end."""


def move(ctx: Context, session: Session, destination: str) -> None:
    """Take a session to another room of this edge, its tracks with it. Raises `CanNotMove`."""
    grants = _regranted(ctx, session, destination)
    before = ctx.touch(ctx.room_of(session))
    _depart(ctx, before, session)
    arriving.replace_older(ctx, ctx.room(destination), session.identity)
    room = ctx.room(destination)
    arriving.open_room(ctx, room, arriving.info_of(ctx, grants), arriving.regions_of(grants))
    session.move(ctx.ids.sid("PA_"), ctx.now, grants)
    room.sessions[session.number] = session
    room.visited = True
    ctx.out.tell(node.MoveParticipant(participant=session.number, room=room.key, sid=session.sid))
    _carry(ctx, room, session)
    _tell(ctx, room, session)
    _arrive(ctx, room, session)
    leaving.watch_empty(ctx, room)
    leaving.watch_empty(ctx, before)


def _regranted(ctx: Context, session: Session, destination: str) -> Grants:
    if session.protocol < MOVED_PROTOCOL:
        raise CanNotMove(
            f"the client of {session.identity!r} speaks protocol {session.protocol} and can't be "
            f"moved: it takes {MOVED_PROTOCOL}"
        )
    if not session.active:
        raise CanNotMove(f"{session.identity!r} is not connected yet: try again in a second")
    if destination == session.room:
        raise CanNotMove(f"{session.identity!r} is in room {destination!r} already")
    video = session.grants.video or VideoGrant()
    grants = session.grants.replace(
        video=msgspec.structs.replace(video, room=destination), room_config="", room_preset=""
    )
    try:
        arriving.verdict(ctx, grants, Join(single=session.single, client=session.join.client))
    except Denied as why:
        raise CanNotMove(str(why)) from None
    return grants


def _depart(ctx: Context, room: Room, session: Session) -> None:
    """It and its tracks are in its room no more; the node goes on with its connections."""
    for publication in session.publications.by_sid.values():
        for rendition in publication.bound:
            ctx.out.tell(node.RemoveTrack(track=rendition.name))
        backups.forget(ctx, publication)
        if publication.live:
            subscribing.remove_track(ctx, room, publication.sid)
            announcing.track(ctx, room, "track_unpublished", session, publication)
    for track in list(room.tracks.values()):
        subscribing.end(ctx, room, session, track)
    data_publishing.depart(ctx, room, session)
    for data in list(room.data_tracks.values()):
        data_subscribing.end(ctx, room, session, data)
    room.sessions.pop(session.number)
    room.changed.pop(session.sid, None)
    room.rerecord.pop(session.number, None)
    leaving.pass_on_hearing(ctx, room, session)
    leaving.part(ctx, room, session, DisconnectReason.MIGRATION)
    ctx.count_later(room)


def _carry(ctx: Context, room: Room, session: Session) -> None:
    """Its tracks cross to the new room as other streams: whoever still has the old ones, because
    its edge has not heard of the move yet, hears nothing that is said in the new room."""
    for publication in session.publications.by_sid.values():
        for rendition in publication.bound:
            rendition.renew(ctx.new_stream)
            publishing.carry(ctx, room, session, publication, rendition)
    for data in session.data.published.values():
        data_publishing.carry(ctx, room, session, data)


def _tell(ctx: Context, room: Room, session: Session) -> None:
    info = session.snapshot()
    ctx.out.signal(
        session.number,
        room_moved={
            "room": room.info(),
            "token": arriving.new_token(ctx, session),
            "participant": info,
            "other_participants": room.shown_to(session.identity),
        },
    )


def _arrive(ctx: Context, room: Room, session: Session) -> None:
    ctx.changed(room, session)
    ctx.count_later(room)
    ctx.happened("participant_joined", room, participant=session.sid)
    copy = ParticipantInfo()
    copy.CopyFrom(session.info)
    announcing.participant(ctx, room, "participant_joined", copy)
    for publication in session.publications.live():
        announcing.track(ctx, room, "track_published", session, publication)
        subscribing.add_track(ctx, room, publishing.track_of(session, publication))
    for data in session.data.published.values():
        data_publishing.show(ctx, room, session, data)
    subscribing.review_session(ctx, room, session)
    ctx.settle_later(session)
