"""Charts of a run over time, as SVG: what was heard, seen and sent, under one axis of seconds."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

from fairlead.lab.field.clips import PEAK_S, Sounded
from fairlead.lab.field.measure import Listened
from fairlead.lab.field.pictures import RATE
from fairlead.lab.field.run import Result
from fairlead.lab.field.scenario import Way
from fairlead.lab.field.watching import Watched

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 52, 622, 20, 20
BIN_S = 0.5
TICKS = (1, 2, 5, 10, 20, 50)
MOST_TICKS = 12
LOUD = 60
"""Percent at which a waveform fills its place: the voice has two thirds of it."""
COLOURS = ("var(--blue)", "var(--amber)", "var(--green)", "var(--violet)")


class Chart:
    """A frame of so many seconds and so much height, to draw in."""

    def __init__(self, name: str, seconds: float, height: int, most: float) -> None:
        self._seconds, self._height, self._most = seconds, height, most
        self._parts = [
            f"<svg viewBox='0 0 {WIDTH} {height}' role=img aria-label='{text(name)}'>"
            f"<text x={LEFT} y=12 class=head>{text(name)}</text>"
        ]

    def x(self, at: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(max(at, 0.0), self._seconds) / self._seconds

    def y(self, value: float) -> float:
        room = self._height - TOP - BOTTOM
        return self._height - BOTTOM - room * min(max(value / self._most, 0.0), 1.0)

    def grid(self, values: Iterable[float], unit: str) -> None:
        for value in values:
            at = self.y(value)
            self.add(f"<line x1={LEFT} x2={RIGHT} y1={at:.1f} y2={at:.1f} stroke='var(--line)'/>")
            self.add(f"<text x={LEFT - 6} y={at + 4:.1f} text-anchor=end>{value:.0f}{unit}</text>")

    def events(self, log: Sequence[tuple[float, str]]) -> None:
        for at, said in log:
            if 0 <= at <= self._seconds:
                here = self.x(at)
                self.add(
                    f"<line x1={here:.1f} x2={here:.1f} y1={TOP} y2={self._height - BOTTOM} "
                    f"stroke='var(--soft)' stroke-dasharray='3 3'><title>{at:.1f} s: {text(said)}"
                    "</title></line>"
                )

    def span(self, at: float, length: float, y: float, height: float, said: str) -> None:
        """Something bad that lasted."""
        wide = max(2.0, self.x(at + length) - self.x(at))
        self.add(
            f"<rect x={self.x(at):.1f} y={y:.1f} width={wide:.1f} height={height:.1f} "
            f"fill='var(--bad)'><title>{text(said)}</title></rect>"
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        path = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        self.add(f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width=1.6 />")

    def add(self, part: str) -> None:
        self._parts.append(part)

    def done(self) -> str:
        step = next((one for one in TICKS if self._seconds / one <= MOST_TICKS), TICKS[-1])
        for at in range(0, int(self._seconds) + 1, step):
            here = self.x(at)
            self.add(f"<text x={here:.1f} y={self._height - 5} text-anchor=middle>{at} s</text>")
        return "".join(self._parts) + "</svg>"


def delays(seconds: float, result: Result, heard: Listened, most: float) -> str:
    """Mouth to ear of each word, and how often words were swallowed."""
    chart = Chart("mouth to ear", seconds, 150, most)
    chart.grid(_steps(most), " ms")
    chart.events(result.log)
    for at, late in heard.delays:
        chart.add(f"<circle cx={chart.x(at):.1f} cy={chart.y(late):.1f} r=1.7 fill='var(--blue)'/>")
    return chart.done()


def sound(seconds: float, result: Result, heard: Listened, sounded: Sounded) -> str:
    """The recording as it sounded, and below it the words that are not in it."""
    chart = Chart("what was heard; red: words that were said and are not there", seconds, 120, 100)
    middle, room = 62.0, 34.0
    outline = [(n * PEAK_S, room * min(1.0, peak / LOUD)) for n, peak in enumerate(sounded.peaks)]
    upper = [f"{chart.x(at):.1f},{middle - high:.1f}" for at, high in outline]
    lower = [f"{chart.x(at):.1f},{middle + high:.1f}" for at, high in outline]
    chart.add(f"<polygon points='{' '.join([*upper, *reversed(lower)])}' fill='var(--blue)'/>")
    chart.events(result.log)
    usual = heard.delay_ms(0.0, seconds) or 0.0
    for at in heard.swallowed:
        chart.span(at + usual / 1e3, 0.12, 94, 8, f"swallowed, said at {at:.2f} s")
    return chart.done()


def pictures(seconds: float, result: Result, seen: Watched) -> str:
    """New pictures a second, how wide they were, and when the picture stood."""
    chart = Chart("pictures a second; red: the picture stood", seconds, 140, RATE * 1.3)
    chart.grid((0, RATE / 2, RATE), "")
    bins = np.bincount(
        [int(one.at / BIN_S) for one in seen.pictures], minlength=int(seconds / BIN_S) + 1
    )
    wide = chart.x(BIN_S) - chart.x(0) - 1
    for number, count in enumerate(bins):
        high = chart.y(0) - chart.y(count / BIN_S)
        chart.add(
            f"<rect x={chart.x(number * BIN_S):.1f} y={chart.y(count / BIN_S):.1f} "
            f"width={wide:.1f} height={high:.1f} fill='var(--green)' opacity=.75 />"
        )
    chart.events(result.log)
    for at, length in seen.stalls:
        chart.span(at, length, TOP, 7, f"stood for {length:.1f} s from {at:.1f} s on")
    for at, width in _widths(seen):
        chart.add(f"<text x={chart.x(at) + 2:.1f} y={TOP + 20}>{width} wide</text>")
    return chart.done()


def traffic(result: Result, seconds: float, way: Way) -> str:
    """Packets a second through each access, one way."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for at, access, direction, count in result.traffic:
        if direction == way:
            lines.setdefault(access, []).append((at, count / BIN_S))
    most = max([value for points in lines.values() for _, value in points] + [50.0])
    names = ", ".join(lines)
    chart = Chart(f"packets a second {way}: {names}", seconds, 110, most)
    chart.grid(_steps(most), "")
    chart.events(result.log)
    for points, colour in zip(lines.values(), COLOURS, strict=False):
        chart.line(points, colour)
    for number, (name, colour) in enumerate(zip(lines, COLOURS, strict=False)):
        chart.add(
            f"<text x={RIGHT - 60 * (number + 1)} y=12 style='fill:{colour}'>{text(name)}</text>"
        )
    return chart.done()


def text(words: str) -> str:
    """Escaped, for attributes as well."""
    return html.escape(words, quote=True)


def _steps(most: float) -> list[float]:
    """Round values within a height: 0 and one or two more."""
    step = next(n * 10**k for k in range(6) for n in (1, 2, 5) if 3 * n * 10**k > most)
    return [value for value in (0.0, float(step), 2.0 * step) if value < most]


def _widths(seen: Watched) -> list[tuple[float, int]]:
    """When the width changed and to what; what lasted for less than half a second is left out."""
    found: list[tuple[float, int]] = []
    for one in seen.pictures:
        if found and one.at - found[-1][0] < BIN_S:
            found[-1] = (found[-1][0], one.width)
        elif not found or found[-1][1] != one.width:
            found.append((one.at, one.width))
    return [one for number, one in enumerate(found) if not number or found[number - 1][1] != one[1]]
