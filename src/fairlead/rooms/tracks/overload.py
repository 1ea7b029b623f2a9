"""Viewers that decode too slowly and publishers that encode too slowly, as the node's reports show
them: what they get and give at most."""

from __future__ import annotations

from livekit.protocol.models import TrackSource

from fairlead.protocol.node import Figures
from fairlead.rooms.context import Context
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import dynacast, watching


def report(ctx: Context, session: Session, figures: Figures) -> None:
    """The node reports of one session."""
    rules = ctx.settings.devices
    keyframes, loss = figures.keyframes_asked, figures.loss_down
    if session.decoding.take(ctx.now, rules.slow_decoder, keyframes, loss):
        watching.review_session(ctx, ctx.room_of(session), session)
    for picture in figures.pictures:
        rendition = session.publications.by_name(picture.track)
        if rendition is None:
            continue
        publication = session.publications.of(rendition)
        if publication.info.source != TrackSource.CAMERA:
            continue
        layers, fps, loss = picture.layers, picture.fps, figures.loss_up
        if rendition.encoding.take(ctx.now, rules.slow_encoder, layers, fps, loss):
            dynacast.review(ctx, session, publication)
