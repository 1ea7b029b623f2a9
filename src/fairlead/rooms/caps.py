"""How good a picture each subscriber may get: what it asks for, under the caps that hold for it."""

from __future__ import annotations

from livekit.protocol.models import TrackInfo, TrackSource

from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.room import Room, Track
from fairlead.rooms.session import Session

BEST = 2
"""Quality of the highest layer; what the node sends unless told otherwise."""


def ask(ctx: Context, session: Session, track: Track, quality: int | None) -> None:
    """A client asks for a layer of a track that it hears; None pauses it."""
    session.asked[track.sid] = quality
    _tell(ctx, session, track, ctx.room_of(session))


def started(ctx: Context, session: Session, track: Track) -> None:
    """The node sends a track from now on, as well as it can."""
    session.shown[track.sid] = BEST
    _tell_news(ctx, session, track, ctx.room_of(session))


def review(ctx: Context, room: Room) -> None:
    """Caps of a room changed: tell the node what is different now."""
    for session in room.sessions.values():
        for sid in session.heard:
            if sid in room.tracks:
                _tell_news(ctx, session, room.tracks[sid], room)


def info_of(track: Track) -> TrackInfo | None:
    """A track as its publisher describes it."""
    if isinstance(track.publisher, Session):
        publication = track.publisher.publications.by_sid.get(track.sid)
        return publication.info if publication is not None else None
    return next((info for info in track.publisher.info.tracks if info.sid == track.sid), None)


def _tell_news(ctx: Context, session: Session, track: Track, room: Room) -> None:
    if track.kind == "video" and _allowed(session, track, room) != session.shown.get(track.sid):
        _tell(ctx, session, track, room)


def _tell(ctx: Context, session: Session, track: Track, room: Room) -> None:
    quality = session.shown[track.sid] = _allowed(session, track, room)
    ctx.out.tell(node.SetQuality(participant=session.number, track=track.sid, quality=quality))


def _allowed(session: Session, track: Track, room: Room) -> int | None:
    asked = session.asked.get(track.sid, BEST)
    heights = [h for h in (room.video_height, session.device.receive_height) if h]
    return None if asked is None else min(asked, _cap(track, min(heights, default=0)))


def _cap(track: Track, height: int) -> int:
    """The best layer of a camera whose shorter side is at most `height` pixels; the lowest if none
    is. Where sizes are not told, and of a shared screen, which has to be read, any."""
    info = info_of(track)
    if not height or info is None or info.source == TrackSource.SCREEN_SHARE:
        return BEST
    sizes = [
        (layer.quality, min(layer.width, layer.height))
        for layer in info.layers
        if layer.width and layer.height
    ]
    fitting = [quality for quality, size in sizes if size <= height]
    return max(fitting, default=0) if sizes else BEST
