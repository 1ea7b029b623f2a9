"""What a directed link costs, in ms: delay and everything else that hurts, made comparable.

``delay + jitter p95 + A x loss % + B x max(0, use - 0.6)^2 + C x price per GB``, and 1 ms for each
relay. Loss adds in log space, so that costs add along a path. A is within two or three times of
what VIA's thresholds of equal pain say (320 ms of round trip, 1.2 % of loss).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairlead.routing.links import Figures, Matrix

LOSS_MS = 100.0
"""A: for each percent lost after repair."""
LOSS_FREE = 0.002
"""Share that costs nothing: a stray packet of a quiet link is no loss."""
CROWDED = 0.6
USE_MS = 60.0 / (0.85 - CROWDED) ** 2
"""B: a link in use to 85 % costs 60 ms more."""
FULL = 0.85
"""A link fuller than this is not used while another way is lawful."""
PRICE_MS = 20.0
"""C: for each unit of price per GB."""
RELAY_COST_MS = 1.0
DELAY_BUDGET_MS = 400.0
"""One way; a slower path is used only if there is no other (ITU-T G.114's limit)."""


HELD_MS = 2_000.0
"""What a link on hold costs a first path on top: more than any way that can be heard."""
HELD_COPY_MS = 60.0
"""And a second one. A copy may be lost; one that comes late makes the listener wait when the first
path fails."""
FULL_MS = 10_000.0
"""What such a link costs on top."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What each directed link costs, by cause, in ms; only ``delay`` is inf where none works."""

    delay: Matrix
    jitter: Matrix
    loss: Matrix
    use: Matrix
    price: Matrix
    unsteady: Matrix
    """It fell lately."""
    held: Matrix
    """It is on hold."""
    probation: Matrix
    """It is new or came back, and has carried little since."""

    def total(self) -> Matrix:
        """The sum, for first paths."""
        parts = (self.jitter, self.loss, self.use, self.price, self.unsteady, self.held)
        return self.delay + sum(parts, self.probation)

    def spare(self) -> Matrix:
        """The sum, for second paths."""
        return self.total() - np.where(self.held > 0, HELD_MS - HELD_COPY_MS, 0.0)


def parts_of(figures: Figures, believed: tuple[Matrix, ...]) -> Parts:
    """The costs of links from their figures and what `Damping.believe` made of them; probation
    is not in it yet."""
    delay, tail, loss, flaps = believed
    percent = -100.0 * np.log1p(-np.minimum(np.maximum(loss - LOSS_FREE, 0.0), 0.9999))
    crowd = np.maximum(0.0, np.minimum(figures.use, 2.0) - CROWDED)
    use = USE_MS * crowd**2 + np.where(figures.use > FULL, FULL_MS, 0.0)
    return Parts(
        delay=np.where(np.isfinite(figures.rtt), delay, np.inf),
        jitter=tail,
        loss=LOSS_MS * percent,
        use=use,
        price=PRICE_MS * figures.price,
        unsteady=flaps,
        held=np.where(figures.held, HELD_MS, 0.0),
        probation=np.zeros_like(delay),
    )
