"""Whether a session may hear a track, of media or of data, and what it is told of that."""

from __future__ import annotations

from livekit.protocol.rtc import SubscriptionPermission

from fairlead.rooms.context import Context
from fairlead.rooms.state.datatrack import DataTrack
from fairlead.rooms.state.room import Track
from fairlead.rooms.state.session import Session


def hears(
    ctx: Context, session: Session, track: Track | DataTrack, *, wished: bool, refused: set[str]
) -> bool:
    """Whether a session that wished for a track, or not, hears it. ``refused``: the tracks that it
    was told their publisher does not allow it; it is told when that changes."""
    other = track.publisher is not session and not track.publisher.hidden
    wanted = wished and other and session.grants.can_subscribe
    allowed = _permits(track.publisher.permission, session, track.sid)
    if wanted and not allowed and track.sid not in refused:
        refused.add(track.sid)
        tell(ctx, session, track, allowed=False)
    elif allowed and track.sid in refused:
        refused.discard(track.sid)
        tell(ctx, session, track, allowed=True)
    return wanted and allowed


def tell(ctx: Context, session: Session, track: Track | DataTrack, *, allowed: bool) -> None:
    """Tell a session whether a publisher lets it hear a track."""
    ctx.out.signal(
        session.number,
        subscription_permission_update={
            "participant_sid": track.publisher.sid,
            "track_sid": track.sid,
            "allowed": allowed,
        },
    )


def _permits(permission: SubscriptionPermission | None, session: Session, track: str) -> bool:
    """Whether a publisher's permission lets a session hear a track."""
    if permission is None or permission.all_participants:
        return True
    for entry in permission.track_permissions:
        named = session.sid == entry.participant_sid or (
            session.identity == entry.participant_identity
        )
        if named and (entry.all_tracks or track in entry.track_sids):
            return True
    return False
