"""One node's routes: leased where a controller is at hand, else by its own view of the network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import assert_never

import msgspec

from fairlead.protocol.node import (
    AddPeer,
    Link,
    LinkReport,
    Policy,
    RemovePeer,
    Route,
    SetLink,
    SetPolicies,
    SetProtection,
    SetRoutes,
)
from fairlead.routing.explain import Chosen, Explanation, Via, explanation
from fairlead.routing.inputs import (
    ControllerHeard,
    ControllerLost,
    FollowerInput,
    FollowerOutput,
    LinksHeard,
    LinksLost,
    NodeHeard,
    NodeLost,
    Publish,
    RegionSetsHeard,
    RegionSetsLost,
    RoutesHeard,
)
from fairlead.routing.lease import LEASE, STALE, Leases, lawful
from fairlead.routing.network import Network, Weighed
from fairlead.routing.plausibility import Doubt
from fairlead.routing.report import AT_LEAST, INTERVAL, LinkTerms, is_news, is_urgent, links_record
from fairlead.routing.tables import Table, Tables
from fairlead.types import LinksRecord, NodeRecord, RouteEntry

RECOMPUTE = 1.0
"""Seconds between computations that only follow new figures; a link's state change has no wait."""
SMALL = 100
"""Nodes up to which that interval holds; beyond, it grows with their square."""

Key = tuple[int, int]
"""Tag and destination."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of the mesh."""

    links: list[LinkTerms] = []
    protection: SetProtection | None = None


class _Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One route in force."""

    via: Via
    second: Via | None
    charge: float = 0.0
    leased: RouteEntry | None = None


class Follower:
    """Hears the network, tells the packet path its peers, routes, policies and limits."""

    def __init__(self, own: NodeRecord, settings: Settings | None = None) -> None:
        self._node = own.node
        self._own = own
        self._settings = settings or Settings()
        self._network = Network(own)
        self._tables = Tables(frozenset({own.node}))
        self._leases = Leases(own.node)
        self._terms: dict[int, LinkTerms] = {}
        self._taken: dict[Key, _Taken] = {}
        self._reachable: frozenset[int] = frozenset()
        self._weighed: Weighed | None = None
        self._sent_routes: list[Route] | None = None
        self._sent_policies: dict[int, frozenset[int]] = {}
        self._started = False
        self._dirty = False
        self._computed_at = -RECOMPUTE
        self._measured: list[Link] | None = None
        self._published: LinksRecord | None = None
        self._published_at = -AT_LEAST

    def handle(self, now: float, event: FollowerInput | None) -> list[FollowerOutput]:
        """Take an event (None: only the time passed); ``now`` in seconds, never going back."""
        return self.handle_all(now, [] if event is None else [event])

    def handle_all(self, now: float, events: Sequence[FollowerInput]) -> list[FollowerOutput]:
        """Take several events at once, for one computation: many come when a network starts."""
        out: list[FollowerOutput] = []
        if not self._started:
            self._started = True
            if self._settings.protection is not None:
                out.append(self._settings.protection)
        urgent = False
        for event in events:
            urgent |= self._hear(now, event, out)
        if urgent or (self._dirty and now >= self._next()) or self._lease_due(now):
            self._compute(now, out)
        return out

    def deadline(self) -> float | None:
        """When `handle` wants to be called next, None if only an event can matter."""
        ends = [self._next()] if self._dirty else []
        lease = self._leases.current
        if lease is not None:
            ends.append(lease.renewed + LEASE)
            if self._broken() and lease.renewed + STALE > self._computed_at:
                ends.append(lease.renewed + STALE)
        return min(ends, default=None)

    def unreachable(self) -> frozenset[int]:
        """The known nodes to which no measured path leads."""
        return frozenset(self._network.nodes.keys() - {self._node} - self._reachable)

    def explain(self) -> list[Explanation]:
        """The route to every known node, by tag and node id, and why it is taken."""
        if self._weighed is None:
            return []
        tags = [(0, frozenset(self._network.nodes)), *sorted(self._network.policies.items())]
        return [
            self._explain(self._weighed, tag, destination)
            for tag, _ in tags
            for destination in sorted(self._network.nodes.keys() - {self._node})
        ]

    def doubts(self) -> list[Doubt]:
        """The measurements that are not believed now."""
        return self._weighed.doubts if self._weighed else []

    @property
    def epoch(self) -> int:
        """The highest heard of; lower ones are refused."""
        return self._leases.epoch

    @property
    def controller(self) -> int | None:
        """The node whose lease is in force; None if this node goes by its own view."""
        lease = self._leases.current
        return None if lease is None else lease.record.node

    @property
    def counts(self) -> dict[str, int]:
        """What was refused and rejected since the start, by name."""
        refused = {f"routes_refused_{why}": n for why, n in self._leases.refused.items()}
        return {
            **refused,
            **self._network.counts,
            "measurements_rejected": self._network.links.rejected,
            "measurements_doubted": len(self.doubts()),
            "routes_leased": sum(taken.leased is not None for taken in self._taken.values()),
        }

    def region(self, node: int) -> str:
        """A node's region, or ``node N`` if it isn't known."""
        return self._network.region(node)

    def _hear(self, now: float, event: FollowerInput, out: list[FollowerOutput]) -> bool:
        """Take an event; True if routes must be looked at now."""
        network = self._network
        match event:
            case NodeHeard(record=node):
                return self._node_heard(now, node, out)
            case NodeLost(node=lost):
                if not network.node_lost(lost):
                    return False
                out.append(RemovePeer(node=lost))
                self._terms.pop(lost, None)
                return True
            case LinksHeard(record=links):
                self._dirty = True
                return links.node != self._node and network.links_heard(links)
            case LinksLost(node=lost):
                network.links.forget(lost)
                return True
            case RegionSetsHeard(record=sets):
                network.sets_heard(sets)
            case RegionSetsLost(node=lost):
                network.sets_lost(lost)
            case RoutesHeard(record=routes):
                return self._leases.heard(now, routes, network.nodes, network.policies)
            case ControllerHeard(record=controller):
                self._leases.controller_heard(now, controller)
                return False
            case ControllerLost():
                return False  # its lease lasts
            case LinkReport(links=measured):
                return self._report(now, measured, out)
            case _:
                assert_never(event)
        self._leases.look_again(now, network.nodes, network.policies)
        return True

    def _node_heard(self, now: float, record: NodeRecord, out: list[FollowerOutput]) -> bool:
        if record.node == self._node:
            return False
        network = self._network
        known = network.node_heard(record)
        if known == record:
            return False
        moved = known is not None and (
            (known.mesh_addresses, known.mesh_key) != (record.mesh_addresses, record.mesh_key)
        )
        if moved:
            network.links.forget(record.node)
            out.append(RemovePeer(node=record.node))
        if known is None or moved:
            addresses = record.mesh_addresses
            out.append(AddPeer(node=record.node, public_key=record.mesh_key, addresses=addresses))
            self._apply_terms(record, out)
        self._leases.look_again(now, network.nodes, network.policies)
        return True

    def _apply_terms(self, record: NodeRecord, out: list[FollowerOutput]) -> None:
        """The operator's word on a link; that on a node counts before that on a region."""
        fitting = [t for t in self._settings.links if t.to in (record.node, record.region)]
        if not fitting:
            return
        terms = min(fitting, key=lambda t: t.to != record.node)
        self._terms[record.node] = terms
        if terms.capacity_kbps is not None:
            out.append(SetLink(node=record.node, capacity_kbps=terms.capacity_kbps))

    def _report(self, now: float, links: list[Link], out: list[FollowerOutput]) -> bool:
        record = links_record(self._node, links, self._terms, self._leases.epoch)
        changed = self._network.links_heard(record)
        self._dirty = True
        age = now - self._published_at
        urgent = is_urgent(self._published, record)
        if urgent or age >= AT_LEAST or (age >= INTERVAL and is_news(self._published, record)):
            self._published, self._published_at = record, now
            out.append(Publish(record=record))
        return changed

    def _next(self) -> float:
        size = len(self._network.nodes)
        return self._computed_at + RECOMPUTE * max(1.0, (size / SMALL) ** 2)

    def _lease_due(self, now: float) -> bool:
        """Whether the lease has just run out, or become stale with a broken path in it."""
        lease = self._leases.current
        if lease is None:
            return False
        if self._leases.at(now) is None:
            return True
        stale = lease.renewed + STALE
        return self._computed_at < stale <= now and self._broken()

    def _broken(self) -> bool:
        return any(
            taken.leased is not None and self._down(taken.via, destination)
            for (_, destination), taken in self._taken.items()
        )

    def _down(self, via: Via, destination: int) -> bool:
        hops = pairwise((self._node, *via, destination))
        return any(self._network.links.is_down(a, b) for a, b in hops)

    def _compute(self, now: float, out: list[FollowerOutput]) -> None:
        self._dirty = False
        self._computed_at = now
        policies = self._network.policies
        self._weighed = weighed = self._network.weigh(now)
        for (tag, destination), taken in self._taken.items():
            self._tables.hold(tag, self._node, destination, taken.via)
        tables = self._tables.compute(weighed, policies)
        everybody = frozenset(self._network.nodes)
        chosen: dict[Key, _Taken] = {}
        for tag, nodes in [(0, everybody), *policies.items()]:
            if self._node not in nodes:
                continue
            for destination in sorted(nodes & everybody - {self._node}):
                route = self._route(now, tag, destination, tables[tag])
                if route is not None:
                    chosen[tag, destination] = route
        self._taken = chosen
        self._reachable = frozenset(
            node for node in everybody if tables[0].path(self._node, node) is not None
        )
        self._send(policies, out)

    def _route(self, now: float, tag: int, destination: int, table: Table) -> _Taken | None:
        found = table.path(self._node, destination)
        lease = self._leases.at(now)
        entry = lease.routes.get((tag, destination)) if lease else None
        if lease is not None and entry is not None and self._lawful(entry, entry.via):
            via = tuple(entry.via)
            if now < lease.renewed + STALE or not self._down(via, destination):
                lawful_second = entry.second is not None and self._lawful(entry, entry.second)
                second = tuple(entry.second or ()) if lawful_second else None
                same = found is not None and found[:2] == (via, second)
                charge = found[2] if found is not None and same else 0.0
                return _Taken(via=via, second=second, charge=charge, leased=entry)
        if found is not None:
            return _Taken(via=found[0], second=found[1], charge=found[2])
        if not self._network.links.is_down(self._node, destination):
            return _Taken(via=(), second=None)  # not measured yet: it may already work
        return None

    def _lawful(self, entry: RouteEntry, via: list[int]) -> bool:
        network = self._network
        return lawful(self._node, entry, via, network.nodes, network.policies)

    def _send(self, policies: dict[int, frozenset[int]], out: list[FollowerOutput]) -> None:
        if policies != self._sent_policies:
            self._sent_policies = dict(policies)
            listed = [
                Policy(tag=tag, nodes=sorted(nodes)) for tag, nodes in sorted(policies.items())
            ]
            out.append(SetPolicies(policies=listed))
        routes = [
            Route(
                destination=destination,
                via=list(taken.via),
                second=None if taken.second is None else list(taken.second),
                tag=tag,
            )
            for (tag, destination), taken in self._taken.items()
        ]
        if routes != self._sent_routes:
            self._sent_routes = routes
            out.append(SetRoutes(routes=routes))

    def _explain(self, weighed: Weighed, tag: int, destination: int) -> Explanation:
        taken = self._taken.get((tag, destination))
        chosen = Chosen(
            source=self._node,
            destination=destination,
            via=taken.via if taken else None,
            second=taken.second if taken else None,
            charge=taken.charge if taken else 0.0,
            tag=tag,
        )
        # By the figures of now: what the controller wrote was true when it chose.
        leased = taken is not None and taken.leased is not None
        return explanation(self._network, weighed, chosen, leased=leased)
