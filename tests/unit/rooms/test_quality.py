"""Connection quality: who is told what of whom, here and on other edges."""

from __future__ import annotations

from typing import Any

from livekit.protocol.models import ClientInfo, ConnectionQuality

from fairlead.protocol import node
from fairlead.rooms.state.grading import LOST_AFTER
from tests.unit.rooms.stage import Client, Stage, connect
from tests.unit.rooms.test_grading import figures

RECV = ("audio recvonly", "video recvonly")
LOST, POOR, EXCELLENT = (
    ConnectionQuality.LOST,
    ConnectionQuality.POOR,
    ConnectionQuality.EXCELLENT,
)


def call(near: Stage, far: Stage) -> tuple[Client, Client, Client]:
    """Ann speaks at the near edge, ben hears her at the far one, and eve there does not."""
    ann = near.join("ann", "audio sendonly mic")
    sid = near.publish(ann, "audio", "mic")
    near.connect(ann)
    near.live(sid)
    ben = far.join("ben", *RECV)
    eve = far.join("eve", *RECV, auto_subscribe=False)
    for client in (ben, eve):
        far.connect(client)
    return ann, ben, eve


def report(stage: Stage, **said: dict[str, Any]) -> None:
    """The node reports of everyone: well, but for what is said by identity."""
    stage.hear(
        node.Quality(
            participants=[
                figures(participant=client.number, **said.get(client.identity, {}))
                for client in stage.clients.values()
            ]
        )
    )


def told(client: Client) -> list[tuple[str, int]]:
    """(participant, quality) of every update, in order."""
    return [
        (one.participant_sid, one.quality)
        for update in client.heard("connection_quality")
        for one in update.updates
    ]


def test_of_itself_and_of_whom_it_hears_and_only_news() -> None:
    stage = Stage()
    ann, ben, eve = call(stage, stage)
    for _ in range(3):
        report(stage)
    assert told(ann) == [(ann.sid, EXCELLENT)]
    assert told(eve) == [(eve.sid, EXCELLENT)]
    assert sorted(told(ben)) == sorted([(ann.sid, EXCELLENT), (ben.sid, EXCELLENT)])
    score = ben.last("connection_quality").updates[0].score
    assert 4.0 < score < 4.5
    sid = ann.sid
    for client in (ann, ben, eve):
        client.forget()
    report(stage, ann={"loss_up": 0.3})
    assert told(ann) == [(sid, POOR)] == told(ben)
    assert told(eve) == []


def test_nobody_hears_that_it_is_lost_itself() -> None:
    stage = Stage()
    ann, ben, _ = call(stage, stage)
    old = stage.join("old", *RECV, client=ClientInfo(protocol=9))
    ancient = stage.join("ancient", *RECV, client=ClientInfo(protocol=4))
    for client in (old, ancient):
        stage.connect(client)
    report(stage, ann={"silent_s": LOST_AFTER})
    assert told(ann) == [(ann.sid, POOR)]
    assert (ann.sid, LOST) in told(ben)
    assert (ann.sid, POOR) in told(old), "it does not know the word"
    assert told(ancient) == []


def test_other_edges_hear_of_it_by_its_record() -> None:
    near, far = Stage(1), Stage(2)
    connect(near, far)
    ann, ben, eve = call(near, far)
    report(far)
    assert (ann.sid, EXCELLENT) in told(ben)
    written = len(near.records)
    report(near, ann={"loss_up": 0.3})
    report(near, ann={"loss_up": 0.3})
    assert len(near.records) == written + 1, "a record for each change alone"
    ben.forget()
    report(far)
    assert told(ben) == [(ann.sid, POOR)]
    assert (ann.sid, POOR) not in told(eve)


def test_a_report_of_strangers_and_of_those_not_connected_is_let_go() -> None:
    stage = Stage()
    ann = stage.join("ann", *RECV)
    stage.hear(node.Quality(participants=[figures(participant=99)]))
    report(stage, ann={"loss_up": 1.0})
    assert told(ann) == []
