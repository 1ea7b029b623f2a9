"""Shows a participant's tracks in another room too (ForwardParticipant).

In the other room it is a participant of the same identity that nobody serves: its record says that
this node sends its tracks, which are the tracks of the room that it is really in. A track crosses
the mesh under one set of regions, so both rooms must have the same.
"""

from __future__ import annotations

import msgspec
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from fairlead.policy.regions import describe
from fairlead.rooms.context import Context, Forward
from fairlead.rooms.presence import arriving, boundary, leaving, others
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.outputs import PutRecord
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.types import ParticipantRecord

MAX_FORWARDS = 256
"""Of all the sessions of one edge."""


class CanNotForward(Exception):
    """A session that can't be shown in a room; its text is one plain sentence without an end."""


def forward(ctx: Context, session: Session, destination: str) -> None:
    """Show a session's tracks in another room until it leaves either. Raises `CanNotForward`."""
    if destination == session.room:
        raise CanNotForward(f"{session.identity!r} is in room {destination!r} already")
    if len(ctx.forwards) >= MAX_FORWARDS:
        raise CanNotForward(f"{MAX_FORWARDS} participants are forwarded from this edge already")
    room = ctx.room(destination)
    if any(person.identity == session.identity for person in room.participants()):
        raise CanNotForward(f"there is a {session.identity!r} in room {destination!r} already")
    source = ctx.room_of(session)
    try:
        boundary.check(ctx, destination, room.regions)
    except boundary.Outside as why:
        raise CanNotForward(str(why)) from None
    if not room.records.exists and not ctx.settings.auto_create:
        raise CanNotForward(f"room {destination!r} is not open: create it first")
    if room.regions != source.regions:
        raise CanNotForward(
            f"room {destination!r} may be in {describe(room.regions)} and room {source.name!r} in "
            f"{describe(source.regions)}: both must have the same regions"
        )
    arriving.open_room(ctx, room, arriving.info_of(ctx, None), source.regions)
    found = Forward(
        session=session.number,
        source=session.room,
        room=destination,
        sid=ctx.ids.sid("PA_"),
        order=(int(ctx.now * 1_000_000), ctx.settings.node),
        since=ctx.now,
    )
    ctx.forwards[found.sid] = found
    _put(ctx, room, _record(session, found, version=1))


def keep(ctx: Context) -> None:
    """Bring what is forwarded up to date, and end what may or can be no more."""
    for found in list(ctx.forwards.values()):
        if found.source not in ctx.touched and found.room not in ctx.touched:
            continue  # whatever changes in a room touches it
        room, session = ctx.rooms.get(found.room), ctx.sessions.get(found.session)
        if room is None:
            del ctx.forwards[found.sid]
        elif session is None or not _stands(ctx, room, session, found):
            end(ctx, room, found.sid, DisconnectReason.PARTICIPANT_REMOVED)
        else:
            _refresh(ctx, room, session, found)


def of(ctx: Context, room: str, identity: str) -> str | None:
    """The sid under which an identity is forwarded to a room from here."""
    for found in ctx.forwards.values():
        session = ctx.sessions.get(found.session)
        if found.room == room and session is not None and session.identity == identity:
            return found.sid
    return None


def end(ctx: Context, room: Room, sid: str, reason: DisconnectReason) -> None:
    """A participant is shown in a room no more."""
    found = ctx.forwards.pop(sid, None)
    if found is not None and found.source in ctx.rooms:
        ctx.touch(ctx.rooms[found.source])  # fewer people may need what it sends
    remote = room.remotes.get(sid)
    if remote is None:
        return
    ctx.touch(room)
    record = msgspec.structs.replace(
        remote.record,
        info=remote.parting(reason).SerializeToString(),
        tracks=[],
        data_tracks=[],
        left=True,
    )
    others.take(ctx, record)
    ctx.out.add(PutRecord(record=record))
    ctx.parted[sid] = record
    ctx.timers.set(("parted", sid), ctx.now + defaults.PARTING_DELAY)
    leaving.watch_empty(ctx, room)


def _stands(ctx: Context, room: Room, session: Session, found: Forward) -> bool:
    source = ctx.room_of(session)
    shown = room.remotes.get(found.sid)
    return (
        session.room == found.source
        and room.records.own is not None
        and room.regions == source.regions
        and shown is not None
        and shown.shown
    )


def _refresh(ctx: Context, room: Room, session: Session, found: Forward) -> None:
    known = room.remotes[found.sid]
    record = _record(session, found, version=known.info.version)
    if record != known.record:
        _put(ctx, room, _record(session, found, version=known.info.version + 1))


def _put(ctx: Context, room: Room, record: ParticipantRecord) -> None:
    ctx.touch(room)
    others.take(ctx, record)
    ctx.out.add(PutRecord(record=record))


def _record(session: Session, found: Forward, version: int) -> ParticipantRecord:
    info = ParticipantInfo()
    info.CopyFrom(session.info)
    info.sid = found.sid
    info.version = version
    info.joined_at = int(found.since)
    info.joined_at_ms = int(found.since * 1000)
    if ParticipantInfo.FORWARDED not in info.kind_details:
        info.kind_details.append(ParticipantInfo.FORWARDED)
    del info.tracks[:]
    live = session.publications.live()
    info.tracks.extend(track.info for track in live)
    del info.data_tracks[:]
    info.data_tracks.extend(session.data.infos())
    info.is_publisher = bool(live or session.data.published)
    return ParticipantRecord(
        node=found.order[1],
        room=found.room,
        sid=found.sid,
        identity=session.identity,
        session=found.order,
        info=info.SerializeToString(),
        tracks=[track.record for track in live],
        quality=session.quality,
        data_tracks=session.data.records(),
    )
