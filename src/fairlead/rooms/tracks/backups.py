"""Backups: the second codec of a picture, for subscribers that do not take the first.

The edge of a subscriber says that it needs one: by `room.Track.askers` here, and for its node by
`types.ParticipantRecord.backups`. The edge of the publisher asks its client for it
(`dynacast`), which adds it to the track and offers it. Under a policy of regression everyone who
takes the backup gets it then, so that the publisher sends one codec again.
"""

from __future__ import annotations

from livekit.protocol.models import TrackType
from livekit.protocol.rtc import AddTrackRequest, RequestResponse

from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.state.publication import Publication, codec_name
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room, Track, backup_of
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.timers import Key
from fairlead.rooms.tracks import dynacast

RETURN_DELAY = 30.0
"""Seconds after the last subscriber that needs a backup until all go back to the first codec:
each change costs a keyframe, and who left may come again."""

Refusal = tuple[RequestResponse.Reason, str]


def refusal(session: Session, request: AddTrackRequest) -> Refusal | None:
    """Why a request for a second codec can't be met, None if it can or is none."""
    if not request.sid:
        return None
    publication = session.publications.by_sid.get(request.sid)
    if publication is None or not publication.live:
        return RequestResponse.NOT_FOUND, f"there is no live track {request.sid} of yours"
    if request.type != TrackType.VIDEO or publication.kind != "video":
        return RequestResponse.UNSUPPORTED_TYPE, "only a video track can have a second codec"
    if publication.backup is None:
        why = f"track {request.sid} was announced with no second codec that can be used"
        return RequestResponse.UNSUPPORTED_TYPE, why
    announced, backup = publication.announced[1], publication.backup
    asked = [codec_name(codec.codec) for codec in request.simulcast_codecs]
    if asked != [announced]:
        named = ", ".join(asked) or "none"
        why = f"the second codec of track {request.sid} is {announced}, not {named}"
        return RequestResponse.UNSUPPORTED_TYPE, why
    if request.cid in backup.cids:
        return None  # said twice
    if backup.cid:
        why = f"{announced} of track {request.sid} is there already, as {backup.cid!r}"
        return RequestResponse.INVALID_REQUEST, why
    if session.publications.uses(request.cid):
        why = f"the cid {request.cid!r} is in use: every sender needs one of its own"
        return RequestResponse.INVALID_REQUEST, why
    return None


def came(ctx: Context, session: Session, publication: Publication) -> None:
    """The first packet of a backup."""
    _changed(ctx, session, publication)
    dynacast.review(ctx, session, publication)


def end(ctx: Context, session: Session, publication: Publication) -> None:
    """A backup is sent no more."""
    backup = publication.backup
    if backup is None:
        return
    if backup.mid is not None:
        ctx.out.tell(node.RemoveTrack(track=backup.name))
    forget(ctx, publication)
    publication.end_backup()
    if backup.live:
        _changed(ctx, session, publication)
    dynacast.review(ctx, session, publication)


def forget(ctx: Context, publication: Publication) -> None:
    """A track is over, or its backup."""
    if publication.backup is not None:
        ctx.timers.drop(("quality", publication.backup.name))
        ctx.timers.drop(("return", publication.sid))


def settle(ctx: Context) -> None:
    """Ask for backups that somebody needs, here or elsewhere, and for no others."""
    owned: dict[str, Session] = {}
    for room in list(ctx.touched.values()):
        for track in room.tracks.values():
            if track.backup is None:
                continue
            session = _owner(ctx, track)
            if session is None:
                _speak(room, track)
            else:
                owned[track.sid] = session
        for sid in [sid for sid in room.first_askers if sid not in room.tracks]:
            _rerecord(room, room.first_askers.pop(sid))
    asked: dict[str, set[str]] = {}
    for sid, session in owned.items():
        needed = False
        for room in _rooms(ctx, session):
            if room.name not in asked:
                asked[room.name] = _asked_in(room)
            needed = needed or sid in asked[room.name]
        _review(ctx, session, session.publications.by_sid[sid], needed)


def go_back(ctx: Context, sid: str) -> None:
    """Nobody needed a backup for a while: everyone gets the first codec again."""
    session = next((s for s in ctx.sessions.values() if sid in s.publications.by_sid), None)
    if session is not None:
        publication = session.publications.by_sid[sid]
        if publication.regressed and not publication.backup_asked:
            publication.regressed = False
            _changed(ctx, session, publication)


def _owner(ctx: Context, track: Track) -> Session | None:
    """The session here that publishes a track, be it from another room."""
    publisher: Session | RemoteParticipant | None = track.publisher
    if isinstance(publisher, RemoteParticipant):
        found = ctx.forwards.get(publisher.sid)
        publisher = ctx.sessions.get(found.session) if found is not None else None
    known = publisher is not None and track.sid in publisher.publications.by_sid
    return publisher if known else None


def _rooms(ctx: Context, session: Session) -> list[Room]:
    """Those in which a session's tracks are."""
    names = [session.room, *(f.room for f in ctx.forwards.values() if f.session == session.number)]
    return [ctx.rooms[name] for name in names if name in ctx.rooms]


def _asked_in(room: Room) -> set[str]:
    """The tracks whose backup somebody in a room needs, here or elsewhere."""
    here = {track.sid for track in room.tracks.values() if track.askers}
    return here.union(*(remote.record.backups for remote in room.remotes.values()))


def _speak(room: Room, track: Track) -> None:
    """One session asks for all of this node."""
    before = room.first_askers.get(track.sid)
    now = min(track.askers, default=None)
    if now == before:
        return
    if before is not None:
        del room.first_askers[track.sid]
        _rerecord(room, before)
    if now is not None:
        room.first_askers[track.sid] = now
        _rerecord(room, now)


def _rerecord(room: Room, number: int) -> None:
    if number in room.sessions:
        room.rerecord[number] = room.sessions[number]


def _review(ctx: Context, session: Session, publication: Publication, needed: bool) -> None:
    key: Key = ("return", publication.sid)
    if needed != publication.backup_asked:
        publication.backup_asked = needed
        dynacast.review(ctx, session, publication)
    if needed:
        ctx.timers.drop(key)
        comes = publication.backup is not None and publication.backup.live
        if comes and publication.regresses and not publication.regressed:
            publication.regressed = True
            _changed(ctx, session, publication)
    elif publication.regressed and not ctx.timers.waits(key):
        ctx.timers.set(key, ctx.now + RETURN_DELAY)


def _changed(ctx: Context, session: Session, publication: Publication) -> None:
    """Subscribers may need another codec, and everyone knows how it is sent."""
    room = ctx.room_of(session)
    track = room.tracks.get(publication.sid)
    if track is not None:
        track.backup = backup_of(publication.backup_record)
        ctx.refit(room, track)
    ctx.changed(room, session)
