"""Where a room may be: who is refused, who is put out, and what the node and the network hear."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol.models import DisconnectReason, Room
from livekit.protocol.room import CreateRoomRequest, SendDataRequest

from fairlead.policy.grants import Denied
from fairlead.policy.regions import NOWHERE, RoomRule, allows, region_tag, within
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.protocol.operation import CreateRoom, Done, Failed, SendData, UpdateRoomMetadata
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.inputs import NodeRecordWent, RecordCame
from fairlead.rooms.state.outputs import DeleteRecord, PutRecord
from fairlead.rooms.state.records import RoomRecords
from fairlead.types import RoomRecord, room_key
from tests.unit.rooms.stage import Client, Stage, allow, connect
from tests.unit.rooms.test_single_connection import LAYOUT

HOME = ["jakarta", "singapore"]
TAG = region_tag(HOME)
KEY = room_key("lobby")


def limited(*regions: str) -> str:
    return json.dumps({"topic": "maths", "fairlead": {"regions": list(regions)}})


def config(metadata: str) -> dict[str, str]:
    return {"room_config": json.dumps({"metadata": metadata})}


def three() -> tuple[Stage, Stage, Stage]:
    jakarta, singapore = Stage(1, region="jakarta"), Stage(2, region="singapore")
    frankfurt = Stage(3, region="frankfurt")
    connect(jakarta, singapore, frankfurt)
    return jakarta, singapore, frankfurt


def create(stage: Stage, metadata: str, name: str = "lobby") -> Done | Failed:
    request = CreateRoomRequest(name=name, metadata=metadata)
    return stage.ask(CreateRoom(room=name, request=request.SerializeToString()))


def describe(stage: Stage, metadata: str) -> Done | Failed:
    return stage.ask(UpdateRoomMetadata(room="lobby", metadata=metadata))


def publish(stage: Stage, client: Client) -> str:
    sid = stage.publish(client, "audio", "mic")
    client.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(sid)
    return sid


def refusal(stage: Stage, identity: str = "zoe", **grants: str) -> Denied:
    with pytest.raises(Denied) as caught:
        stage.rooms.verdict(allow(identity, **grants), Join(single=True, client={}))  # type: ignore[arg-type]
    return caught.value


def record(stage: Stage) -> RoomRecord:
    return next(x.record for x in reversed(stage.records) if isinstance(x.record, RoomRecord))


# --- who may come in ------------------------------------------------------------------------------


def test_a_join_outside_is_refused_with_both_places_named() -> None:
    jakarta, singapore, frankfurt = three()
    assert isinstance(create(jakarta, limited(*HOME)), Done)
    for stage in (jakarta, singapore):
        assert not stage.join("ann" if stage is jakarta else "ben", *LAYOUT).closed
    why = refusal(frankfurt)
    assert why.status == 403
    assert str(why) == (
        "room 'lobby' may only be in jakarta and singapore, and this edge is in frankfurt: "
        "use an edge there"
    )
    zoe = frankfurt.join("zoe", *LAYOUT)
    assert zoe.closed
    assert zoe.kinds() == ["leave"]
    assert zoe.last("leave").reason == DisconnectReason.JOIN_FAILURE
    assert not frankfurt.told(node.AddParticipant)


def test_a_token_limits_the_room_that_its_join_opens() -> None:
    jakarta, _, frankfurt = three()
    assert refusal(frankfurt, **config(limited(*HOME))).status == 403
    ann = jakarta.join("ann", *LAYOUT, grants=config(limited(*HOME)))
    assert json.loads(ann.joined.room.metadata)["topic"] == "maths"
    assert record(jakarta).regions == HOME
    assert refusal(frankfurt).status == 403
    # A room that is limited stays so, whatever the next token asks for.
    jakarta.join("ben", *LAYOUT, grants=config(limited("frankfurt")))
    assert record(jakarta).regions == HOME


def test_a_token_that_asks_for_a_limit_opens_no_door_to_a_room_without_one() -> None:
    jakarta, _, _ = three()
    jakarta.join("ann", *LAYOUT)
    why = refusal(jakarta, **config(limited(*HOME)))
    assert why.status == 403
    assert "is open already and may be everywhere" in str(why)


def test_what_cannot_be_understood_is_refused() -> None:
    jakarta, _, _ = three()
    why = refusal(jakarta, **config(limited("Jakarta")))
    assert why.status == 400
    assert "'Jakarta', which is no region" in str(why)
    reply = create(jakarta, limited("Jakarta"))
    assert isinstance(reply, Failed)
    assert (reply.code, jakarta.rooms.room_count) == ("invalid_argument", 0)
    jakarta.join("ann", *LAYOUT)
    reply = describe(jakarta, limited())
    assert isinstance(reply, Failed)
    assert (reply.code, record(jakarta).version) == ("invalid_argument", 1)


def test_metadata_of_the_apps_own_limits_nothing() -> None:
    jakarta, _, frankfurt = three()
    create(jakarta, "a lesson")
    assert not frankfurt.join("zoe", *LAYOUT).closed
    assert record(jakarta).regions == []


def test_a_set_that_no_edge_is_in_is_served_nowhere() -> None:
    jakarta, _, _ = three()
    reply = create(jakarta, limited("nauru"))
    assert isinstance(reply, Failed)
    assert reply.code == "failed_precondition"
    assert "may only be in nauru, where no edge is known" in reply.message
    assert "no edge is known" in str(refusal(jakarta, **config(limited("nauru"))))


def test_the_operators_rules_hold_whatever_the_app_asks() -> None:
    rules = (RoomRule(match="lob*", regions=frozenset(HOME)),)
    jakarta = Stage(1, region="jakarta", rules=rules)
    frankfurt = Stage(3, region="frankfurt", rules=rules)
    connect(jakarta, frankfurt)
    assert refusal(frankfurt).status == 403
    reply = create(jakarta, limited("frankfurt"))
    assert isinstance(reply, Failed)
    assert "may be nowhere" in reply.message
    jakarta.join("ann", *LAYOUT, grants=config(limited("jakarta", "frankfurt")))
    assert record(jakarta).regions == ["jakarta"]
    reply = describe(jakarta, limited("frankfurt"))
    assert isinstance(reply, Failed)
    assert "the operator's rules allow none of it" in reply.message
    assert not frankfurt.join("zoe", *LAYOUT, room="other").closed


def test_a_room_that_is_open_wider_than_asked_is_not_what_was_asked_for() -> None:
    jakarta, _, _ = three()
    create(jakarta, limited(*HOME))
    assert isinstance(create(jakarta, ""), Done)
    assert isinstance(create(jakarta, limited(*HOME, "tokyo")), Done)
    reply = create(jakarta, limited("jakarta"))
    assert isinstance(reply, Failed)
    assert reply.code == "failed_precondition"
    assert "may be in jakarta and singapore, which is more than asked for" in reply.message


def test_data_of_the_api_does_not_enter_outside() -> None:
    jakarta, _, frankfurt = three()
    create(jakarta, limited(*HOME))
    send = SendData(room="lobby", request=SendDataRequest(data=b"x").SerializeToString())
    reply = frankfurt.ask(send)
    assert isinstance(reply, Failed)
    assert reply.code == "failed_precondition"
    assert not frankfurt.told(node.SendData)
    assert isinstance(jakarta.ask(send), Done)


# --- what the node hears --------------------------------------------------------------------------


def test_tracks_and_data_cross_under_the_tag_of_the_set() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME))
    ann = jakarta.join("ann", *LAYOUT)
    sid = publish(jakarta, ann)
    singapore.join("ben", *LAYOUT)
    assert [x.tag for x in jakarta.told(node.AddTrack)] == [TAG]
    assert [(x.track, x.tag) for x in singapore.told(node.AddTrack)] == [(sid, TAG)]
    assert jakarta.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[2], tag=TAG)]
    assert singapore.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[1], tag=TAG)]


def test_a_room_without_a_set_has_no_tag() -> None:
    jakarta, singapore, _ = three()
    ann = jakarta.join("ann", *LAYOUT)
    publish(jakarta, ann)
    singapore.join("ben", *LAYOUT)
    assert [x.tag for x in [*jakarta.told(node.AddTrack), *singapore.told(node.AddTrack)]] == [0, 0]
    assert jakarta.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[2])]
    assert not jakarta.region_sets


def test_a_changed_set_is_told_anew() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME, "frankfurt"))
    ann = jakarta.join("ann", *LAYOUT)
    sid = publish(jakarta, ann)
    singapore.join("ben", *LAYOUT)
    for stage in (jakarta, singapore):
        stage.commands.clear()
    describe(singapore, limited(*HOME))
    [there] = singapore.told(node.AddTrack)
    [here] = jakarta.told(node.AddTrack)
    assert (there.track, there.tag, there.publisher) == (sid, TAG, None)
    assert (here.track, here.tag, here.publisher) == (sid, TAG, ann.number)
    assert singapore.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[1], tag=TAG)]
    assert jakarta.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[2], tag=TAG)]
    assert not jakarta.told(node.RemoveTrack) + singapore.told(node.RemoveTrack)


def test_a_node_whose_place_is_unknown_gets_nothing() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME))
    ann = jakarta.join("ann", *LAYOUT)
    ben = singapore.join("ben", *LAYOUT)
    sid = publish(singapore, ben)
    jakarta.handle(NodeRecordWent(node=2))
    assert jakarta.told(node.SetRoomNodes)[-1].nodes == []
    assert jakarta.told(node.RemoveTrack) == [node.RemoveTrack(track=sid)]
    jakarta.handle(RecordCame(record=singapore.node_record))
    assert jakarta.told(node.SetRoomNodes)[-1].nodes == [2]
    assert not ann.closed


def test_a_node_whose_record_of_the_room_is_unknown_gets_nothing() -> None:
    """It may know of a limit that is not known here yet."""
    jakarta, singapore = Stage(1, region="jakarta"), Stage(2, region="singapore")
    jakarta.join("ann", *LAYOUT)
    ben = singapore.join("ben", *LAYOUT, grants=config(limited("singapore")))
    publish(singapore, ben)
    connect(jakarta, singapore)
    for change in [x for x in singapore.records if not isinstance(x.record, RoomRecord)]:
        jakarta.learn(change)
    assert not jakarta.told(node.SetRoomNodes) + jakarta.told(node.AddTrack)


# --- a set that changes ---------------------------------------------------------------------------


def test_who_is_outside_when_a_set_narrows_is_put_out() -> None:
    jakarta, singapore, frankfurt = three()
    create(jakarta, limited(*HOME, "frankfurt"))
    ann, ben = jakarta.join("ann", *LAYOUT), singapore.join("ben", *LAYOUT)
    zoe = frankfurt.join("zoe", *LAYOUT)
    sid = publish(frankfurt, zoe)
    describe(jakarta, limited(*HOME))
    assert zoe.closed
    assert zoe.last("leave").reason == DisconnectReason.PARTICIPANT_REMOVED
    assert frankfurt.told(node.RemoveTrack) == [node.RemoveTrack(track=sid)]
    assert frankfurt.told(node.SetRoomNodes)[-1].nodes == []
    [event] = [x for x in frankfurt.happened if x.what == "room_withdrawn"]
    assert event.reason.startswith("the room may only be in jakarta and singapore, and this edge")
    assert not ann.closed
    assert not ben.closed
    assert jakarta.told(node.SetRoomNodes)[-1] == node.SetRoomNodes(room=KEY, nodes=[2], tag=TAG)
    assert refusal(frankfurt).status == 403


def test_a_set_widens_when_every_edge_agrees() -> None:
    jakarta, singapore, frankfurt = three()
    create(jakarta, limited(*HOME))
    ann, ben = jakarta.join("ann", *LAYOUT), singapore.join("ben", *LAYOUT)
    assert isinstance(describe(singapore, limited(*HOME, "frankfurt")), Done)
    wide = sorted([*HOME, "frankfurt"])
    assert record(jakarta).regions == record(singapore).regions == wide
    # Media goes on under the narrower set until every node knows the wider.
    assert jakarta.told(node.SetRoomNodes) == [node.SetRoomNodes(room=KEY, nodes=[2], tag=TAG)]
    assert jakarta.region_sets == [wide, HOME]
    jakarta.pass_time(defaults.WIDER_DELAY)
    told = node.SetRoomNodes(room=KEY, nodes=[2], tag=region_tag(wide))
    assert jakarta.told(node.SetRoomNodes)[1:] == [told]
    assert jakarta.region_sets == [wide]
    assert not frankfurt.join("zoe", *LAYOUT).closed
    assert not ann.closed
    assert not ben.closed


def test_metadata_that_is_silent_lifts_nothing() -> None:
    jakarta, _, frankfurt = three()
    create(jakarta, limited(*HOME))
    for metadata in ("", "another topic", json.dumps({"fairlead": {}})):
        reply = describe(jakarta, metadata)
        assert isinstance(reply, Done)
        assert Room.FromString(reply.payload).metadata == metadata
        assert record(jakarta).regions == HOME
        assert refusal(frankfurt).status == 403


def test_a_room_without_a_set_can_be_given_one() -> None:
    jakarta, singapore, frankfurt = three()
    ann = jakarta.join("ann", *LAYOUT)
    sid = publish(jakarta, ann)
    ben, zoe = singapore.join("ben", *LAYOUT), frankfurt.join("zoe", *LAYOUT)
    describe(singapore, limited(*HOME))
    assert [client.closed for client in (ann, ben, zoe)] == [False, False, True]
    assert [(x.track, x.tag) for x in jakarta.told(node.AddTrack)] == [(sid, 0), (sid, TAG)]
    assert jakarta.told(node.SetRoomNodes)[-1] == node.SetRoomNodes(room=KEY, nodes=[2], tag=TAG)


def test_a_room_moves_without_losing_who_may_stay() -> None:
    jakarta, singapore, frankfurt = three()
    create(jakarta, limited(*HOME))
    ann, ben = jakarta.join("ann", *LAYOUT), singapore.join("ben", *LAYOUT)
    describe(jakarta, limited("singapore", "frankfurt"))
    assert ann.closed
    assert not ben.closed
    assert not frankfurt.join("zoe", *LAYOUT).closed


def test_two_rooms_made_at_once_leave_what_both_allow() -> None:
    jakarta, singapore, frankfurt = (
        Stage(1, region="jakarta"),
        Stage(2, region="singapore"),
        Stage(3, region="frankfurt"),
    )
    ann = jakarta.join("ann", *LAYOUT, grants=config(limited("jakarta", "singapore")))
    ben = singapore.join("ben", *LAYOUT, grants=config(limited("singapore", "frankfurt")))
    zoe = frankfurt.join("zoe", *LAYOUT)
    Wires(jakarta, singapore, frankfurt).deliver()
    assert [client.closed for client in (ann, ben, zoe)] == [True, False, True]
    assert record(singapore).regions == ["singapore"]


def test_a_split_that_left_nothing_in_common_leaves_nobody() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME))
    ann, ben = jakarta.join("ann", *LAYOUT), singapore.join("ben", *LAYOUT)
    jakarta.neighbours = singapore.neighbours = []
    describe(jakarta, limited("jakarta"))
    describe(singapore, limited("singapore"))
    assert not ann.closed
    Wires(jakarta, singapore).deliver()
    assert ann.closed
    assert ben.closed
    assert "may be nowhere" in str(refusal(jakarta))
    connect(jakarta, singapore)
    assert isinstance(describe(singapore, limited("singapore")), Done)
    assert not singapore.join("ben", *LAYOUT).closed


class Wires:
    """What each edge wrote is on its way to the others, in the order in which it wrote it."""

    def __init__(self, *stages: Stage) -> None:
        self._queue: deque[tuple[Stage, PutRecord | DeleteRecord]] = deque()
        for stage in stages:
            others = [other for other in stages if other is not stage]
            stage.neighbours = [Wire(self._queue, other) for other in others]  # type: ignore[misc]
            for other in others:
                stage.handle(RecordCame(record=other.node_record))
                self._queue.extend((other, change) for change in stage.records)

    def deliver(self, most: int = 10_000) -> None:
        while self._queue and most:
            most -= 1
            to, change = self._queue.popleft()
            to.learn(change)


class Wire:
    def __init__(self, queue: deque[tuple[Stage, PutRecord | DeleteRecord]], to: Stage) -> None:
        self._queue, self._to = queue, to

    def learn(self, change: PutRecord | DeleteRecord) -> None:
        self._queue.append((self._to, change))


# --- what the network hears -----------------------------------------------------------------------


def test_the_network_knows_the_sets_of_the_rooms_here() -> None:
    jakarta, singapore, _ = three()
    create(jakarta, limited(*HOME))
    assert jakarta.region_sets == [HOME]
    create(jakarta, limited("jakarta"), name="alone")
    create(jakarta, limited("singapore", "jakarta"), name="again")
    create(jakarta, "", name="open")
    assert jakarta.region_sets == [["jakarta"], HOME]
    assert not singapore.region_sets
    ben = singapore.join("ben", *LAYOUT)
    assert singapore.region_sets == [HOME]
    ben.say(leave={})
    for stage in (jakarta, singapore):
        stage.pass_time(400)
        assert stage.region_sets == []
        assert isinstance(stage.records[-1], PutRecord | DeleteRecord)


def test_an_edge_has_only_so_many_different_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "MAX_REGION_SETS", 2)
    jakarta, _, _ = three()
    for name, regions in (("a", ["jakarta"]), ("b", HOME), ("c", HOME), ("d", [])):
        assert isinstance(create(jakarta, limited(*regions) if regions else "", name), Done)
    reply = create(jakarta, limited("jakarta", "tokyo"), "e")
    assert isinstance(reply, Failed)
    assert "which has 2 already" in reply.message


# --- what no order of events changes --------------------------------------------------------------

NAMES = ("jakarta", "singapore", "frankfurt")
sets = st.frozensets(st.sampled_from(NAMES))
records = st.lists(
    st.builds(
        lambda number, version, regions: RoomRecord(
            node=number,
            name="lobby",
            sid="RM_1",
            created_at=1,
            version=version,
            info=b"",
            regions=sorted(regions),
        ),
        st.integers(2, 5),
        st.integers(1, 3),
        sets,
    ),
    max_size=6,
)


@given(records, sets, records)
def test_another_record_never_widens_a_room(
    some: list[RoomRecord], ruled: frozenset[str], more: list[RoomRecord]
) -> None:
    room = RoomRecords("lobby", 1, ruled)
    for each in some:
        room.put(each)
    known = {each.node for each in some}
    for each in more:
        if each.node in known:
            continue  # a newer record of the same edge may widen
        known.add(each.node)
        before = room.regions
        room.put(each)
        assert within(room.regions, before)
        assert within(room.regions, ruled)
        assert within(room.regions, frozenset(each.regions))


@settings(max_examples=200)
@given(st.data())
def test_edges_agree_whatever_the_order_and_lose_no_limit(data: st.DataObject) -> None:
    edges = {n: RoomRecords("lobby", n, data.draw(sets)) for n in (1, 2, 3)}
    opened: dict[int, RoomRecord] = {}
    for number, edge in edges.items():
        opened[number] = edge.open(f"RM_{number}", 1.0 + number, Room(), data.draw(sets))
    pending = [(to, written) for written in opened.values() for to in edges if to != written.node]
    steps = 0
    while pending:
        steps += 1
        assert steps < 500, "the edges never agree"
        to, written = pending.pop(data.draw(st.integers(0, len(pending) - 1)))
        # Of one edge's records the later ones come later.
        pending = [(t, w) for t, w in pending if (t, w.node) != (to, written.node)] + [
            (t, w) for t, w in pending if (t, w.node) == (to, written.node)
        ]
        edges[to].put(written)
        if (merged := edges[to].adopt()) is not None:
            pending = [(t, w) for t, w in pending if w.node != to]
            pending += [(other, merged) for other in edges if other != to]
    agreed = {edge.regions for edge in edges.values()}
    assert len(agreed) == 1
    for first in opened.values():
        assert within(next(iter(agreed)), frozenset(first.regions))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), st.integers(0, 2), st.sampled_from(["ann", "ben", "zoe"])),
            st.tuples(st.just("leave"), st.integers(0, 2), st.just("")),
            st.tuples(st.just("set"), st.integers(0, 2), sets),
            st.tuples(st.just("wait"), st.integers(0, 2), st.just("")),
            st.tuples(st.just("deliver"), st.integers(1, 20), st.just("")),
        ),
        max_size=20,
    )
)
def test_nobody_is_ever_outside(events: Sequence[tuple[str, int, object]]) -> None:
    stages = [Stage(number, region=name) for number, name in enumerate(NAMES, start=1)]
    wires = Wires(*stages)
    create(stages[0], limited(*HOME))
    wires.deliver()
    for what, at, which in events:
        if what == "wait":
            stages[at].pass_time(1.0)
        elif what == "deliver":
            wires.deliver(at)
        elif what == "join":
            stages[at].join(str(which), *LAYOUT)
        elif what == "leave":
            for client in stages[at].clients.values():
                if not client.closed:
                    client.say(leave={})
        else:
            assert isinstance(which, frozenset)
            describe(stages[at], limited(*which) if which else "silent")
        for one in stages:
            room = one.rooms._ctx.rooms.get("lobby")
            if room is None or not room.sessions:
                continue
            assert allows(room.regions, one.settings.region)
            for command in one.told(node.SetRoomNodes)[-1:]:
                assert not command.nodes or command.tag == region_tag(room.mesh_regions)
                assert within(room.mesh_regions, room.regions)
                places = [stages[other - 1].settings.region for other in command.nodes]
                assert all(allows(room.regions, place) for place in places)
            for regions in (room.regions, room.mesh_regions):
                assert not regions or sorted(regions) in one.region_sets
            assert room.regions != NOWHERE
