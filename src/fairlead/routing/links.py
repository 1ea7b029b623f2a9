"""The network's links as their ends measure them: one matrix of costs over directed links."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fairlead.types import LinksRecord, LinkState

Matrix = npt.NDArray[np.float64]

MAX_LINKS = 1024
"""Links that one node may report; what comes beyond is not looked at."""
MAX_RTT_MS = 10_000.0
"""A round trip longer than this is not a measurement."""


class Links:
    """What each node last said of its links, by node id. ``own`` is the node that asks: of its
    own links only its own word counts, since others may be out of date."""

    def __init__(self, own: int) -> None:
        self._own = own
        self._reports: dict[int, dict[int, LinkState]] = {}
        self.rejected = 0
        """Reported links that can't be true: an RTT below 0 or beyond `MAX_RTT_MS`."""

    def report(self, record: LinksRecord) -> bool:
        """Take a node's report. True if a link came up, went down or appeared."""
        before = self._reports.get(record.node, {})
        after = {link.peer: link for link in record.links[:MAX_LINKS] if self._plausible(link)}
        after.pop(record.node, None)
        self._reports[record.node] = after
        return {peer: link.up for peer, link in before.items()} != {
            peer: link.up for peer, link in after.items()
        }

    def forget(self, node: int) -> None:
        """The node is gone; others may still report links to it."""
        self._reports.pop(node, None)

    def rtt_ms(self, source: int, destination: int) -> float | None:
        """The RTT of a working link, None if it isn't known to work.

        Bad news from either end counts at once. The other end's figure stands in only where the
        source says nothing of the link: one that it is still setting up does not work yet.
        """
        ends = self._ends(source, destination)
        if not ends or any(not link.up for link in ends):
            return None
        return ends[0].rtt_ms

    def is_down(self, source: int, destination: int) -> bool:
        """True if a link is known not to work; False if nobody knows."""
        return any(not link.up for link in self._ends(source, destination))

    def matrix(self, nodes: Iterable[int]) -> Matrix:
        """RTTs in ms, rows from, columns to, in the order of ``nodes``; inf where no link works."""
        index = {node: position for position, node in enumerate(nodes)}
        words = np.full((len(index), len(index)), np.nan)  # nan: nothing was said
        down = np.zeros(words.shape, dtype=bool)
        for source, links in self._reports.items():
            if (row := index.get(source)) is None:
                continue
            for peer, link in links.items():
                if (column := index.get(peer)) is not None:
                    down[row, column] = not link.up
                    words[row, column] = np.inf if link.rtt_ms is None else link.rtt_ms
        if (own := index.get(self._own)) is not None:
            words[:, own], down[:, own] = words[own, :], down[own, :]
        costs = np.where(np.isnan(words), words.T, words)
        costs[down | down.T | np.isnan(costs)] = np.inf
        return costs

    def _ends(self, source: int, destination: int) -> list[LinkState]:
        """What is known of a link, the source's word first."""
        words = [
            self._reports.get(source, {}).get(destination),
            self._reports.get(destination, {}).get(source),
        ]
        if self._own in (source, destination):
            words = words[:1] if source == self._own else words[1:]
        return [link for link in words if link is not None]

    def _plausible(self, link: LinkState) -> bool:
        rtt = link.rtt_ms
        if rtt is None or (math.isfinite(rtt) and 0.0 <= rtt <= MAX_RTT_MS):
            return True
        self.rejected += 1
        return False
