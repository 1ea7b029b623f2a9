"""The links of one node as metrics. *In* is from the other node, *out* is towards it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from fairlead.protocol.node import Link, LinkStateName, Pair
from fairlead.telemetry.exposition import Family, Sample, counter, gauge

BYTES_OF_KBPS = 125.0
"""1000 bits in bytes."""
WAYS: dict[str, tuple[str, ...]] = {"in": ("in", "both"), "out": ("out", "both")}
"""Which faults concern which direction."""


def families(links: Sequence[Link]) -> list[Family]:
    """A sample for each link; a figure that isn't known has none."""
    return [
        gauge(
            "fairlead_link_up",
            "1 if the link to a node carries packets and is above suspicion.",
            _each(links, lambda link: float(link.state == "up")),
        ),
        gauge(
            "fairlead_link_state",
            "1 for the state that the link is in, 0 for the others.",
            [
                Sample(float(link.state == state), {**_node(link), "state": state})
                for link in links
                for state in get_args(LinkStateName)
            ],
        ),
        gauge(
            "fairlead_link_fault",
            "1 if a suspect or down link fails this way.",
            [
                Sample(float(link.fault in faults), {**_node(link), "direction": way})
                for link in links
                for way, faults in WAYS.items()
            ],
        ),
        gauge(
            "fairlead_link_rtt_seconds",
            "Round trip to a node over its direct link, median of the last seconds.",
            _each(links, lambda link: _seconds(link.rtt_ms)),
        ),
        gauge(
            "fairlead_link_rtt_p95_seconds",
            "The same, 95th percentile.",
            _each(links, lambda link: _seconds(link.rtt_p95_ms)),
        ),
        gauge(
            "fairlead_link_rtt_min_seconds",
            "The same, least.",
            _each(links, lambda link: _seconds(link.rtt_min_ms)),
        ),
        gauge(
            "fairlead_link_delay_change_seconds",
            "How far the delay from a node stands above its least of the last minute.",
            _each(links, lambda link: _seconds(link.delay_change_ms)),
        ),
        gauge(
            "fairlead_link_jitter_seconds",
            "95th percentile of the change of delay from packet to packet, from a node.",
            _each(links, lambda link: _seconds(link.jitter_ms)),
        ),
        gauge(
            "fairlead_link_loss_ratio",
            "Share of packets lost before repair.",
            _both(links, lambda link: (link.loss, link.loss_out)),
        ),
        gauge(
            "fairlead_link_residual_loss_ratio",
            "Share of packets lost after repair.",
            _both(links, lambda link: (link.residual_loss, link.residual_loss_out)),
        ),
        gauge(
            "fairlead_link_burst_packets",
            "Packets from a node that are lost in a row, mean; 0 if none were.",
            _each(links, lambda link: link.burst),
        ),
        gauge(
            "fairlead_link_bytes_per_second",
            "Delivered from a node (in) or sent to it, all overhead included (out).",
            _both(
                links,
                lambda link: (link.kbps_in * BYTES_OF_KBPS, link.kbps_out * BYTES_OF_KBPS),
            ),
        ),
        gauge(
            "fairlead_link_queue_seconds",
            "What waits on the way to a node, here and above the least delay.",
            _each(links, lambda link: _seconds(link.queue_ms)),
        ),
        gauge(
            "fairlead_link_capacity_bytes_per_second",
            "What the way to a node carries, given or learnt.",
            _each(
                links,
                lambda link: (
                    None if link.capacity_kbps is None else link.capacity_kbps * BYTES_OF_KBPS
                ),
            ),
        ),
        gauge(
            "fairlead_link_mtu_bytes",
            "UDP payload that passes.",
            _each(links, lambda link: float(link.mtu) if link.mtu else None),
        ),
        gauge(
            "fairlead_link_repair_ratio",
            "Repairs, and asking for them, of the bytes sent to a node.",
            _each(links, lambda link: link.repair_share),
        ),
        gauge(
            "fairlead_link_parity_ratio",
            "Forward error correction of the bytes sent to a node.",
            _each(links, lambda link: link.parity_share),
        ),
        counter(
            "fairlead_link_packets_total",
            "Packets from a node (in) and to it (out).",
            _both(links, lambda link: (link.received_packets, link.sent_packets)),
        ),
        *_pairs(links),
    ]


def _pairs(links: Sequence[Link]) -> list[Family]:
    return [
        gauge(
            "fairlead_link_pair_in_use",
            "1 for the port pair that carries the link, 0 for its others.",
            _each_pair(links, lambda link, pair: float(link.pair == pair.pair)),
        ),
        gauge(
            "fairlead_link_pair_up",
            "1 if a port pair works and is above suspicion.",
            _each_pair(links, lambda _, pair: float(pair.state == "up")),
        ),
        gauge(
            "fairlead_link_pair_rtt_seconds",
            "Round trip over a port pair.",
            _each_pair(links, lambda _, pair: _seconds(pair.rtt_ms)),
        ),
        gauge(
            "fairlead_link_pair_loss_ratio",
            "Share of the other node's packets lost on a port pair.",
            _each_pair(links, lambda _, pair: pair.loss),
        ),
    ]


def _each(links: Iterable[Link], figure: Callable[[Link], float | None]) -> list[Sample]:
    values = ((link, figure(link)) for link in links)
    return [Sample(value, _node(link)) for link, value in values if value is not None]


def _both(links: Iterable[Link], figures: Callable[[Link], tuple[float, float]]) -> list[Sample]:
    return [
        Sample(value, {**_node(link), "direction": way})
        for link in links
        for way, value in zip(WAYS, figures(link), strict=True)
    ]


def _each_pair(links: Iterable[Link], figure: Callable[[Link, Pair], float | None]) -> list[Sample]:
    return [
        Sample(value, {**_node(link), "pair": str(pair.pair)})
        for link in links
        for pair in link.pairs
        if (value := figure(link, pair)) is not None
    ]


def _node(link: Link) -> dict[str, str]:
    return {"node": str(link.node)}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
