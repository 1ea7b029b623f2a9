"""The network's links as their ends measure them: matrices of figures over directed links.

A record's figures are of packets coming in, so of the direction from the peer to the writer; a
round trip is of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fairlead.types import LinksRecord, LinkState

Matrix = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint64]
"""Sets of risk labels, one bit each."""

MAX_LINKS = 1024
"""Links that one node may report; what comes beyond is not looked at."""
MAX_RTT_MS = 10_000.0
"""A round trip longer than this is not a measurement."""
MAX_LABELS = 64
"""Risk labels told apart; those beyond share one bit, so they count as shared with each other."""

_RTT, _P95, _JITTER, _LOSS, _KBPS_IN, _KBPS_OUT, _CAPACITY, _PRICE = range(8)


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """Every directed link among ``order``: rows from, columns to; delays in ms, one way."""

    order: tuple[int, ...]
    index: dict[int, int]
    rtt: Matrix
    """Both ways together; the worse word of the two ends. inf where no link is known to work."""
    tail: Matrix
    """95th percentile of jitter."""
    loss: Matrix
    """Share lost after repair, 0 to 1."""
    use: Matrix
    """Delivered over capacity; 0 where no capacity is known."""
    kbps: Matrix
    price: Matrix
    """Per GB."""
    labels: Labels
    suspect: Flags
    held: Flags
    """It fell and works again, but only those without another way should take it."""
    down: Flags
    """Known not to work."""
    contradicted: Flags
    """The two ends' round trips differ by far more than chance."""
    agreed: Flags
    """Both ends measured about the same, or this node measured it itself."""


@dataclass(frozen=True, slots=True, eq=False)
class _Report:
    links: dict[int, LinkState]
    peers: npt.NDArray[np.int64]
    values: Matrix
    """One row for each figure, one column for each peer."""
    up: Flags
    suspect: Flags
    held: Flags
    labels: Labels


class Links:
    """What each node last said of its links, by node id. ``own`` is the node that asks: of its
    own links only its own word counts, since others may be out of date."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._reports: dict[int, _Report] = {}
        self._bits: dict[str, int] = {}
        self.rejected = 0
        """Reported links that can't be true: a figure that is not finite, below 0 or beyond what
        there is."""

    def report(self, record: LinksRecord) -> bool:
        """Take a node's report. True if a link came up, went down or appeared."""
        before = self._links(record.node)
        after = {link.peer: link for link in record.links[:MAX_LINKS] if self._possible(link)}
        after.pop(record.node, None)
        self._reports[record.node] = self._compact(after)
        return {peer: link.up for peer, link in before.items()} != {
            peer: link.up for peer, link in after.items()
        }

    def forget(self, node: int) -> None:
        """The node is gone; others may still report links to it."""
        self._reports.pop(node, None)

    def told(self, node: int) -> bool:
        """Whether the node has reported."""
        return node in self._reports

    def rtt_ms(self, source: int, destination: int) -> float | None:
        """The RTT of a working link, None if it isn't known to work.

        Bad news from either end counts at once, and of two round trips the longer. The other
        end's word alone will do only where the source says nothing of the link: one that it is
        still setting up does not work yet.
        """
        ends = self._ends(source, destination)
        if not ends or any(not link.up for link in ends) or ends[0].rtt_ms is None:
            return None
        return max(link.rtt_ms for link in ends if link.rtt_ms is not None)

    def loss(self, source: int, destination: int) -> float:
        """Share lost after repair from ``source`` to ``destination``, as far as it is known."""
        there = self._links(destination).get(source)
        back = self._links(source).get(destination)
        known = there or back
        return known.residual_loss if known else 0.0

    def is_down(self, source: int, destination: int) -> bool:
        """True if a link is known not to work; False if nobody knows."""
        return any(not link.up for link in self._ends(source, destination))

    def figures(self, order: Sequence[int]) -> Figures:
        """All that is known of the links among the nodes ``order``."""
        index = {node: position for position, node in enumerate(order)}
        size = len(index)
        said = np.full((8, size, size), np.nan)  # writer, peer; nan: nothing was said
        listed = np.zeros((size, size), dtype=bool)
        down, suspect, held = listed.copy(), listed.copy(), listed.copy()
        labels = np.zeros((size, size), dtype=np.uint64)
        positions = np.full(1 << 16, -1, dtype=np.int64)
        positions[list(order)] = np.arange(size)
        for writer, report in self._reports.items():
            if (row := index.get(writer)) is None or not len(report.peers):
                continue
            columns = positions[report.peers]
            known = columns >= 0
            columns = columns[known]
            said[:, row, columns] = report.values[:, known]
            listed[row, columns] = True
            down[row, columns] = ~report.up[known]
            suspect[row, columns] = report.suspect[known]
            held[row, columns] = report.held[known]
            labels[row, columns] = report.labels[known]
        with np.errstate(invalid="ignore"):
            apart = np.abs(said[_RTT] - said[_RTT].T)
            agreed = apart <= np.maximum(15.0, 0.3 * np.fmax(said[_RTT], said[_RTT].T))
        contradicted = np.isfinite(apart) & ~agreed
        if (own := index.get(self._own)) is not None:
            agreed[own, :] |= np.isfinite(said[_RTT, own])
            agreed[:, own] |= agreed[own, :]
            for matrix in (said[_RTT], down, suspect, held, listed):
                matrix[:, own] = matrix[own, :]
        rtt = said[_RTT]
        longer = np.fmax(rtt, rtt.T)
        longer[(listed & np.isnan(rtt)) | np.isnan(longer)] = np.inf
        down |= down.T
        longer[down] = np.inf
        np.fill_diagonal(longer, np.inf)
        kbps = _either(np.fmax(said[_KBPS_OUT], said[_KBPS_IN].T), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            use = _either(kbps / said[_CAPACITY], 0.0)
            spread = np.fmax(said[_P95] - rtt, (said[_P95] - rtt).T) / 2
        return Figures(
            order=tuple(order),
            index=index,
            rtt=longer,
            tail=_either(np.fmax(_inward(said[_JITTER]), spread), 0.0),
            loss=_either(_inward(said[_LOSS]), 0.0),
            use=use,
            kbps=kbps,
            price=_either(said[_PRICE], 0.0),
            labels=labels | labels.T,
            suspect=suspect | suspect.T,
            held=held | held.T,
            down=down,
            contradicted=contradicted,
            agreed=agreed,
        )

    def _links(self, node: int) -> dict[int, LinkState]:
        report = self._reports.get(node)
        return report.links if report else {}

    def _ends(self, source: int, destination: int) -> list[LinkState]:
        """What is known of a link, the source's word first."""
        words = [self._links(source).get(destination), self._links(destination).get(source)]
        if self._own in (source, destination):
            words = words[:1] if source == self._own else words[1:]
        return [link for link in words if link is not None]

    def _possible(self, link: LinkState) -> bool:
        fine = (  # a comparison with nan is false
            0 < link.peer < 1 << 16
            and (link.rtt_ms is None or 0.0 <= link.rtt_ms <= MAX_RTT_MS)
            and (link.rtt_p95_ms is None or 0.0 <= link.rtt_p95_ms <= MAX_RTT_MS)
            and 0.0 <= link.jitter_ms < math.inf
            and 0.0 <= link.loss <= 1.0
            and 0.0 <= link.residual_loss <= 1.0
            and 0.0 <= link.kbps < math.inf
            and 0.0 <= link.kbps_out < math.inf
            and 0.0 <= link.price_per_gb < math.inf
            and (link.capacity_kbps is None or link.capacity_kbps > 0)
        )
        self.rejected += not fine
        return fine

    def _compact(self, links: dict[int, LinkState]) -> _Report:
        values = [
            (
                math.nan if link.rtt_ms is None or not link.up else link.rtt_ms,
                math.nan if link.rtt_p95_ms is None else link.rtt_p95_ms,
                link.jitter_ms,
                link.residual_loss,
                link.kbps,
                link.kbps_out,
                math.nan if link.capacity_kbps is None else link.capacity_kbps,
                link.price_per_gb,
            )
            for link in links.values()
        ]
        return _Report(
            links=links,
            peers=np.fromiter(links, dtype=np.int64, count=len(links)),
            values=np.array(values, dtype=np.float64).reshape(len(links), 8).T,
            up=np.array([link.up for link in links.values()], dtype=bool),
            suspect=np.array([link.suspect for link in links.values()], dtype=bool),
            held=np.array([link.held for link in links.values()], dtype=bool),
            labels=np.array([self._label(link.risks) for link in links.values()], dtype=np.uint64),
        )

    def _label(self, risks: list[str]) -> int:
        bits = 0
        for risk in risks[:MAX_LABELS]:
            if risk not in self._bits and len(self._bits) < MAX_LABELS - 1:
                self._bits[risk] = len(self._bits)
            bits |= 1 << self._bits.get(risk, MAX_LABELS - 1)
        return bits


def _inward(said: Matrix) -> Matrix:
    """By direction what writers say of what comes in; the other direction's figure if silent."""
    return np.where(np.isnan(said.T), said, said.T)


def _either(values: Matrix, otherwise: float) -> Matrix:
    return np.where(np.isnan(values), otherwise, values)
