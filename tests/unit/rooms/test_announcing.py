"""What the operator's servers hear of a room."""

from __future__ import annotations

from livekit.protocol.webhook import WebhookEvent

from tests.unit.rooms.stage import Stage, connect


def said(stage: Stage) -> list[str]:
    return [event.event for event in stage.announced]


def of(stage: Stage, what: str) -> WebhookEvent:
    return next(event for event in stage.announced if event.event == what)


def test_a_whole_call() -> None:
    stage = Stage(webhooks=True)
    ann = stage.join("ann", "audio sendonly mic")
    sid = stage.publish(ann, "audio", "mic")
    assert said(stage) == ["room_started"], "joined is who is connected"
    stage.connect(ann)
    stage.live(sid)
    ann.say(leave={})
    stage.pass_time(100)
    assert said(stage) == [
        "room_started",
        "participant_joined",
        "track_published",
        "track_unpublished",
        "participant_left",
        "room_finished",
    ]
    for event in stage.announced:
        assert event.id.startswith("EV_")
        assert event.created_at >= 1_800_000_000
        assert event.room.name == "lobby"
    assert of(stage, "participant_joined").participant.identity == "ann"
    assert of(stage, "participant_left").participant.disconnect_reason == 1
    for what in ("track_published", "track_unpublished"):
        event = of(stage, what)
        assert (event.track.sid, event.participant.identity) == (sid, "ann")


def test_who_never_was_connected_is_an_aborted_connection() -> None:
    stage = Stage(webhooks=True)
    ann = stage.join("ann", "audio recvonly")
    stage.lose(ann)
    assert said(stage) == ["room_started", "participant_connection_aborted"]


def test_a_track_that_is_ended_by_an_offer() -> None:
    stage = Stage(webhooks=True)
    ann = stage.join("ann", "audio sendonly mic")
    sid = stage.publish(ann, "audio", "mic")
    stage.connect(ann)
    stage.live(sid)
    ann.offer("audio inactive", offer_id=2)
    assert said(stage)[-1] == "track_unpublished"
    ann.say(leave={})
    assert said(stage).count("track_unpublished") == 1


def test_a_room_of_two_edges_starts_and_finishes_once() -> None:
    near, far = Stage(1, webhooks=True), Stage(2, webhooks=True)
    connect(near, far)
    ann, ben = near.join("ann", "audio recvonly"), far.join("ben", "audio recvonly")
    ann.say(leave={})
    ben.say(leave={})
    for stage in (near, far):
        stage.pass_time(100)
    both = said(near) + said(far)
    assert both.count("room_started") == both.count("room_finished") == 1


def test_nothing_is_made_where_nobody_listens() -> None:
    stage = Stage()
    stage.join("ann", "audio recvonly")
    assert stage.announced == []
