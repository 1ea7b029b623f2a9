"""A room's scene: what its creator names, and what the node is told of it.

What the scenes are is `fairlead.policy.scenes`' to say; how edges agree on one is in `records`.
"""

from __future__ import annotations

import msgspec
from livekit.protocol.models import TrackSource
from livekit.protocol.room import CreateRoomRequest, RoomConfiguration

from fairlead.policy.scenes import DEFAULT, MAX_PLAYOUT_MS, BadScene, Scene, asked
from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.tracks import caps, watching


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a room's creator asks for."""

    scene: str = ""
    """Empty is the default."""
    playout_ms: tuple[int, int] | None = None
    """Instead of the scene's own."""


NOTHING = Wish()


def wish(ctx: Context, request: CreateRoomRequest | RoomConfiguration) -> Wish:
    """What a request for a new room asks for. Raises `BadScene`."""
    name = asked(request.metadata, request.tags, ctx.settings.scenes)
    least, most = request.min_playout_delay, request.max_playout_delay
    if not least and not most:
        return Wish(scene=name)
    most = most or MAX_PLAYOUT_MS
    if not least <= most <= MAX_PLAYOUT_MS:
        raise BadScene(
            f"the room's playout delay is {least} to {most} ms: "
            f"give a range within 0 to {MAX_PLAYOUT_MS}"
        )
    return Wish(scene=name, playout_ms=(least, most))


def of(ctx: Context, room: Room) -> Scene:
    """The scene of a room; the default for one that this edge does not know."""
    known = ctx.settings.scenes
    return known.get(_name(room), known[DEFAULT])


def settle(ctx: Context, room: Room) -> None:
    """Bring the node up to date with the room's scene at the end of a step."""
    name = _name(room)
    if name != room.scene_name:
        room.scene_name = name
        if name not in ctx.settings.scenes:
            ctx.happened("scene_unknown", room, reason="the default scene is taken instead")
    scene = of(ctx, room)
    command = _command(room, scene) if room.sessions else node.SetScene(room=room.key)
    if command != room.scene_told:
        room.scene_told = command
        ctx.out.tell(command)
    if scene.video_height != room.video_height:
        room.video_height = scene.video_height
        watching.review(ctx, room)


def _name(room: Room) -> str:
    return (room.records.scene or DEFAULT) if room.records.exists else DEFAULT


def _command(room: Room, scene: Scene) -> node.SetScene:
    playout = room.records.playout_ms or scene.playout_ms
    return node.SetScene(
        room=room.key,
        audio_top=scene.audio_top,
        unranked=sorted(t.sid for t in room.tracks.values() if scene.audio_top and _shared(t)),
        repeats=scene.speech_repeats,
        copies=scene.video_copies,
        speech_reserve_kbps=scene.speech_reserve_kbps,
        playout_ms=(playout[0], playout[1]) if playout else None,
    )


def _shared(track: Track) -> bool:
    """Whether it is the sound of a shared screen: it competes with no voice."""
    info = caps.info_of(track)
    return info is not None and info.source == TrackSource.SCREEN_SHARE_AUDIO
