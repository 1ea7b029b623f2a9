"""How good a picture a subscriber may get at most, whatever it asks for."""

from __future__ import annotations

from livekit.protocol.models import TrackInfo, TrackSource

from fairlead.rooms.rendition import BEST
from fairlead.rooms.room import Room, Track
from fairlead.rooms.session import Session


def cap(room: Room, session: Session, track: Track) -> int:
    """The best layer of a camera whose shorter side the room's scene and the session's device bear;
    the lowest if none is. Where sizes are not told, and of a shared screen, which has to be read,
    any."""
    height = min([h for h in (room.video_height, session.device.receive_height) if h], default=0)
    info = info_of(track)
    if not height or info is None or info.source == TrackSource.SCREEN_SHARE:
        return BEST
    sizes = sizes_of(info, session.heard.get(track.sid))
    fitting = [quality for size, quality in sizes if size <= height]
    return max(fitting, default=0) if sizes else BEST


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
