"""A field test described: how people are connected, what happens to it, and what must hold.

A scenario is data: a TOML file (docs/field-lab.md has the keys). Figures are of one direction of
an access network; ``up`` is from the person under test to the network, ``down`` towards them.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from fairlead.lab import regions
from fairlead.lab.field import voice
from fairlead.lab.worldfile import share
from fairlead.server.toml import ConfigError, decode, read_text

Way = Literal["up", "down"]
Pictures = Literal["none", "up", "down", "both"]
Client = Literal["sdk", "chromium"]
WAYS: tuple[Way, Way] = ("up", "down")
SHORTEST_S, LONGEST_S = 8.0, 300.0
MAX_ACCESSES, MAX_REGIONS = 4, 5
MOST_SLOWDOWN = 20.0
MOST_DOWNLOADS = 16
MOST_BESIDE = 3
"""Further calls: each takes a good part of a processor."""
LONGEST_DELAY_MS = 1000.0
OF_ACCESSES = (
    "burst",
    "outage_every_ms",
    "outage_ms",
    "queue_ms",
    "hold",
    "present",
    "codel",
    "cross_kbps",
    "cross_downloads",
    "rebind",
)
"""What does not happen to a link."""
OF_PICTURES = ("fairness", "fps", "stall_s", "frames_back_s", "picture_back_s")
"""The limits that need any."""


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an access network does to packets; a key that is absent stays as it was."""

    delay_ms: float | None = None
    """One way."""
    jitter_ms: float | None = None
    """At most so much more or less."""
    loss: float | str | None = None
    """A share from 0 to 1, or a text like ``"30%"``."""
    burst: float | None = None
    """Packets lost in a row, mean."""
    outage_every_ms: float | None = None
    """Good times between short outages, mean; 0 ends them."""
    outage_ms: float | None = None
    """How long those last, mean; nine packets of ten are lost in them."""
    rate_kbps: int | None = None
    """0 lifts the limit."""
    queue_ms: float | None = None
    """How long a packet may wait for the rate; what would wait longer is dropped."""
    cut: bool | None = None
    """Everything vanishes."""
    hold: bool | None = None
    """Everything waits, and floods out when it ends, as from a base station."""
    codel: bool | None = None
    """CoDel minds the queue before the rate (RFC 8289)."""
    cross_kbps: int | None = None
    """Others' paced stream through the same rate."""
    cross_downloads: int | None = None
    """Others' downloads through the same rate; they behave as TCP's."""


class Access(Change, frozen=True, kw_only=True):
    """A network that the person's device is on: an interface of its own."""

    present: bool = True
    """Whether the device is on it when the call starts; the first one that is carries it."""
    trace: str = ""
    """Path, relative to the scenario's file, of a trace that gives the rate down: mahimahi's, a
    packet of 1,500 bytes at the millisecond that each line names, or rates (docs/field-lab.md)."""
    trace_up: str = ""
    """The same for the rate up."""
    udp: bool = True
    """Whether UDP passes; else it vanishes, as in many offices."""
    tcp_ports: list[int] | None = None
    """The only ports of servers that TCP reaches; any where absent."""
    up: Change = Change()
    """What differs on the way up."""
    down: Change = Change()


class Event(Change, frozen=True, kw_only=True):
    """Something that happens to an access network, or to a link between two regions."""

    at: float
    """Seconds after both hear each other."""
    access: str = ""
    link: list[str] = []
    """Two regions, in place of an access."""
    way: Literal["up", "down", "both"] = "both"
    present: bool | None = None
    """The interface appears, or goes with its address."""
    rebind: bool | None = None
    """The NAT gives every UDP flow another port; true."""


class Beside(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further call: somebody else behind the same networks, and a person elsewhere, in a room of
    their own, who show each other what those of the first call do. Both have the SDK."""

    at: float = 0.0
    """When they join, seconds after the first two hear each other."""
    delay_ms: float = 0.0
    """One way, between this person and the networks, which all share."""
    paused: list[float] = []
    """From when until when they show no pictures; two moments."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a listener may suffer at most; an absent key is not judged."""

    swallowed: float | str | None = None
    """Share of the words."""
    longest_s: float | None = None
    """The longest stretch of speech that was swallowed."""
    concealed: float | str | None = None
    """Share of the sound that the client made up."""
    delay_ms: float | None = None
    """Mouth to ear, median of the last 5 s over the median before the first event."""
    listening: float | None = None
    """ViSQOL's opinion after the first event, or throughout: at least so good. Not judged where
    ViSQOL is not installed."""
    fairness: float | None = None
    """Jain's index of the rates at which the pictures of all calls come, once all are there: at
    least so much; 1 where all are the same."""
    fps: float | None = None
    """Pictures a second: at least so many, unlike most others here."""
    stall_s: float | None = None
    """All times together of over half a second without a new picture."""
    frames_back_s: float | None = None
    """From any event until pictures flow again."""
    picture_back_s: float | None = None
    """From the last event until the picture is as wide and as quick as before the first."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By direction: what goes ``up`` is heard by the other person, what goes ``down`` by this."""

    up: Bounds = Bounds()
    down: Bounds = Bounds()


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field test."""

    summary: str
    origin: str = ""
    """Where its figures are from."""
    seconds: float
    """From the moment at which both hear each other."""
    regions: list[str] = msgspec.field(default_factory=lambda: ["singapore"])
    """The person under test is at the first, the other one at the last; one name puts both at one
    edge. Others between are there to be ways round."""
    scene: str = ""
    """The scene that the room is opened with; ours takes its budgets from it."""
    client: Client = "sdk"
    """Of the person under test: LiveKit's Python SDK, or its npm client in Chromium."""
    slowdown: float = 1.0
    """So many times slower than this machine their page runs, as on a cheap phone; Chromium's
    throttle slows its main thread alone, not its codecs."""
    watchdog: bool = False
    """Whether their page uses the watchdog for web apps (`web/watchdog`)."""
    voice: str = voice.COUNT
    """What both say: ``count`` is tones that count, any other a language (`speech.toml`)."""
    pictures: Pictures = "both"
    """Who shows any: ``up`` is the person under test."""
    judged_from: float = 0.0
    """What was before this second is shown and not judged: the networks may settle."""
    access: dict[str, Access]
    event: list[Event] = []
    beside: list[Beside] = []
    limits: Limits = Limits()
    name: str = ""
    """Of its file."""

    @property
    def only_port(self) -> int | None:
        """The port at which the person under test must join, where its networks allow no other."""
        ports = [access.tcp_ports for access in self.access.values() if access.present]
        return ports[0][0] if ports and ports[0] else None

    @property
    def first_event(self) -> float:
        """When something happens first, or a further call begins; the end if nothing does."""
        moments = [*(event.at for event in self.event), *(call.at for call in self.beside)]
        return min(moments, default=self.seconds)

    def shows(self, way: Way) -> bool:
        """Whether pictures go this way."""
        return self.pictures in (way, "both")


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of an access network at one moment, as the emulator takes it."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    outage_every_ms: float | None = None
    outage_ms: float | None = None
    rate_kbps: int | None = None
    queue_ms: float | None = None
    cut: bool = False
    hold: bool = False
    codel: bool = False
    cross_kbps: int = 0
    cross_downloads: int = 0

    def changed(self, change: Change) -> Weather:
        """After a change. Raises `ConfigError` for a share that is none."""
        fields = {
            name: value
            for name in Change.__struct_fields__
            if (value := getattr(change, name)) is not None
        }
        if "loss" in fields:
            fields["loss"] = portion("loss", fields["loss"])
        for name in ("rate_kbps", "outage_every_ms"):
            if fields.get(name) == 0:
                fields[name] = None
        return msgspec.structs.replace(self, **fields)


def shipped() -> dict[str, Scenario]:
    """The scenarios that come with Fairlead, by name."""
    folder = resources.files("fairlead.lab.field").joinpath("scenarios")
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    return {
        (name := file.name.removesuffix(".toml")): parse(file.read_text("utf-8"), name)
        for file in files
    }


def find(name: str) -> Scenario:
    """A shipped scenario by name, or one of the user's by the path of its file. Raises
    `ConfigError`."""
    if name.endswith(".toml"):
        path = Path(name)
        return _beside(path, parse(read_text(path), path.stem, str(path)))
    known = shipped()
    if name not in known:
        raise ConfigError(f"there is no scenario {name!r}; there are {', '.join(known)}")
    return known[name]


def _beside(path: Path, scenario: Scenario) -> Scenario:
    """With traces found where the scenario's file is."""
    found = {
        name: msgspec.structs.replace(
            access,
            trace=access.trace and str(path.parent / access.trace),
            trace_up=access.trace_up and str(path.parent / access.trace_up),
        )
        for name, access in scenario.access.items()
    }
    return msgspec.structs.replace(scenario, access=found)


def parse(text: str, name: str, where: str = "") -> Scenario:
    """A scenario from its text. Raises `ConfigError`: what is wrong, and what is allowed."""
    where = where or f"scenario {name}"
    scenario = msgspec.structs.replace(decode(text, where, Scenario), name=name)
    try:
        _check(scenario)
    except ConfigError as wrong:
        raise ConfigError(f"{where}: {wrong}") from None
    return scenario


def portion(key: str, value: float | str) -> float:
    """A share. Raises `ConfigError`."""
    try:
        return share(value)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def _check(scenario: Scenario) -> None:
    if not SHORTEST_S <= scenario.seconds <= LONGEST_S:
        raise ConfigError(
            f"seconds is {scenario.seconds:g}: give {SHORTEST_S:.0f} to {LONGEST_S:.0f}"
        )
    if not 1 <= scenario.slowdown <= MOST_SLOWDOWN:
        raise ConfigError(f"slowdown is {scenario.slowdown:g}: give 1 to {MOST_SLOWDOWN:.0f}")
    for key, given in (("slowdown", scenario.slowdown > 1), ("watchdog", scenario.watchdog)):
        if given and scenario.client != "chromium":
            raise ConfigError(f'{key} is for a browser: set client = "chromium" beside it')
    if not 0 <= scenario.judged_from <= scenario.seconds - SHORTEST_S / 2:
        raise ConfigError(
            f"judged_from is {scenario.judged_from:g}: leave {SHORTEST_S / 2:.0f} s at least"
            f" of the {scenario.seconds:g} s"
        )
    if scenario.voice not in voice.names():
        raise ConfigError(
            f"there is no voice {scenario.voice!r}; there are {', '.join(voice.names())}"
        )
    if not 1 <= len(scenario.regions) <= MAX_REGIONS:
        raise ConfigError(f"regions has {len(scenario.regions)} names: give 1 to {MAX_REGIONS}")
    for region in scenario.regions:
        if regions.known(region) is None:
            raise ConfigError(f"there is no region {region!r}: `fairlead world` knows the names")
    if not 1 <= len(scenario.access) <= MAX_ACCESSES:
        raise ConfigError(f"access has {len(scenario.access)} tables: give 1 to {MAX_ACCESSES}")
    if not any(access.present for access in scenario.access.values()):
        raise ConfigError("no access is present at the start: leave present out of one")
    for name, access in scenario.access.items():
        if not (name.isalnum() and name.islower() and len(name) <= 8):
            raise ConfigError(f"access {name!r}: give a name of up to 8 small letters and digits")
        for change in (access, access.up, access.down):
            _possible(f"access.{name}", change)
        for port in access.tcp_ports or []:
            if not 1 <= port <= 65_535:
                raise ConfigError(f"access.{name}.tcp_ports has {port}: a port is 1 to 65535")
    for event in scenario.event:
        _happens(scenario, event)
    _beside_it(scenario)
    for name, access in scenario.access.items():
        for way in WAYS:
            _narrow(scenario, name, access, way)
    for way in WAYS:
        bounds: Bounds = getattr(scenario.limits, way)
        for key in ("swallowed", "concealed"):
            if (value := getattr(bounds, key)) is not None:
                portion(f"limits.{way}.{key}", value)
        _bounds(scenario, way, bounds)


def _happens(scenario: Scenario, event: Event) -> None:
    where = f"the event at {event.at:g} s"
    if event.link:
        _of_link(scenario, event, where)
    elif event.access not in scenario.access:
        raise ConfigError(
            f"an event is for access {event.access!r}; there are {', '.join(scenario.access)}"
        )
    if not 0 <= event.at <= scenario.seconds:
        raise ConfigError(
            f"an event is at {event.at:g} s: give a moment within the {scenario.seconds:g} s"
        )
    _possible(where, event)


def _beside_it(scenario: Scenario) -> None:
    if len(scenario.beside) > MOST_BESIDE:
        raise ConfigError(f"beside has {len(scenario.beside)} calls: give up to {MOST_BESIDE}")
    latest = scenario.seconds - SHORTEST_S
    for one in scenario.beside:
        if not 0 <= one.at <= latest:
            raise ConfigError(f"a call beside begins at {one.at:g} s: give 0 to {latest:g}")
        if not 0 <= one.delay_ms <= LONGEST_DELAY_MS:
            raise ConfigError(
                f"a call beside has a delay_ms of {one.delay_ms:g}: give 0 to {LONGEST_DELAY_MS:g}"
            )
        if one.paused and not (
            len(one.paused) == 2 and one.at < one.paused[0] < one.paused[1] <= scenario.seconds
        ):
            raise ConfigError(
                f"a call beside is paused at {one.paused}: give two moments, the second later, "
                f"after {one.at:g} s and within the {scenario.seconds:g} s"
            )


def _narrow(scenario: Scenario, name: str, access: Access, way: Way) -> None:
    """Others can only share what is limited."""
    weather = Weather().changed(access).changed(getattr(access, way))
    traced = bool(access.trace if way == "down" else access.trace_up)
    moments = [("at the start", weather)]
    for event in sorted(scenario.event, key=lambda event: event.at):
        if event.access == name and event.way in (way, "both"):
            weather = weather.changed(event)
            moments.append((f"at {event.at:g} s", weather))
    for when, now in moments:
        if (now.cross_kbps or now.cross_downloads) and now.rate_kbps is None and not traced:
            raise ConfigError(
                f"access {name} has no rate_kbps {way} {when}, which others could share: set one, "
                "or cross_kbps and cross_downloads to 0"
            )


def _of_link(scenario: Scenario, event: Event, where: str) -> None:
    if event.access:
        raise ConfigError(f"{where} names an access and a link: make two events of it")
    if len(set(event.link)) != 2 or not set(event.link) <= set(scenario.regions):
        raise ConfigError(
            f"{where}: link is {event.link}: give two of the regions {', '.join(scenario.regions)}"
        )
    for name in OF_ACCESSES:
        if getattr(event, name) is not None:
            raise ConfigError(f"{where}: a link has no {name}: leave it out")
    if event.way != "both":
        raise ConfigError(f"{where}: a link changes both ways: leave way out")


def _bounds(scenario: Scenario, way: Way, bounds: Bounds) -> None:
    for key in Bounds.__struct_fields__:
        value = getattr(bounds, key)
        if isinstance(value, (int, float)) and value < 0:
            raise ConfigError(f"limits.{way}.{key} is {value:g}: give 0 or more")
    if bounds.listening is not None and scenario.voice == voice.COUNT:
        raise ConfigError(
            f"limits.{way}.listening needs somebody who speaks: set voice to one of"
            f" {', '.join(voice.names()[1:])}"
        )
    if bounds.fairness is not None and not scenario.beside:
        raise ConfigError(f"limits.{way}.fairness needs further calls: give some [[beside]]")
    asked = [key for key in OF_PICTURES if getattr(bounds, key) is not None]
    if asked and not scenario.shows(way):
        raise ConfigError(
            f"limits.{way}.{asked[0]} needs pictures that go {way}: pictures is"
            f" {scenario.pictures!r}"
        )


def _possible(where: str, change: Change) -> None:
    if change.loss is not None:
        portion(f"{where}: loss", change.loss)
    if change.burst is not None and change.burst < 1:
        raise ConfigError(f"{where}: burst is {change.burst:g}: give 1 or more packets")
    for name in Change.__struct_fields__:
        value = getattr(change, name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            raise ConfigError(f"{where}: {name} is {value:g}: give 0 or more")
    if (change.cross_downloads or 0) > MOST_DOWNLOADS:
        raise ConfigError(
            f"{where}: cross_downloads is {change.cross_downloads}: give up to {MOST_DOWNLOADS}"
        )
    if (change.outage_every_ms or 0) > 0 and change.outage_ms is None:
        raise ConfigError(f"{where}: outage_every_ms has no outage_ms beside it: say how long")
