"""What the records of other nodes say: their rooms, their participants, their tracks."""

from __future__ import annotations

from typing import Literal

from google.protobuf.message import DecodeError
from livekit.protocol.models import DisconnectReason

from fairlead.protocol.node import Layer
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving
from fairlead.rooms.state.datatrack import DataTrack
from fairlead.rooms.state.outputs import PutRecord
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room, Track, backup_of
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_subscribing, subscribing
from fairlead.types import ParticipantRecord, RoomRecord, TrackRecord


def room_came(ctx: Context, record: RoomRecord) -> None:
    """Another edge holds a room, or changed it."""
    if record.node == ctx.settings.node:
        return
    room = ctx.room(record.name)
    before = room.records.info if room.records.exists else None
    room.records.put(record)
    _merge(ctx, room)
    if before is not None and room.records.info != before:
        room.info_changed = True
    leaving.watch_empty(ctx, room)


def room_went(ctx: Context, name: str, number: int) -> None:
    """Another edge holds a room no more."""
    room = ctx.rooms.get(name)
    if room is None or number == ctx.settings.node:
        return
    ctx.touch(room)
    room.records.drop(number)
    _merge(ctx, room)
    leaving.watch_empty(ctx, room)


def participant_came(ctx: Context, record: ParticipantRecord) -> None:
    """Another edge serves a session, or it changed. A record that can't be read is let go."""
    if record.node != ctx.settings.node:
        take(ctx, record)


def take(ctx: Context, record: ParticipantRecord) -> None:
    """Show a session that this node does not serve: another's, or one of its own that is in
    another room."""
    room = ctx.room(record.room)
    local = next((s for s in room.sessions.values() if s.sid == record.sid), None)
    if local is not None:
        if record.session < local.order:
            return  # the edge that had it before
        _moved_away(ctx, room, local, record)
        return
    remote = room.remotes.get(record.sid)
    if remote is not None and record.session < remote.order:
        return  # it moved on since
    try:
        if remote is None:
            remote = RemoteParticipant(record)
        else:
            news = RemoteParticipant(record)
            permitted = news.permission == remote.permission
            told = news.info == remote.info
            remote.update(record)
            if remote.shown and not remote.left:
                _refresh(ctx, room, remote, told, permitted)
    except DecodeError:
        return
    if remote.left:
        _gone(ctx, room, remote, remote.info.disconnect_reason)
        return
    if record.sid not in room.remotes:
        room.remotes[record.sid] = remote
        room.visited = True
        _reconcile(ctx, room, record.identity)
    subscribing.heard_elsewhere(ctx, room, record.heard)
    leaving.watch_empty(ctx, room)


def participant_went(ctx: Context, name: str, number: int, sid: str) -> None:
    """A session of another edge is no more."""
    room = ctx.rooms.get(name)
    remote = room.remotes.get(sid) if room is not None else None
    if room is not None and remote is not None and remote.node == number:
        _gone(ctx, ctx.touch(room), remote, DisconnectReason.UNKNOWN_REASON)


def _moved_away(ctx: Context, room: Room, session: Session, record: ParticipantRecord) -> None:
    """Another edge took a session of this one: to the people here nothing changes."""
    try:
        remote = RemoteParticipant(record)
    except DecodeError:
        return
    leaving.hand_over(ctx, session)
    remote.shown = True
    room.remotes[record.sid] = remote
    for track in room.all_tracks():
        if track.publisher is session:
            track.publisher = remote
    _refresh(ctx, room, remote, told=False, permitted=True)


def _merge(ctx: Context, room: Room) -> None:
    adopted = room.records.adopt()
    if adopted is not None:
        ctx.out.add(PutRecord(record=adopted))


def _gone(ctx: Context, room: Room, remote: RemoteParticipant, reason: int) -> None:
    room.remotes.pop(remote.sid, None)
    _hide(ctx, room, remote, reason)
    _reconcile(ctx, room, remote.identity)
    leaving.watch_empty(ctx, room)


def _reconcile(ctx: Context, room: Room, identity: str) -> None:
    """Of several sessions of one identity the newest stays, here and elsewhere."""
    local = room.local(identity)
    remotes = [remote for remote in room.remotes.values() if remote.identity == identity]
    people: list[RemoteParticipant | Session] = [*remotes, *([local] if local else [])]
    newest = max(people, key=lambda person: person.order, default=None)
    for remote in remotes:
        if remote is not newest:
            _hide(ctx, room, remote, DisconnectReason.DUPLICATE_IDENTITY)
    if local is not None and local is not newest:
        leaving.leave(ctx, local, DisconnectReason.DUPLICATE_IDENTITY)
    if isinstance(newest, RemoteParticipant) and not newest.shown:
        _show(ctx, room, newest)


def _show(ctx: Context, room: Room, remote: RemoteParticipant) -> None:
    remote.shown = True
    room.changed[remote.sid] = remote
    ctx.count_later(room)
    for track in remote.record.tracks:
        subscribing.add_track(ctx, room, _track(remote, track))
    _follow_data(ctx, room, remote)


def _hide(ctx: Context, room: Room, remote: RemoteParticipant, reason: int) -> None:
    if not remote.shown:
        return
    remote.shown = False
    room.changed.pop(remote.sid, None)
    for track in [t for t in room.tracks.values() if t.publisher is remote]:
        _remove(ctx, room, remote, track.sid)
    for data in [t for t in room.data_tracks.values() if t.publisher is remote]:
        _remove_data(ctx, room, remote, data.sid)
    room.parted.append(remote.parting(reason))
    ctx.count_later(room)


def _refresh(
    ctx: Context, room: Room, remote: RemoteParticipant, told: bool, permitted: bool
) -> None:
    """A shown participant's record changed."""
    if not told:
        room.changed[remote.sid] = remote
        ctx.count_later(room)
    here = {t.sid for t in room.tracks.values() if t.publisher is remote}
    there = {track.sid: track for track in remote.record.tracks}
    for sid in here - there.keys():
        _remove(ctx, room, remote, sid)
    for sid, track in there.items():
        if sid not in here:
            subscribing.add_track(ctx, room, _track(remote, track))
        else:
            _follow(ctx, room, room.tracks[sid], _track(remote, track))
    _follow_data(ctx, room, remote)
    if not permitted:
        subscribing.review_publisher(ctx, room, remote)


def _follow(ctx: Context, room: Room, track: Track, now: Track) -> None:
    """A track comes from another node now, in streams of that node's, or its backup changed."""
    if track.backup != now.backup:
        track.backup = now.backup
        ctx.refit(room, track)
    if track.layers != now.layers:
        track.layers, track.red = now.layers, now.red
        ctx.touch(room)


def _follow_data(ctx: Context, room: Room, remote: RemoteParticipant) -> None:
    """A shown participant has these data tracks, in these streams."""
    here = {t.sid: t for t in room.data_tracks.values() if t.publisher is remote}
    there = {record.sid: record.stream for record in remote.record.data_tracks}
    for sid in here.keys() - there.keys():
        _remove_data(ctx, room, remote, sid)
    for sid, stream in there.items():
        if sid not in here:
            data_subscribing.add_track(ctx, room, DataTrack(sid, remote, stream))
        elif here[sid].stream != stream:
            here[sid].stream = stream
            ctx.touch(room)


def _remove(ctx: Context, room: Room, remote: RemoteParticipant, sid: str) -> None:
    forgotten = _forgets(ctx, room, remote, sid)
    subscribing.remove_track(ctx, room, sid, forgotten=forgotten)


def _remove_data(ctx: Context, room: Room, remote: RemoteParticipant, sid: str) -> None:
    forgotten = _forgets(ctx, room, remote, sid)
    data_subscribing.remove_track(ctx, room, sid, forgotten=forgotten)


def _forgets(ctx: Context, room: Room, remote: RemoteParticipant, sid: str) -> bool:
    """Whether the node forgets a track that a room has no more: it goes on with what is its own,
    and with what is in another room too."""
    only_here = ctx.meshed.get(sid, set()) <= {room.name}
    return remote.node != ctx.settings.node and only_here


def _track(remote: RemoteParticipant, record: TrackRecord) -> Track:
    kind: Literal["audio", "video"] = "audio" if record.kind == "audio" else "video"
    layers = [Layer(stream=x.stream, rid=None, quality=x.quality) for x in record.layers]
    backup = backup_of(record.backup)
    return Track(record.sid, kind, remote, layers, red=record.red, backup=backup)
