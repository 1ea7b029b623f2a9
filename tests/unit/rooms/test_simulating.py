"""Simulated scenarios: what a client is told, and what is done to it."""

from __future__ import annotations

import pytest
from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import CandidateProtocol, LeaveRequest

from fairlead.protocol import node
from fairlead.rooms.state import faults
from fairlead.rooms.state.faults import Faults
from tests.unit.rooms.stage import Client, Stage

RECV = "audio recvonly"


def two(stage: Stage) -> tuple[Client, Client]:
    clients = stage.join("ann", RECV), stage.join("ben", RECV)
    for client in clients:
        stage.connect(client)
    for client in clients:
        client.forget()
    return clients


def test_a_speech_that_nobody_holds() -> None:
    stage = Stage()
    ann, ben = two(stage)
    sid = stage.happened[1].participant
    ann.say(simulate={"speaker_update": 3})
    for client in (ann, ben):
        (speaker,) = client.last("speakers_changed").speakers
        assert speaker.sid == sid
        assert speaker.active
        assert speaker.level == pytest.approx(0.9)
    stage.pass_time(2.9)
    assert len(ben.heard("speakers_changed")) == 1
    stage.pass_time(0.2)
    assert not ben.last("speakers_changed").speakers[0].active


def test_a_speech_ends_with_its_speaker() -> None:
    stage = Stage()
    ann, ben = two(stage)
    ann.say(simulate={"speaker_update": 2**31 - 1})
    ann.say(leave={})
    stage.pass_time(faults.TCP_FOR)
    assert len(ben.heard("speakers_changed")) == 1


def test_a_speech_of_no_length_is_none() -> None:
    stage = Stage()
    ann, ben = two(stage)
    ann.say(simulate={"speaker_update": -5})
    assert not ben.heard("speakers_changed")


def test_a_node_fails_without_a_word() -> None:
    stage = Stage()
    ann, ben = two(stage)
    ann.say(simulate={"node_failure": True})
    assert ann.closed
    assert ann.told == []
    assert [state for _, state, _ in ben.updates()][-1] == 3  # disconnected


def test_a_migration_closes_the_websocket_and_keeps_the_session() -> None:
    stage = Stage()
    ann, ben = two(stage)
    ann.say(simulate={"migration": True})
    assert ann.closed
    assert ann.told == []
    assert ben.updates() == []
    assert stage.rooms.session_count == 2


@pytest.mark.parametrize(
    ("scenario", "action"),
    [
        ("server_leave", LeaveRequest.DISCONNECT),
        ("leave_request_full_reconnect", LeaveRequest.RECONNECT),
    ],
)
def test_sent_away(scenario: str, action: LeaveRequest.Action) -> None:
    stage = Stage()
    ann, _ = two(stage)
    ann.say(simulate={scenario: True})
    leave = ann.last("leave")
    assert (leave.action, leave.reason) == (action, DisconnectReason.SERVER_SHUTDOWN)
    assert leave.can_reconnect == (action == LeaveRequest.RECONNECT)
    assert ann.closed


@pytest.mark.parametrize("protocol", [CandidateProtocol.TCP, CandidateProtocol.TLS])
def test_the_next_connection_is_over_tcp(protocol: CandidateProtocol) -> None:
    stage = Stage()
    ann, _ = two(stage)
    ann.say(simulate={"switch_candidate_protocol": protocol})
    ann.say(leave={})
    again = stage.join("ann", RECV)
    assert stage.told(node.Restrict) == [node.Restrict(participant=again.number, tcp_only=True)]
    again.say(simulate={"switch_candidate_protocol": CandidateProtocol.UDP})
    stage.join("ann", RECV)
    assert len(stage.told(node.Restrict)) == 1


def test_a_narrow_way_down() -> None:
    stage = Stage()
    ann, _ = two(stage)
    for bits in (300_000, 1, 2**62, 0):
        ann.say(simulate={"subscriber_bandwidth": bits})
    assert [told.kbps for told in stage.told(node.Restrict)] == [300, 1, 2**32 - 1, None]


def test_a_resume_that_is_not_answered() -> None:
    stage = Stage()
    ann, _ = two(stage)
    ann.say(simulate={"disconnect_signal_on_resume_no_messages": True})
    again = stage.join("ann", reconnect=True, sid="PA_x")
    assert again.closed
    assert again.told == []
    once_more = stage.join("ann", reconnect=True, sid="PA_x")
    assert once_more.told, "only the first"


def test_what_is_switched_off_or_unknown_does_nothing() -> None:
    stage = Stage()
    ann, _ = two(stage)
    for scenario in ("node_failure", "migration", "server_leave", "disconnect_signal_on_resume"):
        ann.say(simulate={scenario: False})
    ann.say(simulate={})
    assert not ann.closed
    assert ann.told == []


def test_faults_are_forgotten() -> None:
    kept = Faults()
    kept.fail_resume("room", "ann", 0.0, "cut")
    assert kept.resume("room", "ann", faults.RESUME_WITHIN + 0.1) is None
    kept.use_tcp("room", "ann", 0.0, only=True)
    assert kept.tcp_only("room", "ann", 1.0)
    assert not kept.tcp_only("room", "ann", faults.TCP_FOR + 1)
    for number in range(faults.MAX_FAULTS + 1):
        kept.use_tcp("room", str(number), 0.0, only=True)
    assert not kept.tcp_only("room", "0", 1.0)
    assert kept.tcp_only("room", "1", 1.0)
