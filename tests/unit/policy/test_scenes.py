"""Scenes as data: what comes with Fairlead, what an operator makes of it, what a room may name."""

from __future__ import annotations

import json

import msgspec
import pytest

from fairlead.policy import scenes
from fairlead.policy.scenes import BadScene, Scene, SceneChange

NAMES = (
    "voice_support",
    "guide_1v1",
    "cohost_pk",
    "live_sale",
    "chat_room",
    "virtual_tryon",
    "oral_practice",
)


def named(scene: object) -> str:
    return json.dumps({"app": "its own", "fairlead": {"scene": scene}})


def asked(metadata: str = "", **tags: str) -> str:
    return scenes.asked(metadata, {k.replace("_", "."): v for k, v in tags.items()}, all_scenes())


def all_scenes() -> scenes.Scenes:
    return scenes.packaged()


def test_every_promised_scene_is_there_and_says_what_it_is_for() -> None:
    assert tuple(all_scenes()) == (scenes.DEFAULT, *NAMES)
    assert all(scene.about.endswith(".") for scene in all_scenes().values())


def test_the_default_asks_for_nothing() -> None:
    assert msgspec.structs.replace(all_scenes()[scenes.DEFAULT], about="") == Scene()


def test_a_scene_has_the_values_of_the_default_where_it_names_none() -> None:
    room = all_scenes()["chat_room"]
    assert (room.audio_top, room.playout_ms, room.video_copies) == (3, [], "never")
    assert all_scenes()["live_sale"].playout_ms == [400, 1000]


def test_an_operator_changes_a_scene_and_adds_one() -> None:
    known = scenes.changed(
        {
            "chat_room": SceneChange(audio_top=6),
            "karaoke": SceneChange(like="chat_room", speech_repeats=3),
            "quiz": SceneChange(audio_top=1),
        }
    )
    assert (known["chat_room"].audio_top, known["chat_room"].video_height) == (6, 360)
    assert (known["karaoke"].audio_top, known["karaoke"].speech_repeats) == (3, 3)
    assert known["quiz"] == msgspec.structs.replace(known[scenes.DEFAULT], audio_top=1)
    assert all_scenes()["chat_room"].audio_top == 3


def test_an_operators_scene_can_be_like_no_unknown_one() -> None:
    with pytest.raises(BadScene, match="scene 'quiz' is like 'game', which no packaged scene is"):
        scenes.changed({"quiz": SceneChange(like="game")})
    many = {f"scene{n}": SceneChange() for n in range(scenes.MAX_SCENES + 1)}
    with pytest.raises(BadScene, match="65 scenes: 64 are allowed"):
        scenes.changed(many)


def test_metadata_names_a_scene_and_goes_before_the_tags() -> None:
    assert asked(named("chat_room")) == "chat_room"
    assert asked("a lesson", fairlead_scene="live_sale") == "live_sale"
    assert asked(named("chat_room"), fairlead_scene="live_sale") == "chat_room"


@pytest.mark.parametrize(
    "metadata", ["", "a lesson", '{"scene": "chat_room"}', '{"fairlead": {"regions": ["x"]}}']
)
def test_metadata_that_names_none_asks_for_none(metadata: str) -> None:
    assert asked(metadata) == ""


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        (named("chatroom"), "is 'chatroom', which is no scene: use one of default, voice_support"),
        (named("x" * 1000), "which is no scene"),
        (named(3), "must be the name of a scene"),
        (named(None), "must be the name of a scene"),
        (named(["chat_room"]), "must be the name of a scene"),
        ('{"fairlead": {"scenes": "x"}}', "unknown key 'scenes'"),
        ('{"fairlead": {"scene": "chat_room"}', "no valid JSON"),
    ],
)
def test_what_speaks_of_us_and_is_wrong_is_refused(metadata: str, word: str) -> None:
    with pytest.raises(BadScene) as wrong:
        asked(metadata)
    assert word in str(wrong.value)
    assert len(str(wrong.value)) < 300


def test_a_wrong_tag_is_named() -> None:
    with pytest.raises(BadScene, match=r"the room's tag fairlead\.scene is 'disco'"):
        asked("", fairlead_scene="disco")
