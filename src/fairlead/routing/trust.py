"""A new link, or one that came back, earns its traffic: it costs more until time and data vouch.

Each link starts at its own price over again, so the pairs that gain most from it move first and
the others one after another as the surcharge wanes. A surcharge never hides the only path.
"""

from __future__ import annotations

import numpy as np

from fairlead.routing.links import Figures, Matrix
from fairlead.routing.memory import carried

PROBATION_S = 600.0
"""Without data a link is trusted a tenth more each minute."""
PROBATION_BYTES = 2_000_000.0
"""Delivered, these vouch as well as `PROBATION_S`."""
BASELINE_S = 30.0
"""Links seen in the first seconds are what there is, not news."""
MOST_MS = 100.0
"""Largest surcharge."""


class Trust:
    """How far each directed link is still on probation: 1 new, 0 trusted."""

    def __init__(self) -> None:
        self._order: tuple[int, ...] = ()
        self._doubt = np.zeros((0, 0))
        self._worked = np.zeros((0, 0), dtype=bool)
        self._at: float | None = None
        self._since: float | None = None

    def surcharge(self, now: float, figures: Figures, cost: Matrix) -> Matrix:
        """What to add to ``cost`` (ms, inf where no link works)."""
        works = np.isfinite(figures.rtt)
        if figures.order != self._order:
            self._doubt = carried(self._doubt, self._order, figures.order, 0.0)
            worked = carried(self._worked.astype(float), self._order, figures.order, 0.0)
            self._worked, self._order = worked > 0, figures.order
        if self._since is None and works.any():
            self._since = now
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        delivered = figures.kbps * 125.0 * passed
        self._doubt -= passed / PROBATION_S + delivered / PROBATION_BYTES
        np.maximum(self._doubt, 0.0, out=self._doubt)
        if self._since is not None and now - self._since > BASELINE_S:
            self._doubt[works & ~self._worked] = 1.0
        self._worked = works
        if not self._doubt.any():
            return np.zeros_like(cost)
        base = np.where(np.isfinite(cost), cost, 0.0)
        return np.minimum(base, MOST_MS) * self._doubt
