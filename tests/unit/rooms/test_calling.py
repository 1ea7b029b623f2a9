"""Calls of the server's to participants, and tokens that a removal revokes."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import ClientInfo, DataPacket, RpcAck, RpcError, RpcResponse
from livekit.protocol.room import PerformRpcRequest, PerformRpcResponse

from fairlead.policy.grants import Denied
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.protocol.operation import (
    Done,
    Failed,
    PerformRpc,
    RemoveParticipant,
    Reply,
    RevokeTokens,
)
from fairlead.rooms import calling
from fairlead.rooms.state.inputs import Asked
from tests.unit.rooms.stage import START, Client, Stage, allow, connect


def called(stage: Stage, identity: str = "ann", **request: Any) -> None:
    asked = PerformRpcRequest(**({"room": "lobby", "method": "greet", "payload": "hi"} | request))
    operation = PerformRpc(
        room="lobby", identity=identity, request=asked.SerializeToString(), patience_s=15
    )
    stage.handle(Asked(call=7, operation=operation))


def say(stage: Stage, client: Client, name: str, **value: Any) -> None:
    packet = DataPacket(**value).SerializeToString()
    stage.hear(node.CallAnswered(participant=client.number, call=name, packet=packet))


def one(stage: Stage) -> Client:
    ann = stage.join("ann", "audio recvonly")
    stage.connect(ann)
    return ann


def reply(stage: Stage) -> Reply | None:
    return stage.replies.get(7)


def test_a_call_and_its_answer() -> None:
    stage = Stage()
    ann = one(stage)
    called(stage, response_timeout_ms=4000)
    (told,) = stage.told(node.Call)
    packet = DataPacket.FromString(told.packet)
    request = packet.rpc_request
    assert packet.participant_identity == request.id == told.call
    assert (request.method, request.payload, request.version) == ("greet", "hi", 1)
    assert request.response_timeout_ms == 4000
    assert reply(stage) is None
    say(stage, ann, told.call, rpc_ack=RpcAck(request_id=told.call))
    say(stage, ann, told.call, rpc_response=RpcResponse(request_id=told.call, payload="ho"))
    done = reply(stage)
    assert isinstance(done, Done)
    assert PerformRpcResponse.FromString(done.payload).payload == "ho"
    stage.pass_time(100)
    assert reply(stage) is done


@pytest.mark.parametrize(
    ("code", "word"), [(1400, "unimplemented"), (1500, "unknown"), (7, "unknown")]
)
def test_a_failure_of_the_method(code: int, word: str) -> None:
    stage = Stage()
    ann = one(stage)
    called(stage)
    name = stage.told(node.Call)[0].call
    error = RpcError(code=code, message="no such method")
    say(stage, ann, name, rpc_response=RpcResponse(request_id=name, error=error))
    failed = reply(stage)
    assert isinstance(failed, Failed)
    assert failed.code == word
    assert "no such method" in failed.message


@pytest.mark.parametrize(("ack", "after"), [(False, calling.ACK_TIMEOUT_S), (True, 15.0)])
def test_too_late(ack: bool, after: float) -> None:
    stage = Stage()
    ann = one(stage)
    called(stage)
    name = stage.told(node.Call)[0].call
    if ack:
        say(stage, ann, name, rpc_ack=RpcAck(request_id=name))
    stage.pass_time(after - 0.1)
    assert reply(stage) is None
    stage.pass_time(0.2)
    failed = reply(stage)
    assert isinstance(failed, Failed)
    assert failed.code == "deadline_exceeded"
    say(stage, ann, name, rpc_response=RpcResponse(request_id=name, payload="late"))
    assert reply(stage) is failed


def test_who_leaves_answers_no_more() -> None:
    stage = Stage()
    ann = one(stage)
    called(stage)
    ann.say(leave={})
    failed = reply(stage)
    assert isinstance(failed, Failed)
    assert failed.code == "unavailable"


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"identity": "nobody"}, "not_found"),
        ({"method": ""}, "invalid_argument"),
        ({"payload": "x" * (calling.MAX_PAYLOAD + 1)}, "invalid_argument"),
    ],
)
def test_a_call_that_can_not_be(request_: dict[str, Any], word: str) -> None:
    stage = Stage()
    one(stage)
    called(stage, **request_)
    failed = reply(stage)
    assert isinstance(failed, Failed)
    assert failed.code == word
    assert stage.told(node.Call) == []


def test_answers_that_answer_nothing() -> None:
    stage = Stage()
    ann, ben = one(stage), stage.join("ben", "audio recvonly")
    called(stage)
    name = stage.told(node.Call)[0].call
    mine = RpcResponse(request_id=name, payload="mine")
    say(stage, ben, name, rpc_response=mine)
    say(stage, ann, "RPC_other", rpc_response=mine)
    say(stage, ann, name, rpc_response=RpcResponse(request_id="other"))
    say(stage, ann, name)
    stage.hear(node.CallAnswered(participant=ann.number, call=name, packet=b"\xff"))
    assert reply(stage) is None


def test_calls_are_bounded() -> None:
    stage = Stage()
    one(stage)
    for _ in range(calling.MAX_CALLS):
        called(stage)
    assert reply(stage) is None
    called(stage)
    failed = reply(stage)
    assert isinstance(failed, Failed)
    assert failed.code == "resource_exhausted"


def revoke(stage: Stage, before: int) -> Reply:
    return stage.ask(RevokeTokens(room="lobby", identity="ann", before=before))


def test_a_revoked_token_opens_the_room_at_no_edge() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    for stage in (near, far):
        stage.join(f"keeper{stage.settings.node}", "audio recvonly")
    one(near)
    join = Join(single=True, client=ClientInfo(protocol=17))
    old = allow("ann").replace(not_before=int(START) - 10)
    far.rooms.verdict(old, join)
    assert isinstance(revoke(near, int(START)), Done)
    near.ask(RemoveParticipant(room="lobby", identity="ann"))
    for stage in (near, far):
        with pytest.raises(Denied, match="revoked"):
            stage.rooms.verdict(old, join)
        stage.rooms.verdict(old.replace(not_before=int(START)), join)
        stage.rooms.verdict(old.replace(identity="ben"), join)


def test_a_removal_by_itself_revokes_nothing() -> None:
    stage = Stage()
    one(stage)
    stage.join("keeper", "audio recvonly")
    assert isinstance(stage.ask(RemoveParticipant(room="lobby", identity="ann")), Done)
    stage.rooms.verdict(allow("ann"), Join(single=True, client=ClientInfo(protocol=17)))


@pytest.mark.parametrize("before", [-1, 0, int(START) * 1000])
def test_a_time_that_can_not_be_meant(before: int) -> None:
    stage = Stage()
    one(stage)
    failed = revoke(stage, before)
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_argument"
    assert stage.rooms.session_count == 1
