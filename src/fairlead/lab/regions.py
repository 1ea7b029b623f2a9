"""The regions that a world can have by name, and the measured round trips between them.

The matrix is `data/rtt.csv` (public inter-region measurements, MIT licence beside it). Jakarta is
not in it: its row is derived, Singapore's plus 15 ms.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec

DEFAULT = ("jakarta", "singapore", "frankfurt", "virginia", "saopaulo")
SAME_PLACE_RTT_MS = 1.0


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A place. ``like`` and ``extra_rtt_ms`` derive its round trips from another region's."""

    name: str
    label: str = ""
    country: str = ""
    """ISO 3166, two letters."""
    provider: str = ""
    operator: str = ""
    latitude: float | None = None
    longitude: float | None = None
    like: str | None = None
    extra_rtt_ms: float = 0.0
    controller: bool = True
    relay: bool = True


def _region(name: str, label: str, country: str, latitude: float, longitude: float) -> Region:
    return Region(name=name, label=label, country=country, latitude=latitude, longitude=longitude)


COLUMNS: Mapping[str, Region] = {
    "af-south-1": _region("capetown", "Cape Town", "ZA", -33.92, 18.42),
    "ap-east-1": _region("hongkong", "Hong Kong", "HK", 22.32, 114.17),
    "ap-northeast-1": _region("tokyo", "Tokyo", "JP", 35.68, 139.69),
    "ap-northeast-2": _region("seoul", "Seoul", "KR", 37.57, 126.98),
    "ap-northeast-3": _region("osaka", "Osaka", "JP", 34.69, 135.50),
    "ap-south-1": _region("mumbai", "Mumbai", "IN", 19.08, 72.88),
    "ap-southeast-1": _region("singapore", "Singapore", "SG", 1.35, 103.82),
    "ap-southeast-2": _region("sydney", "Sydney", "AU", -33.87, 151.21),
    "ca-central-1": _region("montreal", "Montréal", "CA", 45.50, -73.57),
    "eu-central-1": _region("frankfurt", "Frankfurt", "DE", 50.11, 8.68),
    "eu-north-1": _region("stockholm", "Stockholm", "SE", 59.33, 18.07),
    "eu-south-1": _region("milan", "Milan", "IT", 45.46, 9.19),
    "eu-west-1": _region("dublin", "Dublin", "IE", 53.35, -6.26),
    "eu-west-2": _region("london", "London", "GB", 51.51, -0.13),
    "eu-west-3": _region("paris", "Paris", "FR", 48.86, 2.35),
    "me-south-1": _region("bahrain", "Bahrain", "BH", 26.07, 50.55),
    "sa-east-1": _region("saopaulo", "São Paulo", "BR", -23.55, -46.63),
    "us-east-1": _region("virginia", "Virginia", "US", 38.95, -77.45),
    "us-east-2": _region("ohio", "Ohio", "US", 39.96, -83.00),
    "us-west-1": _region("california", "California", "US", 37.35, -121.95),
    "us-west-2": _region("oregon", "Oregon", "US", 45.84, -119.70),
}
DERIVED = (
    Region(
        name="jakarta",
        label="Jakarta",
        country="ID",
        latitude=-6.21,
        longitude=106.85,
        like="singapore",
        extra_rtt_ms=15.0,
    ),
)
KNOWN: Mapping[str, Region] = {region.name: region for region in (*COLUMNS.values(), *DERIVED)}


def known(name: str) -> Region | None:
    """The region of a short name (``frankfurt``) or a slug (``eu-central-1``)."""
    return KNOWN.get(name) or COLUMNS.get(name)


class Matrix:
    """Round trips between places in milliseconds; the two ways of a pair are averaged."""

    def __init__(self, rows: Mapping[str, Mapping[str, float]]) -> None:
        self._rows = rows

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def rtt_ms(self, a: Region, b: Region) -> float | None:
        """The round trip between two regions, derived ones included; None if unknown."""
        extra = 0.0
        names = []
        for region in (a, b):
            if region.name in self._rows:
                names.append(region.name)
            elif region.like is not None:
                names.append(region.like)
                extra += region.extra_rtt_ms
            else:
                return None
        there = self._rows.get(names[0], {}).get(names[1])
        back = self._rows.get(names[1], {}).get(names[0])
        ways = [way for way in (there, back) if way is not None]
        if not ways:
            return SAME_PLACE_RTT_MS + extra if names[0] == names[1] else None
        return sum(ways) / len(ways) + extra


def read_matrix(text: str) -> Matrix:
    """A matrix from CSV: names in the first row and column, round trips in ms between them.

    Names may end in an AWS slug, as in `data/rtt.csv`. Raises ValueError with line and column.
    """
    lines = list(csv.reader(text.splitlines()))
    if not lines:
        raise ValueError("the matrix is empty: its first row must name the regions")
    header = [_matrix_name(cell) for cell in lines[0][1:]]
    rows: dict[str, dict[str, float]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header) + 1:
            raise ValueError(
                f"line {number} has {len(line)} cells, the first has {len(header) + 1}"
            )
        row = rows.setdefault(_matrix_name(line[0]), {})
        for name, cell in zip(header, line[1:], strict=True):
            if not cell.strip():
                continue
            try:
                row[name] = float(cell)
            except ValueError:
                raise ValueError(f"line {number}, {name}: {cell!r} is not a number of ms") from None
    return Matrix(rows)


def _matrix_name(cell: str) -> str:
    region = COLUMNS.get(cell.strip().rsplit(" ", 1)[-1])
    return region.name if region else cell.strip()


def matrix_from(path: Path) -> Matrix:
    """The matrix of a file. Raises ValueError, OSError."""
    try:
        return read_matrix(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@functools.cache
def measured() -> Matrix:
    """The matrix that ships with Fairlead."""
    return read_matrix(
        resources.files("fairlead.lab").joinpath("data/rtt.csv").read_text("utf-8-sig")
    )
