"""The configuration of one node process: TOML, typed, with no key that nobody reads."""

from __future__ import annotations

import ipaddress
import math
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from fairlead.policy.regions import BadRegions, RoomRule
from fairlead.policy.regions import parse as parse_regions
from fairlead.policy.scenes import BadScene, SceneChange, Scenes, changed
from fairlead.protocol.node import SetProtection
from fairlead.rooms.state.ice_servers import DEFAULT_TTL
from fairlead.routing.follower import Settings as MeshSettings
from fairlead.routing.report import LinkTerms
from fairlead.server.toml import ConfigError, decode, read_text

DEVELOPMENT_KEYS = {"devkey": "secret"}
DEFAULT_PORT = 7880
MAX_NODE_ID = 65_535
MAX_PORT_PAIRS = 4
"""Of a link."""
TLS_PORT = 443
TURN_OFFSET = 8
"""From the node's port to that of TURN where it is not given."""
SHORTEST_SECRET = 32
"""Characters; what HMAC-SHA256 asks of its key, and LiveKit of a secret."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class NodeSection(Section, frozen=True, kw_only=True):
    """Who this node is and where it listens."""

    id: int = 1
    """1 to 65535, different for every node of a network."""
    region: str = "local"
    country: str = ""
    provider: str = ""
    operator: str = ""
    bind: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """HTTP and websocket; the other ports follow it where they are not given."""
    tcp_port: int | None = None
    """ICE over TCP; `port` + 1."""
    udp_port: int | None = None
    """Client media; `port` + 2."""
    mesh_port: int | None = None
    """Links to other nodes, UDP, the first of `mesh_ports` in a row; `port` + 3."""
    mesh_ports: int = MAX_PORT_PAIRS
    """1 to 4: a link tries each before it is left."""
    addresses: list[str] = []
    """Addresses told to clients and other nodes; the bound one where empty."""
    url: str = ""
    """Where clients connect; `ws://ADDRESS:PORT` where empty."""
    workers: int = 1
    """Packet threads."""
    private_key_file: str = ""
    """32 bytes, raw, or made there if absent; empty makes a new key at each start."""
    seed: int = 0
    """Of the emulated links' weather."""
    location: list[float] = []
    """Degrees north and east; measurements faster than light from there are not believed."""
    controller: bool = True
    """Whether it stands by to compute the routes of every node."""
    relay: bool = True
    """Whether others' media may pass through."""


class RoomSection(Section, frozen=True, kw_only=True):
    """What a room is like unless its creator says otherwise."""

    auto_create: bool = True
    empty_timeout_s: int = 300
    departure_timeout_s: int = 20
    max_participants: int = 0
    """0 is no limit."""
    subscription_limit_audio: int = 0
    """Tracks that a participant hears at a time; 0 is no limit."""
    subscription_limit_video: int = 0
    adopt_sessions: bool = True
    """Clients go on here with sessions of other edges; else they join anew."""


class RuleSection(Section, frozen=True, kw_only=True):
    """Where rooms of some names may be; all rules that match a room hold."""

    match: str
    """A pattern: `*` is anything, `?` one character, `[...]` one of some."""
    regions: list[str]


class CellSection(Section, frozen=True, kw_only=True):
    """The state of this node's region."""

    nats: str = ""
    """`nats://HOST:PORT` of the operator's server; empty runs one of our own."""
    port: int | None = None
    """Of our own server, loopback; `port` of the node + 7."""
    store: str = ""
    """Directory of our own server's store; empty makes one that lasts as long as the node."""
    token: str = ""
    """Secret of our own server, the part before @ in the URLs of other nodes; empty makes one."""


class Weather(Section, frozen=True, kw_only=True):
    """What an emulated one-way path does to packets."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    """Share lost, 0 to 1."""
    rate_kbps: int | None = None
    cut: bool = False


class EmulationSection(Weather, frozen=True, kw_only=True):
    """The emulated way to the node ``node``."""

    node: int
    pair: int | None = None
    """Of one port pair alone, 0 to 3; of all of them if absent."""


class AdminSection(Section, frozen=True, kw_only=True):
    """The admin endpoints: only from loopback, only with this token, absent without one."""

    token: str = ""


class WebhookSection(Section, frozen=True, kw_only=True):
    """Who is told what happens in rooms, as by LiveKit's webhooks."""

    api_key: str = ""
    """Of [keys]: its secret signs."""
    urls: list[str] = []


class TurnSection(Section, frozen=True, kw_only=True):
    """The TURN server, which relays to this node's media alone."""

    enabled: bool | None = None
    """On where absent, except on loopback."""
    port: int | None = None
    """UDP and TCP; `port` of the node + 8."""
    ttl_s: int = DEFAULT_TTL
    """In which a client's credentials open allocations; those that are open last on."""
    secret: str = ""
    """Of the credentials; empty makes one at each start."""
    max_allocations: int = 4096
    max_per_user: int = 24
    """Of one client: it makes one for each connection, URL and network of its own."""


class FrontSection(Section, frozen=True, kw_only=True):
    """One TCP port for everything: websocket and HTTP, ICE-TCP and TURN, with TLS or without."""

    port: int | None = None
    """443 where there is a certificate; absent and without one there is no such port."""
    certificate: str = ""
    """File in PEM, the chain; read again when it changes."""
    key: str = ""
    """File in PEM."""
    host: str = ""
    """The name in the certificate, told to clients; that of `node.url` where empty."""


class LogSection(Section, frozen=True, kw_only=True):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class LinkSection(Section, frozen=True, kw_only=True):
    """What is known of the links from here to one node, or to all nodes of a region."""

    to: int | str
    risks: list[str] = []
    """Names of what they share with others and fail with: a cable, a landing."""
    price_per_gb: float = 0.0
    """Of what is sent, in any one currency."""
    capacity_kbps: int | None = None
    """More is never sent; learnt where absent."""


class MeshSection(Section, frozen=True, kw_only=True):
    """The links to other nodes, and what protection may cost."""

    protection_share: float | None = None
    """Copies on second paths, as a share of the bytes on first ones; no limit where absent."""
    protection_kbps: int | None = None
    links: list[LinkSection] = []

    @property
    def settings(self) -> MeshSettings:
        """The same for routing."""
        limits = self.protection_share, self.protection_kbps
        return MeshSettings(
            links=[
                LinkTerms(
                    to=link.to,
                    risks=sorted(set(link.risks)),
                    price_per_gb=link.price_per_gb,
                    capacity_kbps=link.capacity_kbps,
                )
                for link in self.links
            ],
            protection=(
                None
                if limits == (None, None)
                else SetProtection(share=self.protection_share, kbps=self.protection_kbps)
            ),
        )


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    node: NodeSection = NodeSection()
    keys: dict[str, str] = {}
    """API keys and their secrets; LiveKit's development pair on loopback where empty."""
    room: RoomSection = RoomSection()
    rooms: list[RuleSection] = []
    scenes: dict[str, SceneChange] = {}
    """Scenes of the operator's own, and changes of those that come with Fairlead."""
    cell: CellSection = CellSection()
    cells: dict[str, str] = {}
    """The other regions' cells: region to `nats://TOKEN@HOST:PORT`."""
    mesh: MeshSection = MeshSection()
    emulation: list[EmulationSection] = []
    admin: AdminSection = AdminSection()
    turn: TurnSection = TurnSection()
    front: FrontSection = FrontSection()
    log: LogSection = LogSection()
    webhook: WebhookSection = WebhookSection()

    @property
    def location(self) -> tuple[float, float] | None:
        """Degrees north and east, if given."""
        return (self.node.location[0], self.node.location[1]) if self.node.location else None

    @property
    def rules(self) -> tuple[RoomRule, ...]:
        """Where rooms may be. Raises `BadRegions`."""
        return tuple(RoomRule(match=x.match, regions=parse_regions(x.regions)) for x in self.rooms)

    @property
    def known_scenes(self) -> Scenes:
        """What rooms may be. Raises `BadScene`."""
        return changed(self.scenes)

    @property
    def tcp_port(self) -> int:
        return _offset(self.node.tcp_port, self.node.port, 1)

    @property
    def udp_port(self) -> int:
        return _offset(self.node.udp_port, self.node.port, 2)

    @property
    def mesh_port(self) -> int:
        return _offset(self.node.mesh_port, self.node.port, 3)

    @property
    def turn_port(self) -> int | None:
        """Of the TURN server; None where there is none."""
        chosen = self.turn.enabled
        enabled = not is_loopback(self.node.bind) if chosen is None else chosen
        return _offset(self.turn.port, self.node.port, TURN_OFFSET) if enabled else None

    @property
    def front_port(self) -> int | None:
        """The one TCP port for everything; None where there is none."""
        if self.front.port is None and self.front.certificate:
            return TLS_PORT
        return self.front.port

    @property
    def front_host(self) -> str:
        """The name in the certificate; empty without one."""
        named = self.front.host or (urlsplit(self.node.url).hostname or "")
        return named if self.front.certificate else ""

    def turn_urls(self, port: int, front_port: int) -> tuple[str, ...]:
        """Where clients find TURN if it listens on ``port``, and the front on ``front_port``."""
        plain = f"turn:{_host(self.addresses[0])}:{port}"
        urls = [f"{plain}?transport=udp", f"{plain}?transport=tcp"]
        if front_port and self.front_host:
            urls.append(f"turns:{_host(self.front_host)}:{front_port}?transport=tcp")
        return tuple(urls)

    @property
    def cell_port(self) -> int:
        return _offset(self.cell.port, self.node.port, 3 + MAX_PORT_PAIRS)

    @property
    def addresses(self) -> list[str]:
        return self.node.addresses or [self.node.bind]

    @property
    def url(self) -> str:
        return self.node.url or self.url_at(self.node.port, self.front_port or 0)

    def url_at(self, port: int, front_port: int = 0) -> str:
        """Where clients connect if HTTP listens on ``port`` and the front on ``front_port``."""
        if front_port and self.front_host:
            place = "" if front_port == TLS_PORT else f":{front_port}"
            return f"wss://{_host(self.front_host)}{place}"
        return f"ws://{_host(self.addresses[0])}:{port}"

    def mesh_addresses(self, ports: list[int]) -> list[str]:
        """Where links connect if the mesh has ``ports``."""
        return [f"{_host(self.addresses[0])}:{port}" for port in ports]

    @property
    def cell_directory(self) -> Path | None:
        return Path(self.cell.store) if self.cell.store else None

    @property
    def effective_keys(self) -> dict[str, str]:
        return self.keys or DEVELOPMENT_KEYS


def _offset(port: int | None, base: int, offset: int) -> int:
    if port is not None:
        return port
    return base + offset if base else 0


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def is_loopback(address: str) -> bool:
    """Whether an address or host name is this machine's own loopback."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def read(path: Path) -> Config:
    """The configuration of a file. Raises `ConfigError`."""
    return parse(read_text(path), str(path))


def parse(text: str, name: str) -> Config:
    """The configuration in a text. Raises `ConfigError`."""
    return decode(text, name, Config)


def check(config: Config) -> None:
    """What types can't say. Raises `ConfigError`."""
    node = config.node
    if not 1 <= node.id <= MAX_NODE_ID:
        raise ConfigError(f"node.id is {node.id}: it must be 1 to {MAX_NODE_ID}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", node.region):
        raise ConfigError(
            f"node.region is {node.region!r}: use small letters, digits and hyphens, at most 63"
        )
    for name in ("port", "tcp_port", "udp_port", "mesh_port", "cell_port"):
        port = node.port if name == "port" else getattr(config, name)
        if not 0 <= port <= 65_535:
            raise ConfigError(f"{name} is {port}: a port is 0 to 65535")
    if not 1 <= node.mesh_ports <= MAX_PORT_PAIRS:
        raise ConfigError(f"node.mesh_ports is {node.mesh_ports}: it must be 1 to {MAX_PORT_PAIRS}")
    for address in [node.bind, *node.addresses]:
        _check_address(address)
    _check_ways_through(config)
    for rule in config.rooms:
        if not rule.match:
            raise ConfigError("[[rooms]] has an empty match: give a pattern such as 'kyc-*'")
        try:
            parse_regions(rule.regions)
        except BadRegions as wrong:
            raise ConfigError(f"[[rooms]] for {rule.match!r}: {wrong}") from None
    try:
        changed(config.scenes)
    except BadScene as wrong:
        raise ConfigError(f"[scenes]: {wrong}") from None
    for entry in config.emulation:
        check_emulation(entry)
    _check_mesh(config)
    _check_webhook(config)
    if not config.keys and not is_loopback(node.bind):
        raise ConfigError(
            f"{node.bind} is not loopback and there are no API keys: "
            "add a [keys] table with a key of your own, or bind to 127.0.0.1"
        )
    if ipaddress.ip_address(node.bind).is_unspecified and not node.addresses:
        raise ConfigError(
            f"node.bind is {node.bind}, which nobody can connect to: "
            "set node.addresses to what clients and other nodes shall use"
        )
    if is_loopback(node.bind):
        return
    for key, secret in config.keys.items():
        if secret in DEVELOPMENT_KEYS.values() or len(secret) < SHORTEST_SECRET:
            raise ConfigError(
                f"the secret of API key {key!r} is too short for {node.bind}: "
                f"use {SHORTEST_SECRET} characters or more, for example from `openssl rand -hex 32`"
            )


def _check_mesh(config: Config) -> None:
    place = config.node.location
    if place and (len(place) != 2 or not (abs(place[0]) <= 90 and abs(place[1]) <= 180)):
        raise ConfigError(
            f"node.location is {place}: give degrees north (-90 to 90) and east (-180 to 180), "
            "as in [1.35, 103.82]"
        )
    mesh = config.mesh
    if mesh.protection_share is not None and not 0 <= mesh.protection_share <= 1:
        raise ConfigError(
            f"mesh.protection_share is {mesh.protection_share}, it must be a share from 0 to 1"
        )
    if mesh.protection_kbps is not None and mesh.protection_kbps < 0:
        raise ConfigError(f"mesh.protection_kbps is {mesh.protection_kbps}, it must be 0 or more")
    for link in mesh.links:
        name = f"[[mesh.links]] to {link.to!r}"
        if isinstance(link.to, int) and not 1 <= link.to <= MAX_NODE_ID:
            raise ConfigError(f"{name}: a node is 1 to {MAX_NODE_ID}; a region is a name")
        if link.capacity_kbps is not None and link.capacity_kbps < 1:
            raise ConfigError(
                f"{name}: capacity_kbps is {link.capacity_kbps}, it must be 1 or more"
            )
        if not (math.isfinite(link.price_per_gb) and link.price_per_gb >= 0):
            raise ConfigError(f"{name}: price_per_gb is {link.price_per_gb}, it must be 0 or more")


def _check_webhook(config: Config) -> None:
    hook = config.webhook
    for url in hook.urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"webhook.urls has {url!r}: give http://HOST/PATH or https://HOST/PATH"
            )
    if hook.urls and hook.api_key not in config.effective_keys:
        raise ConfigError(
            f"webhook.api_key is {hook.api_key!r}, which is not in [keys]: name one that is"
        )


def _check_ways_through(config: Config) -> None:
    turn, front = config.turn, config.front
    for name, port in (("turn.port", config.turn_port), ("front.port", config.front_port)):
        if port is not None and not 0 <= port <= 65_535:
            raise ConfigError(f"{name} is {port}: a port is 0 to 65535")
    if turn.ttl_s < 60:
        raise ConfigError(f"turn.ttl_s is {turn.ttl_s}: give 60 or more, a join needs some time")
    for name in ("max_allocations", "max_per_user"):
        if getattr(turn, name) < 1:
            raise ConfigError(f"turn.{name} is {getattr(turn, name)}: it must be 1 or more")
    if turn.secret and len(turn.secret) < SHORTEST_SECRET:
        raise ConfigError(
            f"turn.secret has {len(turn.secret)} characters: give {SHORTEST_SECRET} or more, or "
            "leave it empty"
        )
    if bool(front.certificate) != bool(front.key):
        raise ConfigError(
            "[front] has only one of certificate and key: give the files of both, or neither"
        )
    if front.certificate and not config.front_host:
        raise ConfigError("[front] has a certificate and no host: set front.host to the name in it")


def check_emulation(entry: EmulationSection) -> None:
    """Raises `ConfigError` for a way that can't be."""
    check_weather(entry, f"emulation of node {entry.node}")
    check_pair(entry.pair, f"emulation of node {entry.node}")


def check_pair(pair: int | None, name: str) -> None:
    """Raises `ConfigError` for no port pair."""
    if pair is not None and not 0 <= pair < MAX_PORT_PAIRS:
        raise ConfigError(f"{name}: pair is {pair}, it must be 0 to {MAX_PORT_PAIRS - 1}")


def check_weather(weather: Weather, name: str) -> None:
    """Raises `ConfigError` for a figure no path can have."""
    if not 0 <= weather.loss <= 1:
        raise ConfigError(f"{name}: loss is {weather.loss}, it must be a share from 0 to 1")
    for field in ("delay_ms", "jitter_ms"):
        if not 0 <= getattr(weather, field) <= 10_000:
            raise ConfigError(
                f"{name}: {field} is {getattr(weather, field)}, it must be 0 to 10000"
            )
    if weather.rate_kbps is not None and weather.rate_kbps < 1:
        raise ConfigError(f"{name}: rate_kbps is {weather.rate_kbps}, it must be at least 1")


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(f"{address!r} is not an IP address") from None
