"""What publishers are told of what anybody needs of a track: of a picture the codecs and their
layers, of sound the codec. The others they need not send."""

from __future__ import annotations

from livekit.protocol.models import SubscribedAudioCodec, VideoQuality
from livekit.protocol.rtc import SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate

from fairlead.policy.overload import BEST
from fairlead.rooms.context import Context
from fairlead.rooms.state.publication import Publication, codec_name
from fairlead.rooms.state.rendition import NONE, Rendition, track_sid
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.timers import Key

DOWNGRADE_DELAY = 5.0
"""Seconds that a layer goes on which nobody needs: who turns a page may turn back."""
REPEAT_DELAY = 2.0
"""Seconds after an answer until everything is told again: a client that sets up its senders anew
may have let go what it was told meanwhile."""
QUALITIES = (VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH)


def needed(ctx: Context, name: str, quality: int | None) -> None:
    """The best quality of a rendition that anybody needs, on any node; None for none."""
    found = _found(ctx, name)
    if found is not None:
        session, publication, rendition = found
        rendition.needed = NONE if quality is None else quality
        review(ctx, session, publication)


def review(ctx: Context, session: Session, publication: Publication) -> None:
    """Tell of more at once, of less in a while. Nothing is told of a track that never came: it
    could not begin."""
    if not publication.live:
        return
    if publication.kind == "audio":
        _review_sound(ctx, session, publication)
        return
    if not publication.info.layers:
        return
    for rendition in publication.renditions:
        key: Key = ("quality", rendition.name)
        need = _need(publication, rendition)
        if need > rendition.told_needed:
            _tell(ctx, session, publication, rendition)
        if need >= rendition.told_needed:
            ctx.timers.drop(key)
        elif not ctx.timers.waits(key):
            ctx.timers.set(key, ctx.now + DOWNGRADE_DELAY)


def downgrade(ctx: Context, name: str) -> None:
    """Less was needed for a while."""
    found = _found(ctx, name)
    if found is not None:
        session, publication, rendition = found
        if _need(publication, rendition) < rendition.told_needed:
            _tell(ctx, session, publication, rendition)


def answered(ctx: Context, session: Session) -> None:
    """The client's offer was answered."""
    if any(rendition.heard_needed for rendition in session.publications.renditions()):
        ctx.timers.set(("qualities", session.number), ctx.now + REPEAT_DELAY)


def repeat(ctx: Context, session: Session) -> None:
    """Tell everything again."""
    for publication in session.publications.live():
        if any(rendition.heard_needed for rendition in publication.renditions):
            _signal(ctx, session, publication)


def _found(ctx: Context, name: str) -> tuple[Session, Publication, Rendition] | None:
    sid = track_sid(name)
    for session in ctx.sessions.values():
        if sid in session.publications.by_sid:
            rendition = session.publications.by_name(name)
            return (session, session.publications.of(rendition), rendition) if rendition else None
    return None


def _need(publication: Publication, rendition: Rendition) -> int:
    """What its publisher should send: of a backup that does not come yet all, or nothing; of others
    no more than its device bears."""
    if rendition is publication.backup and not rendition.live:
        return BEST if publication.backup_asked else NONE
    return min(rendition.needed, rendition.encoding.quality)


def _tell(ctx: Context, session: Session, publication: Publication, rendition: Rendition) -> None:
    rendition.told_needed = _need(publication, rendition)
    rendition.heard_needed = True
    _signal(ctx, session, publication)


def _signal(ctx: Context, session: Session, publication: Publication) -> None:
    if publication.kind == "audio":
        _signal_sound(ctx, session, publication)
        return
    told = [SubscribedCodec(codec=_name(publication), qualities=_qualities(publication.primary))]
    backup = publication.backup
    # A client that hears of a codec takes it for asked.
    if backup is not None and (backup.heard_needed or backup.live):
        told.append(SubscribedCodec(codec=backup.codec, qualities=_qualities(backup)))
    ctx.out.signal(
        session.number,
        subscribed_quality_update=SubscribedQualityUpdate(
            track_sid=publication.sid,
            subscribed_qualities=told[0].qualities,
            subscribed_codecs=told,
        ),
    )


def _qualities(rendition: Rendition) -> list[SubscribedQuality]:
    return [
        SubscribedQuality(quality=quality, enabled=quality <= rendition.told_needed)
        for quality in QUALITIES
    ]


def _name(publication: Publication) -> str:
    """As its publisher calls the first codec, whatever was negotiated instead."""
    return publication.primary.codec or codec_name(publication.info.mime_type)


def _review_sound(ctx: Context, session: Session, publication: Publication) -> None:
    """Of sound that was announced in several codecs one is sent, and nobody needs another: who
    does not take it gets nothing, but for RED, which the node packs and unpacks."""
    rendition = publication.primary
    told = rendition.told_needed if rendition.heard_needed else None
    if len(publication.announced) > 1 and rendition.needed != told:
        rendition.told_needed = rendition.needed
        rendition.heard_needed = True
        _signal(ctx, session, publication)


def _signal_sound(ctx: Context, session: Session, publication: Publication) -> None:
    sent = codec_name(publication.info.mime_type)
    heard = publication.primary.told_needed != NONE
    codecs = [
        SubscribedAudioCodec(codec=codec, enabled=heard and codec == sent)
        for codec in dict.fromkeys([*publication.announced, sent])
    ]
    ctx.out.signal(
        session.number,
        subscribed_audio_codec_update={
            "track_sid": publication.sid,
            "subscribed_audio_codecs": codecs,
        },
    )
