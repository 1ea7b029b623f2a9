"""What the API asks of this edge's rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import msgspec
from google.protobuf.message import DecodeError, Message
from livekit.protocol.models import (
    DataPacket,
    DisconnectReason,
    ParticipantPermission,
    TrackSource,
    UserPacket,
)
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomResponse,
    ForwardParticipantResponse,
    MoveParticipantResponse,
    MuteRoomTrackResponse,
    RemoveParticipantResponse,
    SendDataRequest,
    SendDataResponse,
    UpdateParticipantRequest,
    UpdateSubscriptionsRequest,
    UpdateSubscriptionsResponse,
)

from fairlead.policy import limits
from fairlead.policy.grants import Grants, VideoGrant
from fairlead.policy.regions import (
    NOWHERE,
    BadRegions,
    RegionSet,
    describe,
    from_metadata,
    too_wide,
    within,
)
from fairlead.policy.scenes import BadScene
from fairlead.protocol import node
from fairlead.protocol.operation import (
    AnyOperation,
    CreateRoom,
    DeleteRoom,
    Done,
    ErrorCode,
    Failed,
    ForwardParticipant,
    MoveParticipant,
    MuteTrack,
    PerformRpc,
    RemoveParticipant,
    Reply,
    RevokeTokens,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
)
from fairlead.rooms.context import Context
from fairlead.rooms.presence import arriving, boundary, forwarding, leaving, moving
from fairlead.rooms.state.outputs import PutRecord
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_publishing, publishing, scene, subscribing

FURTHEST_REVOCATION = 366 * 86_400
"""Seconds from now."""


class Refused(Exception):
    """An operation that can't be carried out."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def operate(ctx: Context, operation: AnyOperation) -> Reply:
    """Carry out an operation and say how it went."""
    try:
        return Done(payload=_operate(ctx, operation).SerializeToString())
    except Refused as error:
        return Failed(code=error.code, message=str(error))
    except DecodeError:
        return Failed(code="invalid_argument", message="the request can't be read")


def update_own(
    ctx: Context, session: Session, name: str, metadata: str, attributes: Mapping[str, str]
) -> None:
    """A participant's name, metadata and attributes change. Raises `Refused` over a limit."""
    grants = session.grants
    merged = {k: v for k, v in {**grants.attributes, **attributes}.items() if v}
    if len(name) > limits.NAME_LENGTH:
        raise Refused("invalid_argument", f"the name is over {limits.NAME_LENGTH} characters")
    if len(metadata.encode()) > limits.METADATA_BYTES:
        raise Refused("invalid_argument", f"the metadata is over {limits.METADATA_BYTES} bytes")
    if limits.attributes_size(merged) > limits.ATTRIBUTES_BYTES:
        raise Refused(
            "invalid_argument", f"the attributes are over {limits.ATTRIBUTES_BYTES} bytes"
        )
    changed = grants.replace(
        name=name or grants.name, metadata=metadata or grants.metadata, attributes=merged
    )
    if changed != grants:
        _regrant(ctx, session, changed)


def _operate(ctx: Context, operation: AnyOperation) -> Message:
    match operation:
        case CreateRoom():
            return _create(ctx, operation)
        case DeleteRoom():
            leaving.delete(ctx, _room(ctx, operation.room))
            return DeleteRoomResponse()
        case RemoveParticipant():
            return _remove(ctx, operation)
        case RevokeTokens():
            return _revoke(ctx, operation)
        case MuteTrack():
            return _mute(ctx, operation)
        case UpdateParticipant():
            return _update(ctx, operation)
        case UpdateSubscriptions():
            return _subscribe(ctx, operation)
        case SendData():
            return _send(ctx, operation)
        case UpdateRoomMetadata():
            return _describe(ctx, operation)
        case MoveParticipant():
            moved = _session(ctx, operation.room, operation.identity)
            _check_name(operation.destination)
            try:
                moving.move(ctx, moved, operation.destination)
            except moving.CanNotMove as why:
                raise Refused("failed_precondition", str(why)) from None
            return MoveParticipantResponse()
        case ForwardParticipant():
            shown = _session(ctx, operation.room, operation.identity)
            _check_name(operation.destination)
            try:
                forwarding.forward(ctx, shown, operation.destination)
            except forwarding.CanNotForward as why:
                raise Refused("failed_precondition", str(why)) from None
            return ForwardParticipantResponse()
        case PerformRpc():
            raise AssertionError("a call has no reply at once: see calling")
        case _:
            assert_never(operation)


def _remove(ctx: Context, operation: RemoveParticipant) -> Message:
    room = _room(ctx, operation.room)
    forwarded = forwarding.of(ctx, room.name, operation.identity)
    if forwarded is not None:
        forwarding.end(ctx, room, forwarded, DisconnectReason.PARTICIPANT_REMOVED)
        return RemoveParticipantResponse()
    session = _session(ctx, operation.room, operation.identity)
    leaving.leave(ctx, session, DisconnectReason.PARTICIPANT_REMOVED)
    return RemoveParticipantResponse()


def _revoke(ctx: Context, operation: RevokeTokens) -> Message:
    room = _room(ctx, operation.room)
    before = operation.before
    if not 0 < before <= ctx.now + FURTHEST_REVOCATION:
        raise Refused(
            "invalid_argument",
            f"revoke_token_ts is {before}: give Unix seconds, at most a year from now",
        )
    if room.records.own is not None:
        ctx.out.add(PutRecord(record=room.records.revoke(operation.identity, before)))
    return RemoveParticipantResponse()


def _create(ctx: Context, operation: CreateRoom) -> Message:
    request = CreateRoomRequest.FromString(operation.request)
    _check_name(operation.room)
    if len(request.metadata.encode()) > limits.METADATA_BYTES:
        raise Refused("invalid_argument", f"the metadata is over {limits.METADATA_BYTES} bytes")
    asked, wish = _asked(request.metadata), _wish(ctx, request)
    known = ctx.rooms.get(operation.room)
    if known is not None and known.records.exists:
        if not within(known.regions, asked):
            raise Refused("failed_precondition", too_wide(operation.room, known.regions))
        return ctx.touch(known).info()
    _check_place(ctx, operation.room, boundary.of_new(ctx, operation.room, asked))
    room = ctx.room(operation.room)
    arriving.open_room(ctx, room, arriving.room_info(ctx, request), asked, wish)
    leaving.watch_empty(ctx, room)
    return room.info()


def _check_name(room: str) -> None:
    if not room:
        raise Refused("invalid_argument", "the room has no name: set name")
    if len(room) > limits.ROOM_NAME_LENGTH:
        raise Refused(
            "invalid_argument", f"the room name is over {limits.ROOM_NAME_LENGTH} characters"
        )


def _mute(ctx: Context, operation: MuteTrack) -> Message:
    session = _session(ctx, operation.room, operation.identity)
    publication = session.publications.by_sid.get(operation.track_sid)
    if publication is None:
        raise Refused(
            "not_found", f"{operation.identity!r} publishes no track {operation.track_sid!r}"
        )
    if not operation.muted and not ctx.settings.remote_unmute:
        raise Refused("failed_precondition", "tracks may not be unmuted from here: only muted")
    if publication.info.muted != operation.muted:
        publishing.mute(ctx, session, publication.sid, operation.muted)
        ctx.out.signal(session.number, mute={"sid": publication.sid, "muted": operation.muted})
    return MuteRoomTrackResponse(track=publication.info)


def _update(ctx: Context, operation: UpdateParticipant) -> Message:
    request = UpdateParticipantRequest.FromString(operation.request)
    session = _session(ctx, operation.room, operation.identity)
    update_own(ctx, session, request.name, request.metadata, request.attributes)
    if request.HasField("permission"):
        _permit(ctx, session, request.permission)
    info = session.snapshot()
    session.info.version -= 1  # the step's own update takes that version
    return info


def _permit(ctx: Context, session: Session, permission: ParticipantPermission) -> None:
    grants = session.grants
    video = grants.video or VideoGrant()
    changed = msgspec.structs.replace(
        video,
        can_subscribe=permission.can_subscribe,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        can_publish_sources=[
            TrackSource.Name(source).lower() for source in permission.can_publish_sources
        ]
        if permission.can_publish
        else [],
        can_update_own_metadata=permission.can_update_metadata,
        hidden=permission.hidden,
        can_subscribe_metrics=permission.can_subscribe_metrics,
        can_manage_agent_session=permission.can_manage_agent_session,
    )
    if changed == video:
        return
    room = ctx.room_of(session)
    _regrant(ctx, session, grants.replace(video=changed))
    ctx.out.tell(
        node.UpdateParticipant(
            participant=session.number,
            can_publish_data=session.grants.can_publish_data,
            can_subscribe=session.grants.can_subscribe,
        )
    )
    publishing.revoke(ctx, session)
    data_publishing.revoke(ctx, session)
    subscribing.review_session(ctx, room, session)
    subscribing.review_publisher(ctx, room, session)


def _subscribe(ctx: Context, operation: UpdateSubscriptions) -> Message:
    request = UpdateSubscriptionsRequest.FromString(operation.request)
    session = _session(ctx, operation.room, operation.identity)
    tracks = list(request.track_sids)
    for entry in request.participant_tracks:
        tracks.extend(entry.track_sids)
    subscribing.wish(ctx, session, tracks, request.subscribe)
    return UpdateSubscriptionsResponse()


def _send(ctx: Context, operation: SendData) -> Message:
    request = SendDataRequest.FromString(operation.request)
    room = _room(ctx, operation.room)
    _check_place(ctx, room.name, room.regions)
    user = UserPacket(
        payload=request.data,
        destination_sids=request.destination_sids,
        destination_identities=request.destination_identities,
        nonce=request.nonce,
    )
    if request.HasField("topic"):
        user.topic = request.topic
    packet = DataPacket(
        kind=request.kind, user=user, destination_identities=request.destination_identities
    )
    ctx.out.tell(
        node.SendData(
            room=room.key,
            packet=packet.SerializeToString(),
            reliable=request.kind == DataPacket.RELIABLE,
        )
    )
    return SendDataResponse()


def _describe(ctx: Context, operation: UpdateRoomMetadata) -> Message:
    room = _room(ctx, operation.room)
    if len(operation.metadata.encode()) > limits.METADATA_BYTES:
        raise Refused("invalid_argument", f"the metadata is over {limits.METADATA_BYTES} bytes")
    if room.records.own is None:
        raise Refused("not_found", f"room {operation.room!r} is not held by this edge")
    asked = _asked(operation.metadata)
    wish = _wish(ctx, CreateRoomRequest(metadata=operation.metadata))
    if asked and boundary.of_new(ctx, room.name, asked) == NOWHERE:
        raise Refused(
            "invalid_argument",
            f"room {operation.room!r} can't be in {describe(asked)}: "
            "the operator's rules allow none of it",
        )
    info = room.records.info
    info.metadata = operation.metadata
    ctx.out.add(PutRecord(record=room.records.change(info, asked, wish.scene)))
    room.info_changed = True
    return room.info()


def _asked(metadata: str) -> RegionSet:
    try:
        return from_metadata(metadata)
    except BadRegions as wrong:
        raise Refused("invalid_argument", str(wrong)) from None


def _wish(ctx: Context, request: CreateRoomRequest) -> scene.Wish:
    try:
        return scene.wish(ctx, request)
    except BadScene as wrong:
        raise Refused("invalid_argument", str(wrong)) from None


def _check_place(ctx: Context, name: str, regions: RegionSet) -> None:
    try:
        boundary.check(ctx, name, regions)
    except boundary.Outside as why:
        raise Refused("failed_precondition", str(why)) from None


def _regrant(ctx: Context, session: Session, grants: Grants) -> None:
    if grants.name != session.grants.name:
        session.own_fields.replaced(ctx.now, "name", session.grants.name)
    if grants.metadata != session.grants.metadata:
        session.own_fields.replaced(ctx.now, "metadata", session.grants.metadata)
    session.regrant(grants)
    ctx.changed(ctx.room_of(session), session)
    arriving.refresh_token(ctx, session)


def _room(ctx: Context, name: str) -> Room:
    room = ctx.rooms.get(name)
    if room is None or not room.records.exists:
        raise Refused("not_found", f"room {name!r} is not open: create it, or join it")
    return ctx.touch(room)


def _session(ctx: Context, room: str, identity: str) -> Session:
    found = _room(ctx, room).local(identity)
    if found is None:
        raise Refused("not_found", f"participant {identity!r} is not in room {room!r} here")
    return found
