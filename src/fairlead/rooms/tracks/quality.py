"""Who is told how well whom is connected: everyone of itself and of those it hears, on a change."""

from __future__ import annotations

from livekit.protocol.models import ConnectionQuality
from livekit.protocol.rtc import ConnectionQualityInfo

from fairlead.protocol.node import Figures
from fairlead.rooms.context import Context
from fairlead.rooms.state.grading import SCORES, grade
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import overload

SCORE_PROTOCOL = 5
"""From here on clients know of quality."""
LOST_PROTOCOL = 11
"""From here on clients know that it may be lost."""


def report(ctx: Context, figures: list[Figures]) -> None:
    """The node reports: grade everyone, and tell who may know."""
    rooms: dict[str, Room] = {}
    for one in figures:
        session = ctx.sessions.get(one.participant)
        if session is None or not session.active:
            continue
        room = rooms[session.room] = ctx.room_of(session)
        overload.report(ctx, session, one)
        if session.grade.take(grade(one)):
            ctx.touch(room).rerecord[session.number] = session
    for room in rooms.values():
        for session in room.sessions.values():
            _tell(ctx, room, session)


def _tell(ctx: Context, room: Room, session: Session) -> None:
    """What a session does not know yet of itself and of those it hears."""
    if session.protocol < SCORE_PROTOCOL or not session.active:
        return
    known = {session.sid: _of_itself(session.grade.quality)}
    for sid in session.heard:
        track = room.tracks.get(sid)
        if track is not None:
            known[track.publisher.sid] = _of_other(session, track.publisher.quality)
    news = {sid: told for sid, told in known.items() if session.qualities.get(sid) != told}
    session.qualities = known
    if news:
        ctx.out.signal(
            session.number,
            connection_quality={
                "updates": [
                    ConnectionQualityInfo(
                        participant_sid=sid, quality=quality, score=SCORES[quality]
                    )
                    for sid, quality in news.items()
                ]
            },
        )


def _of_itself(quality: ConnectionQuality) -> ConnectionQuality:
    """A client knows by itself when it is cut off, and joins anew if it hears so from us."""
    return ConnectionQuality.POOR if quality == ConnectionQuality.LOST else quality


def _of_other(session: Session, quality: ConnectionQuality) -> ConnectionQuality:
    return _of_itself(quality) if session.protocol < LOST_PROTOCOL else quality
