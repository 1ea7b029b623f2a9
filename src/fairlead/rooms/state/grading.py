"""How well a participant is connected, from what its packets tell.

Speech decides: the transmission rating of the E-model (ITU-T G.107), with the delay impairment as
simplified by Cole and Rosenbluth (Voice over IP Performance Monitoring, ACM CCR 31(2), 2001) and
the loss impairment of G.107 for a codec that conceals losses as well as G.711 with packet loss
concealment does (G.113 appendix I). The classes are those of G.109. Layers of a picture that are
asked for and do not come count on top.
"""

from __future__ import annotations

from livekit.protocol.models import ConnectionQuality

from fairlead.protocol.node import Figures

BEST_RATING = 93.2
"""G.107 with every parameter at its default."""
LOSS_ROBUSTNESS = 25.1
"""Bpl of G.113 appendix I for random loss."""
JITTER_BUFFER = 2.0
"""Delay that a playout buffer adds, in units of the jitter."""
MISSING_PICTURE = 35.0
"""Off the rating when nothing comes of the pictures that are asked for."""
FEWEST_PACKETS = 50
"""In 5 s: of fewer (muted, or silent under DTX) one lost by chance would be a share."""
LOST_AFTER = 8.0
"""Seconds without a sign of life: consent checks come every 4 to 6 s (RFC 7675 section 5.1)."""
SURE_AFTER = 2
"""Reports in a row that must be better before a better quality is told."""

EXCELLENT_FROM = 80.0
"""G.109: users are satisfied."""
GOOD_FROM = 60.0
"""G.109: below, nearly all users are dissatisfied."""

RANK = {
    ConnectionQuality.LOST: 0,
    ConnectionQuality.POOR: 1,
    ConnectionQuality.GOOD: 2,
    ConnectionQuality.EXCELLENT: 3,
}


def rating(figures: Figures) -> float:
    """The transmission rating R, 0 to `BEST_RATING`: of the worse direction."""
    delay = (figures.rtt_ms or 0.0) / 2 + JITTER_BUFFER * figures.jitter_ms
    off = 0.024 * delay + 0.11 * max(0.0, delay - 177.3)
    losses = [
        loss
        for packets, loss in (
            (figures.packets_up, figures.loss_up),
            (figures.packets_down, figures.loss_down),
        )
        if packets >= FEWEST_PACKETS
    ]
    percent = 100.0 * min(1.0, max(losses, default=0.0))
    off += 95.0 * percent / (percent + LOSS_ROBUSTNESS)
    if figures.layers_wanted:
        missing = 1.0 - min(1.0, figures.layers_sent / figures.layers_wanted)
        off += MISSING_PICTURE * missing
    return max(0.0, BEST_RATING - off)


def mean_opinion(score: float) -> float:
    """The mean opinion score, 1 to 4.5, that G.107 annex B gives a rating."""
    if score <= 0:
        return 1.0
    return 1 + 0.035 * score + score * (score - 60) * (100 - score) * 7e-6


def grade(figures: Figures) -> ConnectionQuality:
    """The quality of one report by itself."""
    if figures.silent_s >= LOST_AFTER:
        return ConnectionQuality.LOST
    score = rating(figures)
    if score >= EXCELLENT_FROM:
        return ConnectionQuality.EXCELLENT
    return ConnectionQuality.GOOD if score >= GOOD_FROM else ConnectionQuality.POOR


class Grade:
    """One participant's quality over time: it gets worse at once, and better when it stays so."""

    def __init__(self) -> None:
        self.quality = ConnectionQuality.EXCELLENT
        self._better = 0

    def take(self, found: ConnectionQuality) -> bool:
        """Whether a report changes the quality."""
        if RANK[found] <= RANK[self.quality]:
            self._better = 0
        else:
            self._better += 1
            if self._better < SURE_AFTER:
                return False
            self._better = 0
        changed = found != self.quality
        self.quality = found
        return changed


SCORES = {
    ConnectionQuality.EXCELLENT: round(mean_opinion(BEST_RATING), 1),
    ConnectionQuality.GOOD: round(mean_opinion((EXCELLENT_FROM + GOOD_FROM) / 2), 1),
    ConnectionQuality.POOR: round(mean_opinion(GOOD_FROM - 10), 1),
    ConnectionQuality.LOST: 1.0,
}
"""A typical mean opinion score of each quality."""
