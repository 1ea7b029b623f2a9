"""In which of a track's codecs each session gets it, and what it is told where none fits."""

from __future__ import annotations

import math

from livekit.protocol.models import SubscriptionError

from fairlead.rooms.context import Context
from fairlead.rooms.state.publication import codec_name
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.timers import Key
from fairlead.rooms.tracks import failing
from fairlead.rooms.tracks.caps import info_of

BACKUP_TIMEOUT = 10.0
"""Seconds in which a backup must come that a subscriber needs, until its client is told that it
can't have the track. It gets it all the same if it comes later."""


def choose(ctx: Context, room: Room, session: Session, track: Track) -> str | None:
    """The rendition that a session with an m-line for a track is to be sent, None if none that it
    takes comes: then its publisher is asked for its backup, or the client told."""
    takes = session.takes[track.sid]
    codec, backup = _codec(track), track.backup
    fits = _takes(takes, codec)
    backed = backup is not None and _takes(takes, backup.codec)
    _ask(ctx, room, session, track, asks=backed and not fits)
    if backup is not None and backed and backup.layers:
        first = session.device.first_codecs
        if not fits or backup.everyone or (backup.codec in first and codec not in first):
            return _found(session, track, backup.name)
    if fits:
        return _found(session, track, track.sid)
    if track.sid not in session.unfit:
        if backed:
            session.unfit[track.sid] = ctx.now + BACKUP_TIMEOUT
            _wake(ctx, session)
        else:
            _tell(ctx, session, track)
    return None


def forget(ctx: Context, room: Room, session: Session, track: Track) -> None:
    """A session has no m-line for a track any more."""
    session.takes.pop(track.sid, None)
    session.unfit.pop(track.sid, None)
    _ask(ctx, room, session, track, asks=False)


def give_up(ctx: Context, room: Room, session: Session) -> None:
    """Some backups did not come in time. One of a muted track can't: it is waited for on."""
    for sid in [sid for sid, until in session.unfit.items() if until <= ctx.now]:
        track = room.tracks.get(sid)
        if track is None:
            del session.unfit[sid]
        elif (info := info_of(track)) is not None and info.muted:
            session.unfit[sid] = ctx.now + BACKUP_TIMEOUT
        else:
            _tell(ctx, session, track)
    _wake(ctx, session)


def _found(session: Session, track: Track, name: str) -> str:
    session.unfit.pop(track.sid, None)
    return name


def _ask(ctx: Context, room: Room, session: Session, track: Track, *, asks: bool) -> None:
    if asks == (session.number in track.askers):
        return
    ctx.touch(room)
    if asks:
        track.askers.add(session.number)
    else:
        track.askers.discard(session.number)


def _tell(ctx: Context, session: Session, track: Track) -> None:
    session.unfit[track.sid] = math.inf
    failing.tell(ctx, session, track.sid, SubscriptionError.SE_CODEC_UNSUPPORTED)


def _wake(ctx: Context, session: Session) -> None:
    key: Key = ("unfit", session.number)
    next_up = min(session.unfit.values(), default=math.inf)
    if next_up < math.inf:
        ctx.timers.set(key, next_up)


def _takes(takes: list[str], codec: str) -> bool:
    """Whether an m-line with these codecs (none said means any) takes one."""
    return not takes or not codec or codec in takes


def _codec(track: Track) -> str:
    """The codec that receivers of its first rendition need; empty if it is not known."""
    info = info_of(track)
    name = codec_name(info.mime_type) if info is not None else ""
    return "opus" if name == "red" else name  # who has no RED gets the Opus in it
