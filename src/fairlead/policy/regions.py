"""Where a room's media may be: sets of regions, asked for by the app and by the operator.

A set of no names is everywhere. Sets only ever meet by intersection, and an empty intersection is
`NOWHERE`, which is a set of its own: nothing falls back to everywhere.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from fairlead.policy.metadata import KEY, BadMetadata, ours

MAX_REGIONS = 64
"""Names in one set."""

RegionSet = frozenset[str]
EVERYWHERE: RegionSet = frozenset()
NOWHERE: RegionSet = frozenset({"-"})
"""No region has such a name, so no node is within it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class BadRegions(ValueError):
    """A set that can't be read; its text is one plain sentence without an end."""


class RoomRule(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator allows the rooms whose names match."""

    match: str
    """A pattern of names with ``*``, ``?`` and ``[...]``; case counts."""
    regions: RegionSet


def parse(names: object) -> RegionSet:
    """A set from what JSON or TOML holds: a list of one name or more. Raises `BadRegions`."""
    if not isinstance(names, list):
        raise BadRegions("regions must be a list of region names")
    if not names:
        raise BadRegions("regions is empty: name a region, or leave regions out for everywhere")
    if len(names) > MAX_REGIONS:
        raise BadRegions(f"regions has {len(names)} names: {MAX_REGIONS} are allowed")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            shown = repr(name) if len(repr(name)) <= 80 else repr(name)[:77] + "..."
            raise BadRegions(
                f"regions has {shown}, which is no region: "
                "use small letters, digits and hyphens, at most 63"
            )
    return frozenset(names)


def from_metadata(metadata: str) -> RegionSet:
    """The set that a room's metadata asks for: ``{"fairlead": {"regions": ["jakarta"]}}``.

    Metadata that does not speak of us is the app's own and asks for nothing. Raises `BadRegions`
    for what speaks of us and can't be understood: a room must not run wider than it was meant.
    """
    try:
        said = ours(metadata)
    except BadMetadata as wrong:
        raise BadRegions(str(wrong)) from None
    if "regions" not in said:
        return EVERYWHERE
    try:
        return parse(said["regions"])
    except BadRegions as wrong:
        raise BadRegions(f"the room metadata's {KEY}.{wrong}") from None


def intersect(*sets: RegionSet) -> RegionSet:
    """What every one of the sets allows; `NOWHERE` if that is nothing."""
    result = EVERYWHERE
    for one in sets:
        if one:
            result = (result & one or NOWHERE) if result else one
    return result


def ruled(rules: Iterable[RoomRule], room: str) -> RegionSet:
    """What the operator's rules allow a room: all that match hold."""
    return intersect(*(rule.regions for rule in rules if fnmatch.fnmatchcase(room, rule.match)))


def allows(regions: Iterable[str], region: str) -> bool:
    """Whether a set has a region within it."""
    names = frozenset(regions)
    return not names or region in names


def within(inner: RegionSet, outer: RegionSet) -> bool:
    """Whether whatever ``inner`` allows, ``outer`` allows as well."""
    return not outer or inner == NOWHERE or (bool(inner) and inner <= outer)


def region_tag(regions: Iterable[str]) -> int:
    """The tag of a set in frames: 1 to 2**32 - 1, 0 for everywhere.

    A hash, so that nobody has to hand out numbers. Two sets may share a tag: `policies` then lets
    their frames only where both allow.
    """
    names = sorted(set(regions))
    if not names:
        return 0
    digest = hashlib.blake2b(digest_size=4, person=b"fairlead-regions")
    for name in names:
        raw = name.encode(errors="surrogatepass")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return int.from_bytes(digest.digest(), "big") or 1


def policies(
    sets: Iterable[Iterable[str]], region_of: Mapping[int, str]
) -> dict[int, frozenset[int]]:
    """The nodes allowed under the tag of each set; ``region_of`` says where each node is.

    A node whose region is empty (nobody said it) is within no set. Everywhere has no entry.
    """
    result: dict[int, frozenset[int]] = {}
    for regions in sets:
        names = frozenset(regions)
        if not names:
            continue
        tag = region_tag(names)
        nodes = frozenset(node for node, region in region_of.items() if region and region in names)
        result[tag] = result[tag] & nodes if tag in result else nodes
    return result


def outside(room: str, regions: RegionSet, here: str, known: Iterable[str] | None = None) -> str:
    """Why an edge in ``here`` may not serve a room, as a sentence without an end. ``known``: the
    regions that have an edge."""
    if regions == NOWHERE:
        return (
            f"room {room!r} may be nowhere: what is asked for it and what the operator allows "
            "have no region in common"
        )
    where = f"room {room!r} may only be in {describe(regions)}"
    if known is not None and regions.isdisjoint(known):
        return f"{where}, where no edge is known, and this edge is in {here}"
    return f"{where}, and this edge is in {here}: use an edge there"


def too_wide(room: str, regions: RegionSet) -> str:
    """Why a room that is open is not the one that is asked for."""
    where = f"in {describe(regions)}" if regions else "everywhere"
    return (
        f"room {room!r} is open already and may be {where}, which is more than asked for: "
        "narrow it with UpdateRoomMetadata, or delete it first"
    )


def describe(regions: Iterable[str]) -> str:
    """A set in words: ``jakarta and singapore``."""
    names = sorted(set(regions))
    if not names:
        return "everywhere"
    if frozenset(names) == NOWHERE:
        return "nowhere"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
