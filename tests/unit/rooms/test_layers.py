"""Which layers are asked for: of the node for each subscriber, and of publishers."""

from __future__ import annotations

import pytest
from livekit.protocol.models import TrackSource, VideoLayer, VideoQuality
from livekit.protocol.rtc import StreamState

from fairlead.protocol import node
from fairlead.rooms.tracks import dynacast, watching
from tests.unit.rooms.stage import Client, Stage

SIZES = [(320, 180), (640, 360), (1280, 720)]
LAYERS = [
    VideoLayer(quality=VideoQuality.ValueType(quality), width=width, height=height)
    for quality, (width, height) in enumerate(SIZES)
]


def shown(
    stage: Stage, source: TrackSource.ValueType = TrackSource.CAMERA, **viewer: object
) -> tuple[Client, Client, str]:
    """Ann shows a picture to Ben."""
    ann = stage.join("ann", "video sendonly cam q,h,f", "audio sendonly mic")
    sid = stage.publish(ann, "video", "cam", layers=LAYERS, source=source)
    ben = stage.join("ben", "audio recvonly", "video recvonly", **viewer)
    stage.live(sid, "video/VP8")
    ben.offer("audio recvonly", "video recvonly", offer_id=2)
    assert any(told.track == sid for told in stage.told(node.Subscribe))
    return ann, ben, sid


def priorities(stage: Stage) -> list[int]:
    return [told.priority for told in stage.told(node.SetQuality)]


def enabled(client: Client) -> list[list[bool]]:
    """What the client was told of each quality, lowest first, each time."""
    updates = client.heard("subscribed_quality_update")
    for update in updates:
        assert [codec.codec for codec in update.subscribed_codecs] == ["vp8"]
        same = [quality.enabled for quality in update.subscribed_codecs[0].qualities]
        assert [quality.enabled for quality in update.subscribed_qualities] == same
    return [[quality.enabled for quality in u.subscribed_qualities] for u in updates]


def need(stage: Stage, sid: str, quality: int | None) -> None:
    stage.hear(node.TrackWanted(track=sid, quality=quality))


def test_more_is_told_at_once_and_less_after_a_while() -> None:
    stage = Stage()
    ann, _, sid = shown(stage)
    need(stage, sid, 0)
    stage.pass_time(dynacast.DOWNGRADE_DELAY - 0.1)
    assert enabled(ann) == []
    stage.pass_time(0.2)
    assert enabled(ann) == [[True, False, False]]
    need(stage, sid, 2)
    assert enabled(ann)[1:] == [[True, True, True]]
    need(stage, sid, None)
    stage.pass_time(1)
    need(stage, sid, 1)
    stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert enabled(ann)[2:] == [[True, True, False]], "what holds when the time is over"


def test_less_for_a_moment_is_not_told() -> None:
    stage = Stage()
    ann, _, sid = shown(stage)
    for _ in range(10):
        need(stage, sid, None)
        stage.pass_time(1)
        need(stage, sid, 2)
        stage.pass_time(1)
    stage.pass_time(60)
    assert enabled(ann) == []


def test_it_is_told_again_after_an_answer() -> None:
    stage = Stage()
    ann, _, sid = shown(stage)
    need(stage, sid, 1)
    stage.pass_time(dynacast.DOWNGRADE_DELAY)
    ann.forget()
    ann.offer("video sendonly cam q,h,f", "audio sendonly mic", offer_id=7)
    assert enabled(ann) == []
    stage.pass_time(dynacast.REPEAT_DELAY)
    assert enabled(ann) == [[True, True, False]]
    stage.pass_time(60)
    assert len(enabled(ann)) == 1


def test_a_track_that_never_came_is_not_told_to_stop() -> None:
    stage = Stage()
    ann = stage.join("ann", "video sendonly cam q,h,f")
    sid = stage.publish(ann, "video", "cam", layers=LAYERS)
    need(stage, sid, None)
    stage.pass_time(30)
    assert enabled(ann) == []
    stage.live(sid, "video/VP8")
    stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert enabled(ann) == [[False, False, False]]


@pytest.mark.parametrize("sid", ["TR_none", ""])
def test_news_of_a_track_that_ended_is_let_go(sid: str) -> None:
    stage = Stage()
    ann, _, known = shown(stage)
    need(stage, known, 0)
    ann.say(leave={})
    need(stage, sid, 1)
    stage.pass_time(60)


def test_speakers_and_screens_come_first_and_a_client_may_say_otherwise() -> None:
    stage = Stage()
    ann, ben, sid = shown(stage)
    mic = stage.publish(ann, "audio", "mic")
    ann.offer("video sendonly cam q,h,f", "audio sendonly mic", offer_id=3)
    stage.live(mic)

    def speak(active: bool) -> None:
        level = node.Level(track=mic, level=0.5 * active, active=active)
        stage.hear(node.Levels(levels=[level]))

    speak(True)
    speak(False)
    stage.pass_time(watching.SPEAKER_HOLD - 1)
    speak(True)
    speak(False)
    assert priorities(stage) == [watching.SPEAKER_PRIORITY], "a pause for breath changes nothing"
    stage.pass_time(watching.SPEAKER_HOLD)
    assert priorities(stage) == [watching.SPEAKER_PRIORITY, 0]
    ben.say(track_setting={"track_sids": [sid], "quality": 1, "priority": 1})
    last = stage.told(node.SetQuality)[-1]
    assert (last.quality, last.priority) == (1, 254)
    ben.say(track_setting={"track_sids": [sid], "quality": 1, "priority": 2**31})
    assert priorities(stage)[-1] > watching.SCREEN_PRIORITY


def test_fewer_pictures_a_second_are_asked_for() -> None:
    stage = Stage()
    _, ben, sid = shown(stage)
    for fps in (7, 0, 2**32 - 1):
        ben.say(track_setting={"track_sids": [sid], "quality": 2, "fps": fps})
    assert [told.fps for told in stage.told(node.SetQuality)] == [7, 0, watching.MAX_FPS]


def test_a_screen_comes_first_from_the_start() -> None:
    stage = Stage()
    shown(stage, TrackSource.SCREEN_SHARE)
    assert priorities(stage) == [watching.SCREEN_PRIORITY]


def test_what_was_asked_for_holds_when_the_line_changes() -> None:
    stage = Stage()
    _, ben, sid = shown(stage)
    ben.say(track_setting={"track_sids": [sid], "width": 300, "height": 170})
    ben.offer("audio recvonly", "video inactive", offer_id=4)
    ben.offer("audio recvonly", "video recvonly", offer_id=5)
    assert [told.quality for told in stage.told(node.SetQuality)] == [0, 0]


def test_a_pause_is_told_to_who_takes_it() -> None:
    stage = Stage()
    ann, ben, sid = shown(stage, allow_pause=True)
    joined = {told.participant: told.allow_pause for told in stage.told(node.AddParticipant)}
    assert joined == {ann.number: False, ben.number: True}
    for paused in (True, False):
        stage.hear(node.StreamState(participant=ben.number, track=sid, paused=paused))
    states = [
        (x.participant_sid, x.track_sid, x.state)
        for update in ben.heard("stream_state_update")
        for x in update.stream_states
    ]
    assert states == [
        (ann.sid, sid, StreamState.PAUSED),
        (ann.sid, sid, StreamState.ACTIVE),
    ]
    stage.hear(node.StreamState(participant=99, track=sid, paused=True))
    stage.hear(node.StreamState(participant=ben.number, track="TR_none", paused=True))
