"""The Rust surface, typed by hand; ``mypy.stubtest`` holds it against the module."""

from typing import Self, final

__all__ = ["OPTIMIZED", "SOURCE_HASH", "AccessNetwork", "Load", "Node", "Simulator"]

OPTIMIZED: bool
SOURCE_HASH: str

@final
class Node:
    """One node's packet threads. Commands go down, events come up; no packet does."""

    def __new__(cls, config: bytes) -> Self:
        """Start from a msgpack `NodeConfig`. Raises OSError if a port can't be bound."""

    def handle(self, command: bytes) -> None:
        """Queue a msgpack `Command`. Raises ValueError if it can't be read."""

    def drain(self) -> list[bytes]:
        """Every msgpack `Event` since the last call."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""

    def close(self) -> None:
        """Stop the threads and close the sockets; a second call does nothing."""

    @property
    def udp_port(self) -> int: ...
    @property
    def tcp_port(self) -> int: ...
    @property
    def mesh_ports(self) -> list[int]: ...
    @property
    def public_key(self) -> bytes: ...

@final
class AccessNetwork:
    """The access networks of the field lab: a thread that moves IPv4 packets between pairs of TUN
    devices and does to them what weak networks do. One seed has one schedule of what goes wrong.

    Devices last as long as this does, and until then may be moved into network namespaces. Every
    method raises ValueError on a link or a value that can't be, and once this is closed.
    """

    def __new__(cls, seed: int) -> Self: ...
    def add_link(self, inside: str, outside: str) -> int:
        """Make two devices in the caller's network namespace, down and without address, and join
        them without weather; returns the link. Raises OSError where they can't be made: without
        root, without /dev/net/tun, or under a name that is taken."""

    def set(
        self,
        link: int,
        way: str,
        *,
        delay_ms: float = 0.0,
        jitter_ms: float = 0.0,
        loss: float = 0.0,
        burst: float = 1.0,
        outage_every_ms: float | None = None,
        outage_ms: float | None = None,
        rate_kbps: int | None = None,
        queue_ms: float | None = None,
        cut: bool = False,
        hold: bool = False,
        codel: bool = False,
        cross_kbps: int = 0,
        cross_downloads: int = 0,
    ) -> None:
        """Change the weather of one way, ``up`` (inside to outside) or ``down``, from now on and
        for what waits; what isn't named is none.

        Packets take ``delay_ms`` and up to ``jitter_ms`` more or less (a truncated Gaussian), in
        order. A share of ``loss`` is lost in bursts of so many packets. Outages come every so often
        and last so long, both means: all is lost meanwhile, or ``loss`` of it where that is named.
        A rate counts IP bytes and has a queue of 300 ms, or ``queue_ms``, that drops the newest.
        ``cut`` loses all; ``hold`` keeps all, and floods it out when it ends. ``codel`` minds the
        queue (RFC 8289) and marks what is ECN-capable. Others may share the rate: a paced stream
        of so much, and downloads that behave as TCP's. Loss without bursts is a schedule of the
        seed: a packet more or less changes the fate of none that comes a millisecond later.
        """

    def rebind(self, link: int) -> None:
        """The NAT of a link gives every UDP flow another port from now on; what comes to a port of
        before is dropped."""

    def tally(self, link: int, way: str) -> dict[str, int]:
        """Packets so far: ``delivered``, ``lost`` (by the weather), ``dropped`` (the queue was
        full), ``refused`` (the device was down), ``not_ipv4`` (dropped unseen), and ``under_way``
        now; ``gone`` is 1 once a device of the link was deleted, which ends the link."""

    def lateness(self) -> tuple[float, float, float]:
        """How many milliseconds late packets left since this was last asked: median, p99, most."""

    def close(self) -> None:
        """End the thread and take the devices away; a second call does nothing."""

@final
class Load:
    """A run of the load client: many LiveKit clients that don't decode, on threads of their own
    that never call Python. One spec (JSON, `lab/load/spec.py`) goes in; lines of JSON come out."""

    def __new__(cls, spec: bytes) -> Self:
        """Begin. Raises ValueError on a spec that can't be used."""

    def next(self, within_s: float) -> str | None:
        """The next line, or None if there is none in that time. The last one has the phase
        ``done`` or ``failed``; after it RuntimeError."""

    def stop(self) -> None:
        """End early: ``done`` follows, with what was counted so far."""

@final
class Simulator:
    """A network in virtual time from one seed: the shipping node cores over emulated paths, plain
    participants in place of WebRTC clients, and checkers that look at all that comes out.

    Nodes are numbered from 1 and know nothing of each other until told by commands, as from their
    Python. Times are seconds since the start. Every method raises ValueError on a node, publisher,
    room or name that there isn't.
    """

    def __new__(cls, seed: int, nodes: int, *, pairs: int = 4, stub: bool = False) -> Self:
        """``pairs``: port pairs of each link, 1 to 4. With ``stub`` the nodes do know each other,
        and shortest routes over at most one relay are leased to them; nothing is told."""

    def add_path(
        self,
        a: int,
        b: int,
        *,
        delay_ms: float,
        jitter_ms: float = 0.0,
        loss: float = 0.0,
        burst: float = 1.0,
        rate_kbps: int | None = None,
        wander_ms: float = 0.0,
    ) -> None:
        """A path between two nodes, the same both ways: one-way delay, even jitter, a share of
        ``loss`` in bursts of so many packets, and a delay that wanders up to ``wander_ms``."""

    def restrict(self, room: bytes, tag: int, nodes: list[int]) -> None:
        """What is published in a room from now on travels under ``tag``; the checker wants it on
        these nodes only."""

    def publish(self, node: int, kind: str, room: bytes | None = None) -> int:
        """Somebody publishes ``audio`` (50 packets a second), ``video`` (about 1 Mb/s, one layer)
        or ``upper`` (the same as an upper layer); returns the publisher."""

    def subscribe(self, node: int, publisher: int) -> None:
        """Somebody at ``node`` subscribes."""

    def chat(self, room: bytes, node: int, to: list[int], reliable: bool) -> None:
        """Somebody at ``node`` writes ten messages a second to a room's people at ``to``."""

    def fault(self, at: float, kind: str, a: int, b: int = 0, value: float = 0.0) -> None:
        """Change something at a time. Between ``a`` and ``b``: ``cut``, ``mend``, ``cut_way``,
        ``mend_way`` (from a to b), ``cut_pair``, ``mend_pair`` (value: which), ``brownout``
        (value: share lost), ``clear``, ``narrow`` (value: kb/s, 0 ends it), ``short`` (value: most
        bytes). On ``a``: ``kill``, ``start``, ``restart``, ``clock`` (value: seconds ahead),
        ``grey`` (value 1: passes nothing on), ``lie`` (value: factor of the delays it reports)."""

    def public_key(self, node: int) -> bytes: ...
    def addresses(self, node: int) -> list[str]: ...
    def handle(self, node: int, command: bytes) -> None:
        """Hand a node a msgpack `Command`, now. A dead node hears nothing."""

    def advance(self, until: float) -> list[tuple[float, int, bytes]]:
        """Go on until a time, or until a node tells something: when, which node, and the msgpack
        `LinkReport` or `Fatal`."""

    @property
    def now(self) -> float: ...
    @property
    def trace(self) -> int:
        """A hash over all that happened: one seed, one hash."""

    @property
    def violations(self) -> list[str]:
        """What the checkers saw, the first twenty; empty is good."""

    @property
    def datagrams(self) -> int:
        """Sent between nodes so far."""

    @property
    def bytes_sent(self) -> int:
        """Of UDP payload, sent between nodes so far."""

    @property
    def route_changes(self) -> int:
        """How often a first path of any node to any other changed."""

    def counters(self) -> dict[str, int]:
        """The counters of all meshes, summed; those of dead nodes too."""

    def subscriptions(self) -> list[tuple[int, int]]:
        """Node and publisher of each."""

    def figures(
        self, node: int, publisher: int, begin: float, end: float
    ) -> tuple[int, int, float, float, float, float]:
        """Of what was published in that time: packets published and received; milliseconds of
        delay (median, p99, most) and of the longest time in which something was due and nothing
        came."""

    def route(self, node: int, to: int, tag: int = 0) -> tuple[list[int], list[int] | None] | None:
        """The relays of a node's first and second path."""

    def set_gap_budget(self, ms: float | None) -> None:
        """No audio subscriber may wait longer than this for what is due, from now on."""

    def set_route_budget(self, changes: int) -> None:
        """No route may change more often than this in a minute, from now on."""

    def probe(self, again: bool = False) -> None:
        """Every living node writes to all others, once."""

    def check_probes(self) -> None:
        """Whoever has a way of at most two relays to another must have heard its probes by now."""
