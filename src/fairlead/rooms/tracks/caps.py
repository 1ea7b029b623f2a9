"""How good a picture a subscriber may get at most, whatever it asks for."""

from __future__ import annotations

from livekit.protocol.models import TrackInfo, TrackSource

from fairlead.policy.overload import BEST
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.state.session import Session


def cap(room: Room, session: Session, track: Track) -> int:
    """The best layer of a camera whose shorter side the room's scene and the session's device bear,
    the lowest if none is, and no more than its decoder keeps up with. Where sizes are not told any,
    and of a shared screen, which has to be read."""
    height = min([h for h in (room.video_height, session.device.receive_height) if h], default=0)
    info = info_of(track)
    if info is None or info.source == TrackSource.SCREEN_SHARE:
        return BEST
    most = session.decoding.step.quality
    sizes = sizes_of(info, session.heard.get(track.sid)) if height else []
    fitting = [quality for size, quality in sizes if size <= height]
    return min(most, max(fitting, default=0) if sizes else BEST)


def enough(session: Session, track: Track, asked: int) -> int:
    """Pictures a second of a track that are enough for a session, 0 for all: what it asked for, and
    no more of a camera than its decoder keeps up with."""
    info = info_of(track)
    screen = info is not None and info.source == TrackSource.SCREEN_SHARE
    most = 0 if screen else session.decoding.step.fps
    return min([fps for fps in (asked, most) if fps], default=0)


def sizes_of(info: TrackInfo, name: str | None = None) -> list[tuple[int, int]]:
    """The shorter side in pixels and the quality of each layer whose size is told, in the
    rendition with this name; None is the first."""
    backup = info.codecs[1] if name not in (None, info.sid) and len(info.codecs) > 1 else None
    told = backup.layers if backup is not None and backup.layers else info.layers
    return [
        (min(layer.width, layer.height), layer.quality)
        for layer in told
        if layer.width and layer.height
    ]


def info_of(track: Track) -> TrackInfo | None:
    """A track as its publisher describes it."""
    if isinstance(track.publisher, Session):
        publication = track.publisher.publications.by_sid.get(track.sid)
        return publication.info if publication is not None else None
    return next((info for info in track.publisher.info.tracks if info.sid == track.sid), None)
