"""The routes that a controller leased to this node: which are obeyed, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.types import ControllerRecord, NodeRecord, RouteEntry, RoutesRecord

LEASE = 900.0
"""Seconds that a table is in force after its controller's last word."""
STALE = 30.0
"""Seconds after its controller's last word from which a path known to be down is left."""
MAX_ROUTES = 50_000
"""Entries of one table."""
REFUSALS = (
    "old_epoch",
    "old_serial",
    "second_controller",
    "too_long",
    "unknown_node",
    "loop",
    "too_many_relays",
    "not_a_relay",
    "outside_regions",
    "not_disjoint",
    "listed_twice",
)
"""Why a table can be refused."""


class Lease(msgspec.Struct, kw_only=True):
    """The table in force."""

    record: RoutesRecord
    renewed: float
    routes: dict[tuple[int, int], RouteEntry]
    """By tag and destination."""


class Leases:
    """Takes tables for one node. What is refused is counted by name, and the last good stays."""

    def __init__(self, node: int) -> None:
        self._node = node
        self.epoch = 0
        """The highest heard of."""
        self.current: Lease | None = None
        self.refused = dict.fromkeys(REFUSALS, 0)
        self._waiting: RoutesRecord | None = None
        """Refused for what this node may just not have heard of yet."""

    def heard(
        self,
        now: float,
        record: RoutesRecord,
        nodes: Mapping[int, NodeRecord],
        policies: Mapping[int, frozenset[int]],
    ) -> bool:
        """A table came; True if it is in force now and was not before."""
        if record.target != self._node:
            return False
        reason = self._order(now, record)
        if reason is None:
            self.epoch = max(self.epoch, record.epoch)
            if self.current is not None and self.current.record == record:
                self.current.renewed = now
                return False
            reason = fault(record, nodes, policies)
        if reason is not None:
            self.refused[reason] += 1
            if reason in ("unknown_node", "outside_regions", "not_a_relay"):
                self._waiting = record
            return False
        self._waiting = None
        routes = {(route.tag, route.destination): route for route in record.routes}
        self.current = Lease(record=record, renewed=now, routes=routes)
        return True

    def controller_heard(self, now: float, record: ControllerRecord) -> None:
        """A controller renewed its record: what it leased stays in force."""
        if not record.active:
            return
        lease = self.current
        if lease is not None and (record.node, record.epoch) == (
            lease.record.node,
            lease.record.epoch,
        ):
            lease.renewed = now
        self.epoch = max(self.epoch, record.epoch)

    def look_again(
        self,
        now: float,
        nodes: Mapping[int, NodeRecord],
        policies: Mapping[int, frozenset[int]],
    ) -> bool:
        """What this node knows changed: a table refused for that may do now."""
        waiting = self._waiting
        if waiting is None or fault(waiting, nodes, policies) is not None:
            return False
        return self.heard(now, waiting, nodes, policies)

    def at(self, now: float) -> Lease | None:
        """The lease in force."""
        if self.current is not None and now >= self.current.renewed + LEASE:
            self.current = None
        return self.current

    def _order(self, now: float, record: RoutesRecord) -> str | None:
        if record.epoch < self.epoch:
            return "old_epoch"
        lease = self.current
        if lease is None or lease.record.epoch < record.epoch:
            return None
        if lease.record.node != record.node:
            # Two that led in one epoch: the lower node wins.
            return "second_controller" if lease.record.node < record.node else None
        return "old_serial" if record.serial < lease.record.serial else None


def fault(
    record: RoutesRecord,
    nodes: Mapping[int, NodeRecord],
    policies: Mapping[int, frozenset[int]],
) -> str | None:
    """What is wrong with a table, by the first of `REFUSALS` that is found; None if nothing.

    Under a tag that this node doesn't know yet only the shape can be judged; nothing goes out under
    it either.
    """
    if len(record.routes) > MAX_ROUTES:
        return "too_long"
    if len({(route.tag, route.destination) for route in record.routes}) != len(record.routes):
        return "listed_twice"
    for route in record.routes:
        for via in (route.via, route.second):
            if via is not None and (wrong := _bad_path(record.target, route, via, nodes, policies)):
                return wrong
        if route.second is not None and (
            set(route.second) & set(route.via) or route.second == route.via == []
        ):
            return "not_disjoint"
    return None


def lawful(
    source: int,
    route: RouteEntry,
    via: list[int],
    nodes: Mapping[int, NodeRecord],
    policies: Mapping[int, frozenset[int]],
) -> bool:
    """Whether a path may be used now."""
    known = not route.tag or route.tag in policies
    return known and _bad_path(source, route, via, nodes, policies) is None


def _bad_path(
    source: int,
    route: RouteEntry,
    via: list[int],
    nodes: Mapping[int, NodeRecord],
    policies: Mapping[int, frozenset[int]],
) -> str | None:
    hops = (source, *via, route.destination)
    if len(via) > 2:
        return "too_many_relays"
    if len(set(hops)) != len(hops):
        return "loop"
    if any(hop not in nodes for hop in hops):
        return "unknown_node"
    if not all(nodes[relay].relay for relay in via):
        return "not_a_relay"
    allowed = policies.get(route.tag) if route.tag else None
    if allowed is not None and not allowed.issuperset(hops):
        return "outside_regions"
    return None
