"""Why a path is what it is, in one sentence for people."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np

from fairlead.policy import regions
from fairlead.routing.cost import FULL, RELAY_COST_MS
from fairlead.routing.damping import GAIN_MS, GAIN_SHARE
from fairlead.routing.network import Network, Weighed
from fairlead.routing.second import CABLE_MS, COUNTRY_MS, PROVIDER_MS

GAIN = f"{GAIN_MS:.0f} ms and {100 * GAIN_SHARE:.0f} %"
LOSS_TOLD = 0.002
"""Differences in loss below this are not worth a word; of delay, in ms, below this:"""
DELAY_TOLD = 1.0

Via = tuple[int, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The route to one node and why; RTTs in ms, None where unknown."""

    destination: int
    via: list[int]
    reachable: bool
    rtt_ms: float | None
    direct_rtt_ms: float | None
    sentence: str
    second: list[int] | None = None
    """Relays of the second path; None if there is none, empty for the direct link."""
    second_rtt_ms: float | None = None
    tag: int = 0
    """Of the region set that the route obeys; 0 for none."""
    regions: list[str] = []
    """The set, sorted; empty for none."""
    leased: bool = False
    """Whether a controller computed it; else it is this node's own view."""
    cost: float | None = None
    """What the path counts as, in ms one way."""
    parts: dict[str, float] = {}
    """The same by cause: delay, jitter, loss, use, price, unsteady, probation, relays."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A path as it is in force; ``via`` None if there is none."""

    source: int
    destination: int
    via: Via | None
    second: Via | None = None
    charge: float = 0.0
    """What the second path pays for sharing something with the first."""
    tag: int = 0


def sentence(network: Network, weighed: Weighed, chosen: Chosen) -> str:
    """Why this path: what it is better at, or why there is no other."""
    if chosen.via is None:
        return _no_path(network, chosen)
    place = network.region(chosen.destination)
    if not chosen.via:
        if _rtt(weighed, chosen.source, (), chosen.destination) is None:
            return f"The direct link to {place} is being set up, and no other way is known."
        text = f"direct to {place}: no way over relays is better by {GAIN}"
    else:
        text = f"via {_names(network, chosen.via)}: {_gains(weighed, chosen)}"
    return f"{text}; {_second(network, chosen)}."


def explanation(network: Network, weighed: Weighed, chosen: Chosen, *, leased: bool) -> Explanation:
    """Everything about one route."""
    source, destination, via = chosen.source, chosen.destination, chosen.via
    parts = {} if via is None else _parts(weighed, source, via, destination)
    total = sum(parts.values())
    return Explanation(
        destination=destination,
        via=list(via or ()),
        reachable=via is not None,
        rtt_ms=None if via is None else _rtt(weighed, source, via, destination),
        direct_rtt_ms=_rtt(weighed, source, (), destination),
        sentence=sentence(network, weighed, chosen),
        second=None if chosen.second is None else list(chosen.second),
        second_rtt_ms=(
            None if chosen.second is None else _rtt(weighed, source, chosen.second, destination)
        ),
        tag=chosen.tag,
        regions=network.regions_of(chosen.tag),
        leased=leased,
        cost=total if parts and np.isfinite(total) else None,
        parts=parts,
    )


def _no_path(network: Network, chosen: Chosen) -> str:
    place = network.region(chosen.destination)
    if not chosen.tag:
        return f"There is no path to {place}: no link to it works, nor one over two relays."
    allowed = regions.describe(network.regions_of(chosen.tag))
    nodes = network.policies.get(chosen.tag, frozenset())
    for end in (chosen.source, chosen.destination):
        if end not in nodes:
            where = network.region(end)
            return f"No lawful path to {place}: {where} is outside {allowed}, where this may be."
    here = network.region(chosen.source)
    return f"No lawful path to {place}: regions {allowed} do not join {here} and {place}."


def _gains(weighed: Weighed, chosen: Chosen) -> str:
    """What the relays give over the direct link."""
    assert chosen.via is not None
    source, destination, via = chosen.source, chosen.destination, chosen.via
    at = weighed.index[source], weighed.index[destination]
    direct, rtt = _rtt(weighed, source, (), destination), _rtt(weighed, source, via, destination)
    if direct is None:
        state = "down" if weighed.figures.down[at] else "not up yet"
        return f"the direct link is {state}"
    if rtt is None:
        return "this path has just failed"
    said: list[str] = []
    if direct - rtt >= DELAY_TOLD:
        said.append(f"{direct - rtt:.0f} ms better")
    loss = _loss(weighed, source, via, destination)
    if weighed.figures.loss[at] - loss > LOSS_TOLD:
        said.append(f"direct lost {weighed.figures.loss[at]:.1%}".replace("%", " %"))
    if weighed.figures.use[at] > FULL:
        said.append(f"direct is {weighed.figures.use[at]:.0%} full".replace("%", " %"))
    relayed = _parts(weighed, source, via, destination)
    for name, words in (
        ("jitter", "direct is less even"),
        ("price", "direct costs more"),
        ("unsteady", "direct fell lately"),
        ("held", "direct fell and is on hold"),
        ("probation", "direct must prove itself again"),
    ):
        if float(getattr(weighed.parts, name)[at]) - relayed[name] >= GAIN_MS / 2:
            said.append(words)
    if not said:
        return f"kept, since the direct link is not better by {GAIN}"
    if rtt - direct >= DELAY_TOLD:
        said.append(f"though {rtt - direct:.0f} ms longer")
    return ", ".join(said)


def _second(network: Network, chosen: Chosen) -> str:
    if chosen.second is None:
        return "no second path: nothing else joins them without sharing a relay"
    way = f"over {_names(network, chosen.second)}" if chosen.second else "is the direct link"
    shared = [
        words
        for price, words in (
            (CABLE_MS, "a cable"),
            (PROVIDER_MS, "a provider"),
            (COUNTRY_MS, "a country"),
        )
        if _charged(chosen.charge, price)
    ]
    if not shared:
        return f"the second path {way}" if not chosen.second else f"second path {way}"
    return f"second path {way}, which shares {' and '.join(shared)} with the first"


def _charged(charge: float, price: float) -> bool:
    for part in (CABLE_MS, PROVIDER_MS, COUNTRY_MS):
        if charge >= part:
            if part == price:
                return True
            charge -= part
        elif part == price:
            return False
    return False


def _names(network: Network, via: Via) -> str:
    return " and ".join(network.region(relay) for relay in via)


def _hops(weighed: Weighed, source: int, via: Via, destination: int) -> list[tuple[int, int]]:
    places = [weighed.index.get(node) for node in (source, *via, destination)]
    if any(place is None for place in places):
        return []
    return list(pairwise(place for place in places if place is not None))


def _rtt(weighed: Weighed, source: int, via: Via, destination: int) -> float | None:
    hops = _hops(weighed, source, via, destination)
    total = float(sum(weighed.figures.rtt[hop] for hop in hops)) if hops else float("inf")
    return total if np.isfinite(total) else None


def _loss(weighed: Weighed, source: int, via: Via, destination: int) -> float:
    hops = _hops(weighed, source, via, destination)
    return 1.0 - float(np.prod([1.0 - weighed.figures.loss[hop] for hop in hops]))


def _parts(weighed: Weighed, source: int, via: Via, destination: int) -> dict[str, float]:
    hops = _hops(weighed, source, via, destination)
    names = ("delay", "jitter", "loss", "use", "price", "unsteady", "held", "probation")
    parts = {name: float(sum(getattr(weighed.parts, name)[hop] for hop in hops)) for name in names}
    parts["relays"] = RELAY_COST_MS * len(via)
    return parts if hops and np.isfinite(parts["delay"]) else {}
