"""The rows of `bench.lastmile`: what happens to the network, what is read off, and its targets.

The first are those of the record of open LiveKit 1.13.5 that the project set out to beat, taken on
22 November 2026 with two seeds each, beside the targets of DESIGN section 11; those without a
figure of that record came later. Who is on the weak network uses Chromium, as there; the other,
who has a good one, LiveKit's Python SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from fairlead.lab.field.measure import Listened
from fairlead.lab.field.scenario import Access, Client, Event, Scenario, Way
from fairlead.lab.field.watching import Watched

CLEAN_S, SETTLE_S, MEASURED_S, AFTER_S = 8.0, 8.0, 22.0, 25.0
"""Before anything happens; of steady loss, until it is judged, and judged; after the last event."""
NEAR_MS, FAR_MS = 20.0, 100.0
NARROW_KBPS, WIDE_KBPS = 300, 2_000
NARROW_S, DARK_S = 15.0, 3.0
IN_A_ROW = 4.0
"""Packets lost one after the other, mean, where they are lost in bursts."""
APPEARS_S = 0.5
"""From the end of the Wi-Fi to the beginning of 4G, where there is one of them at a time."""
WIFI = Access(delay_ms=NEAR_MS, rate_kbps=20_000, queue_ms=150.0)
LTE = Access(delay_ms=50.0, rate_kbps=8_000, queue_ms=300.0)


class Aim(NamedTuple):
    """What is to be reached, and what open LiveKit reached."""

    target: float | None = None
    record: str = ""


NO_AIM = Aim()


@dataclass(frozen=True)
class Figure:
    """Something that is read off a run; less is better unless ``more``."""

    name: str
    unit: str
    of: Callable[[Listened, Watched], float | None]
    aim: Aim = NO_AIM
    more: bool = False


@dataclass(frozen=True)
class Row:
    """A scenario, whose ears and eyes judge it, and by what."""

    scenario: Scenario
    way: Way
    figures: Sequence[Figure]


def rows(client: Client = "chromium", trace: str = "", trace_up: str = "") -> list[Row]:
    """In the order of the record; the person on the weak network uses this client. With the paths
    of recorded rates there is one more."""
    traced = [_traced(trace, trace_up)] if trace else []
    watched = [_watched(_appears())] if client == "chromium" else []
    return [_changed(row, client=client) for row in (*_rows(), *_more(), *watched, *traced)]


def _rows() -> list[Row]:
    none = NO_AIM
    return [
        _steady("clean", "down", 0.0, Aim(0.1, "0.0"), Aim(0), Aim(0, "0.0"), Aim(15, "18.1")),
        _steady(
            "A-10", "down", 0.1, Aim(None, "0.9; 1.6"), none, Aim(0, "0.0; 0.6"), Aim(15, "17.5")
        ),
        _steady(
            "A-30",
            "down",
            0.3,
            Aim(0.1, "8.3; 8.3"),
            Aim(2),
            Aim(0, "10.2; 11.8"),
            Aim(15, "7.1; 8.4"),
        ),
        _steady(
            "A-50", "down", 0.5, Aim(0.1, "24; 23"), none, Aim(None, "20; 21"), Aim(10, "0.9; 0.4")
        ),
        _steady(
            "A-70", "down", 0.7, Aim(3, "32; 42"), none, Aim(None, "22; 22"), Aim(None, "0; 0.2")
        ),
        _steady(
            "B-10", "up", 0.1, Aim(None, "0.2; 0.7"), none, Aim(0, "0.0; 0.6"), Aim(15, "17.7")
        ),
        _steady(
            "B-30",
            "up",
            0.3,
            Aim(0.7, "2.9; 3.1"),
            Aim(2),
            Aim(0, "16.6; 20.5"),
            Aim(15, "6.1; 1.6"),
        ),
        _steady(
            "B-50", "up", 0.5, Aim(None, "15; 10"), none, Aim(None, "22; 22"), Aim(10, "1.0; 0.4")
        ),
        _drop(),
        _dark("D-dark", DARK_S, Aim(None, "0.4; 0.2")),
        _hand_over(),
        _far(_steady("F-0", "down", 0.0, Aim(0.1, "0.0"), Aim(0), Aim(0, "0.0"), Aim(15, "17.1"))),
        _far(
            _steady(
                "F-10",
                "down",
                0.1,
                Aim(None, "1.2; 2.2"),
                none,
                Aim(None, "3.8"),
                Aim(None, "12; 13"),
            )
        ),
        _far(
            _steady(
                "F-30",
                "down",
                0.3,
                Aim(None, "8.2; 8.6"),
                none,
                Aim(None, "13"),
                Aim(None, "8.1; 6.9"),
            )
        ),
    ]


def _more() -> list[Row]:
    """What the record has not."""
    return [
        _far(_steady("F-50", "down", 0.5)),
        _far(_steady("F-70", "down", 0.7)),
        _steady("B-70", "up", 0.7),
        _far(_steady("FB-30", "up", 0.3)),
        _in_bursts(_steady("G-10", "down", 0.1)),
        _in_bursts(_steady("G-20", "down", 0.2)),
        _in_bursts(_steady("GB-10", "up", 0.1)),
        _dark("D-1", 1.0),
        _dark("D-10", 10.0),
        _appears(),
        _only_tcp(_steady("U-blocked", "down", 0.0)),
    ]


def _steady(
    name: str,
    way: Way,
    loss: float,
    made_up: Aim = NO_AIM,
    words: Aim = NO_AIM,
    stood: Aim = NO_AIM,
    pictures: Aim = NO_AIM,
) -> Row:
    """Loss both ways of the link, as in the record: feedback is lost too."""
    scenario = Scenario(
        name=name,
        summary=f"{loss:.0%} of packets lost at random, both ways.",
        seconds=CLEAN_S + SETTLE_S + MEASURED_S,
        judged_from=CLEAN_S + SETTLE_S,
        pictures=way,
        access={"wifi": WIFI},
        event=[Event(at=CLEAN_S, access="wifi", loss=loss)] if loss else [],
    )
    figures = [
        Figure("concealed", "%", lambda ear, _: 100 * ear.concealed, made_up),
        Figure("words swallowed", "%", lambda ear, _: 100 * ear.share, words),
        Figure("picture stood", "s", lambda _, eye: eye.stall_s, stood),
        Figure("pictures", "/s", lambda _, eye: eye.fps, pictures, more=True),
    ]
    return Row(scenario, way, [*figures, USED])


def _changed(row: Row, **fields: Any) -> Row:
    """The same with other fields of its scenario."""
    return Row(msgspec.structs.replace(row.scenario, **fields), row.way, row.figures)


def _far(row: Row) -> Row:
    access = msgspec.structs.replace(WIFI, delay_ms=FAR_MS)
    summary = f"{row.scenario.summary[:-1]}; the round trip takes {2 * FAR_MS:.0f} ms."
    return _changed(row, access={"wifi": access}, summary=summary)


def _drop() -> Row:
    access = Access(delay_ms=NEAR_MS, rate_kbps=WIDE_KBPS, queue_ms=300.0)
    events = [
        Event(at=CLEAN_S, access="wifi", rate_kbps=NARROW_KBPS),
        Event(at=CLEAN_S + NARROW_S, access="wifi", rate_kbps=WIDE_KBPS),
    ]
    summary = f"2 Mb/s become 300 kb/s for {NARROW_S:.0f} s, and 2 Mb/s again."
    figures = [_flow_after(0, Aim(1, "2.0; 7.5")), _full_after(1, Aim(5, "20 to 31"))]
    return _eventful("C-drop", summary, {"wifi": access}, events, figures)


def _in_bursts(row: Row) -> Row:
    """Gilbert's model with the same share."""
    events = [msgspec.structs.replace(event, burst=IN_A_ROW) for event in row.scenario.event]
    summary = f"{row.scenario.summary[:-1]}, {IN_A_ROW:.0f} in a row."
    return _changed(row, event=events, summary=summary)


def _only_tcp(row: Row) -> Row:
    access = msgspec.structs.replace(WIFI, udp=False)
    return _changed(row, access={"wifi": access}, summary="UDP is blocked.")


def _traced(trace: str, trace_up: str) -> Row:
    access = Access(delay_ms=NEAR_MS, queue_ms=300.0, trace=trace, trace_up=trace_up)
    row = _steady("L-trace", "down", 0.0)
    return _changed(row, access={"lte": access}, summary="A recorded rate.", seconds=60.0)


def _dark(name: str, seconds: float, aim: Aim = NO_AIM) -> Row:
    events = [
        Event(at=CLEAN_S, access="wifi", cut=True),
        Event(at=CLEAN_S + seconds, access="wifi", cut=False),
    ]
    figures = [_flow_after(1, aim), _full_after(1, aim)]
    return _eventful(name, f"Nothing passes for {seconds:.0f} s.", {"wifi": WIFI}, events, figures)


def _appears() -> Row:
    events = [
        Event(at=CLEAN_S, access="wifi", present=False),
        Event(at=CLEAN_S + APPEARS_S, access="lte", present=True),
    ]
    figures = [
        Figure("speech gap", "s", lambda ear, _: ear.longest_s, Aim(2)),
        _flow_after(1, Aim(2.2)),
        _full_after(1, NO_AIM),
    ]
    access = {"wifi": WIFI, "lte": msgspec.structs.replace(LTE, present=False)}
    return _eventful("E-appears", "The Wi-Fi goes, then 4G comes.", access, events, figures)


def _watched(row: Row) -> Row:
    """The same of a page that uses our watchdog."""
    name = f"{row.scenario.name}-watchdog"
    summary = f"{row.scenario.summary[:-1]}; the page has our watchdog."
    return _changed(row, name=name, watchdog=True, summary=summary)


def _hand_over() -> Row:
    events = [Event(at=CLEAN_S, access="wifi", cut=True)]
    figures = [
        Figure("speech gap", "s", lambda ear, _: ear.longest_s, Aim(1, "6.2")),
        _flow_after(0, Aim(1.5, "8.9; 8.8")),
        _full_after(0, Aim(None, "10.7; 10.5")),
    ]
    summary = "The Wi-Fi dies silently while 4G is up."
    return _eventful("E-handover", summary, {"wifi": WIFI, "lte": LTE}, events, figures)


def _eventful(
    name: str,
    summary: str,
    access: dict[str, Access],
    events: list[Event],
    figures: Sequence[Figure],
) -> Row:
    scenario = Scenario(
        name=name,
        summary=summary,
        seconds=max(event.at for event in events) + AFTER_S,
        pictures="down",
        access=access,
        event=events,
    )
    more = [
        Figure("concealed", "%", lambda ear, _: 100 * ear.concealed),
        Figure("words swallowed", "%", lambda ear, _: 100 * ear.share),
        Figure("picture stood", "s", lambda _, eye: eye.stall_s),
    ]
    return Row(scenario, "down", [*figures, *more, USED])


def _flow_after(number: int, aim: Aim) -> Figure:
    return Figure("pictures flow after", "s", lambda _, eye: eye.recoveries[number].frames_s, aim)


def _full_after(number: int, aim: Aim) -> Figure:
    return Figure("full picture after", "s", lambda _, eye: eye.recoveries[number].picture_s, aim)


USED = Figure("received", "kb/s", lambda ear, eye: ear.kbps + eye.kbps)
