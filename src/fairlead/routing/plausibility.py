"""Measurements that can't be true attract nothing.

A round trip is refused if light in glass (200 km/ms) could not make it, or if for most other nodes
k the round trips a-k and b-k differ by more than a-b allows (the test that took 56 impossible
entries out of the WonderProxy matrix). The second test is for what one end alone says: where both
measure the same, it would refuse the near relay of a node whose far links are bad, which is just
the one that is needed. Of two ends that differ the longer counts, so a liar only harms itself.

A link refused is not lost: it stays the last resort, at `REFUSED_RTT_MS`, since it may be a
location that is wrong and not the link.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from fairlead.routing.links import Figures, Flags, Matrix

GLASS_KM_PER_MS = 200.0
EARTH_KM = 6371.0
NEAR_KM = 100.0
"""Locations are of towns, not of machines: so much nearer may two nodes be."""
SLACK_MS = 15.0
"""What a-k and b-k may differ by beyond a-b."""
FEWEST = 3
"""Other nodes that must speak before they can contradict."""
REFUSED_RTT_MS = 2000.0
"""What a link whose measurement is refused counts as."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement that is not believed, ``a`` the node that most such doubts point to."""

    a: int
    b: int
    rtt_ms: float
    reason: str
    """``light``, ``contradicted`` or ``ends_differ``."""
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips as they may be used, and what was wrong with them."""

    rtt: Matrix
    refused: Flags
    doubts: list[Doubt]


def distances(order: tuple[int, ...], places: Mapping[int, tuple[float, float]]) -> Matrix:
    """Great-circle distances in km; nan where a location isn't known."""
    where = np.radians(np.array([places.get(node, (np.nan, np.nan)) for node in order]))
    latitude, longitude = where.reshape(-1, 2).T
    haversine = (
        np.sin((latitude[:, None] - latitude) / 2) ** 2
        + np.cos(latitude[:, None])
        * np.cos(latitude)
        * np.sin((longitude[:, None] - longitude) / 2) ** 2
    )
    km: Matrix = 2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0)))
    return km


def judge(figures: Figures, km: Matrix, names: Mapping[int, str]) -> Verdict:
    """Refuse what can't be; ``names`` are for the sentences."""
    least = 2.0 * np.maximum(km - NEAR_KM, 0.0) / GLASS_KM_PER_MS
    known = np.isfinite(figures.rtt)
    with np.errstate(invalid="ignore"):
        light = known & (figures.rtt < least)
    against = known & ~light & ~figures.agreed
    if against.any():  # mostly none is: the test is the dearest part of all this
        against &= contradicted(np.where(light, np.inf, figures.rtt))
    refused = light | against
    rtt = np.where(refused, REFUSED_RTT_MS, figures.rtt)
    doubts = _doubts(figures, light, against, km, names)
    return Verdict(rtt=rtt, refused=refused, doubts=doubts)


def contradicted(rtt: Matrix) -> Flags:
    """Links whose round trip most other nodes contradict."""
    size = len(rtt)
    known = np.isfinite(rtt)
    plain = np.where(known, rtt, 0.0).astype(np.float32)
    against = np.zeros(rtt.shape, dtype=bool)
    for a in range(size):
        both = known[a][None, :] & known  # b, k
        apart = np.abs(plain[a][None, :] - plain) > (plain[a] + SLACK_MS)[:, None]
        speak = both.sum(axis=1)
        contradict = (apart & both).sum(axis=1)
        against[a] = known[a] & (speak >= FEWEST) & (2 * contradict > speak)
    return against


def _doubts(
    figures: Figures, light: Flags, against: Flags, km: Matrix, names: Mapping[int, str]
) -> list[Doubt]:
    wrong = light | against | figures.contradicted
    if not wrong.any():
        return []
    wrong |= wrong.T
    often = wrong.sum(axis=1)
    doubts: list[Doubt] = []
    for i, j in zip(*np.nonzero(np.triu(wrong)), strict=True):
        a, b = (i, j) if often[i] >= often[j] else (j, i)
        rtt = float(min(figures.rtt[i, j], figures.rtt[j, i]))
        said = f"{names[figures.order[a]]} and {names[figures.order[b]]}"
        if light[i, j] or light[j, i]:
            reason = "light"
            text = f"{km[i, j]:.0f} km apart, {rtt:.1f} ms are faster than light in glass"
        elif against[i, j] or against[j, i]:
            reason = "contradicted"
            text = f"most other nodes contradict the {rtt:.1f} ms between them"
        else:
            reason = "ends_differ"
            text = "the two ends measure very different round trips, so the longer counts"
        doubts.append(
            Doubt(
                a=figures.order[a],
                b=figures.order[b],
                rtt_ms=rtt,
                reason=reason,
                sentence=f"{said}: {text}.",
            )
        )
    return doubts
