"""Nodes, links and reports, made short."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from fairlead.lab.regions import COLUMNS
from fairlead.protocol.node import Link, LinkReport
from fairlead.routing.links import Matrix
from fairlead.types import LinksRecord, LinkState, NodeRecord

INF = float("inf")
AWS = resources.files("fairlead.lab") / "data/rtt.csv"


def node(
    number: int,
    region: str = "",
    *,
    address: str = "127.0.0.1:9",
    controller: bool = False,
    relay: bool = True,
    provider: str = "",
    country: str = "",
    location: tuple[float, float] | None = None,
) -> NodeRecord:
    return NodeRecord(
        node=number,
        region=region or f"region{number}",
        url="ws://localhost:1",
        mesh_addresses=[address],
        mesh_key=bytes(32),
        started_at=1,
        controller=controller,
        relay=relay,
        provider=provider,
        country=country,
        location=location,
    )


def report(**links: float | None) -> LinkReport:
    """``report(n2=10.0, n3=None)``: the link to 2 is up with 10 ms, that to 3 is down."""
    return LinkReport(
        links=[
            Link(
                node=int(name[1:]),
                state="down" if rtt is None else "up",
                rtt_ms=rtt,
                jitter_ms=0.0,
                loss=0.0,
                residual_loss=0.0,
                sent_packets=0,
                received_packets=0,
            )
            for name, rtt in links.items()
        ]
    )


def record(number: int, **links: float | None) -> LinksRecord:
    """``record(1, n2=10.0, n3=None)``: node 1 measures 10 ms to 2, and its link to 3 is down."""
    return LinksRecord(
        node=number,
        links=[
            LinkState(peer=int(name[1:]), up=rtt is not None, rtt_ms=rtt)
            for name, rtt in links.items()
        ],
    )


def records(rtts: Matrix) -> list[LinksRecord]:
    """What nodes 1 to n say of a matrix of round trips; inf is down."""
    size = len(rtts)
    return [
        LinksRecord(
            node=a + 1,
            links=[
                LinkState(
                    peer=b + 1,
                    up=bool(np.isfinite(rtts[a, b])),
                    rtt_ms=float(rtts[a, b]) if np.isfinite(rtts[a, b]) else None,
                )
                for b in range(size)
                if a != b
            ],
        )
        for a in range(size)
    ]


def aws() -> tuple[Matrix, list[tuple[float, float]]]:
    """The round trips between 21 regions, and where these are."""
    rows = list(csv.reader(AWS.read_text("utf-8").splitlines()))
    slugs = [row[0].split()[-1] for row in rows[1:]]
    rtts = np.array([[float(value) for value in row[1:]] for row in rows[1:]])
    np.fill_diagonal(rtts, np.inf)
    places = [COLUMNS[slug] for slug in slugs]
    where = [(p.latitude, p.longitude) for p in places]
    return rtts, [(a, b) for a, b in where if a is not None and b is not None]
