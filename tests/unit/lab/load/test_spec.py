"""What the load client is told: everyone's place, room and token."""

from __future__ import annotations

import json

from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spec import Target, Timing, Traffic, encode
from fairlead.policy import tokens

NOW = 1_700_000_000.0
TARGET = Target(urls=["ws://near:1", "ws://far:2"], key="devkey", secret="secret")


def test_publishers_join_the_first_server_and_subscribers_the_last() -> None:
    shape = Shape(rooms=2, audio_publishers=1, video_publishers=1, subscribers=2, layers=3)
    spec = json.loads(encode(shape, TARGET, Timing(), Traffic(), run="r", now=NOW))
    publishers, subscribers = spec["publishers"], spec["subscribers"]
    assert [(one["media"], one["room"]) for one in publishers] == [
        ("audio", 0),
        ("video", 0),
        ("audio", 1),
        ("video", 1),
    ]
    assert {one["url"] for one in publishers} == {"ws://near:1"}
    assert {one["url"] for one in subscribers} == {"ws://far:2"}
    assert [one["room"] for one in subscribers] == [0, 0, 1, 1]
    assert (spec["layers"], spec["watch"], spec["measure_s"]) == (3, "high", 10.0)


def test_a_token_lets_one_into_the_room_of_its_number() -> None:
    shape = Shape(rooms=2, data_publishers=1, subscribers=1)
    spec = json.loads(encode(shape, TARGET, Timing(), Traffic(), run="r", now=NOW))
    everyone = spec["publishers"] + spec["subscribers"]
    grants = [tokens.verify(one["token"], {"devkey": "secret"}, NOW) for one in everyone]
    rooms = [one.require_join() for one in grants]
    assert rooms == [f"r-{one['room']}" for one in everyone]
    named = list(zip(rooms, (one.identity for one in grants), strict=True))
    assert len(set(named)) == len(named), "nobody throws another out"
