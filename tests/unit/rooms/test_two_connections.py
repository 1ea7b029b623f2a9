"""A session with two connections: the edge offers on the subscriber's, one offer at a time."""

from __future__ import annotations

from typing import Any

from fairlead.protocol import node
from tests.unit.rooms.stage import Client, Stage, section
from tests.unit.rooms.test_single_connection import speaking


def dual(stage: Stage, identity: str = "ann", **join: Any) -> Client:
    return stage.join(identity, single=False, **join)


def answer(client: Client, offer_id: int | None = None) -> None:
    chosen = client.last("offer").id if offer_id is None else offer_id
    client.say(answer={"type": "answer", "sdp": "v=0\r\n", "id": chosen})


def test_the_first_offer_carries_what_is_there() -> None:
    stage = Stage()
    sid = speaking(stage)
    client = dual(stage)
    assert client.joined.subscriber_primary
    offered = client.last("offer")
    assert dict(offered.mid_to_track_id) == {"100": sid}
    speaker = client.joined.other_participants[0]
    line = section(offered, "100")
    assert (line.stream, line.track, line.direction) == (f"{speaker.sid}|{sid}", sid, "sendonly")
    assert not [x for x in stage.told(node.Subscribe) if x.participant == client.number]
    answer(client)
    assert stage.told(node.Subscribe)[-1] == node.Subscribe(
        participant=client.number, transport="subscriber", mid="100", track=sid
    )


def test_an_empty_room_is_offered_too() -> None:
    stage = Stage()
    client = dual(stage)
    assert stage.told(node.CreateOffer) == [
        node.CreateOffer(participant=client.number, offer_id=1, sections=[])
    ]


def test_one_offer_at_a_time() -> None:
    stage = Stage()
    client = dual(stage)
    first = speaking(stage, "one")
    second = speaking(stage, "two")
    assert len(client.heard("offer")) == 1
    answer(client)
    assert len(client.heard("offer")) == 2
    assert sorted(client.last("offer").mid_to_track_id.values()) == sorted([first, second])


def test_answers_to_old_offers_are_let_go_and_zero_is_any() -> None:
    stage = Stage()
    client = dual(stage)
    answer(client, 7)
    assert not stage.told(node.AcceptAnswer)
    answer(client, 0)
    assert [accepted.offer_id for accepted in stage.told(node.AcceptAnswer)] == [1]
    answer(client, 0)
    assert len(stage.told(node.AcceptAnswer)) == 1


def test_a_line_is_used_again() -> None:
    stage = Stage()
    first = speaking(stage, "one")
    client = dual(stage)
    answer(client)
    client.say(subscription={"track_sids": [first], "subscribe": False})
    assert stage.told(node.CreateOffer)[-1].sections == [
        node.Section(mid="100", kind="audio", active=False)
    ]
    answer(client)
    second = speaking(stage, "two")
    assert stage.told(node.CreateOffer)[-1].sections == [
        node.Section(mid="100", kind="audio", active=True)
    ]
    answer(client)
    assert stage.told(node.Subscribe)[-1].track == second


def test_a_track_that_ends_before_the_answer_is_not_sent() -> None:
    stage = Stage()
    speaker = stage.join("speaker", "audio recvonly")
    sid = stage.publish(speaker, "audio", "mic")
    speaker.offer("audio recvonly", "audio sendonly mic", offer_id=2)
    stage.live(sid)
    client = dual(stage)
    speaker.offer("audio recvonly", "audio inactive", offer_id=3)
    other = stage.publish(speaker, "audio", "mic2")
    speaker.offer("audio recvonly", "audio sendonly mic2", offer_id=4)
    stage.live(other)
    answer(client)
    assert not [x for x in stage.told(node.Subscribe) if x.participant == client.number]
    assert dict(client.last("offer").mid_to_track_id) == {"100": other}
    answer(client)
    assert stage.told(node.Subscribe)[-1].track == other


def subscribed(stage: Stage, client: Client) -> list[str]:
    told = stage.told(node.Subscribe)
    return [one.track for one in told if one.participant == client.number]


def test_what_comes_and_goes_before_the_answer_needs_no_offer() -> None:
    stage = Stage()
    first = speaking(stage, "one")
    client = dual(stage)
    second = speaking(stage, "two")
    client.say(subscription={"track_sids": [second], "subscribe": False})
    answer(client)
    assert len(stage.told(node.CreateOffer)) == 1
    assert subscribed(stage, client) == [first]
    # What is wanted again on its line has to be told, for the node sends it no more.
    client.say(subscription={"track_sids": [second], "subscribe": True})
    client.say(subscription={"track_sids": [first], "subscribe": False})
    client.say(subscription={"track_sids": [first], "subscribe": True})
    answer(client)
    answer(client)
    assert sorted(subscribed(stage, client)[1:]) == sorted([second, first])


def test_no_answer_in_time_sends_it_to_join_anew() -> None:
    stage = Stage()
    client = dual(stage)
    stage.connect(client, "subscriber")
    stage.pass_time(14.9)
    assert not client.closed
    stage.pass_time(0.2)
    leave = client.last("leave")
    assert leave.action == leave.RECONNECT


def test_its_own_offer_is_answered_without_subscriptions() -> None:
    stage = Stage()
    speaking(stage)
    client = dual(stage)
    sid = stage.publish(client, "audio", "mic")
    client.offer("audio sendonly mic", offer_id=9)
    reply = client.last("answer")
    assert (reply.id, dict(reply.mid_to_track_id)) == (9, {})
    assert stage.told(node.Publish)[-1] == node.Publish(
        participant=client.number, mid="0", track=sid
    )


def test_who_may_not_subscribe_gets_no_offer_and_is_active_by_publishing() -> None:
    stage = Stage()
    speaking(stage)
    client = dual(stage, grants={"can_subscribe": False})
    assert not client.joined.subscriber_primary
    assert not stage.told(node.CreateOffer)
    stage.connect(client, "subscriber")
    assert ("ann", 2, []) not in client.updates()
    stage.connect(client, "publisher")
    assert ("ann", 2, []) in client.updates()


def test_candidates_name_their_connection() -> None:
    stage = Stage()
    client = dual(stage)
    for target in ("SUBSCRIBER", "PUBLISHER"):
        client.say(trickle={"candidateInit": '{"candidate":"candidate:1"}', "target": target})
    assert [x.transport for x in stage.told(node.AddCandidate)] == ["subscriber", "publisher"]
