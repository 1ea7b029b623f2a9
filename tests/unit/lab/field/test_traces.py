"""Traces: what a file says is what is replayed, and its queue is one of bytes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from fairlead.lab.field import scenario, traces
from fairlead.lab.field.scenario import Weather
from fairlead.server.toml import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text)
    return path


def test_a_mahimahi_trace_is_rates_of_its_bins(tmp_path: Path) -> None:
    # A packet each 10 ms for 200 ms, nothing for 200 ms, two a millisecond at the end.
    times = [*range(10, 200, 10), *range(400, 600), *range(400, 601)]
    trace = traces.read(written(tmp_path, "\n".join(map(str, sorted(times)))))
    assert trace.seconds == pytest.approx(0.6)
    assert [step.kbps for step in trace.steps] == [19 * 60, 0, 401 * 60]
    assert trace.mean_kbps == pytest.approx((19 + 401) * 12_000 / 0.6 / 1e3)


def test_a_table_is_replayed_over_and_over(tmp_path: Path) -> None:
    trace = traces.read(written(tmp_path, "seconds,kbps\n0,1000\n3,250\n5,0\n"))
    assert (trace.seconds, trace.mean_kbps) == (5.0, 700.0)
    steps = list(itertools.islice(trace.replayed(), 5))
    assert steps == [(0, 1000), (3, 250), (5, 1000), (8, 250), (10, 1000)]


def test_the_queue_keeps_its_bytes(tmp_path: Path) -> None:
    trace = traces.read(written(tmp_path, "seconds,kbps\n0,1000\n3,250\n5,0\n"))
    first = trace.weather(Weather(queue_ms=500.0), 1000)
    assert (first.rate_kbps, first.queue_ms) == (1000, pytest.approx(350))
    slow = trace.weather(first, 250)
    assert (slow.rate_kbps, slow.queue_ms) == (250, pytest.approx(1_400))
    still = trace.weather(slow, 0)
    assert still.rate_kbps == traces.LEAST_KBPS
    back = trace.weather(still, 1000)
    assert back.queue_ms == pytest.approx(350)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("5\n3\n", "line 2: '3' is no millisecond after the one before"),
        ("5\nx\n", "line 2: 'x' is no millisecond"),
        ("seconds,kbps\n1,5\n", "line 2: '1,5' is no moment with its rate"),
        ("seconds,kbps\n0,5\n2,-1\n", "line 3"),
        ("seconds,kbps\n0,nan\n2,1\n", "line 2"),
        ("seconds,kbps\n0,5\n", "has 1 moments: give two"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        traces.read(written(tmp_path, text))


def test_a_trace_is_found_beside_its_scenario(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('summary = "."\nseconds = 20\naccess.lte = { trace = "down" }\n')
    one = scenario.find(str(file))
    assert one.access["lte"].trace == str(tmp_path / "down")
    with pytest.raises(ConfigError, match="can't be read"):
        traces.read(Path(one.access["lte"].trace))
