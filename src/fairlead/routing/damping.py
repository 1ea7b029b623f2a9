"""Bad news at once, good news slowly: what keeps routes still without making them late.

Symmetric smoothing of delays doubles their tail, while a hold on improvements and a threshold on
gains are nearly free (measured on Seattle's round trips: of 100 pair-slices 12.8 flips against
15.8, the same median and 99th percentile).
"""

from __future__ import annotations

import numpy as np

from fairlead.routing.links import Figures, Flags, Matrix
from fairlead.routing.memory import carried

GAIN_SHARE = 0.10
GAIN_MS = 10.0
"""A working path is left only for one better by both."""
BETTER_S = 20.0
"""Time constant with which a figure that got better is believed."""
LOSS_WORSE_S, LOSS_BETTER_S = 5.0, 60.0
"""The same for loss, which comes in packets: one lost in a quiet second says little."""
FLAP_MS = 20.0
"""Added to a link's cost each time it goes down; a quarter of it when it is only suspect."""
FLAP_HALF_S = 120.0
"""Half-life of that."""
FLAP_MOST_MS = 300.0
SICK_S = 4.0
"""In this time a dead node's quiet links are found dead too."""
SICK_LINKS = 2
"""A node that lost so many links in that time is taken for dying."""
SICK_MS = 500.0
"""What each of its other links costs more meanwhile."""


class Damping:
    """What is believed of each directed link, after what was heard of it so far."""

    def __init__(self) -> None:
        self._order: tuple[int, ...] = ()
        self._at: float | None = None
        self._delay = self._tail = self._loss = self._flaps = np.zeros((0, 0))
        self._down = self._suspect = np.zeros((0, 0), dtype=bool)
        self._fell = np.zeros((0, 0))
        """When each link went down last."""

    def believe(self, now: float, figures: Figures, delay: Matrix) -> tuple[Matrix, ...]:
        """``delay`` (ms one way, inf where no link works), jitter, loss and a penalty for flaps, as
        believed. ``now`` in seconds."""
        self._carry(figures.order)
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        good = 1.0 - np.exp(-passed / BETTER_S)
        self._delay = _held(self._delay, delay, good)
        self._tail = _held(self._tail, figures.tail, good)
        worse = 1.0 - np.exp(-passed / LOSS_WORSE_S)
        better = 1.0 - np.exp(-passed / LOSS_BETTER_S)
        # What a dead link loses says nothing of it alive: the hold and the penalty see to that.
        dead = figures.down | figures.held
        before = np.where(np.isnan(self._loss), np.where(dead, 0.0, figures.loss), self._loss)
        step = np.where(figures.loss > before, worse, better)
        self._loss = before + (figures.loss - before) * np.where(dead, 0.0, step)
        self._flaps *= 0.5 ** (passed / FLAP_HALF_S)
        fell = figures.down & ~self._down
        doubted = figures.suspect & ~self._suspect & ~fell
        self._flaps += FLAP_MS * fell + 0.25 * FLAP_MS * doubted
        np.minimum(self._flaps, FLAP_MOST_MS, out=self._flaps)
        self._down, self._suspect = figures.down, figures.suspect
        self._fell[fell] = now
        lost = (figures.down & (now - self._fell < SICK_S)).sum(axis=1)
        sick = lost >= SICK_LINKS
        dying = SICK_MS * (sick[:, None] | sick[None, :])
        return self._delay, self._tail, self._loss, self._flaps + dying

    def _carry(self, order: tuple[int, ...]) -> None:
        if order == self._order:
            return
        nan = float("nan")
        self._delay = carried(self._delay, self._order, order, nan)
        self._tail = carried(self._tail, self._order, order, nan)
        self._loss = carried(self._loss, self._order, order, nan)
        self._flaps = carried(self._flaps, self._order, order, 0.0)
        self._fell = carried(self._fell, self._order, order, -np.inf)
        # What was down when it was first seen has not fallen.
        self._down = carried(self._down.astype(float), self._order, order, 1.0) > 0
        self._suspect = carried(self._suspect.astype(float), self._order, order, 1.0) > 0
        self._order = order


def worth_moving(held: Matrix, best: Matrix) -> Flags:
    """Where a path costing ``held`` ms (inf: broken) should give way to one of ``best`` ms."""
    with np.errstate(invalid="ignore"):
        gain: Flags = (best < held - GAIN_MS) & (best < held * (1.0 - GAIN_SHARE))
    return gain


def _held(before: Matrix, now: Matrix, good: float) -> Matrix:
    """Up at once, down by the share ``good`` of the way; from nothing at once."""
    with np.errstate(invalid="ignore"):
        falling = np.isfinite(before) & (now < before)
        return np.where(falling, before + (now - before) * good, now)
