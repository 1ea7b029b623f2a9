"""Ids and values that every room of the house speaks."""

from __future__ import annotations

import hashlib
from typing import NewType

import msgspec

NodeId = NewType("NodeId", int)
"""1 to 65535; the high 16 bits of every stream id that the node gives out."""
RoomName = NewType("RoomName", str)
Identity = NewType("Identity", str)
ParticipantSid = NewType("ParticipantSid", str)
TrackSid = NewType("TrackSid", str)
StreamId = NewType("StreamId", int)
"""Origin node in the high 16 bits, a serial number in the low 48."""


def room_key(name: str) -> bytes:
    """The 16 bytes by which the packet path and the cells' keys know a room."""
    return hashlib.blake2b(name.encode(), digest_size=16, person=b"fairlead-room").digest()


def stream_id(node: int, serial: int) -> StreamId:
    """A stream id from its origin node and that node's serial number."""
    return StreamId((node << 48) | serial)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what an edge writes into its cell. Each record has one writer: ``node``."""

    node: int


class NodeRecord(Record, frozen=True):
    """One node of the network, as the others need to know it."""

    region: str
    url: str
    """Where clients connect, ``ws://host:port``."""
    mesh_addresses: list[str]
    """Where links connect, ``ip:port`` (UDP), one for each mesh port, 1 to 4."""
    mesh_key: bytes
    """X25519 public key, 32 bytes: pinned by every peer."""
    started_at: int
    """Unix milliseconds; a restart has a later one."""
    country: str = ""
    provider: str = ""
    location: tuple[float, float] | None = None
    """Degrees north and east; measurements faster than light between two of them are refused."""
    controller: bool = False
    """Whether it stands by to compute everybody's routes."""
    relay: bool = True
    """Whether others' frames may pass through it."""


class RoomRecord(Record, frozen=True):
    """A room, as one edge holds it. The earliest (created_at, sid) names the room; the greatest
    (version, node) holds its changeable part."""

    name: str
    sid: str
    created_at: int
    """Unix milliseconds."""
    version: int
    """Grows by one on each change, past every version seen."""
    info: bytes
    """livekit.Room, protobuf."""
    regions: list[str] = msgspec.field(default_factory=list)
    """Where its media may be, sorted; empty is everywhere."""
    revoked: dict[str, int] = msgspec.field(default_factory=dict)
    """Of these identities only tokens that are valid from then on (Unix seconds) open the room."""
    scene: str = ""
    """What kind of conversation it is; empty is the default."""
    playout_ms: list[int] = msgspec.field(default_factory=list)
    """Least and most that pictures wait at a client, if its creator said so."""


class TrackLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One encoding of a track: quality 0 low, 1 medium, 2 high."""

    stream: int
    quality: int
    ssrc: int | None = None
    """Of its packets, as its publisher's client chose it and no offer tells."""
    rtx: int | None = None
    """Of what is sent again."""


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in a second codec, for who does not take the first."""

    name: str
    """The track as nodes know it in this codec."""
    codec: str
    """``vp8``."""
    layers: list[TrackLayer] = msgspec.field(default_factory=list)
    """Empty until it comes."""
    everyone: bool = False
    """Whoever takes it gets it, whatever else they take."""


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The packet-path side of a published track; its TrackInfo is in the participant's info."""

    sid: str
    kind: str
    """``audio`` or ``video``."""
    layers: list[TrackLayer]
    red: bool = True
    """Sound may be sent redundantly."""
    backup: BackupRecord | None = None
    """The second codec that it is, or may be, sent in."""


class DataTrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The packet-path side of a data track; its DataTrackInfo is in the participant's info."""

    sid: str
    stream: int
    """0 while its publisher moves to another node: nothing comes of it."""


class ParticipantRecord(Record, frozen=True):
    """One session. Of two sessions of one identity, the greater ``session`` stays."""

    room: str
    sid: str
    identity: str
    session: tuple[int, int]
    """(unix microseconds of the join, node): later wins everywhere, the node breaks ties."""
    info: bytes
    """livekit.ParticipantInfo, protobuf."""
    tracks: list[TrackRecord]
    permissions: bytes = b""
    """livekit.SubscriptionPermission, protobuf, of this publisher; empty allows everyone."""
    heard: list[str] = msgspec.field(default_factory=list)
    """Tracks of other nodes that this session was the first to hear on its node: their
    publishers learn from it that someone listens."""
    backups: list[str] = msgspec.field(default_factory=list)
    """Tracks of other nodes whose backup this session needs, for its whole node: their publishers
    are asked for it."""
    quality: int = 2
    """livekit.ConnectionQuality; excellent until its edge knows better."""
    left: bool = False
    """It is over; the record stands a moment longer so that the others learn why."""
    data_tracks: list[DataTrackRecord] = msgspec.field(default_factory=list)
    data_heard: list[str] = msgspec.field(default_factory=list)
    """Data tracks that its client asked for and hears: clients that go on at another edge do not
    say so there."""


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """One link as the node that writes the record measures it; ``peer`` is the other end.

    What is measured of packets is measured where they come in: these figures are of the direction
    from ``peer`` to the writer.
    """

    peer: int
    up: bool
    """Whether it carries anything; a suspect link does, and one on hold."""
    suspect: bool = False
    held: bool = False
    """It fell and works again: for those who have no other way until it has proved itself."""
    rtt_ms: float | None
    """Median; None before the first round trip."""
    rtt_p95_ms: float | None = None
    jitter_ms: float = 0.0
    """95th percentile."""
    loss: float = 0.0
    """Share of the peer's packets lost before repair, 0 to 1."""
    residual_loss: float = 0.0
    """The same after repair."""
    kbps: float = 0.0
    """Delivered."""
    capacity_kbps: int | None = None
    """From the writer to ``peer``: given or learnt."""
    kbps_out: float = 0.0
    """Sent, from the writer to ``peer``."""
    price_per_gb: float = 0.0
    """From the writer to ``peer``, as the operator configured it."""
    risks: list[str] = msgspec.field(default_factory=list)
    """Labels of what it shares with other links and fails with: a cable, a landing."""


class LinksRecord(Record, frozen=True):
    """Every link of one node, for the others to compute paths through it."""

    links: list[LinkState]
    epoch: int = 0
    """The highest epoch of a controller that the node has heard: one that starts anew, and has
    forgotten its own, must go beyond."""


class RegionSetsRecord(Record, frozen=True):
    """The sets of regions within which rooms of this node must stay, each sorted: every node that
    may carry their media must know them, by their tags."""

    sets: list[list[str]]


class RouteEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One leased route: relays of the first and of the second path, in order."""

    destination: int
    via: list[int]
    second: list[int] | None = None
    """None if there is no path disjoint from the first."""
    tag: int = 0
    """Of the region set that it obeys; 0 for none."""
    why: str = ""
    """One sentence for people, true when the path was chosen."""


class RoutesRecord(Record, frozen=True):
    """The leased routes of ``target``, from the controller on ``node``."""

    target: int
    epoch: int
    serial: int
    """Grows with each change of this target's routes within an epoch."""
    routes: list[RouteEntry]


class ControllerRecord(Record, frozen=True):
    """The controller on ``node`` is active, or stands by. The highest epoch is obeyed; what it
    leased stays in force while this record is renewed."""

    epoch: int
    active: bool
    beat: int
    """Grows with each renewal."""
