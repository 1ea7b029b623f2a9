"""What one node knows of the whole network, and what its links cost by that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fairlead.policy import regions
from fairlead.routing.cost import Parts, parts_of
from fairlead.routing.damping import Damping
from fairlead.routing.links import Figures, Flags, Links, Matrix
from fairlead.routing.plausibility import Doubt, distances, judge
from fairlead.routing.second import Risks
from fairlead.routing.trust import Trust
from fairlead.types import LinksRecord, NodeRecord, RegionSetsRecord

MAX_SETS = 256
"""Region sets of one node, and tags of the network; what comes beyond goes nowhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """The network at one moment, nodes in the order of their ids."""

    figures: Figures
    parts: Parts
    cost: Matrix
    """Of first paths."""
    spare: Matrix
    """Of second paths."""
    relays: Flags
    risks: Risks
    doubts: list[Doubt]

    @property
    def order(self) -> tuple[int, ...]:
        return self.figures.order

    @property
    def index(self) -> dict[int, int]:
        return self.figures.index


class Network:
    """Nodes, their links and region sets, as heard by the node ``own``."""

    def __init__(self, own: NodeRecord) -> None:
        self.own = own.node
        self.nodes: dict[int, NodeRecord] = {own.node: own}
        self.links = Links(own.node)
        self.counts = {"region_sets_beyond_limit": 0, "tag_collisions": 0}
        self._sets: dict[int, list[regions.RegionSet]] = {}
        self._damping = Damping()
        self._trust = Trust()
        self._km: tuple[tuple[object, ...], Matrix] | None = None
        self._tags: dict[int, frozenset[regions.RegionSet]] = {}
        self._policies: dict[int, frozenset[int]] | None = None

    def node_heard(self, record: NodeRecord) -> NodeRecord | None:
        """Take a node's record; what it was before."""
        before = self.nodes.get(record.node)
        self.nodes[record.node] = record
        self._policies = None
        if before is not None and before.mesh_key != record.mesh_key:
            self.links.forget(record.node)
        return before

    def node_lost(self, node: int) -> bool:
        """Forget a node; True if it was known."""
        if node == self.own or self.nodes.pop(node, None) is None:
            return False
        self.links.forget(node)
        self._sets.pop(node, None)
        self._policies = None
        return True

    def links_heard(self, record: LinksRecord) -> bool:
        """Take a report; True if a link's state changed."""
        return self.links.report(record)

    def sets_heard(self, record: RegionSetsRecord) -> None:
        """Take a node's region sets; a set of no names is everywhere and needs no tag."""
        if len(record.sets) > MAX_SETS:
            self.counts["region_sets_beyond_limit"] += 1
        self._sets[record.node] = [frozenset(names) for names in record.sets[:MAX_SETS] if names]
        self._policies = None

    def sets_lost(self, node: int) -> None:
        """A node's sets are no more."""
        if self._sets.pop(node, None) is not None:
            self._policies = None

    def region(self, node: int) -> str:
        """A node's region, or ``node N`` if it isn't known."""
        record = self.nodes.get(node)
        return record.region if record else f"node {node}"

    @property
    def policies(self) -> dict[int, frozenset[int]]:
        """The nodes allowed under each tag. Where two sets share a tag, only those that both
        allow: a hash that collides must not widen anything."""
        if self._policies is None:
            sets = {names for node in self._sets.values() for names in node}
            sets = set(sorted(sets, key=sorted)[:MAX_SETS])
            tags: dict[int, set[regions.RegionSet]] = {}
            for names in sets:
                tags.setdefault(regions.region_tag(names), set()).add(names)
            self.counts["tag_collisions"] = sum(len(sets) > 1 for sets in tags.values())
            self._tags = {tag: frozenset(sets) for tag, sets in tags.items()}
            where = {node: record.region for node, record in self.nodes.items()}
            self._policies = regions.policies(sets, where)
        return self._policies

    def regions_of(self, tag: int) -> list[str]:
        """The names of the set behind a tag; those that all its sets share if there are more."""
        self.policies  # noqa: B018 - the names are made with it
        return sorted(frozenset.intersection(*self._tags[tag])) if tag in self._tags else []

    def weigh(self, now: float) -> Weighed:
        """The costs of all links now; ``now`` in seconds, never going back."""
        order = tuple(sorted(self.nodes))
        figures = self.links.figures(order)
        verdict = judge(figures, self._distances(order), _Names(self))
        figures = replace(figures, rtt=verdict.rtt)
        parts = parts_of(figures, self._damping.believe(now, figures, verdict.rtt / 2.0))
        probation = self._trust.surcharge(now, figures, parts.total())
        parts = replace(parts, probation=probation)
        nodes = [self.nodes[node] for node in order]
        return Weighed(
            figures=figures,
            parts=parts,
            cost=parts.total(),
            spare=parts.spare(),
            relays=np.array([node.relay for node in nodes], dtype=bool),
            risks=Risks(
                figures.labels,
                _numbered([node.provider for node in nodes]),
                _numbered([node.country for node in nodes]),
            ),
            doubts=verdict.doubts,
        )

    def _distances(self, order: tuple[int, ...]) -> Matrix:
        places = {node: place for node in order if (place := self.nodes[node].location) is not None}
        key = (order, tuple(sorted(places.items())))
        if self._km is None or self._km[0] != key:
            self._km = (key, distances(order, places))
        return self._km[1]


class _Names(dict[int, str]):
    """Regions by node, looked up only where a sentence needs them."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __missing__(self, node: int) -> str:
        return self._network.region(node)


def _numbered(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Equal numbers for equal names, 0 for none."""
    numbers = {name: number for number, name in enumerate(sorted(set(names) - {""}), start=1)}
    return np.array([numbers.get(name, 0) for name in names], dtype=np.intp)
