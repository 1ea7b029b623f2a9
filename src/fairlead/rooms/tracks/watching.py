"""How large each session sees each picture, and which pictures matter most to it."""

from __future__ import annotations

from livekit.protocol.models import TrackSource
from livekit.protocol.rtc import StreamState, UpdateTrackSettings

from fairlead.policy.overload import BEST
from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.state.rendition import track_sid
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.state.session import PictureSetting, Session
from fairlead.rooms.state.timers import Key
from fairlead.rooms.tracks.caps import cap, enough, info_of, sizes_of

SPEAKER_PRIORITY = 1
SCREEN_PRIORITY = 2
CLIENT_PRIORITY = 255
"""Less the client's own number for a track, of which 1 is the first."""
MAX_FPS = 255
"""What the node takes; who asks for more gets all."""
SPEAKER_HOLD = 5.0
"""Seconds that the picture of somebody who stopped speaking still comes first: a pause for breath
must not change everybody's layers."""


def ask(ctx: Context, session: Session, update: UpdateTrackSettings) -> None:
    """A client says how it shows its pictures."""
    room = ctx.room_of(session)
    for sid in update.track_sids:
        track = room.tracks.get(sid)
        expected = sid in session.heard or sid in session.unfit
        if track is None or not expected or track.kind != "video":
            continue
        quality = None if update.disabled else _quality(session, track, update)
        session.picture_settings[sid] = PictureSetting(
            quality=quality, priority=update.priority, fps=min(update.fps, MAX_FPS)
        )
        if sid in session.heard:
            _tell(ctx, room, session, track)


def begin(ctx: Context, room: Room, session: Session, track: Track) -> None:
    """The node begins to send a track to a session: what was asked for it before holds."""
    session.pictures_told[track.sid] = _usual(session, track)
    _tell_news(ctx, room, session, track)


def review(ctx: Context, room: Room) -> None:
    """What a picture may be at most changed in a room: tell the node what is different now."""
    for session in room.sessions.values():
        review_session(ctx, room, session)


def review_session(ctx: Context, room: Room, session: Session) -> None:
    """The same for what one session gets."""
    for sid in session.heard:
        if sid in room.tracks:
            _tell_news(ctx, room, session, room.tracks[sid])


def hear(ctx: Context, room: Room, person: str) -> None:
    """Somebody began to speak, or stopped."""
    key: Key = ("talk", person)
    if room.speakers.level(person)[1]:
        ctx.timers.drop(key)
        if person not in room.talkers:
            room.talkers.add(person)
            _tell_all(ctx, room, person)
    elif person in room.talkers and not ctx.timers.waits(key):
        ctx.timers.set(key, ctx.now + SPEAKER_HOLD)


def fall_silent(ctx: Context, person: str) -> None:
    """Somebody stopped speaking a while ago."""
    for room in ctx.rooms.values():
        if person in room.talkers:
            room.talkers.discard(person)
            _tell_all(ctx, room, person)


def stream_state(ctx: Context, session: Session, event: node.StreamState) -> None:
    """A picture pauses for lack of room, or goes on."""
    track = ctx.room_of(session).tracks.get(track_sid(event.track))
    if track is None:
        return
    state = StreamState.PAUSED if event.paused else StreamState.ACTIVE
    told = {"participant_sid": track.publisher.sid, "track_sid": track.sid, "state": state}
    ctx.out.signal(session.number, stream_state_update={"stream_states": [told]})


def _quality(session: Session, track: Track, update: UpdateTrackSettings) -> int:
    """The smallest layer at least as large as asked for, by the shorter side."""
    if not update.width or not update.height:
        return min(update.quality, BEST)
    info = info_of(track)
    wanted = min(update.width, update.height)
    sizes = sorted(sizes_of(info, session.heard.get(track.sid))) if info is not None else []
    return next((quality for size, quality in sizes if size >= wanted), BEST)


def _tell_all(ctx: Context, room: Room, person: str) -> None:
    pictures = [t for t in room.tracks.values() if t.publisher.sid == person and t.kind == "video"]
    for track in pictures:
        for number in sorted(track.subscribers):
            session = ctx.sessions.get(number)
            if session is not None:
                _tell(ctx, room, session, track)


def _tell_news(ctx: Context, room: Room, session: Session, track: Track) -> None:
    told = session.pictures_told.get(track.sid) or _usual(session, track)
    if track.kind == "video" and _due(room, session, track) != told:
        _tell(ctx, room, session, track)


def _tell(ctx: Context, room: Room, session: Session, track: Track) -> None:
    session.pictures_told[track.sid] = due = _due(room, session, track)
    ctx.out.tell(due)


def _usual(session: Session, track: Track) -> node.SetQuality:
    """What the node does unless told otherwise."""
    name = session.heard[track.sid]
    return node.SetQuality(participant=session.number, track=name, quality=BEST)


def _due(room: Room, session: Session, track: Track) -> node.SetQuality:
    """What a session should have of a track."""
    asked = session.picture_settings.get(track.sid, PictureSetting())
    quality = asked.quality
    if quality is not None:
        quality = min(quality, cap(room, session, track))
    return node.SetQuality(
        participant=session.number,
        track=session.heard[track.sid],
        quality=quality,
        priority=_priority(room, asked, track),
        fps=enough(session, track, asked.fps),
    )


def _priority(room: Room, asked: PictureSetting, track: Track) -> int:
    if asked.priority:
        return CLIENT_PRIORITY - min(asked.priority, CLIENT_PRIORITY - SCREEN_PRIORITY - 1)
    info = info_of(track)
    if info is not None and info.source == TrackSource.SCREEN_SHARE:
        return SCREEN_PRIORITY
    return SPEAKER_PRIORITY if track.publisher.sid in room.talkers else 0
