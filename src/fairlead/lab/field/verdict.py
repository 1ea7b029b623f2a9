"""Whether a run can be trusted, and whether what was heard is within its limits."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from fairlead.lab.field.measure import AFTER_S, Listened
from fairlead.lab.field.pictures import RATE
from fairlead.lab.field.scenario import WAYS, Bounds, Scenario, portion
from fairlead.lab.field.voice import COUNT
from fairlead.lab.field.watching import Watched

LATE_P99_MS = 3.0
STEAL = 0.02
CLOCK = 0.005
SPREAD_MS = 20.0
PAUSES_MS = 40.0
"""A jitter buffer grows in the silence between sentences, and takes a word or two to shrink."""
FRAME_BITS = 80_000
"""Of a keyframe: on a narrow line sound waits for the rest of one, and that is the line's doing."""
PAINTED = 0.9
WITHHELD = 20
"""So many pictures decoded and none handed over are the SDK's doing: now and then its stream of
pictures says nothing all the call long."""
QUIET_S = 2.0
"""Less than this before the first event says nothing of the time before."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The instruments during a run."""

    late_p99_ms: float
    """By how much packets left the emulator late."""
    steal: float
    """Share of the machine's time that its host took."""
    clock: float
    """Furthest from 1 that a client's playout clock ran."""
    spread_ms: float
    """Of mouth to ear before the first event, 5th to 95th percentile."""
    spread_limit_ms: float = SPREAD_MS
    swallowed_before: int
    """Words swallowed before the first event."""
    painted: float = 1.0
    """Least share of the pictures that were due which a client showed."""
    withheld: int = 0
    """Pictures that a client decoded where it handed over none."""

    def complaints(self) -> list[str]:
        """Why the run is void; none if it counts."""
        found = []
        if self.late_p99_ms > LATE_P99_MS:
            found.append(f"the emulator sent 1 % of packets over {self.late_p99_ms:.1f} ms late")
        if self.steal > STEAL:
            found.append(f"the host took {self.steal:.1%} of this machine's time")
        if abs(self.clock - 1) > CLOCK:
            found.append(f"a client played {self.clock:.3f} seconds in a second")
        if self.spread_ms > self.spread_limit_ms:
            found.append(f"mouth to ear varied by {self.spread_ms:.0f} ms before anything happened")
        if self.swallowed_before:
            found.append(f"{self.swallowed_before} words were swallowed before anything happened")
        if self.painted < PAINTED:
            found.append(f"a client showed {self.painted:.0%} of the pictures that were due")
        if self.withheld > WITHHELD:
            found.append(f"a client decoded {self.withheld} pictures and handed over none")
        return found


def health(
    scenario: Scenario,
    ways: list[Listened],
    late_p99_ms: float,
    steal: float,
    seen: list[Watched] | None = None,
) -> Health:
    """Of a run. What is before the first event is judged where there are a few seconds of it and
    the network is meant to be good then. One without UDP is not, for jitter buffers follow TCP,
    nor one of recorded rates, on which something happens all the time."""
    quiet = scenario.first_event if _begins_well(scenario) else 0.0
    # What was said just before an event may be struck by it on its way.
    until = quiet - min(1.0, quiet / 2)
    judged = ways if quiet >= QUIET_S else []
    before = [[late for at, late in one.delays if at < until] for one in judged]
    clock = max((one.clock for one in ways), key=lambda one: abs(one - 1), default=1.0)
    return Health(
        late_p99_ms=round(late_p99_ms, 2),
        steal=round(steal, 4),
        clock=round(clock, 4),
        spread_limit_ms=SPREAD_MS
        + _frame_ms(scenario)
        + (PAUSES_MS if scenario.voice != COUNT else 0.0),
        spread_ms=round(max((_spread(late) for late in before if late), default=0.0), 1),
        swallowed_before=sum(one.swallowed_between(0.0, until) for one in judged),
        painted=min((round(_painted(one), 3) for one in seen or []), default=1.0),
        withheld=max(
            (one.client_decoded for one in seen or [] if one.client_handed == 0), default=0
        ),
    )


def _begins_well(scenario: Scenario) -> bool:
    present = [access for access in scenario.access.values() if access.present]
    return any(one.udp and not (one.trace or one.trace_up) for one in present)


def _frame_ms(scenario: Scenario) -> float:
    """How long a keyframe takes on the narrowest way there is at the start; 0 without pictures."""
    present = [access for access in scenario.access.values() if access.present]
    rates = [
        rate
        for access in present
        for rate in (access.rate_kbps, access.up.rate_kbps, access.down.rate_kbps)
        if rate
    ]
    shown = any(scenario.shows(way) for way in WAYS)
    return round(FRAME_BITS / min(rates), 1) if rates and shown else 0.0


def _painted(seen: Watched) -> float:
    return seen.shown / RATE / (seen.until - seen.since)


def misses(
    scenario: Scenario,
    bounds: Bounds,
    heard: Listened,
    seen: Watched | None = None,
    fairness: float | None = None,
) -> list[str]:
    """What is beyond its limits, a sentence each."""
    found = _misheard(scenario, bounds, heard)
    if bounds.fairness is not None and fairness is not None and fairness < bounds.fairness:
        found.append(f"fairness {fairness:.2f}: at least {bounds.fairness:g}")
    return found + ([] if seen is None else _unseen(bounds, seen))


def _unseen(bounds: Bounds, seen: Watched) -> list[str]:
    found = []
    if bounds.fps is not None and seen.fps < bounds.fps:
        found.append(f"{seen.fps:.1f} pictures a second: at least {bounds.fps:g}")
    if bounds.stall_s is not None and seen.stall_s > bounds.stall_s:
        found.append(f"the picture stood for {seen.stall_s:.1f} s: at most {bounds.stall_s:g} s")
    if bounds.frames_back_s is not None:
        for one in seen.recoveries:
            if one.frames_s is None:
                found.append(f"no picture flowed again after {one.at:g} s")
            elif one.frames_s > bounds.frames_back_s:
                found.append(
                    f"pictures flowed again {one.frames_s:.1f} s after {one.at:g} s: "
                    f"at most {bounds.frames_back_s:g} s"
                )
    if bounds.picture_back_s is not None and seen.recoveries:
        back = seen.recoveries[-1].picture_s
        if back is None or back > bounds.picture_back_s:
            when = "did not come" if back is None else f"came {back:.1f} s later"
            found.append(f"the full picture {when}: at most {bounds.picture_back_s:g} s")
    return found


def _misheard(scenario: Scenario, bounds: Bounds, heard: Listened) -> list[str]:
    found = []
    if bounds.swallowed is not None:
        most = portion("swallowed", bounds.swallowed)
        if heard.share > most:
            found.append(f"{heard.share:.1%} of the words swallowed: at most {most:.1%}")
    if bounds.longest_s is not None and heard.longest_s > bounds.longest_s:
        found.append(f"{heard.longest_s:.2f} s swallowed in a row: at most {bounds.longest_s:g} s")
    if bounds.concealed is not None:
        most = portion("concealed", bounds.concealed)
        if heard.concealed > most:
            found.append(f"{heard.concealed:.1%} of the sound made up: at most {most:.1%}")
    if bounds.listening is not None and heard.score is not None and heard.score < bounds.listening:
        found.append(f"listening quality {heard.score:.1f}: at least {bounds.listening:g}")
    if bounds.delay_ms is not None:
        grown = growth_ms(scenario, heard)
        if grown is None:
            found.append("nothing was heard at the end")
        elif grown > bounds.delay_ms:
            found.append(f"mouth to ear grew by {grown:.0f} ms: at most {bounds.delay_ms:g} ms")
    return found


def growth_ms(scenario: Scenario, heard: Listened) -> float | None:
    """Mouth to ear at the end less that before the first event; None if either is not known."""
    before = heard.delay_ms(0.0, scenario.first_event)
    after = heard.delay_ms(scenario.seconds - AFTER_S, scenario.seconds)
    return None if before is None or after is None else after - before


def cpu_times() -> tuple[int, int]:
    """Ticks of all processors since the start: all, and taken by the host (proc(5))."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(fields), fields[7]


def _spread(values: list[float]) -> float:
    low, high = np.percentile(values, (5, 95))
    return float(high - low)
