"""What Python says to its node (commands) and hears from it (events).

Each message is a msgpack map whose ``type`` names it. The Rust twin of this file is
``crates/node/src/message.rs``; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LinkStateName = Literal["connecting", "up", "suspect", "down"]
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
    """Data channels have the agreed ids 100 to 102 (client protocol 18 on, single connection)."""
    allow_pause: bool = False
    """Its client takes `StreamState`: pictures may pause for lack of room."""
    packet_trailers: bool = False
    """Its client takes what publishers append to their pictures; else that is cut off."""


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
    tag: int = 0
    """The `Policy` under which it crosses the mesh; 0 is everywhere."""
    red: bool = True
    """Sound may be sent redundantly (RFC 2198): it is neither encrypted end to end nor asked to
    stay plain."""


class RemoveTrack(Message, frozen=True):
    """Forget a track of `AddTrack` or `AddDataTrack`; its subscriptions end."""

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
    priority: int = 0
    """0 to 255: where room is short, the greater is served first and gets more."""
    fps: int = 0
    """Pictures a second that are enough, up to 255; 0 is all that come."""


class ResumeParticipant(Message, frozen=True):
    """A client that lost its signalling comes back; answered by `Resumed`."""

    participant: int


class AdoptConnection(Message, frozen=True):
    """A client's connection was with another node until now: its next offer begins ICE, DTLS and
    SCTP anew. ``channels`` are the ids of its reliable and its lossy channel, and of that of data
    tracks; ``here_s`` is for how long it is in the room, in seconds. It is connected once its
    channels are open, too."""

    participant: int
    channels: list[int]
    here_s: float = 0.0


class Had(Message, frozen=True):
    """The number of the last reliable message that a client got of a publisher."""

    publisher: str
    """Its sid."""
    sequence: int


class ReplayData(Message, frozen=True):
    """Send a client the reliable messages of its room that it missed; what was sent too long ago,
    or was too much to keep, is gone."""

    participant: int
    had: list[Had]


class SendData(Message, frozen=True):
    """Send a DataPacket (protobuf bytes) to a room, as the server: on this node and the others."""

    room: bytes
    packet: bytes
    reliable: bool


class Restrict(Message, frozen=True):
    """Take a client to have no more room than ``kbps`` (None measures it), and offer its next
    connections over TCP alone. For simulated scenarios."""

    participant: int
    kbps: int | None = None
    tcp_only: bool = False


class MoveParticipant(Message, frozen=True):
    """A session is in another room from now on, under another sid. What it publishes and hears is
    told by other commands."""

    participant: int
    room: bytes
    sid: str


class Call(Message, frozen=True):
    """Send a participant a reliable DataPacket of the server's (protobuf bytes). What it sends to
    the identity ``call`` comes back as `CallAnswered`, two messages at most."""

    participant: int
    call: str
    packet: bytes


class SetRoomNodes(Message, frozen=True):
    """Which other nodes serve a room: where its data goes."""

    room: bytes
    nodes: list[int]
    tag: int = 0
    """The `Policy` under which its data crosses the mesh; 0 is everywhere."""


class SetScene(Message, frozen=True):
    """What a room's scene asks of its packets; the default of every field asks for nothing."""

    room: bytes
    audio_top: int = 0
    """Only so many voices are heard at a time, the loudest; 0 is all."""
    unranked: list[str] = []
    """Audio tracks that don't compete: the sound of a shared screen."""
    repeats: int = 1
    """Each packet of speech repeats at least so many before it; 1 to 4."""
    copies: Literal["never", "base", "always"] = "base"
    """What of a picture goes on two paths at once; sound always does."""
    speech_reserve_kbps: int = 0
    """Of the estimate toward a client, kept from its pictures."""
    playout_ms: tuple[int, int] | None = None
    """Least and most time that a picture waits at the client before it is shown, 0 to 40950."""


class AddPeer(Message, frozen=True):
    """Keep a link to another node. ``addresses`` has one ``ip:port`` for each of its mesh ports,
    1 to 4: the link has a port pair for each, the same position at both ends."""

    node: int
    public_key: bytes
    addresses: list[str]


class RemovePeer(Message, frozen=True):
    """Close the link to a node."""

    node: int


class Route(Message, frozen=True):
    """The way to ``destination``: through ``via`` in order; an empty ``via`` is the direct link."""

    destination: int
    via: list[int]
    second: list[int] | None = None
    """The relays of the second path, disjoint from the first; None if there is none."""
    tag: int = 0
    """For frames under this `Policy`; 0 for those under none."""


class SetRoutes(Message, frozen=True):
    """Replace this node's routes, all at once. Frames under way keep the path in their header."""

    routes: list[Route]


class Policy(Message, frozen=True):
    """The nodes where frames under ``tag`` may be. ``tag`` is 1 to 2**32 - 1."""

    tag: int
    nodes: list[int]


class SetPolicies(Message, frozen=True):
    """Replace every policy. A frame under a tag that isn't listed goes nowhere."""

    policies: list[Policy]


class SetProtection(Message, frozen=True):
    """What copies on second paths may cost: both limits hold, None is none."""

    share: float | None = None
    """Of the bytes that go on first paths, 0.0 to 1.0."""
    kbps: int | None = None


class SetLink(Message, frozen=True):
    """What an operator knows of the link to a peer."""

    node: int
    capacity_kbps: int | None = None
    """More is never sent; None learns it."""


class SetEmulation(Message, frozen=True):
    """Weather of the emulated way *to* a peer; None in every field is a plain socket."""

    node: int
    pair: int | None = None
    """Of one port pair alone, 0 to 3; None is all of them."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    """Share of packets lost, 0 to 1."""
    rate_kbps: int | None = None
    cut: bool = False


class HoldData(Message, frozen=True):
    """A client comes back here or elsewhere, and will say what it has: what is said meanwhile waits
    for that (`ReplayData`, `HandOver`), for so many seconds at most. Lossy messages don't."""

    participant: int
    seconds: float


class HandOver(Message, frozen=True):
    """A client goes on at another node: what waits for it here goes there. What it still sends here
    is taken until `RemoveParticipant`, which then ends its connection without a goodbye."""

    participant: int


class AddDataTrack(Message, frozen=True):
    """A data track that this node's participants may subscribe to; local or remote. Again where
    nothing but the tag changed."""

    track: str
    stream: int
    publisher: int | None = None
    """The local participant that publishes it, None if it comes over the mesh."""
    handle: int = 0
    """In its publisher's packets, 1 to 65535; 0 if it comes over the mesh."""
    tag: int = 0
    """The `Policy` under which it crosses the mesh; 0 is everywhere."""


class ExpectSource(Message, frozen=True):
    """What another node told of a stream (`StreamSource`) whose publisher is here now."""

    participant: int
    stream: int
    ssrc: int
    rtx: int | None


class SubscribeData(Message, frozen=True):
    """Send a data track to a participant, in whose packets it has this handle, 1 to 65535; again
    to change it. `Unsubscribe` ends it."""

    participant: int
    track: str
    handle: int


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
    | ResumeParticipant
    | AdoptConnection
    | ReplayData
    | SendData
    | Restrict
    | MoveParticipant
    | Call
    | SetRoomNodes
    | SetScene
    | AddPeer
    | RemovePeer
    | SetRoutes
    | SetPolicies
    | SetProtection
    | SetLink
    | SetEmulation
    | HoldData
    | HandOver
    | AddDataTrack
    | SubscribeData
    | ExpectSource
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


class StreamSource(Message, frozen=True):
    """One encoding of a simulcast track published here comes under this SSRC (``rtx``: what is sent
    again of it). Clients name neither in their offers, and in packets only at first."""

    participant: int
    stream: int
    ssrc: int
    rtx: int | None


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


class Picture(Message, frozen=True):
    """A video track as it comes from its publisher."""

    track: str
    layers: int
    """Of its layers, from the lowest, those that lead to the best that comes."""
    fps: float
    """Pictures a second of the lowest that comes."""


class Figures(Message, frozen=True):
    """What one participant's packets told of its connection in the last 5 s. *Up* is from it."""

    participant: int
    packets_up: int
    """Of media; none while everything is muted."""
    loss_up: float
    """Share lost on the way, before repair, 0 to 1."""
    jitter_ms: float
    packets_down: int
    loss_down: float
    rtt_ms: float | None
    silent_s: float
    """Since anything at all came from it."""
    layers_wanted: int
    """Video layers that it asks for and that are published, over all tracks."""
    layers_sent: int
    keyframes_asked: int = 0
    """Of pictures that had come for a while, and whole."""
    pictures: list[Picture] = []
    """What it publishes and is not muted."""


class Quality(Message, frozen=True):
    """Every 5 s: the figures of each participant of one worker that has a connection."""

    participants: list[Figures]


class CallAnswered(Message, frozen=True):
    """A DataPacket that a participant sent in answer to a `Call`."""

    participant: int
    call: str
    packet: bytes


class StreamState(Message, frozen=True):
    """A track pauses for a subscriber for lack of room, or goes on. Only for those that
    ``allow_pause``."""

    participant: int
    track: str
    paused: bool


class TrackWanted(Message, frozen=True):
    """The best quality of a track published here that anybody needs, on any node (2 of sound); None
    for none. Sent when it changes, and once when the track is added."""

    track: str
    quality: int | None


class Pair(Message, frozen=True):
    """One port pair of a link: another way through the same networks."""

    pair: int
    """0 to 3."""
    state: LinkStateName
    rtt_ms: float | None
    loss: float
    """Share of the peer's packets lost on it."""


class Link(Message, frozen=True, kw_only=True):
    """One link as this node measures it. *In* is from the peer, *out* is towards it."""

    node: int
    state: LinkStateName
    """Suspect: silent too long; all of it is doubled. Down: nothing is sent on it."""
    held: bool = False
    """Down, but it carries again: until it has proved itself, for those with no other way."""
    fault: Literal["in", "out", "both"] | None = None
    """Which way fails while it is suspect or down."""
    rtt_ms: float | None
    """Median of the last seconds; None before the first round trip."""
    rtt_min_ms: float | None = None
    rtt_p95_ms: float | None = None
    delay_change_ms: float = 0.0
    """In: how far the one-way delay now stands above its least of the last minute."""
    jitter_ms: float
    """In: the 95th percentile of the change of delay from packet to packet."""
    loss: float
    """In: share of the peer's packets lost before repair, in the last window."""
    residual_loss: float
    """In: the same after repair."""
    loss_out: float = 0.0
    """Out: as the peer reports it."""
    residual_loss_out: float = 0.0
    burst: float = 0.0
    """In: packets that are lost in a row, mean; 0 if none were."""
    kbps_in: float = 0.0
    """Delivered, in the last window."""
    kbps_out: float = 0.0
    """Sent, all overhead included."""
    queue_ms: float = 0.0
    """Out: what waits here to be paced, and above the least delay on the way."""
    capacity_kbps: int | None = None
    """Out: given or learnt; None if nothing ever limited it."""
    mtu: int = 0
    """Bytes of UDP payload that pass."""
    repair_share: float = 0.0
    """Of the bytes sent: repairs and asking for them."""
    parity_share: float = 0.0
    """Of the bytes sent: forward error correction."""
    pair: int = 0
    """The port pair in use."""
    pairs: list[Pair] = []
    sent_packets: int
    received_packets: int


class LinkReport(Message, frozen=True):
    """Every link, once a second and at once when a state changes."""

    links: list[Link]


class Counters(Message, frozen=True):
    """What was counted since the start, once a second: forwarded, dropped (by reason) and so on."""

    counts: dict[str, int]


class Resumed(Message, frozen=True):
    """The answer to `ResumeParticipant`."""

    participant: int
    last_sequence: int
    """Of the reliable messages that the client sent; 0 if it numbered none."""


class Fatal(Message, frozen=True):
    """A packet thread stopped; the process must end."""

    reason: str


Event = (
    Answered
    | Offered
    | NegotiationFailed
    | TransportState
    | TrackLive
    | StreamSource
    | Levels
    | SubscriptionLive
    | Quality
    | CallAnswered
    | StreamState
    | TrackWanted
    | LinkReport
    | Counters
    | Resumed
    | Fatal
)


class TurnConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The TURN server, which relays to this node alone."""

    port: int = 0
    """UDP and TCP; 0 lets the system choose."""
    realm: str = "fairlead"
    secret: bytes
    """Of the credentials (`fairlead.rooms.state.ice_servers`)."""
    max_allocations: int = 4096
    max_per_user: int = 24
    """Of one user name: a client makes one for each connection, URL and network of its own."""


class FrontConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The one TCP port for everything: HTTP and websockets, ICE-TCP and TURN, with TLS or not."""

    port: int = 0
    web_port: int
    """Where HTTP is served, on loopback."""
    certificate: str = ""
    """A file in PEM, as ``key`` is; both or neither."""
    key: str = ""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a node starts."""

    node: int
    workers: int = 1
    bind: str = "127.0.0.1"
    udp_port: int = 0
    """Client media; 0 lets the system choose."""
    tcp_port: int = 0
    mesh_port: int = 0
    """The first of ``mesh_ports`` in a row; 0 lets the system choose each."""
    mesh_ports: int = 4
    """1 to 4: as many port pairs may each link have."""
    addresses: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1"])
    """Addresses offered to clients as ICE candidates."""
    private_key: bytes = b""
    """X25519, 32 bytes; empty makes a new one."""
    seed: int = 0
    """Seed of the emulated links' weather."""
    turn: TurnConfig | None = None
    front: FrontConfig | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)


def encode(command: Command | NodeConfig) -> bytes:
    """Command to msgpack."""
    return _encoder.encode(command)


def decode(data: bytes) -> Event:
    """msgpack to event. Raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(data)
