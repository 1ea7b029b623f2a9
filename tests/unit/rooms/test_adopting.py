"""A session that goes on at another edge: the same sid and tracks, and nobody hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo, TrackInfo
from livekit.protocol.rtc import (
    DataChannelInfo,
    DataChannelReceiveState,
    LeaveRequest,
    SyncState,
    TrackPublishedResponse,
)

from fairlead.protocol import node
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state.inputs import DrainAsked, NodeRecordWent, ParticipantRecordWent
from fairlead.rooms.state.outputs import DeleteRecord, PutRecord
from fairlead.types import ParticipantRecord
from tests.unit.rooms.stage import Client, Stage, connect, offer, section

LAYOUT = ("audio recvonly", "video recvonly", "application sendrecv")
SPEAKING = (*LAYOUT, "audio sendonly mic")


def there(stage: Stage, identity: str) -> Client:
    client = stage.join(identity, *LAYOUT)
    stage.connect(client)
    return client


def speaker(stage: Stage, identity: str) -> tuple[Client, str]:
    client = there(stage, identity)
    sid = stage.publish(client, "audio", "mic")
    client.offer(*SPEAKING, offer_id=2)
    stage.live(sid)
    return client, sid


class Call:
    """Ann speaks at the first edge and hears Ben of the second; Cas listens at the third, Dee at
    the first."""

    def __init__(self) -> None:
        self.near, self.far, self.third = (Stage(n) for n in (1, 2, 3))
        self.stages = (self.near, self.far, self.third)
        connect(*self.stages)
        self.ann, self.mic = speaker(self.near, "ann")
        self.ben, self.bens = speaker(self.far, "ben")
        self.cas, self.dee = there(self.third, "cas"), there(self.near, "dee")
        for client in (self.ann, self.ben, self.cas, self.dee):
            lines = SPEAKING if client in (self.ann, self.ben) else LAYOUT
            client.offer(*lines, offer_id=3)
        self.others = (self.ben, self.cas, self.dee)
        for client in self.others:
            client.forget()

    def state(self, *tracks: str, **more: Any) -> SyncState:
        published = [
            TrackPublishedResponse(cid="mic", track=TrackInfo(sid=sid))
            for sid in (tracks or (self.mic,))
        ]
        channels = [DataChannelInfo(label="_lossy", id=3), DataChannelInfo(label="_reliable", id=1)]
        more.setdefault("answer", self.ann.last("answer"))
        return SyncState(
            publish_tracks=published,
            data_channels=channels,
            subscription={"subscribe": False},
            **more,
        )

    def move(self) -> Client:
        """Ann comes back at the second edge."""
        again = self.far.come_back(self.ann)
        again.say(sync_state=self.state())
        again.offer(*SPEAKING, offer_id=9)
        return again

    def quiet(self) -> bool:
        """Whether nobody was told that anyone or anything came or went."""
        heard = [kind for client in self.others for kind in client.kinds()]
        states = [state for client in self.others for _, state, _ in client.updates()]
        tracks = [tracks for client in self.others for _, _, tracks in client.updates()]
        calm = set(heard) <= {"update", "room_update"}
        return (
            calm
            and set(states) <= {ParticipantInfo.ACTIVE}
            and all(told == [self.mic] for told in tracks)
        )


def commands(stage: Stage, since: int, *kinds: type[Any]) -> list[Any]:
    return [x for x in stage.commands[since:] if isinstance(x, kinds)]


def test_a_client_goes_on_at_another_edge() -> None:
    call = Call()
    call.far.last_sequences = {2: 7}
    again = call.move()
    assert again.kinds()[0] == "reconnect"
    assert again.last("reconnect").last_message_seq == 7
    told = {who: tracks for who, _, tracks in again.updates()}
    assert told["ann"] == [call.mic]
    assert told["ben"] == [call.bens]
    assert dict(again.last("answer").mid_to_track_id) == dict(
        call.ann.last("answer").mid_to_track_id
    )
    assert section(again.last("answer"), "3").direction == "recvonly"
    assert call.quiet()
    assert (call.near.rooms.session_count, call.far.rooms.session_count) == (1, 2)
    assert call.ann.closed
    assert not call.ann.heard("leave")
    call.far.connect(again)
    call.far.pass_time(250)
    assert call.far.rooms.session_count == 2
    assert call.quiet()


def test_the_packet_path_follows() -> None:
    call = Call()
    marks = [len(stage.commands) for stage in call.stages]
    again = call.move()
    near, far, third = (
        commands(stage, mark, node.RemoveTrack, node.AddTrack, node.Subscribe)
        for stage, mark in zip(call.stages, marks, strict=True)
    )
    mine = [x for x in far if x.track == call.mic]
    assert [type(x) for x in mine] == [node.RemoveTrack, node.AddTrack, node.Subscribe]
    assert mine[1].publisher == again.number
    assert mine[2].participant == call.ben.number
    for told, listener in ((near, call.dee), (third, call.cas)):
        mine = [x for x in told if x.track == call.mic]
        assert [type(x) for x in mine] == [node.RemoveTrack, node.AddTrack, node.Subscribe]
        assert mine[1].publisher is None
        assert mine[1].layers[0].stream >> 48 == 2
        assert mine[2].participant == listener.number
    [adopted] = commands(call.far, marks[1], node.AdoptConnection)
    assert (adopted.participant, adopted.channels) == (again.number, [1, 3, 102])
    [hears] = [x for x in far if x.track == call.bens]
    assert (hears.participant, type(hears)) == (again.number, node.Subscribe)


def test_layers_are_known_by_what_the_first_edge_saw_of_them() -> None:
    """Clients name the SSRCs of simulcast in no offer, and in packets only at first."""
    call = Call()
    lines = (*SPEAKING, "video sendonly cam q,h,f")
    cam = call.near.publish(call.ann, "video", "cam")
    call.ann.offer(*lines, offer_id=4)
    call.near.live(cam, "video/VP8")
    sources = [(100, None), (101, 201), (102, 202)]
    layers = call.near.told(node.AddTrack)[-1].layers
    ann = call.ann.number
    for layer, (ssrc, rtx) in zip(layers, sources, strict=True):
        event = node.StreamSource(participant=ann, stream=layer.stream, ssrc=ssrc, rtx=rtx)
        call.near.hear(event)
    for participant, stream in ((ann, 1), (99, layers[0].stream)):
        event = node.StreamSource(participant=participant, stream=stream, ssrc=1, rtx=1)
        call.near.hear(event)
    again, since = call.far.come_back(call.ann), len(call.far.commands)
    state = call.state()
    state.publish_tracks.append(TrackPublishedResponse(cid="cam", track=TrackInfo(sid=cam)))
    again.say(sync_state=state)
    again.offer(*lines, offer_id=9)
    told = commands(call.far, since, node.AddTrack, node.Publish, node.ExpectSource)
    at = next(n for n, x in enumerate(told) if isinstance(x, node.AddTrack) and x.track == cam)
    assert told[at + 1] == node.Publish(participant=again.number, mid="4", track=cam)
    assert told[at + 2 : at + 5] == [
        node.ExpectSource(participant=again.number, stream=layer.stream, ssrc=ssrc, rtx=rtx)
        for layer, (ssrc, rtx) in zip(told[at].layers, sources, strict=True)
    ]
    # Yet another edge would know it, too.
    puts = [x.record for x in reversed(call.far.records) if isinstance(x, PutRecord)]
    record = next(r for r in puts if isinstance(r, ParticipantRecord) and r.sid == call.ann.sid)
    assert [(x.ssrc, x.rtx) for t in record.tracks if t.sid == cam for x in t.layers] == sources


def test_the_record_moves_with_it() -> None:
    call = Call()
    call.move()
    call.near.pass_time(defaults.HANDOVER_DELAY + 1)
    [gone] = [
        x.record
        for x in call.near.records
        if isinstance(x, DeleteRecord) and isinstance(x.record, ParticipantRecord)
    ]
    assert gone.sid == call.ann.sid
    # What the first edge said or says of it counts no more, in whichever order it comes.
    stale = [
        x.record
        for x in call.near.records
        if isinstance(x.record, ParticipantRecord) and x.record.sid == call.ann.sid
    ]
    for stage in (call.far, call.third):
        for record in stale:
            stage.learn(type(call.near.records[0])(record=record))
        stage.handle(ParticipantRecordWent(node=1, room="lobby", sid=call.ann.sid))
        stage.handle(NodeRecordWent(node=1))
    assert call.quiet()


def test_what_it_missed_is_asked_for_after_its_first_offer() -> None:
    call = Call()
    again = call.far.come_back(call.ann)
    states = [DataChannelReceiveState(publisher_sid=call.ben.sid, last_seq=4)]
    again.say(sync_state=call.state(datachannel_receive_states=states))
    assert not call.far.told(node.ReplayData)
    again.offer(*SPEAKING, offer_id=9)
    order = [type(x) for x in call.far.commands]
    assert order.index(node.ReplayData) > len(order) - 1 - order[::-1].index(node.AcceptOffer)


def test_the_first_edge_listens_a_while_longer() -> None:
    call = Call()
    mark = len(call.near.commands)
    call.move()
    [ends] = commands(call.near, mark, node.HandOver, node.RemoveParticipant)
    assert ends == node.HandOver(participant=call.ann.number)
    call.near.pass_time(defaults.HANDOVER_DELAY + 1)
    [_, ends] = commands(call.near, mark, node.HandOver, node.RemoveParticipant)
    assert ends == node.RemoveParticipant(participant=call.ann.number)


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_messages_wait_for_a_client_that_may_go_on_elsewhere(adopt: bool, single: bool) -> None:
    stage = Stage(1, adopt=adopt)
    client = stage.join("ann", *(LAYOUT if single else ()), single=single)
    stage.connect(client)
    stage.lose(client)
    holds = [node.HoldData(participant=client.number, seconds=defaults.HOLD)]
    assert stage.told(node.HoldData) == (holds if adopt and single else [])


def test_how_long_it_is_in_the_room() -> None:
    call = Call()
    call.far.pass_time(7)
    again = call.far.come_back(call.ann)
    again.say(sync_state=call.state())
    [adopted] = call.far.told(node.AdoptConnection)
    assert adopted.here_s == pytest.approx(7, abs=1)


def test_it_goes_back_again() -> None:
    call = Call()
    again = call.move()
    call.far.connect(again)
    back = call.near.come_back(again)
    back.say(sync_state=call.state(answer=again.last("answer")))
    assert call.near.told(node.RemoveParticipant)[-1].participant == call.ann.number
    back.offer(*SPEAKING, offer_id=10)
    for stage in call.stages:
        stage.pass_time(defaults.HANDOVER_DELAY + 1)
    assert (call.near.rooms.session_count, call.far.rooms.session_count) == (2, 1)
    assert call.quiet()


@pytest.mark.parametrize(
    "what", ["identity", "sid", "room", "dual", "track", "answer", "silent", "draining"]
)
def test_what_can_not_go_on_joins_anew(what: str) -> None:
    call = Call()
    if what == "draining":
        call.far.handle(DrainAsked(rate=1.0))
        call.far.handle(DrainAsked(rate=None))
        call.third.handle(DrainAsked(rate=0.1))
        again = call.third.come_back(call.ann)
    else:
        again = call.far.join(
            "eve" if what == "identity" else "ann",
            room="elsewhere" if what == "room" else "lobby",
            reconnect=True,
            sid="PA_other" if what == "sid" else call.ann.sid,
            single=what != "dual",
        )
    if what == "track":
        again.say(sync_state=call.state("TR_unknown"))
    elif what == "answer":
        again.say(sync_state=call.state(answer={"sdp": "m=nonsense"}))
    elif what == "silent":
        call.far.pass_time(defaults.RESUME_TIMEOUT + 1)
    assert again.last("leave").action == LeaveRequest.RECONNECT
    assert again.closed
    assert call.near.rooms.session_count == 2


def test_where_that_is_turned_off_clients_join_anew() -> None:
    near, far = Stage(1), Stage(2, adopt=False)
    connect(near, far)
    ann, _ = speaker(near, "ann")
    assert far.come_back(ann).last("leave").action == LeaveRequest.RECONNECT


def test_one_that_goes_before_it_said_what_it_has() -> None:
    call = Call()
    again = call.far.come_back(call.ann)
    again.say(ping=1)
    call.far.lose(again)
    assert call.far.told(node.RemoveParticipant)[-1].participant == again.number
    assert call.near.rooms.session_count == 2
    assert call.quiet()


def test_of_two_that_ask_for_one_session_the_newer_gets_it() -> None:
    call = Call()
    one, two = call.far.come_back(call.ann), call.far.come_back(call.ann)
    assert one.closed
    one.say(sync_state=call.state())
    assert call.far.rooms.session_count == 1
    two.say(sync_state=call.state())
    two.offer(*SPEAKING, offer_id=9)
    assert call.far.rooms.session_count == 2
    assert call.quiet()


def test_one_whose_edge_forgot_it_meanwhile() -> None:
    call = Call()
    again = call.far.come_back(call.ann)
    call.ann.say(leave={})
    again.say(sync_state=call.state())
    assert again.last("leave").action == LeaveRequest.RECONNECT


def test_media_that_does_not_follow() -> None:
    call = Call()
    again = call.move()
    call.far.pass_time(defaults.ADOPT_TIMEOUT + 1)
    assert again.last("leave").action == LeaveRequest.RECONNECT
    assert call.ben.updates()[-1][:2] == ("ann", ParticipantInfo.DISCONNECTED)


def test_a_track_that_it_no_longer_has_ends() -> None:
    call = Call()
    again = call.far.come_back(call.ann)
    again.say(sync_state=SyncState(answer=call.ann.last("answer")))
    again.offer(*LAYOUT, "audio inactive", offer_id=9)
    assert call.ben.updates()[-1] == ("ann", ParticipantInfo.ACTIVE, [])


def test_offers_are_as_before_once_it_is_here() -> None:
    call = Call()
    again = call.move()
    call.far.connect(again)
    again.say(offer=offer(*SPEAKING, "video sendonly cam", offer_id=11))
    assert again.last("answer").id == 11
