"""Departures: of sessions, and of rooms that nobody is in."""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import LeaveRequest, RegionSettings

from fairlead.policy.regions import NOWHERE
from fairlead.protocol import node
from fairlead.rooms import announcing, calling
from fairlead.rooms.context import Context
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.outputs import CloseSession, DeleteRecord, PutRecord
from fairlead.rooms.state.room import Room, dependent
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.timers import SESSION_TIMERS, Key
from fairlead.rooms.tracks import backups, data_publishing, subscribing

FINAL = (
    DisconnectReason.DUPLICATE_IDENTITY,
    DisconnectReason.PARTICIPANT_REMOVED,
    DisconnectReason.ROOM_DELETED,
)
"""Ends after which a client that was away when it came does not join anew by itself."""


def leave(
    ctx: Context,
    session: Session,
    reason: DisconnectReason,
    action: LeaveRequest.Action = LeaveRequest.DISCONNECT,
    tell: bool = True,
    regions: RegionSettings | None = None,
) -> None:
    """A session ends. ``tell``: its client did not ask for it and hears why; ``regions``: and
    where it may join anew."""
    if session.number not in ctx.sessions:
        return
    _end(ctx, session, reason, action, tell, regions)
    room = ctx.room_of(session)
    for publication in list(session.publications.by_sid.values()):
        session.publications.remove(publication.sid)
        if publication.live:
            announcing.track(ctx, room, "track_unpublished", session, publication)
        subscribing.remove_track(ctx, room, publication.sid)
    data_publishing.depart(ctx, room, session)
    session.data.published.clear()
    part(ctx, room, session, reason)
    ctx.count_later(room)
    watch_empty(ctx, room)


def hand_over(ctx: Context, session: Session) -> None:
    """Another edge has the session now: here it ends without a word, and its tracks stay. What its
    client says here before it gets there counts."""
    _end(ctx, session, DisconnectReason.MIGRATION, LeaveRequest.RESUME, tell=False, moves=True)
    room = ctx.room_of(session)
    let_go(ctx, session.sid)
    ctx.handed_over[session.sid] = session.number
    ctx.parted[session.sid] = session.record(session.told)
    ctx.timers.set(("parted", session.sid), ctx.now + defaults.HANDOVER_DELAY)
    ctx.happened("participant_moved", room, participant=session.sid)


def _end(
    ctx: Context,
    session: Session,
    reason: DisconnectReason,
    action: LeaveRequest.Action,
    tell: bool,
    regions: RegionSettings | None = None,
    moves: bool = False,
) -> None:
    """The session is no more, here and at the node."""
    room = ctx.touch(ctx.room_of(session))
    del ctx.sessions[session.number]
    ctx.unsettled.pop(session.number, None)
    for what in SESSION_TIMERS:
        ctx.timers.drop((what, session.number))
    if session.connected:
        if tell:
            send_leave(ctx, session.number, reason, action, regions)
        ctx.out.add(CloseSession(session=session.number))
    if session.absence.websocket is not None:
        del ctx.returning[session.absence.websocket]
        turn_away(ctx, session.absence.websocket, reason, action)
    if reason in FINAL:
        ctx.endings.note(session.sid, session.identity, reason)
    room.sessions.pop(session.number)
    room.changed.pop(session.sid, None)
    room.rerecord.pop(session.number, None)
    for publication in session.publications.by_sid.values():
        for rendition in publication.bound:
            ctx.out.tell(node.RemoveTrack(track=rendition.name))
        backups.forget(ctx, publication)
    if moves:
        for data in session.data.published.values():
            ctx.out.tell(node.RemoveTrack(track=data.sid))
    end = node.HandOver if moves else node.RemoveParticipant
    ctx.out.tell(end(participant=session.number))
    calling.abandon(ctx, session.number)
    for track in room.all_tracks():
        track.subscribers.discard(session.number)
    for track in room.tracks.values():
        track.askers.discard(session.number)
    pass_on_hearing(ctx, room, session)


def send_leave(
    ctx: Context,
    number: int,
    reason: DisconnectReason,
    action: LeaveRequest.Action,
    regions: RegionSettings | None = None,
) -> None:
    """Tell a client to go, or to come again."""
    ctx.out.signal(
        number,
        leave=LeaveRequest(
            reason=reason,
            action=action,
            can_reconnect=action != LeaveRequest.DISCONNECT,
            regions=regions,
        ),
    )


def turn_away(
    ctx: Context,
    number: int,
    reason: DisconnectReason,
    action: LeaveRequest.Action,
) -> None:
    """Close a websocket that has no session, saying why."""
    send_leave(ctx, number, reason, action)
    ctx.out.add(CloseSession(session=number))


def watch_empty(ctx: Context, room: Room) -> None:
    """Start, stop or skip the wait after which an empty room closes."""
    key: Key = ("room", room.name)
    if any(not dependent(person.info) for person in room.participants()):
        ctx.timers.drop(key)
    elif room.records.own is not None and not ctx.timers.waits(key):
        info = room.records.info
        wait = info.departure_timeout if room.visited else info.empty_timeout
        ctx.timers.set(key, ctx.now + wait)
    ours = any(forward.room == room.name for forward in ctx.forwards.values())
    elsewhere = room.records.shared and not room.sessions and room.remotes and not ours
    if elsewhere and room.regions != NOWHERE:
        # Those who serve its people hold it now. Where edges contradict each other on where it
        # may be, each puts its people out: if each let go too, both limits would be forgotten.
        _close(ctx, room)
    if room.abandoned:
        forget(ctx, room)


def expire(ctx: Context, name: str) -> None:
    """An empty room waited long enough."""
    room = ctx.rooms.get(name)
    if room is None:
        return
    ctx.touch(room)
    for session in list(room.sessions.values()):
        leave(ctx, session, DisconnectReason.ROOM_CLOSED)
    _close(ctx, room)
    if room.abandoned:
        forget(ctx, room)


def delete(ctx: Context, room: Room) -> None:
    """The API closes a room here, with everyone in it."""
    ctx.touch(room)
    for session in list(room.sessions.values()):
        leave(ctx, session, DisconnectReason.ROOM_DELETED)
    _close(ctx, room)
    if room.abandoned:
        forget(ctx, room)


def erase(ctx: Context, sid: str) -> None:
    """The other edges had time to hear of a departure: its record goes."""
    ctx.timers.drop(("parted", sid))
    ctx.out.add(DeleteRecord(record=ctx.parted.pop(sid)))
    let_go(ctx, sid)


def let_go(ctx: Context, sid: str) -> None:
    """Nothing more is taken from the client of a session that another edge has."""
    number = ctx.handed_over.pop(sid, None)
    if number is not None:
        ctx.out.tell(node.RemoveParticipant(participant=number))


def forget(ctx: Context, room: Room) -> None:
    """Nothing of the room is left anywhere."""
    ctx.timers.drop(("room", room.name))
    ctx.timers.drop(("count", room.name))
    ctx.timers.drop(("wider", room.name))
    ctx.finish(room)
    ctx.rooms.pop(room.name, None)
    ctx.touched.pop(room.name, None)


def _close(ctx: Context, room: Room) -> None:
    ctx.timers.drop(("room", room.name))
    if room.records.own is not None:
        if not room.records.shared:
            ctx.happened("room_finished", room)
            announcing.room(ctx, room, "room_finished")
        own = room.records.close()
        assert own is not None
        ctx.out.add(DeleteRecord(record=own))


def part(ctx: Context, room: Room, session: Session, reason: int) -> None:
    """Tell everyone, here and elsewhere, that a session is in a room no more."""
    info = session.snapshot()
    info.state = ParticipantInfo.DISCONNECTED
    info.disconnect_reason = reason  # type: ignore[assignment]
    # To SDKs a data track is over when its publisher's info does not have it any more.
    del info.data_tracks[:]
    room.parted.append(info)
    # The last record tells the other edges the reason; its deletion would not.
    record = session.record(info, left=True)
    ctx.out.add(PutRecord(record=record))
    ctx.parted[session.sid] = record
    announcing.participant(
        ctx,
        room,
        "participant_left" if session.active else "participant_connection_aborted",
        info,
    )
    ctx.timers.set(("parted", session.sid), ctx.now + defaults.PARTING_DELAY)
    ctx.happened(
        "participant_left",
        room,
        participant=session.sid,
        reason=DisconnectReason.Name(reason),
    )


def pass_on_hearing(ctx: Context, room: Room, session: Session) -> None:
    """What it was the first to hear is heard by another now, or by nobody."""
    for sid in [t for t, number in room.first_hearers.items() if number == session.number]:
        del room.first_hearers[sid]
        track = room.tracks.get(sid)
        if track is not None and track.subscribers:
            room.first_hearers[sid] = heir = min(track.subscribers)
            room.rerecord[heir] = room.sessions[heir]
