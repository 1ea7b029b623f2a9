"""The last-mile bench: its rows are sound, and what did not come back is never within a target."""

from __future__ import annotations

import math

import pytest

from bench import lastmile
from bench.lastmile_rows import Aim, Figure, rows
from fairlead.lab.field import scenario
from tests.unit.lab.field.test_report import result


def test_the_rows_are_scenarios_that_can_be_run() -> None:
    found = rows("sdk", "/traces/lte.down")
    assert len({row.scenario.name for row in found}) == len(found) == 14 + 12
    for row in found:
        scenario._check(row.scenario)
        assert row.scenario.client == "sdk"
        assert row.scenario.shows(row.way)


def test_figures_are_of_runs_that_count() -> None:
    row = next(row for row in rows() if row.scenario.name == "A-30")
    runs = [result(1), result(2, poor=True), result(3, void=True)]
    of = {one.name: lastmile.values(runs, row, one) for one in row.figures}
    assert of["concealed"] == [1.0, 1.0]
    assert of["words swallowed"] == [0.0, pytest.approx(600 / 87)]
    assert of["picture stood"] == [6.0, 6.0]


def test_what_never_came_misses_its_target() -> None:
    full = Figure("full", "s", lambda *_: None, Aim(5))
    rate = Figure("pictures", "/s", lambda *_: 0.0, Aim(15), more=True)
    assert lastmile.met(full, [1.0, math.inf, math.inf]) is False
    assert lastmile.met(full, [1.0, 2.0, math.inf]) is True
    assert lastmile.met(full, []) is None
    assert lastmile.met(rate, [14.0]) is False
    assert lastmile.met(rate, [15.0]) is True
    assert lastmile.shown(full, [1.0, math.inf, math.inf]) == "never (1.0, never, never)"
    assert lastmile.shown(rate, [15.0]) == "15.0 /s"
