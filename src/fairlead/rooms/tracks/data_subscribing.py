"""Who hears which data track, under which handle, and what the node is told of it.

A client hears a track from the moment that it is told the track's handle; nothing is negotiated.
"""

from __future__ import annotations

from livekit.protocol.rtc import UpdateDataSubscription

from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.datatrack import DataTrack
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import permitting


def update(ctx: Context, session: Session, asked: UpdateDataSubscription) -> None:
    """A client asks for tracks, or to be spared them. One that asks waits for the handle: it is
    told even of those that it hears already. A track that is not there may be about to come."""
    room = ctx.room_of(session)
    for one in asked.updates:
        wish(room, session, one.track_sid, one.subscribe)
        track = room.data_tracks.get(one.track_sid)
        if track is not None:
            review(ctx, room, session, track)
            _rerecord(ctx, room, session)
        if one.track_sid in session.data.heard:
            _tell_later(ctx, session)


def wish(room: Room, session: Session, sid: str, subscribe: bool) -> None:
    """Keep in mind what a client asks for; of too many, the oldest for a track that is not there
    gives way."""
    wishes = session.data.wishes
    if sid not in wishes and len(wishes) >= defaults.MAX_DATA_WISHES:
        stale = next((old for old in wishes if old not in room.data_tracks), None)
        if stale is None:
            return
        del wishes[stale]
    wishes[sid] = subscribe


def review_session(ctx: Context, room: Room, session: Session) -> None:
    """Decide anew about every data track of the room."""
    for track in list(room.data_tracks.values()):
        review(ctx, room, session, track)


def review_publisher(ctx: Context, room: Room, publisher: Session | RemoteParticipant) -> None:
    """Decide anew who hears a publisher's data tracks."""
    for track in [t for t in room.data_tracks.values() if t.publisher is publisher]:
        for session in list(room.sessions.values()):
            review(ctx, room, session, track)


def refill(ctx: Context, session: Session) -> None:
    """It may hear fewer tracks than its limit now: those that waited come."""
    if session.data.over_limit and len(session.data.heard) < defaults.MAX_DATA_HEARD:
        session.data.over_limit = False
        review_session(ctx, ctx.room_of(session), session)


def review(ctx: Context, room: Room, session: Session, track: DataTrack) -> None:
    """Decide whether a session hears a track, and start or end it."""
    data = session.data
    wished = data.wishes.get(track.sid, session.join.auto_subscribe_data)
    if not permitting.hears(ctx, session, track, wished=wished, refused=data.refused):
        end(ctx, room, session, track)
    elif track.sid in data.heard:
        return
    elif len(data.heard) >= defaults.MAX_DATA_HEARD:
        data.over_limit = True
    else:
        handle = data.start(track.sid)
        track.subscribers.add(session.number)
        if _known(ctx, room, track):
            ctx.out.tell(
                node.SubscribeData(participant=session.number, track=track.sid, handle=handle)
            )
        _tell_later(ctx, session)
        _rerecord(ctx, room, session)


def end(
    ctx: Context, room: Room, session: Session, track: DataTrack, forgotten: bool = False
) -> None:
    """A session hears a track no more. ``forgotten``: the node knows nothing of it any more."""
    track.subscribers.discard(session.number)
    if not session.data.stop(track.sid):
        return
    if not forgotten:
        ctx.out.tell(node.Unsubscribe(participant=session.number, track=track.sid))
    _tell_later(ctx, session)
    _rerecord(ctx, room, session)


def add_track(ctx: Context, room: Room, track: DataTrack) -> None:
    """A track is there: everyone who may and wants to hears it."""
    room.data_tracks[track.sid] = track
    ctx.touch(room)
    for session in list(room.sessions.values()):
        review(ctx, room, session, track)


def remove_track(ctx: Context, room: Room, sid: str, *, forgotten: bool = True) -> None:
    """A track ended in a room. Its owner tells the node, unless the node goes on with it
    (``forgotten`` is false): it is in another room."""
    track = room.data_tracks.pop(sid, None)
    if track is None:
        return
    ctx.touch(room)
    for session in room.sessions.values():
        session.data.refused.discard(sid)
        end(ctx, room, session, track, forgotten)


def repeat(ctx: Context, session: Session) -> None:
    """A client that came back may not have heard which handles it has, or what it may not hear."""
    room = ctx.room_of(session)
    for sid in sorted(session.data.refused & room.data_tracks.keys()):
        permitting.tell(ctx, session, room.data_tracks[sid], allowed=False)
    if session.data.heard:
        _tell_later(ctx, session)


def tell(ctx: Context, session: Session) -> None:
    """Tell a client the handles of all that it hears, if it has to know: after the step told it of
    the tracks."""
    if not session.data.untold or not session.connected:
        return
    session.data.untold = False
    tracks = ctx.room_of(session).data_tracks
    handles = {
        handle: {
            "publisher_identity": tracks[sid].publisher.identity,
            "publisher_sid": tracks[sid].publisher.sid,
            "track_sid": sid,
        }
        for sid, handle in session.data.heard.items()
    }
    ctx.out.signal(session.number, data_track_subscriber_handles={"sub_handles": handles})


def _known(ctx: Context, room: Room, track: DataTrack) -> bool:
    """Whether the node knows the track; else it is told who hears it along with the track."""
    if isinstance(track.publisher, RemoteParticipant) and track.publisher.node != ctx.settings.node:
        return track.sid in room.meshed
    return bool(track.stream)


def _tell_later(ctx: Context, session: Session) -> None:
    session.data.untold = True
    ctx.settle_later(session)


def _rerecord(ctx: Context, room: Room, session: Session) -> None:
    """What a client asked for stands in its record: another edge may have to go on with it."""
    if session.data.recorded != session.data.asked_for and session.number in room.sessions:
        session.data.recorded = session.data.asked_for
        ctx.touch(room).rerecord[session.number] = session
