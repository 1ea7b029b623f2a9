"""One node's routes: what it hears of nodes and links goes in, commands for the node come out."""

from __future__ import annotations

from typing import assert_never

import msgspec

from fairlead.protocol.node import AddPeer, Link, LinkReport, RemovePeer, Route, SetRoutes
from fairlead.routing.links import Links, Matrix
from fairlead.routing.paths import Paths, path_cost
from fairlead.types import LinksRecord, LinkState, NodeRecord

GAIN_SHARE = 0.10
GAIN_MS = 10.0
"""A working route is left only for one better by both (overlay figures: flips halve, no regret)."""
_GAIN = f"{GAIN_MS:.0f} ms and {GAIN_SHARE:.0%}"
RECOMPUTE_INTERVAL = 1.0
"""Seconds between computations that only follow new figures; a link's state change has no wait."""
PUBLISH_INTERVAL = 1.0
"""Seconds between this node's links records, unless a link's state changed."""
PUBLISH_AT_LEAST = 10.0
"""Seconds after which unchanged figures are published again."""
RTT_NEWS_MS, RTT_NEWS_SHARE, LOSS_NEWS = 2.0, 0.02, 0.005
"""Changes smaller than these are no news to other nodes."""


class NodeHeard(msgspec.Struct, frozen=True, kw_only=True):
    """Another node's record came or changed."""

    record: NodeRecord


class NodeLost(msgspec.Struct, frozen=True, kw_only=True):
    """Another node is gone."""

    node: int


class LinksHeard(msgspec.Struct, frozen=True, kw_only=True):
    """Another node told its links."""

    record: LinksRecord


class LinksLost(msgspec.Struct, frozen=True, kw_only=True):
    """What another node told of its links is no more."""

    node: int


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the other nodes this node's links."""

    record: LinksRecord


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
    regions: list[str] = []
    """The region set that the route obeys, sorted; empty for none."""
    leased: bool = False
    """Whether a controller computed it; else it is this node's own view."""


Input = NodeHeard | NodeLost | LinksHeard | LinksLost | LinkReport
Output = AddPeer | RemovePeer | SetRoutes | Publish


class Controller:
    """Computes this node's source routes from every node's measurements."""

    def __init__(self, node: int) -> None:
        self._node = node
        self._nodes: dict[int, NodeRecord] = {}
        self._links = Links(node)
        self._routes: dict[int, tuple[int, ...]] = {}
        self._measured_routes: frozenset[int] = frozenset()
        self._sent: dict[int, tuple[int, ...]] | None = None
        self._dirty = False
        self._computed_at = -RECOMPUTE_INTERVAL
        self._published: LinksRecord | None = None
        self._published_at = -PUBLISH_AT_LEAST

    def handle(self, now: float, event: Input | None) -> list[Output]:
        """Take an event (None: only the time passed); ``now`` in seconds, never going back."""
        out: list[Output] = []
        urgent = False
        match event:
            case None:
                pass
            case NodeHeard(record=record):
                urgent = self._node_heard(record, out)
            case NodeLost(node=node):
                urgent = self._node_lost(node, out)
            case LinksHeard(record=heard):
                urgent = heard.node != self._node and self._links.report(heard)
                self._dirty = True
            case LinksLost(node=node):
                self._links.forget(node)
                urgent = True
            case LinkReport(links=links):
                urgent = self._measured(now, links, out)
            case _:
                assert_never(event)
        if urgent or (self._dirty and now >= self._computed_at + RECOMPUTE_INTERVAL):
            self._compute(now, out)
        return out

    def deadline(self) -> float | None:
        """When `handle` wants to be called next, None if only an event can matter."""
        return self._computed_at + RECOMPUTE_INTERVAL if self._dirty else None

    def unreachable(self) -> frozenset[int]:
        """The known nodes to which no measured path leads."""
        return frozenset(self._nodes.keys() - self._measured_routes)

    def explain(self) -> list[Explanation]:
        """The route to every known node, by node id, and why it is taken."""
        return [self._explain(destination) for destination in sorted(self._nodes)]

    def region(self, node: int) -> str:
        """A node's region, or ``node N`` if it isn't known."""
        record = self._nodes.get(node)
        return record.region if record else f"node {node}"

    def _node_heard(self, record: NodeRecord, out: list[Output]) -> bool:
        if record.node == self._node:
            return False
        known = self._nodes.get(record.node)
        self._nodes[record.node] = record
        if known is None:
            out.append(_add_peer(record))
            return True
        if (known.mesh_addresses, known.mesh_key) != (record.mesh_addresses, record.mesh_key):
            self._links.forget(record.node)
            out += [RemovePeer(node=record.node), _add_peer(record)]
            return True
        return False

    def _node_lost(self, node: int, out: list[Output]) -> bool:
        if self._nodes.pop(node, None) is None:
            return False
        self._links.forget(node)
        out.append(RemovePeer(node=node))
        return True

    def _measured(self, now: float, links: list[Link], out: list[Output]) -> bool:
        record = LinksRecord(node=self._node, links=[_state(link) for link in links])
        urgent = self._links.report(record)
        self._dirty = True
        age = now - self._published_at
        due = age >= PUBLISH_INTERVAL and _is_news(self._published, record)
        if urgent or due or age >= PUBLISH_AT_LEAST:
            self._published, self._published_at = record, now
            out.append(Publish(record=record))
        return urgent

    def _compute(self, now: float, out: list[Output]) -> None:
        self._dirty = False
        self._computed_at = now
        order = sorted({self._node, *self._nodes})
        index = {node: position for position, node in enumerate(order)}
        costs = self._links.matrix(order)
        paths = Paths(costs)
        me = index[self._node]
        routes: dict[int, tuple[int, ...]] = {}
        measured: set[int] = set()
        for destination in sorted(self._nodes):
            there = index[destination]
            best = paths.best(me, there)
            if best is None:
                if not self._links.is_down(self._node, destination):
                    routes[destination] = ()  # not measured yet: the direct link may already work
                continue
            measured.add(destination)
            routes[destination] = tuple(order[relay] for relay in best.via)
            kept = self._routes.get(destination)
            if kept is not None and all(relay in index for relay in kept):
                held = path_cost(costs, me, tuple(index[relay] for relay in kept), there)
                if not _worth_moving(held, best.cost):
                    routes[destination] = kept
        self._routes = routes
        self._measured_routes = frozenset(measured)
        if routes != self._sent:
            self._sent = routes
            out.append(
                SetRoutes(
                    routes=[Route(destination=to, via=list(via)) for to, via in routes.items()]
                )
            )

    def _explain(self, destination: int) -> Explanation:
        direct = self._links.rtt_ms(self._node, destination)
        via = self._routes.get(destination)
        place = self.region(destination)
        rtt: float | None = None
        if via is None:
            sentence = f"There is no path to {place}: no link to it works, nor one over two relays."
        elif not via:
            rtt = direct
            sentence = (
                f"The direct link to {place} is taken: no way over relays is better by {_GAIN}."
                if direct is not None
                else f"The direct link to {place} is being set up, and no other way is known."
            )
        else:
            order = [self._node, *via, destination]
            rtt = _finite(self._links.matrix(order))
            relays = " and ".join(self.region(relay) for relay in via)
            if direct is None:
                down = self._links.is_down(self._node, destination)
                state = "down" if down else "not up yet"
                sentence = f"The direct link to {place} is {state}; {relays} reaches it."
            elif rtt is None:
                sentence = f"The path to {place} over {relays} has just failed."
            elif rtt < direct:
                sentence = f"Over {relays}, {place} is {direct - rtt:.0f} ms nearer than directly."
            else:
                sentence = (
                    f"The path over {relays} is kept: the direct link to {place} is not better "
                    f"by {_GAIN}."
                )
        return Explanation(
            destination=destination,
            via=list(via or ()),
            reachable=via is not None,
            rtt_ms=rtt,
            direct_rtt_ms=direct,
            sentence=sentence,
        )


def _worth_moving(held: float, best: float) -> bool:
    """True if a route costing ``held`` ms (inf: broken) should give way to one of ``best`` ms."""
    return best < held - GAIN_MS and best < held * (1.0 - GAIN_SHARE)


def _finite(costs: Matrix) -> float | None:
    """The RTT along consecutive nodes of a matrix, None if a link of it doesn't work."""
    total = float(sum(costs[i, i + 1] for i in range(costs.shape[0] - 1)))
    return total if total < float("inf") else None


def _add_peer(record: NodeRecord) -> AddPeer:
    return AddPeer(node=record.node, public_key=record.mesh_key, addresses=record.mesh_addresses)


def _state(link: Link) -> LinkState:
    return LinkState(
        peer=link.node,
        up=link.state != "down",
        suspect=link.state == "suspect",
        rtt_ms=link.rtt_ms if link.state in ("up", "suspect") else None,
        rtt_p95_ms=link.rtt_p95_ms,
        jitter_ms=link.jitter_ms,
        loss=link.loss,
        residual_loss=link.residual_loss,
        kbps=link.kbps_in,
        kbps_out=link.kbps_out,
        capacity_kbps=link.capacity_kbps,
    )


def _is_news(before: LinksRecord | None, after: LinksRecord) -> bool:
    """True if a figure changed enough to matter to another node."""
    if before is None or len(before.links) != len(after.links):
        return True
    old = {link.peer: link for link in before.links}
    return any(_differs(old.get(link.peer), link) for link in after.links)


def _differs(old: LinkState | None, new: LinkState) -> bool:
    if old is None or old.up != new.up:
        return True
    if old.rtt_ms is None or new.rtt_ms is None:
        return old.rtt_ms is not new.rtt_ms
    return (
        abs(old.rtt_ms - new.rtt_ms) > max(RTT_NEWS_MS, RTT_NEWS_SHARE * old.rtt_ms)
        or abs(old.loss - new.loss) > LOSS_NEWS
        or abs(old.residual_loss - new.residual_loss) > LOSS_NEWS
    )
