"""Who hears which track: wishes, permissions, and what the node is told of it."""

from __future__ import annotations

from livekit.protocol.rtc import SubscriptionPermission

from fairlead.protocol import node
from fairlead.protocol.sdp import MediaSection
from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import codecs, data_subscribing, failing, permitting, watching


def wish(ctx: Context, session: Session, tracks: list[str], subscribe: bool) -> None:
    """A client (or the API for it) asks for tracks, or to be spared them."""
    room = ctx.room_of(session)
    for sid in tracks:
        if sid not in session.wishes and len(session.wishes) >= defaults.MAX_WISHES:
            # The oldest wish for a track that is not there gives way.
            stale = next((old for old in session.wishes if old not in room.tracks), None)
            if stale is None:
                return
            del session.wishes[stale]
        session.wishes[sid] = subscribe
        track = room.tracks.get(sid)
        if track is not None:
            review(ctx, room, session, track)
        elif subscribe:
            failing.expect(ctx, session, sid)


def review_session(ctx: Context, room: Room, session: Session) -> None:
    """Decide anew about every track of the room."""
    for track in list(room.tracks.values()):
        review(ctx, room, session, track)
    data_subscribing.review_session(ctx, room, session)


def refill(ctx: Context, session: Session) -> None:
    """It may hear fewer tracks than its limit now: those that waited come, oldest first."""
    data_subscribing.refill(ctx, session)
    if session.over_limit:
        session.over_limit = False
        review_session(ctx, ctx.room_of(session), session)


def review_track(ctx: Context, room: Room, track: Track) -> None:
    """Decide anew who hears a track."""
    for session in list(room.sessions.values()):
        review(ctx, room, session, track)


def review(ctx: Context, room: Room, session: Session, track: Track) -> None:
    """Decide whether a session hears a track, and start or end it."""
    wished = session.wishes.get(track.sid, session.join.auto_subscribe)
    if permitting.hears(ctx, session, track, wished=wished, refused=session.refused):
        if track.sid not in session.wanted and _full(ctx, room, session, track):
            session.over_limit = True
        elif track.sid not in session.wanted:
            session.wanted[track.sid] = None
            session.lines.want(track.sid, track.kind)
            ctx.settle_later(session)
    else:
        end(ctx, room, session, track)


def end(ctx: Context, room: Room, session: Session, track: Track, gone: bool = False) -> None:
    """A session hears a track no more. ``gone``: the node forgot the track already."""
    if gone:
        session.refused.discard(track.sid)
    if track.sid not in session.wanted:
        return
    del session.wanted[track.sid]
    session.lines.unwant(track.sid)
    track.subscribers.discard(session.number)
    if room.first_hearers.get(track.sid) == session.number:
        del room.first_hearers[track.sid]
    codecs.forget(ctx, room, session, track)
    name = session.heard.pop(track.sid, None)
    if name is not None and not gone:
        ctx.out.tell(node.Unsubscribe(participant=session.number, track=name))
    session.pictures_told.pop(track.sid, None)
    if gone:
        session.picture_settings.pop(track.sid, None)
    ctx.settle_later(session)
    ctx.hush(session, [track.publisher.sid], room)


def start(
    ctx: Context, session: Session, carried: dict[str, str], sections: list[MediaSection]
) -> None:
    """Descriptions were exchanged: have the node send tracks on these m-lines (mid to track), of
    which ``sections`` are the client's."""
    takes = {section.mid: section.codecs for section in sections}
    room = ctx.room_of(session)
    for mid, sid in carried.items():
        track = room.tracks.get(sid)
        if track is not None:
            session.takes[sid] = takes.get(mid, [])
            _silence(ctx, session, track)
            _fit(ctx, room, session, track, mid)


def refit(ctx: Context) -> None:
    """Codecs of tracks came or went: choose anew for everyone who hears them, or would."""
    refits, ctx.refits = ctx.refits, {}
    for name, sid in refits:
        room = ctx.rooms.get(name)
        track = room.tracks.get(sid) if room is not None else None
        if room is None or track is None:
            continue
        for session in [s for s in room.sessions.values() if sid in s.takes]:
            mid = session.line_of(sid)
            if mid is not None:
                _fit(ctx, room, session, track, mid)


def stop(ctx: Context, session: Session, tracks: list[str]) -> None:
    """The client closed the m-lines of these tracks; they are still wanted."""
    room = ctx.room_of(session)
    for sid in tracks:
        track = room.tracks.get(sid)
        if track is not None:
            codecs.forget(ctx, room, session, track)
            _silence(ctx, session, track)


def add_track(ctx: Context, room: Room, track: Track) -> None:
    """A track is live: everyone who may and wants to hears it."""
    room.tracks[track.sid] = track
    ctx.touch(room)
    review_track(ctx, room, track)


def remove_track(ctx: Context, room: Room, sid: str, *, forgotten: bool = True) -> None:
    """A track ended in a room. Its owner tells the node, unless the node goes on with it
    (``forgotten`` is false): it is in another room."""
    track = room.tracks.pop(sid, None)
    if track is None:
        return
    ctx.touch(room)
    room.speakers.forget(track.publisher.sid, sid)
    watching.hear(ctx, room, track.publisher.sid)
    room.first_hearers.pop(sid, None)
    for session in room.sessions.values():
        session.refused.discard(sid)
        end(ctx, room, session, track, gone=forgotten)
        track.subscribers.discard(session.number)


def set_permission(ctx: Context, session: Session, permission: SubscriptionPermission) -> None:
    """A publisher says who may hear it."""
    room = ctx.room_of(session)
    session.permission = permission
    ctx.touch(room).rerecord[session.number] = session
    review_publisher(ctx, room, session)


def review_publisher(ctx: Context, room: Room, publisher: Session | RemoteParticipant) -> None:
    """Decide anew who hears a publisher's tracks."""
    for track in [t for t in room.tracks.values() if t.publisher is publisher]:
        review_track(ctx, room, track)
    data_subscribing.review_publisher(ctx, room, publisher)


def heard_elsewhere(ctx: Context, room: Room, tracks: list[str]) -> None:
    """Another node's people hear tracks of ours."""
    for sid in tracks:
        track = room.tracks.get(sid)
        if track is not None and isinstance(track.publisher, Session):
            _first_subscriber(ctx, track.publisher, sid)


def _fit(ctx: Context, room: Room, session: Session, track: Track, mid: str) -> None:
    """Have the node send a session a track in the codec that suits it best."""
    name = codecs.choose(ctx, room, session, track)
    if name == session.heard.get(track.sid):
        return
    _silence(ctx, session, track)
    if name is None:
        return
    session.heard[track.sid] = name
    track.subscribers.add(session.number)
    ctx.out.tell(
        node.Subscribe(participant=session.number, transport=session.receiving, mid=mid, track=name)
    )
    watching.begin(ctx, room, session, track)
    _tell_publisher(ctx, room, session, track)


def _silence(ctx: Context, session: Session, track: Track) -> None:
    """The node stops sending a session a track, unless that ended in this codec."""
    name = session.heard.pop(track.sid, None)
    if name is None:
        return
    track.subscribers.discard(session.number)
    if name in track.renditions:
        ctx.out.tell(node.Unsubscribe(participant=session.number, track=name))


def _full(ctx: Context, room: Room, session: Session, track: Track) -> bool:
    """Whether the session hears as many tracks of this kind as it may."""
    most = ctx.settings.most_audio if track.kind == "audio" else ctx.settings.most_video
    heard = (room.tracks.get(sid) for sid in session.wanted)
    return most > 0 and sum(one is not None and one.kind == track.kind for one in heard) >= most


def _tell_publisher(ctx: Context, room: Room, session: Session, track: Track) -> None:
    if isinstance(track.publisher, Session):
        _first_subscriber(ctx, track.publisher, track.sid)
    elif track.sid not in room.first_hearers:
        room.first_hearers[track.sid] = session.number
        ctx.touch(room).rerecord[session.number] = session


def _first_subscriber(ctx: Context, publisher: Session, sid: str) -> None:
    publication = publisher.publications.by_sid.get(sid)
    if publication is not None and not publication.heard:
        publication.heard = True
        ctx.out.signal(publisher.number, track_subscribed={"track_sid": sid})
