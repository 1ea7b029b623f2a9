"""Scenarios: what ships can be read, what is wrong is said with its remedy."""

from __future__ import annotations

import pytest

from fairlead.lab.field import scenario
from fairlead.lab.field.scenario import Change, Weather
from fairlead.server.toml import ConfigError

GOOD = """
summary = "a lift"
seconds = 20
[access.lte]
delay_ms = 30
rate_kbps = 8000
[access.lte.up]
rate_kbps = 2000
[[event]]
at = 10
access = "lte"
loss = "30%"
"""


def test_all_that_ship_are_sound() -> None:
    shipped = scenario.shipped()
    assert {"control", "wifi-to-4g", "loss-30-down"} <= shipped.keys()
    for name, one in shipped.items():
        assert one.name == name
        assert one.summary.endswith(".")
        assert one.limits.up != scenario.Bounds() or one.limits.down != scenario.Bounds()


def test_ways_and_events_change_only_what_they_name() -> None:
    lift = scenario.parse(GOOD, "lift")
    both = Weather().changed(lift.access["lte"])
    up = both.changed(lift.access["lte"].up)
    assert (both.rate_kbps, up.rate_kbps, up.delay_ms) == (8000, 2000, 30.0)
    after = up.changed(lift.event[0])
    assert (after.loss, after.rate_kbps, after.delay_ms) == (0.3, 2000, 30.0)
    assert after.changed(Change(rate_kbps=0, loss=0)) == Weather(delay_ms=30.0)
    assert lift.first_event == 10


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seconds = 20", "seconds = 2", "seconds is 2: give 8 to 300"),
        ("delay_ms = 30", "delay = 30", "line 5.*no key 'delay'.*delay_ms"),
        ("delay_ms = 30", "delay_ms = -1", "access.lte: delay_ms is -1: give 0 or more"),
        ("delay_ms = 30", "present = false", "no access is present at the start"),
        ('"30%"', '"130%"', "the event at 10 s: loss: '130%' is not a share"),
        ("at = 10", "at = 40", "an event is at 40 s: give a moment within the 20 s"),
        ('access = "lte"', 'access = "wifi"', "for access 'wifi'; there are lte"),
        ("delay_ms = 30", "outage_every_ms = 9", "has no outage_ms beside it"),
        ("delay_ms = 30", "burst = 0.5", "burst is 0.5: give 1 or more"),
        ("summary", 'regions = ["atlantis"]\nsummary', "there is no region 'atlantis'"),
        ("[access.lte]", "[access.LTE]", "access 'LTE': give a name"),
        ("seconds = 20", "seconds = 20\njudged_from = 17", "judged_from is 17: leave 4 s at least"),
        ("seconds = 20", "seconds = 20\npictures = 'none'\nlimits.up.fps = 3", "needs pictures"),
        ("seconds = 20", "seconds = 20\nvoice = 'tlh'", "no voice 'tlh'; there are count, en, "),
        ("seconds = 20", "seconds = 20\nlimits.up.listening = 3", "needs somebody who speaks"),
        ("seconds = 20", "seconds = 20\nlimits.up.stall_s = -1", "limits.up.stall_s is -1: give"),
        ("seconds = 20", "seconds = 20\nbeside = [{}, {}, {}, {}]", "beside has 4 calls: give up"),
        ("seconds = 20", "seconds = 20\nbeside = [{at = 15}]", "begins at 15 s: give 0 to 12"),
        ("seconds = 20", "seconds = 20\nbeside = [{delay_ms = -1}]", "of -1: give 0 to 1000"),
        ("seconds = 20", "seconds = 20\nbeside = [{paused = [9, 9]}]", "is paused at .*two mom"),
        ("seconds = 20", "seconds = 20\nlimits.up.fairness = 0.8", "needs further calls"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scenario.parse(GOOD.replace(old, new, 1), "lift")


def test_an_event_of_a_link() -> None:
    text = GOOD.replace("seconds", 'regions = ["jakarta", "singapore", "frankfurt"]\nseconds', 1)
    text = text.replace('access = "lte"', 'link = ["jakarta", "frankfurt"]')
    assert scenario.parse(text, "cut").event[0].link == ["jakarta", "frankfurt"]
    with pytest.raises(ConfigError, match="a link has no hold"):
        scenario.parse(text + "hold = true", "cut")
    with pytest.raises(ConfigError, match="a link changes both ways"):
        scenario.parse(text + 'way = "up"', "cut")


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"there is no scenario 'lift'; there are .*control, "):
        scenario.find("lift")
    with pytest.raises(ConfigError, match="can't be read"):
        scenario.find("/nowhere/lift.toml")
