"""The controller: everybody's routes from everybody's measurements, leased while it is active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from fairlead.routing.explain import Chosen, sentence
from fairlead.routing.inputs import (
    ControllerHeard,
    ControllerInput,
    ControllerLost,
    ControllerOutput,
    LinksHeard,
    LinksLost,
    NodeHeard,
    NodeLost,
    Publish,
    RegionSetsHeard,
    RegionSetsLost,
    RoutesHeard,
    Withdraw,
)
from fairlead.routing.leader import Leader
from fairlead.routing.network import Network, Weighed
from fairlead.routing.plausibility import Doubt
from fairlead.routing.tables import Table, Tables, Via
from fairlead.types import NodeRecord, RouteEntry, RoutesRecord

INTERVAL = 1.0
"""Seconds between computations that only follow new figures, for up to `SMALL` nodes."""
SMALL = 100
"""Beyond, the interval grows with the square of the number of nodes."""
FIRST_WHY = 50
"""Nodes up to which the first tables of a reign say why; beyond, only what changes later does."""

Way = tuple[Via, Via | None]


class Controller:
    """Stands by or leads; as the active one it writes a table for each node.

    It hears what the cells tell, its own node's links and region sets too, and what other
    controllers lease: a new one goes on from the paths in force. What it publishes it need not
    hear.
    """

    def __init__(self, own: NodeRecord) -> None:
        self._node = own.node
        self._network = Network(own)
        self._leader = Leader(own.node)
        self._tables = Tables()
        self._heard: dict[int, RoutesRecord] = {}
        """What others leased, by target: the highest epoch of each."""
        self._leased: dict[int, RoutesRecord] = {}
        self._serial = 0
        """Of the last record; a node that was away and comes back must see it grow."""
        self._dirty = True
        self._urgent = False
        self._computed_at: float | None = None
        self._weighed: Weighed | None = None
        self._led = False

    @property
    def active(self) -> bool:
        """Whether it leads."""
        return self._leader.active

    @property
    def epoch(self) -> int:
        """Of its present reign, or the last one."""
        return self._leader.epoch

    @property
    def counts(self) -> dict[str, int]:
        """What was counted since the start, by name."""
        doubts = self._weighed.doubts if self._weighed else []
        return {
            **self._leader.counts,
            **self._network.counts,
            "measurements_rejected": self._network.links.rejected,
            "measurements_doubted": len(doubts),
            "links_crossed_twice": self._tables.doubled,
        }

    def doubts(self) -> list[Doubt]:
        """The measurements that are not believed now."""
        return self._weighed.doubts if self._weighed else []

    def handle(self, now: float, event: ControllerInput | None) -> list[ControllerOutput]:
        """Take an event (None: only the time passed); ``now`` in seconds, never going back."""
        return self.handle_all(now, [] if event is None else [event])

    def handle_all(self, now: float, events: Sequence[ControllerInput]) -> list[ControllerOutput]:
        """Take several events at once, for one computation."""
        for event in events:
            self._hear(now, event)
        out: list[ControllerOutput] = []
        record = self._leader.handle(now)
        if record is not None:
            out.append(Publish(record=record))
        if self._leader.active and not self._led:
            self._adopt()
        elif self._led and not self._leader.active:
            out += [Withdraw(record=leased) for leased in self._leased.values()]
            self._leased = {}
        self._led = self._leader.active
        if self._leader.active and self._due(now):
            self._compute(now, out)
        return out

    def deadline(self) -> float | None:
        """When `handle` wants to be called next."""
        due = self._leader.deadline()
        if self._leader.active and self._dirty:
            at = self._computed_at
            due = min(due, 0.0 if self._urgent or at is None else at + self._interval())
        return due

    def table(self, tag: int) -> Table | None:
        """The paths computed last under a tag, to be looked at."""
        return self._tables.held.get(tag)

    def _hear(self, now: float, event: ControllerInput) -> None:
        network = self._network
        match event:
            case NodeHeard(record=node):
                before = network.node_heard(node)
                self._dirty |= before != node
                self._urgent |= before is None
            case NodeLost(node=lost):
                self._urgent |= network.node_lost(lost)
                self._heard.pop(lost, None)
                self._leader.lost(lost)
            case LinksHeard(record=links):
                self._urgent |= network.links_heard(links)
                self._leader.epoch_seen(links.epoch)
            case LinksLost(node=lost):
                network.links.forget(lost)
            case RegionSetsHeard(record=sets):
                network.sets_heard(sets)
                self._urgent = True
            case RegionSetsLost(node=lost):
                network.sets_lost(lost)
            case RoutesHeard(record=routes):
                if routes.node != self._node:
                    self._leader.epoch_seen(routes.epoch)
                    known = self._heard.get(routes.target)
                    if known is None or known.epoch <= routes.epoch:
                        self._heard[routes.target] = routes
                return
            case ControllerHeard(record=controller):
                self._leader.heard(now, controller)
                return
            case ControllerLost(node=lost):
                self._leader.lost(lost)
                return
            case _:
                assert_never(event)
        self._dirty = True

    def _interval(self) -> float:
        return INTERVAL * max(1.0, (len(self._network.nodes) / SMALL) ** 2)

    def _due(self, now: float) -> bool:
        if self._computed_at is None or self._urgent:
            return True
        return self._dirty and now >= self._computed_at + self._interval()

    def _adopt(self) -> None:
        """Go on from what is in force."""
        self._leased = {}
        self._computed_at = None
        self._dirty = True

    def _compute(self, now: float, out: list[ControllerOutput]) -> None:
        first = self._computed_at is None
        before = self._tables.held if self._leased else {}
        self._dirty = self._urgent = False
        self._computed_at = now
        self._weighed = weighed = self._network.weigh(now)
        policies = self._network.policies
        tables = self._tables.compute(weighed, policies)
        if first and self._heard:
            for record in self._heard.values():
                for route in record.routes:
                    via = tuple(route.via)
                    self._tables.hold(route.tag, record.target, route.destination, via)
            tables = self._tables.compute(weighed, policies)
        if tables.keys() == before.keys():
            news = {
                node for tag, table in tables.items() for node in table.changed_since(before[tag])
            }
            news |= set(weighed.order) - self._leased.keys()
            news |= {node for tag in tables for node in before[tag].order} - set(weighed.order)
        else:
            news = set(weighed.order)
        for target in sorted(news & set(weighed.order)):
            lease = self._lease(weighed, tables, target)
            if lease is not None:
                self._leased[target] = lease
                out.append(Publish(record=lease))
        for gone in self._leased.keys() - set(weighed.order):
            out.append(Withdraw(record=self._leased.pop(gone)))

    def _lease(
        self, weighed: Weighed, tables: dict[int, Table], target: int
    ) -> RoutesRecord | None:
        """The target's record, if it differs from what was leased last."""
        before = self._leased.get(target)
        known = {(r.tag, r.destination): r for r in before.routes} if before else {}
        routes: list[RouteEntry] = []
        changed = before is None
        explained = before is not None or len(weighed.order) <= FIRST_WHY
        for tag, table in tables.items():
            for destination, via, second, charge in table.paths_from(target):
                old = known.get((tag, destination))
                if old is None or (old.via, old.second) != (via, second):
                    chosen = Chosen(
                        source=target,
                        destination=destination,
                        via=tuple(via),
                        second=None if second is None else tuple(second),
                        charge=charge,
                        tag=tag,
                    )
                    old = RouteEntry(
                        destination=destination,
                        via=via,
                        second=second,
                        tag=tag,
                        why=sentence(self._network, weighed, chosen) if explained else "",
                    )
                    changed = True
                routes.append(old)
        if not changed and before is not None and len(routes) == len(before.routes):
            return None
        self._serial += 1
        return RoutesRecord(
            node=self._node,
            target=target,
            epoch=self._leader.epoch,
            serial=self._serial,
            routes=routes,
        )
