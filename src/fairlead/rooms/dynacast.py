"""What publishers are told of the layers that anybody needs: the others they need not send."""

from __future__ import annotations

from livekit.protocol.models import VideoQuality
from livekit.protocol.rtc import SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate

from fairlead.rooms.context import Context
from fairlead.rooms.publication import Publication
from fairlead.rooms.session import Session
from fairlead.rooms.timers import Key

DOWNGRADE_DELAY = 5.0
"""Seconds that a layer goes on which nobody needs: who turns a page may turn back."""
REPEAT_DELAY = 2.0
"""Seconds after an answer until everything is told again: a client that sets up its senders anew
may have let go what it was told meanwhile."""
QUALITIES = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)
NONE = -1


def needed(ctx: Context, sid: str, quality: int | None) -> None:
    """The best quality of a track that anybody needs, on any node; None for none."""
    session = next((s for s in ctx.sessions.values() if sid in s.publications.by_sid), None)
    if session is not None:
        publication = session.publications.by_sid[sid]
        publication.needed = NONE if quality is None else quality
        review(ctx, session, publication)


def review(ctx: Context, session: Session, publication: Publication) -> None:
    """Tell of more at once, of less in a while. Nothing is told of a track that never came: it
    could not begin."""
    key: Key = ("quality", publication.sid)
    if not publication.live or not publication.info.layers or publication.kind != "video":
        return
    if publication.needed > publication.told_needed:
        _tell(ctx, session, publication)
    if publication.needed >= publication.told_needed:
        ctx.timers.drop(key)
    elif not ctx.timers.waits(key):
        ctx.timers.set(key, ctx.now + DOWNGRADE_DELAY)


def downgrade(ctx: Context, sid: str) -> None:
    """Less was needed for a while."""
    for session in ctx.sessions.values():
        publication = session.publications.by_sid.get(sid)
        if publication is not None and publication.needed < publication.told_needed:
            _tell(ctx, session, publication)


def answered(ctx: Context, session: Session) -> None:
    """The client's offer was answered."""
    if any(p.heard_needed for p in session.publications.by_sid.values()):
        ctx.timers.set(("qualities", session.number), ctx.now + REPEAT_DELAY)


def repeat(ctx: Context, session: Session) -> None:
    """Tell everything again."""
    for publication in session.publications.live():
        if publication.heard_needed:
            _signal(ctx, session, publication)


def _tell(ctx: Context, session: Session, publication: Publication) -> None:
    publication.told_needed = publication.needed
    publication.heard_needed = True
    _signal(ctx, session, publication)


def _signal(ctx: Context, session: Session, publication: Publication) -> None:
    qualities = [
        SubscribedQuality(quality=quality, enabled=quality <= publication.told_needed)
        for quality in QUALITIES
    ]
    codec = publication.info.mime_type.rpartition("/")[2].lower()
    ctx.out.signal(
        session.number,
        subscribed_quality_update=SubscribedQualityUpdate(
            track_sid=publication.sid,
            subscribed_qualities=qualities,
            subscribed_codecs=[SubscribedCodec(codec=codec, qualities=qualities)],
        ),
    )
