"""Offers and answers between a client and the node, in both topologies."""

from __future__ import annotations

import json

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest, SessionDescription, SignalTarget, TrickleRequest

from fairlead.protocol import node, sdp
from fairlead.protocol.sdp import MediaSection, SectionEdit
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_publishing, dynacast, publishing, subscribing

MAX_CANDIDATE_BYTES = 2048
REASON_LENGTH = 200


def client_offer(ctx: Context, session: Session, offer: SessionDescription) -> None:
    """The client offers on its publisher connection (its only one, in a single connection)."""
    try:
        sections = sdp.read(offer.sdp)
    except sdp.BadSdp as error:
        fail(ctx, session, str(error))
        return
    if session.offers.take(offer, sections):
        _pass_offer(ctx, session, offer)


def answered(ctx: Context, session: Session, event: node.Answered) -> None:
    """The node answered the client's offer: bind what it carries and pass the answer on."""
    sections = session.offers.finish(event.offer_id)
    if sections is None:
        return
    gone, matches = session.publications.match(sections)
    publishing.unbind(ctx, session, gone)
    publishing.bind(ctx, session, matches)
    carried: dict[str, str] = {}
    closed: list[str] = []
    if session.single:
        carried, closed = session.client_lines.fill(sections)
        subscribing.stop(ctx, session, closed)
    if session.absence.moving:
        carried = session.client_lines.carried()
        data_publishing.settle_moved(ctx, session)
        publishing.settle_moved(ctx, session)
    edits = _answer_edits(session, sections)
    mapping = session.client_lines.carried() if session.single else {}
    ctx.out.signal(
        session.number,
        answer=SessionDescription(
            type="answer",
            sdp=sdp.edit(event.sdp, edits | _msids(ctx, session, mapping)),
            id=event.offer_id,
            mid_to_track_id=mapping,
        ),
    )
    subscribing.start(ctx, session, carried, sections)
    dynacast.answered(ctx, session)
    ctx.settle_later(session)
    following = session.offers.following()
    if following is not None:
        _pass_offer(ctx, session, following)


def settle(ctx: Context, session: Session) -> None:
    """Start the exchange that the session's subscriptions need, if none is under way."""
    if not session.connected:
        return  # nobody would hear of it
    if session.single:
        if not session.offers.idle:
            return
        needed = session.client_lines.requirement()
        if needed is not None:
            ctx.out.signal(
                session.number,
                media_sections_requirement={"num_audios": needed[0], "num_videos": needed[1]},
            )
        return
    if not session.could_subscribe and not session.wanted:
        return
    sections = session.server_lines.offer()
    if sections is not None:
        ctx.timers.set(("answer", session.number), ctx.now + defaults.ANSWER_TIMEOUT)
        ctx.out.tell(
            node.CreateOffer(
                participant=session.number,
                offer_id=session.server_lines.offer_id,
                sections=sections,
                restart_ice=session.absence.restart,
            )
        )
        session.absence.restart = False


def offered(ctx: Context, session: Session, event: node.Offered) -> None:
    """The node made the offer asked for: pass it on."""
    lines = session.server_lines
    if event.offer_id != lines.offer_id:
        return
    lines.offered(event.mids)
    mapping = lines.carried()
    edits = {mid: SectionEdit(clear_msid=True, direction="inactive") for mid in lines.idle()}
    ctx.out.signal(
        session.number,
        offer=SessionDescription(
            type="offer",
            sdp=sdp.edit(event.sdp, edits | _msids(ctx, session, mapping)),
            id=event.offer_id,
            mid_to_track_id=mapping,
        ),
    )


def client_answer(ctx: Context, session: Session, answer: SessionDescription) -> None:
    """The client answers our offer; an answer to an older one is let go."""
    lines = session.server_lines
    if session.single or not lines.outstanding or answer.id not in (0, lines.offer_id):
        return
    try:
        sections = sdp.read(answer.sdp)
    except sdp.BadSdp as error:
        fail(ctx, session, str(error))
        return
    ctx.timers.drop(("answer", session.number))
    ctx.out.tell(
        node.AcceptAnswer(participant=session.number, offer_id=lines.offer_id, sdp=answer.sdp)
    )
    subscribing.start(ctx, session, lines.answered(), sections)
    ctx.settle_later(session)


def trickle(ctx: Context, session: Session, request: TrickleRequest) -> None:
    """A candidate of the client's; one that can't be read is counted and let go."""
    if len(request.candidateInit) > MAX_CANDIDATE_BYTES:
        fault(ctx, session, "a candidate over the size limit")
        return
    try:
        text = json.loads(request.candidateInit).get("candidate") or ""
    except (ValueError, AttributeError, RecursionError):
        fault(ctx, session, "a candidate that is not JSON")
        return
    if not isinstance(text, str) or not text:
        return
    subscriber = request.target == SignalTarget.SUBSCRIBER and not session.single
    ctx.out.tell(
        node.AddCandidate(
            participant=session.number,
            transport="subscriber" if subscriber else "publisher",
            candidate=text,
        )
    )


def failed(ctx: Context, session: Session, event: node.NegotiationFailed) -> None:
    """The node could not use a description; candidates fail alone."""
    offers = session.offers
    ours = event.transport == "subscriber" and event.offer_id == session.server_lines.offer_id
    if ours or (event.transport == "publisher" and offers.waits_for(event.offer_id)):
        fail(ctx, session, event.reason)
    else:
        fault(ctx, session, event.reason)


def fail(ctx: Context, session: Session, reason: str) -> None:
    """Descriptions can't be agreed on: a client that never had a connection is turned away, one
    that had is told to join anew."""
    fault(ctx, session, reason)
    if session.active or session.offers.answered:
        leaving.leave(ctx, session, DisconnectReason.STATE_MISMATCH, action=LeaveRequest.RECONNECT)
    else:
        leaving.leave(ctx, session, DisconnectReason.JOIN_FAILURE)


def _pass_offer(ctx: Context, session: Session, offer: SessionDescription) -> None:
    ctx.out.tell(
        node.AcceptOffer(
            participant=session.number,
            transport="publisher",
            offer_id=offer.id,
            sdp=offer.sdp,
        )
    )
    if session.absence.had is not None:
        had, session.absence.had = session.absence.had, None
        ctx.out.tell(node.ReplayData(participant=session.number, had=had))


def _answer_edits(session: Session, sections: list[MediaSection]) -> dict[str, SectionEdit]:
    """How the m-lines that carry no subscription should read."""
    edits: dict[str, SectionEdit] = {}
    if session.single:
        for mid in session.client_lines.idle():
            edits[mid] = SectionEdit(clear_msid=True, direction="inactive")
    for section in sections:
        rendition = session.publications.by_mid(section.mid)
        if rendition is not None and section.sends:
            publication = session.publications.of(rendition)
            first = session.device.first_codecs
            edits[section.mid] = publication.answer_edit(rendition, section, first)
    return edits


def _msids(ctx: Context, session: Session, mapping: dict[str, str]) -> dict[str, SectionEdit]:
    """Name the track on each m-line that carries one: the participant and the track."""
    room = ctx.room_of(session)
    edits = {}
    for mid, sid in mapping.items():
        track = room.tracks[sid]
        stream = f"{track.publisher.sid}|{sid}"
        edits[mid] = SectionEdit(msid=(stream, sid), direction="sendonly")
    return edits


def fault(ctx: Context, session: Session, reason: str) -> None:
    """Count what a client did wrong."""
    ctx.happened(
        "client_fault",
        ctx.room_of(session),
        participant=session.sid,
        reason=reason[:REASON_LENGTH],
    )
