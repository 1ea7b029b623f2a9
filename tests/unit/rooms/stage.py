"""A stage for edges: rooms without a network, with a node and clients that play along.

The node answers every offer and makes every offer that is asked for; clients keep what they were
told. Nothing waits: each call returns when every consequence is settled.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from livekit.protocol.models import ClientInfo
from livekit.protocol.rtc import (
    AddTrackRequest,
    JoinResponse,
    ParticipantUpdate,
    SessionDescription,
    SignalRequest,
    SignalResponse,
)
from livekit.protocol.webhook import WebhookEvent

from fairlead.policy import tokens
from fairlead.policy.grants import Grants, VideoGrant
from fairlead.protocol import node, sdp
from fairlead.protocol.join import Join
from fairlead.protocol.operation import AnyOperation, Reply
from fairlead.rooms.rooms import Rooms
from fairlead.rooms.state.inputs import (
    Asked,
    Input,
    Joined,
    NodeSaid,
    ParticipantRecordWent,
    RecordCame,
    RoomRecordWent,
    Signalled,
    SignalLost,
    Ticked,
)
from fairlead.rooms.state.outputs import (
    Announced,
    CloseSession,
    DeleteRecord,
    Happened,
    Output,
    PutRecord,
    Replied,
    SendSignal,
    TakeOver,
    Tell,
)
from fairlead.rooms.state.settings import Settings
from fairlead.types import NodeRecord, ParticipantRecord, RegionSetsRecord, RoomRecord

SECRET = "a secret of at least thirty-two bytes"
START = 1_800_000_000.0
FLIPPED = {
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "sendrecv": "sendrecv",
    "inactive": "inactive",
}


class CountedIds:
    """Ids that tests can foresee."""

    def __init__(self, tag: str = "") -> None:
        self._count = itertools.count(1)
        self._tag = tag

    def sid(self, prefix: str) -> str:
        return f"{prefix}{self._tag}{next(self._count)}"

    def token(self, size: int) -> bytes:
        return b"\x07" * size


def sign(grants: Grants, now: float, ttl: int) -> str:
    return tokens.sign(grants, SECRET, now, ttl)


def offer(*lines: str, kind: str = "offer", offer_id: int = 1) -> SessionDescription:
    """A description. Each line is ``KIND[/CODEC,...] DIRECTION [TRACK [RID,RID...]]``; mids count
    from 0."""
    text = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    for mid, line in enumerate(lines):
        what, direction, *rest = line.split()
        media, _, chosen = what.partition("/")
        usual = {"audio": ["111 opus/48000/2"], "video": ["96 VP8/90000"]}.get(media, [])
        names = chosen.split(",") if chosen else []
        codecs = [f"{96 + i} {name.upper()}/90000" for i, name in enumerate(names)] or usual
        payload = " ".join(codec.split()[0] for codec in codecs) or "webrtc-datachannel"
        text += [f"m={media} 9 UDP/TLS/RTP/SAVPF {payload}", f"a=mid:{mid}", f"a={direction}"]
        text += [f"a=rtpmap:{codec}" for codec in codecs]
        if rest:
            text.append(f"a=msid:- {rest[0]}")
        if len(rest) > 1:
            rids = rest[1].split(",")
            text += [f"a=rid:{rid} send" for rid in rids]
            text.append(f"a=simulcast:send {';'.join(rids)}")
    return SessionDescription(type=kind, sdp="\r\n".join(text) + "\r\n", id=offer_id)


def answer_to(text: str) -> str:
    """What a node makes of an offer: every direction the other way round."""
    lines = []
    for line in text.split("\r\n"):
        name = line[2:]
        lines.append(f"a={FLIPPED[name]}" if name in FLIPPED else line)
    return "\r\n".join(x for x in lines if not x.startswith(("a=msid", "a=rid", "a=simulcast")))


class Client:
    """What one client was told, and how it speaks."""

    def __init__(self, stage: Stage, number: int, identity: str) -> None:
        self._stage = stage
        self.number = number
        self.identity = identity
        self.single = True
        self._sid = ""
        self.told: list[SignalResponse] = []
        self.closed = False

    @property
    def joined(self) -> JoinResponse:
        assert self.told[0].WhichOneof("message") == "join", self.kinds()
        return self.told[0].join

    @property
    def sid(self) -> str:
        self._sid = self._sid or self.joined.participant.sid
        return self._sid

    def say(self, **message: Any) -> None:
        self._stage.handle(Signalled(session=self.number, request=SignalRequest(**message)))

    def offer(self, *lines: str, offer_id: int = 1) -> None:
        self.say(offer=offer(*lines, offer_id=offer_id))

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.told]

    def heard(self, kind: str) -> list[Any]:
        """Every message of a kind, oldest first."""
        return [getattr(m, kind) for m in self.told if m.WhichOneof("message") == kind]

    def last(self, kind: str) -> Any:
        heard = self.heard(kind)
        assert heard, f"{self.identity} was told no {kind}: {self.kinds()}"
        return heard[-1]

    def updates(self) -> list[tuple[str, int, list[str]]]:
        """(identity, state, tracks) of every participant it was told of, in order."""
        return [
            (info.identity, info.state, [track.sid for track in info.tracks])
            for update in self.heard("update")
            for info in _infos(update)
        ]

    def forget(self) -> None:
        if self.kinds()[:1] == ["join"]:
            self._sid = self.sid
        self.told.clear()


def _infos(update: ParticipantUpdate) -> list[Any]:
    return list(update.participants)


class Stage:
    """One edge."""

    def __init__(self, number: int = 1, clock: Callable[[], float] | None = None, **chosen: Any):
        self.settings = Settings(node=number, **{"region": f"region{number}", **chosen})
        self.rooms = Rooms(self.settings, CountedIds(f"{number}x"), sign)
        self.now = START
        self._clock = clock
        self.clients: dict[int, Client] = {}
        self.commands: list[node.Command] = []
        self.records: list[PutRecord | DeleteRecord] = []
        self.happened: list[Happened] = []
        self.announced: list[WebhookEvent] = []
        self.replies: dict[int, Reply] = {}
        self.neighbours: list[Stage] = []
        self.last_sequences: dict[int, int] = {}
        self.answers = True
        """Whether the node answers."""
        self._numbers = itertools.count(1)
        self._mids = itertools.count(100)

    # --- what a test does -------------------------------------------------------------------

    def join(
        self,
        identity: str,
        *lines: str,
        room: str = "lobby",
        grants: dict[str, Any] | None = None,
        **join: Any,
    ) -> Client:
        """A client joins; ``lines`` are the m-lines of its offer."""
        number = next(self._numbers)
        client = self.clients[number] = Client(self, number, identity)
        join.setdefault("single", True)
        client.single = join["single"]
        join.setdefault("client", ClientInfo(protocol=17, client_protocol=2))
        if lines:
            join["offer"] = offer(*lines)
        allowed = allow(identity, room, **(grants or {}))
        self.handle(Joined(session=number, grants=allowed, join=Join(**join)))
        return client

    def come_back(self, client: Client, sid: str = "", **join: Any) -> Client:
        """A client opens another websocket for its session."""
        join.setdefault("single", client.single)
        back = self.join(client.identity, reconnect=True, sid=sid or client.sid, **join)
        back._sid = client.sid
        return back

    def publish(self, client: Client, kind: str, cid: str, **more: Any) -> str:
        """Announce a track; its sid."""
        client.say(add_track=track_request(kind, cid, **more))
        return str(client.last("track_published").track.sid)

    def live(self, sid: str, mime: str = "audio/opus") -> None:
        """The first packet of a track comes."""
        self.hear(node.TrackLive(track=sid, mime=mime))

    def connect(self, client: Client, transport: node.TransportName = "publisher") -> None:
        self.hear(
            node.TransportState(participant=client.number, transport=transport, state="connected")
        )

    def hear(self, event: node.Event) -> None:
        self.handle(NodeSaid(event=event))

    def lose(self, client: Client) -> None:
        """Its websocket closes."""
        self.handle(SignalLost(session=client.number))

    def ask(self, operation: AnyOperation) -> Reply:
        self.handle(Asked(call=1, operation=operation))
        return self.replies.pop(1)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, waking the rooms whenever they asked for it."""
        end = self.now + seconds
        while (due := self.rooms.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.handle(Ticked())
        self.now = end

    def told(self, kind: type[Any]) -> list[Any]:
        """Every command of a kind that the node was given."""
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def node_record(self) -> NodeRecord:
        return NodeRecord(
            node=self.settings.node,
            region=self.settings.region,
            url="ws://localhost",
            mesh_addresses=[],
            mesh_key=b"",
            started_at=1,
        )

    @property
    def region_sets(self) -> list[list[str]]:
        """The sets that it last told the network."""
        told = [x.record.sets for x in self.records if isinstance(x.record, RegionSetsRecord)]
        return told[-1] if told else []

    # --- what plays along -------------------------------------------------------------------

    def handle(self, event: Input) -> None:
        if self._clock is not None:
            self.now = self._clock()
        for output in self.rooms.handle(self.now, event):
            self._perform(output)

    def _perform(self, output: Output) -> None:
        match output:
            case SendSignal():
                self.clients[output.session].told.append(output.response)
            case CloseSession():
                self.clients[output.session].closed = True
            case TakeOver():
                self._take_over(output.session, output.websocket)
            case Tell():
                self.commands.append(output.command)
                if self.answers:
                    self._play(output.command)
            case PutRecord() | DeleteRecord():
                self.records.append(output)
                for neighbour in self.neighbours:
                    neighbour.learn(output)
            case Happened():
                self.happened.append(output)
            case Announced():
                self.announced.append(output.event)
            case Replied():
                self.replies[output.call] = output.reply

    def _take_over(self, session: int, websocket: int) -> None:
        client, old = self.clients.pop(websocket), self.clients[session]
        client.number, old.number = session, -1
        old.closed = True
        self.clients[session] = client

    def _play(self, command: node.Command) -> None:
        match command:
            case node.AcceptOffer():
                self.hear(
                    node.Answered(
                        participant=command.participant,
                        transport=command.transport,
                        offer_id=command.offer_id,
                        sdp=answer_to(command.sdp),
                    )
                )
            case node.CreateOffer():
                mids = [x.mid or str(next(self._mids)) for x in command.sections]
                text = ["v=0", "s=-"]
                for mid, section in zip(mids, command.sections, strict=True):
                    direction = "sendonly" if section.active else "inactive"
                    text += [f"m={section.kind} 9 X 111", f"a=mid:{mid}", f"a={direction}"]
                self.hear(
                    node.Offered(
                        participant=command.participant,
                        offer_id=command.offer_id,
                        sdp="\r\n".join(text) + "\r\n",
                        mids=mids,
                    )
                )
            case node.ResumeParticipant():
                last = self.last_sequences.get(command.participant, 0)
                self.hear(node.Resumed(participant=command.participant, last_sequence=last))
            case _:
                pass

    def learn(self, change: PutRecord | DeleteRecord) -> None:
        """Hear of what another edge wrote."""
        record = change.record
        match change:
            case PutRecord(record=RoomRecord() | ParticipantRecord() as known):
                self.handle(RecordCame(record=known))
            case DeleteRecord(record=RoomRecord()):
                self.handle(RoomRecordWent(node=record.node, room=record.name))
            case DeleteRecord(record=ParticipantRecord()):
                self.handle(
                    ParticipantRecordWent(node=record.node, room=record.room, sid=record.sid)
                )


def connect(*stages: Stage) -> None:
    """Every edge hears of the others, and of their records at once."""
    for stage in stages:
        stage.neighbours = [other for other in stages if other is not stage]
        for other in stage.neighbours:
            stage.handle(RecordCame(record=other.node_record))


def allow(identity: str, room: str = "lobby", **video: Any) -> Grants:
    """Grants to join a room."""
    rest = {key: video.pop(key) for key in ("kind", "name", "room_config") if key in video}
    return Grants(
        api_key="key",
        identity=identity,
        video=VideoGrant(room_join=True, room=room, **video),
        expires_at=int(START) + 3600,
        **rest,
    )


def track_request(kind: str, cid: str, **more: Any) -> AddTrackRequest:
    source = {"audio": "MICROPHONE", "video": "CAMERA"}[kind]
    return AddTrackRequest(cid=cid, type=kind.upper(), **({"source": source} | more))


def section(description: SessionDescription, mid: str) -> sdp.MediaSection:
    """One m-line of a description."""
    return next(x for x in sdp.read(description.sdp) if x.mid == mid)
