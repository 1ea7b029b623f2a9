"""What Python says to its node (commands) and hears from it (events).

Each message is a msgpack map whose ``type`` names it. The Rust twin of this file is
``crates/node/src/message.rs``; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Literal

import msgspec

TransportName = Literal["publisher", "subscriber"]
"""In a single connection the one transport is ``publisher``, as in LiveKit."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """Base of every command and event."""


# --- commands -----------------------------------------------------------------------------------


class AddParticipant(Message, frozen=True):
    """Make room for one session. ``participant`` is unique in the node's lifetime."""

    participant: int
    room: bytes
    sid: str
    identity: str
    agent: bool = False
    can_publish_data: bool = True
    can_subscribe: bool = True
    single: bool = True
    """One connection for both ways; else publisher and subscriber have one each."""
    negotiated_channels: bool = False
    """Data channels have the agreed ids 100 and 101 (client protocol 18 on, single connection)."""


class UpdateParticipant(Message, frozen=True):
    """Change what a session may do with data."""

    participant: int
    can_publish_data: bool
    can_subscribe: bool = True


class RemoveParticipant(Message, frozen=True):
    """Close a session's transports and forget it."""

    participant: int


class AcceptOffer(Message, frozen=True):
    """Answer a client's offer; comes back as `Answered` or `NegotiationFailed`."""

    participant: int
    transport: TransportName
    offer_id: int
    sdp: str


class Section(Message, frozen=True):
    """One m-line of a server offer: ``mid`` is None for a new one."""

    mid: str | None
    kind: Literal["audio", "video"]
    active: bool


class CreateOffer(Message, frozen=True):
    """Make an offer on the subscriber transport; comes back as `Offered`.

    ``sections`` lists every m-line that the offer must have, in order.
    """

    participant: int
    offer_id: int
    sections: list[Section]
    restart_ice: bool = False


class AcceptAnswer(Message, frozen=True):
    """The client's answer to the offer ``offer_id``; `NegotiationFailed` if it can't be used."""

    participant: int
    offer_id: int
    sdp: str


class AddCandidate(Message, frozen=True):
    """A candidate of the client's (`candidate:...`), trickled."""

    participant: int
    transport: TransportName
    candidate: str


class Layer(Message, frozen=True):
    """One encoding of a track. ``rid`` is None without simulcast; ``quality`` 0 low to 2 high."""

    stream: int
    rid: str | None
    quality: int


class AddTrack(Message, frozen=True):
    """A track of a room that this node's participants may subscribe to; local or remote."""

    track: str
    room: bytes
    kind: Literal["audio", "video"]
    layers: list[Layer]
    publisher: int | None
    """The local participant that publishes it, None if it comes over the mesh."""


class RemoveTrack(Message, frozen=True):
    """Forget a track; its subscriptions end."""

    track: str


class Publish(Message, frozen=True):
    """Bind what arrives on ``mid`` of the publisher transport to a track of `AddTrack`."""

    participant: int
    mid: str
    track: str


class SetMuted(Message, frozen=True):
    """Stop (or go on) forwarding what a local publisher sends on a track."""

    track: str
    muted: bool


class Subscribe(Message, frozen=True):
    """Send a track to a participant on ``mid`` of ``transport``."""

    participant: int
    transport: TransportName
    mid: str
    track: str


class Unsubscribe(Message, frozen=True):
    """Stop sending a track to a participant."""

    participant: int
    track: str


class SetQuality(Message, frozen=True):
    """The best layer that a subscriber asks for; ``quality`` None pauses the track."""

    participant: int
    track: str
    quality: int | None


class SendData(Message, frozen=True):
    """Send a DataPacket (protobuf bytes) to a room, as the server: on this node and the others."""

    room: bytes
    packet: bytes
    reliable: bool


class SetRoomNodes(Message, frozen=True):
    """Which other nodes serve a room: where its data goes."""

    room: bytes
    nodes: list[int]


class AddPeer(Message, frozen=True):
    """Keep a link to another node. ``address`` is ``ip:port``."""

    node: int
    public_key: bytes
    address: str


class RemovePeer(Message, frozen=True):
    """Close the link to a node."""

    node: int


class Route(Message, frozen=True):
    """The way to ``destination``: through ``via`` in order; an empty ``via`` is the direct link."""

    destination: int
    via: list[int]


class SetRoutes(Message, frozen=True):
    """Replace this node's routes."""

    routes: list[Route]


class SetEmulation(Message, frozen=True):
    """Weather of the emulated way *to* a peer; None in every field is a plain socket."""

    node: int
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    """Share of packets lost, 0 to 1."""
    rate_kbps: int | None = None
    cut: bool = False


Command = (
    AddParticipant
    | UpdateParticipant
    | RemoveParticipant
    | AcceptOffer
    | CreateOffer
    | AcceptAnswer
    | AddCandidate
    | AddTrack
    | RemoveTrack
    | Publish
    | SetMuted
    | Subscribe
    | Unsubscribe
    | SetQuality
    | SendData
    | SetRoomNodes
    | AddPeer
    | RemovePeer
    | SetRoutes
    | SetEmulation
)


# --- events -------------------------------------------------------------------------------------


class Answered(Message, frozen=True):
    """The answer to a client's offer, candidates included; Python may still edit its text."""

    participant: int
    transport: TransportName
    offer_id: int
    sdp: str


class Offered(Message, frozen=True):
    """A server offer: ``mids`` names the m-line of each section asked for, in order."""

    participant: int
    offer_id: int
    sdp: str
    mids: list[str]


class NegotiationFailed(Message, frozen=True):
    """An offer, answer or candidate that could not be used, with the reason."""

    participant: int
    transport: TransportName
    offer_id: int
    reason: str


class TransportState(Message, frozen=True):
    """A transport connected (ICE and DTLS), lost its peer, or closed for good."""

    participant: int
    transport: TransportName
    state: Literal["connected", "disconnected", "closed"]


class TrackLive(Message, frozen=True):
    """The first packet of a published track arrived. ``mime`` as in ``video/VP8``."""

    track: str
    mime: str


class Level(Message, frozen=True):
    """How loud a track was in the last window: 0 silent to 1, and whether it counts as speech."""

    track: str
    level: float
    active: bool


class Levels(Message, frozen=True):
    """Sent each 400 ms while anything changed: the tracks whose level or activity differs."""

    levels: list[Level]


class SubscriptionLive(Message, frozen=True):
    """The first packet of a track was sent to a subscriber."""

    participant: int
    track: str


class Link(Message, frozen=True):
    """One link as this node measures it."""

    node: int
    state: Literal["connecting", "up", "down"]
    rtt_ms: float | None
    jitter_ms: float
    loss: float
    """Share of the peer's packets lost before repair, in the last window."""
    residual_loss: float
    """The same after repair."""
    sent_packets: int
    received_packets: int


class LinkReport(Message, frozen=True):
    """Every link, once a second."""

    links: list[Link]


class Counters(Message, frozen=True):
    """What was counted since the start, once a second: forwarded, dropped (by reason) and so on."""

    counts: dict[str, int]


class Fatal(Message, frozen=True):
    """A packet thread stopped; the process must end."""

    reason: str


Event = (
    Answered
    | Offered
    | NegotiationFailed
    | TransportState
    | TrackLive
    | Levels
    | SubscriptionLive
    | LinkReport
    | Counters
    | Fatal
)


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a node starts."""

    node: int
    workers: int = 1
    bind: str = "127.0.0.1"
    udp_port: int = 0
    """Client media; 0 lets the system choose."""
    tcp_port: int = 0
    mesh_port: int = 0
    addresses: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1"])
    """Addresses offered to clients as ICE candidates."""
    private_key: bytes = b""
    """X25519, 32 bytes; empty makes a new one."""
    seed: int = 0
    """Seed of the emulated links' weather."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(command: Command | NodeConfig) -> bytes:
    """Command to msgpack."""
    return _encoder.encode(command)


def decode(data: bytes) -> Event:
    """msgpack to event. Raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(data)
