"""What a viewer saw, held against what was shown: pictures, stalls, freezes, sizes, delay.

A picture counts when it could be read and is newer than all that were seen before it. A *stall* is
a time of over half a second without such a picture, the open end of a run included; it is what
people feel. The freezes that browsers and vendors count stand beside it (lab.md section 3.2): they
disagree, and W3C's misses what has not ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np

from fairlead.lab.field import pictures
from fairlead.lab.field.people import PictureSample, Seen, Told

STALL_S = 0.5
"""From so long a gap on it is a stall; also a freeze by Agora's definition."""
W3C_MEMORY = 30
"""Gaps of which W3C's freeze takes the mean (webrtc-stats, freezeCount)."""
W3C_TIMES, W3C_MORE_S = 3.0, 0.150
STEADY_S = 2.0
"""So long without a stall, and pictures flow again."""
FULL_RATE = 0.9
"""Of the rate before the first event: so much, and the full picture is back."""


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """One that counts."""

    at: float
    """Seconds since both hear each other."""
    delay_ms: float
    """Glass to glass: from giving it to one SDK to getting it from the other."""
    width: int


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """What an event did to the picture; in seconds after it."""

    at: float
    frames_s: float | None
    """Until pictures flow again for `STEADY_S` without a stall; 0 where they never stopped, None
    if they did not come back."""
    picture_s: float | None
    """Until for `STEADY_S` the picture is as wide as before the first event and comes at
    `FULL_RATE` of the rate of then; None if never, or if there was no picture before."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a run; times in seconds since both hear each other."""

    since: float
    """What was before is not judged."""
    until: float
    pictures: list[Picture]
    shown: int
    """Pictures that were shown in the time that is judged."""
    unreadable: list[float]
    """When one came that could not be read."""
    stalls: list[tuple[float, float]]
    """When each began that is judged, and how long it was."""
    w3c_freezes: int
    """Gaps of over three times the mean of thirty, and 150 ms over it."""
    w3c_frozen_s: float
    longest_gap_s: float
    """Between two pictures that are judged."""
    recoveries: list[Recovery]
    packets: int
    lost: int
    kbps: float
    """Payload that the client received."""
    client_freezes: int
    """By the client's own count."""
    client_frozen_s: float
    client_decoded: int
    client_handed: int | None = None
    """Pictures that the client handed over; None in older files."""

    @property
    def fps(self) -> float:
        """Pictures a second."""
        count = sum(self.since <= one.at <= self.until for one in self.pictures)
        return count / (self.until - self.since)

    @property
    def stall_s(self) -> float:
        """All stalls together."""
        return sum(length for _, length in self.stalls)

    @property
    def longest_stall_s(self) -> float:
        return max((length for _, length in self.stalls), default=0.0)

    @property
    def delay_ms(self) -> float | None:
        """Median glass to glass; None if nothing was seen."""
        late = [one.delay_ms for one in self.pictures if self.since <= one.at <= self.until]
        return float(np.median(late)) if late else None

    @property
    def width(self) -> float:
        """Median; 0 if nothing was seen."""
        widths = [one.width for one in self.pictures if self.since <= one.at <= self.until]
        return float(np.median(widths)) if widths else 0.0


def watched(
    shower: Told,
    viewer: Told,
    start: float,
    end: float,
    since: float = 0.0,
    events: Sequence[float] = (),
) -> Watched:
    """What the viewer saw of the shower between two moments (monotonic).

    ``since`` and ``events`` are seconds after ``start``.
    """
    seen = sorted((one for track in viewer.viewed for one in track.seen), key=lambda one: one.at)
    counted, unreadable = _counted(seen, shower.shown, start, end)
    until = end - start
    gaps = _gaps([one.at for one in counted], since, until)
    stalls = [(at, length) for at, length in gaps if length > STALL_S]
    freezes = _w3c([one.at for one in counted], since)
    used = _used([track.samples for track in viewer.viewed], start + since, end)
    first = min((at for at in events), default=until)
    return Watched(
        since=since,
        until=round(until, 3),
        pictures=counted,
        shown=sum(start + since <= at <= end for at in shower.shown),
        unreadable=unreadable,
        stalls=[(round(at, 3), round(length, 3)) for at, length in stalls],
        w3c_freezes=len(freezes),
        w3c_frozen_s=round(sum(freezes), 3),
        longest_gap_s=round(max((length for _, length in gaps), default=0.0), 3),
        recoveries=[_recovery(counted, at, first, until) for at in sorted(set(events))],
        packets=int(used["packets"]),
        lost=int(used["lost"]),
        kbps=round(8e-3 * used["bytes"] / (until - since), 1),
        client_freezes=int(used["freezes"]),
        client_frozen_s=round(used["frozen_s"], 3),
        client_decoded=int(used["decoded"]),
        client_handed=sum(start + since <= one.at <= end for one in seen),
    )


def _counted(
    seen: Sequence[Seen], shown: Sequence[float], start: float, end: float
) -> tuple[list[Picture], list[float]]:
    """Pictures that count, and when those came that could not be read."""
    newest, counted, unreadable = -1, [], []
    for one in seen:
        if one.number == pictures.UNREADABLE or one.number >= len(shown):
            if start <= one.at <= end:
                unreadable.append(round(one.at - start, 3))
            continue
        if one.number <= newest:
            continue
        newest = one.number
        if start <= one.at <= end:
            late = 1e3 * (one.at - shown[one.number])
            counted.append(Picture(round(one.at - start, 4), round(late, 1), one.width))
    return counted, unreadable


def _gaps(times: Sequence[float], since: float, until: float) -> list[tuple[float, float]]:
    """When each gap began and how long it was, both ends of the time included."""
    within = [at for at in times if since < at <= until]
    edges = [since, *within, until]
    return [(a, b - a) for a, b in itertools.pairwise(edges)]


def _w3c(times: Sequence[float], since: float) -> list[float]:
    """How long each freeze was, as W3C counts: it has an end, and a mean before it."""
    gaps: list[float] = []
    found = []
    for a, b in itertools.pairwise(times):
        if gaps:
            mean = sum(gaps[-W3C_MEMORY:]) / len(gaps[-W3C_MEMORY:])
            if b > since and b - a >= max(W3C_TIMES * mean, mean + W3C_MORE_S):
                found.append(b - a)
        gaps.append(b - a)
    return found


def _recovery(counted: Sequence[Picture], event: float, first: float, until: float) -> Recovery:
    times = [one.at for one in counted]
    before = [one for one in counted if one.at < first]
    frames = _flow_again(times, event, until)
    picture = None
    if len(before) > 1 and first > 0:
        rate = len(before) / first
        width = float(np.median([one.width for one in before]))
        picture = _full_again(counted, event, until, FULL_RATE * rate, width)
    return Recovery(at=event, frames_s=frames, picture_s=picture)


def _flow_again(times: Sequence[float], event: float, until: float) -> float | None:
    if until - event < STEADY_S:
        return None
    gaps = _gaps(times, event, until)
    steady_from = event
    for at, length in gaps:
        if at >= steady_from + STEADY_S:
            break
        if length > STALL_S:
            steady_from = at + length
    return round(steady_from - event, 3) if steady_from + STALL_S < until else None


def _full_again(
    counted: Sequence[Picture], event: float, until: float, rate: float, width: float
) -> float | None:
    for begin in [event, *(one.at for one in counted if one.at > event)]:
        end = begin + STEADY_S
        if end > until:
            return None
        within = [one for one in counted if begin <= one.at < end]
        if len(within) >= rate * STEADY_S - 1 and all(one.width >= width for one in within):
            return round(begin - event, 3)
    return None


def _used(tracks: list[list[PictureSample]], start: float, end: float) -> dict[str, float]:
    """What the client counted within a time, over all its tracks."""
    names = ("packets", "lost", "bytes", "freezes", "frozen_s", "decoded")
    counts: dict[str, float] = dict.fromkeys(names, 0)
    for samples in tracks:
        within = [sample for sample in samples if start - 0.5 <= sample.at <= end]
        if not within:
            continue
        early = [sample for sample in within if sample.at <= start + 0.5]
        for name in names:
            before = getattr(early[-1], name) if early else 0
            counts[name] += getattr(within[-1], name) - before
    return counts
