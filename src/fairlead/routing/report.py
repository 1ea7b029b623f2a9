"""What a node tells the others of its links, and when it is news."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.protocol.node import Link
from fairlead.types import LinksRecord, LinkState

INTERVAL = 1.0
"""Seconds between this node's links records, unless a link's state changed."""
AT_LEAST = 10.0
"""Seconds after which unchanged figures are told again."""
RTT_NEWS_MS, RTT_NEWS_SHARE, LOSS_NEWS = 2.0, 0.02, 0.005
JITTER_NEWS_MS, USE_NEWS, CAPACITY_NEWS = 5.0, 0.1, 0.1
"""Changes smaller than these are no news to other nodes."""


class LinkTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What this node's operator knows of its link to ``to``: a node id, or a region's name for all
    nodes there."""

    to: int | str
    risks: list[str] = []
    price_per_gb: float = 0.0
    capacity_kbps: int | None = None


NO_TERMS = LinkTerms(to=0)


def links_record(
    node: int, links: list[Link], terms: Mapping[int, LinkTerms], epoch: int
) -> LinksRecord:
    """A node's links for the others, with its operator's word on them."""
    states = [link_state(link, terms.get(link.node, NO_TERMS)) for link in links]
    return LinksRecord(node=node, links=states, epoch=epoch)


def link_state(link: Link, terms: LinkTerms) -> LinkState:
    """One link."""
    capacities = [kbps for kbps in (link.capacity_kbps, terms.capacity_kbps) if kbps is not None]
    return LinkState(
        peer=link.node,
        up=link.held or link.state != "down",
        suspect=link.state == "suspect",
        held=link.held,
        rtt_ms=link.rtt_ms if link.held or link.state in ("up", "suspect") else None,
        rtt_p95_ms=link.rtt_p95_ms,
        jitter_ms=link.jitter_ms,
        loss=link.loss,
        residual_loss=link.residual_loss,
        kbps=link.kbps_in,
        kbps_out=link.kbps_out,
        capacity_kbps=min(capacities, default=None),
        price_per_gb=terms.price_per_gb,
        risks=terms.risks,
    )


def is_news(before: LinksRecord | None, after: LinksRecord) -> bool:
    """True if a figure changed enough to matter to another node."""
    if before is None or len(before.links) != len(after.links) or before.epoch != after.epoch:
        return True
    old = {link.peer: link for link in before.links}
    return any(_differs(old.get(link.peer), link) for link in after.links)


def is_urgent(before: LinksRecord | None, after: LinksRecord) -> bool:
    """True if a link's state changed."""
    if before is None or before.epoch != after.epoch:
        return True
    return _states(before) != _states(after)


def _states(record: LinksRecord) -> dict[int, tuple[bool, ...]]:
    return {link.peer: _state(link) for link in record.links}


def _state(link: LinkState) -> tuple[bool, ...]:
    return link.up, link.suspect, link.held


def _differs(old: LinkState | None, new: LinkState) -> bool:
    if old is None or _state(old) != _state(new):
        return True
    if (old.price_per_gb, old.risks) != (new.price_per_gb, new.risks):
        return True
    if _capacity_differs(old.capacity_kbps, new.capacity_kbps):
        return True
    if old.rtt_ms is None or new.rtt_ms is None:
        return old.rtt_ms is not new.rtt_ms
    moved = abs(old.kbps_out - new.kbps_out)
    return (
        abs(old.rtt_ms - new.rtt_ms) > max(RTT_NEWS_MS, RTT_NEWS_SHARE * old.rtt_ms)
        or abs(old.jitter_ms - new.jitter_ms) > JITTER_NEWS_MS
        or abs(old.loss - new.loss) > LOSS_NEWS
        or abs(old.residual_loss - new.residual_loss) > LOSS_NEWS
        or (new.capacity_kbps is not None and moved > USE_NEWS * new.capacity_kbps)
    )


def _capacity_differs(old: int | None, new: int | None) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(old - new) > CAPACITY_NEWS * old
