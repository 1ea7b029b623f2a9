"""Coming back: a client whose websocket was lost takes its session up again, and nobody else
notices.

A session outlives its websocket while its media lives, and through `settings.RESUME_SILENCE` of
silence. What the client may have missed is told again; its connections restart ICE.
"""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest, SyncState

from fairlead.policy.grants import Grants
from fairlead.protocol import node, sdp
from fairlead.protocol.join import Join
from fairlead.rooms.context import Context
from fairlead.rooms.presence import adopting, arriving, leaving, negotiating
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state import speakers, updates
from fairlead.rooms.state.outputs import CloseSession, TakeOver
from fairlead.rooms.state.room import Room
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import data_publishing, data_subscribing, permitting, subscribing

DEPARTED_PROTOCOL = 9
"""From here on clients take news of those who left while they were away."""


def signal_lost(ctx: Context, number: int) -> None:
    """A websocket is gone: that of a session, or one on which a client was coming back."""
    if adopting.drop(ctx, number):
        return
    waiting = ctx.returning.pop(number, None)
    if waiting is not None:
        ctx.sessions[waiting].absence.websocket = None
        return
    session = ctx.sessions.get(number)
    if session is None or not session.connected:
        return
    session.connected = False
    if session.active and session.parting != DisconnectReason.MEDIA_FAILURE:
        _hold(ctx, session, defaults.HOLD)
        _wait(ctx, session)
    else:
        leaving.leave(ctx, session, session.parting)


def fell_silent(ctx: Context, session: Session) -> None:
    """Nothing comes from the client any more on the connection that it listens on."""
    session.absence.silent = True
    if session.active and not session.connected:
        _wait(ctx, session)


def speaks_again(ctx: Context, session: Session) -> None:
    """The connection that the client listens on is up again."""
    session.absence.silent = False
    ctx.timers.drop(("resume", session.number))
    if not session.connected:
        _wait(ctx, session)


def expect_ping(ctx: Context, session: Session) -> None:
    """Look after the ping timeout whether the client said anything."""
    ctx.timers.set(("ping", session.number), session.heard_at + defaults.PING_TIMEOUT)


def check_ping(ctx: Context, session: Session) -> None:
    """The ping timeout is over: a client that said nothing is taken to be away, whatever its
    websocket seems to be."""
    if not session.pings:
        session.heard_at = ctx.now
    if ctx.now - session.heard_at < defaults.PING_TIMEOUT:
        expect_ping(ctx, session)
    elif session.active:
        session.parting = DisconnectReason.CONNECTION_TIMEOUT
        session.connected = False
        ctx.out.add(CloseSession(session=session.number))
        _hold(ctx, session, defaults.HOLD)
        _wait(ctx, session)
    else:
        leaving.leave(ctx, session, DisconnectReason.CONNECTION_TIMEOUT)


def resume(ctx: Context, number: int, grants: Grants, request: Join) -> None:
    """A client opened the websocket ``number`` to take up a session that it has."""
    if ctx.faults.resume(grants.require_join(), grants.identity, ctx.now) is not None:
        ctx.out.add(CloseSession(session=number))
        return
    room = ctx.rooms.get(grants.require_join())
    session = _own_session(room, grants.identity, request)
    adopts = ctx.settings.adopt and session is None
    if adopts and adopting.begin(ctx, number, grants, request):
        return
    if session is None or ctx.drain.on:
        why = ctx.endings.why(request.sid, grants.identity)
        action = LeaveRequest.RECONNECT if why is None else LeaveRequest.DISCONNECT
        leaving.turn_away(ctx, number, why or DisconnectReason.STATE_MISMATCH, action)
        if session is not None:
            leaving.leave(ctx, session, ctx.drain.reason)
        return
    if session.absence.hurries(ctx.now):
        # Unanswered it tries again, and later each time.
        ctx.out.add(CloseSession(session=number))
        return
    earlier, session.absence.websocket = session.absence.websocket, number
    if earlier is not None:
        del ctx.returning[earlier]
        ctx.out.add(CloseSession(session=earlier))
    ctx.returning[number] = session.number
    ctx.out.tell(node.ResumeParticipant(participant=session.number))


def resumed(ctx: Context, session: Session, event: node.Resumed) -> None:
    """The node knows where the client's messages stand: the session goes on."""
    number, session.absence.websocket = session.absence.websocket, None
    if number is None:
        return
    del ctx.returning[number]
    room = ctx.room_of(session)
    departed = room.departures.since(session.heard_at - defaults.PING_TIMEOUT)
    if departed is None:
        # It can't be told any more who left.
        leaving.turn_away(ctx, number, DisconnectReason.STATE_MISMATCH, LeaveRequest.RECONNECT)
        return
    ctx.out.add(TakeOver(session=session.number, websocket=number))
    _reopen(ctx, session)
    ctx.out.signal(
        session.number,
        reconnect=arriving.welcome_back(ctx, session.sid, session.join, event.last_sequence),
    )
    here = {person.identity for person in room.participants() if not person.hidden}
    gone = [info for info in departed if info.identity not in here]
    told = gone if session.protocol >= DEPARTED_PROTOCOL else []
    for update in updates.chunks([*told, *room.shown_to(session.identity), session.told]):
        ctx.out.signal(session.number, update=update)
    ctx.out.signal(session.number, room_update={"room": room.info()})
    arriving.refresh_token(ctx, session)
    _repeat(ctx, room, session)
    _restart(ctx, session)
    ctx.happened("participant_resumed", room, participant=session.sid)


def sync(ctx: Context, session: Session, state: SyncState) -> bool:
    """The client says what it has. False if nobody asked, or if it has what is not here: then it
    has to join anew."""
    absence = session.absence
    if not absence.syncing:
        return False
    absence.syncing = False
    known = session.publications.by_sid.keys() | set(absence.unpublished)
    strange = any(published.track.sid not in known for published in state.publish_tracks)
    if strange or not data_publishing.has(session, state):
        leaving.leave(ctx, session, DisconnectReason.STATE_MISMATCH, action=LeaveRequest.RECONNECT)
        return False
    absence.unpublished.clear()
    wanted = state.subscription
    tracks = [*wanted.track_sids, *(x for y in wanted.participant_tracks for x in y.track_sids)]
    subscribing.wish(ctx, session, tracks, wanted.subscribe)
    data_publishing.repeat(ctx, session, state)
    data_subscribing.update(ctx, session, state.data_subscription)
    had = received(ctx, session, state)
    if had is not None:
        ctx.out.tell(node.ReplayData(participant=session.number, had=had))
    if not session.single and session.server_lines.outstanding and absence.restart:
        _find_lost_offer(ctx, session, state)
    return True


def received(ctx: Context, session: Session, state: SyncState) -> list[node.Had] | None:
    """Of each publisher, the last message that the client got; None if it names too many."""
    states = state.datachannel_receive_states
    if len(states) > defaults.MAX_RECEIVE_STATES:
        negotiating.fault(ctx, session, f"{len(states)} receive states at once")
        return None
    return [node.Had(publisher=x.publisher_sid, sequence=x.last_seq) for x in states]


def give_up(ctx: Context, session: Session) -> None:
    """It came back some time ago; if its media did not, or it never said what it has of an offer
    that it needs, it has to join anew."""
    if session.absence.silent or session.absence.restart:
        leaving.leave(ctx, session, DisconnectReason.MEDIA_FAILURE, action=LeaveRequest.RECONNECT)


def send_off(ctx: Context, session: Session, reason: DisconnectReason) -> None:
    """Have the client go on at another edge, which takes the session over from here.

    It only loses its websocket: the Python SDK 1.2.1 resumes then, and joins anew when it is told
    ``Leave{RESUME}``.
    """
    ctx.out.add(CloseSession(session=session.number))
    session.connected = False
    session.absence.sent_off = True
    session.parting = reason
    _hold(ctx, session, defaults.SEND_OFF_TIMEOUT)
    _wait(ctx, session)
    ctx.timers.set(("departure", session.number), ctx.now + defaults.SEND_OFF_TIMEOUT)


def _own_session(room: Room | None, identity: str, request: Join) -> Session | None:
    """The session that a client may take up: its own, and whole."""
    session = room.local(identity) if room is not None else None
    if session is None or session.sid != request.sid or session.single != request.single:
        return None
    whole = session.active and session.parting != DisconnectReason.MEDIA_FAILURE
    return session if whole else None


def _wait(ctx: Context, session: Session) -> None:
    """Nobody can be told anything: wait for the client to come back, within reason."""
    for what in ("answer", "ping", "resume"):
        ctx.timers.drop((what, session.number))
    grace = defaults.RESUME_SILENCE if session.absence.silent else defaults.RESUME_LIMIT
    ctx.timers.set(("departure", session.number), ctx.now + grace)


def _hold(ctx: Context, session: Session, seconds: float) -> None:
    """Have messages wait until the client says what it has, here or at another edge."""
    if ctx.settings.adopt and session.single:
        ctx.out.tell(node.HoldData(participant=session.number, seconds=seconds))


def _reopen(ctx: Context, session: Session) -> None:
    session.connected = True
    session.heard_at = ctx.now
    session.parting = DisconnectReason.SIGNAL_CLOSE
    session.absence.syncing = True
    for what in ("departure", "answer"):
        ctx.timers.drop((what, session.number))
    ctx.timers.set(("resume", session.number), ctx.now + defaults.RESUME_TIMEOUT)
    expect_ping(ctx, session)


def _repeat(ctx: Context, room: Room, session: Session) -> None:
    """What was said while nobody listened, where nothing later says it again."""
    for rendition in session.publications.pending():
        info = session.publications.of(rendition).info
        ctx.out.signal(session.number, track_published={"cid": rendition.cid, "track": info})
    for sid in session.absence.unpublished:
        ctx.out.signal(session.number, track_unpublished={"track_sid": sid})
    for sid in session.refused:
        track = room.tracks.get(sid)
        if track is not None:
            permitting.tell(ctx, session, track, allowed=False)
    data_subscribing.repeat(ctx, session)
    # It may have heard of loudness or not: all of it, silence of those who spoke included.
    session.levels = dict.fromkeys(session.levels, speakers.UNSURE)
    ctx.hush(session, [*session.levels, *(x.sid for x in room.participants())], room)


def _restart(ctx: Context, session: Session) -> None:
    """Have ICE restarted: the client offers it where it offers, and waits for ours elsewhere."""
    if session.single:
        session.client_lines.awaiting_offer = True
    else:
        session.absence.restart = True
        session.server_lines.renew()
    ctx.settle_later(session)


def _find_lost_offer(ctx: Context, session: Session, state: SyncState) -> None:
    """Our offer was out when the websocket was lost: either the client answered it and the answer
    was lost, or it never got it."""
    lines = session.server_lines
    try:
        sections = sdp.read(state.answer.sdp)
    except sdp.BadSdp:
        sections = []
    mids = {x.mid for x in sections if x.kind != "application"}
    if mids and mids == lines.asked_mids():
        ctx.out.tell(
            node.AcceptAnswer(
                participant=session.number, offer_id=lines.offer_id, sdp=state.answer.sdp
            )
        )
        subscribing.start(ctx, session, lines.answered(), sections)
    else:
        lines.lose()
    lines.renew()
    ctx.settle_later(session)
