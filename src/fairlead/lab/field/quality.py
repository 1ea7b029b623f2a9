"""How good a conversation would be rated, from delay and loss alone: the E-model, simplified.

ITU-T G.107.1 (wideband, R up to 129) with all defaults, reduced to its two terms that a network
moves: delay (Idd) and packet loss (Ie,eff). G.113 has no figures for Opus: the ones here are
placeholders, so that ratings compare runs with each other and nothing else.
"""

from __future__ import annotations

import math

BEST = 129.0
"""R of a wideband connection without any impairment (Ro,wb)."""
EQUIPMENT, ROBUSTNESS = 0.0, 20.0
"""Ie,wb and Bpl of the codec."""
PATIENCE_MS = 100.0
"""A delay up to this does not count (Ta)."""


def rating(delay_ms: float, concealed: float) -> float:
    """R, 0 to 129: of a mouth-to-ear delay and the share of sound that was made up."""
    lost = 100 * concealed
    heard = EQUIPMENT + (95 - EQUIPMENT) * lost / (lost + ROBUSTNESS)
    return max(0.0, BEST - _late(delay_ms) - heard)


def opinion(rated: float) -> float:
    """The mean opinion score (1 to 4.5) that goes with R (G.107.1 annex A: scaled to 100)."""
    r = min(100.0, max(0.0, rated / 1.29))
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _late(delay_ms: float) -> float:
    """Idd."""
    if delay_ms <= PATIENCE_MS:
        return 0.0
    x = math.log2(delay_ms / PATIENCE_MS)
    grown = math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6)
    return 25 * (grown + 2)
