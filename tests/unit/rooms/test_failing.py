"""Subscriptions that come to nothing, or wait: what the client is told."""

from __future__ import annotations

from livekit.protocol.models import SubscriptionError

from fairlead.protocol import node
from fairlead.rooms.state import settings as defaults
from tests.unit.rooms.stage import Client, Stage, answer_to

EYES = ("video recvonly", "video recvonly")


def shows(stage: Stage, identity: str, mime: str = "video/VP8") -> tuple[Client, str]:
    client = stage.join(identity, "video sendonly cam")
    sid = stage.publish(client, "video", "cam")
    stage.connect(client)
    stage.live(sid, mime)
    return client, sid


def told(client: Client) -> list[tuple[str, int]]:
    return [(one.track_sid, one.err) for one in client.heard("subscription_response")]


def sent(stage: Stage, client: Client) -> list[str]:
    return [one.track for one in stage.told(node.Subscribe) if one.participant == client.number]


def test_a_codec_that_the_client_does_not_take() -> None:
    stage = Stage()
    _, odd = shows(stage, "ann", "video/AV1")
    _, fine = shows(stage, "ben")
    cai = stage.join("cai", *EYES)  # its offers have VP8 alone
    assert told(cai) == [(odd, SubscriptionError.SE_CODEC_UNSUPPORTED)]
    assert sent(stage, cai) == [fine]


def test_the_same_over_two_connections() -> None:
    stage = Stage()
    _, odd = shows(stage, "ann", "video/AV1")
    cai = stage.join("cai", single=False)
    offer = cai.last("offer")
    text = answer_to(offer.sdp) + "a=rtpmap:111 VP8/90000\r\n"
    cai.say(answer={"type": "answer", "sdp": text, "id": offer.id})
    assert told(cai) == [(odd, SubscriptionError.SE_CODEC_UNSUPPORTED)]
    assert sent(stage, cai) == []


def test_a_track_that_never_comes() -> None:
    stage = Stage()
    cai = stage.join("cai", *EYES)
    stage.connect(cai)
    cai.say(subscription={"track_sids": ["TR_never"], "subscribe": True})
    stage.pass_time(5)
    cai.say(subscription={"track_sids": ["TR_unwished", "TR_later"], "subscribe": True})
    cai.say(subscription={"track_sids": ["TR_unwished"], "subscribe": False})
    stage.pass_time(defaults.TRACK_TIMEOUT - 5.1)
    assert told(cai) == []
    stage.pass_time(0.2)
    assert told(cai) == [("TR_never", SubscriptionError.SE_TRACK_NOTFOUND)]
    stage.pass_time(100)
    assert told(cai)[1:] == [("TR_later", SubscriptionError.SE_TRACK_NOTFOUND)]


def test_a_track_that_comes_in_time_is_no_failure() -> None:
    stage = Stage()
    cai = stage.join("cai", *EYES, auto_subscribe=False)
    stage.connect(cai)
    cai.say(subscription={"track_sids": ["TR_VC1x4"], "subscribe": True})
    _, sid = shows(stage, "ann")
    assert sid == "TR_VC1x4"
    stage.pass_time(2 * defaults.TRACK_TIMEOUT)
    assert told(cai) == []


def test_over_its_limit_a_track_waits_for_another_to_end() -> None:
    stage = Stage(most_video=1)
    ann, first = shows(stage, "ann")
    _, second = shows(stage, "ben")
    cai = stage.join("cai", *EYES)
    assert sent(stage, cai) == [first]
    assert told(cai) == []
    ann.offer("video inactive", offer_id=2)
    cai.offer(*EYES, offer_id=2)
    assert sent(stage, cai) == [first, second]


def test_each_kind_has_its_own_limit() -> None:
    stage = Stage(most_audio=1)
    ann = stage.join("ann", "audio sendonly mic", "video sendonly cam")
    voice = stage.publish(ann, "audio", "mic")
    picture = stage.publish(ann, "video", "cam")
    stage.live(voice)
    stage.live(picture, "video/VP8")
    _, other = shows(stage, "ben")
    cai = stage.join("cai", "audio recvonly", *EYES)
    assert sorted(sent(stage, cai)) == sorted([voice, picture, other])
