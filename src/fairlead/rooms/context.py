"""What every part of the rooms shares: settings, sources of ids, timers, and the step at hand."""

from __future__ import annotations

import msgspec
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.rtc import RegionInfo, RegionSettings

from fairlead.policy import regions as policy
from fairlead.policy.regions import region_tag
from fairlead.protocol import node
from fairlead.rooms.state import settings as defaults
from fairlead.rooms.state import speakers, updates
from fairlead.rooms.state.absence import Endings
from fairlead.rooms.state.adoption import Adoption
from fairlead.rooms.state.datatrack import DataTrack
from fairlead.rooms.state.drain import Drain
from fairlead.rooms.state.faults import Faults
from fairlead.rooms.state.outputs import Happened, Outbox, PutRecord
from fairlead.rooms.state.region_sets import RegionSets
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.room import Room, Track
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.settings import Ids, Settings, Signer
from fairlead.rooms.state.timers import Timers
from fairlead.types import ParticipantRecord, RegionSetsRecord, stream_id


class Call(msgspec.Struct, frozen=True):
    """One call of the server's: the API's call that it answers, and who has to answer it."""

    asked: int
    session: int


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A session of this edge, shown in another room under a sid of its own."""

    session: int
    source: str
    """The room that it is in."""
    room: str
    sid: str
    order: tuple[int, int]
    since: float


class Context:
    """The edge's rooms and sessions, and the outputs of the step being taken."""

    def __init__(self, settings: Settings, ids: Ids, sign: Signer) -> None:
        self.settings = settings
        self.ids = ids
        self.sign = sign
        self.timers = Timers()
        self.rooms: dict[str, Room] = {}
        self.sessions: dict[int, Session] = {}
        self.now = 0.0
        self.out = Outbox()
        self.unsettled: dict[int, Session] = {}
        """Sessions whose subscriptions may need a new exchange of descriptions."""
        self.touched: dict[str, Room] = {}
        """Rooms that have something to tell at the end of the step."""
        self.returning: dict[int, int] = {}
        """Websockets on which clients come back, to their sessions, while the node is asked."""
        self.adoptions: dict[int, Adoption] = {}
        """Websockets on which clients ask for sessions of other edges."""
        self.endings = Endings()
        self.parted: dict[str, ParticipantRecord] = {}
        self.handed_over: dict[str, int] = {}
        """Of those, the participants at the node whose clients may still say something here."""
        """Records of sessions that ended a moment ago."""
        self.region_of: dict[int, str] = {settings.node: settings.region}
        """Where each node is that is known."""
        self.urls: dict[int, str] = {}
        """Where clients connect to each other node that is known."""
        self.drain = Drain()
        self.calls: dict[str, Call] = {}
        """Of the server's to participants, by id, until they are answered."""
        self.forwards: dict[str, Forward] = {}
        """By the sid that each has in the other room."""
        self.meshed: dict[str, set[str]] = {}
        """What the node knows of other nodes' tracks, each with the rooms that have it."""
        self.streams: dict[str, list[int]] = {}
        """Their streams, as the node was told."""
        self.faults = Faults()
        """What clients asked to have simulated on their next join."""
        self.region_sets = RegionSets()
        """Of the rooms held here."""
        self.refits: dict[tuple[str, str], None] = {}
        """Rooms and tracks whose subscribers may need another codec, once the node knows it."""
        self._serial = 0

    def room_of(self, session: Session) -> Room:
        return self.rooms[session.room]

    def room(self, name: str) -> Room:
        """The room, made if nothing was known of it."""
        found = self.rooms.get(name)
        if found is None:
            found = self.rooms[name] = Room(
                name,
                self.settings.node,
                self.ids.token(16),
                policy.ruled(self.settings.rules, name),
            )
        return self.touch(found)

    def touch(self, room: Room) -> Room:
        self.touched[room.name] = room
        return room

    def elsewhere(self, room: Room) -> RegionSettings:
        """The other nodes where a room may be, as clients read it."""
        places = [
            RegionInfo(region=self.region_of[node], url=url)
            for node, url in sorted(self.urls.items())
            if node in self.region_of and policy.allows(room.regions, self.region_of[node])
        ]
        return RegionSettings(regions=places)

    def new_stream(self) -> int:
        """A stream id that this node never gave out before."""
        self._serial += 1
        return stream_id(self.settings.node, self._serial)

    def changed(self, room: Room, session: Session) -> None:
        """A session's info changed: everyone is told at the end of the step."""
        self.touch(room).changed[session.sid] = session

    def settle_later(self, session: Session) -> None:
        self.unsettled[session.number] = session

    def refit(self, room: Room, track: Track) -> None:
        """The codecs of a track changed: its subscribers' are chosen anew in this step."""
        self.touch(room)
        self.refits[room.name, track.sid] = None

    def happened(self, what: str, room: Room, **details: str) -> None:
        self.out.add(Happened(what=what, room=room.sid, **details))  # type: ignore[arg-type]

    def finish(self, room: Room) -> None:
        """Tell, record and mesh what changed in a room in this step."""
        self._mesh(room)
        held = bool(room.sessions) or room.records.own is not None
        self.region_sets.hold(room.name, *((room.regions, room.mesh_regions) if held else ()))
        self._tell(room)
        for session in room.rerecord.values():
            self.out.add(PutRecord(record=_record(room, session, session.told)))
        room.rerecord.clear()
        for session in room.sessions.values():
            session.fresh = False
        if room.info_changed:
            room.info_changed = False
            self.tell_room(room)

    def tell_sets(self) -> None:
        """Let the network know which sets of regions the rooms here have."""
        sets = self.region_sets.news()
        if sets is not None:
            self.out.add(PutRecord(record=RegionSetsRecord(node=self.settings.node, sets=sets)))

    def tell_room(self, room: Room) -> None:
        """Send everyone the room's description."""
        self.timers.drop(("count", room.name))
        if not room.sessions:
            return
        info = room.info()
        for number in room.sessions:
            self.out.signal(number, room_update={"room": info})

    def count_later(self, room: Room) -> None:
        """The head count changed: tell so, together with other changes soon."""
        if room.sessions:
            self.timers.set(("count", room.name), self.now + defaults.COUNT_DELAY)

    def hush(self, session: Session, sids: list[str], room: Room) -> None:
        """Bring a session's speakers up to date for these participants."""
        heard = dict.fromkeys(sids, speakers.SILENT)
        for sid in sids:
            tracks = room.speaker_tracks(sid)
            if session.sid == sid or any(track.sid in session.heard for track in tracks):
                heard[sid] = room.speakers.level(sid)
        changed = speakers.news(session.levels, heard)
        if changed:
            self.out.signal(session.number, speakers_changed={"speakers": changed})

    def _tell(self, room: Room) -> None:
        news: list[tuple[bool, ParticipantInfo]] = [
            (info.permission.hidden, info) for info in room.parted
        ]
        for person in room.changed.values():
            if isinstance(person, Session):
                info = person.told = person.snapshot()
                self.out.add(PutRecord(record=_record(room, person, info)))
                room.rerecord.pop(person.number, None)
            else:
                info = person.info
            news.append((person.hidden, info))
        for info in room.parted:
            if not info.permission.hidden:
                room.departures.note(self.now, info)
        room.parted.clear()
        room.changed.clear()
        if not news:
            return
        for session in room.sessions.values():
            told = [
                info
                for hidden, info in news
                if _concerns(session, info, hidden) and not (session.fresh and _old(info, session))
            ]
            for update in updates.chunks(told):
                self.out.signal(session.number, update=update)

    def _mesh(self, room: Room) -> None:
        """Let the node know of other nodes' tracks while someone here could hear them."""
        served = bool(room.sessions)
        room.mesh_regions = room.carried if served else room.regions
        if room.mesh_regions == room.regions:
            self.timers.drop(("wider", room.name))
        elif not self.timers.waits(("wider", room.name)):
            self.timers.set(("wider", room.name), self.now + defaults.WIDER_DELAY)
        others = {r.node for r in room.remotes.values()} if served else set()
        nodes = sorted(other for other in others if self._may_reach(room, other))
        tag = region_tag(room.mesh_regions)
        retagged = tag != room.mesh_tag
        room.mesh_tag = tag
        if nodes != room.mesh_nodes or (nodes and retagged):
            room.mesh_nodes = nodes
            self.out.tell(node.SetRoomNodes(room=room.key, nodes=nodes, tag=tag))
        if retagged:
            self._retag(room, tag)
        wanted: dict[str, tuple[Track | DataTrack, list[int]]] = {}
        if served:
            for track in room.all_tracks():
                publisher = track.publisher
                if isinstance(publisher, RemoteParticipant) and publisher.node in nodes:
                    for name, streams in track.streams.items():
                        wanted[name] = track, streams
        for name in [name for name in room.meshed if name not in wanted]:
            del room.meshed[name]
            rooms = self.meshed[name]
            rooms.discard(room.name)
            if not rooms:
                del self.meshed[name]
                del self.streams[name]
                self.out.tell(node.RemoveTrack(track=name))
        for name, (track, streams) in wanted.items():
            known = self.streams.get(name, streams)
            new = name not in room.meshed or known != streams
            if new or retagged:
                room.meshed[name] = None
                self.meshed.setdefault(name, set()).add(room.name)
                if known != streams:
                    # It moved here, and its old room has not heard of it yet; or to another node.
                    self.out.tell(node.RemoveTrack(track=name))
                if retagged or self.streams.get(name) != streams:
                    self.out.tell(_remote(room, track, name, tag))
                self.streams[name] = streams
            if new:
                self.send_again(room, track, name)

    def send_again(self, room: Room, track: Track | DataTrack, name: str) -> None:
        """The node learnt anew of a data track, or of a track in one of its codecs: whoever heard
        it goes on hearing it."""
        for number in sorted(track.subscribers):
            session = room.sessions[number]
            if isinstance(track, DataTrack):
                handle = session.data.heard[name]
                self.out.tell(node.SubscribeData(participant=number, track=name, handle=handle))
                continue
            if session.heard.get(track.sid) != name:
                continue
            mid = session.line_of(track.sid)
            if mid is not None:
                self.out.tell(
                    node.Subscribe(
                        participant=number, transport=session.receiving, mid=mid, track=name
                    )
                )
                told = session.pictures_told.get(track.sid)
                if told is not None and told.track == name:
                    self.out.tell(told)

    def _may_reach(self, room: Room, other: int) -> bool:
        """Whether media of the room may go to another node: its record of the room is known (it
        may allow less than is known here), and it is within the set."""
        where = self.region_of.get(other, "")
        return room.records.held_by(other) and policy.allows(room.mesh_regions, where)

    def _retag(self, room: Room, tag: int) -> None:
        """The set changed: what is published here crosses under the new tag."""
        for session in room.sessions.values():
            for publication in session.publications.by_sid.values():
                for rendition in publication.bound:
                    if rendition.tag != tag:
                        told = publication.command(rendition, room.key, session.number, tag)
                        self.out.tell(told)
            for data in session.data.published.values():
                if data.stream and data.tag != tag:
                    self.out.tell(data.command(session.number, tag))


def _remote(
    room: Room, track: Track | DataTrack, name: str, tag: int
) -> node.AddTrack | node.AddDataTrack:
    if isinstance(track, DataTrack):
        return track.command(tag)
    return node.AddTrack(
        track=name,
        room=room.key,
        kind=track.kind,
        layers=track.renditions[name],
        publisher=None,
        tag=tag,
        red=track.red,
    )


def _record(room: Room, session: Session, info: ParticipantInfo) -> ParticipantRecord:
    """A session's record, with what it says for its whole node."""

    def of(firsts: dict[str, int]) -> list[str]:
        return sorted(track for track, number in firsts.items() if number == session.number)

    heard, backups = of(room.first_hearers), of(room.first_askers)
    return session.record(info, heard=heard, backups=backups)


def _concerns(session: Session, info: ParticipantInfo, hidden: bool) -> bool:
    if info.identity == session.identity:
        # Of its own identity a client may only hear of the session that it is.
        return info.sid == session.sid
    return not hidden


def _old(info: ParticipantInfo, session: Session) -> bool:
    """What a session that just joined knows from its join response."""
    return info.state == ParticipantInfo.DISCONNECTED or info.sid == session.sid
