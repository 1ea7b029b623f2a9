"""Devices that do not keep up: what viewers get and publishers are asked for."""

from __future__ import annotations

from typing import Any

from livekit.protocol.models import TrackSource

from fairlead.protocol import node
from fairlead.rooms.tracks import dynacast
from tests.unit.rooms.stage import Client, Stage
from tests.unit.rooms.test_grading import figures
from tests.unit.rooms.test_layers import enabled, shown


def call(
    source: TrackSource.ValueType = TrackSource.CAMERA,
) -> tuple[Stage, Client, Client, str]:
    """Ann shows Ben a picture, and both are connected."""
    stage = Stage()
    ann, ben, sid = shown(stage, source)
    stage.connect(ann)
    stage.connect(ben)
    return stage, ann, ben, sid


def report(stage: Stage, client: Client, **said: Any) -> None:
    stage.hear(node.Quality(participants=[figures(participant=client.number, **said)]))
    stage.pass_time(5)


def told(stage: Stage, client: Client) -> list[tuple[int | None, int]]:
    mine = [one for one in stage.told(node.SetQuality) if one.participant == client.number]
    return [(one.quality, one.fps) for one in mine]


def test_a_viewer_that_decodes_too_slowly_gets_less_and_nobody_else_does() -> None:
    stage, _, ben, _ = call()
    for _ in range(6):
        report(stage, ben, keyframes_asked=2)
    assert told(stage, ben) == [(1, 0), (0, 0), (0, 15)]
    assert [one.participant for one in stage.told(node.SetQuality)] == [ben.number] * 3
    for _ in range(13):
        report(stage, ben)
    assert told(stage, ben)[3:] == [(0, 0)]


def test_a_shared_screen_stays_readable() -> None:
    stage, _, ben, _ = call(TrackSource.SCREEN_SHARE)
    before = told(stage, ben)
    for _ in range(8):
        report(stage, ben, keyframes_asked=2)
    assert told(stage, ben) == before


def test_a_publisher_that_encodes_too_slowly_is_asked_for_a_layer_less() -> None:
    stage, ann, _, sid = call()
    for fps in (20.0, 8.0, 8.0):
        report(stage, ann, pictures=[node.Picture(track=sid, layers=3, fps=fps)])
    stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert enabled(ann) == [[True, True, False]]
    for _ in range(30):
        report(stage, ann, pictures=[node.Picture(track=sid, layers=2, fps=19.0)])
    assert enabled(ann)[1:] == [[True, True, True]]


def test_a_screen_of_few_pictures_and_reports_of_nothing_known_change_nothing() -> None:
    stage, ann, _, sid = call(TrackSource.SCREEN_SHARE)
    for fps in (20.0, 1.0, 1.0, 1.0, 1.0):
        pictures = [node.Picture(track=name, layers=3, fps=fps) for name in (sid, "TR_gone")]
        report(stage, ann, pictures=pictures)
    assert enabled(ann) == []
