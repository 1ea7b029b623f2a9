"""Second paths: node-disjoint from the first, and apart from what it may fail with.

What two paths may share is avoided in this order: a cable (any risk label of their links), a
provider of their relays, a country of their relays. Sharing costs so much that it is only done
where there is no other way; a relay or a link of the first path is never shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.routing.cost import RELAY_COST_MS
from fairlead.routing.links import Flags, Labels, Matrix
from fairlead.routing.paths import NONE, Choice, Indices, costs_of, over_one

CABLE_MS, PROVIDER_MS, COUNTRY_MS = 4000.0, 1500.0, 600.0
"""Charged for sharing, on top of the cost: more than any lawful difference in delay."""
PART_MS, PART_COST_MS = 50.0, 500.0
"""How much longer a first path may be for the sake of a second one, and how much dearer: what fell
lately or is on hold will do, what loses or is full will not."""
CANDIDATES = 16
"""Entry and exit relays tried with each other where the second path needs two."""
CHUNK = 4_000_000
"""Elements of the largest array made in that search."""


@dataclass(frozen=True, slots=True, eq=False)
class Risks:
    """What fails together: labels of links, and provider and country of nodes (0: unknown)."""

    links: Labels
    provider: Indices
    country: Indices


def second_paths(
    costs: Matrix,
    firsts: Choice,
    risks: Risks,
    relays: Flags | None = None,
    rows: Indices | None = None,
) -> tuple[Choice, Matrix]:
    """A second path for each first one of ``rows`` (all if None), and what it was charged for
    sharing. One relay or none where that shares nothing; two relays where it must."""
    size = len(costs)
    rows = np.arange(size) if rows is None else rows
    inner = np.arange(size) if relays is None else np.flatnonzero(relays)
    direct = costs.copy()
    np.fill_diagonal(direct, np.inf)
    seconds = Choice.none(len(rows), size)
    charges = np.zeros((len(rows), size))
    first_labels = _labels_of(risks.links, firsts, rows)
    for position, source in enumerate(rows):
        labels = first_labels[position]
        _one_relay(position, int(source), direct, firsts, labels, risks, inner, seconds, charges)
    missing = np.isfinite(firsts.cost) & (~np.isfinite(seconds.cost) | (charges > 0))
    if missing.any() and len(inner) > 1:
        _over_two(direct, firsts, first_labels, risks, inner, rows, missing, seconds, charges)
    return seconds, charges


def part_ways(
    costs: Matrix,
    delays: Matrix,
    firsts: Choice,
    risks: Risks,
    relays: Flags | None,
    rows: Indices,
    seconds: Choice,
    charges: Matrix,
) -> None:
    """Where a first path over two relays leaves nobody for a second one, take it over one of the
    two, if that has a second path and is hardly longer. ``costs`` are those of second paths: with
    another copy beside it, a first one may take a link on hold as well."""
    bare = np.isfinite(firsts.cost) & ~np.isfinite(seconds.cost) & (firsts.last != NONE)
    if not bare.any():
        return
    most = firsts.cost + PART_COST_MS
    latest = costs_of(delays, firsts, rows) + PART_MS
    for relay in (firsts.first.copy(), firsts.last.copy()):
        single = Choice(relay, np.full_like(relay, NONE), np.full(firsts.cost.shape, np.inf))
        quick = costs_of(delays, single, rows) <= latest
        single.cost = np.where(bare & quick, costs_of(costs, single, rows), np.inf)
        at = np.flatnonzero((single.cost <= most).any(axis=1))
        if not len(at):
            continue
        some = Choice(single.first[at], single.last[at], single.cost[at])
        behind, charge = second_paths(costs, some, risks, relays, rows[at])
        better = (some.cost <= most[at]) & np.isfinite(behind.cost)
        # Of the two the one whose pair of paths is shorter in all.
        taken = np.isfinite(seconds.cost[at])
        better &= ~taken | (some.cost + behind.cost < firsts.cost[at] + seconds.cost[at])
        for whole, news in ((firsts, some), (seconds, behind)):
            part = Choice(whole.first[at], whole.last[at], whole.cost[at])
            part.take(better, news)
            whole.first[at], whole.last[at], whole.cost[at] = part.first, part.last, part.cost
        charges[at] = np.where(better, charge, charges[at])


def charges_of(seconds: Choice, firsts: Choice, risks: Risks, rows: Indices) -> Matrix:
    """What given second paths pay for sharing; inf where they share a relay or the direct link."""
    two, one = seconds.first, firsts.first
    charge = np.zeros(firsts.cost.shape)
    mine, theirs = (_labels_of(risks.links, paths, rows) for paths in (seconds, firsts))
    charge += CABLE_MS * ((mine & theirs) != 0)
    # As in the search: a relay pays for all that it shares, and the dearer relay counts.
    dearest = np.zeros(firsts.cost.shape)
    for relay in (seconds.first, seconds.last):
        each = np.zeros(firsts.cost.shape)
        for kind, price in ((risks.provider, PROVIDER_MS), (risks.country, COUNTRY_MS)):
            if kind.any():
                each += price * _shared(kind, relay, firsts.first, firsts.last)
        dearest = np.maximum(dearest, np.where(relay != NONE, each, 0.0))
    charge += dearest
    both_direct = (two == NONE) & (one == NONE)
    relays = [(a, b) for a in (two, seconds.last) for b in (one, firsts.last)]
    same = np.any([(a == b) & (a != NONE) for a, b in relays], axis=0)
    return np.where(both_direct | same, np.inf, charge)


def _one_relay(
    position: int,
    source: int,
    direct: Matrix,
    firsts: Choice,
    labels: Labels,
    risks: Risks,
    inner: Indices,
    seconds: Choice,
    charges: Matrix,
) -> None:
    """The second paths of one row, over one relay or none."""
    first, last = firsts.first[position], firsts.last[position]
    columns = np.arange(len(direct))
    found = np.isfinite(firsts.cost[position])
    total = direct[inner] if len(inner) < len(direct) else direct.copy()
    total += (direct[source, inner] + RELAY_COST_MS)[:, None]
    place = np.full(len(direct) + 1, NONE, dtype=np.intp)
    place[inner] = np.arange(len(inner))
    for taken in (first, last):
        at = place[taken]  # NONE is the last place, which holds NONE
        shared = at != NONE
        total[at[shared], columns[shared]] = np.inf
    charge: npt.NDArray[Any] | None = None
    if labels.any():
        mine = risks.links[source, inner, None] | risks.links[inner]
        charge = CABLE_MS * ((mine & labels) != 0)
    if (first[found] != NONE).any():
        for kind, price in ((risks.provider, PROVIDER_MS), (risks.country, COUNTRY_MS)):
            if kind.any():
                theirs = price * _shared(kind, inner[:, None], first, last)
                charge = theirs + (0.0 if charge is None else charge)
    cost, paid = np.full(len(direct), np.inf), np.zeros(len(direct))
    relay = np.zeros(len(direct), dtype=np.intp)
    if len(inner):
        best = (total if charge is None else total + charge).argmin(axis=0)
        cost, relay = total[best, columns], inner[best]
        if charge is not None:
            paid = charge[best, columns]
    straight = np.where(first == NONE, np.inf, direct[source])
    straight_charge = CABLE_MS * ((risks.links[source] & labels) != 0)
    straightest = straight + straight_charge <= cost + paid
    cost = np.where(straightest, straight, cost)
    paid = np.where(straightest, straight_charge, paid)
    relay = np.where(straightest, NONE, relay)
    cost[~found] = np.inf
    cost[source] = np.inf
    seconds.first[position] = np.where(np.isfinite(cost), relay, NONE)
    seconds.cost[position] = cost
    charges[position] = np.where(np.isfinite(cost), paid, 0.0)


def _over_two(
    direct: Matrix,
    firsts: Choice,
    labels: Labels,
    risks: Risks,
    inner: Indices,
    rows: Indices,
    missing: Flags,
    seconds: Choice,
    charges: Matrix,
) -> None:
    """Where the best so far is none or shares something: look at every pair of relays."""
    at, to = np.nonzero(missing)
    count = min(CANDIDATES, len(inner))
    onward = np.minimum(direct, over_one(direct, inner))
    chunk = max(1, CHUNK // len(direct))
    for begin in range(0, len(at), chunk):
        i, j = at[begin : begin + chunk], to[begin : begin + chunk]
        source = rows[i]
        entry = direct[source[:, None], inner]
        leave = direct[inner, j[:, None]]
        first, last = firsts.first[i, j], firsts.last[i, j]
        for taken in (first, last, source, j):
            entry[inner == taken[:, None]] = np.inf
            leave[inner == taken[:, None]] = np.inf
        charge = np.zeros((len(i), len(inner)))
        for kind, price in ((risks.provider, PROVIDER_MS), (risks.country, COUNTRY_MS)):
            if kind.any():
                charge += price * _shared(kind, inner, first[:, None], last[:, None])
        if count < len(inner):
            into = _least(entry + charge + onward[inner, j[:, None]], count)
            out = _least(leave + charge + onward[source[:, None], inner], count)
        else:
            into = out = np.broadcast_to(np.arange(count), (len(i), count))
        mine = labels[i, j]
        _try(
            _Corner(inner[into], _at(entry, into), _at(charge, into)),
            _Corner(inner[out], _at(leave, out), _at(charge, out)),
            direct,
            (risks.links, mine) if mine.any() else None,
            (source, i, j),
            seconds,
            charges,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Corner:
    """For each pair the relays that may stand at one end: index, cost of its outer link, charge."""

    relay: Indices
    cost: Matrix
    charge: Matrix


def _try(
    into: _Corner,
    out: _Corner,
    direct: Matrix,
    labels: tuple[Labels, Labels] | None,
    ends: tuple[Indices, Indices, Indices],
    seconds: Choice,
    charges: Matrix,
) -> None:
    """Every entry with every exit; what is better than the second path so far takes its place."""
    source, i, j = ends
    a, b = into.relay[:, :, None], out.relay[:, None, :]
    total = into.cost[:, :, None] + direct[a, b] + out.cost[:, None, :] + 2 * RELAY_COST_MS
    # What both relays share with the first path is one thing shared.
    weight = np.maximum(into.charge[:, :, None], out.charge[:, None, :])
    if labels is not None:
        links, mine = labels
        bits = links[source[:, None], into.relay][:, :, None] | links[a, b]
        bits = bits | links[out.relay, j[:, None]][:, None, :]
        weight = weight + CABLE_MS * ((bits & mine[:, None, None]) != 0)
    best = (total + weight).reshape(len(i), -1).argmin(axis=1)
    pick = np.arange(len(i))
    cost = total.reshape(len(i), -1)[pick, best]
    paid = weight.reshape(len(i), -1)[pick, best]
    better = cost + paid < seconds.cost[i, j] + charges[i, j]
    x, y = i[better], j[better]
    width = out.relay.shape[1]
    seconds.first[x, y] = into.relay[pick, best // width][better]
    seconds.last[x, y] = out.relay[pick, best % width][better]
    seconds.cost[x, y] = cost[better]
    charges[x, y] = paid[better]


def _least(scores: Matrix, count: int) -> Indices:
    return np.argpartition(scores, count - 1, axis=1)[:, :count]


def _at(values: Matrix, places: Indices) -> Matrix:
    return np.take_along_axis(values, places, axis=1)


def _labels_of(links: Labels, paths: Choice, rows: Indices) -> Labels:
    """The labels of all links of each path."""
    if not links.any():
        return np.zeros(paths.cost.shape, dtype=np.uint64)
    to = np.arange(len(links))[None, :]
    entry = np.where(paths.first != NONE, paths.first, to)
    middle = np.where(paths.last != NONE, paths.last, to)
    bits = links[rows[:, None], entry]
    bits = bits | np.where(paths.first != NONE, links[entry, middle], np.uint64(0))
    return bits | np.where(paths.last != NONE, links[middle, to], np.uint64(0))


def _shared(kind: Indices, relay: Indices, first: Indices, last: Indices) -> Flags:
    """Whether a relay is of the same kind as one of the first path's relays."""
    mine = kind[relay]
    with_first = (first != NONE) & (mine == kind[first])
    with_last = (last != NONE) & (mine == kind[last])
    shared: Flags = (mine != 0) & (with_first | with_last)
    return shared
