"""One room on one edge: its sessions, those of other nodes, and the tracks between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.models import Room as RoomInfo

from fairlead.policy.regions import EVERYWHERE, RegionSet, within
from fairlead.policy.scenes import DEFAULT
from fairlead.protocol.node import Layer, SetScene
from fairlead.rooms.state.absence import Departures
from fairlead.rooms.state.datatrack import DataTrack
from fairlead.rooms.state.records import RoomRecords
from fairlead.rooms.state.remote import RemoteParticipant
from fairlead.rooms.state.session import Session
from fairlead.rooms.state.settings import publish_codecs
from fairlead.rooms.state.speakers import Speakers
from fairlead.types import BackupRecord, room_key

DEPENDENT_KINDS = (ParticipantInfo.AGENT, ParticipantInfo.EGRESS)


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A track's second codec. ``layers`` is empty until it comes."""

    name: str
    """As nodes know it."""
    codec: str
    """``vp8``."""
    layers: list[Layer] = []
    everyone: bool = False
    """Whoever takes it gets it, whatever else they take."""


class Track:
    """A live track of a room; ``publisher`` is who sends it, here or elsewhere."""

    def __init__(
        self,
        sid: str,
        kind: Literal["audio", "video"],
        publisher: Session | RemoteParticipant,
        layers: list[Layer],
        *,
        red: bool,
        backup: Backup | None = None,
    ) -> None:
        self.sid = sid
        self.kind = kind
        self.publisher = publisher
        self.layers = layers
        self.red = red
        """Its sound may be sent redundantly."""
        self.backup = backup
        self.subscribers: set[int] = set()
        """Sessions that the node sends it to."""
        self.askers: set[int] = set()
        """Sessions that take its backup and not what it is sent in."""

    @property
    def renditions(self) -> dict[str, list[Layer]]:
        """What nodes know of it: each of its codecs that comes, as a track of its own."""
        known = {self.sid: self.layers}
        if self.backup is not None and self.backup.layers:
            known[self.backup.name] = self.backup.layers
        return known

    @property
    def streams(self) -> dict[str, list[int]]:
        """Those that each of them comes in."""
        renditions = self.renditions.items()
        return {name: [layer.stream for layer in layers] for name, layers in renditions}


class Room:
    """What an edge knows of one room."""

    def __init__(
        self, name: str, node: int, sif_trailer: bytes, ruled: RegionSet = EVERYWHERE
    ) -> None:
        self.name = name
        self.key = room_key(name)
        self.records = RoomRecords(name, node, ruled)
        self.sif_trailer = sif_trailer
        """Marks frames that a server put in; encrypted rooms know them by it."""
        self.sessions: dict[int, Session] = {}
        self.remotes: dict[str, RemoteParticipant] = {}
        """By session sid; those not shown included."""
        self.tracks: dict[str, Track] = {}
        self.data_tracks: dict[str, DataTrack] = {}
        self.speakers = Speakers()
        self.first_hearers: dict[str, int] = {}
        """Track of another node to the session that hears it first here."""
        self.first_askers: dict[str, int] = {}
        """Track of another node to the session that asks for its backup for this node."""
        self.talkers: set[str] = set()
        """Who speaks, or did a moment ago: their pictures come first."""
        self.visited = False
        """Someone was in it since it opened here."""
        self.departures = Departures()
        # What has to be told at the end of the step.
        self.parted: list[ParticipantInfo] = []
        self.changed: dict[str, Session | RemoteParticipant] = {}
        self.rerecord: dict[int, Session] = {}
        self.info_changed = False
        # What the node was told.
        self.meshed: dict[str, None] = {}
        self.mesh_nodes: list[int] = []
        self.mesh_tag = 0
        self.mesh_regions = EVERYWHERE
        self.scene_told = SetScene(room=self.key)
        self.scene_name = DEFAULT
        self.video_height = 0
        """The largest camera layer that its scene sends on; 0 is any."""

    @property
    def sid(self) -> str:
        return self.records.sid if self.records.exists else ""

    @property
    def regions(self) -> RegionSet:
        """Where its media may be."""
        return self.records.regions

    @property
    def carried(self) -> RegionSet:
        """The set under which its media travels: what the node was told, while that is lawful.
        So a wider set can be made known before it is used, and a narrower one holds at once."""
        return self.mesh_regions if within(self.mesh_regions, self.regions) else self.regions

    @property
    def abandoned(self) -> bool:
        """Nothing of it is left, here or elsewhere."""
        return not (self.sessions or self.remotes or self.records.exists)

    def info(self) -> RoomInfo:
        """The room as clients see it."""
        info = self.records.info
        people = [p for p in self.participants() if not p.hidden]
        info.num_participants = sum(not dependent(person.info) for person in people)
        info.num_publishers = sum(person.info.is_publisher for person in people)
        del info.enabled_codecs[:]
        info.enabled_codecs.extend(publish_codecs())
        return info

    def participants(self) -> Iterator[Session | RemoteParticipant]:
        """Everyone in the room, the hidden included, superseded sessions not."""
        yield from self.sessions.values()
        yield from (remote for remote in self.remotes.values() if remote.shown)

    def shown_to(self, identity: str) -> list[ParticipantInfo]:
        """Everyone else as a participant sees them."""
        return [
            person.told if isinstance(person, Session) else person.info
            for person in self.participants()
            if not person.hidden and person.identity != identity
        ]

    def local(self, identity: str) -> Session | None:
        """The session of an identity on this edge."""
        return next((s for s in self.sessions.values() if s.identity == identity), None)

    def head_count(self) -> int:
        """Participants that count against the limit."""
        return sum(not dependent(person.info) for person in self.participants())

    def all_tracks(self) -> Iterator[Track | DataTrack]:
        """Of sound, pictures and data."""
        yield from self.tracks.values()
        yield from self.data_tracks.values()

    def speaker_tracks(self, sid: str) -> list[Track]:
        return [t for t in self.tracks.values() if t.publisher.sid == sid and t.kind == "audio"]


def backup_of(record: BackupRecord | None) -> Backup | None:
    """A track's second codec, as its publisher's node tells of it."""
    if record is None:
        return None
    layers = [Layer(stream=x.stream, rid=None, quality=x.quality) for x in record.layers]
    return Backup(name=record.name, codec=record.codec, layers=layers, everyone=record.everyone)


def dependent(info: ParticipantInfo) -> bool:
    """Agents, egress and recorders: they neither count nor keep a room open."""
    permission = info.permission
    return info.kind in DEPENDENT_KINDS or permission.agent or permission.recorder
