"""How well connected: the E-model, what counts and what says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import ConnectionQuality

from fairlead.protocol.node import Figures
from fairlead.rooms.state.grading import BEST_RATING, LOST_AFTER, Grade, grade, mean_opinion, rating

LOST, POOR, GOOD, EXCELLENT = (
    ConnectionQuality.LOST,
    ConnectionQuality.POOR,
    ConnectionQuality.GOOD,
    ConnectionQuality.EXCELLENT,
)


def figures(**said: Any) -> Figures:
    """A good connection, but for what is said."""
    good = {
        "participant": 1,
        "packets_up": 250,
        "loss_up": 0.0,
        "jitter_ms": 2.0,
        "packets_down": 250,
        "loss_down": 0.0,
        "rtt_ms": 40.0,
        "silent_s": 0.1,
        "layers_wanted": 0,
        "layers_sent": 0,
    }
    return Figures(**(good | said))


@pytest.mark.parametrize(
    ("said", "quality"),
    [
        ({}, EXCELLENT),
        ({"loss_down": 0.02}, EXCELLENT),
        ({"loss_down": 0.05}, GOOD),
        ({"loss_up": 0.2}, POOR),
        ({"rtt_ms": 300.0}, EXCELLENT),
        ({"rtt_ms": 700.0}, GOOD),
        ({"rtt_ms": 1000.0}, POOR),
        ({"jitter_ms": 120.0}, GOOD),
        ({"layers_wanted": 3, "layers_sent": 3}, EXCELLENT),
        ({"layers_wanted": 3, "layers_sent": 1}, GOOD),
        ({"layers_wanted": 3, "layers_sent": 0}, POOR),
        ({"silent_s": LOST_AFTER}, LOST),
    ],
)
def test_what_is_how_good(said: dict[str, Any], quality: ConnectionQuality) -> None:
    assert grade(figures(**said)) == quality


def test_few_packets_say_nothing_of_loss() -> None:
    muted = figures(packets_up=0, loss_up=0.0, packets_down=12, loss_down=0.5)
    assert rating(muted) == rating(figures())


def test_the_rating_of_g711_with_concealment_at_one_percent() -> None:
    # G.113 appendix I, figure for G.711 with PLC under random loss: Ie-eff of about 3.6 at 1 %.
    off = BEST_RATING - rating(figures(rtt_ms=0.0, jitter_ms=0.0, loss_up=0.01))
    assert off == pytest.approx(3.64, abs=0.05)


def test_mean_opinions_of_the_annex() -> None:
    # G.107 annex B: R of 93.2 is 4.41, R of 60 is 3.10, nothing is 1.
    assert mean_opinion(BEST_RATING) == pytest.approx(4.41, abs=0.01)
    assert mean_opinion(60.0) == pytest.approx(3.10, abs=0.01)
    assert mean_opinion(0.0) == 1.0


shares = st.floats(0, 1)


@given(shares, shares, st.floats(0, 5000), st.floats(0, 5000))
def test_more_loss_is_never_better(less: float, more: float, rtt: float, jitter: float) -> None:
    less, more = min(less, more), max(less, more)
    rest = {"rtt_ms": rtt, "jitter_ms": jitter}
    good, bad = (rating(figures(loss_up=loss, **rest)) for loss in (less, more))
    assert 0.0 <= bad <= good <= BEST_RATING


@given(st.floats(-5, 50), st.integers(0, 1000))
def test_lies_stay_in_bounds(loss: float, layers: int) -> None:
    lie = figures(loss_down=loss, layers_sent=layers, layers_wanted=1)
    assert 0.0 <= rating(lie) <= BEST_RATING


def test_worse_at_once_and_better_when_it_stays() -> None:
    one = Grade()
    assert not one.take(EXCELLENT)
    assert one.take(POOR)
    assert one.quality == POOR
    assert not one.take(EXCELLENT)
    assert not one.take(POOR)
    assert not one.take(GOOD)
    assert one.take(EXCELLENT)
    assert one.quality == EXCELLENT
