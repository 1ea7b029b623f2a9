"""A picture in a second codec, across edges and rooms."""

from __future__ import annotations

import pytest
from livekit.protocol.models import BackupCodecPolicy
from livekit.protocol.rtc import SyncState, TrackPublishedResponse

from fairlead.protocol import node
from fairlead.protocol.operation import ForwardParticipant, MoveParticipant, RemoveParticipant
from fairlead.rooms.state.outputs import DeleteRecord, PutRecord
from fairlead.rooms.tracks import backups, dynacast
from fairlead.types import ParticipantRecord
from tests.unit.rooms.stage import Stage, connect
from tests.unit.rooms.test_backups import ALL, BOTH, FIRST, ONLY_VP8, SECOND, SIMULCAST, Show, view


def stages(count: int) -> list[Stage]:
    found = [Stage(number) for number in range(1, count + 1)]
    connect(*found)
    return found


def askers(stage: Stage) -> dict[str, list[str]]:
    """The backups that each session's record asks for now."""
    told: dict[str, list[str]] = {}
    for change in stage.records:
        if isinstance(change.record, ParticipantRecord):
            told[change.record.identity] = change.record.backups
    return told


@pytest.mark.parametrize("policy", [SIMULCAST, BackupCodecPolicy.REGRESSION])
def test_across_edges(policy: BackupCodecPolicy.ValueType) -> None:
    here, there = stages(2)
    show = Show(here, policy=policy)
    ben, cai = view(there, "ben", *BOTH), view(there, "cai", *ONLY_VP8)
    dan = view(there, "dan", *ONLY_VP8)
    assert show.told == [("vp9", ALL), ("vp8", ALL)]
    assert askers(there) == {"ben": [], "cai": [show.sid], "dan": []}, "one asks for its edge"
    show.back_up()
    for_ben = show.sid if policy == SIMULCAST else show.name
    assert [show.sees(x, there) for x in (ben, cai, dan)] == [[for_ben], [show.name], [show.name]]
    added = [x for x in there.told(node.AddTrack) if x.track == show.name]
    assert [layer.stream for layer in added[0].layers] == [
        layer.stream for layer in here.told(node.AddTrack)[-1].layers
    ]
    told = [type(x).__name__ for x in there.commands if getattr(x, "track", "") == show.name]
    assert told[0] == "AddTrack", "the node knows it before anyone gets it"
    cai.say(leave={})
    assert askers(there)["dan"] == [show.sid]
    dan.say(leave={})
    show.need(show.name, None)
    here.pass_time(backups.RETURN_DELAY)
    assert show.sees(ben, there) == [show.sid]
    assert not show.asked


def test_a_second_that_ends_elsewhere() -> None:
    here, there = stages(2)
    show = Show(here, policy=BackupCodecPolicy.REGRESSION)
    ben, cai = view(there, "ben", *BOTH), view(there, "cai", *ONLY_VP8)
    show.back_up()
    show.end()
    assert [show.sees(x, there) for x in (ben, cai)] == [[show.sid], []]
    assert show.name in [x.track for x in there.told(node.RemoveTrack)]
    show.begin(cid="again")
    show.stage.live(show.name, "video/VP8")
    assert [show.sees(x, there) for x in (ben, cai)] == [[show.name], [show.name]]
    assert askers(there)["cai"] == [show.sid]
    show.ann.say(leave={})
    assert askers(there)["cai"] == [], "of what is over nothing is asked"


def test_a_node_that_vanishes_asks_no_more() -> None:
    here, there = stages(2)
    show = Show(here)
    view(there, "cai", *ONLY_VP8)
    assert show.asked
    gone = next(x.record for x in reversed(there.records) if isinstance(x, PutRecord))
    here.learn(DeleteRecord(record=gone))
    here.pass_time(dynacast.DOWNGRADE_DELAY)
    assert not show.asked


@pytest.mark.parametrize("keeps", [True, False], ids=["both m-lines", "the first alone"])
def test_a_publisher_that_goes_on_at_another_edge(keeps: bool) -> None:
    here, there, third = stages(3)
    show = Show(here, policy=BackupCodecPolicy.REGRESSION)
    ben, cai = view(here, "ben", *BOTH), view(third, "cai", *ONLY_VP8)
    show.back_up()
    here.connect(show.ann)
    again = there.come_back(show.ann)
    info = show.info
    again.say(
        sync_state=SyncState(
            publish_tracks=[TrackPublishedResponse(cid="cam", track=info)],
            answer=show.ann.last("answer"),
            subscription={"subscribe": False},
        )
    )
    for client in (ben, cai):
        client.forget()
    again.offer(FIRST, SECOND if keeps else "video/vp8 inactive", offer_id=9)
    bound = {x.track: x.mid for x in there.told(node.Publish)}
    assert bound == {show.sid: "0"} | ({show.name: "1"} if keeps else {})
    assert show.sees(ben, here) == [show.name if keeps else show.sid]
    assert show.sees(cai, third) == ([show.name] if keeps else [])
    streams = [x for x in third.told(node.AddTrack) if x.track == show.name]
    if keeps:
        assert streams[-1].layers[0].stream >> 48 == 2
        assert not again.heard("subscribed_quality_update")
    else:
        told = again.last("subscribed_quality_update").subscribed_codecs
        assert [codec.codec for codec in told] == ["vp9", "vp8"]


def test_moved_to_another_room_with_both() -> None:
    show = Show(policy=BackupCodecPolicy.REGRESSION)
    ben = view(show.stage, "ben", *BOTH)
    cai = view(show.stage, "cai", *ONLY_VP8)
    eve = view(show.stage, "eve", *BOTH, room="hall")
    dan = view(show.stage, "dan", *ONLY_VP8, room="hall")
    show.back_up()
    show.stage.ask(MoveParticipant(room="lobby", identity="ann", destination="hall"))
    for client in (ben, cai, eve, dan):
        lines = BOTH if client in (ben, eve) else ONLY_VP8
        client.offer(*lines, offer_id=5)
    assert show.sees(ben) == show.sees(cai) == []
    assert show.sees(eve) == show.sees(dan) == [show.name]


def test_forwarded_to_another_room_in_both() -> None:
    show = Show()
    cai = view(show.stage, "cai", *ONLY_VP8, room="hall")
    show.stage.ask(ForwardParticipant(room="lobby", identity="ann", destination="hall"))
    cai.offer(*ONLY_VP8, offer_id=2)
    assert show.asked
    show.back_up()
    assert show.sees(cai) == [show.name]
    show.need(show.name, 1)
    show.stage.ask(RemoveParticipant(room="hall", identity="ann"))
    assert show.sees(cai) == []
    show.need(show.name, None)
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert not show.asked


def test_who_is_forwarded_no_more_is_asked_no_more() -> None:
    show = Show()
    cai = view(show.stage, "cai", *ONLY_VP8, room="hall")
    show.stage.ask(ForwardParticipant(room="lobby", identity="ann", destination="hall"))
    cai.offer(*ONLY_VP8, offer_id=2)
    assert show.asked
    show.stage.ask(RemoveParticipant(room="hall", identity="ann"))
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert not show.asked


def test_forwarded_and_asked_for_from_another_edge() -> None:
    here, there = stages(2)
    show = Show(here)
    cai = view(there, "cai", *ONLY_VP8, room="hall")
    here.ask(ForwardParticipant(room="lobby", identity="ann", destination="hall"))
    cai.offer(*ONLY_VP8, offer_id=2)
    assert show.asked
    show.back_up()
    assert show.sees(cai, there) == [show.name]
    here.ask(RemoveParticipant(room="hall", identity="ann"))
    show.need(show.name, None)
    here.pass_time(dynacast.DOWNGRADE_DELAY)
    assert not show.asked
