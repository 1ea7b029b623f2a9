"""Data tracks of this edge's sessions: announced, carried, ended."""

from __future__ import annotations

from livekit.protocol.models import DataTrackInfo
from livekit.protocol.rtc import (
    PublishDataTrackRequest,
    RequestResponse,
    SyncState,
    UnpublishDataTrackRequest,
)

from fairlead.policy import limits
from fairlead.policy.regions import region_tag
from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.datatrack import MAX_HANDLE, SID_PREFIX, DataPublication, DataTrack
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_subscribing

Refusal = tuple[RequestResponse.Reason, str]


def publish(ctx: Context, session: Session, request: PublishDataTrackRequest) -> None:
    """Take a data track that a client announces, or say why not."""
    refusal = _refusal(session, request)
    if refusal is not None:
        reason, message = refusal
        ctx.out.signal(
            session.number,
            request_response=RequestResponse(
                reason=reason, message=message, publish_data_track=request
            ),
        )
        return
    info = DataTrackInfo(
        pub_handle=request.pub_handle,
        sid=ctx.ids.sid(SID_PREFIX),
        name=request.name,
        encryption=request.encryption,
        frame_encoding=request.frame_encoding if request.HasField("frame_encoding") else None,
        schema=request.schema if request.HasField("schema") else None,
    )
    publication = DataPublication(info)
    session.data.published[info.pub_handle] = publication
    room = ctx.room_of(session)
    carry(ctx, room, session, publication)
    _answer(ctx, session, info)
    ctx.changed(room, session)
    ctx.count_later(room)
    ctx.happened("data_track_published", room, participant=session.sid, track=info.sid)
    show(ctx, room, session, publication)


def unpublish(ctx: Context, session: Session, request: UnpublishDataTrackRequest) -> None:
    """A client ends one of its data tracks."""
    publication = session.data.published.get(request.pub_handle)
    if publication is None:
        ctx.out.signal(
            session.number,
            request_response=RequestResponse(
                reason=RequestResponse.NOT_FOUND,
                message=f"no data track is published under handle {request.pub_handle}",
                unpublish_data_track=request,
            ),
        )
        return
    _end(ctx, session, publication)


def revoke(ctx: Context, session: Session) -> None:
    """End the data tracks that the session's grants no longer allow."""
    if session.grants.can_publish_data:
        return
    for publication in list(session.data.published.values()):
        session.data.ended.append(publication.info)
        _end(ctx, session, publication)


def carry(ctx: Context, room: Room, session: Session, publication: DataPublication) -> None:
    """The node takes a session's packets of a track for a room, as a stream of their own: whoever
    had it in another room, or from another edge, hears nothing that is said here."""
    publication.stream = ctx.new_stream()
    ctx.out.tell(publication.command(session.number, region_tag(room.carried)))


def show(ctx: Context, room: Room, session: Session, publication: DataPublication) -> None:
    """A track is in a room from now on."""
    track = DataTrack(publication.sid, session, publication.stream)
    data_subscribing.add_track(ctx, room, track)


def depart(ctx: Context, room: Room, session: Session) -> None:
    """A session's tracks are in a room no more; they stay its own."""
    for publication in session.data.published.values():
        ctx.out.tell(node.RemoveTrack(track=publication.sid))
        data_subscribing.remove_track(ctx, room, publication.sid)


def settle_moved(ctx: Context, session: Session) -> None:
    """A session that another edge had has its connection here: what people heard from there they
    hear from here."""
    room = ctx.room_of(session)
    for publication in session.data.published.values():
        carry(ctx, room, session, publication)
        track = room.data_tracks.get(publication.sid)
        if track is not None:
            track.stream = publication.stream
            ctx.send_again(room, track, track.sid)


def has(session: Session, state: SyncState) -> bool:
    """Whether every data track that a client says it publishes is, or was until it went away."""
    known = {info.sid for info in (*session.data.infos(), *session.data.ended)}
    return all(entry.info.sid in known for entry in state.publish_data_tracks)


def repeat(ctx: Context, session: Session, state: SyncState) -> None:
    """A client that came back may not have heard that its track is published, or is no more."""
    said = {entry.info.sid for entry in state.publish_data_tracks}
    for info in session.data.ended:
        if info.sid in said:
            ctx.out.signal(session.number, unpublish_data_track_response={"info": info})
    session.data.ended.clear()
    for info in session.data.infos():
        if info.sid not in said:
            _answer(ctx, session, info)


def _answer(ctx: Context, session: Session, info: DataTrackInfo) -> None:
    ctx.out.signal(session.number, publish_data_track_response={"info": info})


def _end(ctx: Context, session: Session, publication: DataPublication) -> None:
    room = ctx.room_of(session)
    del session.data.published[publication.info.pub_handle]
    ctx.out.signal(session.number, unpublish_data_track_response={"info": publication.info})
    ctx.out.tell(node.RemoveTrack(track=publication.sid))
    data_subscribing.remove_track(ctx, room, publication.sid)
    ctx.happened("data_track_unpublished", room, participant=session.sid, track=publication.sid)
    ctx.count_later(room)
    ctx.changed(room, session)


def _refusal(session: Session, request: PublishDataTrackRequest) -> Refusal | None:
    """As LiveKit's server refuses, in its order."""
    if not session.grants.can_publish_data:
        return RequestResponse.NOT_ALLOWED, "the token does not allow publishing data"
    if not 0 < request.pub_handle <= MAX_HANDLE:
        return (
            RequestResponse.INVALID_HANDLE,
            f"the handle is {request.pub_handle}: use 1 to {MAX_HANDLE}",
        )
    length = len(request.name.encode())
    if not 0 < length <= limits.DATA_TRACK_NAME_BYTES:
        return (
            RequestResponse.INVALID_NAME,
            f"the name has {length} bytes: use 1 to {limits.DATA_TRACK_NAME_BYTES}",
        )
    wrong = _bad_encoding(request)
    if wrong:
        return RequestResponse.INVALID_REQUEST, wrong
    published = session.data.published
    if request.pub_handle in published:
        return (
            RequestResponse.DUPLICATE_HANDLE,
            f"a data track has handle {request.pub_handle} already: use another",
        )
    if any(one.info.name == request.name for one in published.values()):
        return (
            RequestResponse.DUPLICATE_NAME,
            f"a data track is named {request.name!r} already: use another name",
        )
    if len(published) >= defaults.MAX_DATA_TRACKS:
        return (
            RequestResponse.LIMIT_EXCEEDED,
            f"{len(published)} data tracks are published already: end one first",
        )
    return None


def _bad_encoding(request: PublishDataTrackRequest) -> str:
    """What is wrong with how a track says its frames are encoded; empty if nothing is."""
    most = limits.DATA_TRACK_ENCODING_BYTES
    for of, encoding in (("frame", request.frame_encoding), ("schema", request.schema.encoding)):
        length = len(encoding.custom.encode())
        if encoding.WhichOneof("value") == "custom" and not 0 < length <= most:
            return f"the {of} encoding has {length} bytes: use 1 to {most}"
    length = len(request.schema.name.encode())
    if length > limits.DATA_TRACK_NAME_BYTES:
        return f"the schema's name has {length} bytes: use at most {limits.DATA_TRACK_NAME_BYTES}"
    return ""
