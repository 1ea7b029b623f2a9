"""Whatever people do, in any order, on any of three edges: what must always hold."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.rtc import SimulcastCodec

from fairlead.protocol import node
from fairlead.protocol.operation import RemoveParticipant
from fairlead.rooms.state.inputs import Ticked
from fairlead.rooms.state.rendition import track_sid
from tests.unit.rooms.stage import Client, Stage, connect, track_request
from tests.unit.rooms.test_data_tracks import handles, sent

IDENTITIES = st.sampled_from(["ann", "ben", "carl"])
EDGES = st.integers(0, 2)
PICK = st.integers(0, 1_000_000)


class Network(RuleBasedStateMachine):
    """Three edges that hear of each other at once, and their clients."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.stages = [Stage(number, clock=lambda: self.now) for number in (1, 2, 3)]
        connect(*self.stages)
        self.offers: dict[int, list[str]] = {}
        self.count = 0

    @rule(edge=EDGES, identity=IDENTITIES, single=st.booleans(), hidden=st.booleans())
    def join(self, edge: int, identity: str, single: bool, hidden: bool) -> None:
        self.tick()
        lines = ["audio recvonly", "application sendrecv"] if single else []
        client = self.stages[edge].join(identity, *lines, single=single, grants={"hidden": hidden})
        self.offers[id(client)] = lines

    @rule(pick=PICK, kind=st.sampled_from(["audio", "video"]))
    def publish(self, pick: int, kind: str) -> None:
        self.tick()
        stage, client = self.someone(pick)
        if client is None:
            return
        cid = f"cid{self.count}"
        both = [SimulcastCodec(codec="vp9", cid=cid), SimulcastCodec(codec="vp8")]
        codecs = {"simulcast_codecs": both} if kind == "video" else {}
        sid = stage.publish(client, kind, cid, **codecs)
        self.offers[id(client)].append(f"{kind} sendonly {cid}")
        self.negotiate(client)
        stage.live(sid, "video/VP9" if kind == "video" else "audio/opus")

    @rule(pick=PICK)
    def back_up(self, pick: int) -> None:
        """A client adds the second codec that it was asked for last."""
        self.tick()
        stage, client = self.someone(pick)
        if client is None or not client.heard("subscribed_quality_update"):
            return
        sid, cid = client.last("subscribed_quality_update").track_sid, f"cid{self.count}"
        codecs = [SimulcastCodec(codec="vp8", cid=cid)]
        known = len(client.heard("track_published"))
        client.say(add_track=track_request("video", cid, sid=sid, simulcast_codecs=codecs))
        if len(client.heard("track_published")) > known:
            self.offers[id(client)].append(f"video sendonly {cid}")
            self.negotiate(client)
            stage.live(f"{sid}.vp8", "video/VP8")

    @rule(pick=PICK, line=st.integers(0, 5))
    def unpublish(self, pick: int, line: int) -> None:
        self.tick()
        _, client = self.someone(pick)
        if client is None:
            return
        lines = self.offers[id(client)]
        sending = [i for i, text in enumerate(lines) if "sendonly" in text]
        if sending:
            index = sending[line % len(sending)]
            lines[index] = f"{lines[index].split()[0]} inactive"
            self.negotiate(client)

    @rule(pick=PICK)
    def cooperate(self, pick: int) -> None:
        """A client does what it was asked to: more m-lines, or an answer."""
        self.tick()
        _, client = self.someone(pick)
        if client is None:
            return
        if client.joined and client.heard("offer"):
            client.say(answer={"type": "answer", "sdp": "v=0\r\n", "id": client.last("offer").id})
        if client.heard("media_sections_requirement"):
            needed = client.last("media_sections_requirement")
            lines = self.offers[id(client)]
            lines += ["audio recvonly"] * needed.num_audios
            lines += ["video recvonly"] * needed.num_videos
            self.negotiate(client)

    @rule(pick=PICK, track=PICK, subscribe=st.booleans())
    def subscribe(self, pick: int, track: int, subscribe: bool) -> None:
        self.tick()
        _, client = self.someone(pick)
        tracks = sorted(self.live())
        if client is not None and tracks:
            chosen = tracks[track % len(tracks)]
            client.say(subscription={"track_sids": [chosen], "subscribe": subscribe})

    @rule(pick=PICK, handle=st.integers(1, 3), name=st.sampled_from(["pose", "door"]))
    def publish_data(self, pick: int, handle: int, name: str) -> None:
        self.tick()
        _, client = self.someone(pick)
        if client is not None:
            client.say(publish_data_track_request={"pub_handle": handle, "name": name})

    @rule(pick=PICK, handle=st.integers(1, 3))
    def unpublish_data(self, pick: int, handle: int) -> None:
        self.tick()
        _, client = self.someone(pick)
        if client is not None:
            client.say(unpublish_data_track_request={"pub_handle": handle})

    @rule(pick=PICK, track=PICK, subscribe=st.booleans())
    def subscribe_data(self, pick: int, track: int, subscribe: bool) -> None:
        self.tick()
        _, client = self.someone(pick)
        tracks = sorted(self.live_data())
        if client is not None and tracks:
            chosen = {"track_sid": tracks[track % len(tracks)], "subscribe": subscribe}
            client.say(update_data_subscription={"updates": [chosen]})

    @rule(pick=PICK, how=st.sampled_from(["leave", "lose", "remove", "close"]))
    def depart(self, pick: int, how: str) -> None:
        self.tick()
        stage, client = self.someone(pick)
        if client is None:
            return
        match how:
            case "leave":
                client.say(leave={})
            case "lose":
                stage.lose(client)
            case "remove":
                stage.ask(RemoveParticipant(room="lobby", identity=client.identity))
            case _:
                stage.hear(
                    node.TransportState(
                        participant=client.number, transport="publisher", state="closed"
                    )
                )

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 70.0]))
    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [d for stage in self.stages if (d := stage.rooms.deadline()) is not None]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            for stage in self.stages:
                if (deadline := stage.rooms.deadline()) is not None and deadline <= self.now:
                    stage.handle(Ticked())
        self.now = end

    @invariant()
    def one_session_of_each_identity(self) -> None:
        identities = [c.identity for _, c in self.clients()]
        assert len(identities) == len(set(identities))

    @invariant()
    def nothing_before_the_welcome(self) -> None:
        for stage in self.stages:
            for client in stage.clients.values():
                assert client.kinds()[0] == "join"

    @invariant()
    def nobody_is_sent_what_is_not_there(self) -> None:
        live = self.live()
        for stage, client in self.clients():
            heard = self.sent(stage, client)
            assert set(heard.values()) <= live
            assert not set(heard.values()) & self.own(stage, client)
            assert len({track_sid(track) for track in heard.values()}) == len(heard)
            if client.single:
                # Its m-lines for pictures take VP8 alone, and every picture is VP9 at first.
                pictures = [track for track in heard.values() if track.startswith("TR_V")]
                assert all(track.endswith(".vp8") for track in pictures)

    @invariant()
    def everyone_is_sent_data_under_the_handles_that_it_was_told(self) -> None:
        live = self.live_data()
        for stage in self.stages:
            on_the_way = sent(stage)
            for client in (c for at, c in self.clients() if at is stage):
                told = client.heard("data_track_subscriber_handles")
                known = handles(told[-1]) if told else {}
                number = client.number
                mine = {x.track for x in stage.told(node.AddDataTrack) if x.publisher == number}
                assert known.keys() <= live - mine
                assert known == {sid: h for (who, sid), h in on_the_way.items() if who == number}

    @invariant()
    def everyone_knows_everyone(self) -> None:
        people = {c.sid: c for _, c in self.clients()}
        for _, client in self.clients():
            known: dict[str, int] = {
                info.sid: info.version for info in client.joined.other_participants
            }
            for message in client.told:
                if message.WhichOneof("message") != "update":
                    continue
                for info in message.update.participants:
                    assert info.version > known.get(info.sid, 0)
                    if info.state == ParticipantInfo.DISCONNECTED:
                        known.pop(info.sid, None)
                    else:
                        known[info.sid] = info.version
            known.pop(client.sid, None)
            visible = {
                sid
                for sid, other in people.items()
                if other is not client and not other.joined.participant.permission.hidden
            }
            assert set(known) == visible

    def teardown(self) -> None:
        for _, client in self.clients():
            client.say(leave={})
        self.wait(400.0)  # type: ignore[call-arg]
        for stage in self.stages:
            assert stage.rooms.session_count == 0
            assert stage.rooms.room_count == 0
            assert stage.rooms.deadline() is None

    # --- helpers ----------------------------------------------------------------------------

    def tick(self) -> None:
        self.now += 0.001
        self.count += 1

    def clients(self) -> list[tuple[Stage, Client]]:
        present = []
        for stage in self.stages:
            gone = {x.participant for x in stage.told(node.RemoveParticipant)}
            present += [(stage, c) for c in stage.clients.values() if c.number not in gone]
        return present

    def someone(self, pick: int) -> tuple[Any, Client | None]:
        present = self.clients()
        return present[pick % len(present)] if present else (None, None)

    def negotiate(self, client: Client) -> None:
        if self.offers[id(client)]:
            client.offer(*self.offers[id(client)], offer_id=self.count + 1)

    def live_data(self) -> set[str]:
        """Data tracks that their own edge's node has."""
        live: set[str] = set()
        for stage in self.stages:
            added = stage.told(node.AddDataTrack)
            gone = {x.track for x in stage.told(node.RemoveTrack)}
            live |= {x.track for x in added if x.publisher is not None} - gone
        return live

    def live(self) -> set[str]:
        """Tracks that their own edge's node has."""
        live: set[str] = set()
        for stage in self.stages:
            there: set[str] = set()
            for command in stage.commands:
                if isinstance(command, node.AddTrack) and command.publisher is not None:
                    there.add(command.track)
                elif isinstance(command, node.RemoveTrack):
                    there.discard(command.track)
            live |= there
        return live

    def own(self, stage: Stage, client: Client) -> set[str]:
        return {x.track for x in stage.told(node.AddTrack) if x.publisher == client.number}

    def sent(self, stage: Stage, client: Client) -> dict[str, str]:
        """mid to track, as the node was told."""
        lines: dict[str, str] = {}
        for command in stage.commands:
            match command:
                case node.Subscribe() if command.participant == client.number:
                    lines[command.mid] = command.track
                case node.Unsubscribe() if command.participant == client.number:
                    lines = {m: t for m, t in lines.items() if t != command.track}
                case node.RemoveTrack():
                    lines = {m: t for m, t in lines.items() if t != command.track}
                case _:
                    pass
        return lines


Network.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestNetwork = Network.TestCase
