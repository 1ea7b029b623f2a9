"""Which codecs clients are asked for, by their devices and by who hears them."""

from __future__ import annotations

from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import SimulcastCodec

from fairlead.protocol import node
from fairlead.rooms.tracks import dynacast
from tests.unit.rooms.stage import Stage, section
from tests.unit.rooms.test_backups import LAYERS, Show, unfit, view
from tests.unit.rooms.test_devices import PHONE as REPORT

PHONE = ClientInfo(protocol=17, **REPORT)


def test_a_codec_that_the_publisher_must_not_send_is_not_asked_for() -> None:
    firefox = ClientInfo(protocol=17, browser="Firefox Mobile", os="android")
    show = Show(codecs=("vp8", "h264"), client=firefox)
    assert len(show.ann.last("track_published").track.codecs) == 1
    cai = view(show.stage, "cai", "video/h264 recvonly")
    assert unfit(cai) == [show.sid]


def test_who_chose_a_backup_chose_the_first_codec_too() -> None:
    show = Show(codecs=("vp8", "h264"), client=PHONE)
    show.lines = ["video/vp9,h264,vp8 sendonly cam"]
    show.offer()
    assert section(show.ann.last("answer"), "0").codecs[0] == "vp8"


def test_a_publisher_hears_the_names_that_it_gave() -> None:
    stage = Stage()
    ann = stage.join("ann", client=PHONE)
    vp8 = [SimulcastCodec(codec="vp8", cid="cam")]
    sid = stage.publish(ann, "video", "cam", layers=LAYERS, simulcast_codecs=vp8)
    ann.offer("video/vp8,h264 sendonly cam", offer_id=2)
    assert section(ann.last("answer"), "0").codecs[0] == "h264"
    stage.live(sid, "video/H264")
    stage.hear(node.TrackWanted(track=sid, quality=0))
    stage.pass_time(dynacast.DOWNGRADE_DELAY)
    told = ann.last("subscribed_quality_update")
    assert [codec.codec for codec in told.subscribed_codecs] == ["vp8"]


def test_a_phone_that_takes_both_gets_what_it_is_best_at_once_that_comes() -> None:
    show = Show(codecs=("vp9", "h264"))
    takes = ("video/vp9,h264 recvonly",)
    phone, ben = view(show.stage, "phone", *takes, client=PHONE), view(show.stage, "ben", *takes)
    assert (show.sees(phone), show.asked) == ([show.sid], False)
    view(show.stage, "cai", "video/h264 recvonly")
    show.begin(codec="h264")
    show.stage.live(show.name, "video/H264")
    assert (show.sees(phone), show.sees(ben)) == ([show.name], [show.sid])


def test_of_sound_in_several_codecs_the_one_that_is_sent_is_needed() -> None:
    stage = Stage()
    ann = stage.join("ann")
    both = [SimulcastCodec(codec="opus", cid="mic"), SimulcastCodec(codec="pcmu")]
    sid = stage.publish(ann, "audio", "mic", simulcast_codecs=both)
    ann.offer("audio sendonly mic", offer_id=2)
    stage.hear(node.TrackWanted(track=sid, quality=None))
    assert not ann.heard("subscribed_audio_codec_update")
    stage.live(sid)
    for quality in (2, 2, None):
        stage.hear(node.TrackWanted(track=sid, quality=quality))
    told = [
        (x.track_sid, [(codec.codec, codec.enabled) for codec in x.subscribed_audio_codecs])
        for x in ann.heard("subscribed_audio_codec_update")
    ]
    off = [("opus", False), ("pcmu", False)]
    assert told == [(sid, off), (sid, [("opus", True), ("pcmu", False)]), (sid, off)]


def test_sound_in_one_codec_is_not_spoken_of() -> None:
    stage = Stage()
    ann = stage.join("ann")
    sid = stage.publish(ann, "audio", "mic")
    ann.offer("audio sendonly mic", offer_id=2)
    stage.live(sid)
    stage.hear(node.TrackWanted(track=sid, quality=2))
    assert not ann.heard("subscribed_audio_codec_update")
