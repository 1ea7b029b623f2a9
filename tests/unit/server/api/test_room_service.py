"""RoomService through the real `livekit-api` client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable

import pytest
from livekit import api
from livekit.protocol.models import Room, TrackInfo
from livekit.protocol.room import MuteRoomTrackResponse

from fairlead.cells.change import RecordPut
from fairlead.protocol.operation import (
    CreateRoom,
    DeleteRoom,
    Done,
    Failed,
    MuteTrack,
    RemoveParticipant,
    SendData,
    UpdateParticipant,
    UpdateRoomMetadata,
    UpdateSubscriptions,
)
from tests.unit.server.api import network
from tests.unit.server.api.conftest import KEYS, Served
from tests.unit.server.api.network import FAR, FARTHER, HERE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(served: Served) -> AsyncIterator[api.LiveKitAPI]:
    [(key, secret)] = KEYS.items()
    async with api.LiveKitAPI(served.url, key, secret) as livekit:
        yield livekit


async def test_rooms_of_every_edge_are_listed_once(client: api.LiveKitAPI) -> None:
    listed = await client.room.list_rooms(api.ListRoomsRequest())
    assert [(room.name, room.sid, room.metadata) for room in listed.rooms] == [
        ("shop", "RM_1000", "new"),
        ("class", "RM_3000", ""),
    ]
    shop, lesson = listed.rooms
    assert (shop.num_participants, shop.num_publishers) == (3, 1)
    assert (lesson.num_participants, lesson.num_publishers) == (0, 0)
    listed = await client.room.list_rooms(api.ListRoomsRequest(names=["class", "nowhere"]))
    assert [room.name for room in listed.rooms] == ["class"]


async def test_a_room_is_created_here_and_one_that_is_there_given(
    client: api.LiveKitAPI, served: Served
) -> None:
    served.edges.replies[HERE] = Done(payload=Room(name="new", sid="RM_n").SerializeToString())
    created = await client.room.create_room(api.CreateRoomRequest(name="new", metadata="m"))
    assert created.sid == "RM_n"
    [(node, operation)] = served.edges.asked
    assert node == HERE
    assert isinstance(operation, CreateRoom)
    assert api.CreateRoomRequest.FromString(operation.request).metadata == "m"
    existing = await client.room.create_room(api.CreateRoomRequest(name="class"))
    assert existing.sid == "RM_3000"
    assert len(served.edges.asked) == 1


async def test_a_room_is_deleted_at_every_edge_that_has_it(
    client: api.LiveKitAPI, served: Served
) -> None:
    served.edges.replies[FAR] = Failed(code="not_found", message="closed meanwhile")
    await client.room.delete_room(api.DeleteRoomRequest(room="shop"))
    assert sorted(node for node, _ in served.edges.asked) == [HERE, FAR]
    assert {operation for _, operation in served.edges.asked} == {DeleteRoom(room="shop")}
    served.edges.replies[FAR] = Failed(code="unavailable", message="the cell is away")
    with pytest.raises(api.ServerError, match="the cell is away") as failure:
        await client.room.delete_room(api.DeleteRoomRequest(room="shop"))
    assert (failure.value.code, failure.value.status) == ("unavailable", 503)


async def test_participants_are_found_on_any_edge_with_the_newest_session(
    client: api.LiveKitAPI,
) -> None:
    listed = await client.room.list_participants(api.ListParticipantsRequest(room="shop"))
    assert [info.identity for info in listed.participants] == [
        "guide",
        "shopper",
        "twice",
        "robot",
    ]
    one = await client.room.get_participant(
        api.RoomParticipantIdentity(room="shop", identity="twice")
    )
    assert one.metadata == "the newer session"


async def test_each_write_goes_to_the_edge_that_serves_the_participant(
    client: api.LiveKitAPI, served: Served
) -> None:
    await client.room.remove_participant(api.RoomParticipantIdentity(room="shop", identity="guide"))
    served.edges.replies[HERE] = Done(
        payload=MuteRoomTrackResponse(track=TrackInfo(sid="TR_1", muted=True)).SerializeToString()
    )
    muted = await client.room.mute_published_track(
        api.MuteRoomTrackRequest(room="shop", identity="shopper", track_sid="TR_1", muted=True)
    )
    assert muted.track.muted
    update = api.UpdateParticipantRequest(room="class", identity="camera", metadata="m")
    await client.room.update_participant(update)
    subscriptions = api.UpdateSubscriptionsRequest(
        room="shop", identity="twice", track_sids=["TR_1"], subscribe=True
    )
    await client.room.update_subscriptions(subscriptions)
    assert served.edges.asked == [
        (FAR, RemoveParticipant(room="shop", identity="guide")),
        (HERE, MuteTrack(room="shop", identity="shopper", track_sid="TR_1", muted=True)),
        (
            FARTHER,
            UpdateParticipant(room="class", identity="camera", request=update.SerializeToString()),
        ),
        (
            FAR,
            UpdateSubscriptions(
                room="shop", identity="twice", request=subscriptions.SerializeToString()
            ),
        ),
    ]


async def test_a_room_is_written_here_if_held_here_else_where_it_is(
    client: api.LiveKitAPI, served: Served
) -> None:
    for room, node in (("shop", HERE), ("class", FARTHER)):
        await client.room.send_data(api.SendDataRequest(room=room, data=b"hello"))
        served.edges.replies[node] = Done(payload=Room(name=room).SerializeToString())
        changed = await client.room.update_room_metadata(
            api.UpdateRoomMetadataRequest(room=room, metadata="m")
        )
        assert changed.name == room
    data, metadata, far_data, far_metadata = served.edges.asked
    assert (data[0], metadata[0], far_data[0], far_metadata[0]) == (HERE, HERE, FARTHER, FARTHER)
    assert isinstance(data[1], SendData)
    assert api.SendDataRequest.FromString(data[1].request).data == b"hello"
    assert far_metadata[1] == UpdateRoomMetadata(room="class", metadata="m")


async def test_unknown_rooms_and_participants_are_not_found(client: api.LiveKitAPI) -> None:
    rooms = client.room
    nobody = api.RoomParticipantIdentity(room="shop", identity="nobody")
    nowhere = api.RoomParticipantIdentity(room="nowhere", identity="shopper")
    for call in (
        rooms.delete_room(api.DeleteRoomRequest(room="nowhere")),
        rooms.list_participants(api.ListParticipantsRequest(room="nowhere")),
        rooms.get_participant(nobody),
        rooms.get_participant(nowhere),
        rooms.remove_participant(nobody),
        rooms.send_data(api.SendDataRequest(room="nowhere")),
        rooms.update_room_metadata(api.UpdateRoomMetadataRequest(room="nowhere")),
    ):
        with pytest.raises(api.ServerError) as failure:
            await call
        assert (failure.value.code, failure.value.status) == ("not_found", 404)


async def test_what_an_edge_refuses_reaches_the_caller(
    client: api.LiveKitAPI, served: Served
) -> None:
    served.edges.replies[HERE] = Failed(code="failed_precondition", message="only muted")
    with pytest.raises(api.ServerError, match="only muted") as failure:
        await client.room.mute_published_track(
            api.MuteRoomTrackRequest(room="shop", identity="shopper", track_sid="TR_1")
        )
    assert (failure.value.code, failure.value.status) == ("failed_precondition", 412)


async def test_methods_that_are_not_offered_say_so(client: api.LiveKitAPI) -> None:
    with pytest.raises(api.ServerError) as failure:
        await client.ingress.list_ingress(api.ListIngressRequest())
    assert (failure.value.code, failure.value.status) == ("unimplemented", 501)


def within(*regions: str) -> str:
    return json.dumps({"fairlead": {"regions": list(regions)}})


async def refused(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(api.TwirpError) as caught:
        await call
    return caught.value.code, caught.value.message


async def test_a_room_that_may_not_be_here_is_made_where_it_may(
    client: api.LiveKitAPI, served: Served
) -> None:
    for name, metadata, node in (
        ("a", within("jakarta", "frankfurt"), HERE),
        ("b", within("frankfurt"), FARTHER),
        ("kyc-1", "", FAR),
        ("kyc-2", within("frankfurt", "jakarta"), FARTHER),
        # No edge is there: this one says so.
        ("c", within("nauru"), HERE),
    ):
        await client.room.create_room(api.CreateRoomRequest(name=name, metadata=metadata))
        assert served.edges.asked.pop()[0] == node, name


async def test_a_set_of_regions_that_cannot_be_read_is_refused(
    client: api.LiveKitAPI, served: Served
) -> None:
    request = api.CreateRoomRequest(name="a", metadata=within("Jakarta"))
    code, message = await refused(client.room.create_room(request))
    assert code == "invalid_argument"
    assert "'Jakarta', which is no region" in message
    assert not served.edges.asked


async def test_a_room_open_wider_than_asked_is_not_given(
    client: api.LiveKitAPI, served: Served
) -> None:
    request = api.CreateRoomRequest(name="class", metadata=within("frankfurt"))
    code, message = await refused(client.room.create_room(request))
    assert code == "failed_precondition"
    assert "may be everywhere, which is more than asked for" in message
    narrow = network.room(FARTHER, "class", 3_000, 2, "", "frankfurt")
    served.directory.apply(RecordPut(record=narrow))
    assert (await client.room.create_room(request)).name == "class"


async def test_data_for_a_room_that_may_not_be_here_is_refused(
    client: api.LiveKitAPI, served: Served
) -> None:
    narrow = network.room(FARTHER, "class", 3_000, 2, "", "frankfurt")
    served.directory.apply(RecordPut(record=narrow))
    code, message = await refused(client.room.send_data(api.SendDataRequest(room="class")))
    assert code == "failed_precondition"
    assert message == (
        "room 'class' may only be in frankfurt, and this edge is in jakarta: use an edge there"
    )
    assert not served.edges.asked
