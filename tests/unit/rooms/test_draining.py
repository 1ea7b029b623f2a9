"""An edge that drains: no new sessions, and everyone elsewhere in batches."""

from __future__ import annotations

import json

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import LeaveRequest

from fairlead.policy.grants import Denied
from fairlead.protocol.join import Join
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.inputs import DrainAsked, NodeRecordWent
from tests.unit.rooms.stage import Stage, allow, connect

LAYOUT = ("audio recvonly", "video recvonly", "application sendrecv")


def crowd(stage: Stage, count: int) -> None:
    for number in range(count):
        stage.join(f"guest{number}", room=f"room{number % 3}")


def test_people_go_in_batches_room_by_room() -> None:
    stage = Stage()
    crowd(stage, 9)
    stage.handle(DrainAsked(rate=4.0))
    assert (stage.rooms.drain.moved, stage.rooms.session_count) == (2, 7)
    stage.pass_time(0.6)
    assert stage.rooms.session_count == 5
    gone = {x.identity for x in stage.clients.values() if x.closed}
    assert gone == {"guest0", "guest3", "guest6", "guest1"}
    stage.pass_time(2)
    assert (stage.rooms.drain.moved, stage.rooms.session_count) == (9, 0)


def test_they_are_told_where_to_go() -> None:
    here, there = Stage(1), Stage(2)
    connect(here, there)
    ann = here.join("ann")
    here.handle(DrainAsked(rate=20.0))
    leave = ann.last("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.RECONNECT, DisconnectReason.MIGRATION)
    assert [(x.region, x.url) for x in leave.regions.regions] == [("region2", "ws://localhost")]
    here.handle(NodeRecordWent(node=2))
    here.handle(DrainAsked(rate=None))
    ben = here.join("ben")
    here.handle(DrainAsked(rate=20.0, ending=True))
    leave = ben.last("leave")
    assert leave.reason == DisconnectReason.SERVER_SHUTDOWN
    assert not leave.regions.regions


def test_only_where_the_room_may_be() -> None:
    here, there, further = Stage(1), Stage(2), Stage(3)
    connect(here, there, further)
    metadata = json.dumps({"fairlead": {"regions": ["region1", "region3"]}})
    ann = here.join("ann", grants={"room_config": json.dumps({"metadata": metadata})})
    here.handle(DrainAsked(rate=20.0))
    assert [x.region for x in ann.last("leave").regions.regions] == ["region3"]


def test_nobody_new_comes_in_until_it_is_undone() -> None:
    stage = Stage()
    stage.handle(DrainAsked(rate=1.0))
    with pytest.raises(Denied, match="drained") as refused:
        stage.rooms.verdict(allow("ann"), Join(single=True, client={}))  # type: ignore[arg-type]
    assert refused.value.status == 503
    stage.handle(DrainAsked(rate=None))
    assert stage.join("ann").kinds()[0] == "join"


def test_asked_twice_it_goes_on_and_undone_it_stops() -> None:
    stage = Stage()
    crowd(stage, 9)
    stage.handle(DrainAsked(rate=2.0))
    stage.handle(DrainAsked(rate=2.0))
    assert stage.rooms.session_count == 8
    stage.handle(DrainAsked(rate=None))
    stage.pass_time(10)
    assert stage.rooms.session_count == 8
    stage.handle(DrainAsked(rate=100.0))
    assert (stage.rooms.session_count, stage.rooms.drain.moved) == (0, 8)


def test_an_empty_edge_waits_for_nothing() -> None:
    stage = Stage()
    stage.handle(DrainAsked(rate=2.0))
    assert stage.rooms.drain.on
    assert stage.rooms.deadline() is None


def test_who_can_goes_on_at_another_edge() -> None:
    here, there = Stage(1), Stage(2)
    connect(here, there)
    ann, ben = here.join("ann", *LAYOUT), there.join("ben", *LAYOUT)
    here.connect(ann)
    ben.forget()
    here.handle(DrainAsked(rate=20.0))
    assert ann.closed
    assert not ann.heard("leave")
    assert (here.rooms.drain.moved, here.rooms.session_count) == (1, 1)
    again = there.come_back(ann)
    again.say(sync_state={"answer": ann.last("answer"), "subscription": {"subscribe": False}})
    again.offer(*LAYOUT, offer_id=9)
    assert here.rooms.session_count == 0
    assert all(state == ParticipantInfo.ACTIVE for _, state, _ in ben.updates())


def test_who_does_not_go_on_in_time_has_left() -> None:
    here, there = Stage(1), Stage(2)
    connect(here, there)
    ann, ben = here.join("ann", *LAYOUT), there.join("ben", *LAYOUT)
    here.connect(ann)
    here.handle(DrainAsked(rate=20.0))
    here.pass_time(defaults.SEND_OFF_TIMEOUT + 1)
    assert here.rooms.session_count == 0
    assert ben.updates()[-1][:2] == ("ann", ParticipantInfo.DISCONNECTED)


def test_who_comes_back_to_it_joins_anew() -> None:
    here, there = Stage(1), Stage(2)
    connect(here, there)
    ann = here.join("ann", *LAYOUT)
    here.connect(ann)
    here.handle(DrainAsked(rate=20.0))
    again = here.come_back(ann)
    assert again.last("leave").action == LeaveRequest.RECONNECT
    assert here.rooms.session_count == 0
