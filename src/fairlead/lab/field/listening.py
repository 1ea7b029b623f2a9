"""How good speech sounds to a listener: ViSQOL, of what was said and what came out.

Google's ViSQOL v3 in its speech mode, as `visqol-python` has it; its lattice maps to a mean
opinion score of 1 to 5. It knows nothing of delay: the E-model (`quality`) stands beside it.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

from fairlead.lab.field.aligned import Aligned
from fairlead.lab.field.sound import SAMPLE_RATE, Samples, thinned

STRETCH_S = 8.0
"""ViSQOL is meant for 5 to 10 s."""
THIN = 3
"""Its speech mode looks at 16 kHz."""
LEAD_S = 0.5
"""What was said so shortly before an event may be struck by it on its way."""


def installed() -> bool:
    """Whether ViSQOL is here, and its lattice: without, 30 % lost scored almost as nothing lost."""
    return all(importlib.util.find_spec(name) for name in ("visqol", "ai_edge_litert"))


def scores(speech: Aligned, events: list[float]) -> dict[str, float]:
    """``before`` and ``after`` the first event, or ``throughout`` where nothing happens, 1 to 5.

    A stretch of which no word was heard scores 1; without ViSQOL there is no score.
    """
    if not installed():
        return {}
    if events:
        around = {
            "before": (events[0] - LEAD_S - STRETCH_S, events[0] - LEAD_S),
            "after": (events[0], events[0] + STRETCH_S),
        }
    else:
        middle = speech.seconds / 2
        around = {"throughout": (middle - STRETCH_S / 2, middle + STRETCH_S / 2)}
    found = {}
    for name, (first, last) in around.items():
        begin, end = max(0.0, first), min(speech.seconds, last)
        came = speech.came(begin, end)
        if came is None:
            found[name] = 1.0
        else:
            said = speech.said(begin, end)
            found[name] = score(said[: len(came)], came[: len(said)])
    return found


def score(said: Samples, heard: Samples) -> float:
    """Of sound at `SAMPLE_RATE`, both about aligned."""
    pair = (thinned(said, THIN), thinned(heard, THIN))
    result = _visqol().measure_from_arrays(*pair, SAMPLE_RATE // THIN)
    return round(float(result.moslqo), 2)


@functools.cache
def _visqol() -> Any:
    # Only who scores speech has it.
    from visqol import VisqolApi

    logging.getLogger("visqol").setLevel(logging.ERROR)
    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=True)
    return api
