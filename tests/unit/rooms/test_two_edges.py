"""One room on several edges, each hearing of the others by their records."""

from __future__ import annotations

import msgspec
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.room import CreateRoomRequest

from fairlead.protocol import node
from fairlead.protocol.operation import CreateRoom, UpdateRoomMetadata
from fairlead.rooms.state.outputs import DeleteRecord, PutRecord
from fairlead.types import RoomRecord, room_key
from tests.unit.rooms.stage import Client, Stage, connect
from tests.unit.rooms.test_single_connection import LAYOUT


def two() -> tuple[Stage, Stage]:
    here, there = Stage(1), Stage(2)
    connect(here, there)
    return here, there


def publish(stage: Stage, client: Client) -> str:
    sid = stage.publish(client, "audio", "mic")
    client.offer(*LAYOUT, "audio sendonly mic", offer_id=2)
    stage.live(sid)
    return sid


def test_people_and_tracks_cross() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    sid = publish(here, ann)
    ben = there.join("ben", *LAYOUT)
    assert [info.identity for info in ben.joined.other_participants] == ["ann"]
    assert ben.joined.room.sid == ann.joined.room.sid
    assert ann.updates()[-1] == ("ben", ParticipantInfo.JOINED, [])
    assert dict(ben.last("answer").mid_to_track_id) == {"0": sid}
    local = here.told(node.AddTrack)[0]
    far = there.told(node.AddTrack)[0]
    assert far.publisher is None
    assert (far.track, far.room, far.kind) == (local.track, local.room, local.kind)
    assert [layer.stream for layer in far.layers] == [layer.stream for layer in local.layers]
    key = room_key("lobby")
    assert here.told(node.SetRoomNodes) == [node.SetRoomNodes(room=key, nodes=[2])]
    assert there.told(node.SetRoomNodes) == [node.SetRoomNodes(room=key, nodes=[1])]


def test_the_publisher_hears_of_a_subscriber_elsewhere() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    sid = publish(here, ann)
    assert not ann.heard("track_subscribed")
    there.join("ben", *LAYOUT)
    assert [told.track_sid for told in ann.heard("track_subscribed")] == [sid]


def test_a_departure_elsewhere_withdraws_everything() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    sid = publish(here, ann)
    ben = there.join("ben", *LAYOUT)
    ann.say(leave={})
    assert ben.updates()[-1] == ("ann", ParticipantInfo.DISCONNECTED, [])
    assert ben.last("update").participants[0].disconnect_reason == (
        DisconnectReason.CLIENT_INITIATED
    )
    assert there.told(node.RemoveTrack) == [node.RemoveTrack(track=sid)]
    assert there.told(node.SetRoomNodes)[-1].nodes == []
    assert not [x for x in there.told(node.Unsubscribe) if x.track == sid]


def test_remote_tracks_are_in_the_node_only_while_someone_is_here() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    sid = publish(here, ann)
    assert not there.told(node.AddTrack)
    ben = there.join("ben", *LAYOUT)
    ben.say(leave={})
    assert [x.track for x in there.told(node.RemoveTrack)] == [sid]
    there.join("ben", *LAYOUT)
    assert [x.track for x in there.told(node.AddTrack)] == [sid, sid]


def test_a_node_that_vanishes_takes_its_people_along() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    publish(here, ann)
    ben = there.join("ben", *LAYOUT)
    records = {(type(r.record), r.record.sid): r.record for r in here.records}
    for record in records.values():
        there.learn(DeleteRecord(record=record))
    assert ben.updates()[-1] == ("ann", ParticipantInfo.DISCONNECTED, [])
    assert there.rooms.session_count == 1
    ben.say(leave={})
    there.pass_time(21)
    assert there.rooms.room_count == 0


def test_the_newest_session_wins_everywhere() -> None:
    here, there = two()
    watcher = there.join("watcher", *LAYOUT)
    old = here.join("ann", *LAYOUT)
    here.now += 1
    there.now += 1
    watcher.forget()
    new = there.join("ann", *LAYOUT)
    assert old.closed
    assert old.last("leave").reason == DisconnectReason.DUPLICATE_IDENTITY
    assert here.rooms.session_count == 0
    assert [info.identity for info in new.joined.other_participants] == ["watcher"]
    ends = [info.sid for u in watcher.heard("update") for info in u.participants]
    assert ends.count(new.sid) >= 1
    last = [i.state for u in watcher.heard("update") for i in u.participants if i.sid == new.sid]
    assert last[-1] == ParticipantInfo.JOINED
    states = [(i.sid == new.sid, i.state) for u in watcher.heard("update") for i in u.participants]
    # The end of the old session is never told after the start of the new one.
    assert states.index((False, ParticipantInfo.DISCONNECTED)) < states.index(
        (True, ParticipantInfo.JOINED)
    )


def test_two_joins_at_once_leave_one() -> None:
    here, there = Stage(1), Stage(2)
    first = here.join("ann", *LAYOUT)
    second = there.join("ann", *LAYOUT)
    connect(here, there)
    for change in list(here.records):
        there.learn(change)
    for change in list(there.records):
        here.learn(change)
    # The same microsecond: the greater node wins.
    assert first.closed
    assert not second.closed
    assert there.rooms.session_count == 1


def test_two_rooms_made_at_once_become_one() -> None:
    here, there = Stage(1), Stage(2)
    ann = here.join("ann", *LAYOUT)
    there.now += 0.001
    ben = there.join("ben", *LAYOUT)
    assert ann.joined.room.sid != ben.joined.room.sid
    connect(here, there)
    for change in list(here.records):
        there.learn(change)
    for change in list(there.records):
        here.learn(change)
    assert ben.last("room_update").room.sid == ann.joined.room.sid
    assert {info.identity for u in ann.heard("update") for info in u.participants} == {"ben"}


def test_room_metadata_crosses() -> None:
    here, there = two()
    ann, ben = here.join("ann", *LAYOUT), there.join("ben", *LAYOUT)
    here.ask(UpdateRoomMetadata(room="lobby", metadata="from here"))
    assert ann.last("room_update").room.metadata == "from here"
    assert ben.last("room_update").room.metadata == "from here"
    there.ask(UpdateRoomMetadata(room="lobby", metadata="from there"))
    assert ann.last("room_update").room.metadata == "from there"


def test_a_room_outlives_the_edge_that_made_it() -> None:
    here, there = two()
    request = CreateRoomRequest(name="lobby", metadata="kept", departure_timeout=7)
    here.ask(CreateRoom(room="lobby", request=request.SerializeToString()))
    ben = there.join("ben", *LAYOUT)
    assert ben.joined.room.metadata == "kept"
    held = [x for x in here.records if isinstance(x.record, RoomRecord)]
    assert isinstance(held[-1], DeleteRecord)
    ben.say(leave={})
    there.pass_time(8)
    assert there.rooms.room_count == 0
    assert here.rooms.room_count == 0


def test_a_record_that_cannot_be_read_is_let_go() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    ben = there.join("ben", *LAYOUT)
    record = next(x.record for x in reversed(there.records) if isinstance(x, PutRecord))
    ann.forget()
    here.learn(PutRecord(record=msgspec.structs.replace(record, info=b"\xff\xff")))
    assert ann.told == []
    assert not ben.closed


def test_a_permission_crosses() -> None:
    here, there = two()
    ann = here.join("ann", *LAYOUT)
    sid = publish(here, ann)
    ben = there.join("ben", *LAYOUT)
    ann.say(subscription_permission={"all_participants": False})
    assert there.told(node.Unsubscribe) == [node.Unsubscribe(participant=ben.number, track=sid)]
    ann.say(subscription_permission={"all_participants": True})
    ben.offer(*LAYOUT, offer_id=2)
    assert dict(ben.last("answer").mid_to_track_id) == {"0": sid}
