"""A picture in a second codec, for who does not take the first."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import (
    BackupCodecPolicy,
    SubscriptionError,
    TrackInfo,
    VideoLayer,
)
from livekit.protocol.rtc import RequestResponse, SimulcastCodec

from fairlead.protocol import node
from fairlead.rooms.tracks import backups, codecs, dynacast
from tests.unit.rooms.stage import Client, Stage, answer_to, section, track_request
from tests.unit.rooms.test_forwarding import subscribed

BOTH = ("video/vp9,vp8 recvonly",)
ONLY_VP8 = ("video/vp8 recvonly",)
ONLY_VP9 = ("video/vp9 recvonly",)
FIRST = "video/vp9,vp8 sendonly cam"
SECOND = "video/vp9,vp8 sendonly cam2 q,h"
LAYERS = [VideoLayer(quality="LOW", width=320, height=180), VideoLayer(quality="MEDIUM")]
SIMULCAST = BackupCodecPolicy.SIMULCAST
ALL, NONE = [True] * 3, [False] * 3


class Show:
    """Ann shows a picture in VP9 and holds out VP8."""

    def __init__(
        self,
        stage: Stage | None = None,
        policy: BackupCodecPolicy.ValueType = SIMULCAST,
        codecs: tuple[str, str] = ("vp9", "vp8"),
        **ann: Any,
    ) -> None:
        self.stage = stage or Stage()
        self.ann = self.stage.join("ann", **ann)
        self.stage.connect(self.ann)
        self.lines = [FIRST]
        self.second = SECOND
        self.sid = self.stage.publish(
            self.ann,
            "video",
            "cam",
            layers=LAYERS,
            backup_codec_policy=policy,
            simulcast_codecs=[
                SimulcastCodec(codec=codecs[0], cid="cam"),
                SimulcastCodec(codec=codecs[1]),
            ],
        )
        self.name = f"{self.sid}.{codecs[1]}"
        self._offers = 1
        self.offer()
        self.stage.live(self.sid, f"video/{codecs[0].upper()}")

    def offer(self) -> None:
        self._offers += 1
        self.ann.offer(*self.lines, offer_id=self._offers)

    def begin(self, cid: str = "cam2", codec: str = "vp8") -> None:
        """Her client does as it was asked, but for the first packet."""
        self.announce(cid, codec)
        self.lines.append(self.second.replace("cam2", cid))
        self.offer()

    def announce(
        self, cid: str = "cam2", codec: str = "vp8", sid: str = "", kind: str = "video"
    ) -> None:
        asked = [SimulcastCodec(codec=codec, cid=cid)]
        request = track_request(kind, cid, simulcast_codecs=asked, sid=sid or self.sid)
        self.ann.say(add_track=request)

    def back_up(self) -> None:
        self.begin()
        self.stage.live(self.name, "video/VP8")

    def end(self) -> None:
        """Her client closes the m-line of the backup."""
        self.lines[-1] = "video/vp9,vp8 inactive"
        self.offer()

    def need(self, name: str, quality: int | None) -> None:
        self.stage.hear(node.TrackWanted(track=name, quality=quality))

    @property
    def told(self) -> list[tuple[str, list[bool]]]:
        """The codecs that her client was told last, each with its layers."""
        update = self.ann.last("subscribed_quality_update")
        assert update.track_sid == self.sid
        first = update.subscribed_codecs[0].qualities
        assert list(update.subscribed_qualities) == list(first), "what older clients read"
        return [
            (codec.codec, [one.enabled for one in codec.qualities])
            for codec in update.subscribed_codecs
        ]

    @property
    def asked(self) -> bool:
        updates = self.ann.heard("subscribed_quality_update")
        return bool(updates) and len(updates[-1].subscribed_codecs) > 1 and self.told[1][1] != NONE

    def sees(self, client: Client, stage: Stage | None = None) -> list[str]:
        sent = subscribed(stage or self.stage)
        return sorted(track for number, track in sent if number == client.number)

    @property
    def info(self) -> TrackInfo:
        return next(x for x in self.ann.last("update").participants[-1].tracks)


def view(stage: Stage, identity: str, *lines: str, **join: Any) -> Client:
    """Somebody who is connected and takes the codecs of ``lines``."""
    client = stage.join(identity, *lines, **join)
    stage.connect(client, "publisher" if client.single else "subscriber")
    return client


def unfit(client: Client) -> list[str]:
    told = client.heard("subscription_response")
    assert all(one.err == SubscriptionError.SE_CODEC_UNSUPPORTED for one in told)
    return [one.track_sid for one in told]


def test_who_does_not_take_the_first_codec_has_the_publisher_asked_for_the_second() -> None:
    show = Show()
    ben = view(show.stage, "ben", *BOTH)
    assert not show.ann.heard("subscribed_quality_update")
    cai = view(show.stage, "cai", *ONLY_VP8)
    assert show.told == [("vp9", ALL), ("vp8", ALL)]
    assert (show.sees(ben), show.sees(cai)) == ([show.sid], [])
    show.begin()
    published = show.ann.last("track_published")
    assert (published.cid, published.track.sid) == ("cam2", show.sid)
    added = show.stage.told(node.AddTrack)[-1]
    assert (added.track, [x.rid for x in added.layers]) == (show.name, ["q", "h"])
    assert show.stage.told(node.Publish)[-1].mid == "1"
    answer = show.ann.last("answer")
    assert [section(answer, mid).codecs[0] for mid in "01"] == ["vp9", "vp8"]
    show.stage.live(show.name, "video/VP8")
    assert (show.sees(ben), show.sees(cai)) == ([show.sid], [show.name])
    assert [(x.mime_type, x.mid, x.cid) for x in show.info.codecs] == [
        ("video/VP9", "0", "cam"),
        ("video/VP8", "1", "cam2"),
    ]
    assert (show.info.mime_type, show.info.mid) == ("video/VP9", "0")
    show.stage.pass_time(60)
    assert not unfit(cai)


@pytest.mark.parametrize(
    "policy", [BackupCodecPolicy.PREFER_REGRESSION, BackupCodecPolicy.REGRESSION]
)
def test_under_regression_everyone_who_takes_the_second_gets_that(
    policy: BackupCodecPolicy.ValueType,
) -> None:
    show = Show(policy=policy)
    ben, odd = view(show.stage, "ben", *BOTH), view(show.stage, "odd", *ONLY_VP9)
    cai = view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    assert show.sees(ben) == show.sees(cai) == [show.name]
    assert show.sees(odd) == [show.sid], "who takes nothing else keeps the first"
    late = view(show.stage, "late", *BOTH)
    assert show.sees(late) == [show.name]
    odd.say(leave={})
    show.need(show.name, 1)
    show.need(show.sid, None)
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert show.told == [("vp9", NONE), ("vp8", [True, True, False])]


def test_when_nobody_needs_the_second_everyone_goes_back() -> None:
    show = Show(policy=BackupCodecPolicy.REGRESSION)
    ben, cai = view(show.stage, "ben", *BOTH), view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    cai.say(leave={})
    show.stage.pass_time(backups.RETURN_DELAY - 1)
    dan = view(show.stage, "dan", *ONLY_VP8)
    show.stage.pass_time(backups.RETURN_DELAY)
    assert show.sees(ben) == [show.name], "somebody came in time"
    dan.say(leave={})
    show.stage.pass_time(backups.RETURN_DELAY)
    assert show.sees(ben) == [show.sid]
    show.need(show.name, None)
    show.need(show.sid, 2)
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert show.told == [("vp9", ALL), ("vp8", NONE)]
    # It is there still: it needs no asking twice.
    eve = view(show.stage, "eve", *ONLY_VP8)
    assert show.sees(ben) == show.sees(eve) == [show.name]


def test_under_simulcast_a_second_that_nobody_needs_is_told_off_and_on_again() -> None:
    show = Show()
    cai = view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    show.need(show.name, 1)
    cai.say(leave={})
    show.need(show.name, None)
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert show.told == [("vp9", ALL), ("vp8", NONE)]
    dan = view(show.stage, "dan", *ONLY_VP8)
    assert show.sees(dan) == [show.name]
    show.need(show.name, 1)
    assert show.told == [("vp9", ALL), ("vp8", [True, True, False])]


def test_a_second_that_nobody_needs_is_not_spoken_of() -> None:
    show = Show()
    view(show.stage, "ben", *BOTH)
    show.need(show.sid, 0)
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert show.told == [("vp9", [True, False, False])]


def test_who_asks_and_leaves_at_once_takes_the_question_back() -> None:
    show = Show()
    cai = view(show.stage, "cai", *ONLY_VP8)
    assert show.asked
    cai.say(leave={})
    show.stage.pass_time(dynacast.DOWNGRADE_DELAY)
    assert show.told == [("vp9", ALL), ("vp8", NONE)]


@pytest.mark.parametrize("media", [False, True], ids=["no sender", "no media"])
def test_a_second_that_does_not_come_in_time_is_told(media: bool) -> None:
    show = Show()
    ben, cai = view(show.stage, "ben", *BOTH), view(show.stage, "cai", *ONLY_VP8)
    if media:
        show.begin()
    show.stage.pass_time(codecs.BACKUP_TIMEOUT - 0.1)
    assert not unfit(cai)
    show.stage.pass_time(0.2)
    assert unfit(cai) == [show.sid]
    show.stage.pass_time(600)
    assert unfit(cai) == [show.sid], "once"
    assert (show.sees(ben), unfit(ben)) == ([show.sid], [])
    if not media:
        show.begin()
    show.stage.live(show.name, "video/VP8")
    assert show.sees(cai) == [show.name], "better late than never"


def test_a_muted_publisher_is_waited_for() -> None:
    show = Show()
    show.ann.say(mute={"sid": show.sid, "muted": True})
    cai = view(show.stage, "cai", *ONLY_VP8)
    show.stage.pass_time(10 * codecs.BACKUP_TIMEOUT)
    assert not unfit(cai)
    show.ann.say(mute={"sid": show.sid, "muted": False})
    show.stage.pass_time(2 * codecs.BACKUP_TIMEOUT)
    assert unfit(cai) == [show.sid]


def test_where_no_codec_fits_the_client_is_told_at_once() -> None:
    show = Show()
    cai = view(show.stage, "cai", "video/h264 recvonly")
    assert unfit(cai) == [show.sid]
    assert not show.ann.heard("subscribed_quality_update")


def test_a_second_that_comes_and_goes_is_asked_for_each_time() -> None:
    show = Show(policy=BackupCodecPolicy.REGRESSION)
    ben, cai = view(show.stage, "ben", *BOTH), view(show.stage, "cai", *ONLY_VP8)
    for turn in range(1, 4):
        show.begin(cid=f"turn{turn}")
        show.stage.live(show.name, "video/VP8")
        assert show.sees(ben) == show.sees(cai) == [show.name]
        show.need(show.name, 1)
        before = len(show.ann.heard("subscribed_quality_update"))
        show.end()
        assert [x.track for x in show.stage.told(node.RemoveTrack)] == [show.name] * turn
        assert (show.sees(ben), show.sees(cai)) == ([show.sid], [])
        assert (show.info.codecs[1].mid, show.info.codecs[1].cid) == ("", "")
        told = show.ann.heard("subscribed_quality_update")[before:]
        assert len(told) == 1
        assert show.told[1] == ("vp8", ALL)
    show.stage.pass_time(codecs.BACKUP_TIMEOUT)
    assert unfit(cai) == [show.sid]


def refused(show: Show, **wrong: Any) -> RequestResponse.Reason.ValueType:
    before = len(show.ann.heard("track_published"))
    show.announce(**wrong)
    reply = show.ann.last("request_response")
    assert reply.WhichOneof("request") == "add_track"
    assert reply.message
    assert len(show.ann.heard("track_published")) == before
    reason: RequestResponse.Reason.ValueType = reply.reason
    return reason


@pytest.mark.parametrize("wrong", ["somebody else's", "ended", "never", "not live"])
def test_a_second_codec_of_no_live_track_of_ones_own(wrong: str) -> None:
    show = Show()
    ben = Show(show.stage)  # the newer Ann
    sid = {
        "somebody else's": show.sid,
        "never": "TR_never",
        "ended": ben.sid,
        "not live": "",
    }[wrong]
    if wrong == "ended":
        ben.lines[0] = "video/vp9 inactive"
        ben.offer()
    if wrong == "not live":
        sid = ben.stage.publish(
            ben.ann,
            "video",
            "other",
            simulcast_codecs=[
                SimulcastCodec(codec="vp9", cid="other"),
                SimulcastCodec(codec="vp8"),
            ],
        )
    assert refused(ben, sid=sid) == RequestResponse.NOT_FOUND


def test_a_second_codec_that_was_not_announced_or_is_there_already() -> None:
    show = Show()
    mic = show.stage.publish(show.ann, "audio", "mic")
    show.lines.append("audio sendonly mic")
    show.offer()
    show.stage.live(mic)
    plain = show.stage.publish(show.ann, "video", "plain")
    show.lines.append("video sendonly plain")
    show.offer()
    show.stage.live(plain, "video/VP8")
    assert refused(show, sid=mic) == RequestResponse.UNSUPPORTED_TYPE
    assert refused(show, sid=plain) == RequestResponse.UNSUPPORTED_TYPE
    assert refused(show, codec="vp9") == RequestResponse.UNSUPPORTED_TYPE
    assert refused(show, codec="h264") == RequestResponse.UNSUPPORTED_TYPE
    assert refused(show, codec="") == RequestResponse.UNSUPPORTED_TYPE
    assert refused(show, cid="cam") == RequestResponse.INVALID_REQUEST
    assert refused(show, cid="mic") == RequestResponse.INVALID_REQUEST
    assert refused(show, cid="") == RequestResponse.INVALID_REQUEST
    assert refused(show, kind="audio") == RequestResponse.UNSUPPORTED_TYPE
    show.begin()
    show.announce()
    assert show.ann.last("track_published").track.sid == show.sid, "said twice is said once"
    assert refused(show, cid="cam3") == RequestResponse.INVALID_REQUEST
    show.stage.live(show.name, "video/VP8")
    assert refused(show, cid="cam3") == RequestResponse.INVALID_REQUEST
    assert len([x for x in show.stage.told(node.AddTrack) if x.track == show.name]) == 1


def test_of_more_than_two_codecs_only_two_count() -> None:
    stage = Stage()
    ann = stage.join("ann")
    wish = [SimulcastCodec(codec=codec) for codec in ("av1", "AV1", "what", "vp8", "h264")]
    stage.publish(ann, "video", "cam", simulcast_codecs=wish)
    info = ann.last("track_published").track
    assert [codec.mime_type for codec in info.codecs] == ["video/AV1", "video/VP8"]


def test_a_second_in_another_codec_than_was_said_is_what_it_is() -> None:
    show = Show()
    cai, dan = view(show.stage, "cai", *ONLY_VP8), view(show.stage, "dan", "video/h264 recvonly")
    assert unfit(dan) == [show.sid]
    show.begin()
    show.stage.live(show.name, "video/H264")
    assert show.sees(dan) == [show.name]
    assert (show.sees(cai), unfit(cai)) == ([], [])
    show.stage.pass_time(codecs.BACKUP_TIMEOUT)
    assert unfit(cai) == [show.sid]


def test_mute_holds_for_both() -> None:
    show = Show()
    view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    for muted in (True, False):
        show.ann.say(mute={"sid": show.sid, "muted": muted})
        told = show.stage.told(node.SetMuted)[-2:]
        assert told == [node.SetMuted(track=x, muted=muted) for x in (show.sid, show.name)]


def test_a_second_that_begins_while_muted_is_muted() -> None:
    show = Show()
    show.ann.say(mute={"sid": show.sid, "muted": True})
    show.begin()
    assert show.stage.told(node.SetMuted)[-1] == node.SetMuted(track=show.name, muted=True)


def test_the_end_of_a_track_is_that_of_both() -> None:
    show = Show()
    ben, cai = view(show.stage, "ben", *BOTH), view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    show.lines[0] = "video/vp9 inactive"
    show.offer()
    assert [x.track for x in show.stage.told(node.RemoveTrack)] == [show.sid, show.name]
    assert show.sees(ben) == show.sees(cai) == []
    assert ben.updates()[-1] == ("ann", 2, [])
    # The m-line that goes on sending is no other track's.
    other = show.stage.publish(show.ann, "video", "other")
    assert show.stage.told(node.Publish)[-1].track != other


def test_who_leaves_takes_both_along() -> None:
    show = Show(policy=BackupCodecPolicy.REGRESSION)
    cai = view(show.stage, "cai", *ONLY_VP8)
    show.back_up()
    cai.say(leave={})
    show.ann.say(leave={})
    assert {x.track for x in show.stage.told(node.RemoveTrack)} == {show.sid, show.name}
    show.stage.pass_time(400)
    assert show.stage.rooms.deadline() is None


def test_two_connections() -> None:
    show = Show()
    cai = view(show.stage, "cai", single=False)
    show.back_up()
    offer = cai.last("offer")
    text = answer_to(offer.sdp) + "a=rtpmap:111 VP8/90000\r\n"
    cai.say(answer={"type": "answer", "sdp": text, "id": offer.id})
    assert show.sees(cai) == [show.name]
    assert show.stage.told(node.Subscribe)[-1].transport == "subscriber"


def test_what_a_viewer_asks_for_holds_in_either_codec() -> None:
    show = Show(policy=BackupCodecPolicy.REGRESSION)
    ben, cai = view(show.stage, "ben", *BOTH), view(show.stage, "cai", *ONLY_VP8)
    for client in (ben, cai):
        client.say(track_setting={"track_sids": [show.sid], "quality": "LOW"})
    show.back_up()
    asked = [(x.participant, x.track, x.quality) for x in show.stage.told(node.SetQuality)]
    assert asked == [
        (ben.number, show.sid, 0),
        (ben.number, show.name, 0),
        (cai.number, show.name, 0),
    ]
    show.stage.hear(node.StreamState(participant=ben.number, track=show.name, paused=True))
    assert ben.last("stream_state_update").stream_states[0].track_sid == show.sid


def test_a_closed_m_line_takes_the_question_back() -> None:
    show = Show()
    cai = view(show.stage, "cai", *ONLY_VP8)
    cai.offer("video/vp8 inactive", offer_id=2)
    show.stage.pass_time(codecs.BACKUP_TIMEOUT)
    assert (show.told[1], unfit(cai)) == (("vp8", NONE), [])


def test_a_request_lost_with_the_websocket_is_said_again() -> None:
    show = Show()
    show.announce()
    show.stage.lose(show.ann)
    back = show.stage.come_back(show.ann)
    told = [(x.cid, x.track.sid) for x in back.heard("track_published")]
    assert told == [("cam2", show.sid)]
