"""Calls of the server's to participants: RoomService.PerformRpc, as LiveKit's SDKs call each other.

A participant answers to the id of the call, as if that were the caller's identity.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from livekit.protocol.models import DataPacket, RpcRequest, RpcResponse
from livekit.protocol.room import PerformRpcRequest, PerformRpcResponse

from fairlead.protocol import node
from fairlead.protocol.operation import Done, ErrorCode, Failed, PerformRpc, Reply
from fairlead.rooms.context import Call, Context
from fairlead.rooms.state.outputs import Replied
from fairlead.rooms.state.timers import What

DEFAULT_TIMEOUT_S = 15.0
LONGEST_TIMEOUT_S = 60.0
ACK_TIMEOUT_S = 7.0
"""Seconds in which a participant must say that it heard the call."""
MAX_PAYLOAD = 15 * 1024
"""Bytes, as SDKs limit it."""
MAX_CALLS = 256
"""Under way at one edge."""
RPC_VERSION = 1

CODES: dict[int, ErrorCode] = {
    1400: "unimplemented",
    1401: "not_found",
    1402: "invalid_argument",
    1501: "deadline_exceeded",
    1502: "deadline_exceeded",
    1503: "unavailable",
}
"""SDKs' own error codes in the API's words; an application's are ``unknown``."""


def patience(timeout_ms: int) -> float:
    """Seconds that a call may take, by the timeout that a request gives (0: the default)."""
    return min(timeout_ms / 1000 or DEFAULT_TIMEOUT_S, LONGEST_TIMEOUT_S)


def call(ctx: Context, asked: int, operation: PerformRpc) -> None:
    """Call a participant; the reply to ``asked`` comes when it has answered."""
    try:
        request = PerformRpcRequest.FromString(operation.request)
    except DecodeError:
        _reply(ctx, asked, Failed(code="invalid_argument", message="the request can't be read"))
        return
    room = ctx.rooms.get(operation.room)
    session = room.local(operation.identity) if room is not None else None
    if session is None or not session.active:
        why = f"participant {operation.identity!r} is not connected in room {operation.room!r}"
        _reply(ctx, asked, Failed(code="not_found", message=why))
        return
    wrong = _wrong(ctx, request)
    if wrong is not None:
        _reply(ctx, asked, wrong)
        return
    name = ctx.ids.sid("RPC_")
    ctx.calls[name] = Call(asked=asked, session=session.number)
    seconds = patience(request.response_timeout_ms)
    ctx.timers.set(("rpc_ack", name), ctx.now + min(ACK_TIMEOUT_S, seconds))
    ctx.timers.set(("rpc_response", name), ctx.now + seconds)
    packet = DataPacket(
        kind=DataPacket.RELIABLE,
        participant_identity=name,
        rpc_request=RpcRequest(
            id=name,
            method=request.method,
            payload=request.payload,
            response_timeout_ms=int(seconds * 1000),
            version=RPC_VERSION,
        ),
    )
    ctx.out.tell(
        node.Call(participant=session.number, call=name, packet=packet.SerializeToString())
    )


def answered(ctx: Context, event: node.CallAnswered) -> None:
    """A participant heard a call, or answers it. What can't be read is let go."""
    known = ctx.calls.get(event.call)
    if known is None or known.session != event.participant:
        return
    try:
        packet = DataPacket.FromString(event.packet)
    except DecodeError:
        return
    match packet.WhichOneof("value"):
        case "rpc_ack" if packet.rpc_ack.request_id == event.call:
            ctx.timers.drop(("rpc_ack", event.call))
        case "rpc_response" if packet.rpc_response.request_id == event.call:
            _end(ctx, event.call, _outcome(packet.rpc_response))
        case _:
            pass


def expire(ctx: Context, name: str, what: What) -> None:
    """A participant did not hear a call, or has not answered it, in time."""
    missing = "acknowledged" if what == "rpc_ack" else "answered"
    late = Failed(code="deadline_exceeded", message=f"the participant has not {missing} the call")
    _end(ctx, name, late)


def abandon(ctx: Context, session: int) -> None:
    """A participant left: nobody answers its calls any more."""
    for name in [name for name, known in ctx.calls.items() if known.session == session]:
        _end(ctx, name, Failed(code="unavailable", message="the participant left"))


def _wrong(ctx: Context, request: PerformRpcRequest) -> Failed | None:
    if not request.method:
        return Failed(code="invalid_argument", message="the call names no method: set method")
    if len(request.payload.encode()) > MAX_PAYLOAD:
        return Failed(
            code="invalid_argument", message=f"the payload is over {MAX_PAYLOAD} bytes (code 1402)"
        )
    if len(ctx.calls) >= MAX_CALLS:
        return Failed(
            code="resource_exhausted",
            message=f"{MAX_CALLS} calls are under way already: try again in a second",
        )
    return None


def _outcome(response: RpcResponse) -> Reply:
    if not response.HasField("error"):
        payload = PerformRpcResponse(payload=response.payload)
        return Done(payload=payload.SerializeToString())
    error = response.error
    message = f"the participant's method failed with code {error.code}: {error.message}"
    return Failed(code=CODES.get(error.code, "unknown"), message=message)


def _end(ctx: Context, name: str, reply: Reply) -> None:
    known = ctx.calls.pop(name, None)
    ctx.timers.drop(("rpc_ack", name))
    ctx.timers.drop(("rpc_response", name))
    if known is not None:
        _reply(ctx, known.asked, reply)


def _reply(ctx: Context, asked: int, reply: Reply) -> None:
    ctx.out.add(Replied(call=asked, reply=reply))
