"""A network of deciders in virtual time: links are a matrix, cells tell everyone at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from fairlead.protocol.node import Link, LinkReport, Policy, Route, SetPolicies, SetRoutes
from fairlead.routing.controller import Controller
from fairlead.routing.follower import Follower
from fairlead.routing.inputs import (
    ControllerHeard,
    ControllerLost,
    Heard,
    LinksLost,
    NodeHeard,
    NodeLost,
    Publish,
    RegionSetsLost,
    RoutesHeard,
    Withdraw,
    heard,
)
from fairlead.routing.lease import fault
from fairlead.routing.links import Matrix
from fairlead.types import (
    ControllerRecord,
    LinksRecord,
    NodeRecord,
    RegionSetsRecord,
    RoutesRecord,
)

Said = LinksRecord | RoutesRecord | ControllerRecord | RegionSetsRecord


class Member:
    """One node: its deciders and what its packet path was told."""

    def __init__(self, record: NodeRecord) -> None:
        self.record = record
        self.follower = Follower(record)
        self.controller = Controller(record) if record.controller else None
        self.said: dict[tuple[str, int], Said] = {}
        """What stands in the cells of this node's."""
        self.routes: dict[tuple[int, int], Route] = {}
        self.policies: dict[int, set[int]] = {}
        self.changes = 0
        """Routes that were given another first path."""


class World:
    """Nodes are 1 to n; ``rtts`` are theirs, inf is a dead link."""

    def __init__(self, nodes: Iterable[NodeRecord], rtts: Matrix) -> None:
        self.now = 0.0
        self.rtts = rtts.copy()
        self.loss = np.zeros(rtts.shape)
        self.records = {node.node: node for node in nodes}
        self.members: dict[int, Member] = {}
        self.sides: dict[int, int] = dict.fromkeys(self.records, 0)
        """Who hears whom: only within one side."""
        self.leased: list[RoutesRecord] = []
        for node in self.records:
            self.start(node)

    def start(self, node: int) -> None:
        record = self.records[node]
        self.members[node] = Member(record)
        for other, member in list(self.members.items()):
            if other != node and self.sides[other] == self.sides[node]:
                self._introduce(self.members[node], member)
                self._introduce(member, self.members[node])

    def kill(self, node: int) -> None:
        """The process dies: its cell tells that it is gone."""
        gone = self.members.pop(node)
        for member in self.members.values():
            if self.sides[member.record.node] == self.sides[node]:
                self._farewell(member, gone)

    def split(self, side: Iterable[int]) -> None:
        """Cells and links no longer pass between these and the others."""
        apart = set(side)
        before, self.sides = self.sides, {node: int(node in apart) for node in self.records}
        for a, one in self.members.items():
            for b, two in self.members.items():
                if a != b and before[a] == before[b] and self.sides[a] != self.sides[b]:
                    self._farewell(one, two)

    def heal(self) -> None:
        before, self.sides = self.sides, dict.fromkeys(self.records, 0)
        for a, one in self.members.items():
            for b, two in self.members.items():
                if a != b and before[a] != before[b]:
                    self._introduce(one, two)

    def limit(self, node: int, sets: list[list[str]]) -> None:
        """The node's rooms have these region sets."""
        self._say(self.members[node], RegionSetsRecord(node=node, sets=sets))

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.now += step
            for node, member in list(self.members.items()):
                self._tell(member, self._measure(node))
            for member in list(self.members.values()):
                if member.controller is not None:
                    self._controlled(member, None)

    def active(self) -> list[int]:
        return [n for n, m in self.members.items() if m.controller and m.controller.active]

    def way(self, source: int, to: int, tag: int = 0) -> list[int] | None:
        route = self.members[source].routes.get((tag, to))
        return None if route is None else route.via

    def works(self, source: int, via: Iterable[int], to: int) -> bool:
        hops = pairwise((source, *via, to))
        return all(self._alive(a, b) for a, b in hops)

    def violations(self) -> list[str]:
        """What must never be: a route out of its set, or one that can't be."""
        wrong = []
        for source, member in self.members.items():
            for (tag, to), route in member.routes.items():
                for via in (route.via, route.second):
                    if via is None:
                        continue
                    hops = {source, *via, to}
                    if len(via) > 2 or len(hops) != len(via) + 2:
                        wrong.append(f"{source}: {route} is no path")
                    if tag and not hops <= member.policies.get(tag, set()):
                        wrong.append(f"{source}: {route} leaves its set")
                    if any(not self.records[relay].relay for relay in via):
                        wrong.append(f"{source}: {route} passes no relay")
                if route.second is not None and set(route.second) & set(route.via):
                    wrong.append(f"{source}: {route} is not disjoint")
        return wrong

    def _alive(self, a: int, b: int) -> bool:
        both = a in self.members and b in self.members and self.sides[a] == self.sides[b]
        return both and bool(np.isfinite(self.rtts[a - 1, b - 1]))

    def _measure(self, node: int) -> LinkReport:
        return LinkReport(
            links=[
                Link(
                    node=other,
                    state="up" if self._alive(node, other) else "down",
                    rtt_ms=float(self.rtts[node - 1, other - 1])
                    if self._alive(node, other)
                    else None,
                    jitter_ms=0.0,
                    loss=float(self.loss[other - 1, node - 1]),
                    residual_loss=float(self.loss[other - 1, node - 1]),
                    sent_packets=0,
                    received_packets=0,
                )
                for other in self.records
                if other != node
            ]
        )

    def _introduce(self, hearer: Member, member: Member) -> None:
        self._tell(hearer, NodeHeard(record=member.record))
        for said in list(member.said.values()):
            self._tell(hearer, heard(said))

    def _farewell(self, hearer: Member, gone: Member) -> None:
        node = gone.record.node
        lost: list[Heard] = [LinksLost(node=node), RegionSetsLost(node=node)]
        for event in [*lost, ControllerLost(node=node), NodeLost(node=node)]:
            self._tell(hearer, event)

    def _say(self, member: Member, said: Said) -> None:
        target = said.target if isinstance(said, RoutesRecord) else 0
        member.said[type(said).__name__, target] = said
        side = self.sides[member.record.node]
        for other, hearer in list(self.members.items()):
            if self.sides[other] == side:
                self._tell(hearer, heard(said), said.node == other)

    def _tell(self, member: Member, event: Heard | LinkReport, own: bool = False) -> None:
        for output in member.follower.handle(self.now, event):
            match output:
                case SetRoutes(routes=routes):
                    new = {(route.tag, route.destination): route for route in routes}
                    old = member.routes
                    member.changes += sum(
                        key in old and old[key].via != route.via for key, route in new.items()
                    )
                    member.routes = new
                case SetPolicies(policies=policies):
                    member.policies = {p.tag: set(p.nodes) for p in policies if _policy(p)}
                case Publish(record=record):
                    self._say(member, record)
                case _:
                    pass
        made_here = own and isinstance(event, RoutesHeard | ControllerHeard)
        if member.controller is not None and not isinstance(event, LinkReport) and not made_here:
            self._controlled(member, event)

    def _controlled(self, member: Member, event: Heard | None) -> None:
        assert member.controller is not None
        for output in member.controller.handle(self.now, event):
            match output:
                case Publish(record=record):
                    if isinstance(record, RoutesRecord):
                        self.leased.append(record)
                        nodes = {n: self.records[n] for n in self.records}
                        wrong = fault(record, nodes, member.follower._network.policies)
                        assert wrong is None, (wrong, record)
                    self._say(member, record)
                case Withdraw(record=record):
                    member.said.pop(("RoutesRecord", record.target), None)


def _policy(policy: Policy) -> bool:
    assert policy.tag > 0
    return True
