"""The field lab tests itself: what it does to a network is what it finds, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.behind import POSSIBLE

SCENARIO = """
summary = "A second of nothing."
seconds = 9

[access.wifi]
delay_ms = 20

[[event]]
at = 4
access = "wifi"
cut = true

[[event]]
at = 5
access = "wifi"
cut = false

[limits.down]
longest_s = 0.3
"""


def lab(file: Path, *options: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """`fairlead lab run` of a scenario."""
    command = [sys.executable, "-m", "fairlead.cli", "lab", "run", str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def run_of(folder: Path, scenario: str) -> dict[str, Any]:
    """What came of a scenario that sets no limits, or whose run kept them: its last run."""
    file, figures = (folder / f"scenario.{end}" for end in ("toml", "json"))
    file.write_text(scenario)
    done = lab(file, "--json", str(figures), "--tries", "2")
    # 3: the machine was too busy for any run to count; what was heard is told all the same.
    assert done.returncode in (0, 3), done.stderr
    run: dict[str, Any] = json.loads(figures.read_text())["scenario"][-1]
    return run


def is_seen(stalls: list[tuple[float, float]]) -> bool:
    """Whether the picture stood while the cable was cut, but for what a client had in hand."""
    return any(3.5 < at < 5.0 and length > 0.75 for at, length in stalls)


@POSSIBLE
def test_a_second_of_nothing_is_what_is_swallowed(tmp_path: Path) -> None:
    file, page, figures = (tmp_path / f"second.{end}" for end in ("toml", "html", "json"))
    file.write_text(SCENARIO)
    done = lab(file, "--report", str(page), "--json", str(figures), "--tries", "2")
    # 3: the machine was too busy for any run to count; what was heard is told all the same.
    assert done.returncode in (1, 3), done.stderr
    runs = json.loads(figures.read_text())["second"]
    for way in ("up", "down"):
        heard = runs[-1]["ways"][way]
        assert 4 <= len(heard["swallowed"]) <= 15, heard["swallowed"]
        assert all(3.5 < at < 6.5 for at in heard["swallowed"]), heard["swallowed"]
        assert 0.5 < heard["longest_s"] < 2.0
        seen = runs[-1]["seen"][way]
        assert is_seen(seen["stalls"]), seen["stalls"]
        if done.returncode == 1:
            assert all(at > 3.5 for at, _ in seen["stalls"]), (
                "nothing stands before anything happens"
            )
        assert seen["unreadable"] == []
    assert "s swallowed in a row: at most 0.3 s" in runs[-1]["misses"]["down"][0]
    assert page.read_text().count("<svg") == 2 * 4 * len(runs)
    assert page.read_text().count("data:audio/wav") == 2 * 2
    assert not Path("/sys/class/net/fl1o").exists()


@POSSIBLE
def test_people_who_speak_are_heard_and_scored(tmp_path: Path) -> None:
    file, figures = (tmp_path / f"speech.{end}" for end in ("toml", "json"))
    text = SCENARIO.replace("seconds = 9", 'seconds = 12\nvoice = "es"\npictures = "none"')
    file.write_text(text.replace("cut = true", "loss = 0.9").replace("cut = false", "loss = 0"))
    done = lab(file, "--json", str(figures), "--tries", "2")
    assert done.returncode in (0, 1, 3), done.stderr
    run = json.loads(figures.read_text())["speech"][-1]
    for way in ("up", "down"):
        heard = run["ways"][way]
        assert heard["words"] > 15
        assert all(3.5 < at < 7.0 for at in heard["swallowed"]), heard["swallowed"]
        assert 1.0 <= heard["listening"]["after"] <= heard["listening"]["before"] + 0.5
        assert heard["listening"]["before"] > 3.0, heard["listening"]


FURTHER = """
summary = "Two calls, the second from further away."
seconds = 16
pictures = "none"

[access.wifi]
delay_ms = 10

[[beside]]
delay_ms = 150
"""


@POSSIBLE
def test_a_call_from_further_behind_the_same_network_is_that_much_later(tmp_path: Path) -> None:
    run = run_of(tmp_path, FURTHER)
    [further] = run["beside"]
    for way in ("up", "down"):
        near, far = (
            np.median([ms for _, ms in call["ways"][way]["delays"]]) for call in (run, further)
        )
        assert 100 < far - near < 230, (near, far)
        assert further["ways"][way]["words"] > 10


@POSSIBLE
@pytest.mark.browser
def test_a_page_is_heard_and_seen_and_hears_and_sees(tmp_path: Path) -> None:
    file, figures = (tmp_path / f"page.{end}" for end in ("toml", "json"))
    file.write_text(SCENARIO.replace("seconds = 9", 'seconds = 9\nclient = "chromium"'))
    done = lab(file, "--json", str(figures), "--tries", "2")
    assert done.returncode in (1, 3), done.stderr
    run = json.loads(figures.read_text())["page"][-1]
    for way in ("up", "down"):
        heard, seen = run["ways"][way], run["seen"][way]
        assert 4 <= len(heard["swallowed"]) <= 20, heard["swallowed"]
        assert heard["delays"]
        assert is_seen(seen["stalls"]), seen["stalls"]
        assert seen["client_decoded"] > 20


TWO_NETWORKS = """
summary = "The network in use dies; the device has another."
seconds = 12
pictures = "none"

[access.wifi]
delay_ms = 10

[access.lte]
delay_ms = 30

[[event]]
at = 4
access = "wifi"
cut = true
"""


@POSSIBLE
def test_who_has_two_networks_is_told_to_leave_the_one_that_dies(tmp_path: Path) -> None:
    run = run_of(tmp_path, TWO_NETWORKS)
    for way in ("up", "down"):
        heard = run["ways"][way]
        # The client by itself: 3.5 s.
        assert heard["longest_s"] < 1.5, heard["swallowed"]
        assert heard["words"] > 15


APPEARS = """
summary = "The only network goes with its address, and another comes."
seconds = 14
client = "chromium"
watchdog = true
pictures = "none"

[access.wifi]
delay_ms = 10

[access.lte]
delay_ms = 30
present = false

[[event]]
at = 4
access = "wifi"
present = false

[[event]]
at = 4.5
access = "lte"
present = true
"""


@POSSIBLE
@pytest.mark.browser
def test_the_watchdog_brings_a_page_back_when_another_network_comes(tmp_path: Path) -> None:
    run = run_of(tmp_path, APPEARS)
    # Now and then the browser tells the client of the change before the watchdog has seen it.
    signs = ("the session is taken up again", "loses its signalling")
    noticed = [at for at, text in run["log"] if any(sign in text for sign in signs)]
    assert 4.4 < noticed[0] < 7.0, run["log"]
    for way in ("up", "down"):
        # Without it the page notices after 15 s, and nobody hears anybody till then.
        last = run["ways"][way]["delays"][-1][0]
        assert last > 11, run["log"]
        assert run["ways"][way]["longest_s"] < 6.0, run["ways"][way]["swallowed"]


def test_a_scenario_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(SCENARIO.replace("cut = true", "cut = 3"))
    done = lab(file, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fairlead: {file}, line 11: event.cut: expected bool")
    assert len(done.stderr.splitlines()) == 1
