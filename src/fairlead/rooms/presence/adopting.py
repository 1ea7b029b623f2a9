"""Adopting: a session that another edge served goes on here, with its sid and its tracks.

What the session is stands in the other edge's record; what its connection carries, the client says
(`sync_state`). The connection itself begins anew under the same m-lines: ICE, DTLS, and SCTP as the
restart of an association (decision 8). That works where the client makes the offers; with two
connections the client is told to join anew.
"""

from __future__ import annotations

import msgspec
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import LeaveRequest, SignalRequest, SyncState

from fairlead.policy.grants import Grants
from fairlead.protocol import node, sdp
from fairlead.protocol.join import Join
from fairlead.rooms.context import Context
from fairlead.rooms.presence import arriving, boundary, leaving, resuming
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state import updates
from fairlead.rooms.state.adoption import Adoption
from fairlead.rooms.state.datatrack import DataPublication
from fairlead.rooms.state.outputs import CloseSession
from fairlead.rooms.state.publication import Publication
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_subscribing, subscribing

MAX_CHANNEL = 65_534
"""RFC 8832 section 6."""


def begin(ctx: Context, number: int, grants: Grants, request: Join) -> bool:
    """Whether the session that a client asks for can go on here; it is told so once the node said
    where its messages stand."""
    adoption = Adoption(grants=grants, join=request, room=grants.require_join())
    room, remote = _found(ctx, adoption)
    if room is None or remote is None or not request.single or ctx.drain.on:
        return False
    try:
        boundary.check(ctx, room.name, room.regions)
    except boundary.Outside:
        return False
    for earlier, other in list(ctx.adoptions.items()):
        if (other.sid, other.room) == (adoption.sid, adoption.room):
            drop(ctx, earlier)
            ctx.out.add(CloseSession(session=earlier))
    ctx.adoptions[number] = adoption
    ctx.timers.set(("adopt", number), ctx.now + defaults.RESUME_TIMEOUT)
    arriving.tell_node(ctx, number, room, remote, grants, request)
    ctx.out.tell(node.ResumeParticipant(participant=number))
    return True


def greet(ctx: Context, number: int, event: node.Resumed) -> None:
    """The node knows where the client's messages stand: it may say what it has."""
    adoption = ctx.adoptions.get(number)
    if adoption is None:
        return
    room, remote = _found(ctx, adoption)
    if room is None or remote is None:
        give_up(ctx, number)
        return
    ctx.out.signal(
        number,
        reconnect=arriving.welcome_back(ctx, adoption.sid, adoption.join, event.last_sequence),
    )
    here = {person.identity for person in room.participants()}
    departed = room.departures.since(ctx.now - defaults.RESUME_LIMIT) or []
    gone = [info for info in departed if info.identity not in here]
    for update in updates.chunks([*gone, *room.shown_to(remote.identity), remote.info]):
        ctx.out.signal(number, update=update)
    ctx.out.signal(number, room_update={"room": room.info()})


def take(ctx: Context, number: int, request: SignalRequest) -> None:
    """What a client says before its session is here: all but what it has is let go."""
    match request.WhichOneof("message"):
        case "sync_state":
            _commit(ctx, number, request.sync_state)
        case "leave":
            drop(ctx, number)
        case _:
            pass


def give_up(ctx: Context, number: int) -> None:
    """The session can't go on here: its client has to join anew."""
    if drop(ctx, number):
        leaving.turn_away(ctx, number, DisconnectReason.STATE_MISMATCH, LeaveRequest.RECONNECT)


def drop(ctx: Context, number: int) -> bool:
    """Forget a client that asked; False if there is none."""
    if ctx.adoptions.pop(number, None) is None:
        return False
    ctx.timers.drop(("adopt", number))
    ctx.out.tell(node.RemoveParticipant(participant=number))
    return True


def _found(ctx: Context, adoption: Adoption) -> tuple[Room | None, RemoteParticipant | None]:
    room = ctx.rooms.get(adoption.room)
    remote = room.remotes.get(adoption.sid) if room is not None else None
    mine = remote is not None and remote.shown and remote.identity == adoption.grants.identity
    return (room, remote) if mine else (None, None)


def _commit(ctx: Context, number: int, state: SyncState) -> None:
    adoption = ctx.adoptions[number]
    room, remote = _found(ctx, adoption)
    try:
        carried = {x.mid: x.track for x in sdp.read(state.answer.sdp) if x.sends}
    except sdp.BadSdp:
        carried = None
    if room is None or remote is None or carried is None or not _has(remote, state):
        give_up(ctx, number)
        return
    del ctx.adoptions[number]
    ctx.timers.drop(("adopt", number))
    session = _session(ctx, number, adoption, remote, state)
    _move_in(ctx, room, remote, session)
    data_subscribing.update(ctx, session, state.data_subscription)
    subscribing.review_session(ctx, room, session)
    session.client_lines.keep({m: sid for m, sid in carried.items() if sid in session.wanted})
    here = max(0.0, ctx.now - session.joined_at)
    ctx.out.tell(node.AdoptConnection(participant=number, channels=_channels(state), here_s=here))
    session.absence.moving = True
    session.absence.had = resuming.received(ctx, session, state)
    arriving.refresh_token(ctx, session)
    resuming.expect_ping(ctx, session)
    ctx.timers.set(("resume", number), ctx.now + defaults.ADOPT_TIMEOUT)
    ctx.happened("participant_adopted", room, participant=session.sid)


def _has(remote: RemoteParticipant, state: SyncState) -> bool:
    known = {track.sid for track in remote.info.tracks}
    data = {info.sid for info in remote.info.data_tracks}
    return all(published.track.sid in known for published in state.publish_tracks) and all(
        published.info.sid in data for published in state.publish_data_tracks
    )


def _session(
    ctx: Context, number: int, adoption: Adoption, remote: RemoteParticipant, state: SyncState
) -> Session:
    """The session as the other edge had it, in the order of sessions after that."""
    info = ParticipantInfo()
    info.CopyFrom(remote.info)
    info.region = ctx.settings.region
    join = msgspec.structs.replace(
        adoption.join, auto_subscribe=not state.subscription.subscribe, offer=None
    )
    grants = adoption.grants.replace(
        name=info.name, metadata=info.metadata, attributes=dict(info.attributes)
    )
    now = max(ctx.now, (remote.order[0] + 1) / 1_000_000)
    session = Session(number, remote.sid, now, ctx.settings.node, ctx.settings.region, grants, join)
    session.info = session.told = info
    session.permission = remote.permission
    session.joined_at = info.joined_at_ms / 1000
    session.heard_at = ctx.now
    session.active, session.fresh = True, False
    session.absence.silent = True
    tracks = {track.sid: track for track in info.tracks}
    records = {record.sid: record for record in remote.record.tracks}
    for published in state.publish_tracks:
        sid = published.track.sid
        moved = Publication.moved(tracks[sid], published.cid, records.get(sid))
        session.publications.add(moved)
    said = {published.info.sid for published in state.publish_data_tracks}
    for data in [one for one in remote.info.data_tracks if one.sid in said]:
        session.data.published[data.pub_handle] = DataPublication(data)
    session.data.wishes = dict.fromkeys(remote.record.data_heard, True)
    wanted = state.subscription
    for sid in list(wanted.track_sids)[: defaults.MAX_WISHES]:
        session.wishes[sid] = wanted.subscribe
    return session


def _move_in(ctx: Context, room: Room, remote: RemoteParticipant, session: Session) -> None:
    """Put the session where the other edge's was: to the people here nothing changes."""
    del room.remotes[remote.sid]
    # It may have been here a moment ago: its record of then is written over, not taken back.
    ctx.parted.pop(remote.sid, None)
    ctx.timers.drop(("parted", remote.sid))
    leaving.let_go(ctx, remote.sid)
    ctx.sessions[session.number] = room.sessions[session.number] = session
    room.visited = True
    if room.records.own is None:
        arriving.open_room(ctx, room, room.records.info, room.regions)
    for track in [t for t in room.tracks.values() if t.publisher is remote]:
        if track.sid in session.publications.by_sid:
            track.publisher = session
        else:
            subscribing.remove_track(ctx, room, track.sid)
    for data in [t for t in room.data_tracks.values() if t.publisher is remote]:
        if session.data.by_sid(data.sid) is not None:
            data.publisher, data.stream = session, 0
        else:
            data_subscribing.remove_track(ctx, room, data.sid)
    ctx.touch(room)
    leaving.watch_empty(ctx, room)


def _channels(state: SyncState) -> list[int]:
    """The ids of the client's reliable and of its lossy channel, and of that of data tracks; those
    agreed on by default."""
    ids = {channel.label: channel.id for channel in state.data_channels}
    agreed = (("_reliable", 100), ("_lossy", 101), ("_data_track", 102))
    return [min(ids.get(label, usual), MAX_CHANNEL) for label, usual in agreed]
