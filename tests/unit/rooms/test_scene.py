"""A room's scene: who names it, what the node hears of it, and that it holds everywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from livekit.protocol.models import ClientInfo, VideoLayer
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.rtc import UpdateTrackSettings

from fairlead.policy import scenes
from fairlead.policy.grants import Denied
from fairlead.policy.scenes import SceneChange
from fairlead.protocol import node
from fairlead.protocol.join import Join
from fairlead.protocol.operation import CreateRoom, Done, Failed, UpdateRoomMetadata
from fairlead.types import RoomRecord, room_key
from tests.unit.rooms.stage import Client, Stage, allow, connect
from tests.unit.rooms.test_single_connection import LAYOUT

KEY = room_key("lobby")
LAYERS = [
    VideoLayer(quality=quality, width=width, height=height)  # type: ignore[arg-type]
    for quality, (width, height) in enumerate([(320, 180), (640, 360), (1280, 720)])
]


def named(scene: str) -> str:
    return json.dumps({"topic": "maths", "fairlead": {"scene": scene}})


def config(**fields: Any) -> dict[str, str]:
    return {"room_config": json.dumps(fields)}


def create(stage: Stage, **fields: Any) -> Done | Failed:
    request = CreateRoomRequest(name="lobby", **fields)
    return stage.ask(CreateRoom(room="lobby", request=request.SerializeToString()))


def describe(stage: Stage, metadata: str) -> Done | Failed:
    return stage.ask(UpdateRoomMetadata(room="lobby", metadata=metadata))


def told(stage: Stage) -> node.SetScene:
    return stage.told(node.SetScene)[-1]


def record(stage: Stage) -> RoomRecord:
    return next(x.record for x in reversed(stage.records) if isinstance(x.record, RoomRecord))


def film(stage: Stage, viewer: Client, layers: list[VideoLayer] = LAYERS, **more: Any) -> str:
    """Another publishes a camera of three layers, which the viewer sees."""
    ben = stage.join("ben", *LAYOUT)
    sid = stage.publish(ben, "video", "cam", layers=layers, **more)
    ben.offer(*LAYOUT, "video sendonly cam q,h,f", offer_id=2)
    stage.live(sid, "video/VP8")
    viewer.offer(*LAYOUT, offer_id=2)
    assert [c.track for c in stage.told(node.Subscribe)] == [sid]
    return sid


def qualities(stage: Stage, client: Client) -> list[int | None]:
    """What the node was told for a subscriber since the last look."""
    said = [c.quality for c in stage.told(node.SetQuality) if c.participant == client.number]
    stage.commands.clear()
    return said


# --- who names it ---------------------------------------------------------------------------------


def test_a_room_without_a_scene_costs_no_command() -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT)
    assert not stage.told(node.SetScene)


def test_the_metadata_of_a_new_room_names_its_scene() -> None:
    stage = Stage()
    assert isinstance(create(stage, metadata=named("chat_room")), Done)
    assert not stage.told(node.SetScene), "nobody is here"
    stage.join("ann", *LAYOUT)
    assert told(stage) == node.SetScene(
        room=KEY, audio_top=3, repeats=2, copies="never", speech_reserve_kbps=128
    )


@pytest.mark.parametrize(
    "room_config",
    [
        {"metadata": named("live_sale")},
        {"tags": {"fairlead.scene": "live_sale"}},
        {"metadata": named("live_sale"), "tags": {"fairlead.scene": "chat_room"}},
    ],
)
def test_a_token_names_the_scene_of_the_room_that_its_join_opens(room_config: Any) -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT, grants=config(**room_config))
    assert told(stage).playout_ms == (400, 1000)
    # A room that is open stays what it is, whatever the next token asks for.
    stage.join("ben", *LAYOUT, grants=config(metadata=named("chat_room")))
    assert (told(stage).playout_ms, record(stage).scene) == ((400, 1000), "live_sale")


def test_an_unknown_scene_is_refused_at_the_door_and_by_the_api() -> None:
    stage = Stage()
    with pytest.raises(Denied, match="is 'disco', which is no scene: use one of") as why:
        stage.rooms.verdict(
            allow("zoe", **config(metadata=named("disco"))),
            Join(single=True, client={}),  # type: ignore[arg-type]
        )
    assert why.value.status == 400
    for reply in (
        create(stage, metadata=named("disco")),
        create(stage, tags={"fairlead.scene": "disco"}),
    ):
        assert isinstance(reply, Failed)
        assert (reply.code, stage.rooms.room_count) == ("invalid_argument", 0)
    stage.join("ann", *LAYOUT)
    reply = describe(stage, named("disco"))
    assert isinstance(reply, Failed)
    assert (reply.code, record(stage).version) == ("invalid_argument", 1)


def test_the_playout_delay_of_the_rooms_configuration_goes_before_the_scenes() -> None:
    stage = Stage()
    fields = {"metadata": named("live_sale"), "min_playout_delay": 100, "max_playout_delay": 300}
    stage.join("ann", *LAYOUT, grants=config(**fields))
    assert told(stage).playout_ms == (100, 300)
    assert isinstance(describe(stage, named("chat_room")), Done)
    assert (told(stage).playout_ms, told(stage).audio_top) == ((100, 300), 3)


@pytest.mark.parametrize(
    ("least", "most", "playout"),
    [(0, 500, (0, 500)), (500, 0, (500, 40_950)), (0, 0, None)],
)
def test_one_end_of_a_playout_delay_is_enough(
    least: int, most: int, playout: tuple[int, int] | None
) -> None:
    stage = Stage()
    create(stage, min_playout_delay=least, max_playout_delay=most, metadata=named("guide_1v1"))
    stage.join("ann", *LAYOUT)
    assert told(stage).playout_ms == playout


@pytest.mark.parametrize(("least", "most"), [(500, 400), (0, 41_000), (50_000, 0)])
def test_an_impossible_playout_delay_is_refused(least: int, most: int) -> None:
    reply = create(Stage(), min_playout_delay=least, max_playout_delay=most)
    assert isinstance(reply, Failed)
    assert "give a range within 0 to 40950" in reply.message


# --- while the room is open -----------------------------------------------------------------------


def test_a_change_of_metadata_takes_effect_at_once_and_the_apps_own_leaves_it() -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT)
    describe(stage, named("chat_room"))
    assert told(stage).audio_top == 3
    count = len(stage.told(node.SetScene))
    describe(stage, "about something else")
    assert len(stage.told(node.SetScene)) == count
    describe(stage, named("default"))
    assert told(stage) == node.SetScene(room=KEY)


def test_it_holds_at_every_edge_and_the_node_forgets_it_with_the_last_one() -> None:
    one, two = Stage(1), Stage(2)
    connect(one, two)
    one.join("ann", *LAYOUT, grants=config(metadata=named("chat_room")))
    ben = two.join("ben", *LAYOUT)
    assert told(two).audio_top == 3
    describe(two, named("cohost_pk"))
    assert told(one).copies == told(two).copies == "always"
    ben.say(leave={})
    assert told(two) == node.SetScene(room=KEY)
    assert told(one).copies == "always"


def test_a_scene_that_this_edge_does_not_know_is_told_once_and_the_default_taken() -> None:
    own = scenes.changed({"quiz": SceneChange(audio_top=1)})
    one, two = Stage(1, scenes=own), Stage(2)
    connect(one, two)
    one.join("ann", *LAYOUT, grants=config(metadata=named("quiz")))
    assert told(one).audio_top == 1
    two.join("ben", *LAYOUT)
    two.join("cem", *LAYOUT)
    assert not two.told(node.SetScene)
    assert [x.what for x in two.happened].count("scene_unknown") == 1


def test_the_sound_of_a_shared_screen_does_not_compete() -> None:
    stage = Stage()
    stage.join("ann", *LAYOUT, grants=config(metadata=named("chat_room")))
    ben = stage.join("ben", *LAYOUT)
    sid = stage.publish(ben, "audio", "music", source="SCREEN_SHARE_AUDIO")
    ben.offer(*LAYOUT, "audio sendonly music", offer_id=2)
    stage.live(sid)
    assert told(stage).unranked == [sid]
    ben.say(leave={})
    assert told(stage).unranked == []


# --- pictures -------------------------------------------------------------------------------------


def test_no_camera_layer_larger_than_the_scene_allows_is_sent_on() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants=config(metadata=named("chat_room")))
    sid = film(stage, ann)
    assert qualities(stage, ann) == [1]
    for asked, told_quality in ((2, 1), (0, 0)):
        ann.say(track_setting=UpdateTrackSettings(track_sids=[sid], quality=asked))
        assert qualities(stage, ann) == [told_quality]
    ann.say(track_setting=UpdateTrackSettings(track_sids=[sid], quality=2))
    stage.commands.clear()
    describe(stage, named("guide_1v1"))
    assert qualities(stage, ann) == [2]
    describe(stage, named("chat_room"))
    ann.say(track_setting=UpdateTrackSettings(track_sids=[sid], disabled=True))
    assert qualities(stage, ann) == [1, None]
    describe(stage, named("guide_1v1"))
    assert qualities(stage, ann) == [], "it is paused still"


def test_a_camera_whose_layers_are_all_too_large_sends_its_lowest() -> None:
    own = scenes.changed({"tiny": SceneChange(video_height=90)})
    stage = Stage(scenes=own)
    ann = stage.join("ann", *LAYOUT, grants=config(metadata=named("tiny")))
    film(stage, ann)
    assert qualities(stage, ann) == [0]


def test_a_shared_screen_stays_readable_and_a_camera_of_unknown_size_is_let_be() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants=config(metadata=named("chat_room")))
    film(stage, ann, source="SCREEN_SHARE")
    assert qualities(stage, ann) == [2]
    stage = Stage()
    ann = stage.join("ann", *LAYOUT, grants=config(metadata=named("chat_room")))
    film(stage, ann, layers=[])
    assert qualities(stage, ann) == []


def test_who_hears_a_camera_anew_has_what_it_asked_for() -> None:
    stage = Stage()
    ann = stage.join("ann", *LAYOUT)
    sid = film(stage, ann)
    ann.say(track_setting=UpdateTrackSettings(track_sids=[sid], quality=0))
    for subscribe in (False, True):
        ann.say(subscription={"track_sids": [sid], "subscribe": subscribe})
    stage.commands.clear()
    ann.offer(*LAYOUT, offer_id=3)
    assert qualities(stage, ann) == [0]


def test_a_cheap_phone_is_sent_no_large_layer_in_any_scene() -> None:
    stage = Stage()
    phone = ClientInfo(sdk="ANDROID", os="android", os_version="12", device_model="Redmi 9A")
    ann = stage.join("ann", *LAYOUT, client=phone)
    film(stage, ann)
    assert qualities(stage, ann) == [1]
    describe(stage, named("guide_1v1"))
    assert qualities(stage, ann) == []
