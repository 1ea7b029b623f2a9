"""Figures as people write them."""

from __future__ import annotations

import pytest

from fairlead.cli import quantity
from fairlead.cli.failure import Failure


def test_units() -> None:
    assert quantity.milliseconds("--delay", "80ms") == 80
    assert quantity.milliseconds("--delay", "0.08s") == 80
    assert quantity.milliseconds("--delay", "80") == 80
    assert quantity.seconds("--for", "10s") == 10
    assert quantity.seconds("--for", "2m") == 120
    assert quantity.seconds("--for", "500 ms") == 0.5
    assert quantity.kilobits("--rate", "2Mbps") == 2000
    assert quantity.kilobits("--rate", "300kb/s") == 300
    assert quantity.portion("--loss", "5%") == 0.05
    assert quantity.portion("--loss", "0.05") == 0.05


def test_what_is_absent_stays_absent() -> None:
    assert quantity.milliseconds("--delay", None) is None
    assert quantity.kilobits("--rate", None) is None
    assert quantity.portion("--loss", None) is None


@pytest.mark.parametrize("text", ["fast", "-5ms", "5 parsecs", "", "1e3ms"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Failure, match=r"--delay: .* such as 80ms"):
        quantity.milliseconds("--delay", text)


@pytest.mark.parametrize("text", ["5", "101%", "-1%", "much"])
def test_a_share_is_between_none_and_all(text: str) -> None:
    with pytest.raises(Failure, match="--loss"):
        quantity.portion("--loss", text)
