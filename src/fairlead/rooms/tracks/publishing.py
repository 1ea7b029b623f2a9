"""Tracks of this edge's sessions: asked for, bound to m-lines, live, muted, ended."""

from __future__ import annotations

from typing import Literal, cast

from livekit.protocol.models import TrackSource, TrackType
from livekit.protocol.rtc import AddTrackRequest, RequestResponse

from fairlead.policy.regions import region_tag
from fairlead.protocol import node
from fairlead.rooms import announcing
from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.publication import Publication, codec_name, track_prefix
from fairlead.rooms.state.publications import Match
from fairlead.rooms.state.rendition import Rendition, track_sid
from fairlead.rooms.state.room import Room, Track, backup_of
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import backups, dynacast, subscribing


def add_track(ctx: Context, session: Session, request: AddTrackRequest) -> None:
    """Take a track, or the backup of one, that a client announces, or say why not."""
    refusal = _refusal(session, request) or backups.refusal(session, request)
    if refusal is not None:
        reason, message = refusal
        ctx.out.signal(
            session.number,
            request_response=RequestResponse(reason=reason, message=message, add_track=request),
        )
        return
    if request.sid:
        publication = session.publications.by_sid[request.sid]
        if not session.publications.uses(request.cid):
            publication.begin_backup(request)
    else:
        publication = session.publications.waiting(request.cid) or _new(ctx, session, request)
    ctx.out.signal(session.number, track_published={"cid": request.cid, "track": publication.info})
    if session.offers.idle:
        bind(ctx, session, session.publications.match_late())


def _new(ctx: Context, session: Session, request: AddTrackRequest) -> Publication:
    may = ctx.settings.devices.codecs(session.join.client, defaults.PUBLISH_CODECS)
    sid = ctx.ids.sid(track_prefix(request))
    publication = Publication(sid, request, {codec_name(mime) for mime in may})
    session.publications.add(publication)
    return publication


def bind(ctx: Context, session: Session, matches: list[Match]) -> None:
    """Tracks have their m-lines: the node takes what comes on them."""
    room = ctx.room_of(session)
    for rendition, section in matches:
        publication = session.publications.of(rendition)
        publication.bind(rendition, section, ctx.new_stream)
        carry(ctx, room, session, publication, rendition)
        track = room.tracks.get(publication.sid)
        if track is not None:
            # Another edge had it: what people here heard from there they hear from here.
            track.layers, track.red = publication.primary.layers, publication.red
            track.backup = backup_of(publication.backup_record)
            ctx.send_again(room, track, rendition.name)


def carry(
    ctx: Context, room: Room, session: Session, publication: Publication, rendition: Rendition
) -> None:
    """The node takes what comes on an m-line for a room."""
    assert rendition.mid is not None, f"{rendition.name} has no m-line yet"
    tag = region_tag(room.carried)
    ctx.out.tell(publication.command(rendition, room.key, session.number, tag))
    if publication.info.muted:
        ctx.out.tell(node.SetMuted(track=rendition.name, muted=True))
    number = session.number
    ctx.out.tell(node.Publish(participant=number, mid=rendition.mid, track=rendition.name))
    for layer in rendition.layers:
        if layer.rid is not None and layer.quality in rendition.sources:
            ssrc, rtx = rendition.sources[layer.quality]
            ctx.out.tell(
                node.ExpectSource(participant=number, stream=layer.stream, ssrc=ssrc, rtx=rtx)
            )


def source(ctx: Context, session: Session, event: node.StreamSource) -> None:
    """A layer comes under these SSRCs: whichever edge has the session next has to know."""
    for rendition in session.publications.renditions():
        for layer in rendition.layers:
            if layer.stream == event.stream:
                rendition.sources[layer.quality] = (event.ssrc, event.rtx)
                ctx.touch(ctx.room_of(session)).rerecord[session.number] = session


def unbind(ctx: Context, session: Session, gone: list[Rendition]) -> None:
    """An offer has the m-lines of these no more: a track ends, or its backup alone."""
    for rendition in gone:
        publication = session.publications.by_sid.get(rendition.sid)
        if publication is None:
            continue  # it ended with its first codec
        if rendition is publication.backup:
            backups.end(ctx, session, publication)
        else:
            remove(ctx, session, publication)


def go_live(ctx: Context, name: str, mime: str) -> None:
    """The first packet came: everyone is told of the track, or of its backup, and may hear it."""
    sid = track_sid(name)
    session = next((s for s in ctx.sessions.values() if sid in s.publications.by_sid), None)
    rendition = session.publications.by_name(name) if session is not None else None
    if session is None or rendition is None or rendition.live:
        return
    publication = session.publications.by_sid[sid]
    publication.go_live(rendition, mime)
    if rendition is publication.backup:
        backups.came(ctx, session, publication)
        return
    room = ctx.room_of(session)
    first = not session.info.is_publisher
    session.info.is_publisher = True
    ctx.changed(room, session)
    ctx.happened("track_published", room, participant=session.sid, track=sid)
    announcing.track(ctx, room, "track_published", session, publication)
    if first:
        ctx.count_later(room)
    subscribing.add_track(ctx, room, track_of(session, publication))
    dynacast.review(ctx, session, publication)


def track_of(session: Session, publication: Publication) -> Track:
    """A live track, as a room has it."""
    return Track(
        publication.sid,
        _kind(publication),
        session,
        publication.primary.layers,
        red=publication.red,
        backup=backup_of(publication.backup_record),
    )


def remove(ctx: Context, session: Session, publication: Publication, tell: bool = False) -> None:
    """End a track. ``tell``: the server ends it, so its publisher has to hear of it."""
    room = ctx.room_of(session)
    session.publications.remove(publication.sid)
    if tell:
        ctx.out.signal(session.number, track_unpublished={"track_sid": publication.sid})
        session.absence.unpublished.append(publication.sid)
    for rendition in publication.bound:
        ctx.out.tell(node.RemoveTrack(track=rendition.name))
    backups.forget(ctx, publication)
    if not publication.live:
        return
    subscribing.remove_track(ctx, room, publication.sid)
    ctx.happened("track_unpublished", room, participant=session.sid, track=publication.sid)
    announcing.track(ctx, room, "track_unpublished", session, publication)
    if not session.publications.live() and not session.data.published:
        session.info.is_publisher = False
        ctx.count_later(room)
    ctx.changed(room, session)


def settle_moved(ctx: Context, session: Session) -> None:
    """A session that another edge had has its m-lines here: tracks without one are over, and the
    other edges may know."""
    session.absence.moving = False
    unbind(ctx, session, session.publications.pending())
    ctx.changed(ctx.room_of(session), session)


def mute(ctx: Context, session: Session, sid: str, muted: bool) -> bool:
    """Stop or go on forwarding a track; False if the session has no such track."""
    publication = session.publications.by_sid.get(sid)
    if publication is None:
        return False
    if publication.info.muted != muted:
        publication.info.muted = muted
        for rendition in publication.bound:
            ctx.out.tell(node.SetMuted(track=rendition.name, muted=muted))
        if publication.live:
            ctx.changed(ctx.room_of(session), session)
    return True


def revoke(ctx: Context, session: Session) -> None:
    """End the tracks that the session's grants no longer allow."""
    for publication in list(session.publications.by_sid.values()):
        if not session.grants.can_publish_source(_source(publication.info.source)):
            remove(ctx, session, publication, tell=True)


def _refusal(
    session: Session, request: AddTrackRequest
) -> tuple[RequestResponse.Reason, str] | None:
    source = _source(request.source)
    if not session.grants.can_publish_source(source):
        return (
            RequestResponse.NOT_ALLOWED,
            f"the token does not allow publishing a track of source {source}",
        )
    if request.type not in (TrackType.AUDIO, TrackType.VIDEO):
        return (
            RequestResponse.UNSUPPORTED_TYPE,
            f"track type {request.type} can't be published: use audio or video",
        )
    if not request.cid:
        return (RequestResponse.INVALID_REQUEST, "the track has no cid: set it")
    pending = session.publications.pending()
    if len(pending) >= defaults.MAX_PENDING_TRACKS:
        return (
            RequestResponse.LIMIT_EXCEEDED,
            f"{len(pending)} tracks wait for an offer already: send it first",
        )
    return None


def _source(source: int) -> str:
    try:
        return TrackSource.Name(source).lower()
    except ValueError:
        return "unknown"


def _kind(publication: Publication) -> Literal["audio", "video"]:
    return cast(Literal["audio", "video"], publication.kind)
