"""What clients have simulated, to try how they take it (SimulateScenario)."""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason, SpeakerInfo
from livekit.protocol.rtc import CandidateProtocol, LeaveRequest, SimulateScenario

from fairlead.protocol import node
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving
from fairlead.rooms.state import speakers
from fairlead.rooms.state.outputs import CloseSession
from fairlead.rooms.state.session import Session

LOUDNESS = 0.9
LONGEST_SPEECH = 60
"""Seconds."""


def simulate(ctx: Context, session: Session, asked: SimulateScenario) -> None:
    """Act out one scenario. One that is not known, or switched off, is let go."""
    match asked.WhichOneof("scenario"):
        case "speaker_update":
            _speak(ctx, session, asked.speaker_update)
        case "node_failure" if asked.node_failure:
            # The node is gone and says nothing: the client finds out by itself.
            leaving.leave(ctx, session, DisconnectReason.SERVER_SHUTDOWN, tell=False)
        case "migration" if asked.migration:
            # The session is kept: the client resumes it, as it would on the node it moved to.
            ctx.out.add(CloseSession(session=session.number))
        case "server_leave" if asked.server_leave:
            leaving.leave(ctx, session, DisconnectReason.SERVER_SHUTDOWN)
        case "leave_request_full_reconnect" if asked.leave_request_full_reconnect:
            leaving.leave(
                ctx, session, DisconnectReason.SERVER_SHUTDOWN, action=LeaveRequest.RECONNECT
            )
        case "switch_candidate_protocol":
            # There is no TLS of our own: the nearest to it is TCP.
            only = asked.switch_candidate_protocol != CandidateProtocol.UDP
            ctx.faults.use_tcp(session.room, session.identity, ctx.now, only)
        case "subscriber_bandwidth":
            _narrow(ctx, session, asked.subscriber_bandwidth)
        case "disconnect_signal_on_resume" if asked.disconnect_signal_on_resume:
            ctx.faults.fail_resume(session.room, session.identity, ctx.now, "cut")
        case "disconnect_signal_on_resume_no_messages" if (
            asked.disconnect_signal_on_resume_no_messages
        ):
            ctx.faults.fail_resume(session.room, session.identity, ctx.now, "unanswered")
        case _:
            pass


def fall_silent(ctx: Context, session: Session) -> None:
    """A simulated speech is over."""
    _tell_speaker(ctx, session, speakers.SILENT)


def _speak(ctx: Context, session: Session, seconds: int) -> None:
    if seconds <= 0:
        return
    _tell_speaker(ctx, session, (LOUDNESS, True))
    ctx.timers.set(("speaker", session.number), ctx.now + min(seconds, LONGEST_SPEECH))


def _tell_speaker(ctx: Context, session: Session, level: speakers.Level) -> None:
    """Everyone hears of it, whether it sends sound or not."""
    said = SpeakerInfo(sid=session.sid, level=level[0], active=level[1])
    for other in ctx.room_of(session).sessions.values():
        if other is session or not session.hidden:
            ctx.out.signal(other.number, speakers_changed={"speakers": [said]})


def _narrow(ctx: Context, session: Session, bits: int) -> None:
    """A client gets no more than so many bits per second; 0 lifts it."""
    kbps = max(1, min(bits // 1000, 2**32 - 1)) if bits > 0 else None
    tcp = ctx.faults.tcp_only(session.room, session.identity, ctx.now)
    ctx.out.tell(node.Restrict(participant=session.number, kbps=kbps, tcp_only=tcp))
