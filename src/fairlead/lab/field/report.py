"""What field tests found, for people: one HTML file that needs nothing else, and JSON beside it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np

from fairlead.lab.field import charts, quality
from fairlead.lab.field.beside import Call
from fairlead.lab.field.charts import text
from fairlead.lab.field.clips import Sounded
from fairlead.lab.field.measure import Listened
from fairlead.lab.field.run import Result
from fairlead.lab.field.scenario import WAYS, Limits, Scenario, Way
from fairlead.lab.field.verdict import growth_ms
from fairlead.lab.field.watching import Watched

HEARD_BY: dict[Way, str] = {
    "up": "what the other person got of the one under test",
    "down": "what the person under test got of the other",
}
BOOTSTRAPS = 2_000
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #66707a; --line: #dde1e6; --bad: #c6312b;
  --good: #20794a; --blue: #2660c9; --green: #2f8f5b; --amber: #b7791f; --violet: #7a4fc0;
  --ground: #ffffff; --raised: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa4af; --line: #343b44;
  --bad: #ff7b72; --good: #4cc38a; --blue: #7aa7ff; --green: #4cc38a; --amber: #e0a84a;
  --violet: #b39ddb; --ground: #15181c; --raised: #1c2127; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 78rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .2rem; border-top: 2px solid var(--line);
  padding-top: 1rem; }
h3 { font-size: 1rem; margin: .8rem 0 .2rem; } p { margin: .3rem 0 .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; white-space: nowrap; } td.text { white-space: normal; width: 99%; }
th { color: var(--soft); font-weight: 500; }
.bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr));
  gap: 1.2rem; }
.run { background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
  padding: .2rem 1rem .8rem; }
.clips { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center;
  font-size: .85rem; } audio { height: 2rem; width: 15rem; vertical-align: middle; }
svg { width: 100%; max-width: 46rem; height: auto; display: block; margin: .3rem 0; }
svg text { fill: var(--soft); font-size: 11px; } svg text.head { fill: var(--ink); }
summary { cursor: pointer; color: var(--soft); margin: .4rem 0; }
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
    opinion: tuple[float, float, float]
    """By the E-model, 1 to 4.5: `quality`."""
    listening: tuple[float, float, float] | None
    """By ViSQOL, 1 to 5, after the first event or throughout; None without speech."""


def summary(runs: Sequence[Result], way: Way) -> Summary | None:
    """Of the runs that are not void; None if all are."""
    heard = [run.ways[way] for run in runs if not run.complaints]
    if not heard:
        return None
    seen = [run.seen[way] for run in runs if not run.complaints and way in run.seen]
    scores = [one.score for one in heard if one.score is not None]
    return Summary(
        runs=len(heard),
        swallowed=_median(one.share for one in heard),
        longest_s=_median(one.longest_s for one in heard),
        concealed=_median(one.concealed for one in heard),
        delay_ms=_median(_delay(one) for one in heard),
        fps=_median(one.fps for one in seen) if seen else None,
        stall_s=_median(one.stall_s for one in seen) if seen else None,
        opinion=_median(_opinion(one) for one in heard),
        listening=_median(scores) if scores else None,
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
    servers = list(dict.fromkeys(run.server for results in runs.values() for run in results))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>Field tests</title><style>{STYLE}</style>",
        f"<h1>Field tests: {text(' beside '.join(servers) or 'nothing ran')}</h1>"
        f"<p class=soft>{now}. Real clients of LiveKit's SDKs behind emulated access networks. One "
        "person speaks and shows numbered pictures; what the other heard and saw is held "
        "against what was said and shown. Medians of the runs that count, with the interval in "
        "which 95 % of resampled medians lie.</p>",
        f"<div class=wide>{_table(scenarios, runs, servers)}</div>",
    ]
    for name, results in runs.items():
        scenario = scenarios[name]
        parts.append(f"<h2 id='{text(name)}'>{text(name)}</h2><p>{text(scenario.summary)}")
        parts.append(f" <span class=soft>{text(scenario.origin)}</span></p><div class=beside>")
        most = max([*(late for run in results for late in _delays(run)), 200.0]) * 1.1
        for server in servers:
            own = [run for run in results if run.server == server]
            parts.append(_of_server(scenario, server, own, most))
        parts.append("</div>")
    parts.append(f"<h2>Words</h2><p class=soft>{WORDS}</p>")
    return "\n".join(parts)


WORDS = """<b>up</b>: the other person hears and sees the one on the bad network; <b>down</b>:
the reverse. <b>Swallowed</b>: a word that was said and is not in the recording. <b>Made up</b>:
how much of the sound the client concealed while somebody spoke. <b>Mouth to ear</b>: from giving
a word to one SDK to hearing it from the other. <b>Pictures</b>: new ones a second that could be
read, of 20. <b>Stood</b>: all times together of over half a second without one. <b>Rating</b>: 1
to 4.5 by delay and loss alone (E-model, ITU-T G.107.1 with placeholders for Opus); compare it
with other runs only. <b>Listening</b>: 1 to 5 by comparing what was said with what came out, delay
aside (ViSQOL in its speech mode), over 8 s after the first event; only where somebody speaks a
language. <b>Void</b>: the machine was too busy, or something was swallowed before
anything happened."""


def _table(
    scenarios: Mapping[str, Scenario],
    runs: Mapping[str, Sequence[Result]],
    servers: Sequence[str],
) -> str:
    rows = [
        "<table><tr><th>scenario<th>server<th>way<th>words swallowed<th>longest in a row<th>made up"
        "<th>mouth to ear<th>rating<th>listening<th>pictures<th>stood<th>runs<th>verdict"
    ]
    for name, results in runs.items():
        for server in servers:
            own = [run for run in results if run.server == server]
            said = verdict(own)
            if said == "pass" and scenarios[name].limits == Limits():
                said = "no limits"
            kind = {"pass": "good", "miss": "bad"}.get(said, "soft")
            for way in WAYS:
                first = way == "up"
                found = summary(own, way)
                named = f"<a href='#{text(name)}'>{text(name)}</a>"
                counted = f"{found.runs if found else 0} of {len(own)}"
                rows.append(
                    f"<tr><td>{named if first and server == servers[0] else ''}"
                    f"<td>{text(server) if first else ''}<td>{way}"
                    + "".join(f"<td>{cell}" for cell in _cells(found))
                    + f"<td>{counted if first else ''}"
                    + (f"<td><b class={kind}>{said}</b>" if first else "<td>")
                )
    return "".join(rows) + "</table>"


def _cells(found: Summary | None) -> list[str]:
    if found is None:
        return ["-"] * 8
    return [
        _interval(found.swallowed, 100, " %", 1),
        _interval(found.longest_s, 1, " s", 2),
        _interval(found.concealed, 100, " %", 1),
        _interval(found.delay_ms, 1, " ms", 0),
        _interval(found.opinion, 1, "", 1),
        _interval(found.listening, 1, "", 1),
        _interval(found.fps, 1, " /s", 1),
        _interval(found.stall_s, 1, " s", 1),
    ]


def _of_server(scenario: Scenario, server: str, runs: Sequence[Result], most: float) -> str:
    """The first run that counts in full, the others folded."""
    if not runs:
        return f"<section class=run><h3>{text(server)}</h3><p>No run came to its end.</p></section>"
    first = next((run for run in runs if not run.complaints), runs[0])
    parts = [f"<section class=run><h3>{text(server)}</h3>", _run(scenario, first, most)]
    for run in runs:
        if run is not first:
            void = ", void" if run.complaints else ""
            parts.append(f"<details><summary>seed {run.seed}{void}</summary>")
            parts.append(f"{_run(scenario, run, most)}</details>")
    return "".join(parts) + "</section>"


def _run(scenario: Scenario, result: Result, most: float) -> str:
    void = "".join(f"<br><span class=bad>void: {text(one)}</span>" for one in result.complaints)
    parts = [f"<p class=soft>seed {result.seed}{void}</p>"]
    for way in WAYS:
        heard, seen, sound = result.ways[way], result.seen.get(way), result.sound.get(way)
        wrong = "".join(f"<br><span class=bad>{text(one)}</span>" for one in result.misses[way])
        said = "; ".join(_said(scenario, heard, seen))
        parts.append(f"<p><b>{way}</b>, {HEARD_BY[way]}: {said}.{wrong}</p>")
        if sound is not None:
            parts.append(_clips(sound))
            parts.append(charts.sound(scenario.seconds, result, heard, sound))
        parts.append(charts.delays(scenario.seconds, result, heard, most))
        if seen is not None:
            parts.append(charts.pictures(scenario.seconds, result, seen))
        for call in result.beside:
            parts.append(_beside(scenario, result, call, way))
        if (fair := result.fairness.get(way)) is not None:
            parts.append(f"<p>Fairness (Jain's index) of all calls' pictures: {fair:.2f}.</p>")
        if result.traffic:
            parts.append(charts.traffic(result, scenario.seconds, way))
    log = "".join(f"<tr><td>{at:.1f} s<td class=text>{text(said)}" for at, said in result.log)
    if log:
        parts.append(f"<h3>What happened</h3><table>{log}</table>")
    for region, counts in result.counters.items():
        said = ", ".join(f"{text(name)} {count:,}" for name, count in counts.items())
        parts.append(
            f"<details><summary>what the node of {text(region)} counted</summary>"
            f"<p class=soft>{said}</p></details>"
        )
    return "\n".join(parts)


def _beside(scenario: Scenario, result: Result, call: Call, way: Way) -> str:
    """One direction of a further call."""
    heard, seen = call.ways[way], call.seen.get(way)
    said = [f"{heard.missed} of {heard.words} words swallowed"]
    said.append(f"{heard.concealed:.1%} of the sound made up")
    if seen is not None:
        said.append(f"{seen.fps:.1f} pictures a second, {seen.kbps:.0f} kb/s")
        said.append(f"the picture stood for {seen.stall_s:.1f} s")
    chart = "" if seen is None else charts.pictures(scenario.seconds, result, seen)
    return f"<p>{text(call.name)}, from {call.at:g} s: {'; '.join(said)}.</p>{chart}"


def _said(scenario: Scenario, heard: Listened, seen: Watched | None) -> list[str]:
    """A direction in words."""
    said = [
        f"{heard.missed} of {heard.words} words swallowed",
        f"{heard.concealed:.1%} of the sound made up",
        f"{heard.lost} of {heard.packets + heard.lost} packets lost to the client",
    ]
    if heard.listening:
        scores = (f"{score:.1f} {when}" for when, score in heard.listening.items())
        said.append(f"listening quality {', '.join(scores)}")
    if heard.understood is not None:
        share, clean = heard.understood
        said.append(
            f"{share:.0%} of the words understood by a machine, {clean:.0%} of a clean copy"
        )
    grown = growth_ms(scenario, heard)
    if grown is not None:
        said.append(f"mouth to ear {round(grown) + 0:+d} ms at the end")
    if seen is None:
        return said
    said.append(f"{seen.fps:.1f} pictures a second, {seen.width:.0f} wide, {seen.kbps:.0f} kb/s")
    said.append(f"the picture stood for {seen.stall_s:.1f} s")
    said.append(
        f"freezes: {seen.w3c_freezes} by W3C's definition, {len(seen.stalls)} over half a second, "
        f"{seen.client_freezes} by the client; the longest gap was {seen.longest_gap_s:.1f} s"
    )
    if seen.delay_ms is not None:
        said.append(f"glass to glass {seen.delay_ms:.0f} ms")
    for one in seen.recoveries:
        flow = "never" if one.frames_s is None else f"{one.frames_s:.1f} s"
        full = "never" if one.picture_s is None else f"{one.picture_s:.1f} s"
        said.append(f"after {one.at:g} s pictures flow in {flow}, fully in {full}")
    return said


def _clips(sound: Sounded) -> str:
    """To listen to."""
    players = (
        f"<span>{clip.name} ({clip.at:.0f} s) <audio controls preload=none src='data:audio/wav;"
        f"base64,{b64encode(clip.wav).decode()}'></audio></span>"
        for clip in sound.clips
    )
    return f"<div class=clips>{''.join(players)}</div>"


def _delays(run: Result) -> list[float]:
    return [late for heard in run.ways.values() for _, late in heard.delays]


def _opinion(heard: Listened) -> float:
    late = _delay(heard)
    return 1.0 if np.isnan(late) else quality.opinion(quality.rating(late, heard.concealed))


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
