"""A world described: its regions, the long links between them, and a file that may say both.

The schema is in docs/world-file.md.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Literal

import msgspec

from fairlead.lab import regions
from fairlead.lab.regions import Matrix, Region
from fairlead.server.config import Weather
from fairlead.server.toml import ConfigError, decode, read_text

Pair = tuple[str, str]
MAX_REGIONS = 32
LOOPBACK = "127.0.0.1"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class RegionEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A ``[[region]]`` table: a place that is not known by name, or more about one that is."""

    name: str
    label: str = ""
    country: str = ""
    provider: str = ""
    operator: str = ""
    latitude: float | None = None
    longitude: float | None = None
    like: str | None = None
    extra_rtt_ms: float = 0.0
    controller: bool = True
    """Whether its node stands by to compute everybody's routes."""
    relay: bool = True
    """Whether others' media may pass through its node."""


class LinkEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[[link]]`` table: what differs on the link between two regions, both ways."""

    a: str
    b: str
    rtt_ms: float | None = None
    jitter_ms: float = 0.0
    loss: float | str = 0.0
    """A share from 0 to 1, or a text like ``"5%"``."""
    rate_kbps: int | None = None
    cut: bool = False
    risks: list[str] = []
    """What it shares with other links and fails with: a cable, a landing."""
    price_per_gb: float = 0.0
    capacity_kbps: int | None = None
    """What its operator says that it carries each way; nothing is emulated by it."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator of a link knows of it."""

    risks: list[str] = []
    price_per_gb: float = 0.0
    capacity_kbps: int | None = None


class WorldFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    regions: list[str] = []
    links: Literal["all", "none"] = "all"
    """Whether a pair without a ``[[link]]`` table is joined."""
    matrix: str = ""
    """CSV of round trips, relative to the file; the measured one where empty."""
    seed: int = 0
    region: list[RegionEntry] = []
    link: list[LinkEntry] = []


class WorldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A world ready to be started. Each pair stands once, in the order of ``regions``."""

    regions: list[Region]
    links: dict[Pair, Weather]
    terms: dict[Pair, Terms] = {}
    seed: int = 0
    bind: str = LOOPBACK
    """Where its nodes listen; anything but loopback can be reached from other machines."""
    front: int | None = None
    """The one TCP port for everything at the first region's node; with one, every node has TURN."""

    def pair(self, a: str, b: str) -> Pair:
        """The pair in the order of the world. Raises `ConfigError` for what is no pair of it."""
        names = [region.name for region in self.regions]
        for name in (a, b):
            if name not in names:
                raise ConfigError(
                    f"there is no region {name!r} in this world; it has {', '.join(names)}"
                )
        if a == b:
            raise ConfigError(f"{a!r} has no link to itself: name two regions")
        return (a, b) if names.index(a) < names.index(b) else (b, a)


def from_names(names: list[str]) -> WorldSpec:
    """A full mesh of regions known by name. Raises `ConfigError`."""
    return resolve(WorldFile(regions=names), regions.measured(), "--regions")


def from_file(path: Path, names: list[str] | None = None) -> WorldSpec:
    """The world of a file; ``names`` leaves only these of its regions. Raises `ConfigError`."""
    file = decode(read_text(path), str(path), WorldFile)
    try:
        matrix = (
            regions.matrix_from(path.parent / file.matrix) if file.matrix else regions.measured()
        )
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path}: matrix: {error}") from None
    if names:
        chosen = set(names)
        file = msgspec.structs.replace(
            file,
            regions=names,
            link=[link for link in file.link if {link.a, link.b} <= chosen],
        )
    return resolve(file, matrix, str(path))


def resolve(file: WorldFile, matrix: Matrix, source: str) -> WorldSpec:
    """Look up every region and every link. Raises `ConfigError` naming ``source``."""
    entries = {entry.name: entry for entry in file.region}
    names = file.regions or list(entries)
    if not 1 <= len(names) <= MAX_REGIONS:
        raise ConfigError(f"{source} names {len(names)} regions: a world has 1 to {MAX_REGIONS}")
    places = [_place(name, entries.get(name), matrix, source) for name in names]
    repeated = {place.name for place in places if [p.name for p in places].count(place.name) > 1}
    if repeated:
        raise ConfigError(f"{source} names region {min(repeated)!r} twice")
    spec = WorldSpec(regions=places, links={}, terms={}, seed=file.seed)
    said = {}
    for link in file.link:
        try:
            said[spec.pair(_short(link.a), _short(link.b))] = link
        except ConfigError as error:
            raise ConfigError(f"{source}: [[link]]: {error}") from None
    spec.links.update(
        {
            (a.name, b.name): _weather(a, b, said.get((a.name, b.name)), file, matrix, source)
            for a, b in itertools.combinations(places, 2)
        }
    )
    spec.terms.update({pair: terms for pair, link in said.items() if (terms := _terms(link))})
    return spec


def _terms(link: LinkEntry) -> Terms | None:
    terms = Terms(
        risks=link.risks, price_per_gb=link.price_per_gb, capacity_kbps=link.capacity_kbps
    )
    return None if terms == Terms() else terms


def _short(name: str) -> str:
    place = regions.known(name)
    return place.name if place else name


def _place(name: str, entry: RegionEntry | None, matrix: Matrix, source: str) -> Region:
    base = regions.known(name)
    if entry is not None:
        known = msgspec.structs.asdict(base) if base else {}
        place = Region(**{**known, **msgspec.to_builtins(entry)})
    elif base is not None:
        place = base
    elif name in matrix and _NAME.fullmatch(name):
        place = Region(name=name)
    else:
        close = ", ".join(sorted(regions.KNOWN))
        raise ConfigError(f"{source}: there is no region {name!r}; known are {close}")
    if not _NAME.fullmatch(place.name):
        raise ConfigError(
            f"{source}: region name {place.name!r} must be small letters, digits and hyphens"
        )
    return place if place.label else msgspec.structs.replace(place, label=place.name.title())


def _weather(
    a: Region, b: Region, link: LinkEntry | None, file: WorldFile, matrix: Matrix, source: str
) -> Weather:
    rtt = link.rtt_ms if link and link.rtt_ms is not None else matrix.rtt_ms(a, b)
    if rtt is None and link is None and file.links == "none":
        return Weather(cut=True)
    if rtt is None:
        raise ConfigError(
            f"{source}: no round trip is known between {a.name} and {b.name}: "
            'add [[link]] with rtt_ms, or give one region like = "frankfurt"'
        )
    if not 0 <= rtt <= 20_000:
        raise ConfigError(
            f"{source}: rtt_ms between {a.name} and {b.name} is {rtt}, it must be 0 to 20000"
        )
    delay_ms = round(rtt / 2, 3)
    if link is None:
        return Weather(delay_ms=delay_ms, cut=file.links == "none")
    try:
        loss = share(link.loss)
    except ValueError as error:
        raise ConfigError(f"{source}: link {a.name}-{b.name}: loss: {error}") from None
    return Weather(
        delay_ms=delay_ms,
        jitter_ms=link.jitter_ms,
        loss=loss,
        rate_kbps=link.rate_kbps,
        cut=link.cut,
    )


def share(value: float | str) -> float:
    """``0.05`` or ``"5%"`` as a share from 0 to 1. Raises ValueError."""
    try:
        if isinstance(value, str) and value.strip().endswith("%"):
            number = float(value.strip()[:-1]) / 100
        else:
            number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a share: write 5% or 0.05") from None
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is not a share: it must be 0% to 100%")
    return number
