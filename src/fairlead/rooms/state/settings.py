"""How an edge runs its rooms, and what it says of itself to clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from livekit.protocol.models import ClientInfo, Codec, ServerInfo

from fairlead.policy.devices import Devices
from fairlead.policy.devices import packaged as devices
from fairlead.policy.grants import Grants
from fairlead.policy.regions import RoomRule
from fairlead.policy.scenes import Scenes, packaged
from fairlead.rooms.state.ice_servers import Turn

SERVER_VERSION = "1.13.11"
"""The LiveKit server that clients may take this one for: it opens their features."""
SERVER_PROTOCOL = 18
"""From 18 on, clients of protocol 18 agree on data channel ids in a single connection."""
NEGOTIATED_CHANNELS_PROTOCOL = 18
AGENT_PROTOCOL = 1

PING_INTERVAL = 5
PING_TIMEOUT = 15
JOIN_TIMEOUT = 60
"""Seconds from join to ACTIVE."""
RESUME_SILENCE = 15
"""Seconds that a session without a websocket stays once its connection is known to be silent, which
ICE knows after 15 s: 30 s of silence in all. SDKs go on trying for 40 s and more."""
RESUME_LIMIT = 120
"""Seconds that a session stays without a websocket while its media lives."""
RESUME_TIMEOUT = 30
"""Seconds from a client's return to its media's."""
HOLD = 5.0
"""Seconds that messages for a client which lost its websocket wait for it to say what it has: SDKs
come back within one or two. Where it returns at another edge, what it got here meanwhile would come
to it again."""
ADOPT_TIMEOUT = 10.0
"""Seconds from a client's return at another edge to its media and its data channels; else it joins
anew."""
SEND_OFF_TIMEOUT = 10.0
"""Seconds that a client has to go on at the edge that it was sent to."""
MAX_RECEIVE_STATES = 4096
"""Publishers of messages that a client that comes back may name."""
MEDIA_GRACE = 2
"""Seconds for a leave to arrive after the connections of its session closed."""
PARTING_DELAY = 1.0
"""Seconds that the record of a session that ended stands, so that the other edges hear why."""
HANDOVER_DELAY = 3.0
"""Seconds that the record of a session stands that another edge took: nobody may hear of its end
before they hear of that edge's."""
ANSWER_TIMEOUT = 15
"""Seconds that a client may take to answer an offer of ours."""
TOKEN_REFRESH = 300
"""Seconds between refreshed tokens."""
TOKEN_TTL = 900
"""Seconds a refreshed token lasts."""
COUNT_DELAY = 0.5
"""Seconds over which changes of a room's participant count are gathered into one update."""

TRACK_TIMEOUT = 60.0
"""Seconds in which a track that was asked for by its sid must be there."""

MAX_PENDING_TRACKS = 20
MAX_WISHES = 4096
"""Explicit subscriptions that a session may hold for tracks that are not there."""

MAX_DATA_TRACKS = 256
"""That a participant may publish."""
MAX_DATA_HEARD = 1024
"""Data tracks that a participant hears at a time; others that it asked for wait."""
MAX_DATA_WISHES = 2048
"""Explicit subscriptions to data tracks that a session may hold for tracks that are not there."""

WIDER_DELAY = 2.0
"""Seconds between a wider set of regions and media under it: until then the nodes on its way may
not know it, and would drop what they may carry."""
MAX_REGION_SETS = 256
"""Different sets of regions that the rooms of one edge may have: every node of the network keeps
each. Rooms with yet another are refused."""

PUBLISH_CODECS = ("video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/opus", "audio/red")
"""What a client may publish, in the order that clients are told: video first, audio last."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One edge's choices."""

    node: int
    region: str
    auto_create: bool = True
    """A join opens a room that is not there; else it is answered 404."""
    remote_unmute: bool = False
    """The API may unmute a track; else it may only mute."""
    empty_timeout: int = 300
    """Seconds that a room stays open before anyone joins."""
    departure_timeout: int = 20
    """Seconds that a room stays open after the last one left."""
    max_participants: int = 0
    """0 is no limit."""
    most_audio: int = 0
    """Audio tracks that a participant hears at a time; 0 is no limit."""
    most_video: int = 0
    adopt: bool = True
    """Sessions of other edges may go on here; else their clients join anew."""
    webhooks: bool = False
    """Someone hears of what happens (`fairlead.rooms.state.outputs.Announced`)."""
    rules: tuple[RoomRule, ...] = ()
    """Where rooms may be, by their names; all that match hold."""
    scenes: Scenes = msgspec.field(default_factory=packaged)
    """What kinds of conversation rooms may be."""
    devices: Devices = msgspec.field(default_factory=devices)
    """What clients' devices can bear."""
    turn: Turn | None = None
    """The TURN server of this edge."""


class Ids(Protocol):
    """Where unguessable ids come from."""

    def sid(self, prefix: str) -> str:
        """A new sid, such as ``PA_`` and 12 characters."""

    def token(self, size: int) -> bytes:
        """Random bytes."""


class Signer(Protocol):
    """Makes a token that says what the grants say."""

    def __call__(self, grants: Grants, now: float, ttl: int) -> str: ...


def server_info(settings: Settings) -> ServerInfo:
    """What clients are told of this server."""
    return ServerInfo(
        edition=ServerInfo.Standard,
        version=SERVER_VERSION,
        protocol=SERVER_PROTOCOL,
        region=settings.region,
        node_id=f"ND_{settings.node}",
        agent_protocol=AGENT_PROTOCOL,
    )


def negotiated_channels(client: ClientInfo, single: bool) -> bool:
    """Whether data channels have agreed ids instead of being opened in-band."""
    agreed = min(client.protocol, SERVER_PROTOCOL)
    return single and agreed >= NEGOTIATED_CHANNELS_PROTOCOL


def takes_trailers(client: ClientInfo) -> bool:
    """Whether it knows what publishers append to their pictures."""
    return ClientInfo.CAP_PACKET_TRAILER in client.capabilities


def publish_codecs(mimes: Iterable[str] = PUBLISH_CODECS) -> list[Codec]:
    """Codecs as messages."""
    return [Codec(mime=mime) for mime in mimes]
