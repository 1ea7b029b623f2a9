"""What field tests found, for people: one HTML file that needs nothing else, and JSON beside it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np

from fairlead.lab.field.measure import Listened
from fairlead.lab.field.run import Result
from fairlead.lab.field.scenario import WAYS, Scenario, Way
from fairlead.lab.field.verdict import growth_ms

HEARD_BY: dict[Way, str] = {
    "up": "the other person hears the one under test",
    "down": "the person under test hears the other",
}
BOOTSTRAPS = 2_000
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 150, 48, 22
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d5dae0; --bad: #c6312b;
  --good: #20794a; --blue: #2660c9; --ground: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa4af; --line: #3a424c;
  --bad: #ff7b72; --good: #4cc38a; --blue: #7aa7ff; --ground: #15181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
.bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); }
svg { width: 100%; height: auto; display: block; margin: .4rem 0 1rem; }
svg text { fill: var(--soft); font-size: 11px; }
"""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a scenario over its runs that count: medians, each with the interval in
    which 95 % of resampled medians lie."""

    runs: int
    swallowed: tuple[float, float, float]
    """Share of the words."""
    longest_s: tuple[float, float, float]
    concealed: tuple[float, float, float]
    delay_ms: tuple[float, float, float]
    """Mouth to ear, median of a run."""
    fps: tuple[float, float, float] | None
    """Pictures a second; None where none went this way."""
    stall_s: tuple[float, float, float] | None
    """All stalls of the picture together."""


def summary(runs: Sequence[Result], way: Way) -> Summary | None:
    """Of the runs that are not void; None if all are."""
    heard = [run.ways[way] for run in runs if not run.complaints]
    if not heard:
        return None
    seen = [run.seen[way] for run in runs if not run.complaints and way in run.seen]
    return Summary(
        runs=len(heard),
        swallowed=_median(one.share for one in heard),
        longest_s=_median(one.longest_s for one in heard),
        concealed=_median(one.concealed for one in heard),
        delay_ms=_median(_delay(one) for one in heard),
        fps=_median(one.fps for one in seen) if seen else None,
        stall_s=_median(one.stall_s for one in seen) if seen else None,
    )


def verdict(runs: Sequence[Result]) -> str:
    """``pass`` or ``miss`` by most of the runs that count, ``void`` if none does."""
    counted = [run for run in runs if not run.complaints]
    if not counted:
        return "void"
    return "pass" if 2 * sum(run.passed for run in counted) > len(counted) else "miss"


def page(scenarios: Mapping[str, Scenario], runs: Mapping[str, Sequence[Result]]) -> str:
    """The HTML file."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>Fairlead field tests</title><style>{STYLE}</style>",
        f"<h1>Field tests</h1><p class=soft>{now}. Real clients of the LiveKit "
        "SDK behind emulated access networks; one person counts aloud, the other's recording is "
        "held against what was said.</p>",
        _table(scenarios, runs),
    ]
    for name, results in runs.items():
        scenario = scenarios[name]
        parts.append(f"<h2 id={_text(name)}>{_text(name)}</h2><p>{_text(scenario.summary)}")
        parts.append(f" <span class=soft>{_text(scenario.origin)}</span></p>")
        parts += [_run(scenario, result) for result in results]
    return "\n".join(parts)


def _table(scenarios: Mapping[str, Scenario], runs: Mapping[str, Sequence[Result]]) -> str:
    rows = [
        "<table><tr><th>scenario<th>way<th>words swallowed<th>longest in a row<th>made up"
        "<th>mouth to ear<th>pictures<th>stood<th>runs<th>verdict"
    ]
    for name, results in runs.items():
        said = verdict(results)
        kind = {"pass": "good", "miss": "bad"}.get(said, "soft")
        for way in WAYS:
            found = summary(results, way)
            cells = ["-"] * 6
            if found is not None:
                cells = [
                    _interval(found.swallowed, 100, " %", 1),
                    _interval(found.longest_s, 1, " s", 2),
                    _interval(found.concealed, 100, " %", 1),
                    _interval(found.delay_ms, 1, " ms", 0),
                    _interval(found.fps, 1, " /s", 1),
                    _interval(found.stall_s, 1, " s", 1),
                ]
            first = f"<a href='#{_text(name)}'>{_text(name)}</a>" if way == "up" else ""
            last = f"<b class={kind}>{said}</b>" if way == "up" else ""
            counted = f"{found.runs if found else 0} of {len(results)}" if way == "up" else ""
            rows.append(
                f"<tr><td>{first}<td>{way}"
                + "".join(f"<td>{cell}" for cell in cells)
                + f"<td>{counted}<td>{last}"
            )
    return "".join(rows) + "</table>"


def _run(scenario: Scenario, result: Result) -> str:
    void = "".join(f"<br>void: {_text(one)}" for one in result.complaints)
    parts = [f"<p class=soft>seed {result.seed}{void}</p>"]
    for way in WAYS:
        heard = result.ways[way]
        grown = growth_ms(scenario, heard)
        said = [
            f"{len(heard.swallowed)} of {heard.words} words swallowed",
            f"{heard.concealed:.1%} of the sound made up",
            f"{heard.lost} of {heard.packets + heard.lost} packets lost to the client",
        ]
        if grown is not None:
            said.append(f"mouth to ear {round(grown) + 0:+d} ms at the end")
        wrong = "".join(f"<br><span class=bad>{_text(one)}</span>" for one in result.misses[way])
        parts.append(f"<p><b>{way}</b> ({HEARD_BY[way]}): {', '.join(said)}{wrong}</p>")
        parts.append(_chart(scenario, result, heard))
    log = "".join(f"<tr><td>{at:.2f} s<td>{_text(text)}" for at, text in result.log)
    if log:
        parts.append(f"<table>{log}</table>")
    return "\n".join(parts)


def _chart(scenario: Scenario, result: Result, heard: Listened) -> str:
    """Mouth to ear of each word over time; swallowed words in a row of their own; events."""
    most = max([late for _, late in heard.delays] + [200.0]) * 1.1
    right, top = WIDTH - 8, 22

    def x(at: float) -> float:
        return LEFT + (right - LEFT) * at / scenario.seconds

    def y(late: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - top) * late / most

    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='mouth to ear over time'>"]
    for late in np.linspace(0, most / 1.1, 3):
        parts.append(
            f"<line x1={LEFT} x2={right} y1={y(late):.1f} y2={y(late):.1f} stroke='var(--line)'/>"
            f"<text x=2 y={y(late) + 4:.1f}>{late:.0f} ms</text>"
        )
    for at in range(0, int(scenario.seconds) + 1, 5):
        parts.append(f"<text x={x(at):.1f} y={HEIGHT - 6} text-anchor=middle>{at} s</text>")
    parts += [
        f"<line x1={x(at):.1f} x2={x(at):.1f} y1={top} y2={HEIGHT - BOTTOM} "
        f"stroke='var(--soft)' stroke-dasharray='3 3'><title>{_text(text)}</title></line>"
        for at, text in result.log
        if 0 <= at <= scenario.seconds
    ]
    parts += [
        f"<circle cx={x(at):.1f} cy={y(late):.1f} r=1.6 fill='var(--blue)'/>"
        for at, late in heard.delays
    ]
    parts += [
        f"<rect x={x(at):.1f} y=6 width=3 height=10 fill='var(--bad)'><title>swallowed at "
        f"{at:.2f} s</title></rect>"
        for at in heard.swallowed
    ]
    return "".join(parts) + "</svg>"


def _delay(heard: Listened) -> float:
    return float(np.median([late for _, late in heard.delays])) if heard.delays else float("nan")


def _median(values: Iterable[float]) -> tuple[float, float, float]:
    """With the bounds of its bootstrap interval."""
    sample = np.array(list(values))
    if len(sample) == 1:
        return float(sample[0]), float(sample[0]), float(sample[0])
    dice = np.random.default_rng(1)
    medians = np.median(dice.choice(sample, (BOOTSTRAPS, len(sample))), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(np.median(sample)), float(low), float(high)


def _interval(
    values: tuple[float, float, float] | None, scale: float, unit: str, digits: int
) -> str:
    if values is None:
        return "-"
    middle, low, high = (f"{value * scale:.{digits}f}" for value in values)
    span = "" if low == high else f" <span class=soft>({low} to {high})</span>"
    return f"{middle}{unit}{span}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
