"""The page: every run, void ones and misses included, servers beside each other, safe to send."""

from __future__ import annotations

import io
import re
import wave
from base64 import b64decode
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fairlead.lab.field import clips, quality, report, scenario
from fairlead.lab.field.beside import Call
from fairlead.lab.field.measure import Listened
from fairlead.lab.field.people import Heard, Told
from fairlead.lab.field.run import Result
from fairlead.lab.field.sound import SAMPLE_RATE
from fairlead.lab.field.verdict import Health
from fairlead.lab.field.watching import Picture, Recovery, Watched

ONE = scenario.parse('summary = "<b>."\nseconds = 16\naccess.wifi = {}', "a<b")
HEARD = Listened(
    words=87,
    swallowed=[],
    longest_s=0.0,
    delays=[(0.5 * step, 120.0) for step in range(30)],
    concealed=0.01,
    packets=800,
    lost=16,
    discarded=0,
    clock=1.0,
)
POOR = msgspec.structs.replace(HEARD, swallowed=[8.0, 8.2, 8.4, 8.6, 8.8, 9.0], longest_s=1.0)
SEEN = Watched(
    since=0.0,
    until=16.0,
    pictures=[Picture(0.05 * n, 90.0, 320 if n < 40 else 640) for n in range(200)],
    shown=320,
    unreadable=[],
    stalls=[(10.0, 6.0)],
    w3c_freezes=0,
    w3c_frozen_s=0.0,
    longest_gap_s=6.0,
    recoveries=[Recovery(at=6.0, frames_s=None, picture_s=1.5)],
    packets=900,
    lost=3,
    kbps=450.0,
    client_freezes=0,
    client_frozen_s=0.0,
    client_decoded=200,
)


def result(
    seed: int, *, poor: bool = False, void: bool = False, server: str = "Fairlead"
) -> Result:
    return Result(
        scenario="a<b",
        server=server,
        seed=seed,
        began=0.0,
        ways={"up": HEARD, "down": POOR if poor else HEARD},
        seen={"down": SEEN},
        health=Health(late_p99_ms=0, steal=0, clock=1, spread_ms=0, swallowed_before=0),
        complaints=["the <host>"] if void else [],
        misses={"up": [], "down": ["too <much>"] if poor else []},
        log=[(6.0, "wifi: cut")],
        traffic=[(0.5 * n, "wifi", way, 30) for n in range(30) for way in ("up", "down")],
        packets={},
        counters={"jakarta": {"forwarded": 1_234}},
    )


def test_further_calls_are_told_with_how_fairly_all_shared() -> None:
    call = Call(name="ayu2", at=4.0, ways={"up": HEARD, "down": POOR}, seen={"down": SEEN})
    run = msgspec.structs.replace(result(1), beside=[call], fairness={"down": 0.913})
    page = report.page({"a<b": ONE}, {"a<b": [run]})
    assert "ayu2, from 4 s: 6 of 87 words swallowed" in page
    assert "Fairness (Jain's index) of all calls' pictures: 0.91." in page
    alone = report.page({"a<b": ONE}, {"a<b": [result(1)]})
    chart = "pictures a second; red"
    assert page.count(chart) == 2 * alone.count(chart) > 0


def test_figures_are_medians_of_what_counts() -> None:
    runs = [result(1), result(2, poor=True), result(3, poor=True), result(4, poor=True, void=True)]
    found = report.summary(runs, "down")
    assert found is not None
    assert found.runs == 3
    assert found.swallowed[0] == pytest.approx(6 / 87)
    assert found.swallowed[1] == 0.0
    assert found.fps is not None
    assert found.fps[0] == pytest.approx(200 / 16)
    assert found.stall_s == (6.0, 6.0, 6.0)
    up = report.summary(runs, "up")
    assert up is not None
    assert up.fps is None
    assert report.verdict(runs) == "miss"
    assert report.verdict(runs[3:]) == "void"
    assert report.summary(runs[3:], "up") is None


def test_the_page_shows_all_and_runs_nothing_of_what_it_is_given() -> None:
    runs = [result(1, poor=True), result(2, void=True), result(3, server="ws://peer")]
    page = report.page({"a<b": ONE}, {"a<b": runs})
    assert "<b>." not in page
    assert "too &lt;much&gt;" in page
    assert "void: the &lt;host&gt;" in page
    assert "Fairlead beside ws://peer" in page
    assert page.count("<svg") == 3 * (2 + 1 + 2)
    assert "after 6 s pictures flow in never, fully in 1.5 s" in page
    assert "forwarded 1,234" in page
    assert "<b class=bad>miss</b>" in page
    assert "<b class=soft>no limits</b>" in page
    assert not re.search(r"https?:|<script|src='(?!data:)", page)


def test_clips_are_what_was_heard_around_the_event(tmp_path: Path) -> None:
    seconds = np.arange(12 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 500 * seconds) * np.where(seconds < 6, 0.25, 0.5)
    path = tmp_path / "ear"
    path.write_bytes((tone * 32_767).astype(np.int16).tobytes())
    marks = [(count, 100.0 + count / SAMPLE_RATE) for count in range(480, len(tone), 480)]
    listener = Told(heard=[Heard(recording=str(path), marks=marks, samples=[])])
    found = clips.sounded(clips.laid_out(listener, 102.0, 114.0), 4.0)
    assert len(found.peaks) == 300
    assert [found.peaks[at] for at in (10, 80, 120, 290)] == [25, 25, 50, 0]
    before, after = found.clips
    assert (before.at, after.at) == (1.0, 4.0)
    with wave.open(io.BytesIO(before.wav)) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        assert file.getnframes() == 3 * 16_000
    assert clips.sounded(clips.laid_out(Told(), 102.0, 114.0), None).peaks == [0] * 300
    shown = report._clips(found)
    assert b64decode(re.findall(r"base64,([^']+)'", shown)[0]) == before.wav


def test_a_rating_falls_with_delay_and_with_what_was_made_up() -> None:
    assert quality.opinion(quality.rating(80, 0)) == pytest.approx(4.5)
    late = [quality.opinion(quality.rating(ms, 0)) for ms in (100, 150, 400, 800)]
    assert late == sorted(late, reverse=True)
    assert late[0] > late[2] + 0.4 > late[3] + 0.8
    made_up = [quality.opinion(quality.rating(80, share)) for share in (0, 0.05, 0.3, 1)]
    assert made_up == sorted(made_up, reverse=True)
    assert 1 <= made_up[-1] < 2
