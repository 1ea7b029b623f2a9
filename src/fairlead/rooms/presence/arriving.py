"""Joins: who may, what they are told, and who has to make way for them."""

from __future__ import annotations

import msgspec
from google.protobuf import json_format
from livekit.protocol.models import (
    ClientConfiguration,
    DisabledCodecs,
    DisconnectReason,
    ParticipantInfo,
)
from livekit.protocol.models import Room as RoomInfo
from livekit.protocol.room import CreateRoomRequest, RoomConfiguration
from livekit.protocol.rtc import JoinResponse, LeaveRequest, ReconnectResponse

from fairlead.policy import limits
from fairlead.policy.grants import Denied, Grants
from fairlead.policy.regions import RegionSet
from fairlead.policy.scenes import BadScene
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.rooms import announcing
from fairlead.rooms.context import Context
from fairlead.rooms.presence import boundary, draining, leaving, negotiating
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.ice_servers import ice_servers
from fairlead.rooms.state.outputs import PutRecord
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.settings import (
    negotiated_channels,
    publish_codecs,
    server_info,
    takes_trailers,
)
from fairlead.rooms.tracks import publishing, scene, subscribing


def verdict(ctx: Context, grants: Grants, join: Join) -> Grants:
    """What a joiner may do, its own metadata taken in. Raises `Denied` as the websocket and
    ``/validate`` alike must answer."""
    name = grants.require_join()
    draining.check(ctx)
    if join.publish:
        grants = _publish_only(grants, join.publish)
    if join.metadata or join.attributes:
        grants = _with_own_metadata(grants, join)
    config = _room_config(grants)
    asked = boundary.asked(config.metadata)
    _wish(ctx, config)
    room = ctx.rooms.get(name)
    if room is None or not room.records.exists:
        if not ctx.settings.auto_create:
            raise Denied(f"requested room does not exist: create {name!r} first", 404)
        _check_place(ctx, name, boundary.of_new(ctx, name, asked))
        return grants
    if grants.not_before < room.records.revoked.get(grants.identity, 0):
        raise Denied("the token was revoked when its bearer was removed: ask for a new one")
    if asked and not room.regions:
        raise Denied(
            f"room {name!r} is open already and may be everywhere, which the token's roomConfig "
            "does not allow: open the room with its regions",
            403,
        )
    _check_place(ctx, name, room.regions)
    _check_space(room, grants)
    return grants


def join(ctx: Context, number: int, grants: Grants, request: Join) -> None:
    """A client came. What it says at once (tracks, an offer) is taken after its welcome."""
    try:
        grants = verdict(ctx, grants, request)
    except Denied:
        leaving.turn_away(ctx, number, DisconnectReason.JOIN_FAILURE, LeaveRequest.DISCONNECT)
        return
    room = ctx.room(grants.require_join())
    replace_older(ctx, room, grants.identity)
    config = _room_config(grants)
    regions = boundary.asked(config.metadata)
    open_room(ctx, room, room_info(ctx, config), regions, _wish(ctx, config))
    session = Session(
        number,
        ctx.ids.sid("PA_"),
        ctx.now,
        ctx.settings.node,
        ctx.settings.region,
        grants,
        request,
    )
    session.device = ctx.settings.devices.class_of(request.client)
    ctx.sessions[number] = session
    room.sessions[number] = session
    room.visited = True
    ctx.changed(room, session)
    ctx.count_later(room)
    tell_node(ctx, session.number, room, session, session.grants, session.join)
    if ctx.faults.tcp_only(room.name, session.identity, ctx.now):
        ctx.out.tell(node.Restrict(participant=number, tcp_only=True))
    _welcome(ctx, room, session)
    ctx.happened("participant_joined", room, participant=session.sid)
    refresh_token(ctx, session)
    ctx.timers.set(("join", number), ctx.now + defaults.JOIN_TIMEOUT)
    leaving.watch_empty(ctx, room)
    for track in request.add_tracks:
        publishing.add_track(ctx, session, track)
    subscribing.review_session(ctx, room, session)
    ctx.settle_later(session)
    if request.offer is not None:
        negotiating.client_offer(ctx, session, request.offer)


def open_room(
    ctx: Context,
    room: Room,
    info: RoomInfo,
    regions: RegionSet,
    wish: scene.Wish = scene.NOTHING,
) -> None:
    """Hold the room here; if nobody has it yet, ``info`` describes it, ``regions`` limits it and
    ``wish`` says what its scene is."""
    if room.records.own is not None:
        return
    first = not room.records.exists
    record = room.records.open(
        ctx.ids.sid("RM_"), ctx.now, info, regions, wish.scene, wish.playout_ms or ()
    )
    room.visited = room.visited or bool(room.remotes)
    ctx.out.add(PutRecord(record=record))
    ctx.touch(room)
    if first:
        ctx.happened("room_started", room)
        announcing.room(ctx, room, "room_started")


def room_info(ctx: Context, request: CreateRoomRequest | RoomConfiguration) -> RoomInfo:
    """The changeable part of a new room, what the request leaves open filled from settings."""
    chosen = ctx.settings
    return RoomInfo(
        empty_timeout=request.empty_timeout or chosen.empty_timeout,
        departure_timeout=request.departure_timeout or chosen.departure_timeout,
        max_participants=request.max_participants or chosen.max_participants,
        metadata=request.metadata,
    )


def refresh_token(ctx: Context, session: Session) -> None:
    """Give the client a token for its next join, and again in a while."""
    ctx.out.signal(session.number, refresh_token=new_token(ctx, session))


def new_token(ctx: Context, session: Session) -> str:
    """A token for the client's next join; the one after it comes in a while."""
    ctx.timers.set(("refresh", session.number), ctx.now + defaults.TOKEN_REFRESH)
    return ctx.sign(session.grants, ctx.now, defaults.TOKEN_TTL)


def _wish(ctx: Context, config: RoomConfiguration) -> scene.Wish:
    try:
        return scene.wish(ctx, config)
    except BadScene as wrong:
        raise Denied(f"the token's roomConfig can't be used: {wrong}", 400) from None


def tell_node(
    ctx: Context,
    number: int,
    room: Room,
    who: Session | RemoteParticipant,
    grants: Grants,
    join: Join,
) -> None:
    """The node hears of a session: one that begins here, or one that comes from another node."""
    ctx.out.tell(
        node.AddParticipant(
            participant=number,
            room=room.key,
            sid=who.sid,
            identity=who.identity,
            agent=grants.is_agent,
            can_publish_data=grants.can_publish_data,
            can_subscribe=grants.can_subscribe,
            single=join.single,
            negotiated_channels=negotiated_channels(join.client, join.single),
            allow_pause=join.allow_pause,
            packet_trailers=takes_trailers(join.client),
        )
    )


def _welcome(ctx: Context, room: Room, session: Session) -> None:
    info = ParticipantInfo()
    info.CopyFrom(session.info)
    codecs = ctx.settings.devices.codecs(session.join.client, defaults.PUBLISH_CODECS)
    ctx.out.signal(
        session.number,
        join=JoinResponse(
            room=room.info(),
            participant=info,
            other_participants=room.shown_to(session.identity),
            ice_servers=ice_servers(ctx.settings.turn, session.sid, ctx.now),
            server_version=defaults.SERVER_VERSION,
            server_region=ctx.settings.region,
            server_info=server_info(ctx.settings),
            subscriber_primary=session.subscriber_primary,
            ping_interval=defaults.PING_INTERVAL,
            ping_timeout=defaults.PING_TIMEOUT,
            sif_trailer=room.sif_trailer,
            enabled_publish_codecs=publish_codecs(codecs),
            client_configuration=_configuration(ctx, session.join),
            fast_publish=session.grants.can_publish,
        ),
    )


def welcome_back(ctx: Context, sid: str, request: Join, last_sequence: int) -> ReconnectResponse:
    """What a client hears first that takes up its session ``sid``: its reliable messages came up to
    ``last_sequence``."""
    return ReconnectResponse(
        ice_servers=ice_servers(ctx.settings.turn, sid, ctx.now),
        client_configuration=_configuration(ctx, request),
        server_info=server_info(ctx.settings),
        last_message_seq=last_sequence,
    )


def _configuration(ctx: Context, request: Join) -> ClientConfiguration | None:
    """What the client's device should not try."""
    usual = defaults.PUBLISH_CODECS
    codecs = ctx.settings.devices.codecs(request.client, usual)
    barred = [mime for mime in usual if mime not in codecs]
    if not barred:
        return None
    return ClientConfiguration(disabled_codecs=DisabledCodecs(publish=publish_codecs(barred)))


def info_of(ctx: Context, grants: Grants | None) -> RoomInfo:
    """What a room is like that opens for the bearer of these grants, or for nobody's."""
    return room_info(ctx, _room_config(grants) if grants is not None else RoomConfiguration())


def regions_of(grants: Grants) -> RegionSet:
    """Where a room may be that opens for the bearer of these grants."""
    return boundary.asked(_room_config(grants).metadata)


def replace_older(ctx: Context, room: Room, identity: str) -> None:
    """Whoever has this identity in a room here makes way."""
    older = room.local(identity)
    if older is not None:
        leaving.leave(ctx, older, DisconnectReason.DUPLICATE_IDENTITY)
        # Its departure may have emptied the room, which this join is about to fill again.
        ctx.rooms[room.name] = ctx.touch(room)


def _check_place(ctx: Context, name: str, regions: RegionSet) -> None:
    try:
        boundary.check(ctx, name, regions)
    except boundary.Outside as why:
        raise Denied(str(why), 403) from None


def _check_space(room: Room, grants: Grants) -> None:
    most = room.records.info.max_participants
    if not most or grants.dependent:
        return
    here = any(person.identity == grants.identity for person in room.participants())
    if not here and room.head_count() >= most:
        raise Denied(f"room {room.name!r} is full: it takes {most} participants", 503)


def _publish_only(grants: Grants, publish: str) -> Grants:
    """An old way to join a second time, only to publish."""
    if not grants.can_publish or grants.video is None:
        raise Denied("the token does not allow publishing")
    return grants.replace(
        identity=f"{grants.identity}#{publish}",
        video=msgspec.structs.replace(grants.video, can_subscribe=False),
    )


def _with_own_metadata(grants: Grants, join: Join) -> Grants:
    if not grants.can_update_own_metadata:
        raise Denied("the token does not allow own metadata: it lacks canUpdateOwnMetadata")
    attributes = grants.attributes | {k: v for k, v in join.attributes.items() if v}
    metadata = join.metadata or grants.metadata
    if len(metadata.encode()) > limits.METADATA_BYTES:
        raise Denied(f"the metadata is over {limits.METADATA_BYTES} bytes", 400)
    if limits.attributes_size(attributes) > limits.ATTRIBUTES_BYTES:
        raise Denied(f"the attributes are over {limits.ATTRIBUTES_BYTES} bytes", 400)
    return grants.replace(metadata=metadata, attributes=attributes)


def _room_config(grants: Grants) -> RoomConfiguration:
    config = RoomConfiguration()
    if grants.room_config:
        try:
            json_format.Parse(grants.room_config, config, ignore_unknown_fields=True)
        except json_format.ParseError:
            raise Denied("the token's roomConfig can't be read: see RoomConfiguration") from None
    return config
