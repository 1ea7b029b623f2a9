"""Shapes of load: scaled, and refused where they can't be."""

from __future__ import annotations

import msgspec
import pytest

from fairlead.lab.load import shapes
from fairlead.lab.load.shapes import SHAPES, Shape, ShapeError


def test_the_published_shapes_are_there() -> None:
    audio, meeting, stream = (SHAPES[name] for name in ("audio-room", "meeting", "livestream"))
    assert (audio.publishers, audio.subscribers, audio.subscriptions) == (10, 3_000, 30_000)
    assert (meeting.clients, meeting.subscriptions, meeting.layers) == (300, 22_500, 3)
    assert (stream.publishers, stream.subscribers) == (1, 3_000)
    for shape in SHAPES.values():
        shapes.check(shape)


def test_a_scale_takes_subscribers_and_in_a_meeting_everyone() -> None:
    room = shapes.scaled(SHAPES["audio-room"], 0.01)
    assert (room.audio_publishers, room.subscribers) == (10, 30)
    meeting = shapes.scaled(SHAPES["meeting"], 0.1)
    assert (meeting.video_publishers, meeting.subscribers) == (15, 15)
    tiny = shapes.scaled(SHAPES["meeting"], 0.001)
    assert (tiny.video_publishers, tiny.audio_publishers, tiny.subscribers) == (1, 0, 1)


@pytest.mark.parametrize("scale", [0, -1, 101, float("nan")])
def test_an_impossible_scale_is_named(scale: float) -> None:
    with pytest.raises(ShapeError, match="a scale of"):
        shapes.scaled(SHAPES["webinar"], scale)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"audio_publishers": 0}, "nobody publishes"),
        ({"audio_publishers": -1}, "-1 audio publishers are not possible"),
        ({"subscribers": -5}, "-5 subscribers are not possible"),
        ({"rooms": 0}, "0 rooms are not possible"),
        ({"layers": 4}, "4 layers are not possible: give 1 to 3"),
        ({"subscribers": 20_000}, "20001 clients are too many"),
    ],
)
def test_impossible_numbers_are_named(change: dict[str, int], words: str) -> None:
    shape = msgspec.structs.replace(Shape(audio_publishers=1, subscribers=1), **change)
    with pytest.raises(ShapeError, match=words):
        shapes.check(shape)
